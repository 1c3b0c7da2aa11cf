"""Transformed filters, computed once for all engines of a network."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from vggnumpy.ops.winograd import transform_filters


class Filters:
    """The transformed filters of a network's convolutions, each computed when it is first asked for.

    They take four times the memory of the filters themselves, so networks that share weights share them
    (`shared_filters`), and both directions of a layer read the same ones.
    """

    def __init__(self, weights: dict[str, tuple[Any, ...]]):
        self._weights = weights  # keeps them, and so their identity
        self._transformed: dict[tuple[str, int], np.ndarray] = {}

    def __call__(self, layer: str, tile: int) -> np.ndarray:
        """Return U of a layer, t²×C×K."""
        if (layer, tile) not in self._transformed:
            self._transformed[layer, tile] = transform_filters(self._weights[layer][0], tile)
        return self._transformed[layer, tile]


_known: weakref.WeakValueDictionary[int, Filters] = weakref.WeakValueDictionary()


def shared_filters(weights: dict[str, tuple[Any, ...]]) -> Filters:
    """Return the transformed filters of these weights, which live as long as somebody uses them."""
    filters = _known.get(id(weights))
    if filters is None:
        filters = _known[id(weights)] = Filters(weights)
    return filters
