"""The checks of the engine: what it ships is what is checked, Winograd's convolution and the tape of bits included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from vggnumpy.checks.measure import NamedMeasure, linear
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import chain, random_network
from vggnumpy.nets.network import LayerKey
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.objective import Objective
from vggnumpy.ops.pad import PAD_MODES
from vggnumpy.ops.winograd import (
    WinogradCache,
    winograd_conv,
    winograd_conv_backward_filter,
    winograd_conv_backward_input,
)


def engine_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of the engine and its convolution."""
    rng = np.random.default_rng(15)
    x, w = rng.standard_normal((2, 7, 9, 3)), rng.standard_normal((3, 3, 3, 4))
    for pad_mode in PAD_MODES:
        for tile in (4, 6):
            forward = partial(winograd_conv, w=w, pad_mode=pad_mode, tile=tile)
            yield from linear(f"winograd_conv, {pad_mode}, tile {tile}", forward, winograd_conv_backward_input, x)
            of_filters = partial(winograd_conv, x, pad_mode=pad_mode, tile=tile)
            yield from linear(f"winograd_conv filters, {pad_mode}, tile {tile}", of_filters, partial(_dfilters, x), w)
    for pooling in ("max", "average"):
        for pad_mode, rounding in zip(PAD_MODES, ("floor", "ceil", "floor"), strict=True):
            measure = partial(_check_fused, pooling, pad_mode, rounding)
            yield f"Objective by the engine, {pooling} pooling, {rounding}, {pad_mode}", measure


def _dfilters(x: np.ndarray, dy: np.ndarray, cache: WinogradCache) -> np.ndarray:
    dw: np.ndarray = winograd_conv_backward_filter(dy, x, cache)[0]
    return dw


def _check_fused(pooling: str, pad_mode: str, rounding: str) -> float:
    """Check an objective with losses at every place where the engine lets them sit."""
    table = [
        *(conv("conv1_1", 4), relu("relu1_1"), conv("conv1_2", 5), relu("relu1_2"), pool("pool1")),
        *(conv("conv2_1", 6), relu("relu2_1"), conv("conv2_2", 6), relu("relu2_2"), pool("pool2")),
    ]
    net = random_network(chain(table), rng=16, dtype="float64", pooling=pooling)
    net = replace(net.with_pool_rounding(rounding), pad_mode=pad_mode)
    rng = np.random.default_rng(17)
    content, style = rng.uniform(0, 255, (13, 19, 3)), rng.uniform(0, 255, (15, 12, 3))
    layers: dict[LayerKey, float] = {layer.name: 1.0 for layer in table}
    margin = (3, 1, 0, 2)  # belongs to no style
    fun = Objective(net, content, style, layers, layers, "relative", variation=1e-3, margin=margin, executor="fused")
    return check_gradient(fun, rng.uniform(0, 255, content.shape))
