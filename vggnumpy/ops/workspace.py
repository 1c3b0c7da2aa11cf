"""Buffers that are handed out again and again, so that a loop allocates nothing after its first turn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Workspace:
    """Named buffers, each as large as the largest request so far.  One thread's own: nothing is locked.

    An array that it returns is valid until the same name is asked for again.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}
        self._zeros = np.zeros(0)

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array of `shape` with arbitrary contents."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = self._buffers.get(name)
        if held is None or held.size < size:
            held = self._buffers[name] = np.empty(size, np.uint8)
        array: np.ndarray = held[:size].view(dtype).reshape(shape)
        return array

    def zeros(self, size: int, dtype: Any) -> np.ndarray:
        """Return `size` zeros, to be read only."""
        if self._zeros.size < size or self._zeros.dtype != dtype:
            self._zeros = np.zeros(size, dtype)
        return self._zeros[:size]

    @property
    def nbytes(self) -> int:
        """How many bytes it holds."""
        return sum(buffer.size for buffer in self._buffers.values())
