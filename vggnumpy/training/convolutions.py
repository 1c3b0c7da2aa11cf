"""Convolutions of a batch in training: Winograd's where it fits, products with windows elsewhere; no padding but zeros.

Both have the same four steps: ``prepare`` the filters, ``forward`` some pictures, ``backward`` some pictures (their
derivative and their share of the filters'), and put the lanes' shares together as the ``filters``' derivative.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vggnumpy.engine.filters import transform_into
from vggnumpy.engine.threads import cores, workers
from vggnumpy.errors import InputError
from vggnumpy.nets.tables import Layer
from vggnumpy.ops.winograd_matrices import transforms
from vggnumpy.ops.winograd_tiles import (
    add_filter_products,
    filters_backward,
    tile_products,
)
from vggnumpy.ops.workspace import Workspace

TILE = 4
_TILES = 192  # in work at one time, about
_ROWS = 4096  # of a matrix of windows at one time, about


class Convolution(Protocol):
    """What a stage needs of a convolution."""

    def prepare(self, w: np.ndarray) -> Any:
        """Return what the passes need of the filters."""
        ...

    def output_shape(self, shape: tuple[int, ...], filters: int) -> tuple[int, ...]:
        """Return the output's shape."""
        ...

    def forward(
        self, x: np.ndarray, prepared: Any, bias: np.ndarray, y: np.ndarray, begin: int, end: int, work: Workspace
    ) -> Iterator[slice]:
        """Convolve pictures `begin` to `end` into `y`, yielding each block of them when it is done."""
        ...

    def backward(
        self, x: np.ndarray, dy: np.ndarray, prepared: Any, dx: np.ndarray | None, begin: int, end: int, work: Workspace
    ) -> Any:
        """Fill `dx` for pictures `begin` to `end`, and return their share of the filters' derivative."""
        ...

    def filters(self, shares: list[Any]) -> np.ndarray:
        """Return the derivative with respect to the filters from all lanes' shares."""
        ...


def make_convolution(layer: Layer, first: bool) -> Convolution:
    """Return Winograd's convolution for 3×3 filters, or the one by windows, which is better for three channels."""
    pad = layer.pad[0]
    if layer.stride != (1, 1) or layer.dilate != (1, 1) or layer.pad != (pad,) * 4 or layer.groups != 1:
        raise InputError(f"layer {layer.name} cannot be trained here: it needs stride 1, one group and equal padding")
    return Winograd(pad) if layer.size == (3, 3) and pad < 2 and not first else Windows(layer.size, pad)


