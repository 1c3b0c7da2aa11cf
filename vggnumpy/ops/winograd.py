r"""Convolution with 3×3 filters by Winograd's minimal filtering: a quarter of the multiplications of `conv`.

The same pair as in `vggnumpy.ops.conv`, stride 1 and padding 1, by another algorithm.  It is what the engine uses;
`conv` stays the reference.

**One dimension, F(m, 3).**  Wanted are m outputs of a correlation of t = m + 2 inputs d with a filter g,

    y_i = Σ_k d_{i+k} g_k,    i = 0 … m − 1                                                                 (1)

1. The *product of two polynomials* u(x) = Σ u_i xⁱ (m coefficients) and g(x) (3 coefficients) has t coefficients, so it
   is determined by its values at t points (Toom and Cook).  With E_k the t×k matrix of evaluation, whose row for the
   point a is (1, a, a², … a^{k−1}) and whose row for the point ∞ picks the leading coefficient,

       u·g = E_t⁻¹ [(E_3 g) ∘ (E_m u)]        (∘: entry by entry; t multiplications instead of 3m)

2. Read this as a matrix acting on u: T = E_t⁻¹ diag(E_3 g) E_m, with T[i + k, i] = g_k.  Equation (1) is its transpose:

       y = Tᵀ d = E_mᵀ [(E_3 g) ∘ (E_t⁻ᵀ d)] = Aᵀ [(G g) ∘ (Bᵀ d)]                                           (2)

   with Aᵀ = E_mᵀ, G = D⁻¹ E_3, Bᵀ = D E_t⁻ᵀ for any diagonal D.  With D_a = Π_{b≠a} (a − b) over the finite points (1
   for ∞) the rows of Bᵀ are the coefficients of Lagrange's numerators Π_{b≠a} (x − b): short binary fractions, exact in
   float32, if the points are.
3. *Two dimensions* are (2) along the columns and along the rows: t² multiplications for m² outputs, 36 against 144 for
   m = 4, 64 against 324 for m = 6.  Over channels they are t² independent products of matrices, (tiles × C)(C × K).
4. *Bias*: the row of E_m for the point 1 is all ones, so b added to that one of the t² products is b on every output.

**Points.**  0, 1, −1, ½, −2, ∞ for m = 4, and 0, ±1, ±2, ±½, ∞ for m = 6.  Points of small magnitude in reciprocal
pairs make the smallest errors (Barabasz and others, 2020), and reciprocals have a second use:

**Backward.**  With zero padding dx is the correlation of dy with the filters turned by 180° and their channels
exchanged, `conv_backward_input`.  The turned filter is g̃(x) = x² g(1/x), so at a point b = −a,

    g̃(b) = a² g(−1/a)        and        g̃(0) = g(∞),  g̃(∞) = g(0)                                           (3)

The points above are closed under a → −1/a (½ ↔ −2, 1 ↔ −1, 0 ↔ ∞).  So for an algorithm on the *negated* points the
transformed filters are those of the forward pass in another order, times a², and the order and the factor go into its
Aᵀ and Bᵀ: **both directions share one transformed U**.  `Transforms.turned` is that algorithm.  For the other kinds of
padding dy is continued by zeros, the correlation evaluated one pixel beyond the borders, and `pad_backward` folds that
in, as for any convolution.

**Error.**  The transforms add numbers of different magnitude.  In float32 the relative error of one layer is about
1e−6 to 1e−5 (m = 4), a few times that for m = 6, against 1e−7 to 1e−6 of `conv`; in float64 all agree to 1e−14.

Sources: Winograd 1980; Lavin and Gray 2016 (the algorithm for networks).  Step 2 is the transposition principle.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from vggnumpy.backend import operator
from vggnumpy.ops.geometry import batched, check_cotangent
from vggnumpy.ops.pad import PadCache, pad, pad_backward
from vggnumpy.ops.workspace import Workspace

_INFINITY = float("inf")
POINTS = {4: (0.0, 1.0, -1.0, 0.5, -2.0, _INFINITY), 6: (0.0, 1.0, -1.0, 2.0, -0.5, -2.0, 0.5, _INFINITY)}
_ONE = 1  # where the point 1 stands in POINTS
_TILES = 192  # in work at one time
_PIECE_BYTES = 8192 * 4


class Algorithm(NamedTuple):
    """The matrices Bᵀ, t×t, and Aᵀ, m×t, of one direction."""

    BT: np.ndarray
    AT: np.ndarray


class Transforms(NamedTuple):
    """All of F(m×m, 3×3): G, t×3, and the algorithms for the filters as they are and turned by 180°."""

    G: np.ndarray
    straight: Algorithm
    turned: Algorithm


class WinogradCache(NamedTuple):
    """What `winograd_conv` keeps: the transformed filters, the outputs of a tile's side, and the padding."""

    U: Any
    tile: int
    padding: PadCache
    y_shape: tuple[int, ...]


