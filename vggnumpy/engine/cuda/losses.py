"""What an objective says of its losses, as the numbers that the kernels take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vggnumpy.engine.cuda.plan import CudaPlan
from vggnumpy.losses.content import ContentStatistics, content_value
from vggnumpy.losses.gram import gram_factor, gram_mixture
from vggnumpy.ops.geometry import Window


class GramLoss(NamedTuple):
    """A Gram loss: factor · Σ (G/M − matrix)² + constant, and its weight in the objective.

    Attributes
    ----------
    weight : float
    matrix : array, C×C, float32
        Divided by its positions.
    factor, constant : float
    window : Window
        The part of the layer's map that G is summed over; M is its positions.
    """

    weight: float
    matrix: Any
    factor: float
    constant: float
    window: Window


class ContentLoss(NamedTuple):
    """A content loss: factor · Σ (F − target)², and its weight in the objective."""

    weight: float
    target: Any
    factor: float


def gram_losses(
    plan: CudaPlan,
    weights: Mapping[str, float],
    windows: Mapping[str, Window],
    styles: Sequence[Mapping[Any, tuple[Any, int]]],
    shares: Sequence[float],
    squares: Sequence[Mapping[str, float]],
    normalization: str,
) -> dict[str, GramLoss]:
    """Return layer → loss Σ_s γ_s gram(F, A_s), all styles as one, see `vggnumpy.losses.gram_mixture`.

    Parameters
    ----------
    plan : CudaPlan
    weights : dict
        Layer → β.
    windows : dict
        Layer → the part of each image's map that counts.
    styles : sequence of dict
        Layer → (A_s, positions).
    shares : sequence of float
        γ_s.
    squares : sequence of dict
        Layer → Σ A_s².
    normalization : str
        See `vggnumpy.losses.gram`.
    """
    found = {}
    for layer, weight in weights.items():
        images, *_, channels = plan.features_shape(layer)
        targets = [style[layer] for style in styles]
        factors = [
            share * gram_factor(channels, images * windows[layer].positions, M, normalization, square[layer])
            for share, square, (_, M) in zip(shares, squares, targets, strict=True)
        ]
        found[layer] = GramLoss(weight, *gram_mixture(targets, factors), windows[layer])
    return found


def content_losses(
    weights: Mapping[str, float], targets: Mapping[str, Any], squares: Mapping[str, float], normalization: str
) -> dict[str, ContentLoss]:
    """Return layer → loss for weights α, targets P and Σ P², see `vggnumpy.losses.content`."""
    found = {}
    for layer, weight in weights.items():
        P = targets[layer]
        _, factor = content_value(ContentStatistics(0.0, squares[layer], P.size), normalization)
        found[layer] = ContentLoss(weight, P, factor)
    return found
