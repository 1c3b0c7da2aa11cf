r"""Scores of a transfer: how much of a painting's style a result has, and how much of the photograph it has kept.

The losses of two runs cannot be compared: they depend on the network, the layers, the weights, the normalisation and
the size.  These numbers can, whichever program painted the results, because all of that is fixed: content, style and
result are brought to one size, a long side of 256 pixels, and shown to one network at the same layers.

With features F of the result, P of the content and A of the style at a layer, G = FᵀF their Gram matrices and M, M_a
the numbers of positions, the distances at layer l are lengths relative to what is compared with,

    style_l = ‖G/M − G_A/M_a‖ / ‖G_A/M_a‖,        content_l = ‖F − P‖ / ‖P‖                                       (1)

the roots of the losses that `vggnumpy.losses` calls ``relative``.  Over L layers they are joined by their root mean
square, D = √(Σ_l style_l² / L), and the **style score** is the share of the way from the photograph to the style that
the result has gone,

    style score = 1 − D(result) / D(content)                                                                       (2)

0 for the photograph itself, 1 for Gram matrices that are those of the painting, negative for what is farther from it
than the photograph was.  Brought to a smaller size a picture loses what the larger one had besides, so a standard size
that is not larger than the results makes the score the same at all their sizes; 256 pixels are also few enough for the
receptive fields of a network to see strokes, and not only the grain of the paint.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vggnumpy.backend import sum_of_squares
from vggnumpy.color import srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.estimate import reference_bytes_per_pixel
from vggnumpy.formats.load import load_network
from vggnumpy.images import MIN_SIDE, fit_size, resize
from vggnumpy.losses import gram_statistics
from vggnumpy.measures import color_distance, ssim
from vggnumpy.nets import Network
from vggnumpy.overrides import check_style_scale
from vggnumpy.presets import choose_layers, preset

STANDARD_SIZE = 256
"""Long side that pictures are brought to before they are compared, in pixels."""

_SKEW = 0.03  # by how much a result's proportions may differ from the content's, such as by a crop to multiples of 16
_ROUNDED = 1.0  # pixels by which its short side may: a long side of 24 and a short one of 15.5, rounded, are 3 % off


@dataclass(frozen=True)
class TransferScore:
    """What one picture is like, against the photograph and the painting that it was made from.

    Attributes
    ----------
    style_score : float
        Share of the way from the content to the style, equation (2).
    style, content : dict
        Layer → distance, equation (1).
    style_distance, content_distance : float
        Their root mean squares over the layers.
    structure : float
        Structural similarity with the content, see `vggnumpy.measures.ssim`.
    color_change : float
        Mean difference of colour from the content, place by place, in ΔE76.
    color_to_style : float
        Distance of its colours to the style's (the nearest style's), wherever they are, see `palette_distance`.
    """

    style_score: float
    style: dict[str, float]
    content: dict[str, float]
    style_distance: float
    content_distance: float
    structure: float
    color_change: float
    color_to_style: float

    def to_dict(self) -> dict[str, Any]:
        """Return the score as a JSON-ready dictionary."""
        return dict(vars(self))


class Judge:
    """A network that has seen the photograph and the painting, and says how far a picture is from each.

    Parameters
    ----------
    content : array_like, H×W×3, RGB 0–255
        The photograph.
    styles : array_like, or a sequence of them
        The painting; of several the mean of their matrices G_A/M_a is the style, as in mixed gradient descent.
    net : Network, optional
        The same for all that is to be compared; by default the one that comes with vggnumpy, which everybody has.
    size : int
        Long side that content and results are brought to.
    style_scale : float
        Long side of the paintings in units of it, where the results were painted with smaller or larger strokes.
    weights : sequence of float, optional
        Of the styles, adding up to 1; by default all equal.

    Attributes
    ----------
    net : Network
        With average pooling, whatever it came with.
    layers : list of str
        Where it compares: its first four of the usual style layers.

    Raises
    ------
    InputError
        If a picture is not H×W×3, the style scale is out of range, the network has none of the usual layers, or the
        style no features at one.
    """

    def __init__(
        self,
        content: ArrayLike,
        styles: ArrayLike | Sequence[ArrayLike],
        net: Network | None = None,
        size: int = STANDARD_SIZE,
        style_scale: float = 1.0,
        weights: Sequence[float] | None = None,
    ):
        if size < MIN_SIDE:
            raise InputError(f"pictures are compared at a long side of {MIN_SIDE} pixels at least, got {size}")
        check_style_scale(style_scale)
        self.net = (load_network("builtin") if net is None else net).with_pooling("average")
        self.layers = [
            self.net.layer_name(key) for key in choose_layers(preset("default"), self.net).style_layers or {}
        ]
        photo = _picture(content)
        given: Sequence[ArrayLike] = styles if isinstance(styles, (list, tuple)) else [styles]  # type: ignore[list-item]
        paintings = [_picture(one) for one in given]
        shares = [1 / len(paintings)] * len(paintings) if weights is None else weights
        self._proportions = height, width = photo.shape[0], photo.shape[1]
        self._shape = fit_size(height, width, size)
        self._content = self._seen(photo, self._shape)
        self._styles = [self._seen(one, _style_shape(one, round(size * style_scale))) for one in paintings]
        self._grams = {
            layer: sum(_gram(one.features[layer]) * share for one, share in zip(self._styles, shares, strict=True))
            for layer in self.layers
        }
        empty = [layer for layer, A in self._grams.items() if not sum_of_squares(A)]
        if empty:
            raise InputError(f"the style has no features at layer {empty[0]}: every one of them is 0 there")
        self._far = _joined(self._style_distances(self._content.features))

    def score(self, image: ArrayLike) -> TransferScore:
        """Return the score of one picture.

        Parameters
        ----------
        image : array_like, H×W×3, RGB 0–255
            With the photograph's proportions; its size is free.

        Raises
        ------
        InputError
            If it is not H×W×3, or its proportions are others.
        """
        pixels = _picture(image)
        (height, width), (rows, columns) = self._proportions, pixels.shape[:2]
        skew = abs(math.log((rows * width) / (columns * height)))
        if skew > max(math.log1p(_SKEW), math.log1p(_ROUNDED / min(rows, columns))):
            raise InputError(
                f"a result must have the proportions of the content, {width}×{height} pixels; found {columns}×{rows}"
            )
        seen = self._seen(pixels, self._shape)
        style = self._style_distances(seen.features)
        targets = self._content.features
        content = {layer: _relative(F - targets[layer], targets[layer]) for layer, F in seen.features.items()}
        return TransferScore(
            style_score=1 - _joined(style) / self._far if self._far else 0.0,
            style=style,
            content=content,
            style_distance=_joined(style),
            content_distance=_joined(content),
            structure=ssim(seen.pixels, self._content.pixels),
            color_change=color_distance(seen.pixels, self._content.pixels),
            color_to_style=min(palette_distance(seen.pixels, one.pixels) for one in self._styles),
        )

    def _seen(self, pixels: NDArray[np.float32], shape: tuple[int, int]) -> _Seen:
        # As it would be stored and shown: a resampling overshoots at edges.
        standard = resize(pixels, shape).clip(0, 255).astype(self.net.dtype)
        features, _ = self.net.forward(standard, self.layers)
        return _Seen(standard, {layer: features[layer] for layer in self.layers})

    def _style_distances(self, features: Mapping[str, Any]) -> dict[str, float]:
        return {layer: _relative(_gram(F) - self._grams[layer], self._grams[layer]) for layer, F in features.items()}


@functools.cache
def judge_bytes_per_pixel() -> float:
    """Return roughly how many bytes the usual judge takes for a pixel of the largest picture that it is shown."""
    net = load_network("builtin")
    layers = choose_layers(preset("default"), net).style_layers or {}
    return reference_bytes_per_pixel(net, {net.layer_name(layer) for layer in layers})


@dataclass(frozen=True)
class _Seen:
    """A picture at the standard size and what the network sees in it."""

    pixels: NDArray[Any]
    features: dict[str, Any]


def palette_distance(a: ArrayLike, b: ArrayLike) -> float:
    r"""Return how far the colours of two pictures are apart, wherever in the pictures they are.

    Each picture's colours in CIELAB have a mean μ and a covariance Σ.  Of the normal distributions with these the
    distance is known in closed form: it is the least root mean square ΔE76 by which one could be moved onto the other
    (Wasserstein's distance; Dowson and Landau 1982, equation 4),

        d² = ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½)

    The trace of the last root is the sum of the roots of the eigenvalues of Σ_a Σ_b, which has the same ones.

    Parameters
    ----------
    a, b : array_like, H×W×3
        RGB, 0–255; their sizes are free.

    Raises
    ------
    InputError
        If one is not H×W×3.
    """
    (mean_a, spread_a), (mean_b, spread_b) = (_palette(_picture(one)) for one in (a, b))
    # Rounding may leave an eigenvalue of a product of positive semidefinite matrices a little below 0.
    roots = np.sqrt(np.linalg.eigvals(spread_a @ spread_b).real.clip(0)).sum()
    squared = ((mean_a - mean_b) ** 2).sum() + np.trace(spread_a + spread_b) - 2 * roots
    return float(np.sqrt(max(squared, 0.0)))


def transfer_score_table(names: Sequence[str], scores: Sequence[TransferScore]) -> str:
    """Return scores as a table: a line for each picture, the overall numbers first, then the style layer by layer."""
    layers = list(scores[0].style)
    head = ("picture", "style", "content", "structure", "ΔE", "palette ΔE", *layers)
    rows = [head]
    for name, one in zip(names, scores, strict=True):
        numbers = (f"{one.style_score:.3f}", f"{one.content_distance:.3f}", f"{one.structure:.3f}")
        colors = (f"{one.color_change:.1f}", f"{one.color_to_style:.1f}")
        rows.append((name, *numbers, *colors, *(f"{one.style[layer]:.3f}" for layer in layers)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    cells = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(row) for row in cells)


def _style_shape(painting: NDArray[np.float32], long_side: int) -> tuple[int, int]:
    """Return a painting's standard size; of a narrow one the short side needs 16 pixels too."""
    height, width = painting.shape[:2]
    return fit_size(height, width, max(long_side, -(-MIN_SIDE * max(height, width) // min(height, width))))


def _picture(image: ArrayLike) -> NDArray[np.float32]:
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected one picture H×W×3 to score, found shape {pixels.shape}")
    return pixels


def _palette(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lab = srgb_to_lab(pixels.clip(0, 255)).reshape(-1, 3).astype(np.float64)
    return lab.mean(axis=0), np.cov(lab.T, bias=True)


def _gram(F: Any) -> NDArray[np.float64]:
    """Return G/M."""
    G, positions = gram_statistics(F)
    return np.asarray(G.astype(np.float64) / positions)


def _relative(difference: Any, target: Any) -> float:
    whole = float(sum_of_squares(target))
    # Content that is 0 everywhere (a black picture, at some layers) has no length to measure by: all of it is lost.
    return float((sum_of_squares(difference) / whole) ** 0.5) if whole else float(bool(sum_of_squares(difference)))


def _joined(distances: Mapping[str, float]) -> float:
    return float(np.sqrt(np.mean(np.square(list(distances.values())))))
