r"""Styles that no painting has: Gram matrices made up, and pictures painted from noise after them.

Nikulin and Novak ("Exploring the Neural Algorithm of Artistic Style", 2016, section 6) ask what a single entry of a
Gram matrix stands for, and whether a style can be drawn by lot.  Two kinds of targets, per position, for any layer of
C channels:

* **a single entry**, A = m eᵢ eⱼᵀ: the channels i and j shall answer together, and all else be silent.  i ≠ j is
  allowed, and then A is not symmetric, and no features can have it: FᵀF has entries at (i, j) and (j, i) both, and at
  (i, i) and (j, j), because |G_ij|² ≤ G_ii G_jj.  The descent ends at the nearest matrix that features do have.
* **a sparse matrix**, A = |N(0, σ)| ∘ mask: each entry is the absolute value of a normal number with probability
  1 − sparsity, and 0 otherwise, all independent.

For either the loss and its gradient are `vggnumpy.losses.gram`'s, which are exact for matrices that are not symmetric:
with R = G/M − A the cotangent of the features is F (R + Rᵀ) times a factor.  Only the symmetric part of A matters for
where the descent goes: G is symmetric, so ‖G/M − A‖² = ‖G/M − (A + Aᵀ)/2‖² + ‖(A − Aᵀ)/2‖².

**Taken from a painting.**  `gram_summary` measures a painting's matrices.  A sparse matrix with their first two
moments follows from

    E |a| = d σ √(2/π),      E a² = d σ²,      d = 1 − sparsity
    ⇒   d = (π/2) (E |a|)² / E a²,      σ² = E a² / d

so the sparsity is a number without a threshold: how uneven the entries are.  Where the entries are more even than a
half-normal distribution, d would exceed 1; it is 1 then, and σ² = E a².

**Redrawn every iteration.**  The target may be drawn anew before each step.  What an optimiser remembers of earlier
gradients then means nothing, so L-BFGS is of no use: `paint_redrawn` takes Adam, whose steps follow the mean gradient,
that is the gradient for the mean of the targets,

    E_A ‖G/M − A‖² = ‖G/M − E A‖² + E ‖A − E A‖²,

and wander about it: the smaller the rate, the less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics, gram
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.objective import Objective
from vggnumpy.optimize import linear, minimize
from vggnumpy.styles import Style
from vggnumpy.terms import LayerTerm

_BINS = np.array([0.0, *np.logspace(-4, 4, 33), np.inf])


def single_entry_gram(channels: int, i: int, j: int, magnitude: float, dtype: str = "float32") -> np.ndarray:
    """Return m eᵢ eⱼᵀ, a Gram matrix per position with one entry.

    Parameters
    ----------
    channels : int
        C.
    i, j : int
        Row and column of the entry, from 0; they may differ, and then the matrix is not symmetric.
    magnitude : float
        m, not negative.
    dtype : str

    Returns
    -------
    ndarray, C×C

    Raises
    ------
    InputError
        If an index or the magnitude is out of range.
    """
    if not (0 <= i < channels and 0 <= j < channels):
        raise InputError(f"an entry of a Gram matrix of {channels} channels is at 0 to {channels - 1}, got {i}, {j}")
    if not 0 <= magnitude < np.inf:
        raise InputError(f"the magnitude of a Gram matrix's entry must be finite, not negative, got {magnitude}")
    matrix = np.zeros((channels, channels), dtype)
    matrix[i, j] = magnitude
    return matrix


def sparse_gram(
    channels: int, sparsity: float, sigma: float, rng: np.random.Generator, dtype: str = "float32"
) -> np.ndarray:
    """Return |N(0, σ)| ∘ mask, a Gram matrix per position drawn by lot.

    Parameters
    ----------
    channels : int
        C.
    sparsity : float
        Probability that an entry is 0, from 0 to 1.
    sigma : float
        σ, not negative.
    rng : numpy.random.Generator
        As many numbers are drawn from it whatever the sparsity and σ: the same pattern, then, at any strength.
    dtype : str

    Returns
    -------
    ndarray, C×C
        Not symmetric.

    Raises
    ------
    InputError
        If the sparsity or σ is out of range.
    """
    if not 0 <= sparsity <= 1 or not 0 <= sigma < np.inf:
        raise InputError(
            f"a sparse Gram matrix needs a sparsity from 0 to 1 and a finite σ, not negative, got {sparsity}, {sigma}"
        )
    sizes = np.abs(rng.standard_normal((channels, channels)))
    mask = rng.random((channels, channels)) >= sparsity
    return (sigma * sizes * mask).astype(dtype)


@dataclass(frozen=True)
class GramSummary:
    """What a Gram matrix per position, A, is like.

    Attributes
    ----------
    channels : int
        C.
    mean : float
        Mean of |A_ij|.
    amplitude : float
        Root mean square of A_ij.
    largest : float
        Largest |A_ij|.
    sparsity, sigma : float
        Of |N(0, σ)| ∘ mask with the same two first moments, see `vggnumpy.synthesis`.
    edges, counts : tuple
        Histogram of |A_ij| in units of the amplitude: 35 edges, four bins to a power of ten from 10⁻⁴ to 10⁴, with 0
        and infinity at the ends; and the share of the entries in each of the 34 bins.
    """

    channels: int
    mean: float
    amplitude: float
    largest: float
    sparsity: float
    sigma: float
    edges: tuple[float, ...]
    counts: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as a JSON-ready dictionary; the histogram's last edge, infinity, is left out."""
        return asdict(self) | {"edges": list(self.edges[:-1]), "counts": list(self.counts)}


