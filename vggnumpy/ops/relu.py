"""The rectifier, and the leaky one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import operator
from vggnumpy.ops.bits import pack, unpack
from vggnumpy.ops.geometry import check_cotangent


class ReluCache(NamedTuple):
    """Which entries of x were positive, one bit each, packed along the channels; and the leak."""

    positive: Any
    shape: tuple[int, ...]
    leak: float


@operator
def relu(x: Any, leak: float = 0.0) -> tuple[Any, ReluCache]:
    """Set negative entries to zero, or to a fraction of what they are.

        y = x · (leak + (1 − leak)·[x > 0])        which is max(x, 0) without leak

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
        Features, channels last.
    leak : float
        Slope on the negative side, the same for all channels; for one of each channel's own see `prelu`.

    Returns
    -------
    y : ndarray
        Same shape and dtype; NaN stays NaN.
    cache : ReluCache
        For `relu_backward`: 1 bit per entry, a thirty-second of what float32 features take.
    """
    if leak:
        y = x * float(leak)
        # Of x and leak · x the larger is y on both sides of 0, or the smaller if the leak is steeper than 1.
        (np.maximum if leak <= 1 else np.minimum)(x, y, out=y)
    else:
        y = np.maximum(x, 0)  # and not x · 0, which is NaN where x is −∞
    return y, ReluCache(pack(x > 0), x.shape, float(leak))


@operator
def relu_backward(dy: Any, cache: ReluCache) -> Any:
    """Carry the derivative back through `relu`.

        dx = dy where x > 0, else leak · dy

    At x = 0, where y has a kink, the slope counts that it has on the left, as in MatConvNet: 0 without leak.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : ReluCache
        From `relu`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.shape, "relu_backward")
    positive = unpack(cache.positive, cache.shape[-1])
    return np.where(positive, dy, dy * cache.leak if cache.leak else dy.dtype.type(0))
