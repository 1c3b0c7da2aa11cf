"""The precisions of the tensor-core kernels, and how numbers are rounded to them on the device.

``"fp32"`` multiplies by three tf32 products and has the accuracy of fp32; ``"tf32"`` rounds both factors to 10 bits of
mantissa; ``"bf16"`` keeps maps and filters in bf16, as the upper halves of floats in arrays of uint16.  Sums are fp32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PRECISIONS = ("fp32", "tf32", "bf16")


def map_dtype(precision: str) -> str:
    """Return the dtype of the maps' arrays: bf16 is kept as uint16."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return "uint16" if precision == "bf16" else "float32"


def round_tf32(x: Any) -> Any:
    """Return float32 rounded to 10 bits of mantissa, to the nearest, ties away from zero, as ``cvt.rna.tf32`` does."""
    bits = x.view("uint32")
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view("float32")


def round_bf16(x: Any) -> Any:
    """Return float32 as bf16 in uint16: rounded to 7 bits of mantissa, to the nearest, ties to even."""
    bits = x.view("uint32")
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("uint16")


def widen_bf16(x: Any) -> Any:
    """Return bf16 (uint16) as float32, exactly."""
    return (x.astype("uint32") << np.uint32(16)).view("float32")


def check_array(name: str, array: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Raise ``ValueError`` unless an array has this shape and dtype."""
    if tuple(array.shape) != tuple(shape) or str(array.dtype) != dtype:
        raise ValueError(f"{name} must be {dtype} of shape {tuple(shape)}, got {array.dtype} {tuple(array.shape)}")