class Winograd:
    """3×3 filters by `vggnumpy.ops.winograd`; the tiles of several small pictures go through one product.

    Parameters
    ----------
    pad : {0, 1}
    """

    def __init__(self, pad: int):
        self.pad = pad

    def prepare(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the transformed filters for both directions: products with transposed ones are slower."""
        both = []
        for turned in (False, True):
            U = np.empty(((TILE + 2) ** 2, *(w.shape[:1:-1] if turned else w.shape[2:])), w.dtype)
            transform_into(U, w, TILE, turned, workers(cores()))
            both.append(U)
        return both[0], both[1]

    def output_shape(self, shape: tuple[int, ...], filters: int) -> tuple[int, ...]:
        """Return N×(H + 2 pad − 2)×(W + 2 pad − 2)×K."""
        return shape[0], shape[1] + 2 * self.pad - 2, shape[2] + 2 * self.pad - 2, filters

    def forward(
        self,
        x: np.ndarray,
        prepared: tuple[np.ndarray, np.ndarray],
        bias: np.ndarray,
        y: np.ndarray,
        begin: int,
        end: int,
        work: Workspace,
    ) -> Iterator[slice]:
        """Convolve pictures `begin` to `end` into `y`, yielding each block of them when it is done."""
        straight = transforms(TILE, str(x.dtype)).straight
        for block in _blocks(begin, end, y.shape):
            tiles = _gather(x[block], y.shape, -self.pad, work)
            _scatter(tile_products(tiles, prepared[0], straight, work, bias), y[block], work)
            yield block

    def backward(
        self,
        x: np.ndarray,
        dy: np.ndarray,
        prepared: tuple[np.ndarray, np.ndarray],
        dx: np.ndarray | None,
        begin: int,
        end: int,
        work: Workspace,
    ) -> np.ndarray:
        """Fill `dx` for pictures `begin` to `end`, and return their share of the transformed filters' derivative."""
        algorithms = transforms(TILE, str(x.dtype))
        U, Ut = prepared
        dU = np.zeros_like(U)
        for block in _blocks(begin, end, dy.shape):
            tiles = _gather(x[block], dy.shape, -self.pad, work)
            add_filter_products(dU, tiles, _collect(dy[block], work), algorithms.straight, work)
        if dx is not None:
            for block in _blocks(begin, end, dx.shape):
                tiles = _gather(dy[block], dx.shape, self.pad - 2, work)
                _scatter(tile_products(tiles, Ut, algorithms.turned, work), dx[block], work)
        return dU

    def filters(self, shares: list[np.ndarray]) -> np.ndarray:
        """Return dw from all lanes' dU."""
        dw: np.ndarray = filters_backward(sum(shares[1:], shares[0]), TILE)
        return dw


def _tile_counts(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return how many tiles a map of this shape has, and its rows and columns of tiles."""
    rows, columns = -(-shape[1] // TILE), -(-shape[2] // TILE)
    return rows * columns, rows, columns


def _blocks(begin: int, end: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield some pictures at a time, about `_TILES` tiles of maps of this shape."""
    step = max(1, _TILES // _tile_counts(shape)[0])
    for first in range(begin, end, step):
        yield slice(first, min(first + step, end))


def _gather(x: np.ndarray, shape: tuple[int, ...], top: int, work: Workspace) -> np.ndarray:
    """Return the tiles of some pictures side by side, for outputs of `shape` that see from row and column `top` on.

    What `vggnumpy.ops.winograd_tiles.gather_tiles` does, for all pictures at once: small maps would spend their time
    in the loop.
    """
    (count, height, width, channels), (_, rows, columns), t = x.shape, _tile_counts(shape), TILE + 2
    tiles = work("even", (t, TILE * rows + 2, count, columns, channels), x.dtype)
    target, source = _pixels(tiles), _pixels(x)
    first, last = max(-top, 0), min(TILE * rows + 2, height - top)
    tiles[:, :first] = 0
    tiles[:, last:] = 0
    for j in range(t):
        begin = max(-((top + j) // TILE), 0)
        end = min(columns, -(-(width - top - j) // TILE))
        tiles[j, first:last, :, :begin] = 0
        tiles[j, first:last, :, max(end, begin) :] = 0
        if end > begin:
            at = top + j + TILE * begin
            seen = source[:, top + first : top + last, at : at + TILE * (end - begin - 1) + 1 : TILE]
            target[j, first:last, :, begin:end] = seen.transpose(1, 0, 2)
    return tiles.reshape(t, TILE * rows + 2, count * columns, channels)


def _scatter(Y: np.ndarray, y: np.ndarray, work: Workspace) -> None:
    """Copy outputs of tiles side by side, m×m×rows×(pictures and columns)×K, to their pictures: `spread_tiles`."""
    (count, height, width, filters), rows = y.shape, Y.shape[2]
    columns = Y.shape[3] // count
    fits = height == TILE * rows and width == TILE * columns
    whole = y if fits else work("whole", (count, TILE * rows, TILE * columns, filters), y.dtype)
    target = _pixels(whole).reshape(count, rows, TILE, columns, TILE)
    target[...] = _pixels(Y).reshape(TILE, TILE, rows, count, columns).transpose(3, 2, 1, 4, 0)
    if not fits:
        y[...] = whole[:, :height, :width]


def _collect(y: np.ndarray, work: Workspace) -> np.ndarray:
    """Return a map's entries by tiles, zeros beyond it: `_scatter` reversed."""
    (count, height, width, filters), (_, rows, columns) = y.shape, _tile_counts(y.shape)
    whole = y
    if (height, width) != (TILE * rows, TILE * columns):
        whole = work("whole", (count, TILE * rows, TILE * columns, filters), y.dtype)
        whole[...] = 0
        whole[:, :height, :width] = y
    outputs = work("outputs", (TILE, TILE, rows, count, columns, filters), y.dtype)
    _pixels(outputs)[...] = _pixels(whole).reshape(count, rows, TILE, columns, TILE).transpose(4, 2, 1, 0, 3)
    return outputs.reshape(TILE, TILE, rows, count * columns, filters)


def _pixels(a: np.ndarray) -> np.ndarray:
    """Return a view in which a pixel with all its channels is one thing to copy."""
    pixels: np.ndarray = a.view(np.dtype((np.void, a.shape[-1] * a.itemsize)))[..., 0]
    return pixels


class Windows:
    """Filters of any size as a product with all windows: `vggnumpy.ops.conv`, for the batch.

    Parameters
    ----------
    size : (int, int)
    pad : int
    """

    def __init__(self, size: tuple[int, int], pad: int):
        self.size, self.pad = size, pad

    def prepare(self, w: np.ndarray) -> np.ndarray:
        """Return the filters as a matrix of C·kh·kw rows."""
        return np.ascontiguousarray(w.transpose(2, 0, 1, 3).reshape(-1, w.shape[3]))

    def output_shape(self, shape: tuple[int, ...], filters: int) -> tuple[int, ...]:
        """Return the output's shape."""
        (kh, kw), grown = self.size, 2 * self.pad + 1
        return shape[0], shape[1] + grown - kh, shape[2] + grown - kw, filters

    def forward(
        self,
        x: np.ndarray,
        prepared: np.ndarray,
        bias: np.ndarray,
        y: np.ndarray,
        begin: int,
        end: int,
        work: Workspace,
    ) -> Iterator[slice]:
        """Convolve pictures `begin` to `end` into `y`, yielding each block of them when it is done."""
        for block in self._blocks(begin, end, y.shape):
            rows = y[block].reshape(-1, y.shape[-1])
            np.matmul(self._windows(x[block], work), prepared, out=rows)
            rows += bias
            yield block

    def backward(
        self,
        x: np.ndarray,
        dy: np.ndarray,
        prepared: np.ndarray,
        dx: np.ndarray | None,
        begin: int,
        end: int,
        work: Workspace,
    ) -> np.ndarray:
        """Fill `dx` for pictures `begin` to `end`, and return their share of the filters' derivative, kh×kw×C×K."""
        (kh, kw), channels, pad = self.size, x.shape[-1], self.pad
        dw = np.zeros_like(prepared)
        for block in self._blocks(begin, end, dy.shape):
            rows = dy[block].reshape(-1, dy.shape[-1])
            dw += self._windows(x[block], work).T @ rows
            if dx is not None:
                dwindows = (rows @ prepared.T).reshape(*dy[block].shape[:3], channels, kh, kw)
                padded = np.zeros((len(dx[block]), x.shape[1] + 2 * pad, x.shape[2] + 2 * pad, channels), x.dtype)
                for u in range(kh):
                    for v in range(kw):
                        padded[:, u : u + dy.shape[1], v : v + dy.shape[2]] += dwindows[..., u, v]
                dx[block] = padded[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]
        return dw.reshape(channels, kh, kw, -1).transpose(1, 2, 0, 3)

    def filters(self, shares: list[np.ndarray]) -> np.ndarray:
        """Return dw from all lanes' shares."""
        return np.ascontiguousarray(sum(shares[1:], shares[0]))

    def _blocks(self, begin: int, end: int, shape: tuple[int, ...]) -> Iterator[slice]:
        step = max(1, _ROWS // (shape[1] * shape[2]))
        for first in range(begin, end, step):
            yield slice(first, min(first + step, end))

    def _windows(self, x: np.ndarray, work: Workspace) -> np.ndarray:
        """Return all windows of some pictures as the rows of a matrix."""
        pad = self.pad
        padded = work("padded", (len(x), x.shape[1] + 2 * pad, x.shape[2] + 2 * pad, x.shape[3]), x.dtype)
        padded[...] = 0
        padded[:, pad : pad + x.shape[1], pad : pad + x.shape[2]] = x
        seen = sliding_window_view(padded, self.size, (1, 2))
        matrix = work("windows", seen.shape, x.dtype)
        matrix[...] = seen
        return matrix.reshape(-1, x.shape[3] * self.size[0] * self.size[1])
