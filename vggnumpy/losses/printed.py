r"""Content and style as the MatConvNet report prints them, beside the exact forms.

The report prints each gradient with a mask (its indices lost their order in print; ours, with channels last):

    content    ∂L/∂F = F − P  where P > 0, else 0             for  L = ½ Σ (F − P)²
    style      ∂L/∂F = F (G − A)  where F > 0, else 0         for  L = ½ Σ (G − A)²

Neither is the derivative of the loss beside it.

**Content.**  The mask is that of the *target*, which does not depend on F.  So the printed gradient is the exact
derivative of another loss, the one that compares only where the target is active:

    L = k Σ_{P>0} (F − P)²

and that is the value which `content_printed` returns: a picture may show there what the target does not.  The exact
form punishes F > 0 where P = 0.

**Style.**  The exact derivative of k Σ R², R = G/M − A/M_a, is F (S + Sᵀ) with S = 2k R/M, see `vggnumpy.losses.gram`.
The report keeps one of the two equal terms and adds a mask:

    printed = mask ∘ (F S),      for symmetric A:      printed = ½ · mask ∘ exact

For an A that is not symmetric F S is not even proportional to F (S + Sᵀ).  The mask, F > 0, differs from the content's:

* F comes out of a rectifier, or of a pool after one: where F = 0, all inputs of the rectifier that could change it are
  at or below zero, and `relu_backward` sets the derivative to zero there anyway.  Before the rectifier, and so at the
  pixels, printed is exactly ½ · exact.  A gradient descent with the printed form descends on half the style weight.
* F comes out of a convolution: entries below zero are part of G, but their derivative is dropped.  The result
  is the gradient of nothing.

Either way it does not belong to the style loss's value.  A line search that compares values with slopes may fail on it;
methods of fixed rate do not notice.  (Gatys, Ecker and Bethge 2016 print the same masks, F > 0 both times, but with
the right factor: for features out of a rectifier theirs are exact.)
"""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import operator
from vggnumpy.losses.content import content
from vggnumpy.losses.gram import gram_statistics, gram_value


@operator(any_array=True)
def active_part(F: Any, P: Any) -> Any:
    """Return F where P > 0, and 0 elsewhere.

    Parameters
    ----------
    F, P : ndarray of equal shape and dtype
        Features and target, or the same strip of both.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if F.shape != P.shape:
        raise ValueError(f"content features and target must agree in shape, got {tuple(F.shape)} and {tuple(P.shape)}")
    return F * (P > 0)


def content_printed(F: Any, P: Any, normalization: str = "raw", target: float | None = None) -> tuple[float, Any]:
    """Return the content loss with the report's mask, and its gradient, which the report prints.

        L = ½ Σ_{P>0} (F − P)²,    ∂L/∂F = F − P where P > 0, else 0      (``raw`` and ``gatys``)

    It is the content loss of the `active_part` of both: where P ≤ 0 both are 0 there, and so are their difference and
    its derivative.  Value and gradient belong together.  See this module for what the mask changes.

    Parameters
    ----------
    F : ndarray, H×W×C or N×H×W×C, float32 or float64
        Features of the image.
    P : ndarray
        Features of the content image, of the same shape and dtype.
    normalization : {"raw", "gatys", "mean_square", "relative"}
        The factor k, see `vggnumpy.losses.content`: ``mean_square`` divides by the number of all entries, ``relative``
        by Σ_{P>0} P².
    target : float, optional
        Σ_{P>0} P², where it is known already.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    ValueError
        If the shapes differ or the normalisation is unknown, or it is ``relative`` and no target is above zero.
    TypeError
        If the dtypes differ.
    """
    return content(active_part(F, P), active_part(P, P), normalization, target)


@operator(any_array=True)
def gram_printed_cotangent(F: Any, S: Any) -> Any:
    """Return F S where F > 0, and 0 elsewhere: the report's form of `gram_cotangent`, F (S + Sᵀ).

    It is not the derivative of the style loss, see this module.

    Parameters
    ----------
    F : ndarray, …×C
        Features.
    S : ndarray, C×C
        The derivative with respect to the Gram matrix, from `gram_value`.
    """
    dF = (F.reshape(-1, F.shape[-1]) @ S).reshape(F.shape)
    dF *= F > 0
    return dF


def gram_printed_gradient(F: Any, A: Any, positions: int | None = None, normalization: str = "raw") -> Any:
    """Return what the report prints as the gradient of the style loss, which is not its gradient.

        F (G − A) where F > 0, else 0          (``raw``, equal counts; the others: mask ∘ F S, see this module)

    The exact one is F (R + Rᵀ) with R = G − A, twice as large for a symmetric A, and has no mask: `gram`.  That this
    function returns no value is on purpose, there is none that it is the derivative of.

    Parameters
    ----------
    F : ndarray, H×W×C or N×H×W×C, float32 or float64
        Features of the image.
    A : ndarray, C×C, of the dtype of `F`
        Target Gram matrix, summed over its positions.
    positions : int, optional
        M_a, the number of positions that `A` was summed over.  By default as many as `F` has.
    normalization : {"raw", "gatys", "mean_square", "relative"}
        The factor k.  Only ``raw`` is the report's.

    Returns
    -------
    ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    ValueError
        If `A` is not C×C or the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    G, M = gram_statistics(F)
    _, S = gram_value(G, A, M, M if positions is None else positions, normalization)
    return gram_printed_cotangent(F, S)
