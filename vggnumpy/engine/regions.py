"""Which pixels a block touches: forward, backward, and on the other side of a pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vggnumpy.engine.plan import TILE, Block, Stage
from vggnumpy.ops.winograd_tiles import repeated


class Region(NamedTuple):
    """A rectangle of one map: image, rows, columns."""

    image: int
    rows: slice
    columns: slice


def tiles_shape(block: Block, channels: int) -> tuple[int, int, int, int]:
    """Return the shape of a block's gathered tiles."""
    return TILE + 2, TILE * block.rows + 2, block.columns, channels


def inside(block: Block, stage: Stage) -> Region:
    """Return the part of a block that lies inside the map."""
    rows = slice(max(block.top, 0), min(block.top + TILE * block.rows, stage.height))
    return Region(block.image, rows, slice(max(block.left, 0), min(block.left + TILE * block.columns, stage.width)))


def around(block: Block, stage: Stage) -> Region:
    """Return the part of the map that a block's tiles see."""
    rows = slice(max(block.top - 1, 0), min(block.top + TILE * block.rows + 1, stage.height))
    columns = slice(max(block.left - 1, 0), min(block.left + TILE * block.columns + 1, stage.width))
    return Region(block.image, rows, columns)


def halved(region: Region, size: tuple[int, int]) -> Region:
    """Return the pooled positions whose windows touch a region."""
    rows, columns = (
        slice(one.start // 2, min(-(-one.stop // 2), most)) for one, most in zip(region[1:], size, strict=True)
    )
    return Region(region.image, rows, columns)


def within(part: slice, whole: slice) -> slice:
    """Return where a part is, counted from the beginning of the whole."""
    return slice(part.start - whole.start, part.stop - whole.start)


def length(part: slice) -> int:
    """Return how many rows or columns there are."""
    return int(part.stop - part.start)


def fold(dx: np.ndarray, block: Block, stage: Stage) -> np.ndarray:
    """Add what belongs to the padding around the map to the pixels it repeats; return what lies inside the map."""
    for axis, (start, size) in enumerate(((block.top, stage.height), (block.left, stage.width))):
        along = dx if axis == 0 else dx.swapaxes(0, 1)
        for outside in (-1, size):
            if 0 <= outside - start < len(along):
                along[repeated(outside, size, stage.pad_mode) - start] += along[outside - start]
    return dx[max(-block.top, 0) :, max(-block.left, 0) :]
