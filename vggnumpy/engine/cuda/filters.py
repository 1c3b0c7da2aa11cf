"""Filters in the order and precision of the tensor-core kernels, prepared once for all engines of a network."""

from __future__ import annotations

import weakref
from typing import Any

from vggnumpy.ops.conv_tensor_cuda import Filters, prepare_filters


class PreparedFilters:
    """The filters of a network's convolutions, each prepared when it is first asked for."""

    def __init__(self, weights: dict[str, tuple[Any, ...]], precision: str):
        self._weights, self._precision = weights, precision  # keeps the weights, and so their identity
        self._prepared: dict[str, Filters] = {}

    def __call__(self, layer: str) -> Filters:
        """Return a layer's filters for both directions."""
        if layer not in self._prepared:
            w, bias = self._weights[layer]
            self._prepared[layer] = prepare_filters(w, bias, self._precision)
        return self._prepared[layer]


_known: weakref.WeakValueDictionary[tuple[int, str], PreparedFilters] = weakref.WeakValueDictionary()


def shared_filters(weights: dict[str, tuple[Any, ...]], precision: str) -> PreparedFilters:
    """Return the filters of these weights, one for all engines, as long as one of them lives."""
    filters = _known.get((id(weights), precision))
    if filters is None:
        filters = _known[id(weights), precision] = PreparedFilters(weights, precision)
    return filters
