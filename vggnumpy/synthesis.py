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

**Redrawn every iteration** (`vggnumpy.texture.paint_redrawn`).  The target may be drawn anew before each step.  What an
optimiser remembers of earlier gradients then means nothing, so L-BFGS is of no use: Adam is taken, whose steps follow
the mean gradient, that is the gradient for the mean of the targets,

    E_A ‖G/M − A‖² = ‖G/M − E A‖² + E ‖A − E A‖²,

and wander about it: the smaller the rate, the less.  The ``relative`` loss divides each draw's by its own ‖A‖², which
for a single entry is the same every time, and for a sparse matrix nearly, the more entries it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.styles import Style

KINDS = ("sparse", "entry")
LOUD = 30.0
"""How much larger than a painting's whole matrix a single entry is: a few places of a picture cannot make up for it."""
_FARTHEST = 40.0  # in σ: no normal number that is drawn from 53 bits lies farther out
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
    if not 0 <= magnitude <= float(np.finfo(dtype).max):
        raise InputError(
            f"the magnitude of a Gram matrix's entry must be finite, not negative, and a {dtype}, got {magnitude}"
        )
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
    if not 0 <= sparsity <= 1 or not 0 <= sigma <= float(np.finfo(dtype).max) / _FARTHEST:
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


def lots_like(
    style: Style,
    kind: str,
    layers: Iterable[LayerKey],
    *,
    sparsity: float | None = None,
    sigma: float | None = None,
    magnitude: float | None = None,
    entry: tuple[int, int] | None = None,
) -> dict[LayerKey, Entry | Sparse]:
    """Return how targets are made that are like a style's: its numbers where none are given.

    Parameters
    ----------
    style : dict
        Layer → (Gram matrix summed over its positions, number of positions).
    kind : {"sparse", "entry"}
    layers : iterable of str or int
        Of the style.
    sparsity, sigma : float, optional
        Of ``sparse``; by default those of `gram_summary`.
    magnitude : float, optional
        Of ``entry``; by default `LOUD` · ‖A‖ with the Frobenius norm of the style's matrix per position.
    entry : (int, int), optional
        Where it is, for ``entry``; by default drawn.

    Raises
    ------
    InputError
        If the kind is neither, a number belongs to the other kind, or the style lacks a layer.
    """
    if kind not in KINDS:
        raise InputError(f"synthetic styles are of the kinds {', '.join(KINDS)}, got {kind!r}")
    owners = {"sparsity": "sparse", "sigma": "sparse", "magnitude": "entry", "entry": "entry"}
    for (name, owner), number in zip(owners.items(), (sparsity, sigma, magnitude, entry), strict=True):
        if number is not None and owner != kind:
            raise InputError(f"{name} belongs to the kind {owner}, and this style is of the kind {kind}")
    lots: dict[LayerKey, Entry | Sparse] = {}
    for layer in layers:
        if layer not in style:
            raise InputError(f"the style has no layer {layer!r}; it has {', '.join(map(str, style))}")
        summary = gram_summary({layer: style[layer]})[layer]
        if kind == "sparse":
            lots[layer] = Sparse(
                summary.sparsity if sparsity is None else sparsity, summary.sigma if sigma is None else sigma
            )
        else:
            norm = summary.amplitude * summary.channels
            lots[layer] = Entry(LOUD * norm if magnitude is None else magnitude, *(entry or (None, None)))
    return lots


def lots_in(recipe: Mapping[str, Any]) -> dict[LayerKey, Entry | Sparse]:
    """Return how the targets of a synthetic style were made, from its recipe.

    Raises
    ------
    InputError
        If it is not a synthetic style's.
    """
    if recipe.get("made") != "synthetic":
        raise InputError("only a style that vggnumpy style synthesise made can be drawn anew")
    kind = Sparse if recipe["kind"] == "sparse" else Entry
    types = {"i": (int, type(None)), "j": (int, type(None))}
    known = {one.name: types.get(one.name, (int, float)) for one in fields(kind)}
    for numbers in recipe["layers"].values():
        sound = isinstance(numbers, dict) and set(numbers) == set(known)
        if not sound or not all(isinstance(number, known[name]) for name, number in numbers.items()):
            raise InputError("the recipe of this synthetic style does not say how it was drawn")
    return {layer: kind(**numbers) for layer, numbers in recipe["layers"].items()}
