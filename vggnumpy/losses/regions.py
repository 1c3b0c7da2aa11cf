r"""Style in its place: the distance between Gram matrices, region by region.

Every position p of a feature map has a weight m_k(p) ≥ 0 in each of K regions: 0 or 1 for hard masks, anything between
for soft ones; the weights of a position need not add up to 1.  With F the matrix of M positions × C channels,

    G_k = Fᵀ diag(m_k) F,      N_k = Σ_p m_k(p),      R_k = G_k/N_k − A_k/N_ak,      L = Σ_k c_k Σ_ij R_kij²         (1)

A_k and N_ak are the same sums over the target.  N_k is the number of positions of region k *in that feature map*, so
that G_k/N_k is a mean over the region and regions of different size can be compared.

The weight stands in (1) once, not squared.  The other usual form masks the features, (mF)ᵀ(mF) = Fᵀ diag(m²) F.  For
hard masks they are the same, but where two soft regions share a position half and half, m² counts it a quarter in each:
half of it answers to nobody, and a band without style remains between the regions.  With m the Grams of weights that
add up to 1 add up to the Gram of the whole map, and every position keeps its full weight.  The sums are computed with
√m, G_k = (√m F)ᵀ(√m F), which is the same matrix, symmetric to the last bit, for half the work.

=============== ================== ============================================================================
normalization   c_k                source
=============== ================== ============================================================================
``printed``     1/K                the CS229 report, equation 6, with w_l = 1
``raw``         N_k²/2K            as `gram`'s: ½ Σ (G_k − A_k)² where the regions have the same size
``gatys``       1/(4C²K)           as `gram`'s
``mean_square`` 1/(C⁴K)            as `gram`'s
``relative``    s_k N_ak²/Σ A_k²   ours: the mean over all positions of 0 for their style and 1 for no style at all
=============== ================== ============================================================================

s_k = N_k / Σ_j N_j is the region's share of the map.  With 1/K in its place the style pulls at a position of a region
by 1/N_k, where the content pulls at every position alike: a small face in a large picture is painted over while the
sky behind it is hardly begun.  With s_k it pulls at every position of the map alike, as it does without regions.

With one region that is the whole map (m = 1) each is what `gram` computes under that name.

Derivation.  A small change δF changes G_k by δFᵀ diag(m_k) F + Fᵀ diag(m_k) δF.  With S_k = ∂L/∂G_k = 2c_k R_k/N_k,
δL = Σ_k tr(S_kᵀ δG_k) = Σ_k ⟨δF, diag(m_k) F S_kᵀ⟩ + ⟨δF, diag(m_k) F S_k⟩, hence

    ∂L/∂F = Σ_k diag(m_k) F (S_k + S_kᵀ)                                                                    (2)

The masks, and so N_k and s_k, do not depend on F.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vggnumpy.backend import array_module, operator, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.losses.gram import gram_factor

NORMALIZATIONS = ("printed", "raw", "gatys", "mean_square", "relative")
_BLOCK = 1 << 14  # positions that are weighted and copied at one time


class RegionStatistics(NamedTuple):
    """The Gram matrices of K regions, K×C×C, and the weight that each was summed over, K numbers of the same dtype.

    Both add up over strips of rows.
    """

    matrices: Any
    weights: Any


@operator(any_array=True)
def regions_statistics(F: Any, masks: Any) -> RegionStatistics:
    """Return G_k = Fᵀ diag(m_k) F and N_k = Σ m_k of every region; a region's positions of no weight cost nothing.

    This is also what a target is: the statistics of the style image's features under its own masks.  The statistics of
    several styles, a region from each, may be put together along the first axis.

    Parameters
    ----------
    F : ndarray, …×C, float32 or float64
        Features, or a strip of them; all axes but the last are positions.
    masks : ndarray, …×K, of the dtype of `F`
        The weights of the same positions in each region, not negative.

    Raises
    ------
    ValueError
        If features and masks have not the same positions.
    """
    flat, weights = _flat(F, masks)
    channels, regions = flat.shape[1], weights.shape[1]
    G = array_module(F).zeros((regions, channels, channels), F.dtype)
    for k in range(regions):
        for rows, m in _blocks(weights, k):
            X = flat[rows] * (m**0.5)[:, None]
            G[k] += X.T @ X
    return RegionStatistics(G, weights.sum(axis=0, dtype="float64").astype(F.dtype))


@operator(any_array=True)
def regions_value(G: Any, A: Any, weights: Any, target_weights: Any, normalization: str = "gatys") -> tuple[float, Any]:
    """Return the value (1) and its derivative with respect to the K matrices, from summed statistics.

    Parameters
    ----------
    G, A : ndarray, K×C×C
        Gram matrices of image and target.
    weights, target_weights : ndarray, K
        N_k and N_ak, what each was summed over.
    normalization : {"gatys", "printed", "raw", "mean_square", "relative"}
        The factor c_k.

    Returns
    -------
    value : float
        In float64.
    S : ndarray, K×C×C
        2 c_k R_k / N_k.

    Raises
    ------
    InputError
        If a region has no weight in the image or in the target; the message says which, counted from 1.
    ValueError
        If the numbers of regions or channels differ, or the normalisation is unknown.
    """
    if G.shape != A.shape or not len(G) == len(weights) == len(target_weights):
        raise ValueError(
            f"image and target must have the same regions and channels, got Gram matrices {tuple(G.shape)} with "
            f"{len(weights)} weights, and {tuple(A.shape)} with {len(target_weights)}"
        )
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")
    regions, value, S = len(G), 0.0, array_module(G).empty_like(G)
    total = float(weights.sum())
    for k in range(regions):
        N, N_target = float(weights[k]), float(target_weights[k])
        for count, where in ((N, "image"), (N_target, "target")):
            if not 0 < count < float("inf"):
                raise InputError(
                    f"region {k + 1} of {regions} has the weight {count:g} in the features of the {where}, which must "
                    "be more than nothing: leave the region out of both masks, or enlarge it"
                )
        factor = 1.0
        if normalization != "printed":
            whole = sum_of_squares(A[k]) if normalization == "relative" else 0.0
            factor = gram_factor(G.shape[1], N, N_target, normalization, whole, f"Gram loss of region {k + 1}")
        factor *= N / total if normalization == "relative" else 1 / regions
        R = G[k] / N - A[k] / N_target
        value = value + factor * sum_of_squares(R)
        S[k] = R * float(2 * factor / N)
    return value, S


@operator(any_array=True)
def regions_cotangent(F: Any, masks: Any, S: Any) -> Any:
    """Return Σ_k diag(m_k) F (S_k + S_kᵀ), equation (2): the derivative with respect to the features at hand.

    Parameters
    ----------
    F, masks
        As for `regions_statistics`.
    S : ndarray, K×C×C
        From `regions_value`.
    """
    flat, weights = _flat(F, masks)
    dF = array_module(F).zeros(flat.shape, F.dtype)
    for k in range(len(S)):
        both = S[k] + S[k].T
        for rows, m in _blocks(weights, k):
            dF[rows] += (flat[rows] @ both) * m[:, None]
    return dF.reshape(F.shape)


def regions(F: Any, target: RegionStatistics, masks: Any, normalization: str = "gatys") -> tuple[float, Any]:
    """Return the Gram style loss region by region, and its gradient.

        L = Σ_k c_k ‖G_k/N_k − A_k/N_ak‖²,    ∂L/∂F = Σ_k diag(m_k) F (S_k + S_kᵀ),    S_k = 2c_k R_k/N_k

    Memory beside the gradient: the K matrices twice, and blocks of 16384 positions.

    Parameters
    ----------
    F : ndarray, H×W×C or N×H×W×C, float32 or float64
        Features of the image.
    target : RegionStatistics
        From `regions_statistics` of the style image, of the dtype of `F`.
    masks : ndarray, H×W×K or N×H×W×K, of the dtype of `F`
        The weights of the image's positions in each region, in the order of the target's.
    normalization : {"gatys", "printed", "raw", "mean_square", "relative"}
        The factor c_k; see this module.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    InputError
        If a region has no weight in the image or in the target.
    ValueError
        If features and masks have not the same positions, image and target not the same regions or channels, or the
        normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    G, weights = regions_statistics(F, masks)
    value, S = regions_value(G, target.matrices, weights, target.weights, normalization)
    return value, regions_cotangent(F, masks, S)


def _flat(F: Any, masks: Any) -> tuple[Any, Any]:
    """Return features and weights as matrices of positions × channels and positions × regions."""
    if F.ndim < 2 or F.shape[:-1] != masks.shape[:-1] or masks.shape[-1] < 1:
        raise ValueError(
            f"masks must be …×K with the positions of the features, {tuple(F.shape[:-1])}, got {tuple(masks.shape)}"
        )
    return F.reshape(-1, F.shape[-1]), masks.reshape(-1, masks.shape[-1])


def _blocks(weights: Any, k: int) -> Iterator[tuple[Any, Any]]:
    """Yield the positions where region k has weight, block by block, and their weights."""
    m = weights[:, k]
    rows = array_module(m).nonzero(m)[0]
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        yield part, m[part]
