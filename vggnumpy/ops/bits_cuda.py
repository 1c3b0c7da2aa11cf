"""Launching the kernels that work on bits, one thread for each byte: relu.cu, prelu.cu and dropout.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import array_module
from vggnumpy.cuda.launch import THREADS, blocks, kernel


def empty_bits(x: Any) -> Any:
    """Return …×⌈C/8⌉ bytes beside `x`, …×C, to be filled."""
    return array_module(x).empty((*x.shape[:-1], blocks(x.shape[-1], 8)), "uint8")


def launch_on_bits(source: str, name: str, x: Any, *arguments: Any) -> None:
    """Launch the kernel `name` of `source` on the positions and channels of `x`, which is also its first array.

    Parameters
    ----------
    source, name : str
    x : array, …×C, in C order
    *arguments : array or float
        What follows after positions, channels and x; numbers are passed in the dtype of `x`.
    """
    channels = x.shape[-1]
    positions = x.size // channels
    rest = (x.dtype.type(value) if isinstance(value, float) else value for value in arguments)
    grid = (blocks(positions * blocks(channels, 8)),)
    kernel(source, name, x)(grid, (THREADS,), (np.int64(positions), np.int32(channels), x, *rest))
