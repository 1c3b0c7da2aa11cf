"""Averages over equal rectangles: how weights get coarser or finer without getting lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def area_average(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return the means over height × width equal rectangles, which need not end at pixels.

    Every value counts as much as its covered part, nothing beyond the frame is looked at, and so the mean of the whole
    stays what it was.  Along an axis of n values, with S(t) the integral of the first t of them (a sum and, where t is
    not whole, part of the next value), the mean number i of m is

        (S((i+1) n/m) − S(i n/m)) · m/n

    S never falls where values are not negative, also not by rounding, so no mean is negative then.

    Parameters
    ----------
    values : ndarray, H×W×…, float32 or float64
    size : (int, int)
        Height and width of the result, both positive.

    Returns
    -------
    ndarray
        height×width×…, of the dtype of `values`, in C order.  Sums are taken in float64.
    """
    for axis, count in enumerate(size):
        if count != values.shape[axis]:
            values = _along(values.swapaxes(0, axis), count).swapaxes(0, axis)
    return np.ascontiguousarray(values)


def _along(values: NDArray[Any], count: int) -> NDArray[Any]:
    length, trailing = len(values), (1,) * (values.ndim - 1)
    sums = np.concatenate([np.zeros_like(values[:1], "float64"), values.cumsum(axis=0, dtype="float64")])
    ends = np.arange(count + 1) * length / count
    whole = np.minimum(ends.astype("int64"), length - 1)
    integral = sums[whole] + (ends - whole).reshape(-1, *trailing) * values[whole]
    means: NDArray[Any] = (np.diff(integral, axis=0) * (count / length)).astype(values.dtype)
    return means
