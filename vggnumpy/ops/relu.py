"""The rectifier."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import operator
from vggnumpy.ops.geometry import check_cotangent


class ReluCache(NamedTuple):
    """Which entries of x were positive: one bit each, packed along the channels."""

    positive: Any
    shape: tuple[int, ...]


@operator
def relu(x: Any) -> tuple[Any, ReluCache]:
    """Set negative entries to zero.

        y = max(x, 0)

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
        Features, channels last.

    Returns
    -------
    y : ndarray
        Same shape and dtype; NaN stays NaN.
    cache : ReluCache
        For `relu_backward`: 1 bit per entry, a thirty-second of what float32 features take.
    """
    return np.maximum(x, 0), ReluCache(np.packbits(x > 0, axis=-1), x.shape)


@operator
def relu_backward(dy: Any, cache: ReluCache) -> Any:
    """Carry the derivative back through `relu`.

        dx = dy where x > 0, else 0

    At x = 0, where max(x, 0) has no derivative, dx is 0, as in MatConvNet.

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
    positive = np.unpackbits(cache.positive, axis=-1, count=cache.shape[-1]).view(bool)
    return np.where(positive, dy, dy.dtype.type(0))
