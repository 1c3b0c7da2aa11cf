r"""Local style: distance between Gram matrices of the neighbourhood of every position.

Nikulin and Novak 2016, section 9.  With features f_u at position u, radius s and the square window |dx|, |dy| ≤ s,

    G(p) = Σ_{d} w(d) f_{p+d} f_{p+d}ᵀ,      w(dx, dy) = 1/(1 + dx² + dy²)                                        (1)

where p + d outside the map adds nothing.  A(p) is the same of the style's features a, which have the same size: what
occurs together must now do so at its place.  With R_u = f_u f_uᵀ − a_u a_uᵀ and a factor k that the normalisation sets,

    E = k Σ_p Σ_ij (G(p) − A(p))_ij²  =  k Σ_p ‖Σ_u w(u − p) R_u‖²                                                 (2)

=============== ================ ==============================================================================
normalization   k                source
=============== ================ ==============================================================================
``raw``         1/2              as the other losses
``gatys``       1/(4C²M²)        the paper, with M positions and C channels
``mean_square`` 1/(C⁴ M Ω²)      mean over positions and pairs of ((G − A)/(C Ω))², Ω = Σ_d w(d): the same at every
                                 size of the image and nearly so at every radius
``relative``    1 / Σ A²         ours: 0 for the style, 1 for no style at all
=============== ================ ==============================================================================

Derivation.  1. Expand (2): with K(u, v) = Σ_p w(u − p) w(v − p), p over the map,

    E = k Σ_uv K(u, v) ⟨R_u, R_v⟩ = k Σ_u ⟨R_u, B_u⟩,      B_u = Σ_v K(u, v) R_v                                    (3)

so that C×C fields are only ever needed multiplied by a vector, and v runs over the offsets up to 2s from u.
2. K is symmetric, so δE = 2k Σ_u ⟨B_u, δR_u⟩; δR_u = δf_u f_uᵀ + f_u δf_uᵀ and B_u is symmetric, hence

    ∂E/∂f_u = 4k B_u f_u                                                                                            (4)

which is the paper's 1/(C²M²) Σ_j (w ⋆ (G − A)_ij) F_j under ``gatys``.  3. Let d = f − a and m = f + a.  Then
R_v = (d_v m_vᵀ + m_v d_vᵀ)/2, every sum below is of the size of the difference, and near the style nothing cancels:

    B_u f_u = ½ Σ_v K(u, v) [(f_u·m_v) d_v + (f_u·d_v) m_v]                                                         (5)

4. By (3) and 2a = m − d, f·Bf − a·Ba = m·Bd = 2 d·Bf − d·Bd, and d_u·B_u d_u = Σ_v K(u, v) (d_u·d_v)(d_u·m_v).  Summed
over u, the names of u and v may be exchanged, and d_v·m_u = 2 f_u·d_v − d_u·d_v:

    E = k Σ_u [2 d_u·B_u f_u − Σ_v K(u, v) (d_u·d_v)(2 f_u·d_v − d_u·d_v)]                                          (6)

Five products of matrices for a tile of u with its surroundings v: F Mᵀ, F Dᵀ, D Dᵀ, and the two of (5).

K.  Away from the border K(u, v) is (w ⋆ w)(u − v), near it p has less room.  The matrix w is symmetric:
w(dx, dy) = Σ_r λ_r e_r(dy) e_r(dx) by its eigenvectors, of which at most s + 1 count, so K is a short sum of products
of a factor of the rows and one of the columns, each summed over the p that there are (`_axis_factor`).

At s = 0, w = 1 and K(u, v) is 1 for u = v only: E = k Σ_u ½ [(d·d)(m·m) + (d·m)²], which is the well-known
(f·f)² − 2(f·a)² + (a·a)², and ∂E/∂f_u = 2k [(f·m) d + (f·d) m].

Cost.  10·C·(8 + 4s)² operations for each position, nearly all of it products of matrices.  Memory: that of the features
four times and, for each worker, about six arrays of 64 × (8 + 4s)² entries (2 MiB each at s = 20 in float32).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import array_module, operator, sum64, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.losses.factors import map_factor

TILE = 8  # side of a tile: 4 and 16 are slower at radius 8, by 20 % and 10 %
GROUP = 16  # tiles that share one K


class LocalGramTarget(NamedTuple):
    """The style at every position: its features H×W×C, the window's radius, and Σ_p Σ_ij A_ij(p)²."""

    features: Any
    radius: int
    total: float


