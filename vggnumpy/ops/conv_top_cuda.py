"""The derivative behind the last convolution of a chain on a GPU: the host's side of conv_top.cu.

A part for the engine like those of `vggnumpy.ops.conv_tensor_cuda`, whose `BackwardMaps` it takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import backend_of
from vggnumpy.cuda.launch import THREADS, blocks
from vggnumpy.cuda.precision import check_array, map_dtype
from vggnumpy.ops.conv_tensor_cuda import POOLS, BackwardMaps, check_backward_maps


def top_backward(
    maps: BackwardMaps, out: Any, precision: str, *, pool: str | None = None, rounding: str = "floor"
) -> None:
    """Write the losses' derivative with respect to a layer before its rectifier, where no layer comes after it.

        e   = what the pool makes of pool_added (0 without)
        out = mask · (e + added) + added_before

    Parameters
    ----------
    maps : BackwardMaps
        Of the layer; `mask` may be None where there is neither `added` nor an average pool.
    out : array, N×H×W×C
        Written; may be `maps.added` or `maps.added_before` itself.
    precision : {"fp32", "tf32", "bf16"}
    pool, rounding
        The pool behind the rectifier.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    images, height, width, channels = out.shape
    check_array("out", out, out.shape, map_dtype(precision))
    small = check_backward_maps(maps, out.shape, precision, pool, rounding)
    windows = images * (height * width if pool is None else -(-height // 2) * -(-width // 2))
    sources = (maps.pool_added, maps.added, maps.added_before, maps.mask, maps.windows)
    sizes = [np.int32(size) for size in (channels, POOLS[pool], images, *small, height, width)]
    compile_kernel = backend_of(out).kernel
    assert compile_kernel is not None  # a launcher is called with CUDA arrays only
    kernel = compile_kernel("ops/conv_top.cu", f"top_backward<{'bf16' if precision == 'bf16' else 'float'}>")
    kernel((blocks(windows * channels // 4),), (THREADS,), (*sources, out, *sizes))
