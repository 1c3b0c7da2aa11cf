"""The rectifier with slopes on CUDA arrays: launches the kernels of prelu.cu."""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import add_body, array_module, check_dtypes
from vggnumpy.ops.bits_cuda import empty_bits, launch_on_bits
from vggnumpy.ops.geometry import check_cotangent
from vggnumpy.ops.prelu import (
    PreluCache,
    check_input,
    check_slopes,
    prelu,
    prelu_backward,
    prelu_backward_slope,
)


@add_body(prelu, "cuda")
def prelu_cuda(x: Any, slope: Any) -> tuple[Any, PreluCache]:
    """See `vggnumpy.ops.prelu`."""
    check_slopes(x, slope)
    xp = array_module(x)
    x, slope = xp.ascontiguousarray(x), xp.ascontiguousarray(slope)
    y, positive = xp.empty_like(x), empty_bits(x)
    launch_on_bits("ops/prelu.cu", "prelu_forward", x, slope, y, positive)
    return y, PreluCache(positive, x.shape, slope)


@add_body(prelu_backward, "cuda")
def prelu_backward_cuda(dy: Any, cache: PreluCache) -> Any:
    """See `vggnumpy.ops.prelu_backward`."""
    check_cotangent(dy, cache.shape, "prelu_backward")
    check_dtypes("prelu_backward", dy, cache.slope)
    xp = array_module(dy)
    dy = xp.ascontiguousarray(dy)
    dx = xp.empty_like(dy)
    launch_on_bits("ops/prelu.cu", "prelu_backward", dy, cache.positive, cache.slope, dx)
    return dx


@add_body(prelu_backward_slope, "cuda")
def prelu_backward_slope_cuda(dy: Any, x: Any, cache: PreluCache) -> Any:
    """See `vggnumpy.ops.prelu_backward_slope`."""
    check_cotangent(dy, cache.shape, "prelu_backward_slope")
    check_dtypes("prelu_backward_slope", dy, cache.slope)
    check_input(x, cache)
    xp = array_module(dy)
    dy, terms = xp.ascontiguousarray(dy), xp.empty(dy.shape, dy.dtype)
    launch_on_bits("ops/prelu.cu", "prelu_backward_slope", dy, xp.ascontiguousarray(x), cache.positive, terms)
    return terms.reshape(-1, terms.shape[-1]).sum(axis=0, dtype="float64").astype(dy.dtype)