def window_weights(radius: int) -> np.ndarray:
    """Return w(dx, dy) = 1/(1 + dx² + dy²) for |dx|, |dy| ≤ radius, (2s+1)×(2s+1), float64.

    Raises
    ------
    InputError
        If the radius is not a whole number, 0 or more.
    """
    if isinstance(radius, bool) or not isinstance(radius, int | np.integer) or radius < 0:
        raise InputError(f"the radius of a local style must be a whole number of positions, 0 or more, got {radius!r}")
    squares = np.arange(-radius, radius + 1) ** 2
    weights: np.ndarray = 1 / (1.0 + squares[:, None] + squares)
    return weights


def window_factors(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return λ (R) and e (R×(2s+1)) with w(dx, dy) = Σ_r λ_r e_r(dy) e_r(dx) to rounding; R is about s + 1 at most."""
    values, vectors = np.linalg.eigh(window_weights(radius))
    kept = abs(values) > 1e-15 * abs(values).max()
    return values[kept], vectors[:, kept].T


def along_axis(factors: np.ndarray, targets: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return e_r(target − source), R×targets×sources; 0 beyond the window."""
    radius = factors.shape[1] // 2
    offsets = targets[:, None] - sources
    inside = abs(offsets) <= radius
    values: np.ndarray = np.where(inside, factors[:, np.where(inside, offsets + radius, 0)], 0.0)
    return values


@operator(any_array=True)
def local_gram_target(F_style: Any, radius: int) -> LocalGramTarget:
    """Return the target of `local_gram`.

    Parameters
    ----------
    F_style : ndarray, H×W×C, float32 or float64
        Features of the style image.  They are what is kept: C²-fold fields never exist.
    radius : int
        s, in positions of the layer: 0 for single positions.

    Raises
    ------
    InputError
        If the features are not H×W×C or the radius is not a whole number, 0 or more.
    """
    if F_style.ndim != 3:
        raise InputError(f"a local style needs features H×W×C of one style image, got shape {tuple(F_style.shape)}")
    window_weights(radius)
    total, _ = _distance(array_module(F_style).zeros_like(F_style), F_style, radius, 1)
    return LocalGramTarget(F_style, int(radius), float(total))


@operator(any_array=True, arrays=lambda F, target, *_, **__: (F, target.features))
def local_gram(F: Any, target: LocalGramTarget, normalization: str = "gatys", workers: int = 1) -> tuple[float, Any]:
    """Return the local style loss and its gradient.

        E = 1/(4C²M²) Σ_p Σ_ij (G − A)_ij(p)²,    ∂E/∂f_u = 1/(C²M²) Σ_v K(u, v) (f_v f_vᵀ − a_v a_vᵀ) f_u

    (``gatys``; the others, and the derivation: see this module.)

    Parameters
    ----------
    F : ndarray, H×W×C, float32 or float64
        Features of the image.
    target : LocalGramTarget
        Of a style whose features have the shape and dtype of `F`: see `local_gram_target`.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor k.
    workers : int
        How many threads share the tiles.  The result is the same to the last bit for any number.  Worth it where
        BLAS is held to one thread each.

    Returns
    -------
    value : float
        In float64; exactly 0, as is the gradient, where `F` is the style's.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    InputError
        If image and style differ in size, or the normalisation is ``relative`` and the style zero everywhere.
    ValueError
        If the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    S = target.features
    if F.shape != S.shape:
        raise InputError(
            f"local style compares image and style position by position, so both need the same size: their features "
            f"are {tuple(F.shape)} and {tuple(S.shape)}; resize the style image to the size of the content image"
        )
    channels, positions = F.shape[2], F.shape[0] * F.shape[1]
    mean_square = float(1 / (channels**4 * positions * window_weights(target.radius).sum() ** 2))
    factor = map_factor(channels, positions, normalization, mean_square, target.total, "local style loss")
    distance, BF = _distance(F, S, target.radius, workers)
    BF *= 4 * factor
    return factor * distance, BF


def _distance(F: Any, S: Any, radius: int, workers: int) -> tuple[float, Any]:
    """Return Σ_p ‖G(p) − A(p)‖², equation (6), and B_u f_u, equation (5), in the shape of `F`."""
    xp = array_module(F)
    D, M = F - S, F + S
    if radius == 0:
        dd, mm, dm = (xp.sum(a * b, -1, keepdims=True) for a, b in ((D, D), (M, M), (D, M)))
        fm, fd = (mm + dm) / 2, (dm + dd) / 2  # f = (m + d)/2
        return (sum64(dd * mm) + sum_of_squares(dm)) / 2, (fm * D + fd * M) / 2
    BF = xp.empty(F.shape, F.dtype)
    weights = window_factors(radius)

    def group(tiles: list[tuple[slice, slice]]) -> float:
        K = _pair_weights(tiles[0], F, radius, weights)
        return sum(_tile(rows, columns, F, D, M, K, radius, BF) for rows, columns in tiles)

    groups = list(_groups(F.shape[0], F.shape[1], radius))
    if workers == 1:
        return sum(map(group, groups)), BF
    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(group, groups)), BF


def _tile(rows: slice, columns: slice, F: Any, D: Any, M: Any, K: Any, radius: int, BF: Any) -> float:
    """Write B_u f_u of one tile into `BF` and return the tile's share of the sum (6)."""
    xp = array_module(F)
    channels = F.shape[2]
    around = _around(rows, F.shape[0], 2 * radius), _around(columns, F.shape[1], 2 * radius)
    f, d = (a[rows, columns].reshape(-1, channels) for a in (F, D))
    D_around, M_around = (a[around].reshape(-1, channels) for a in (D, M))
    fm, fd, dd = f @ M_around.T, f @ D_around.T, d @ D_around.T
    fm *= K
    fd *= K
    product = fm @ D_around
    product += fd @ M_around
    product /= 2
    BF[rows, columns] = product.reshape(rows.stop - rows.start, columns.stop - columns.start, channels)
    fd *= 2
    fd -= K * dd  # K (2 f_u·d_v − d_u·d_v)
    along = 2 * xp.einsum("uc,uc->u", d, product) - xp.einsum("uv,uv->u", dd, fd)
    return sum64(along)


def _around(span: slice, size: int, reach: int) -> slice:
    """Return the span of an axis that is at most `reach` away from `span`."""
    return slice(max(0, span.start - reach), min(size, span.stop + reach))


def _groups(height: int, width: int, radius: int) -> Iterator[list[tuple[slice, slice]]]:
    """Yield the tiles of a map in groups that have one K: those as far from every border, or farther than 2s."""

    def alike(size: int) -> list[list[slice]]:
        classes: dict[tuple[int, int, int], list[slice]] = {}
        for start in range(0, size, TILE):
            stop = min(size, start + TILE)
            key = stop - start, min(start, 2 * radius), min(size - stop, 2 * radius)
            classes.setdefault(key, []).append(slice(start, stop))
        return list(classes.values())

    for rows, columns in itertools.product(alike(height), alike(width)):
        tiles = list(itertools.product(rows, columns))
        for start in range(0, len(tiles), GROUP):
            yield tiles[start : start + GROUP]


def _pair_weights(tile: tuple[slice, slice], F: Any, radius: int, weights: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return K(u, v) for the positions u of a tile and v around it, as a matrix of the array type and dtype of `F`."""
    values, factors = weights
    rows, columns = (_axis_factor(span, size, radius, factors) for span, size in zip(tile, F.shape[:2], strict=True))
    rows *= np.multiply.outer(values, values).ravel()
    (i, a, _), (j, b, _) = rows.shape, columns.shape
    K = rows.reshape(i * a, -1) @ columns.reshape(j * b, -1).T
    K = K.reshape(i, a, j, b).transpose(0, 2, 1, 3).reshape(i * j, a * b)
    return array_module(F).asarray(np.ascontiguousarray(K, F.dtype))


def _axis_factor(span: slice, size: int, radius: int, factors: np.ndarray) -> np.ndarray:
    """Return Σ_p e_r(y − p) e_q(z − p) for y in the span, z around it and pairs rq, p over the axis.

    By the eigenvectors, K((y, x), (z, t)) = Σ_rq λ_r λ_q [Σ_p e_r(y − p) e_q(z − p)] [Σ_p e_r(x − p) e_q(t − p)].
    """
    y, p, z = (
        np.arange(*s.indices(size)) for s in (span, _around(span, size, radius), _around(span, size, 2 * radius))
    )
    sums = np.tensordot(along_axis(factors, y, p), along_axis(factors, z, p), axes=(2, 2))  # r, y, q, z
    return sums.transpose(1, 3, 0, 2).reshape(len(y), len(z), -1)
