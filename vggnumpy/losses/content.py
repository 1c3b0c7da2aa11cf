r"""Content: squared distance between features.

With features F and targets P of equal shape, e = F − P, n entries and a factor k that the normalisation sets:

    L = k Σ e²,    ∂L/∂F = 2k e

because each entry of F occurs in one square only.  The factor:

=============== ============ ==============================================================================
normalization   k            source
=============== ============ ==============================================================================
``raw``         1/2          Gatys, Ecker and Bethge 2016, equation 1; the MatConvNet report, "Content Loss"
``gatys``       1/2          the same
``mean_square`` 1/n          neural-style (Johnson 2015), ``nn.MSECriterion``
``relative``    1 / ΣP²      ours: 1 when all of the content is lost, whatever the scale of the features
=============== ============ ==============================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vggnumpy.backend import operator, sum_of_squares
from vggnumpy.losses.factors import nonzero_target


class ContentStatistics(NamedTuple):
    """Sums over positions: Σ (F − P)², Σ P² and the number of entries.  Additive over strips of rows."""

    distance: float
    target: float
    entries: int


@operator(any_array=True)
def content_statistics(F: Any, P: Any, target: float | None = None) -> ContentStatistics:
    """Return Σ (F − P)², Σ P² and the number of entries, summed in float64.

    Parameters
    ----------
    F, P : ndarray of equal shape and dtype
        Features and target, or the same strip of both.
    target : float, optional
        Σ P², where it is known already.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if F.shape != P.shape:
        raise ValueError(f"content features and target must agree in shape, got {tuple(F.shape)} and {tuple(P.shape)}")
    return ContentStatistics(sum_of_squares(F - P), sum_of_squares(P) if target is None else target, F.size)


def content_value(statistics: ContentStatistics, normalization: str = "gatys") -> tuple[float, float]:
    """Return the value k Σ e² and its factor k, from the summed statistics.

    Raises
    ------
    ValueError
        If the normalisation is unknown, or ``relative`` and the target is zero everywhere.
    """
    if normalization in ("raw", "gatys"):
        factor = 0.5
    elif normalization == "mean_square":
        factor = 1 / statistics.entries
    elif normalization == "relative":
        factor = 1 / nonzero_target(statistics.target, "content loss")
    else:
        raise ValueError(
            f"normalization must be one of raw, gatys, mean_square, relative for content, got {normalization!r}"
        )
    return factor * statistics.distance, factor


@operator(any_array=True)
def content_cotangent(F: Any, P: Any, factor: float) -> Any:
    """Return 2 · factor · (F − P), the derivative with respect to the features at hand."""
    de = F - P
    de *= 2 * factor
    return de


def content(F: Any, P: Any, normalization: str = "gatys", target: float | None = None) -> tuple[float, Any]:
    """Return the content loss and its gradient.

        L = ½ Σ (F − P)²,    ∂L/∂F = F − P           (``raw`` and ``gatys``; the others: see this module)

    Parameters
    ----------
    F : ndarray, H×W×C or N×H×W×C, float32 or float64
        Features of the image.
    P : ndarray
        Features of the content image, of the same shape and dtype.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor before the sum.
    target : float, optional
        Σ P², where it is known already.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    ValueError
        If the shapes differ or the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    value, factor = content_value(content_statistics(F, P, target), normalization)
    return value, content_cotangent(F, P, float(factor))
