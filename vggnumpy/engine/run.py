"""Running a plan: an evaluation's forward and backward pass, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from vggnumpy.engine.bits import factors, is_positive
from vggnumpy.engine.filters import shared_filters, transform_into
from vggnumpy.engine.first import FirstLayer, rectify
from vggnumpy.engine.plan import TILE, Block, Plan, Stage
from vggnumpy.engine.pooling import pool_average, pool_max, unpool_average, unpool_max
from vggnumpy.engine.regions import Region, around, fold, halved, inside, length, tiles_shape, within
from vggnumpy.engine.taps import Sums, Taps
from vggnumpy.engine.threads import InOrder, workers
from vggnumpy.losses.content import ContentStatistics
from vggnumpy.nets.network import Network
from vggnumpy.nets.steps import backward_step, forward_step
from vggnumpy.ops.geometry import Window
from vggnumpy.ops.pad import pad, pad_backward
from vggnumpy.ops.winograd_matrices import transforms
from vggnumpy.ops.winograd_tiles import gather_tiles, spread_tiles, tile_products
from vggnumpy.ops.workspace import Workspace


class Engine:
    """A network with taps at one size, ready to be evaluated again and again.

    Parameters
    ----------
    net : Network
    plan : Plan
        From `make_plan`, of this network.
    """

    def __init__(self, net: Network, plan: Plan):
        self.net, self.plan = net, plan
        self._dtype = np.dtype(plan.dtype)
        self._workers = workers(plan.threads)
        self._filters = None if plan.streamed else shared_filters(net.weights)
        self._streamed = np.empty(plan.filters // self._dtype.itemsize if plan.streamed else 0, self._dtype)
        first = plan.stages[0].link.conv.name
        self._first = FirstLayer(*net.weights[first])
        arena = np.empty(plan.arena, np.uint8)
        self._maps = {name: one.array_in(arena) for name, one in plan.buffers.items()}
        self._transforms = transforms(TILE, plan.dtype)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether the plan is one for images of this shape."""
        first = self.plan.stages[0]
        images = 1 if len(shape) == 3 else shape[0]
        return (images, *shape[-3:-1]) == (first.images, first.height, first.width)

    def forward(
        self,
        image: np.ndarray,
        grams: Iterable[str] = (),
        targets: Mapping[str, np.ndarray] | None = None,
        masks: Mapping[str, np.ndarray] | None = None,
        windows: Mapping[str, Window] | None = None,
    ) -> tuple[dict[str, Sums], dict[str, ContentStatistics]]:
        """Compute what the losses at the taps need.

        Parameters
        ----------
        image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, of the plan's size and dtype
        grams : iterable of str
            Layers whose Gram matrix is wanted.
        targets : dict, optional
            Layer → features to compare with, of the features' shape.
        masks : dict, optional
            Layer → weights of its positions in K regions, …×K: its Gram matrices are those of the regions.
        windows : dict, optional
            Layer → the part of its map that its Gram matrix is summed over, by default all of it.

        Returns
        -------
        grams, contents : dict
            Layer → statistics, as `vggnumpy.losses` defines them.

        Raises
        ------
        ValueError
            If a target has another shape than the features.
        """
        grams = list(grams)
        batched = {layer: self._batched_target(layer, P) for layer, P in (targets or {}).items()}
        self._image_shape = image.shape
        self._planes = self._first_input(image)
        self._taps = Taps(grams, batched, masks or {}, windows or {})
        for stage in self.plan.stages[1:] if self.plan.recomputed else self.plan.stages:
            if stage.number:
                self._U = self._transformed(stage, turned=False)
            self._run(stage.forward, self._forward_block, stage)
        return (
            {layer: self._taps.gram(layer, self._dtype) for layer in grams},
            {layer: self._taps.content(layer) for layer in batched},
        )

    def _first_input(self, image: np.ndarray) -> np.ndarray:
        """Return what the first 3×3 convolution sees, padded, in planes N×C×(H+2)×(W+2)."""
        z = self.net.preprocess(image)
        self._head: list[tuple[Any, Any]] = []
        for layer in self.plan.chain.head:
            z, cache = forward_step(layer, [z], self.net.weights[layer.name], self.net.pad_mode)
            self._head.append((layer, cache))
        padded, self._padding = pad(z.reshape(-1, *z.shape[-3:]), 1, self.plan.stages[0].pad_mode)
        return np.ascontiguousarray(padded.transpose(0, 3, 1, 2))

    def _batched_target(self, layer: str, target: np.ndarray) -> np.ndarray:
        """Return a target with the axis of images, after checking its shape."""
        shape = self.plan.features_shape(layer)
        if target.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
            raise ValueError(f"content features and target must agree in shape, got {shape} and {target.shape}")
        return target.reshape(shape)

    def features(self, layer: str) -> np.ndarray:
        """Return a copy of the features at a tapped layer after `forward` and before `backward`; N is the image's."""
        whole = self._features(layer)
        return whole[0] if len(self._image_shape) == 3 else whole

    def _features(self, layer: str) -> np.ndarray:
        for stage in self.plan.stages:
            if stage.link.pool is not None and stage.link.pool.name == layer:
                return self._maps[f"pool {stage.number}"].copy()
            if stage.link.conv.name == layer:
                return self._maps[f"conv {stage.number}"].copy()
            if stage.link.relu.name == layer and not (self.plan.recomputed and stage.number == 0):
                return self._maps[f"relu {stage.number}"].copy()
        stage = self.plan.stages[0]
        features = np.empty((stage.images, stage.height, stage.width, stage.channels), self._dtype)

        def compute(i: int, work: Workspace) -> None:
            region = inside(stage.forward[i], stage)
            features[region] = self._first.forward(self._planes[region.image], region.rows, region.columns, work)

        self._workers.run(len(stage.forward), compute)
        return features

    def backward(
        self,
        gram_derivatives: Mapping[str, np.ndarray],
        content_factors: Mapping[str, float] | None = None,
        cotangents: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Carry the derivative of the losses back to the image; once for each `forward`.

        Parameters
        ----------
        gram_derivatives : dict
            Layer → S, the derivative with respect to its Gram matrix.
        content_factors : dict, optional
            Layer → factor k of its content loss k Σ (F − P)².
        cotangents : dict, optional
            Layer → derivative of all other losses with respect to its `features`.

        Returns
        -------
        dimage : ndarray
            In the image's shape.
        """
        given = {layer: dF.reshape(self.plan.features_shape(layer)) for layer, dF in (cotangents or {}).items()}
        self._taps.turn_back(gram_derivatives, content_factors or {}, given)
        self._dplanes, self._in_turn = np.zeros_like(self._planes), InOrder()
        stages = self.plan.stages
        self._run(stages[-1].forward, self._top_block, stages[-1])
        for stage in stages[:0:-1]:
            self._U = self._transformed(stage, turned=True)
            self._run(stage.backward, self._backward_block, stage)
        if not self.plan.recomputed:
            self._run(stages[0].forward, self._first_backward_block, stages[0])
        dz = pad_backward(np.ascontiguousarray(self._dplanes.transpose(0, 2, 3, 1)), self._padding)
        dz = dz.reshape(*self._image_shape[:-1], dz.shape[-1])
        for layer, cache in reversed(self._head):
            (dz,) = backward_step(layer, dz, cache)
        dimage: np.ndarray = self.net.preprocess_backward(dz)
        return dimage

    def _transformed(self, stage: Stage, turned: bool) -> np.ndarray:
        """Return a stage's transformed filters."""
        conv = stage.link.conv.name
        if self._filters is not None:
            return self._filters(conv, TILE, turned, self._workers)
        shape = ((TILE + 2) ** 2, *((stage.channels, stage.depth) if turned else (stage.depth, stage.channels)))
        U = self._streamed[: math.prod(shape)].reshape(shape)
        transform_into(U, self.net.weights[conv][0], TILE, turned, self._workers)
        return U

    def _run(self, blocks: tuple[Block, ...], body: Callable[[Stage, int, Workspace], None], stage: Stage) -> None:
        self._workers.run(len(blocks), lambda i, work: body(stage, i, work))

    def _multiply(self, blocks: tuple[Block, ...]) -> Callable[..., Any]:
        """Return what computes the products of a block: all threads, if it is the only one."""
        return self._workers.multiply if len(blocks) == 1 else np.matmul

    # Forward

    def _forward_block(self, stage: Stage, number: int, work: Workspace) -> None:
        """Compute convolution, bias, rectifier, losses' sums, bits and pool of one block."""
        block = stage.forward[number]
        region = inside(block, stage)
        if stage.number == 0:
            whole = self._first.convolve(self._planes[block.image], region.rows, region.columns, work)
        else:
            tiles = work("even", tiles_shape(block, stage.depth), self._dtype)
            self._load_features(stage, block, number, tiles, work)
            whole = self._convolve(stage, tiles, work)
        y = whole[: length(region.rows), : length(region.columns)]
        s, relu = stage.number, stage.link.relu.name
        if stage.conv_tapped:
            self._taps.collect(stage.link.conv.name, number, y, region, work)
            self._maps[f"conv {s}"][region] = y
        rectify(whole, work)
        if stage.relu_tapped:
            self._taps.collect(relu, number, y, region, work)
        if stage.relu_tapped or not stage.pooled:
            self._maps[f"relu {s}"][region] = y
        if stage.pooled:
            self._pool(stage, number, y, region, work)
        elif not stage.relu_tapped:
            self._maps[f"bits {s}"][region] = is_positive(y, work)

    def _load_features(self, stage: Stage, block: Block, number: int, tiles: np.ndarray, work: Workspace) -> None:
        before = self.plan.stages[stage.number - 1]
        top, left = block.top - 1, block.left - 1
        if before.number == 0 and self.plan.recomputed:
            seen = around(block, stage)
            F = self._first.forward(self._planes[block.image], seen.rows, seen.columns, work)
            if before.relu_tapped:
                region = inside(block, stage)
                own = F[within(region.rows, seen.rows), within(region.columns, seen.columns)]
                self._taps.collect(before.link.relu.name, number, own, region, work)
            gather_tiles(F, tiles, top - seen.rows.start, left - seen.columns.start, TILE, stage.pad_mode)
            return
        x = self._maps[f"{'pool' if before.pooled else 'relu'} {before.number}"][block.image]
        gather_tiles(x, tiles, top, left, TILE, stage.pad_mode)

    def _convolve(self, stage: Stage, tiles: np.ndarray, work: Workspace) -> np.ndarray:
        """Return the convolution of gathered tiles, as a map."""
        bias = self.net.weights[stage.link.conv.name][1]
        multiply = self._multiply(stage.forward)
        Y = tile_products(tiles, self._U, self._transforms.straight, work, bias, multiply)
        return _spread(Y, work)

    def _pool(self, stage: Stage, number: int, y: np.ndarray, region: Region, work: Workspace) -> None:
        s, pool = stage.number, stage.link.pool
        assert pool is not None and stage.pooled is not None
        half = halved(region, stage.pooled)
        out = self._maps[f"pool {s}"][half]
        if pool.method == "max":
            bits = self._maps[f"bits {s}"][:, half.image, half.rows, half.columns]
            pool_max(y, out, bits, work)
        else:
            pool_average(y, out)
            if not stage.relu_tapped:
                self._maps[f"bits {s}"][region] = is_positive(y, work)
        if stage.pool_tapped:
            self._taps.collect(pool.name, number, out, half, work)

    # Backward

    def _top_block(self, stage: Stage, number: int, work: Workspace) -> None:
        """Replace the deepest features by the derivative with respect to them, or to what the rectifier got."""
        region = inside(stage.forward[number], stage)
        if stage.pooled:
            region = halved(region, stage.pooled)
        shape = (length(region.rows), length(region.columns), stage.channels)
        zero = work("out", shape, self._dtype)
        zero[...] = 0
        self._deliver(stage, zero, region, work)

    def _backward_block(self, stage: Stage, number: int, work: Workspace) -> None:
        """Carry a block's derivative through a convolution, and on through what lies before it."""
        block, before = stage.backward[number], self.plan.stages[stage.number - 1]
        tiles = work("even", tiles_shape(block, stage.channels), self._dtype)
        dz, top, left = self._derivative(stage, block, work)
        gather_tiles(dz, tiles, block.top - 1 - top, block.left - 1 - left, TILE)
        multiply = self._multiply(stage.backward)
        dx = _spread(tile_products(tiles, self._U, self._transforms.turned, work, multiply=multiply), work)
        region = inside(block, stage)
        if stage.border:
            dx = fold(dx, block, stage)
        dx = dx[: length(region.rows), : length(region.columns)]
        if before.number == 0 and self.plan.recomputed:
            F = self._first.forward(self._planes[region.image], region.rows, region.columns, work)
            dF = self._taps.cotangent(before.link.relu.name, F, region, work)
            if dF is not None:
                dx += dF
            dx *= factors(is_positive(F, work), before.channels, self._dtype, work)
            self._first_backward(dx, region, number, work)
        else:
            self._deliver(before, dx, region, work)

    def _derivative(self, stage: Stage, block: Block, work: Workspace) -> tuple[np.ndarray, int, int]:
        """Return the derivative with respect to a convolution's output around a block, and where it begins."""
        if not stage.pooled:
            return self._maps[_derivative_name(stage)][block.image], 0, 0
        seen = around(block, stage)
        return self._unpooled(stage, seen, work), seen.rows.start, seen.columns.start

    def _unpooled(self, stage: Stage, region: Region, work: Workspace) -> np.ndarray:
        """Return the derivative at a pool's output carried back through pool and rectifier, for a region before it."""
        pool = stage.link.pool
        assert pool is not None and stage.pooled is not None
        half = halved(region, stage.pooled)
        dy = self._maps[_derivative_name(stage)][half]
        top, left = 2 * half.rows.start, 2 * half.columns.start
        height, width = 2 * dy.shape[0], 2 * dy.shape[1]
        whole = work(
            "unpooled", (max(height, region.rows.stop - top), max(width, region.columns.stop - left), stage.channels),
            self._dtype,
        )  # fmt: skip
        whole[height:] = 0  # what a pool that rounds down has dropped
        whole[:, width:] = 0
        covered = whole[:height, :width]
        if pool.method == "max":
            bits = self._maps[f"bits {stage.number}"][:, half.image, half.rows, half.columns]
            unpool_max(dy, bits, covered, work)
        else:
            unpool_average(dy, covered)
            if top + height > stage.height:  # a row that stood in for one outside
                covered[-2] += covered[-1]
            if left + width > stage.width:
                covered[:, -2] += covered[:, -1]
        dz = whole[region.rows.start - top : region.rows.stop - top]
        dz = dz[:, region.columns.start - left : region.columns.stop - left]
        self._through_rectifier(stage, dz, region, work, masked=pool.method == "max")
        return dz

    def _through_rectifier(
        self, stage: Stage, dy: np.ndarray, region: Region, work: Workspace, masked: bool = False
    ) -> None:
        """Carry `dy` through a rectifier, adding the losses' derivatives behind and before it."""
        if stage.relu_tapped:
            F = self._maps[f"relu {stage.number}"][region]
            dF = self._taps.cotangent(stage.link.relu.name, F, region, work)
            if dF is not None:
                dy += dF
            dy *= factors(is_positive(F, work), stage.channels, self._dtype, work)
        elif not masked:
            dy *= factors(self._maps[f"bits {stage.number}"][region], stage.channels, self._dtype, work)
        if stage.conv_tapped:
            dF = self._taps.cotangent(stage.link.conv.name, self._maps[f"conv {stage.number}"][region], region, work)
            if dF is not None:
                dy += dF

    def _deliver(self, stage: Stage, dy: np.ndarray, region: Region, work: Workspace) -> None:
        """Take the derivative at a stage's output, add the losses' and store it, rectified if there is no pool."""
        target = self._maps[_derivative_name(stage)]
        if not stage.pooled:
            self._through_rectifier(stage, dy, region, work)
        elif stage.pool_tapped and stage.link.pool is not None:
            dF = self._taps.cotangent(stage.link.pool.name, target[region], region, work)
            if dF is not None:
                dy += dF
        target[region] = dy

    def _first_backward_block(self, stage: Stage, number: int, work: Workspace) -> None:
        region = inside(stage.forward[number], stage)
        if stage.pooled:
            dz = self._unpooled(stage, region, work)
        else:
            dz = self._maps[_derivative_name(stage)][region]
        self._first_backward(dz, region, number, work)

    def _first_backward(self, dz: np.ndarray, region: Region, number: int, work: Workspace) -> None:
        """Add a block's share to the derivative with respect to the padded image; blocks overlap by their borders."""
        share = self._first.backward(dz, work)
        rows = slice(region.rows.start, region.rows.stop + 2)
        target = self._dplanes[region.image, :, rows, region.columns.start : region.columns.stop + 2]

        def add() -> None:
            np.add(target, share, out=target)

        self._in_turn(number, add)


def _derivative_name(stage: Stage) -> str:
    """Return which buffer holds the derivative at a stage's output: where losses sit, the features' own."""
    if stage.pool_tapped if stage.pooled else stage.relu_tapped:
        return f"{'pool' if stage.pooled else 'relu'} {stage.number}"
    return f"derivative {stage.number}"


def _spread(Y: np.ndarray, work: Workspace) -> np.ndarray:
    """Return the outputs of tiles as a map, in the workspace's buffer ``out``."""
    m, _, rows, columns, channels = Y.shape
    out = work("out", (m * rows, m * columns, channels), Y.dtype)
    spread_tiles(Y, out)
    return out
