"""The 3×3 convolution with stride 1 on a GPU's tensor cores, with rectifier, pool and masks fused in: the host's side.

Not an operator but a part for the engine: every buffer is given by the caller, nothing is allocated, one kernel is
launched for each call.  For a layer

    a = conv(x, F) + b,   y = max(a, 0),   p = 2×2 pool of y with stride 2 (if there is one)

`conv_forward` writes those of a, y, p that are wanted and what the backward pass needs, and `conv_backward`, given the
derivative with respect to the a of the *next* layer, writes that with respect to the a of this one.

Buffers, for N images of H×W at the rectifier, h×w after the pool and K channels; T is 4 bytes (fp32, tf32) or 2 (bf16):

    before, out, added, added_before   N×H×W×K·T bytes
    pooled, pool_added                 N×h×w×K·T bytes
    mask      y > 0                    N×H×W×⌈K/32⌉·4 bytes: one bit an entry
    windows   of maxima                3·N×h×w×⌈K/32⌉·4 bytes: positive?, from the right column?, from the lower row?

A maximum needs no `mask` unless a loss sits at y: where the maximum is not positive, no derivative passes, and it
passes nowhere else.  No kernel uses any other memory.

On Hopper (compute capability 9.0) tf32 and bf16 go to the kernels of conv_wgmma.cu, everything else to conv_mma.cu.

Precision: ``"fp32"`` multiplies by three tf32 products and has the accuracy of fp32; ``"tf32"`` rounds both factors to
10 bits; ``"bf16"`` keeps maps and filters in bf16, as the upper halves of floats in arrays of uint16.  Sums are fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vggnumpy.backend import backend_of
from vggnumpy.cuda.launch import Device
from vggnumpy.cuda.precision import check_array, map_dtype, round_bf16, round_tf32
from vggnumpy.ops.geometry import pool_size
from vggnumpy.ops.tensor_map import tensor_map

POOLS = {None: 0, "average": 1, "max": 2}
_MMA_SHARED = {64: 79488, 128: 107136}  # bytes, as the sources say
_HOPPER_SHARED = {64: 188520, 128: 229480}


@dataclass(frozen=True)
class Filters:
    """A layer's filters, prepared once (frozen) for both directions.

    Attributes
    ----------
    precision : str
    forward : array, 9×K×C
        Tap 3r + s, output channel, input channel; rounded to tf32, or bf16 as uint16.
    backward : array, 9×C×K
        Those of the data gradient: turned by 180°, channels exchanged.
    bias : array of K, float32
    """

    precision: str
    forward: Any
    backward: Any
    bias: Any

    @property
    def nbytes(self) -> int:
        """The memory of it all."""
        return int(self.forward.nbytes + self.backward.nbytes + self.bias.nbytes)


@dataclass(frozen=True)
class ForwardMaps:
    """Where `conv_forward` writes, see the module; None where nothing is wanted."""

    before: Any = None
    out: Any = None
    mask: Any = None
    pooled: Any = None
    windows: Any = None


@dataclass(frozen=True)
class BackwardMaps:
    """What `conv_backward` reads beside the derivative, see the module; None where there is nothing."""

    mask: Any = None
    windows: Any = None
    pool_added: Any = None
    added: Any = None
    added_before: Any = None


def mask_shape(images: int, height: int, width: int, channels: int) -> tuple[int, int, int, int]:
    """Return the shape of a mask, in words of uint32."""
    return images, height, width, -(-channels // 32)


def windows_shape(images: int, height: int, width: int, channels: int) -> tuple[int, int, int, int, int]:
    """Return the shape of what is kept of maxima, in words of uint32; height and width are the pool's output's."""
    return 3, *mask_shape(images, height, width, channels)


def prepare_filters(w: Any, bias: Any, precision: str) -> Filters:
    """Bring filters into the kernels' order and precision, once for all evaluations.

    Parameters
    ----------
    w : array, 3×3×C×K, float32
    bias : array of K, float32
    precision : {"fp32", "tf32", "bf16"}

    Raises
    ------
    ValueError
        If the filters are not 3×3, or C or K is no multiple of 16.
    """
    map_dtype(precision)
    if tuple(w.shape[:2]) != (3, 3) or w.ndim != 4 or w.shape[2] % 16 or w.shape[3] % 16 or 0 in w.shape:
        raise ValueError(f"filters must be 3×3×C×K with C and K multiples of 16, got shape {tuple(w.shape)}")
    if str(w.dtype) != "float32" or str(bias.dtype) != "float32" or tuple(bias.shape) != tuple(w.shape[3:]):
        raise ValueError("filters and bias must be float32, with one bias a filter")
    xp = backend_of(w).xp
    depth, filters = w.shape[2:]
    forward = xp.ascontiguousarray(w.reshape(9, depth, filters).transpose(0, 2, 1))
    backward = xp.ascontiguousarray(w.reshape(9, depth, filters)[::-1])
    rounded = {"fp32": lambda x: x, "tf32": round_tf32, "bf16": round_bf16}[precision]
    return Filters(precision, rounded(forward), rounded(backward), xp.ascontiguousarray(bias))


def conv_forward(
    x: Any,
    filters: Filters,
    maps: ForwardMaps,
    device: Device,
    *,
    pad: int = 1,
    pool: str | None = None,
    rounding: str = "floor",
) -> None:
    """Compute a layer; one kernel.

    Parameters
    ----------
    x : array, N×Hx×Wx×C
        Of `map_dtype`; in it and in all maps the address must be a multiple of 16.
    filters : Filters
    maps : ForwardMaps
        Written: H = Hx + 2·pad − 2, W likewise.
    device : Device
    pad : {0, 1}
    pool : {None, "average", "max"}
        "average" needs `maps.pooled`, "max" `maps.windows` too.
    rounding : {"floor", "ceil"}
        Of the pool, as in `vggnumpy.ops.avg_pool`.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    images, height, width, _ = x.shape
    channels = filters.forward.shape[1]
    shape = (images, height + 2 * pad - 2, width + 2 * pad - 2, channels)
    check_array("x", x, (*x.shape[:3], filters.forward.shape[2]), map_dtype(filters.precision))
    small = check_forward_maps(maps, shape, filters.precision, pool, rounding)
    targets = (filters.bias, maps.before, maps.out, maps.mask, maps.pooled, maps.windows)
    pooling = [np.int32(size) for size in (POOLS[pool], images, *small)]
    _launch("forward", x, filters.forward, shape, pad, filters.precision, device, (*targets, *pooling))


