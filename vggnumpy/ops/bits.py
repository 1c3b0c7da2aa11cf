"""Yes or no for every entry, one bit each: what rectifiers and dropout keep for their backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np


def pack(mask: Any) -> Any:
    """Return a boolean array …×C as bits, packed along the channels: …×⌈C/8⌉ bytes."""
    return np.packbits(mask, axis=-1)


def unpack(bits: Any, channels: int) -> Any:
    """Return what `pack` was given, a boolean array …×C."""
    return np.unpackbits(bits, axis=-1, count=channels).view(bool)
