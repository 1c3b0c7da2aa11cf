r"""The leaky rectifier with a slope of each channel's own.

    y[…, c] = x[…, c]              where x > 0                                                              (1)
              slope[c] · x[…, c]   elsewhere                            that is, max(x, 0) + slope · min(x, 0)

Both x and the slopes may vary.  From (1), δy = δx where x > 0, and δy = slope · δx + x · δslope elsewhere; so for a
scalar L with δL = Σ dy δy

    dx = dy where x > 0, slope[c] · dy elsewhere        dslope[c] = Σ of dy · x over the positions with x ≤ 0

At x = 0, where (1) has a kink, the left slope counts, as in `relu`; dslope has no kink there, for x is its factor.

Source: He, Zhang, Ren and Sun, *Delving Deep into Rectifiers*, 2015, equations 1 to 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import check_dtypes, operator
from vggnumpy.ops.bits import pack, unpack
from vggnumpy.ops.geometry import check_cotangent


class PreluCache(NamedTuple):
    """Which entries of x were positive, one bit each, packed along the channels; and the slopes."""

    positive: Any
    shape: tuple[int, ...]
    slope: Any


@operator
def prelu(x: Any, slope: Any) -> tuple[Any, PreluCache]:
    """Multiply negative entries by their channel's slope: equation (1) of this module.

    Parameters
    ----------
    x : ndarray, …×C, float32 or float64
        Features.
    slope : ndarray of C
        Slope of each channel on the negative side.

    Returns
    -------
    y : ndarray
        Same shape and dtype; NaN stays NaN.
    cache : PreluCache
        For `prelu_backward` and `prelu_backward_slope`: 1 bit per entry.

    Raises
    ------
    ValueError
        If there are not as many slopes as channels.
    """
    check_slopes(x, slope)
    y = np.minimum(x, 0)
    y *= slope
    y += np.maximum(x, 0)
    return y, PreluCache(pack(x > 0), x.shape, slope)


@operator
def prelu_backward(dy: Any, cache: PreluCache) -> Any:
    """Carry the derivative back to the input of `prelu`.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : PreluCache
        From `prelu`.

    Returns
    -------
    dx : ndarray
        dy where x > 0, slope[c] · dy elsewhere.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than the slopes.
    """
    check_cotangent(dy, cache.shape, "prelu_backward")
    check_dtypes("prelu_backward", dy, cache.slope)
    return np.where(unpack(cache.positive, cache.shape[-1]), dy, dy * cache.slope)


@operator
def prelu_backward_slope(dy: Any, x: Any, cache: PreluCache) -> Any:
    """Return the derivative with respect to the slopes of `prelu`.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    x : ndarray
        The input that `prelu` was given; the cache does not keep it.
    cache : PreluCache
        From `prelu`.

    Returns
    -------
    dslope : ndarray of C
        Σ of dy · x over all positions with x ≤ 0, summed in float64.

    Raises
    ------
    ValueError
        If `dy` or `x` has another shape than in the forward pass.
    TypeError
        If they have another dtype than the slopes.
    """
    check_cotangent(dy, cache.shape, "prelu_backward_slope")
    check_dtypes("prelu_backward_slope", dy, cache.slope)
    check_input(x, cache)
    products = np.where(unpack(cache.positive, cache.shape[-1]), dy.dtype.type(0), dy * x)
    return products.reshape(-1, cache.shape[-1]).sum(axis=0, dtype="float64").astype(dy.dtype)


def check_slopes(x: Any, slope: Any) -> None:
    """Raise ``ValueError`` unless there is one slope for each channel of `x`."""
    if slope.shape != x.shape[-1:]:
        raise ValueError(f"prelu needs {x.shape[-1]} slopes, one a channel, got shape {tuple(slope.shape)}")


def check_input(x: Any, cache: PreluCache) -> None:
    """Raise ``ValueError`` unless `x` has the shape of what `prelu` was given."""
    if x.shape != cache.shape:
        raise ValueError(f"prelu_backward_slope: x must be the forward pass's, of shape {cache.shape}, got {x.shape}")