def conv_backward(
    dy: Any,
    filters: Filters,
    maps: BackwardMaps,
    out: Any,
    device: Device,
    *,
    pad: int = 1,
    pool: str | None = None,
    rounding: str = "floor",
) -> None:
    """Carry the derivative from behind one convolution to behind the one before it; one kernel.

        d  = derivative with respect to the convolution's input
        e  = d, or what the pool below makes of d + pool_added
        out = mask · (e + added) + added_before

    Parameters
    ----------
    dy : array, N×Hy×Wy×K
        Derivative with respect to the convolution's output (before its rectifier).
    filters : Filters
        The convolution's, C channels in, K out.
    maps : BackwardMaps
        Of the layer before, C channels: its masks and the losses' derivatives there.
    out : array, N×H×W×C
        Written: the derivative with respect to the layer before, before its rectifier.  May be `maps.added` or
        `maps.added_before` itself.
    device : Device
    pad : {0, 1}
        The convolution's.
    pool, rounding
        The pool of the layer *before*, between its rectifier and this convolution.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    images, height, width, _ = dy.shape
    channels = filters.backward.shape[1]
    input_shape = (images, height + 2 - 2 * pad, width + 2 - 2 * pad, channels)
    shape = (*input_shape[:3], channels) if pool is None else tuple(out.shape)
    small = _pooled_size(shape, pool, rounding)
    if pool is not None and small != input_shape[1:3]:
        raise ValueError(f"out of shape {shape} pools to {small}, the convolution read {input_shape[1:3]}")
    check_array("dy", dy, (*dy.shape[:3], filters.backward.shape[2]), map_dtype(filters.precision))
    check_array("out", out, shape, map_dtype(filters.precision))
    check_backward_maps(maps, shape, filters.precision, pool, rounding)
    tiled = shape if pool is None else (images, -(-shape[1] // 2), -(-shape[2] // 2), channels)
    sources = (maps.pool_added, maps.added, maps.added_before, maps.mask, maps.windows)
    pooling = [np.int32(size) for size in (POOLS[pool], images, *small, *shape[1:3])]
    _launch("backward", dy, filters.backward, tiled, 2 - pad, filters.precision, device, (*sources, out, *pooling))


def check_forward_maps(
    maps: ForwardMaps, shape: tuple[int, ...], precision: str, pool: str | None, rounding: str
) -> tuple[int, int]:
    """Return the size of the pool's output; raise ``ValueError`` unless the maps fit an output of `shape`."""
    small = _pooled_size(shape, pool, rounding)
    _check_maps(maps, shape, small, precision)
    if (pool is not None) != (maps.pooled is not None) or (pool == "max") != (maps.windows is not None):
        raise ValueError(f"pool {pool} does not fit the maps: {_given(maps)}")
    return small


