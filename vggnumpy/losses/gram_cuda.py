"""Gram matrices, their loss and its derivative on a GPU's tensor cores: the host's side of gram_mma.cu.

Like `vggnumpy.ops.conv_tensor_cuda` these are parts for the engine: every buffer is given by the caller and nothing is
allocated.  For a layer's features F of M positions × C channels, in the precision's dtype, an evaluation is

    plan = plan_gram(M, C, device)
    gram_matrix(F, plan, partial, precision, ...)      G, the loss's Σ R² and Z = S + Sᵀ: two kernels
    gram_derivative(F, Z, out, precision, added)       ∂L/∂F = F Z (+ added): one kernel

Buffers: ``partial`` plan.partial_shape of float32, 16 KiB for each part of each pair of tiles, free again at once;
``squares`` plan.squares_shape of float64; G and the target C×C·4 bytes; Z C×C and out M×C of the features' dtype.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import Kernel, backend_of
from vggnumpy.cuda.launch import Device
from vggnumpy.cuda.precision import check_array, map_dtype
from vggnumpy.ops.geometry import Window

_SOURCE = "losses/gram_mma.cu"
_SIDE, _LEAST, _ROUND = 64, 256, 32


class GramPlan(NamedTuple):
    """How a Gram matrix is cut: pairs of tiles of 64 channels, and parts of `chunk` positions."""

    positions: int
    channels: int
    pairs: int
    chunk: int
    parts: int

    @property
    def partial_shape(self) -> tuple[int, int, int]:
        """Of the buffer for the parts, in float32."""
        return self.parts * self.pairs, _SIDE, _SIDE

    @property
    def squares_shape(self) -> tuple[int]:
        """Of the buffer for the sums of squares, in float64; their sum is Σ R²."""
        return (self.pairs * 128,)


class GramTarget(NamedTuple):
    """What a Gram matrix is compared with, and where the results go.

    Attributes
    ----------
    matrix : array, C×C, float32
        A / M_a.
    factor : float
        k of `vggnumpy.losses.gram`: the loss is k Σ R² with R = G/M − A/M_a.
    Z : array, C×C
        Written: 2k/M · (R + Rᵀ), in the precision of the features.
    squares : array, float64
        Written: parts of Σ R².
    window : Window, optional
        The part of every image's map that G is summed over; M is then its positions.
    """

    matrix: Any
    factor: float
    Z: Any
    squares: Any
    window: Window | None = None


def plan_gram(positions: int, channels: int, device: Device) -> GramPlan:
    """Cut a Gram matrix such that four blocks come to each processor, and none has less than 256 positions to sum.

    Depends on nothing but its arguments, so one device gives the same bits every time.
    """
    tiles = -(-channels // _SIDE)
    pairs = tiles * (tiles + 1) // 2
    wanted = max(1, min(-(-4 * device.processors // pairs), positions // _LEAST))
    chunk = -(-positions // (wanted * _ROUND)) * _ROUND
    return GramPlan(positions, channels, pairs, chunk, -(-positions // chunk))


def gram_matrix(
    F: Any, plan: GramPlan, partial: Any, precision: str, *, G: Any = None, target: GramTarget | None = None
) -> None:
    """Compute G = FᵀF, and what the loss makes of it.

    Parameters
    ----------
    F : array, …×C
        Features of M positions in all, of `map_dtype`; N×H×W×C if the target has a window.
    plan : GramPlan
    partial : array, float32, `plan.partial_shape`
        Written.
    precision : {"fp32", "tf32", "bf16"}
    G : array, C×C, float32, optional
        Written: the Gram matrix, symmetric to the bit.
    target : GramTarget, optional

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or C is no multiple of 16.
    """
    channels, dtype = plan.channels, map_dtype(precision)
    square = (channels, channels)
    check_array("F", F, (*F.shape[:-1], channels), dtype)
    check_array("partial", partial, plan.partial_shape, "float32")
    if F.size != plan.positions * channels or channels % 16:
        raise ValueError(f"F of shape {tuple(F.shape)} does not fit {plan}, or its channels are no multiple of 16")
    if G is not None:
        check_array("G", G, square, "float32")
    rest: tuple[Any, ...] = (None, np.float64(0), np.float64(0), None, None)
    window = None if target is None else target.window
    if target is not None:
        for name, array, shape, wanted in (
            ("target", target.matrix, square, "float32"),
            ("Z", target.Z, square, dtype),
            ("squares", target.squares, plan.squares_shape, "float64"),
        ):
            check_array(name, array, shape, wanted)
        over = 1 / (plan.positions if window is None else F.shape[0] * window.positions)
        rest = (target.matrix, np.float64(over), np.float64(2 * target.factor * over), target.Z, target.squares)
    first = (F, np.int64(plan.positions), np.int32(channels), np.int32(plan.chunk), partial, *_numbers(F, window))
    pitch = 32 * (_SIDE * F.itemsize + 32)
    _kernel(F, "gram_partial", precision)((plan.parts * plan.pairs,), (128,), first, shared_mem=3 * 2 * pitch)
    arguments = (partial, np.int32(plan.parts), np.int32(channels), G, *rest)
    _kernel(F, "gram_finish", precision)((plan.pairs * 128,), (256,), arguments)


def gram_derivative(F: Any, Z: Any, out: Any, precision: str, added: Any = None, window: Window | None = None) -> None:
    """Write F Z (+ added) to `out`; outside the window only what is added, or 0.

    Parameters
    ----------
    F : array, …×C
    Z : array, C×C, symmetric
        From `gram_matrix`.
    out : array of F's shape
        Written; may be `added`, and, for 64 channels at most, `F`: then a block reads no positions but its own.
    precision : {"fp32", "tf32", "bf16"}
    added : array of F's shape, optional
    window : Window, optional
        As the target's.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or C is no multiple of 16.
    """
    channels, dtype = F.shape[-1], map_dtype(precision)
    for name, array, shape in (("F", F, F.shape), ("out", out, F.shape), ("Z", Z, (channels, channels))):
        check_array(name, array, tuple(shape), dtype)
    if added is not None:
        check_array("added", added, F.shape, dtype)
    if channels % 16:
        raise ValueError(f"the number of channels must be a multiple of 16, got {channels}")
    positions = F.size // channels
    blocks = -(-positions // 128) * -(-channels // 64)
    arguments = (F, Z, np.int64(positions), np.int32(channels), added, out, *_numbers(F, window))
    _kernel(F, "gram_cotangent", precision)((blocks,), (256,), arguments, shared_mem=3 * 192 * 144)


def _numbers(F: Any, window: Window | None) -> tuple[np.int32, ...]:
    """Return height and width of the maps N×H×W×C and the window, as the kernels take them; all 0 without one."""
    if window is None or window.positions == F.shape[1] * F.shape[2]:
        return (np.int32(0),) * 6
    return tuple(map(np.int32, (F.shape[1], F.shape[2], *window)))


def _kernel(array: Any, name: str, precision: str) -> Kernel:
    compile_kernel = backend_of(array).kernel
    assert compile_kernel is not None  # a launcher is called with CUDA arrays only
    return compile_kernel(_SOURCE, f"{name}<{precision.upper()}>")
