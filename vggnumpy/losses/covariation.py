r"""Style–content covariation: which style occurs where which content is.

Nikulin and Novak 2016, section 9: their central proposal, which they did not run.  With the local Gram matrices G(p) of
the style layer (`vggnumpy.losses.local_gram`, equation 1: radius s, weights w) and content responses F^c_k(p),

    T_ijk = Σ_p F^c_k(p) G_ij(p),      R = T/M − T*/M_a,      E = c Σ_ijk R_ijk²                                    (1)

T* is the same of the style image: *its* content responses and *its* local Grams, summed over its M_a positions.  So T_k
is the Gram matrix of where content k is, and E asks for snow on what answers as ground, if the style image has it so,
wherever the ground is: the two images need neither be aligned nor of one size.  Their paper prints (1) without a factor
("∼"), for equal sizes.  With one content response that is 1 everywhere it is the Gram loss.

=============== ============ ===========================================================================
normalization   c            source
=============== ============ ===========================================================================
``raw``         M²/2         ½ Σ (T − T*)² when the sizes agree
``gatys``       1/(4C²)      1/(4C²M²) Σ (T − T*)² when they agree: the factor of the paper's other losses
``mean_square`` 1/(C⁴K)      mean over i, j, k of ((T/M − T*/M_a)/C)²
``relative``    M_a² / ΣT*²  ours: 0 for the style, 1 for no style at all
=============== ============ ===========================================================================

**What the paper leaves open, and our choice.**  *Which content channels:* a deep layer has 512, and T then 512 C×C
matrices.  We take K combinations F^c V, with V (orthonormal) the principal axes of a content target, not centred:
for K = all channels Σ R² is that of the paper's tensor, since a rotation of k does not change it, and for fewer the
part of it that the content speaks of most (`content_components`).  V is computed once and never moves.  *"The weighted
content response reachable from (x, y, l)"* for a content layer on another grid: the mean of the responses around the
same place, weighted by a triangle as wide as the coarser grid's spacing; linear interpolation if the content is
coarser, the responses themselves on equal grids.  *Whose content moves:* F^c may be the image's own, which changes with
it, or fixed at the content target ("F^c ≡ P^c"): then ignore the second derivative.  *What season does to the content:*
under snow a whole channel answers louder, and T* then asks for more than any image with the photograph's content has.
`standardised_content` takes that out; transfers use it, with the content fixed.

Derivation.  1. Exchange the sums over p and over the window, p + d = u:

    T_k = Σ_u φ_k(u) f_u f_uᵀ = Fᵀ diag(φ_k) F,      φ_k(u) = Σ_p w(u − p) F^c_k(p)                                 (2)

so the window only smooths the content, and no field of C×C matrices is needed at any radius.  2. With S_k = 2c R_k/M,
δE = Σ_k ⟨S_k, δT_k⟩ and δT_k = Σ_u δφ_k(u) f_u f_uᵀ + φ_k(u) (δf_u f_uᵀ + f_u δf_uᵀ), by the product rule:

    ∂E/∂f_u = Σ_k φ_k(u) (S_k + S_kᵀ) f_u,      ∂E/∂φ_k(u) = f_uᵀ S_k f_u                                           (3)

3. φ is linear in the content's features X (H_c×W_c×C_c): with U_y, U_x the interpolations along rows and columns and
the eigenvectors of w, w(dx, dy) = Σ_r λ_r e_r(dy) e_r(dx), as matrices E_r[u, p] = e_r(u − p),

    φ = Σ_r λ_r (E_r U_y) (X V) (E_r U_x)ᵀ,      ∂E/∂X = [Σ_r λ_r (E_r U_y)ᵀ (∂E/∂φ) (E_r U_x)] Vᵀ                  (4)

If style and content are one layer, its derivative is the sum of both.

Cost.  4·K·C² operations for each position, nearly all of it products of matrices.  Memory: the features twice, φ and
its derivative, T, T* and S of K×C×C each, and blocks of 2048 positions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import array_module, operator, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.losses.gram import gram_factor
from vggnumpy.losses.local_gram import along_axis, window_factors

_BLOCK = 2048  # positions


class CovariationStatistics(NamedTuple):
    """T, K×C×C, and the number of positions it was summed over.  Both add up over strips of rows."""

    tensor: Any
    positions: int


class CovariationTarget(NamedTuple):
    """T* of a style image with its count of positions M_a, and how it was made: V (C_c×K), the radius, and Σ T*²."""

    tensor: Any
    positions: int
    components: Any
    radius: int
    total: float


@operator(any_array=True)
def standardised_content(X: Any) -> Any:
    r"""Return content features without what a style does to whole channels, and a constant: H_c×W_c×(C_c + 1).

        X̂_c(p) = (X_c(p) − μ_c) / (σ_c √C_c),        X̂_{C_c+1}(p) = 1

    with mean μ_c and deviation σ_c of each channel over the image's own positions.  These two are what adaptive
    instance normalisation (Huang and Belongie 2017) takes for the style of a channel; what is left says where a channel
    answers more than elsewhere in the same image, and is comparable between summer and winter.  The constant's T is the
    Gram matrix of the whole image.  The mean square of all other channels together is 1, so that the constant is the
    first of the `content_components`, and each further one counts less than it.

    Ours, not the paper's.  Measured on the demo's landscape, summer to winter, 64 × 48 pixels, eight components: the
    colours end 14.0 from the winter's picture (mean ΔE76) with the responses of relu2_2 as they are and fixed, 11.2 if
    they move with the image, 10.3 standardised and fixed, and 9.4 so at relu3_2; 9.9 with Gram matrices.

    A channel whose deviation is less than a thousandth of the largest becomes 0.

    Parameters
    ----------
    X : ndarray, H_c×W_c×C_c, float32 or float64
        Features of the content layer.

    Raises
    ------
    InputError
        If they are not H_c×W_c×C_c.
    """
    if X.ndim != 3:
        raise InputError(f"the covariation needs content features H×W×C of one image, got shape {tuple(X.shape)}")
    xp = array_module(X)
    flat = X.reshape(-1, X.shape[2]).astype("float64")
    deviation = flat.std(axis=0)
    alive = deviation > 1e-3 * deviation.max()
    flat = (flat - flat.mean(axis=0)) * (alive / xp.where(alive, deviation, 1.0) / X.shape[2] ** 0.5)
    return xp.concatenate([flat.reshape(X.shape), xp.ones((*X.shape[:2], 1))], axis=2).astype(X.dtype)


@operator(any_array=True)
def content_components(P: Any, count: int) -> Any:
    """Return V: the directions in which features are largest, orthonormal, C_c×K.

    The eigenvectors of PᵀP with the largest eigenvalues, computed in float64; the sign of each is such that the sum of
    its responses is positive.

    Parameters
    ----------
    P : ndarray, …×C_c, float32 or float64
        Features of the content target.
    count : int
        K, from 1 to C_c.

    Raises
    ------
    InputError
        If there are not so many channels.
    """
    channels = P.shape[-1]
    if not 1 <= count <= channels:
        raise InputError(f"from 1 to {channels} content components can be made of {channels} channels, got {count}")
    xp = array_module(P)
    flat = P.reshape(-1, channels).astype("float64")
    _, vectors = xp.linalg.eigh(flat.T @ flat)
    vectors = vectors[:, ::-1][:, :count]
    signs = xp.where(xp.sum(flat, 0) @ vectors < 0, -1.0, 1.0)
    return (vectors * signs).astype(P.dtype)


@operator(any_array=True)
def covariation_maps(content: Any, components: Any, shape: tuple[int, int], radius: int = 0) -> Any:
    """Return φ, H×W×K: the content's components on the style layer's grid, smoothed by the window; equation (4).

    Parameters
    ----------
    content : ndarray, H_c×W_c×C_c
        Features of the content layer.
    components : ndarray, C_c×K
        V.
    shape : tuple of int
        H, W of the style layer.
    radius : int
        s, in positions of the style layer.

    Raises
    ------
    InputError
        If the content has another number of channels than the components, or the radius is not a whole number.
    """
    if content.ndim != 3 or content.shape[2] != components.shape[0]:
        raise InputError(
            f"the content components were made of {components.shape[0]} channels and need features H×W×"
            f"{components.shape[0]} of the same layer, got shape {tuple(content.shape)}"
        )
    return _spread(content @ components, _spreads(content, content.shape, shape, radius))


@operator(any_array=True)
def covariation_maps_cotangent(dphi: Any, components: Any, content_shape: tuple[int, ...], radius: int = 0) -> Any:
    """Return ∂E/∂X, the derivative with respect to the content's features, from ∂E/∂φ; equation (4).

    Parameters
    ----------
    dphi : ndarray, H×W×K
    components : ndarray, C_c×K
    content_shape : tuple of int
        H_c, W_c, C_c.
    radius : int
    """
    spreads = _spreads(dphi, content_shape, dphi.shape, radius)
    return _spread(dphi, [(rows.T, columns.T) for rows, columns in spreads]) @ components.T


@operator(any_array=True)
def covariation_statistics(F: Any, phi: Any) -> CovariationStatistics:
    """Return T, equation (2), and the number of positions.

    Parameters
    ----------
    F : ndarray, …×C, float32 or float64
        Features of the style layer, or a strip of them; all axes but the last are positions.
    phi : ndarray, …×K
        φ at the same positions.

    Raises
    ------
    ValueError
        If their positions differ.
    """
    if F.shape[:-1] != phi.shape[:-1]:
        raise ValueError(f"style features {tuple(F.shape)} and content maps {tuple(phi.shape)} differ in positions")
    f, phi = F.reshape(-1, F.shape[-1]), phi.reshape(-1, phi.shape[-1])
    tensor = array_module(F).zeros((phi.shape[1], f.shape[1], f.shape[1]), F.dtype)
    for start in range(0, f.shape[0], _BLOCK):
        block, weights = f[start : start + _BLOCK], phi[start : start + _BLOCK]
        for k in range(phi.shape[1]):
            tensor[k] += block.T @ (weights[:, k, None] * block)
    return CovariationStatistics(tensor, f.shape[0])


@operator(any_array=True)
def covariation_value(
    T: Any,
    target: Any,
    positions: int,
    target_positions: int,
    normalization: str = "gatys",
    total: float | None = None,
) -> tuple[float, Any]:
    """Return the value (1) and S, its derivative with respect to T, from summed statistics.

    Parameters
    ----------
    T, target : ndarray, K×C×C
        T and T*, which need not be symmetric in i and j.
    positions, target_positions : int
        M and M_a.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor c.
    total : float, optional
        Σ T*², where it is known already; only ``relative`` needs it.

    Raises
    ------
    ValueError
        If the shapes differ or the normalisation is unknown.
    InputError
        If it is ``relative`` and T* is zero.
    """
    if T.shape != target.shape:
        raise ValueError(f"covariations must both be K×C×C, got {tuple(T.shape)} and {tuple(target.shape)}")
    R = T / float(positions) - target / float(target_positions)
    whole = 0.0
    if normalization == "relative":
        whole = sum_of_squares(target) if total is None else total
    factor = gram_factor(T.shape[1], positions, target_positions, normalization, whole, "covariation loss")
    if normalization == "mean_square":
        factor /= T.shape[0]
    return factor * sum_of_squares(R), R * float(2 * factor / positions)


@operator(any_array=True)
def covariation_cotangent(F: Any, phi: Any, S: Any) -> tuple[Any, Any]:
    """Return ∂E/∂F and ∂E/∂φ at the positions at hand, equation (3), in the shapes of `F` and `phi`."""
    xp = array_module(F)
    f, weights = F.reshape(-1, F.shape[-1]), phi.reshape(-1, phi.shape[-1])
    dF, dphi = xp.zeros_like(f), xp.empty_like(weights)
    both = S + S.transpose(0, 2, 1)
    for start in range(0, f.shape[0], _BLOCK):
        block = slice(start, start + _BLOCK)
        for k in range(S.shape[0]):
            product = f[block] @ both[k]
            dphi[block, k] = xp.einsum("uc,uc->u", f[block], product) / 2
            product *= weights[block, k, None]
            dF[block] += product
    return dF.reshape(F.shape), dphi.reshape(phi.shape)


@operator(any_array=True)
def covariation_target(F_style: Any, content_style: Any, components: Any, radius: int = 0) -> CovariationTarget:
    """Return the target of `covariation`.

    Parameters
    ----------
    F_style : ndarray, H×W×C, float32 or float64
        Features of the style image at the style layer.
    content_style : ndarray, H_c×W_c×C_c
        Features of the *style image* at the content layer.
    components : ndarray, C_c×K
        V, of the content target: see `content_components`.
    radius : int
        s of the local Gram matrices, 0 for single positions.

    Raises
    ------
    InputError
        If the shapes do not fit, or the radius is not a whole number, 0 or more.
    """
    _check_map(F_style)
    tensor, positions = covariation_statistics(
        F_style, covariation_maps(content_style, components, F_style.shape[:2], radius)
    )
    return CovariationTarget(tensor, positions, components, int(radius), float(sum_of_squares(tensor)))


@operator(any_array=True, arrays=lambda F, content, target, *_, **__: (F, content, target.tensor, target.components))
def covariation(
    F: Any, content: Any, target: CovariationTarget, normalization: str = "gatys"
) -> tuple[float, Any, Any]:
    """Return the covariation loss and its gradients with respect to both layers.

        E = 1/(4C²) Σ_ijk (T/M − T*/M_a)²,    T_ijk = Σ_p F^c_k(p) G_ij(p)        (``gatys``; the others, the gradients,
        and what is the paper's and what is ours: see this module)

    Parameters
    ----------
    F : ndarray, H×W×C, float32 or float64
        Features of the image at the style layer; C and dtype as the target's, H and W free.
    content : ndarray, H_c×W_c×C_c
        Features of the image at the content layer, or of the content target if the content is to be fixed.
    target : CovariationTarget
        See `covariation_target`.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor c.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.
    dcontent : ndarray
        In the shape and dtype of `content`.  Where both are one layer, its derivative is `dF` + `dcontent`.

    Raises
    ------
    InputError
        If the numbers of channels do not fit, or the normalisation is ``relative`` and the target zero everywhere.
    ValueError
        If the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    _check_map(F)
    if F.shape[2] != target.tensor.shape[1]:
        raise InputError(
            f"the covariation's target was made of {target.tensor.shape[1]} style channels, the image's features have "
            f"{F.shape[2]}; take both from the same layer"
        )
    phi = covariation_maps(content, target.components, F.shape[:2], target.radius)
    T, positions = covariation_statistics(F, phi)
    value, S = covariation_value(T, target.tensor, positions, target.positions, normalization, target.total)
    dF, dphi = covariation_cotangent(F, phi, S)
    return value, dF, covariation_maps_cotangent(dphi, target.components, content.shape, target.radius)


def _check_map(F: Any) -> None:
    if F.ndim != 3:
        raise InputError(f"the covariation needs style features H×W×C of one image, got shape {tuple(F.shape)}")


def _spread(maps: Any, spreads: list[tuple[Any, Any]]) -> Any:
    """Return Σ_r L_r X_k R_rᵀ for every channel k of X, H×W×K."""
    height, width, count = maps.shape
    total: Any = 0
    for rows, columns in spreads:
        along_rows = (rows @ maps.reshape(height, width * count)).reshape(-1, width, count)
        total = total + columns @ along_rows
    return total


def _spreads(like: Any, content_shape: tuple[int, ...], shape: tuple[int, ...], radius: int) -> list[tuple[Any, Any]]:
    """Return L_r = λ_r E_r U_y and R_r = E_r U_x for every r, of the array type and dtype of `like`."""
    xp = array_module(like)
    values, factors = window_factors(radius)
    sides = []
    for size, content_size in zip(shape[:2], content_shape[:2], strict=True):
        places = np.arange(size)
        sides.append(along_axis(factors, places, places) @ _interpolation(size, content_size))
    rows, columns = sides
    rows *= values[:, None, None]
    return [(xp.asarray(a, like.dtype), xp.asarray(b, like.dtype)) for a, b in zip(rows, columns, strict=True)]


def _interpolation(size: int, content_size: int) -> np.ndarray:
    """Return U, size×content_size: rows of a triangle as wide as the coarser spacing, which sum to 1.

    The centres of n positions are at (i + ½)/n along the axis.  On equal grids U is the identity.
    """
    centres, content_centres = ((np.arange(n) + 0.5) / n for n in (size, content_size))
    away = abs(centres[:, None] - content_centres) * min(size, content_size)
    weights = np.maximum(0.0, 1.0 - away)
    weights[weights < 1e-12] = 0.0  # neighbours exactly one spacing away, but for rounding
    return np.asarray(weights / weights.sum(1, keepdims=True))
