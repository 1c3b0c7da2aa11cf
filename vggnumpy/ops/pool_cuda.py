"""Pooling on CUDA arrays: launches the kernels of pool.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import add_body, array_module
from vggnumpy.cuda.launch import THREADS, blocks, kernel, struct
from vggnumpy.ops.geometry import Number, check_cotangent
from vggnumpy.ops.pool import (
    MaxPoolCache,
    PoolGeometry,
    avg_pool,
    avg_pool_backward,
    max_pool,
    max_pool_backward,
    pool_geometry,
)

_SOURCE = "ops/pool.cu"


@add_body(max_pool, "cuda")
def max_pool_cuda(
    x: Any, window: Number = 2, stride: Number = 2, pad: Number = 0, rounding: str = "floor"
) -> tuple[Any, MaxPoolCache]:
    """See `vggnumpy.ops.max_pool`."""
    xp, geometry = array_module(x), pool_geometry(x, window, stride, pad, rounding)
    y = xp.empty(geometry.y_shape, x.dtype)
    tap = xp.empty(geometry.y_shape, "uint8" if geometry.window[0] * geometry.window[1] <= 256 else "int32")
    kernel(_SOURCE, "max_pool_forward", x, tap)(
        _grid(geometry.y_shape), (THREADS,), (_shape(geometry), xp.ascontiguousarray(x), y, tap)
    )
    return y, MaxPoolCache(tap, geometry)


@add_body(max_pool_backward, "cuda")
def max_pool_backward_cuda(dy: Any, cache: MaxPoolCache) -> Any:
    """See `vggnumpy.ops.max_pool_backward`."""
    check_cotangent(dy, cache.geometry.y_shape, "max_pool_backward")
    xp, geometry = array_module(dy), cache.geometry
    dx = xp.empty(geometry.x_shape, dy.dtype)
    kernel(_SOURCE, "max_pool_backward", dy, cache.tap)(
        _grid(geometry.x_shape), (THREADS,), (_shape(geometry), xp.ascontiguousarray(dy), cache.tap, dx)
    )
    return dx


@add_body(avg_pool, "cuda")
def avg_pool_cuda(
    x: Any, window: Number = 2, stride: Number = 2, pad: Number = 0, rounding: str = "floor"
) -> tuple[Any, PoolGeometry]:
    """See `vggnumpy.ops.avg_pool`."""
    xp, geometry = array_module(x), pool_geometry(x, window, stride, pad, rounding)
    y = xp.empty(geometry.y_shape, x.dtype)
    kernel(_SOURCE, "avg_pool_forward", x)(
        _grid(geometry.y_shape), (THREADS,), (_shape(geometry), xp.ascontiguousarray(x), y)
    )
    return y, geometry


@add_body(avg_pool_backward, "cuda")
def avg_pool_backward_cuda(dy: Any, cache: PoolGeometry) -> Any:
    """See `vggnumpy.ops.avg_pool_backward`."""
    check_cotangent(dy, cache.y_shape, "avg_pool_backward")
    xp = array_module(dy)
    dx = xp.empty(cache.x_shape, dy.dtype)
    kernel(_SOURCE, "avg_pool_backward", dy)(
        _grid(cache.x_shape), (THREADS,), (_shape(cache), xp.ascontiguousarray(dy), dx)
    )
    return dx


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the blocks for an output: its rows, and the blocks of one row."""
    images = shape[0] if len(shape) == 4 else 1
    return images * shape[-3], min(blocks(shape[-2] * shape[-1]), 65535)


def _shape(geometry: PoolGeometry) -> np.ndarray:
    """Return pool.cu's PoolShape."""
    return struct(
        x=geometry.x_shape[-3:-1],
        y=geometry.y_shape[-3:-1],
        channels=geometry.x_shape[-1],
        window=geometry.window,
        stride=geometry.stride,
        before=geometry.before,
    )
