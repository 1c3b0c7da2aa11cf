"""Blocks of tiles on their way through Winograd's convolution: gathered, transformed, multiplied, spread.

The algorithm and its derivation are in `vggnumpy.ops.winograd`; equation numbers are that module's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from vggnumpy.ops.winograd_matrices import ONE, Algorithm, transforms
from vggnumpy.ops.workspace import Workspace

_PIECE_BYTES = 8192 * 4


def transform_filters(w: Any, tile: int = 4, out: Any = None) -> Any:
    """Return U = G w Gᵀ, t²×C×K, for filters 3×3×C×K, in their dtype; written to `out` if given.

    The t² products are counted columns first, U[j·t + i], as `tile_products` does.  G has thirds in it, which no binary
    number is: all is computed in float64 and rounded once.  In float32 U would have 2½ times the error, the same in
    every pixel.
    """
    G = transforms(tile).G
    both = np.kron(G, G)
    exact = np.empty((len(both), w[0, 0].size))
    _thin_product(both, w.transpose(1, 0, 2, 3).reshape(9, -1).astype("float64"), exact)
    if out is None:
        out = np.empty((len(both), *w.shape[2:]), w.dtype)
    out[...] = exact.reshape(out.shape)
    return out


def filters_backward(dU: Any, tile: int = 4) -> Any:
    """Return dw = Gᵀ dU G, 3×3×C×K: the adjoint of `transform_filters`."""
    G = transforms(tile).G
    both = np.kron(G, G).T.astype(dU.dtype)
    dw = (both @ dU.reshape(len(dU), -1)).reshape(3, 3, *dU.shape[1:])
    return np.ascontiguousarray(dw.transpose(1, 0, 2, 3))


def gather_tiles(x: np.ndarray, tiles: np.ndarray, top: int, left: int, tile: int, pad_mode: str = "zero") -> None:
    """Copy the part of a map that a block of tiles needs, every column as often as tiles see it.

        tiles[j, r, s] = x[top + r, left + m·s + j]

    Parameters
    ----------
    x : ndarray, H×W×C
    tiles : ndarray, t×R×S×C
        Filled; C-contiguous.
    top, left : int
        Where the block begins, −1 for the first: row and column −1 and H, W are padding.  What is farther outside
        is filled with zeros.
    tile : int
        m.
    pad_mode : {"zero", "reflect", "replicate"}
        What row −1 and H and column −1 and W hold.
    """
    (t, rows, count, _), (height, width, channels) = tiles.shape, x.shape
    pixel = np.dtype((np.void, channels * x.itemsize))  # copied as one thing: measured a third faster
    source, target = x.view(pixel)[..., 0], tiles.view(pixel)[..., 0]
    first, last = max(-top, 0), min(rows, height - top)
    tiles[:, :first] = 0
    tiles[:, last:] = 0
    for j in range(t):
        begin = max(-((left + j) // tile), 0)
        end = min(count, -(-(width - left - j) // tile))
        tiles[j, first:last, :begin] = 0
        tiles[j, first:last, max(end, begin) :] = 0
        if end > begin:
            at = left + j + tile * begin
            target[j, first:last, begin:end] = source[
                top + first : top + last, at : at + tile * (end - begin - 1) + 1 : tile
            ]
    if pad_mode != "zero":
        _fill_border(target, top, left, tile, (height, width), pad_mode)


def _fill_border(tiles: np.ndarray, top: int, left: int, tile: int, size: tuple[int, int], pad_mode: str) -> None:
    """Fill row and column −1 and H, W of gathered tiles with the pixels that they repeat."""
    t, rows, count = tiles.shape
    for outside in (-1, size[1]):
        inside = repeated(outside, size[1], pad_mode) - left
        for s in range(count):
            j = outside - left - tile * s
            if 0 <= j < t:
                there = min(inside // tile, count - 1)
                tiles[j, :, s] = tiles[inside - tile * there, :, there]
    for outside in (-1, size[0]):
        if 0 <= outside - top < rows:
            tiles[:, outside - top] = tiles[:, repeated(outside, size[0], pad_mode) - top]


def repeated(outside: int, size: int, pad_mode: str) -> int:
    """Return which pixel stands for the one just before the first or just after the last."""
    inward = 1 if pad_mode == "reflect" and size > 1 else 0
    return inward if outside < 0 else size - 1 - inward


def gather_outputs(y: np.ndarray, Y: np.ndarray) -> None:
    """Copy a map to its places in tiles, zeros beyond it: Y[j, i, r, s] = y[m·r + i, m·s + j], `spread_tiles` reversed.

    `Y` is m×m×(rows of tiles)×S×K, and filled.
    """
    m, _, rows, S, K = Y.shape
    pixel = np.dtype((np.void, K * Y.itemsize))
    if y.shape[:2] != (m * rows, m * S):
        Y[...] = 0
    source, target = y.view(pixel)[..., 0], Y.view(pixel)[..., 0]
    for i in range(m):
        for j in range(m):
            part = source[i::m, j::m]
            target[j, i, : part.shape[0], : part.shape[1]] = part


def spread_tiles(Y: np.ndarray, y: np.ndarray) -> None:
    """Copy the outputs of a block of tiles to their places: y[m·r + i, m·s + j] = Y[j, i, r, s].

    `y`, C-contiguous, is (m·rows)×(m·S)×K.
    """
    m, _, rows, S, K = Y.shape
    pixel = np.dtype((np.void, K * Y.itemsize))
    y.reshape(rows, m, S, m, K).view(pixel)[..., 0] = Y.view(pixel)[..., 0].transpose(2, 1, 3, 0)


def tile_products(
    tiles: np.ndarray,
    U: np.ndarray,
    algorithm: Algorithm,
    work: Workspace,
    bias: np.ndarray | None = None,
    multiply: Callable[..., Any] = np.matmul,
) -> np.ndarray:
    """Return the outputs of a block of tiles: equation (2) along both axes, for all channels.

    Every step is a product of matrices for BLAS: measured, two small ones along the two axes cost a third of the same
    additions written out, and less than one of 36×36.

    *The mean stays out of the products.*  Features behind a rectifier are μ + d with a mean that is not small, and what
    μ adds to the sums over channels is rounded with them.  Of a constant map all values Bᵀ μ B are 0 but the one at the
    point (1, 1), where the bias enters: rows of Bᵀ are coefficients of polynomials that vanish at 1, but for that of
    the point 1 itself.  And (2) is linear in V = Bᵀ d B, so for any vector v

        Σ_c V_c U_c = Σ_c (V_c − v_c) U_c + Σ_c v_c U_c        at the point (1, 1),

    the last sum being one number an output channel: computed in float64, it goes where the bias goes.  With v the mean
    of V over the block's tiles the error of a deep layer of a VGG network falls by a fifth, for one part in 36 of V
    read twice.  A derivative has no mean to speak of, and no bias: there it is not done.

    Parameters
    ----------
    tiles : ndarray, t×R×S×C
        From `gather_tiles`, R = m·(rows of tiles) + 2.  If it is the workspace's buffer ``even``, it is overwritten.
    U : ndarray, t²×C×K
        From `transform_filters`; with the last two axes exchanged for the turned algorithm.
    algorithm : Algorithm
        ``straight`` or ``turned``.
    work : Workspace
        Its buffers ``even`` and ``odd`` are used in turn.
    bias : ndarray of K, optional
        Only for the straight algorithm, where the point 1 stands at its place.  With it the mean is kept out.
    multiply : callable
        ``multiply(V, U, out=M)`` computes the t² products.

    Returns
    -------
    ndarray, m×m×(rows of tiles)×S×K
        Output column within the tile, row within the tile, tile row, tile column; in the buffer ``odd``.
    """
    AT, (m, t), (_, R, S, _), K, dtype = algorithm.AT, algorithm.AT.shape, tiles.shape, U.shape[2], tiles.dtype
    rows = (R - 2) // m
    V = _transform_tiles(tiles, algorithm, work)
    M = work("odd", (t * t, rows * S, K), dtype)
    if bias is not None:
        mean = V[ONE * t + ONE].mean(axis=0)
        V[ONE * t + ONE] -= mean
        bias = (bias + mean.astype("float64") @ U[ONE * t + ONE].astype("float64")).astype(dtype)
    multiply(V, U, out=M)
    if bias is not None:
        M[ONE * t + ONE] += bias
    half = work("even", (m, t * rows * S * K), dtype)
    _thin_product(AT, M.reshape(t, -1), half)
    Y = work("odd", (m, m, rows * S * K), dtype)
    _thin_product(AT, half.reshape(m, t, -1), Y)
    return Y.reshape(m, m, rows, S, K)


def add_filter_products(
    dU: np.ndarray, tiles: np.ndarray, dY: np.ndarray, algorithm: Algorithm, work: Workspace
) -> None:
    """Add a block of tiles' share to the derivative with respect to the transformed filters: equation (4).

    Parameters
    ----------
    dU : ndarray, t²×C×K
    tiles : ndarray, t×R×S×C
        The input, from `gather_tiles`; overwritten if it is the workspace's buffer ``even``.
    dY : ndarray, m×m×(rows of tiles)×S×K
        The derivative with respect to the outputs, from `gather_outputs`.
    algorithm : Algorithm
        ``straight``.
    work : Workspace
        Its buffers ``even``, ``odd``, ``half``, ``M`` and ``dU`` are used.
    """
    (m, t), K, dtype = algorithm.AT.shape, dY.shape[-1], dY.dtype
    V = _transform_tiles(tiles, algorithm, work)
    A, count = np.ascontiguousarray(algorithm.AT.T), V.shape[1] * K
    half = work("half", (m, t, count), dtype)
    _thin_product(A, dY.reshape(m, m, count), half)
    M = work("M", (t, t * count), dtype)
    _thin_product(A, half.reshape(m, -1), M)
    share = work("dU", dU.shape, dtype)
    np.matmul(V.transpose(0, 2, 1), M.reshape(t * t, -1, K), out=share)
    dU += share


def _transform_tiles(tiles: np.ndarray, algorithm: Algorithm, work: Workspace) -> np.ndarray:
    """Return Bᵀ d B for gathered tiles, t²×(tiles)×C, in the buffer ``even``; ``odd`` is used too."""
    BT, (m, t), (_, R, S, C), dtype = algorithm.BT, algorithm.AT.shape, tiles.shape, tiles.dtype
    rows = (R - 2) // m
    columns = work("odd", (t, R, S * C), dtype)
    _thin_product(BT, tiles.reshape(t, -1), columns.reshape(t, -1))
    along, down, step = columns.strides
    overlapping = as_strided(columns, (t, rows, t, S * C), (along, m * down, down, step))
    V = work("even", (t, t, rows, S * C), dtype)
    _thin_product(BT, overlapping, V.transpose(0, 2, 1, 3))
    return V.reshape(t * t, rows * S, C)


def _thin_product(A: np.ndarray, X: np.ndarray, out: np.ndarray) -> None:
    """Compute A @ X, A being p×q and X …×q×N, in pieces of N.

    Measured, 6×6 by 6×N takes 1.2 ns a column for N of 8192 and 16384, twice that for 4096 and for 65536.
    """
    piece = _PIECE_BYTES // X.itemsize
    count = X.shape[-1] // piece
    if count:
        whole = X[..., : count * piece].reshape(*X.shape[:-1], count, piece)
        into = out[..., : count * piece].reshape(*out.shape[:-1], count, piece)
        np.matmul(A, whole.swapaxes(-3, -2), out=into.swapaxes(-3, -2))
    if X.shape[-1] > count * piece:
        np.matmul(A, X[..., count * piece :], out=out[..., count * piece :])
