"""The operators of a network, each a forward pass and its hand-derived backward passes.

Conventions, once for all of them:

* images and features are N×H×W×C (or H×W×C), filters kh×kw×C×K, float32 or float64, never mixed;
* the forward pass returns ``y, cache``; the cache is all that the backward pass needs;
* if L is any scalar that depends on y, then ``dy`` is the array of its derivatives ∂L/∂y, of y's shape, and the
  backward pass returns dx = ∂L/∂x = Jᵀ dy, of x's shape, where J is the Jacobian of the operator at x;
* where filters, gains or slopes may vary as well, a backward pass returns their derivatives in the same sense: together
  with dx where the work is shared, by a function of its own where it is not;
* `softmax_loss` ends a network: its y is one number, ``value``, and ``dvalue`` the derivative with respect to it;
* no operator writes to its inputs; `pad`, `pad_backward` and `concat_backward` may return views of them.
"""

from vggnumpy.ops.batch_norm import batch_norm, batch_norm_backward
from vggnumpy.ops.concat import concat, concat_backward
from vggnumpy.ops.conv import conv, conv_backward_filter, conv_backward_input
from vggnumpy.ops.conv_transpose import (
    conv_transpose,
    conv_transpose_backward_filter,
    conv_transpose_backward_input,
)
from vggnumpy.ops.dropout import dropout, dropout_backward
from vggnumpy.ops.lrn import lrn, lrn_backward
from vggnumpy.ops.pad import PAD_MODES, pad, pad_backward
from vggnumpy.ops.pool import avg_pool, avg_pool_backward, max_pool, max_pool_backward
from vggnumpy.ops.prelu import prelu, prelu_backward, prelu_backward_slope
from vggnumpy.ops.relu import relu, relu_backward
from vggnumpy.ops.softmax import softmax, softmax_backward, softmax_loss, softmax_loss_backward

__all__ = [
    "PAD_MODES",
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "concat",
    "concat_backward",
    "conv",
    "conv_backward_filter",
    "conv_backward_input",
    "conv_transpose",
    "conv_transpose_backward_filter",
    "conv_transpose_backward_input",
    "dropout",
    "dropout_backward",
    "lrn",
    "lrn_backward",
    "max_pool",
    "max_pool_backward",
    "pad",
    "pad_backward",
    "prelu",
    "prelu_backward",
    "prelu_backward_slope",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_backward",
    "softmax_loss",
    "softmax_loss_backward",
]
