"""The losses at tapped layers, block by block, through the three parts that `vggnumpy.losses` has them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from vggnumpy import losses
from vggnumpy.engine.threads import InOrder
from vggnumpy.losses.content import ContentStatistics
from vggnumpy.losses.gram import GramStatistics


class Region(NamedTuple):
    """A rectangle of one map: image, rows, columns."""

    image: int
    rows: slice
    columns: slice


class Taps:
    """Statistics of one evaluation on its way forward, and the derivatives they lead to on its way back.

    Parameters
    ----------
    grams : iterable of str
        Layers whose Gram matrix is wanted.
    targets : dict
        Layer → features N×H×W×C that the features are compared with.
    """

    def __init__(self, grams: Iterable[str], targets: Mapping[str, np.ndarray]):
        self._targets = targets
        self._wanted = set(grams)
        self._grams: dict[str, tuple[np.ndarray, int]] = {}
        self._contents: dict[str, ContentStatistics] = {}
        self._turns = {layer: InOrder() for layer in {*self._wanted, *targets}}
        self.gram_derivatives: Mapping[str, np.ndarray] = {}
        self.content_factors: Mapping[str, float] = {}

    def collect(self, layer: str, number: int, F: np.ndarray, region: Region) -> None:
        """Add a block's share to the layer's sums, in the order of the blocks' numbers."""
        if layer not in self._turns:
            return
        gram = losses.gram_statistics(F) if layer in self._wanted else None
        content = losses.content_statistics(F, self._targets[layer][region]) if layer in self._targets else None
        self._turns[layer](number, lambda: self._add(layer, gram, content))

    def _add(self, layer: str, gram: GramStatistics | None, content: ContentStatistics | None) -> None:
        if gram is not None:
            total, positions = self._grams.setdefault(layer, (np.zeros(gram.matrix.shape), 0))
            total += gram.matrix  # in float64, so that it matters little how many blocks there are
            self._grams[layer] = total, positions + gram.positions
        if content is not None:
            distance, target, entries = self._contents.get(layer, (0.0, 0.0, 0))
            self._contents[layer] = ContentStatistics(
                distance + content.distance, target + content.target, entries + content.entries
            )

    def gram(self, layer: str, dtype: np.dtype) -> GramStatistics:
        """Return the Gram matrix of a layer's whole features."""
        total, positions = self._grams[layer]
        return GramStatistics(total.astype(dtype), positions)

    def content(self, layer: str) -> ContentStatistics:
        """Return the sums that the content loss of a layer needs."""
        return self._contents[layer]

    def cotangent(self, layer: str, F: np.ndarray, region: Region) -> np.ndarray | None:
        """Return the derivative of the losses with respect to a block of features, or None if none sits there."""
        dF = None
        if layer in self.gram_derivatives:
            dF = losses.gram_cotangent(F, self.gram_derivatives[layer])
        if layer in self.content_factors:
            de = losses.content_cotangent(F, self._targets[layer][region], self.content_factors[layer])
            dF = de if dF is None else np.add(dF, de, out=dF)
        return dF
