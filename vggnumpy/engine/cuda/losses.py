"""What an objective says of its losses, as the numbers that the kernels take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vggnumpy.engine.cuda.plan import CudaPlan
from vggnumpy.losses.content import ContentStatistics, content_value
from vggnumpy.losses.gram import gram_factor, gram_mixture


class GramLoss(NamedTuple):
    """A Gram loss: factor · Σ (G/M − matrix)² + constant, and its weight in the objective.

    Attributes
    ----------
    weight : float
    matrix : array, C×C, float32
        Divided by its positions.
    factor, constant : float
    """

    weight: float
    matrix: Any
    factor: float
    constant: float


class ContentLoss(NamedTuple):
    """A content loss: factor · Σ (F − target)², and its weight in the objective."""

    weight: float
    target: Any
    factor: float


def gram_losses(
    plan: CudaPlan,
    weights: Mapping[str, float],
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
        *positions, channels = plan.features_shape(layer)
        targets = [style[layer] for style in styles]
        factors = [
            share * gram_factor(channels, math.prod(positions), M, normalization, square[layer])
            for share, square, (_, M) in zip(shares, squares, targets, strict=True)
        ]
        found[layer] = GramLoss(weight, *gram_mixture(targets, factors))
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
