"""The rectifier on CUDA arrays: launches the kernels of relu.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import add_body, array_module
from vggnumpy.ops.geometry import check_cotangent
from vggnumpy.ops.launch import THREADS, blocks, kernel
from vggnumpy.ops.relu import ReluCache, relu, relu_backward


@add_body(relu, "cuda")
def relu_cuda(x: Any, leak: float = 0.0) -> tuple[Any, ReluCache]:
    """See `vggnumpy.ops.relu`."""
    xp = array_module(x)
    x = xp.ascontiguousarray(x)
    positions, channels = x.size // x.shape[-1], x.shape[-1]
    y = xp.empty_like(x)
    positive = xp.empty((*x.shape[:-1], blocks(channels, 8)), "uint8")
    arguments = (np.int64(positions), np.int32(channels), x, x.dtype.type(leak), y, positive)
    kernel("ops/relu.cu", "relu_forward", x)((blocks(positive.size),), (THREADS,), arguments)
    return y, ReluCache(positive, x.shape, float(leak))


@add_body(relu_backward, "cuda")
def relu_backward_cuda(dy: Any, cache: ReluCache) -> Any:
    """See `vggnumpy.ops.relu_backward`."""
    check_cotangent(dy, cache.shape, "relu_backward")
    xp = array_module(dy)
    dy = xp.ascontiguousarray(dy)
    dx = xp.empty_like(dy)
    positions, channels = dy.size // dy.shape[-1], dy.shape[-1]
    arguments = (np.int64(positions), np.int32(channels), dy, cache.positive, dy.dtype.type(cache.leak), dx)
    kernel("ops/relu.cu", "relu_backward", dy)((blocks(cache.positive.size),), (THREADS,), arguments)
    return dx
