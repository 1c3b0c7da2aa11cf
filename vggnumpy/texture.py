"""Pictures painted from noise, with no content: after a style, or after targets that are drawn anew as one goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from vggnumpy.images import to_uint8
from vggnumpy.losses import gram
from vggnumpy.multiscale import MultiscaleStyle, network_facts
from vggnumpy.nets.identity import features_digest
from vggnumpy.nets.network import Network
from vggnumpy.objective import Objective
from vggnumpy.optimize import linear, minimize
from vggnumpy.styles import Style
from vggnumpy.synthesis import Entry, Lots, Sparse, channel_counts, synthetic_style
from vggnumpy.terms import LayerTerm

_PREVIEW = 128  # pixels a side


class RedrawnGram:
    """The ``relative`` Gram loss at a layer of C channels, whose target is drawn anew by `redraw`."""

    def __init__(self, lot: Entry | Sparse, channels: int, rng: np.random.Generator):
        self._lot, self._channels, self._rng = lot, channels, rng
        self.redraw()

    def redraw(self) -> None:
        """Draw another target."""
        self._target = self._lot.draw(self._channels, self._rng, "float64")

    def __call__(self, F: Any) -> tuple[Any, ...]:
        """Return the loss for the target at hand, and its exact derivative with respect to the features."""
        return gram(F, self._target.astype(F.dtype), 1, "relative")


def paint_style(
    net: Network,
    style: Style,
    shape: tuple[int, int],
    *,
    iterations: int = 100,
    rng: np.random.Generator | int = 0,
    variation: float = 0.01,
    size: float = 0.1,
    callback: Callable[..., object] | None = None,
) -> np.ndarray:
    """Paint a style from noise, with no content, at one size, by L-BFGS.

    Parameters
    ----------
    net : Network
        On the host.
    style : dict
        Layer → (Gram matrix summed over its positions, number of positions); all layers weigh alike, by the
        ``relative`` normalisation.
    shape : (int, int)
        Height and width of the picture.
    iterations : int
    rng : numpy.random.Generator or int
        Of the noise.
    variation : float
        Weight of the variation regulariser.
    size : float
        Weight of the size regulariser with p = 6, which holds the pixels near 0–255: made-up targets ask for more.
    callback : callable, optional
        As for `vggnumpy.minimize`.

    Returns
    -------
    ndarray, H×W×3, RGB, unclamped, of the network's dtype

    Raises
    ------
    InputError
        If the network has no such layer, or a target is zero everywhere.
    """
    noise = _noise(net, shape, np.random.default_rng(rng))
    weights = dict.fromkeys(style, 1 / len(style))
    objective = Objective(
        net, None, style, style=weights, normalization="relative", variation=variation, size=size, size_power=6
    )
    result = minimize(objective, noise, maxiter=iterations, callback=callback, first_step=0.5)
    painted: np.ndarray = result.x
    return painted


def paint_redrawn(
    net: Network,
    lots: Lots,
    shape: tuple[int, int],
    *,
    iterations: int = 200,
    rng: np.random.Generator | int = 0,
    variation: float = 0.01,
    size: float = 0.1,
    rate: tuple[float, float] = (10.0, 1.0),
    callback: Callable[..., object] | None = None,
) -> np.ndarray:
    """Paint from noise after targets that are drawn anew at every iteration.

    Parameters
    ----------
    net : Network
        On the host.
    lots : dict
        Layer → `Entry` or `Sparse`; all layers weigh alike, by the ``relative`` normalisation.
    shape : (int, int)
        Height and width of the picture.
    iterations : int
    rng : numpy.random.Generator or int
        Of the noise and of the targets.
    variation : float
        Weight of the variation regulariser.
    size : float
        Weight of the size regulariser with p = 6, which holds the pixels near 0–255: made-up targets ask for more.
    rate : (float, float)
        Of Adam, the mean change of a pixel in grey levels: at the first step and at the last.
    callback : callable, optional
        As for `vggnumpy.minimize`.

    Returns
    -------
    ndarray, H×W×3, RGB, unclamped, of the network's dtype

    Raises
    ------
    InputError
        If the network has no such layer, or a number is out of range.
    """
    generator = np.random.default_rng(rng)
    last = noise = _noise(net, shape, generator)
    counts = channel_counts(net, lots)
    targets = {net.layer_name(key): RedrawnGram(lot, counts[key], generator) for key, lot in lots.items()}
    terms = [LayerTerm(f"style {name}", (name,), 1 / len(lots), target) for name, target in targets.items()]
    objective = Objective(
        net, normalization="relative", variation=variation, size=size, size_power=6, layer_terms=terms
    )

    def after(intermediate_result: Any) -> None:
        nonlocal last
        last = intermediate_result.x
        for target in targets.values():
            target.redraw()
        if callback is not None:
            callback(intermediate_result)

    # Under "relative" the derivative of a pixel is of the order of one over their number: Adam's usual ε is too large.
    schedule = linear(*rate, iterations)
    minimize(objective, noise, method="adam", maxiter=iterations, callback=after, rate=schedule, epsilon=1e-14)
    return last  # not the image of the lowest value, which had but the easiest target


def synthetic_multiscale(
    net: Network, lots: Mapping[int, Lots], seed: int = 0, like: MultiscaleStyle | None = None, iterations: int = 60
) -> MultiscaleStyle:
    """Return a made-up style at several sizes, with the same draws at all, and a preview painted from noise.

    Parameters
    ----------
    net : Network
        On the host.
    lots : dict
        Long side → layer → `Entry` or `Sparse`, the same layers at each.
    seed : int
        Of the draws and of the preview's noise.
    like : MultiscaleStyle, optional
        Whose numbers the lots have, for the recipe.
    iterations : int
        For the preview.

    Raises
    ------
    InputError
        If the network has no such layer, or a number is out of range.
    """
    grams = {size: synthetic_style(net, lots[size], seed) for size in sorted(lots)}
    largest = max(lots)
    named = {net.layer_name(layer): lot for layer, lot in lots[largest].items()}
    recipe = {
        "made": "synthetic",
        "kind": "sparse" if all(isinstance(lot, Sparse) for lot in named.values()) else "entry",
        "seed": seed,
        "layers": {layer: asdict(lot) for layer, lot in named.items()},
        "of": [] if like is None else [dict(like.recipe)],
    }
    return MultiscaleStyle(
        {size: {net.layer_name(layer): gram for layer, gram in one.items()} for size, one in grams.items()},
        {layer: features_digest(net, layer) for layer in named},
        network_facts(net),
        recipe,
        to_uint8(paint_style(net, grams[largest], (_PREVIEW, _PREVIEW), iterations=iterations, rng=seed)),
    )


def _noise(net: Network, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return noise about a middle grey, wide enough to reach black and white."""
    noise: np.ndarray = (128 + 50 * rng.standard_normal((*shape, 3))).astype(net.dtype)
    return noise