def check_backward_maps(
    maps: BackwardMaps, shape: tuple[int, ...], precision: str, pool: str | None, rounding: str
) -> tuple[int, int]:
    """Return the size of the pool's output; raise ``ValueError`` unless the maps fit a derivative of `shape`."""
    small = _pooled_size(shape, pool, rounding)
    _check_maps(maps, shape, small, precision)
    if (pool == "max") != (maps.windows is not None) or (pool is None and maps.pool_added is not None):
        raise ValueError(f"pool {pool} does not fit the maps: {_given(maps)}")
    return small


def _pooled_size(shape: tuple[int, ...], pool: str | None, rounding: str) -> tuple[int, int]:
    if pool is None:
        return 0, 0
    if pool not in POOLS:
        raise ValueError(f"pool must be None, 'average' or 'max', got {pool!r}")
    height, width = (pool_size(size, 2, 0, 0, 2, rounding) for size in shape[1:3])
    return height, width


def _launch(
    direction: str,
    x: Any,
    filters: Any,
    shape: tuple[int, ...],
    pad: int,
    precision: str,
    device: Device,
    rest: tuple[Any, ...],
) -> None:
    """Launch the kernel for this device that convolves `x`, its tiles covering an output of `shape`."""
    compile_kernel = backend_of(x).kernel
    assert compile_kernel is not None  # a launcher is called with CUDA arrays only
    if device.capability == 90 and precision != "fp32":
        wide, tiles = _tiles(shape, 16, device)
        depth = 128 // x.itemsize
        maps = (
            tensor_map(x, (1, 18, 16, depth), precision),
            tensor_map(filters, (1, wide, depth), precision),
        )
        sizes = [np.int32(size) for size in (tiles, *shape[1:3], x.shape[3], shape[3], pad)]
        kernel = compile_kernel("ops/conv_wgmma.cu", f"conv3x3_{direction}_hopper<{precision.upper()}, {wide}>")
        blocks = min(tiles, device.processors)
        kernel((blocks,), (384,), (*maps, *sizes, *rest), shared_mem=_HOPPER_SHARED[wide])
        return
    fits = precision != "fp32" and device.shared_memory >= _MMA_SHARED[128]  # fp32 needs the registers for its parts
    wide, tiles = _tiles(shape, 8, device) if fits else (64, _count(shape, 8, 64))
    sizes = [np.int32(size) for size in (*x.shape[1:], shape[3], pad)]
    kernel = compile_kernel("ops/conv_mma.cu", f"conv3x3_{direction}<{precision.upper()}, {wide}>")
    kernel((tiles,), (256,), (x, filters, *sizes, *rest), shared_mem=_MMA_SHARED[wide])


def _tiles(shape: tuple[int, ...], rows: int, device: Device) -> tuple[int, int]:
    """Return how many channels a tile has, and the number of tiles.

    128 channels move less through shared memory for each product, 64 give more blocks.
    """
    wide = 128 if shape[3] > 64 and _count(shape, rows, 128) >= device.processors else 64
    return wide, _count(shape, rows, wide)


def _count(shape: tuple[int, ...], rows: int, wide: int) -> int:
    return shape[0] * -(-shape[1] // rows) * -(-shape[2] // 16) * -(-shape[3] // wide)


def _given(maps: Any) -> str:
    return ", ".join(name for name, value in vars(maps).items() if value is not None) or "none"


def _check_maps(maps: Any, shape: tuple[int, ...], small: tuple[int, int], precision: str) -> None:
    pooled = (shape[0], *small, shape[3])
    for name, value in vars(maps).items():
        if value is None:
            continue
        if name == "mask":
            check_array(name, value, mask_shape(*shape), "uint32")
        elif name == "windows":
            check_array(name, value, windows_shape(*pooled), "uint32")
        else:
            check_array(name, value, pooled if name.startswith("pool") else shape, map_dtype(precision))
