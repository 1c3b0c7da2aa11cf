"""Yes or no for every entry of a block, one bit each, read back as factors 1 and 0."""

from __future__ import annotations

import functools

import numpy as np

from vggnumpy.ops.workspace import Workspace


def bit_bytes(channels: int) -> int:
    """Return how many bytes the bits of one position take."""
    return -(-channels // 8)


@functools.cache
def _factors(dtype: str) -> np.ndarray:
    return np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(dtype)


def is_positive(x: np.ndarray, work: Workspace) -> np.ndarray:
    """Return x > 0 as bits packed along the channels, h×w×C → h×w×⌈C/8⌉."""
    positive = work("yes", x.shape, bool)
    np.greater(x, 0, out=positive)
    return pack(positive)


def pack(yes: np.ndarray) -> np.ndarray:
    """Return C-contiguous booleans as bits packed along the last axis."""
    if yes.shape[-1] % 8:
        return np.packbits(yes, axis=-1)
    return np.packbits(yes.reshape(-1)).reshape(*yes.shape[:-1], -1)  # twice as fast


def factors(bits: np.ndarray, channels: int, dtype: np.dtype, work: Workspace, name: str = "factors") -> np.ndarray:
    """Return bits h×w×⌈C/8⌉ as an array h×w×C of 1 and 0, in the workspace's buffer `name`.

    Eight factors at a time are looked up in a table: measured, with the multiplication that follows, as fast as
    `np.unpackbits` in float32 and without its new array.
    """
    expanded = work(name, (*bits.shape, 8), dtype)
    np.take(_factors(str(dtype)), bits, axis=0, out=expanded, mode="clip")
    return expanded.reshape(*bits.shape[:-1], -1)[..., :channels]