def _evaluation(points: tuple[float, ...], coefficients: int) -> np.ndarray:
    """Return E: row for row a polynomial's value at each point, and its leading coefficient for ∞."""
    rows = [[float(k == coefficients - 1) if a == _INFINITY else a**k for k in range(coefficients)] for a in points]
    return np.array(rows)


def _denominators(points: tuple[float, ...]) -> np.ndarray:
    """Return Lagrange's Π_{b≠a} (a − b) over the finite points, and 1 for ∞."""
    finite = [b for b in points if b != _INFINITY]
    return np.array([1.0 if a == _INFINITY else np.prod([a - b for b in finite if b != a]) for a in points])


def _reciprocal(a: float) -> float:
    """Return −1/a, with 0 and ∞ for each other."""
    return {0.0: _INFINITY, _INFINITY: 0.0}.get(a) if a in (0.0, _INFINITY) else -1 / a  # type: ignore[return-value]


@functools.cache
def transforms(tile: int, dtype: str = "float64") -> Transforms:
    """Return the matrices of F(m×m, 3×3), m = `tile` being 4 or 6, as derived in this module."""
    points = POINTS[tile]
    t, D = tile + 2, _denominators(points)
    # Every entry of BT is a fraction with a power of two below; rounding takes away what the inversion added.
    straight = Algorithm(_binary(D[:, None] * np.linalg.inv(_evaluation(points, t)).T), _evaluation(points, tile).T)
    negated = tuple(a if a in (0.0, _INFINITY) else -a for a in points)
    order = [points.index(_reciprocal(a)) for a in points]  # U[order[i]] belongs to the i-th negated point
    factor = np.array([1.0 if a in (0.0, _INFINITY) else a * a for a in points]) * D[order]
    turned = Algorithm(np.empty((t, t)), np.empty((tile, t)))
    turned.BT[order] = _binary(factor[:, None] * np.linalg.inv(_evaluation(negated, t)).T)
    turned.AT[:, order] = _evaluation(negated, tile).T
    G = _evaluation(points, 3) / D[:, None]
    return Transforms(G, *(Algorithm(*(np.ascontiguousarray(a, dtype) for a in one)) for one in (straight, turned)))


def _binary(matrix: np.ndarray) -> np.ndarray:
    return np.round(matrix * 4096) / 4096


