"""A network's first layer on a GPU, from an image to features and back: the host's side of conv_first.cu.

Parts for the engine like those of `vggnumpy.ops.conv_tensor_cuda`, whose `ForwardMaps` and buffers are used here:
nothing is allocated, one kernel is launched for each call.  The image and its derivative are float32, N×H×W×3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import Kernel, backend_of
from vggnumpy.cuda.precision import check_array, map_dtype
from vggnumpy.ops.conv_tensor_cuda import POOLS, ForwardMaps, check_forward_maps


def first_forward(
    x: Any,
    w: Any,
    bias: Any,
    maps: ForwardMaps,
    precision: str,
    *,
    pad: int = 1,
    pool: str | None = None,
    rounding: str = "floor",
) -> None:
    """Compute the first layer as `vggnumpy.ops.conv_tensor_cuda.conv_forward` does the others, in fp32.

    Parameters
    ----------
    x : array, N×Hx×Wx×3, float32
        The image as the network takes it.
    w : array, 3×3×3×K, float32
        K is a multiple of 16.
    bias : array of K, float32
    maps : ForwardMaps
        Written; of `map_dtype(precision)`.
    precision : {"fp32", "tf32", "bf16"}
    pad, pool, rounding
        As there.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    images, height, width, _ = x.shape
    channels = _check_filters(w)
    shape = (images, height + 2 * pad - 2, width + 2 * pad - 2, channels)
    check_array("x", x, (*x.shape[:3], 3), "float32")
    check_array("bias", bias, (channels,), "float32")
    small = check_forward_maps(maps, shape, precision, pool, rounding)
    blocks = images * -(-shape[1] // 8) * -(-shape[2] // 16) * -(-channels // 64)
    sizes = [np.int32(size) for size in (height, width, channels, pad)]
    targets = (bias, maps.before, maps.out, maps.mask, maps.pooled, maps.windows)
    pooling = [np.int32(size) for size in (POOLS[pool], images, *small)]
    _kernel(x, "first_forward", precision)((blocks,), (256,), (x, w, *sizes, *targets, *pooling))


def first_backward(dy: Any, w: Any, out: Any, precision: str, *, pad: int = 1) -> None:
    """Carry the derivative back to the image.

    Parameters
    ----------
    dy : array, N×Hy×Wy×K, of `map_dtype(precision)`
        Derivative with respect to the first convolution's output.
    w : array, 3×3×3×K, float32
    out : array, N×H×W×3, float32
        Written: H = Hy + 2 − 2·pad.
    precision : {"fp32", "tf32", "bf16"}
    pad : {0, 1}
        The convolution's.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    images, height, width, _ = dy.shape
    channels = _check_filters(w)
    shape = (images, height + 2 - 2 * pad, width + 2 - 2 * pad, 3)
    check_array("dy", dy, (*dy.shape[:3], channels), map_dtype(precision))
    check_array("out", out, shape, "float32")
    blocks = images * -(-shape[1] // 8) * -(-shape[2] // 16)
    sizes = [np.int32(size) for size in (height, width, channels, 2 - pad)]
    shared = 4 * (180 * 68 + 27 * 64)
    _kernel(dy, "first_backward", precision)((blocks,), (256,), (dy, w, *sizes, out), shared_mem=shared)


def _check_filters(w: Any) -> int:
    if tuple(w.shape[:3]) != (3, 3, 3) or w.ndim != 4 or w.shape[3] % 16 or str(w.dtype) != "float32":
        raise ValueError(f"filters must be float32, 3×3×3×K, K a multiple of 16; got {w.dtype} {tuple(w.shape)}")
    return int(w.shape[3])


def _kernel(array: Any, name: str, precision: str) -> Kernel:
    compile_kernel = backend_of(array).kernel
    assert compile_kernel is not None  # a launcher is called with CUDA arrays only
    return compile_kernel("ops/conv_first.cu", f"{name}<{'bf16' if precision == 'bf16' else 'float'}>")
