r"""Style: distance between Gram matrices.

Features F are read as a matrix of M positions × C channels (the positions of all images of a batch together); the
Gram matrix G = FᵀF sums the products of channels over positions, so it keeps what occurs together and forgets where.
A is the target's Gram matrix, summed over M_a positions.  Images of different size have different M, so Grams are
divided by their own M before they are compared:

    R = G/M − A/M_a,      L = k Σ_ij R_ij²                                                                  (1)

=============== ================ ==============================================================================
normalization   k                source
=============== ================ ==============================================================================
``raw``         M²/2             the MatConvNet report, "Style Loss": ½ Σ (G − A)² when the sizes agree
``gatys``       1/(4C²)          Gatys, Ecker and Bethge 2016, equation 4: 1/(4C²M²) Σ (G − A)² when they agree
``mean_square`` 1/C⁴             neural-style (Johnson 2015): mean of (G/(CM) − A/(C M_a))².  Gatys' own published
                                 code weighs the mean of R² with 1000/C², which is ``mean_square`` times 1000
``relative``    M_a² / Σ A²      ours: 0 for the style, 1 for no style at all, more for too much of another;
                                 the same whatever the scale of the features
=============== ================ ==============================================================================

Derivation.  A small change δF changes G by δG = δFᵀ F + Fᵀ δF.  From (1), δL = Σ_ij S_ij δG_ij with S = 2k R / M, so

    δL = tr(Sᵀ δFᵀ F) + tr(Sᵀ Fᵀ δF) = ⟨δF, F Sᵀ⟩ + ⟨δF, F S⟩      hence      ∂L/∂F = F (S + Sᵀ)           (2)

G is symmetric, but A need not be (a synthetic target may have a single entry), so S need not be: the form 2 F S that
many programs use is wrong there.  M does not depend on F.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from vggnumpy.backend import operator, sum_of_squares
from vggnumpy.losses.factors import NORMALIZATIONS, nonzero_target


class GramStatistics(NamedTuple):
    """A Gram matrix, C×C, and the number of positions it was summed over.  Both add up over strips of rows."""

    matrix: Any
    positions: int


@operator(any_array=True)
def gram_statistics(F: Any) -> GramStatistics:
    """Return G = FᵀF and the number of positions.

    Parameters
    ----------
    F : ndarray, …×C, float32 or float64
        Features, or a strip of them; all axes but the last are positions.
    """
    flat = F.reshape(-1, F.shape[-1])
    return GramStatistics(flat.T @ flat, flat.shape[0])


@operator(any_array=True)
def gram_value(
    G: Any,
    A: Any,
    positions: int,
    target_positions: int,
    normalization: str = "gatys",
    target: float | None = None,
) -> tuple[float, Any]:
    """Return the value (1) and its derivative S with respect to G, from summed statistics.

    Parameters
    ----------
    G, A : ndarray, C×C
        Gram matrices of image and target.
    positions, target_positions : int
        M and M_a, what each was summed over.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor k.
    target : float, optional
        Σ A², where it is known already; only ``relative`` needs it.

    Returns
    -------
    value : float
        In float64.
    S : ndarray, C×C
        2k R / M.

    Raises
    ------
    ValueError
        If the matrices are not C×C both, a count is not positive, the normalisation is unknown, or it is
        ``relative`` and A is zero.
    """
    channels = G.shape[0]
    if G.shape != (channels, channels) or A.shape != G.shape:
        raise ValueError(f"Gram matrices must both be C×C, got {tuple(G.shape)} and {tuple(A.shape)}")
    if positions < 1 or target_positions < 1:
        raise ValueError(f"Gram matrices need positive counts of positions, got {positions} and {target_positions}")
    whole = 0.0
    if normalization == "relative":
        whole = sum_of_squares(A) if target is None else target
    factor = gram_factor(channels, positions, target_positions, normalization, whole)
    R = G / float(positions) - A / float(target_positions)
    return factor * sum_of_squares(R), R * float(2 * factor / positions)


def gram_factor(
    channels: int,
    positions: float,
    target_positions: float,
    normalization: str,
    target: float,
    loss: str = "Gram loss",
) -> float:
    """Return the factor k of (1).

    Parameters
    ----------
    channels : int
        C.
    positions, target_positions : float
        M and M_a, or the weights that masks have in place of them.
    normalization : {"gatys", "raw", "mean_square", "relative"}
    target : float
        Σ A², which only ``relative`` looks at.
    loss : str
        What it is a factor of, for the message.

    Raises
    ------
    ValueError
        If the normalisation is unknown, or it is ``relative`` and A is zero.
    """
    if normalization == "raw":
        return positions**2 / 2
    if normalization == "gatys":
        return 1 / (4 * channels**2)
    if normalization == "mean_square":
        return 1 / channels**4
    if normalization == "relative":
        return target_positions**2 / nonzero_target(target, loss)
    raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")


class GramMixture(NamedTuple):
    """Several styles as one: factor · Σ (G/M − matrix)² + constant is their weighted sum of losses."""

    matrix: Any
    factor: float
    constant: float


def gram_mixture(targets: Sequence[tuple[Any, int]], factors: Sequence[float]) -> GramMixture:
    r"""Return one target in place of several, with the same sum of losses and the same gradient.

    With B_s = A_s/M_s, k_s the styles' factors (weight times k) and K = Σ k_s, the mean B = Σ k_s B_s / K splits the
    sum as the mean of any points splits the moment of inertia:

        Σ_s k_s Σ (G/M − B_s)² = K Σ (G/M − B)² + Σ_s k_s Σ (B_s − B)²

    because Σ_s k_s (B_s − B) = 0.  The last sum does not depend on the image.

    Parameters
    ----------
    targets : sequence of (ndarray C×C, int)
        Gram matrix A_s and its positions M_s.
    factors : sequence of float
        k_s ≥ 0.
    """
    total = sum(factors)
    means = [A / float(positions) for A, positions in targets]
    if len(means) == 1 or not total:
        return GramMixture(means[0], total, 0.0)
    mixed = means[0] * (factors[0] / total)
    for mean, factor in zip(means[1:], factors[1:], strict=True):
        mixed = mixed + mean * (factor / total)
    constant = sum(k * float(sum_of_squares(mean - mixed)) for mean, k in zip(means, factors, strict=True))
    return GramMixture(mixed, total, constant)


@operator(any_array=True)
def gram_cotangent(F: Any, S: Any) -> Any:
    """Return F (S + Sᵀ), equation (2): the derivative with respect to the features at hand."""
    return (F.reshape(-1, F.shape[-1]) @ (S + S.T)).reshape(F.shape)


def gram(F: Any, A: Any, positions: int | None = None, normalization: str = "gatys") -> tuple[float, Any]:
    """Return the Gram style loss and its gradient.

        L = 1/(4C²) Σ (G/M − A/M_a)²,    ∂L/∂F = F(R + Rᵀ)/(2C²M)       (``gatys``; the others: see this module)

    Parameters
    ----------
    F : ndarray, H×W×C or N×H×W×C, float32 or float64
        Features of the image.
    A : ndarray, C×C, of the dtype of `F`
        Target Gram matrix, *summed* over its positions; it need not be symmetric.
    positions : int, optional
        M_a, the number of positions that `A` was summed over.  By default as many as `F` has.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor k.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    ValueError
        If `A` is not C×C or the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    G, M = gram_statistics(F)
    value, S = gram_value(G, A, M, M if positions is None else positions, normalization)
    return value, gram_cotangent(F, S)
