"""Joining features along their channels, as the branches of an inception module are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from vggnumpy.backend import array_module, operator
from vggnumpy.ops.geometry import check_cotangent


class ConcatCache(NamedTuple):
    """Where each input's channels end, and the shape of the output."""

    ends: tuple[int, ...]
    shape: tuple[int, ...]


@operator(any_array=True)
def concat(xs: Sequence[Any]) -> tuple[Any, ConcatCache]:
    """Join features along the channels.

        y[…, :] = (x₁[…, :], x₂[…, :], …)

    Parameters
    ----------
    xs : list of ndarray, each …×H×W×Cᵢ, one dtype
        At least one, equal in all axes but the last.

    Returns
    -------
    y : ndarray, …×H×W×ΣCᵢ
    cache : ConcatCache
        For `concat_backward`.

    Raises
    ------
    ValueError
        If the shapes differ before the last axis.
    """
    if len({x.shape[:-1] for x in xs}) != 1:
        raise ValueError(
            f"concat needs features that differ only in channels, got shapes {[tuple(x.shape) for x in xs]}"
        )
    ends = tuple(accumulate(int(x.shape[-1]) for x in xs))
    y = array_module(*xs).concatenate(xs, axis=-1)
    return y, ConcatCache(ends, y.shape)


@operator(any_array=True)
def concat_backward(dy: Any, cache: ConcatCache) -> list[Any]:
    """Carry the derivative back through `concat`: each input's is its own run of channels of dy.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : ConcatCache
        From `concat`.

    Returns
    -------
    dxs : list of ndarray
        One view of `dy` for each input, in order.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.shape, "concat_backward")
    starts = (0, *cache.ends[:-1])
    return [dy[..., start:end] for start, end in zip(starts, cache.ends, strict=True)]
