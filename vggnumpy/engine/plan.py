"""The engine's plan: stages, their blocks, and every buffer with its bytes.  Pure functions of sizes.

Time in a plan is counted in passes over a map: stage s runs forward at time s and backward at time 2S − s, S being
the number of stages; the losses are complete at time S.  Each buffer lives from one time to another, and `place` lets
buffers that do not live together share memory, so that one block of memory, the *arena*, serves an evaluation and
all that follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vggnumpy.engine.bits import bit_bytes
from vggnumpy.engine.chain import Chain, Link
from vggnumpy.engine.filters import is_shared
from vggnumpy.errors import InputError
from vggnumpy.ops.geometry import pool_size

TILE = 4
_TILES = 192  # tiles of a block, about: enough rows for the products, few enough for the cache
_WIDE = 32  # tiles across a block at most
_ALIGN = 64
_STREAMED = 1 << 19  # pixels from which transformed filters are not kept


class Block(NamedTuple):
    """A rectangle of tiles of one image: its outputs' first row and column, and its rows and columns of tiles."""

    image: int
    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Buffer:
    """A part of the arena: what it is for, and from when to when."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    born: int
    dies: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Its size, rounded up so that the next one is aligned."""
        return -(-self._size // _ALIGN) * _ALIGN

    @property
    def _size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def array_in(self, arena: np.ndarray) -> np.ndarray:
        """Return the part of an arena (bytes) that this buffer is, as an array."""
        array: np.ndarray = arena[self.offset : self.offset + self._size].view(self.dtype).reshape(self.shape)
        return array


@dataclass(frozen=True)
class Stage:
    """One link of the chain at its size.

    Attributes
    ----------
    number : int
    link : Link
    images, height, width, depth, channels : int
        N, H, W of its convolution, and the channels that go in and come out.
    pooled : (int, int) or None
        Height and width after its pool.
    conv_tapped, relu_tapped, pool_tapped : bool
    pad_mode : str
    forward, backward : tuple of Block
        Parts of the map that are computed at one time in either direction.  Backward they are parts of the padded
        input if that is more than zeros.
    """

    number: int
    link: Link
    images: int
    height: int
    width: int
    depth: int
    channels: int
    pooled: tuple[int, int] | None
    conv_tapped: bool
    relu_tapped: bool
    pool_tapped: bool
    pad_mode: str
    forward: tuple[Block, ...]
    backward: tuple[Block, ...]

    @property
    def border(self) -> int:
        """By how many pixels the backward pass goes beyond the map, to be folded back."""
        return int(self.pad_mode != "zero")


@dataclass(frozen=True)
class Plan:
    """How a chain is evaluated at one size.

    Attributes
    ----------
    chain : Chain
    stages : tuple of Stage
    recomputed : bool
        Whether the first stage is computed anew by the second wherever it needs it, and never stored.
    dtype : str
    threads : int
    buffers : dict
        Name → `Buffer`.
    streamed : bool
        Whether filters are transformed anew for every pass over a stage.
    arena, filters, workspaces, image : int
        Bytes of the arena, the transformed filters, all threads' buffers together, and of the image in planes with
        its derivative.
    """

    chain: Chain
    stages: tuple[Stage, ...]
    recomputed: bool
    dtype: str
    threads: int
    buffers: dict[str, Buffer]
    streamed: bool
    arena: int
    filters: int
    workspaces: int
    image: int

    @property
    def nbytes(self) -> int:
        """The memory that an evaluation takes beside the network, its targets and the optimiser."""
        return self.arena + self.filters + self.workspaces + self.image

    @property
    def fixed_bytes(self) -> int:
        """The part of it that hardly depends on the size of the image."""
        return self.filters + self.workspaces

    def features_shape(self, layer: str) -> tuple[int, int, int, int]:
        """Return N×H×W×C of the features at a tapped layer."""
        for stage in self.stages:
            if layer in (stage.link.conv.name, stage.link.relu.name):
                return stage.images, stage.height, stage.width, stage.channels
            if stage.pooled and stage.link.pool is not None and stage.link.pool.name == layer:
                return stage.images, *stage.pooled, stage.channels
        raise KeyError(layer)


def make_plan(
    chain: Chain,
    widths: dict[str, tuple[int, int]],
    shape: tuple[int, int, int],
    pad_mode: str,
    dtype: str,
    threads: int,
) -> Plan:
    """Lay out an evaluation.

    Parameters
    ----------
    chain : Chain
    widths : dict
        Convolution → its input and output channels.
    shape : (N, H, W)
    pad_mode : str
        The network's; a layer's own goes before it.
    dtype : str
    threads : int

    Raises
    ------
    InputError
        If the image is too small for a pool.
    """
    stages = tuple(_stages(chain, widths, shape, pad_mode))
    recomputed = len(stages) > 1 and stages[0].pooled is None and not stages[0].conv_tapped
    buffers, arena = place(list(_buffers(stages, recomputed, dtype)))
    itemsize = np.dtype(dtype).itemsize
    images, height, width = shape
    streamed = images * height * width >= _STREAMED
    each = [(TILE + 2) ** 2 * stage.depth * stage.channels * itemsize for stage in stages[1:]]
    kept = sum(
        size * (1 if is_shared(stage.depth, stage.channels) else 2)
        for size, stage in zip(each, stages[1:], strict=True)
    )
    filters = max(each, default=0) if streamed else kept
    image = 4 * images * stages[0].depth * (height + 2) * (width + 2) * itemsize
    workspaces = threads * max(_workspace(stage, itemsize) for stage in stages)
    return Plan(chain, stages, recomputed, dtype, threads, buffers, streamed, arena, filters, workspaces, image)


def _stages(
    chain: Chain, widths: dict[str, tuple[int, int]], shape: tuple[int, int, int], pad_mode: str
) -> Iterator[Stage]:
    images, height, width = shape
    for number, link in enumerate(chain.links):
        pooled = None
        if link.pool is not None:
            try:
                pooled = tuple(pool_size(side, 2, 0, 0, 2, link.pool.rounding) for side in (height, width))
            except ValueError as error:
                raise InputError(f"layer {link.pool.name} of network {chain.network}: {error}") from None
        mode = link.conv.pad_mode or pad_mode
        border = int(mode != "zero")
        yield Stage(
            number,
            link,
            images,
            height,
            width,
            *widths[link.conv.name],
            (pooled[0], pooled[1]) if pooled else None,
            link.conv.name in chain.taps,
            link.relu.name in chain.taps,
            link.pool is not None and link.pool.name in chain.taps,
            mode,
            partition(images, height, width, 0),
            partition(images, height + 2 * border, width + 2 * border, -border),
        )
        height, width = pooled or (height, width)


def partition(images: int, height: int, width: int, start: int) -> tuple[Block, ...]:
    """Cut maps into blocks of tiles; it depends on nothing but their size.

    Each block has two rows and columns of tiles at least where the map has: the last one then holds the pixels that
    padding beyond the border is folded onto.
    """
    down, across = -(-height // TILE), -(-width // TILE)
    columns = _split(across, _WIDE)
    rows = _split(down, max(2, _TILES // max(columns)))
    blocks = []
    for image in range(images):
        top = start
        for block_rows in rows:
            left = start
            for block_columns in columns:
                blocks.append(Block(image, top, left, block_rows, block_columns))
                left += TILE * block_columns
            top += TILE * block_rows
    return tuple(blocks)


def _split(count: int, size: int) -> list[int]:
    """Split `count` into parts of about `size`, as equal as can be, none below two; an even number where possible."""
    parts = -(-count // size)
    parts += parts % 2 if parts > 1 else 0
    parts = max(1, min(parts, count // 2))
    return [count * (i + 1) // parts - count * i // parts for i in range(parts)]


def _buffers(stages: tuple[Stage, ...], recomputed: bool, dtype: str) -> Iterator[Buffer]:
    """Yield what each stage keeps, and the derivatives that pass between stages."""
    end = 2 * len(stages)
    for stage in stages[1:] if recomputed else stages:
        s = stage.number
        whole = (stage.images, stage.height, stage.width)
        small = (stage.images, *stage.pooled) if stage.pooled else whole
        maximum = stage.link.pool is not None and stage.link.pool.method == "max"
        if stage.conv_tapped:
            yield Buffer(f"conv {s}", (*whole, stage.channels), dtype, s, end - s)
        if stage.relu_tapped or not stage.pooled:
            # Where losses sit, the derivative replaces the features entry by entry.
            yield Buffer(f"relu {s}", (*whole, stage.channels), dtype, s, end - s if stage.relu_tapped else s + 1)
        if stage.pooled:
            yield Buffer(f"pool {s}", (*small, stage.channels), dtype, s, end - s if stage.pool_tapped else s + 1)
        if maximum:
            yield Buffer(f"bits {s}", (3, *small, bit_bytes(stage.channels)), "uint8", s, end - s)
        elif not stage.relu_tapped:
            yield Buffer(f"bits {s}", (*whole, bit_bytes(stage.channels)), "uint8", s, end - s)
        tapped = stage.pool_tapped if stage.pooled else stage.relu_tapped
        if not tapped:
            yield Buffer(f"derivative {s}", (*small, stage.channels), dtype, end - s - 1, end - s)


def place(buffers: list[Buffer]) -> tuple[dict[str, Buffer], int]:
    """Give every buffer an offset such that those that live at one time do not overlap: the largest first."""
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda one: (-one.nbytes, one.name)):
        together = [one for one in placed if one.born <= buffer.dies and buffer.born <= one.dies]
        offset = 0
        for one in sorted(together, key=lambda one: one.offset):
            if one.offset - offset >= buffer.nbytes:
                break
            offset = max(offset, one.offset + one.nbytes)
        values = {**vars(buffer), "offset": offset}
        placed.append(Buffer(**values))
    size = max((one.offset + one.nbytes for one in placed), default=0)
    return {one.name: one for one in placed}, size


def _workspace(stage: Stage, itemsize: int) -> int:
    """Return about how many bytes one thread needs for a block of a stage."""
    block = max((*stage.forward, *stage.backward), key=lambda one: one.rows * one.columns)
    points = (TILE + 2) ** 2 * block.rows * block.columns
    pixels = TILE**2 * block.rows * block.columns
    wide = max(stage.depth, stage.channels)
    return itemsize * (2 * points * wide + 4 * pixels * wide)
