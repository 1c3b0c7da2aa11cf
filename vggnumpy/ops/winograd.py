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

**Filters.**  Their derivative is that of a product too.  For one tile (2) is y = Aᵀ [(G g) ∘ (Bᵀ d)], so with dm = A dy

    dg = Gᵀ [dm ∘ (Bᵀ d)]                                                                                   (4)

and in two dimensions, over all tiles and channels, dU = Σ_tiles (Bᵀ d B)ᵀ (A dy Aᵀ) is t² products of matrices, (C ×
tiles)(tiles × K), again a quarter of the multiplications, and dw = Gᵀ dU G.

**Error.**  The transforms add numbers of different magnitude.  In float32 the relative error of one layer is between
2e−7 and 5e−7 for features of a VGG network (m = 4), up to 1e−5 for arbitrary numbers, a few times that for m = 6,
against 1e−7 to 1e−6 of `conv`; in float64 all agree to 1e−14.  Most of it arises in the sums over channels, spread over
all t² products, then in the transformed filters and the transformed input; the first two are dealt with where they are
computed, in `tile_products` and `transform_filters`.

Sources: Winograd 1980; Lavin and Gray 2016 (the algorithm for networks).  Step 2 is the transposition principle.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import operator
from vggnumpy.ops.geometry import batched, check_cotangent
from vggnumpy.ops.pad import PadCache, pad, pad_backward
from vggnumpy.ops.winograd_matrices import POINTS, Algorithm, transforms
from vggnumpy.ops.winograd_tiles import (
    add_filter_products,
    filters_backward,
    gather_outputs,
    gather_tiles,
    spread_tiles,
    tile_products,
    transform_filters,
)
from vggnumpy.ops.workspace import Workspace

_TILES = 192  # in work at one time


class WinogradCache(NamedTuple):
    """What `winograd_conv` keeps: the transformed filters, the outputs of a tile's side, and the padding."""

    U: Any
    tile: int
    padding: PadCache
    y_shape: tuple[int, ...]


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


@operator(arrays=lambda dy, x, cache: (dy, x, cache.U))
def winograd_conv_backward_filter(dy: Any, x: Any, cache: WinogradCache) -> tuple[Any, Any]:
    """Return the derivatives with respect to filters and bias of `winograd_conv`: equation (4), and db = Σ dy.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    x : ndarray
        The input that `winograd_conv` was given.
    cache : WinogradCache
        From `winograd_conv`.

    Returns
    -------
    dw : ndarray, 3×3×C×K
    db : ndarray of K

    Raises
    ------
    ValueError
        If `dy` or `x` has another shape than in the forward pass.
    """
    check_cotangent(dy, cache.y_shape, "winograd_conv_backward_filter")
    if x.shape != cache.padding.x_shape:
        raise ValueError(
            f"winograd_conv_backward_filter: x must be of shape {cache.padding.x_shape} as before, got {x.shape}"
        )
    m, algorithm, work = cache.tile, transforms(cache.tile, str(dy.dtype)).straight, Workspace()
    images, dys = batched(pad(x, cache.padding.sides, cache.padding.mode)[0], "x"), batched(dy, "dy")
    dU = np.zeros_like(cache.U)
    count = -(-dys.shape[2] // m)
    rows = max(1, _TILES // count)
    for image, one in zip(images, dys, strict=True):
        for first in range(0, len(one), m * rows):
            here = min(rows, -(-(len(one) - first) // m))
            tiles = work("even", (m + 2, m * here + 2, count, images.shape[-1]), dy.dtype)
            gather_tiles(image, tiles, first, 0, m)
            dY = work("outputs", (m, m, here, count, dy.shape[-1]), dy.dtype)
            gather_outputs(one[first : first + m * here], dY)
            add_filter_products(dU, tiles, dY, algorithm, work)
    return filters_backward(dU, m), dys.sum(axis=(0, 1, 2), dtype="float64").astype(dy.dtype)


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