def gram_summary(style: Style) -> dict[LayerKey, GramSummary]:
    """Return amplitude, sparsity and histogram of a style's Gram matrices, per position, for each layer.

    Parameters
    ----------
    style : dict
        Layer → (Gram matrix summed over its positions, number of positions).
    """
    summaries: dict[LayerKey, GramSummary] = {}
    for layer, (matrix, positions) in style.items():
        sizes = np.abs(to_host(matrix).astype("float64")) / positions
        mean, square = float(sizes.mean()), float((sizes**2).mean())
        density = min(1.0, np.pi / 2 * mean**2 / square) if square else 0.0
        relative = sizes / square**0.5 if square else sizes
        counts = np.histogram(relative, _BINS)[0] / sizes.size
        summaries[layer] = GramSummary(
            channels=len(sizes),
            mean=mean,
            amplitude=square**0.5,
            largest=float(sizes.max()),
            sparsity=1 - density,
            sigma=(square / density) ** 0.5 if density else 0.0,
            edges=tuple(_BINS.tolist()),
            counts=tuple(counts.tolist()),
        )
    return summaries


@dataclass(frozen=True)
class Entry:
    """How a layer's target with a single entry is made.

    Attributes
    ----------
    magnitude : float
    i, j : int or None
        Where it is; None draws two different channels.
    """

    magnitude: float
    i: int | None = None
    j: int | None = None

    def draw(self, channels: int, rng: np.random.Generator, dtype: str = "float32") -> np.ndarray:
        """Return a target, C×C."""
        drawn = rng.choice(channels, 2, replace=False)
        i, j = (int(drawn[n]) if given is None else given for n, given in enumerate((self.i, self.j)))
        return single_entry_gram(channels, i, j, self.magnitude, dtype)


@dataclass(frozen=True)
class Sparse:
    """How a layer's sparse target is made: see `sparse_gram`."""

    sparsity: float
    sigma: float

    def draw(self, channels: int, rng: np.random.Generator, dtype: str = "float32") -> np.ndarray:
        """Return a target, C×C."""
        return sparse_gram(channels, self.sparsity, self.sigma, rng, dtype)


Lots = Mapping[LayerKey, Entry | Sparse]


def synthetic_style(net: Network, lots: Lots, rng: np.random.Generator | int = 0) -> dict[LayerKey, GramStatistics]:
    """Return a style that is made up: a target drawn for each layer.

    Parameters
    ----------
    net : Network
        For the layers' numbers of channels and the dtype.
    lots : dict
        Layer → `Entry` or `Sparse`.
    rng : numpy.random.Generator or int
        Or a seed.

    Returns
    -------
    dict
        Layer → `GramStatistics`, the matrix per position: its count is 1.

    Raises
    ------
    InputError
        If the network has no such layer, or a number is out of range.
    """
    generator = np.random.default_rng(rng)
    counts = channel_counts(net, lots)
    return {layer: GramStatistics(lot.draw(counts[layer], generator, str(net.dtype)), 1) for layer, lot in lots.items()}


def channel_counts(net: Network, layers: Iterable[LayerKey]) -> dict[LayerKey, int]:
    """Return how many channels each of some layers has."""
    depth = {"input": 3}
    for row in net.table:
        depth[row.name] = row.channels or sum(depth[name] for name in row.inputs)
    return {layer: depth[net.layer_name(layer)] for layer in layers}


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
    variation: float = 0.1,
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
    objective = Objective(net, None, style, style=weights, normalization="relative", variation=variation)
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
    variation: float = 0.1,
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
    objective = Objective(net, normalization="relative", variation=variation, layer_terms=terms)

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


def _noise(net: Network, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return noise about a middle grey, wide enough to reach black and white."""
    noise: np.ndarray = (128 + 50 * rng.standard_normal((*shape, 3))).astype(net.dtype)
    return noise