def transform_filters(w: Any, tile: int = 4, out: Any = None) -> Any:
    """Return U = G w Gᵀ, t²×C×K, for filters 3×3×C×K, in their dtype; written to `out` if given.

    The t² products are counted columns first, U[j·t + i], as `tile_products` does.
    """
    G = transforms(tile).G
    both = np.kron(G, G).astype(w.dtype)
    if out is None:
        out = np.empty((len(both), *w.shape[2:]), w.dtype)
    _thin_product(both, w.transpose(1, 0, 2, 3).reshape(9, -1), out.reshape(len(both), -1))
    return out


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
        Only for the straight algorithm, where the point 1 stands at its place.
    multiply : callable
        ``multiply(V, U, out=M)`` computes the t² products.

    Returns
    -------
    ndarray, m×m×(rows of tiles)×S×K
        Output column within the tile, row within the tile, tile row, tile column; in the buffer ``odd``.
    """
    BT, AT = algorithm
    (m, t), (_, R, S, C), K, dtype = AT.shape, tiles.shape, U.shape[2], tiles.dtype
    rows = (R - 2) // m
    columns = work("odd", (t, R, S * C), dtype)
    _thin_product(BT, tiles.reshape(t, -1), columns.reshape(t, -1))
    along, down, step = columns.strides
    overlapping = as_strided(columns, (t, rows, t, S * C), (along, m * down, down, step))
    V = work("even", (t, t, rows, S * C), dtype)
    _thin_product(BT, overlapping, V.transpose(0, 2, 1, 3))
    M = work("odd", (t * t, rows * S, K), dtype)
    multiply(V.reshape(t * t, rows * S, C), U, out=M)
    if bias is not None:
        M[_ONE * t + _ONE] += bias
    half = work("even", (m, t * rows * S * K), dtype)
    _thin_product(AT, M.reshape(t, -1), half)
    Y = work("odd", (m, m, rows * S * K), dtype)
    _thin_product(AT, half.reshape(m, t, -1), Y)
    return Y.reshape(m, m, rows, S, K)


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


def spread_tiles(Y: np.ndarray, y: np.ndarray) -> None:
    """Copy the outputs of a block of tiles to their places: y[m·r + i, m·s + j] = Y[j, i, r, s].

    `y`, C-contiguous, is (m·rows)×(m·S)×K.
    """
    m, _, rows, S, K = Y.shape
    pixel = np.dtype((np.void, K * Y.itemsize))
    y.reshape(rows, m, S, m, K).view(pixel)[..., 0] = Y.view(pixel)[..., 0].transpose(2, 1, 3, 0)


@operator
def winograd_conv(x: Any, w: Any, b: Any = None, pad_mode: str = "zero", tile: int = 4) -> tuple[Any, WinogradCache]:
    """Convolve images with 3×3 filters, stride 1 and padding 1, as `conv` does, by F(m×m, 3×3).

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
    w : ndarray, 3×3×C×K
    b : ndarray of K, optional
    pad_mode : {"zero", "reflect", "replicate"}
    tile : {4, 6}
        m, the outputs of a tile's side.

    Returns
    -------
    y : ndarray, N×H×W×K or H×W×K
    cache : WinogradCache
        For `winograd_conv_backward_input`.

    Raises
    ------
    ValueError
        If shapes do not fit together, or `tile` is neither 4 nor 6.
    TypeError
        If the arrays differ in dtype or kind.
    """
    batched(x, "x")
    if tile not in POINTS:
        raise ValueError(f"tile must be 4 or 6, got {tile!r}")
    if w.ndim != 4 or w.shape[:3] != (3, 3, x.shape[-1]) or (b is not None and b.shape != w.shape[3:]):
        raise ValueError(f"Winograd needs filters 3×3×{x.shape[-1]}×K and a bias of K, got shape {tuple(w.shape)}")
    padded, padding = pad(x, 1, pad_mode)
    U = transform_filters(w, tile)
    y = _correlate(batched(padded, "x"), U, transforms(tile, str(x.dtype)).straight, b)
    y = y if x.ndim == 4 else y[0]
    return y, WinogradCache(U, tile, padding, y.shape)


@operator(arrays=lambda dy, cache: (dy, cache.U))
def winograd_conv_backward_input(dy: Any, cache: WinogradCache) -> Any:
    """Carry the derivative back to the input of `winograd_conv`, with the same transformed filters.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : WinogradCache
        From `winograd_conv`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.y_shape, "winograd_conv_backward_input")
    continued, _ = pad(batched(dy, "dy"), 2)
    turned = transforms(cache.tile, str(dy.dtype)).turned
    dpadded = _correlate(continued, cache.U.transpose(0, 2, 1), turned, None)
    return pad_backward(dpadded.reshape(cache.padding.y_shape), cache.padding)


def _correlate(x: np.ndarray, U: np.ndarray, algorithm: Algorithm, b: np.ndarray | None) -> np.ndarray:
    """Correlate N×H×W×C maps, without padding, with transformed filters: N×(H−2)×(W−2)×K."""
    (images, height, width, channels), K, (m, t) = x.shape, U.shape[2], algorithm.AT.shape
    y = np.empty((images, height - 2, width - 2, K), x.dtype)
    count = -(-(width - 2) // m)
    rows, work = max(1, _TILES // count), Workspace()
    for n in range(images):
        for first in range(0, height - 2, m * rows):
            here = min(rows, -(-(height - 2 - first) // m))
            tiles = work("even", (t, m * here + 2, count, channels), x.dtype)
            gather_tiles(x[n], tiles, first, 0, m)
            out = work("out", (m * here, m * count, K), x.dtype)
            spread_tiles(tile_products(tiles, U, algorithm, work, b), out)
            strip = y[n, first : first + m * here]
            strip[...] = out[: len(strip), : width - 2]
    return y
