"""The operators of a network, each a forward pass and its hand-derived backward passes.

Conventions, once for all of them:

* images and features are N×H×W×C (or H×W×C), filters kh×kw×C×K, float32 or float64, never mixed;
* the forward pass returns ``y, cache``; the cache is all that the backward pass needs;
* if L is any scalar that depends on y, then ``dy`` is the array of its derivatives ∂L/∂y, of y's shape, and the
  backward pass returns dx = ∂L/∂x = Jᵀ dy, of x's shape, where J is the Jacobian of the operator at x;
* no operator writes to its inputs; `pad`, `pad_backward` and `concat_backward` may return views of them.
"""

from vggnumpy.ops.concat import concat, concat_backward
from vggnumpy.ops.conv import conv, conv_backward_filter, conv_backward_input
from vggnumpy.ops.pad import PAD_MODES, pad, pad_backward
from vggnumpy.ops.pool import avg_pool, avg_pool_backward, max_pool, max_pool_backward
from vggnumpy.ops.relu import relu, relu_backward

__all__ = [
    "PAD_MODES",
    "avg_pool",
    "avg_pool_backward",
    "concat",
    "concat_backward",
    "conv",
    "conv_backward_filter",
    "conv_backward_input",
    "max_pool",
    "max_pool_backward",
    "pad",
    "pad_backward",
    "relu",
    "relu_backward",
]
