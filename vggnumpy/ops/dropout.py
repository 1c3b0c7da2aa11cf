"""Dropout: entries are set to zero at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import operator
from vggnumpy.ops.bits import pack, unpack
from vggnumpy.ops.geometry import check_cotangent


class DropoutCache(NamedTuple):
    """Which entries were kept, one bit each, packed along the channels; and what they were multiplied by."""

    kept: Any
    shape: tuple[int, ...]
    scale: float


@operator
def dropout(x: Any, rate: float = 0.5, rng: int | np.random.Generator | None = None) -> tuple[Any, DropoutCache]:
    """Set entries to zero at random, and scale the others so that the expected value stays.

        y = m x / (1 − rate),      m = 0 with probability `rate`, else 1

    This is for training; a network that is put to use leaves dropout out.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
        Features, channels last.
    rate : float
        Probability of an entry to be dropped, at least 0 and below 1.
    rng : int or Generator, optional
        Seed or source of the mask m.  The same seed gives the same mask, for either dtype; none a new one each time.

    Returns
    -------
    y : ndarray
        Same shape and dtype.
    cache : DropoutCache
        For `dropout_backward`: 1 bit per entry.

    Raises
    ------
    ValueError
        If `rate` is out of range.
    """
    kept, cache = draw(x.shape, rate, rng)
    return _masked(x, kept, cache.scale), cache


@operator
def dropout_backward(dy: Any, cache: DropoutCache) -> Any:
    """Carry the derivative back through `dropout`.

    For the mask that was drawn, y is linear in x and each entry has its own factor: dx = m dy / (1 − rate).

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : DropoutCache
        From `dropout`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.shape, "dropout_backward")
    return _masked(dy, unpack(cache.kept, cache.shape[-1]), cache.scale)


def draw(shape: tuple[int, ...], rate: float, rng: int | np.random.Generator | None) -> tuple[np.ndarray, DropoutCache]:
    """Return the mask m, drawn on the host, as booleans and in a cache; the parameters are those of `dropout`."""
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of dropout must be at least 0 and below 1, got {rate!r}")
    kept = np.random.default_rng(rng).random(shape, dtype="float32") >= rate
    return kept, DropoutCache(pack(kept), shape, 1 / (1 - float(rate)))


def _masked(values: Any, kept: Any, scale: float) -> Any:
    return np.where(kept, values * scale, values.dtype.type(0))
