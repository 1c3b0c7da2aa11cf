"""Transformed filters: kept, where the maps are small, or computed anew for each stage, where they are large.

They take four times the memory of the filters themselves, 207 MB for VGG-19 up to conv5_1.  Both directions can read
the same ones, but products with the transposed matrices are slower, by 30 % for 64 channels and 8 % for 512 (measured):
the small ones are kept in both orders.  Transforming all anew takes 10 % of the time of an evaluation at 512×512, and
the less the larger the image is.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from vggnumpy.engine.threads import Workers
from vggnumpy.ops.winograd_tiles import transform_filters
from vggnumpy.ops.workspace import Workspace

_CHANNELS = 32  # transformed at one time
_LARGE = 1 << 17  # input times output channels from which both directions share


def transform_into(U: np.ndarray, w: np.ndarray, tile: int, turned: bool, workers: Workers) -> None:
    """Transform filters 3×3×C×K into U, t²×C×K, or t²×K×C for the turned algorithm."""

    def some(i: int, work: Workspace) -> None:
        part = slice(i * _CHANNELS, (i + 1) * _CHANNELS)
        transform_filters((w.swapaxes(2, 3) if turned else w)[:, :, part], tile, U[:, part])

    workers.run(-(-U.shape[1] // _CHANNELS), some)


def is_shared(depth: int, channels: int) -> bool:
    """Whether transformed filters that are kept serve both directions."""
    return depth * channels >= _LARGE


class Filters:
    """The transformed filters of a network's convolutions, each computed when it is first asked for."""

    def __init__(self, weights: dict[str, tuple[Any, ...]]):
        self._weights = weights  # keeps them, and so their identity
        self._transformed: dict[tuple[str, int, bool], np.ndarray] = {}

    def __call__(self, layer: str, tile: int, turned: bool, workers: Workers) -> np.ndarray:
        """Return U of a layer for one direction."""
        if turned and is_shared(*self._weights[layer][0].shape[2:]):
            return self(layer, tile, False, workers).transpose(0, 2, 1)
        key = layer, tile, turned
        if key not in self._transformed:
            w = self._weights[layer][0]
            shape = ((tile + 2) ** 2, *(w.shape[:1:-1] if turned else w.shape[2:]))
            self._transformed[key] = np.empty(shape, w.dtype)
            transform_into(self._transformed[key], w, tile, turned, workers)
        return self._transformed[key]


_known: weakref.WeakValueDictionary[int, Filters] = weakref.WeakValueDictionary()


def shared_filters(weights: dict[str, tuple[Any, ...]]) -> Filters:
    """Return the transformed filters of these weights, one for all engines, as long as one of them lives."""
    filters = _known.get(id(weights))
    if filters is None:
        filters = _known[id(weights)] = Filters(weights)
    return filters
