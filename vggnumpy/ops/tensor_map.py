"""Maps of tensors for Hopper's copy engine (TMA): how a box of an array lies in memory, 128 bytes for the driver.

CuPy has no name for the driver's ``cuTensorMapEncodeTiled``; it is called through ctypes.  A map is passed to a kernel
by value, as an array of one entry.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

_TYPES = {"float32": 7, "bf16": 9, "tf32": 11}  # CUtensorMapDataType; the last rounds float32 as it is copied
_SWIZZLE_128, _PROMOTE_256 = 3, 3


@functools.cache
def encoder() -> Callable[..., int]:
    """Return the driver's function."""
    function: Callable[..., int] = ctypes.CDLL("libcuda.so.1").cuTensorMapEncodeTiled
    return function


def tensor_map(array: Any, box: tuple[int, ...], kind: str) -> np.ndarray:
    """Return the map of an array for copies of boxes, their rows of 128 bytes swizzled, zeros outside the array.

    Parameters
    ----------
    array : array in C order, of at most 5 axes
        Its address must be a multiple of 16, like the bytes of each of its axes but the last.
    box : tuple of int
        Entries along each axis, at most 256; 128 bytes along the last.
    kind : {"float32", "tf32", "bf16"}
        What the entries are; "tf32" are float32, rounded on their way.

    Returns
    -------
    ndarray
        One entry of 128 bytes.

    Raises
    ------
    ValueError
        If the driver refuses it.
    """
    rank = array.ndim
    sizes = tuple(int(size) for size in array.shape[::-1])
    steps = [array.itemsize]
    for size in sizes[:-1]:
        steps.append(steps[-1] * size)
    buffer = np.zeros(128 + 64, np.uint8)
    start = -buffer.ctypes.data % 64  # the driver wants its map at a multiple of 64
    entry = buffer[start : start + 128].view(np.dtype((np.void, 128)))
    status = encoder()(
        ctypes.c_void_p(entry.ctypes.data),
        ctypes.c_int(_TYPES[kind]),
        ctypes.c_uint32(rank),
        ctypes.c_void_p(array.data.ptr),
        (ctypes.c_uint64 * rank)(*sizes),
        (ctypes.c_uint64 * (rank - 1))(*steps[1:]),
        (ctypes.c_uint32 * rank)(*box[::-1]),
        (ctypes.c_uint32 * rank)(*([1] * rank)),
        ctypes.c_int(0),  # not interleaved
        ctypes.c_int(_SWIZZLE_128),
        ctypes.c_int(_PROMOTE_256),
        ctypes.c_int(0),  # zeros outside
    )
    if status:
        raise ValueError(f"the driver makes no map of {kind} {tuple(array.shape)} in boxes {box} (error {status})")
    return entry
