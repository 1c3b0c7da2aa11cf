"""What the two readers of ``.mat`` files share: the plain values they return, and the limits they keep.

A 1×1 struct becomes a dict of its fields, a cell array a list (column by column, as MATLAB counts), text a str, text of
several rows a list of str, numbers and logicals an ndarray with MATLAB's axes; anything else an `Unread`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# The variables and fields of MatConvNet's networks.  All others are passed over unread: a file may hold the momentum
# of every array, twice the weights.
NAMES = frozenset(
    "net layers meta classes normalization license "
    "name type weights filters biases pad stride dilate crop upsample numGroups pool method leak rate param epsilon "
    "precious description averageImage imageSize border keepAspect interpolation cropSize".split()
)
MAX_DEPTH = 12  # net → layers → layer → weights → array are 5
MAX_VALUES = 200_000  # a network of 40 layers and 1000 classes has about 2500
# Bytes of content beyond which they must be in proportion to the file: a network's numbers hardly compress, but
# constant images do, and integers may be stored in one byte each and be meant as double.
FREE_BYTES = 64 << 20
MAX_GROWTH = 20


class DamagedError(Exception):
    """What about a file's structure cannot be, in words that follow "the file is damaged"."""


class Unread(NamedTuple):
    """A value that no network's field may have, such as an object or a struct array."""

    what: str


class Budget:
    """What one file may still ask for, so that a small or damaged one cannot exhaust time or memory."""

    def __init__(self, file_bytes: int):
        self.bytes = max(FREE_BYTES, MAX_GROWTH * file_bytes)
        self.values = MAX_VALUES

    def take_bytes(self, count: int) -> None:
        """Account for memory or inflated data; raise `DamagedError` if it is out of proportion."""
        self.bytes -= count
        if self.bytes < 0:
            raise DamagedError(f"its content would take more than {MAX_GROWTH} times the file's size")

    def take_value(self, depth: int) -> None:
        """Account for one value at a depth of nesting."""
        self.values -= 1
        if self.values < 0:
            raise DamagedError(f"it holds more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise DamagedError(f"its values are nested more than {MAX_DEPTH} deep")


def text_of(characters: str, shape: tuple[int, ...]) -> Any:
    """Return MATLAB's text: one row as a str, several as a list of str, without the blanks that make rows even."""
    rows = shape[0] if shape else 0
    if rows <= 1 or len(characters) % rows:
        return characters
    return [characters[i::rows].rstrip() for i in range(rows)]


def shape_of(sizes: Any) -> tuple[int, ...]:
    """Return the sizes of an array as Python's integers, checked.

    Raises
    ------
    DamagedError
        If one is negative, or there are fewer than two or more than NumPy has axes for.
    """
    shape = tuple(int(size) for size in np.asarray(sizes).reshape(-1)[:65])
    if not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise DamagedError(f"an array has the impossible shape {shape}"[:120])
    return shape
