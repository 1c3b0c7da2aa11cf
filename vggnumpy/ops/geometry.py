"""Sizes: what stride, padding and window make of a height or a width.  Pure functions of integers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Number = int | Sequence[int]


class Sides(NamedTuple):
    """Padding of the four sides of an image, in pixels, in MatConvNet's order."""

    top: int
    bottom: int
    left: int
    right: int


class Window(NamedTuple):
    """A rectangle of a feature map: its first row and the one after its last, the same of its columns."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def positions(self) -> int:
        """How many there are."""
        return (self.bottom - self.top) * (self.right - self.left)

    def of(self, F: Any) -> Any:
        """Return the part of features …×H×W×C, a view."""
        return F[..., self.top : self.bottom, self.left : self.right, :]

    def outside(self, shape: tuple[int, ...]) -> Sides:
        """Return how much of features of this shape, …×H×W×C, is on each side of it."""
        return Sides(self.top, shape[-3] - self.bottom, self.left, shape[-2] - self.right)


def window_at(shape: tuple[int, int], size: tuple[int, int], margin: Sides) -> Window:
    """Return what of a feature map belongs to an image without its margin.

    Of n pixels that a position stands for, size over rows, those beyond the margin must be half, or 4 if that is less.
    One position is left at least.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map.
    size : (int, int)
        Of the image, with its margin.
    margin : Sides
    """
    ends = []
    for positions, pixels, before, after in zip(shape, size, margin[::2], margin[1::2], strict=True):
        step = pixels / positions
        first, rest = (max(math.ceil((cut + min(step / 2, 4)) / step) - 1, 0) for cut in (before, after))
        first = min(first, positions - 1)
        ends += [first, max(positions - rest, first + 1)]
    return Window(*ends)


def pair(value: Number, name: str, smallest: int = 1) -> tuple[int, int]:
    """Return `value` as (vertical, horizontal); a single number stands for both.

    Raises
    ------
    ValueError
        If it is neither one nor two integers, or one of them is below `smallest`.
    """
    numbers = _integers(value, 2, smallest)
    if numbers is None:
        raise ValueError(f"{name} must be one or two integers of at least {smallest}, got {value!r}")
    return numbers[0], numbers[1]


def four_sides(value: Number, name: str = "pad") -> Sides:
    """Return `value` as (top, bottom, left, right); a single number stands for all four.

    Raises
    ------
    ValueError
        If it is neither one nor four non-negative integers.
    """
    numbers = _integers(value, 4, 0)
    if numbers is None:
        raise ValueError(f"{name} must be one or four non-negative integers, got {value!r}")
    return Sides(*numbers)


def _integers(value: Any, count: int, smallest: int) -> tuple[int, ...] | None:
    """Return one number `count` times, or `count` numbers; None if they are not that, or not integers in range."""
    numbers = tuple(value) if isinstance(value, Iterable) else (value,) * count
    if len(numbers) != count or any(int(number) != number or number < smallest for number in numbers):
        return None
    return tuple(int(number) for number in numbers)


def conv_size(size: int, kernel: int, before: int, after: int, stride: int, dilate: int) -> int:
    """Return the output size ⌊(size + before + after − ((kernel − 1)·dilate + 1)) / stride⌋ + 1 of one axis.

    Raises
    ------
    ValueError
        If the dilated kernel is larger than the padded input.
    """
    reach = (kernel - 1) * dilate + 1
    if reach > size + before + after:
        raise ValueError(
            f"a filter that spans {reach} pixels does not fit into {size} pixels padded by {before} and {after}"
        )
    return (size + before + after - reach) // stride + 1


def pool_size(size: int, window: int, before: int, after: int, stride: int, rounding: str) -> int:
    """Return the number of pooling windows along one axis.

    ``rounding="floor"`` gives ⌊(size + before + after − window) / stride⌋ + 1.  ``"ceil"`` rounds up instead, so
    that a last, incomplete window counts, unless it would start beyond the image and its padding before it.

    Raises
    ------
    ValueError
        If the window is larger than the padded input (floor), the padding not smaller than the window, or the
        rounding unknown.
    """
    if rounding not in ("floor", "ceil"):
        raise ValueError(f"rounding must be 'floor' or 'ceil', got {rounding!r}")
    if before >= window or after >= window:
        raise ValueError(f"pooling pads {before} and {after} must be smaller than the window of {window}")
    room = size + before + after - window
    if rounding == "floor":
        if room < 0:
            raise ValueError(
                f"a pooling window of {window} does not fit into {size} pixels padded by {before} and {after}"
            )
        return room // stride + 1
    count = max(-(-room // stride), 0) + 1
    # The last window must hold at least one pixel of the image or of the padding before it.
    return count - 1 if (count - 1) * stride >= size + before else count


def batched(x: Any, name: str) -> Any:
    """Return H×W×C or N×H×W×C `x` as a view of N×H×W×C.

    Raises
    ------
    ValueError
        If `x` has another number of axes, or one of its axes is empty.
    """
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise ValueError(f"{name} must be H×W×C or N×H×W×C without an empty axis, got shape {tuple(x.shape)}")
    return x if x.ndim == 4 else x[None]


def check_cotangent(dy: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise ``ValueError`` unless `dy` has the shape of the output it belongs to."""
    if tuple(dy.shape) != tuple(shape):
        raise ValueError(f"{name}: dy must have the output's shape {tuple(shape)}, got {tuple(dy.shape)}")
