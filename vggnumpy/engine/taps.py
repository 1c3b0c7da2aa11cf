"""The losses at tapped layers, block by block, through the three parts that `vggnumpy.losses` has them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vggnumpy import losses
from vggnumpy.engine.regions import Region
from vggnumpy.engine.threads import InOrder
from vggnumpy.losses.content import ContentStatistics
from vggnumpy.losses.gram import GramStatistics
from vggnumpy.losses.regions import RegionStatistics
from vggnumpy.ops.geometry import Window
from vggnumpy.ops.workspace import Workspace

Sums = GramStatistics | RegionStatistics


class Taps:
    """Statistics of one evaluation on its way forward, and the derivatives they lead to on its way back.

    Parameters
    ----------
    grams : iterable of str
        Layers whose Gram matrix is wanted.
    targets : dict
        Layer → features N×H×W×C that the features are compared with.
    masks : dict
        Layer → weights N×H×W×K, or H×W×K for one image, of the positions in K regions, for layers whose Gram
        matrices are wanted region by region.
    windows : dict
        Layer → the part of its map that its Gram matrix is summed over, for layers where it is not all of it.
    """

    def __init__(
        self,
        grams: Iterable[str],
        targets: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
        windows: Mapping[str, Window],
    ):
        self._targets, self._windows = targets, windows
        self._masks = {layer: m if m.ndim == 4 else m[None] for layer, m in masks.items()}
        self._wanted = set(grams)
        self._grams: dict[str, tuple[np.ndarray, Any]] = {}
        self._contents: dict[str, ContentStatistics] = {}
        self._turns = {layer: InOrder() for layer in {*self._wanted, *targets}}
        self._sums: dict[str, np.ndarray] = {}
        self._regions: dict[str, np.ndarray] = {}
        self._factors: Mapping[str, float] = {}
        self._given: Mapping[str, np.ndarray] = {}

    def collect(self, layer: str, number: int, F: np.ndarray, region: Region, work: Workspace) -> None:
        """Add a block's share to the layer's sums, in the order of the blocks' numbers."""
        if layer not in self._turns:
            return
        if not F.flags.c_contiguous:
            F = _copy(F, work("cotangent", F.shape, F.dtype))
        gram = self._gram_of(layer, F, region) if layer in self._wanted else None
        content = losses.content_statistics(F, self._targets[layer][region]) if layer in self._targets else None
        self._turns[layer](number, lambda: self._add(layer, gram, content))

    def _gram_of(self, layer: str, F: np.ndarray, region: Region) -> Sums:
        if layer in self._masks:
            return losses.regions_statistics(F, self._masks[layer][region])
        return losses.gram_statistics(F[self._within(layer, region)])

    def _within(self, layer: str, region: Region) -> tuple[slice, slice]:
        """Return what of a block lies in the layer's window."""
        window = self._windows.get(layer)
        if window is None:
            return slice(None), slice(None)
        return _overlap(region.rows, window.top, window.bottom), _overlap(region.columns, window.left, window.right)

    def _add(self, layer: str, gram: Sums | None, content: ContentStatistics | None) -> None:
        if gram is not None:
            total, positions = self._grams.setdefault(layer, (np.zeros(gram[0].shape), 0.0))
            total += gram[0]  # in float64, so that it matters little how many blocks there are
            self._grams[layer] = total, positions + np.asarray(gram[1], "float64")
        if content is not None:
            distance, target, entries = self._contents.get(layer, (0.0, 0.0, 0))
            self._contents[layer] = ContentStatistics(
                distance + content.distance, target + content.target, entries + content.entries
            )

    def gram(self, layer: str, dtype: np.dtype) -> Sums:
        """Return the Gram matrix of a layer's whole features, or the matrices of its regions."""
        total, positions = self._grams[layer]
        if layer in self._masks:
            return RegionStatistics(total.astype(dtype), positions.astype(dtype))
        return GramStatistics(total.astype(dtype), int(positions))

    def content(self, layer: str) -> ContentStatistics:
        """Return the sums that the content loss of a layer needs."""
        return self._contents[layer]

    def turn_back(
        self,
        gram_derivatives: Mapping[str, np.ndarray],
        content_factors: Mapping[str, float],
        cotangents: Mapping[str, np.ndarray],
    ) -> None:
        """Say what `cotangent` adds up: layer → S and k, see `losses.gram` and `losses.content`, and layer → dF."""
        self._regions = {layer: S for layer, S in gram_derivatives.items() if layer in self._masks}
        self._sums = {layer: S + S.T for layer, S in gram_derivatives.items() if layer not in self._masks}
        self._factors = content_factors
        self._given = cotangents

    def cotangent(self, layer: str, F: np.ndarray, region: Region, work: Workspace) -> np.ndarray | None:
        """Return the derivative of the losses with respect to a block of features, or None if none sits there."""
        dF = None
        if layer in self._sums:
            dF = work("cotangent", F.shape, F.dtype)
            within = self._within(layer, region)
            part = F[within]
            if part.shape == F.shape:  # losses.gram_cotangent, into a buffer
                np.matmul(F.reshape(-1, F.shape[-1]), self._sums[layer], out=dF.reshape(-1, F.shape[-1]))
            else:
                dF[...] = 0
                np.matmul(part, self._sums[layer], out=dF[within])
        if layer in self._regions:
            dF = losses.regions_cotangent(F, self._masks[layer][region], self._regions[layer])
        if layer in self._factors:
            de = losses.content_cotangent(F, self._targets[layer][region], self._factors[layer])
            dF = de if dF is None else np.add(dF, de, out=dF)
        if layer in self._given:
            given = self._given[layer][region]
            dF = given if dF is None else np.add(dF, given, out=dF)
        return dF


def _overlap(part: slice, first: int, end: int) -> slice:
    """Return what of a block's rows or columns lies between two, counted from its first."""
    start = max(part.start, first)
    return slice(start - part.start, max(start, min(part.stop, end)) - part.start)


def _copy(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    np.copyto(target, source)
    return target
