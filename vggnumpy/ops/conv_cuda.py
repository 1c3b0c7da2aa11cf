"""Convolution and its derivatives on CUDA arrays: launches the kernels of conv.cu.

Zero padding is left to the kernels, which read no pixel outside; the other modes pad first, as on the CPU.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vggnumpy.backend import add_body, array_module, check_dtypes
from vggnumpy.cuda.launch import THREADS, blocks, kernel, struct
from vggnumpy.ops.conv import ConvCache, check_filters, check_input, conv, conv_backward_filter, conv_backward_input
from vggnumpy.ops.geometry import Number, Sides, check_cotangent, conv_size, four_sides, pair
from vggnumpy.ops.pad import PadCache, pad, pad_backward

_TILE = 64  # rows and columns of a block's tile; as in conv.cu
_SLICE = 1 << 12  # positions that one block of the filters' derivative sums at least: a multiple of conv.cu's CHUNK
_PARTS = 1 << 24  # entries of all partial sums of that derivative together, at most
_SOURCE = "ops/conv.cu"
_pad = pad  # `pad` is also an argument of `conv`


@add_body(conv, "cuda")
def conv_cuda(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Number = 1,
    pad: Number = 1,
    dilate: Number = 1,
    pad_mode: str = "zero",
) -> tuple[Any, ConvCache]:
    """See `vggnumpy.ops.conv`."""
    step, spread, sides = pair(stride, "stride"), pair(dilate, "dilate"), four_sides(pad)
    check_filters(x, w, b)
    rows = conv_size(x.shape[-3], w.shape[0], sides.top, sides.bottom, step[0], spread[0])
    columns = conv_size(x.shape[-2], w.shape[1], sides.left, sides.right, step[1], spread[1])
    xp = array_module(x)
    read, padding = _padded(x, sides, pad_mode)
    w = xp.ascontiguousarray(w)
    y = xp.empty((*x.shape[:-3], rows, columns, w.shape[3]), x.dtype)
    cache = ConvCache(w, padding, step, spread, y.shape)
    positions = y.size // y.shape[-1]
    kernel(_SOURCE, "conv_forward", x)(
        _grid(positions, w.shape[3], cache),
        (THREADS,),
        (_shape(cache), np.int64(positions), read, w, None if b is None else xp.ascontiguousarray(b), y),
    )
    return y, cache


@add_body(conv_backward_input, "cuda")
def conv_backward_input_cuda(dy: Any, cache: ConvCache) -> Any:
    """See `vggnumpy.ops.conv_backward_input`."""
    check_cotangent(dy, cache.y_shape, "conv_backward_input")
    check_dtypes("conv_backward_input", dy, cache.w)
    xp = array_module(dy)
    dx = xp.empty(_read_shape(cache.padding), dy.dtype)
    pixels, channels = dx.size // dx.shape[-1], dx.shape[-1]
    kernel(_SOURCE, "conv_backward_input", dy)(
        _grid(pixels, channels, cache),
        (THREADS,),
        (_shape(cache), np.int64(pixels), xp.ascontiguousarray(dy), cache.w, dx),
    )
    return dx if cache.padding.mode == "zero" else pad_backward(dx, cache.padding)


@add_body(conv_backward_filter, "cuda")
def conv_backward_filter_cuda(dy: Any, x: Any, cache: ConvCache) -> tuple[Any, Any]:
    """See `vggnumpy.ops.conv_backward_filter`."""
    check_cotangent(dy, cache.y_shape, "conv_backward_filter")
    check_dtypes("conv_backward_filter", dy, cache.w)
    check_input(x, cache)
    xp, w = array_module(dy), cache.w
    read, dy = _padded(x, cache.padding.sides, cache.padding.mode)[0], xp.ascontiguousarray(dy)
    positions, groups = dy.size // dy.shape[-1], x.shape[-1] // w.shape[2]
    slices = max(1, min(blocks(positions, _SLICE), _PARTS // w.size, 65535 // groups))
    length = blocks(positions, slices * _SLICE) * _SLICE
    slices = blocks(positions, length)
    parts = xp.empty((slices, *w.shape), w.dtype)
    tiles = _grid(math.prod(w.shape[:3]), w.shape[3], cache)
    kernel(_SOURCE, "conv_backward_filter", dy)(
        (tiles[0], tiles[1], groups * slices),
        (THREADS,),
        (_shape(cache), np.int64(positions), np.int64(length), np.int32(slices), read, dy, parts),
    )
    db = dy.reshape(-1, dy.shape[-1]).sum(axis=0, dtype="float64").astype(dy.dtype)
    return parts.sum(axis=0), db


def _padded(x: Any, sides: Sides, mode: str) -> tuple[Any, PadCache]:
    """Return what the kernels read, in C order, and the padding that this is part of."""
    if mode != "zero":
        padded, padding = _pad(x, sides, mode)
        return array_module(x).ascontiguousarray(padded), padding
    height, width = x.shape[-3] + sides.top + sides.bottom, x.shape[-2] + sides.left + sides.right
    padding = PadCache(x.shape, (*x.shape[:-3], height, width, x.shape[-1]), sides, mode)
    return array_module(x).ascontiguousarray(x), padding


def _read_shape(padding: PadCache) -> tuple[int, ...]:
    return padding.x_shape if padding.mode == "zero" else padding.y_shape


def _grid(rows: int, columns: int, cache: ConvCache) -> tuple[int, int, int]:
    """Return the blocks of a product with so many rows, and columns of all groups together."""
    groups = cache.padding.x_shape[-1] // cache.w.shape[2]
    return blocks(rows, _TILE), blocks(columns // groups, _TILE), groups


def _shape(cache: ConvCache) -> np.ndarray:
    """Return conv.cu's ConvShape."""
    sides, read = cache.padding.sides, _read_shape(cache.padding)
    kh, kw, depth, filters = cache.w.shape
    return struct(
        x=read[-3:],
        y=cache.y_shape[-3:],
        window=(kh, kw),
        stride=cache.stride,
        dilate=cache.dilate,
        before=(sides.top, sides.left) if cache.padding.mode == "zero" else (0, 0),
        group=(depth, filters * depth // read[-1]),
    )
