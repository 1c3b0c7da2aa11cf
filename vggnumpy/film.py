"""Pictures on the way: a few frames of a run, kept small, and written at its end as an animation or a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, atomic_path, check_output, reason
from vggnumpy.images import encode, resize, to_uint8

ANIMATED = (".gif", ".webp", ".apng")
"""Suffixes of the formats that are written with several frames."""
FRAMES = 24
"""How many frames a run of any length gives, unless it is said after how many iterations each comes."""
LONG_SIDE = 640
"""Pixels that the longer side of a frame has at most."""
SECONDS = 0.15  # for each frame
_LAST = 10  # times as long for the last one


class Film:
    """Frames of a picture that changes, and grows, all brought to one size of 640 pixels a side at most.

    Parameters
    ----------
    size : (int, int)
        Height and width of the last picture.
    every : int or None
        After how many iterations a frame comes; None for `FRAMES` in all.

    Attributes
    ----------
    frames : list of ndarray, H×W×3, uint8
    labels : list of int
        The iteration of each frame.

    Raises
    ------
    InputError
        If `every` is less than 1.
    """

    def __init__(self, size: tuple[int, int], every: int | None = None):
        if every is not None and every < 1:
            raise InputError(f"a frame comes after at least 1 iteration, got {every}")
        scale = min(1.0, LONG_SIDE / max(size))
        self._size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        self._every = every
        self.frames: list[NDArray[np.uint8]] = []
        self.labels: list[int] = []

    def wants(self, iteration: int, iterations: int) -> bool:
        """Return whether the picture after this iteration, of so many at most, is one of the frames."""
        every = self._every or max(1, -(-iterations // FRAMES))
        return iteration % every == 0 or iteration == iterations

    def add(self, iteration: int, pixels: NDArray[np.floating]) -> None:
        """Keep a picture, H×W×3, as the frame of an iteration."""
        self.frames.append(to_uint8(resize(pixels, self._size)))
        self.labels.append(iteration)


def check_animation(path: PathLike) -> None:
    """Check, before any long work, that an animation can be written at this path.

    Raises
    ------
    InputError
        If its suffix names no format with several frames, or as `vggnumpy.files.check_output`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATED:
        found = suffix or "no suffix"
        raise InputError(f"{path}: expected the suffix of an animation, {', '.join(ANIMATED)}, found {found}")
    check_output(path)


def write_animation(path: PathLike, frames: Sequence[NDArray[np.uint8]], seconds: float = SECONDS) -> None:
    """Write an animation that begins again at its end, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        ``.gif`` (256 colours a frame, read everywhere), ``.webp`` (smallest) or ``.apng`` (every byte kept).
    frames : sequence of ndarray, H×W×3, uint8
        All of one shape.
    seconds : float
        For which each frame is seen; the last one ten times as long.

    Raises
    ------
    InputError
        As `check_animation`; if there is no frame, they differ in shape, or the format cannot hold them.
    """
    check_animation(path)
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{path}: an animation needs frames of one shape, got {len(frames)} that differ or none")
    milliseconds = round(1000 * seconds)
    durations = [milliseconds] * (len(frames) - 1) + [milliseconds * _LAST]
    duration = durations if len(frames) > 1 else durations[0]  # a list for a single frame, Pillow's GIF refuses
    try:
        encoded = encode(np.stack(frames), Path(path).suffix, duration=duration, loop=0)
    except Exception as error:  # encoders refuse with whatever exception they like
        raise InputError(f"{path}: the animation cannot be written in this format: {reason(error)}") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)
