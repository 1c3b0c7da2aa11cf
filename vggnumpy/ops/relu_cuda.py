"""The rectifier on CUDA arrays: launches the kernels of relu.cu."""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import add_body, array_module
from vggnumpy.ops.bits_cuda import empty_bits, launch_on_bits
from vggnumpy.ops.geometry import check_cotangent
from vggnumpy.ops.relu import ReluCache, relu, relu_backward


@add_body(relu, "cuda")
def relu_cuda(x: Any, leak: float = 0.0) -> tuple[Any, ReluCache]:
    """See `vggnumpy.ops.relu`."""
    xp = array_module(x)
    x = xp.ascontiguousarray(x)
    y, positive = xp.empty_like(x), empty_bits(x)
    launch_on_bits("ops/relu.cu", "relu_forward", x, float(leak), y, positive)
    return y, ReluCache(positive, x.shape, float(leak))


@add_body(relu_backward, "cuda")
def relu_backward_cuda(dy: Any, cache: ReluCache) -> Any:
    """See `vggnumpy.ops.relu_backward`."""
    check_cotangent(dy, cache.shape, "relu_backward")
    xp = array_module(dy)
    dy = xp.ascontiguousarray(dy)
    dx = xp.empty_like(dy)
    launch_on_bits("ops/relu.cu", "relu_backward", dy, cache.positive, cache.leak, dx)
    return dx
