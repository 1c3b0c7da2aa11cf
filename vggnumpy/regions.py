r"""Regions of a picture: one weight a position and region, and what is done with the weights.

A mask says which part of a picture takes its style from which part of another.  Here it is an array of weights
w_r(p) ≥ 0 with Σ_r w_r(p) = 1 at every position p: 0 or 1 for hard regions, between them where regions blend.

Blending without a grey band
----------------------------
A region's Gram matrix is meant to be G_r = Σ_p w_r(p) f(p) f(p)ᵀ / Σ_p w_r(p), held against the style's A_r.  Three
things make a band between two regions dull, and none of them is softness as such:

1. **The weight is squared.**  Features multiplied by a mask before the Gram is taken enter with w_r².  In the middle,
   w = (½, ½), a position then counts ½² + ½² = ½ of what it counts elsewhere: the style pulls half as hard, and what
   does not depend on the mask (content, variation) wins.  Weights enter the sum of products once: features are
   multiplied by √w_r, and Σ_r w_r = 1 keeps every position at full count.
2. **The targets are averaged.**  One loss at p with the target Σ_r w_r A_r asks each position for both palettes: the
   nearest single colour to blue and to orange is the grey between them.  A Gram is a sum over positions, so with a
   target each, G_1 = A_1 and G_2 = A_2 can be met together by positions that are blue *or* orange.  Targets are not
   mixed; positions are shared.
3. **The band is wide.**  Where w = (½, ½) the two pulls f(p) Σ_r w_r(p) S_r / N_r still cancel in part, whatever the
   weighting.  The band therefore has a chosen width in pixels (`feather`), and weights reach 0 and 1 outside it.

Distortion at borders comes from multiplying the *picture* by the mask (the network sees an edge that is not there), or
from smoothing a mask with zeros beyond the frame (the weights fade at the picture's edge).  Weights are applied to
features, never to pixels, and neither `feather` nor `Regions.resized` looks beyond the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.area import area_average
from vggnumpy.color import srgb_to_lab
from vggnumpy.errors import InputError

_NAMES = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "orange": (255, 140, 0),
    "yellow": (255, 255, 0),
    "green": (0, 255, 0),
    "dark green": (0, 100, 0),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "magenta": (255, 0, 255),
    "pink": (255, 170, 190),
    "brown": (120, 70, 30),
}


@dataclass(frozen=True)
class Regions:
    """The regions of one picture.

    Attributes
    ----------
    weights : ndarray, H×W×K, float32
        Weight of each region at each position; not negative, adding up to 1 at every position.
    colors : ndarray, K×3, float64, RGB 0–255
        What a mask shows each region in.
    names : tuple of K str
        What messages call them; no two alike.

    Raises
    ------
    InputError
        If there are fewer than two regions, shapes disagree, the weights are not such weights, or a region is empty.
    """

    weights: NDArray[np.float32]
    colors: NDArray[np.float64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.weights.shape
        if len(shape) != 3 or shape[2] < 2 or 0 in shape or self.weights.dtype != np.float32:
            found = f"shape {shape}, {self.weights.dtype}"
            raise InputError(f"regions: expected weights H×W×K of at least two regions, float32, found {found}")
        if self.colors.shape != (shape[2], 3) or len(set(self.names)) != shape[2] or len(self.names) != shape[2]:
            found = f"{self.colors.shape} and {', '.join(self.names)}"
            raise InputError(f"regions: expected {shape[2]} colours and as many names, found {found}")
        low, total = float(self.weights.min()), self.weights.sum(axis=2)
        if not (low >= 0 and np.abs(total - 1).max() < 1e-3):
            found = f"values from {low:g} on and sums from {total.min():g} to {total.max():g}"
            raise InputError(f"regions: expected weights that are not negative and add up to 1, found {found}")
        for name, share in zip(self.names, self.shares, strict=True):
            if share == 0:
                raise InputError(
                    f"regions: {name} is empty: no position of the picture has any weight in it; leave it out"
                )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the weights."""
        return self.weights.shape[0], self.weights.shape[1]

    @property
    def shares(self) -> tuple[float, ...]:
        """Each region's part of the picture; they add up to 1."""
        return tuple(self.weights.mean(axis=(0, 1), dtype=np.float64).tolist())

    @property
    def labels(self) -> NDArray[np.intp]:
        """Number of the heaviest region at each position, H×W; the first of equals."""
        numbers: NDArray[np.intp] = self.weights.argmax(axis=2)
        return numbers

    def resized(self, size: tuple[int, int]) -> Regions:
        """Return the regions at another height and width, by area average.

        A new pixel covers a rectangle of old ones, and each counts as much as its covered part: shares stay as they
        are, borders become as soft as the new pixels are coarse, no region vanishes and none gets weight from
        elsewhere.  Nothing beyond the frame is looked at.

        Raises
        ------
        InputError
            If the size is not positive.
        """
        if min(size) < 1:
            raise InputError(f"size: expected a positive height and width, found {size[0]} and {size[1]}")
        return Regions(area_average(self.weights, size), self.colors, self.names)

    def take(self, order: Sequence[int]) -> Regions:
        """Return the regions in another order: region i of the result is region ``order[i]``.

        Raises
        ------
        InputError
            If ``order`` does not name every region once.
        """
        if sorted(order) != list(range(len(self.names))):
            raise InputError(
                f"expected each of the region numbers 0 to {len(self.names) - 1} once, found {list(order)}"
            )
        index = list(order)
        return Regions(self.weights[..., index], self.colors[index], tuple(self.names[i] for i in index))

    def picture(self) -> NDArray[np.uint8]:
        """Return the mask as a picture, H×W×3: blended by weight, to be looked at, painted over and read again."""
        return np.rint(self.weights @ self.colors).clip(0, 255).astype(np.uint8)


def hard_regions(labels: ArrayLike, colors: ArrayLike, names: Sequence[str] | None = None) -> Regions:
    """Return regions with weights 0 and 1.

    Parameters
    ----------
    labels : array_like of int, H×W
        Number of each position's region, from 0 on.
    colors : array_like, K×3
        RGB, 0–255.
    names : sequence of str, optional
        By default from the colours (`color_names`).

    Raises
    ------
    InputError
        If a label is not below K, or as `Regions`.
    """
    numbers, table = np.asarray(labels), np.asarray(colors, np.float64)
    if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.integer):
        raise InputError(f"labels: expected whole numbers H×W, found shape {numbers.shape}, {numbers.dtype}")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(table):
        found = f"{numbers.min()} to {numbers.max()}"
        raise InputError(f"labels: expected region numbers 0 to {len(table) - 1}, found {found}")
    weights = (numbers[..., None] == np.arange(len(table))).astype(np.float32)
    return Regions(weights, table, color_names(table) if names is None else tuple(names))


def color_names(colors: ArrayLike) -> tuple[str, ...]:
    """Name colours, K×3 RGB 0–255, with common words, and with their numbers where two would share a word.

    Examples
    --------
    >>> color_names([(2, 1, 250), (255, 0, 0), (230, 0, 0)])
    ('blue', 'red (255, 0, 0)', 'red (230, 0, 0)')
    """
    table = np.asarray(colors, np.float64)
    words, known = list(_NAMES), srgb_to_lab(np.array(list(_NAMES.values()), np.float64))
    distance = np.linalg.norm(srgb_to_lab(table)[:, None] - known, axis=2)
    found = [words[i] for i in distance.argmin(axis=1)]
    rounded = [tuple(int(v) for v in np.rint(color)) for color in table]
    return tuple(f"{w} {c}" if found.count(w) > 1 else w for w, c in zip(found, rounded, strict=True))


def feather(regions: Regions, pixels: float) -> Regions:
    """Return soft regions whose weights change over a band of chosen width.

    With d_r the signed distance of a pixel's centre to region r's border (positive inside), r's weight is

        clip(½ + d_r / pixels, 0, 1),  then divided by the sum over the regions.

    Where two regions meet, d_2 = −d_1, the sum is 1 already and each weight falls linearly from 1 to 0 over the band.
    What is inside a region keeps its greatest weight there, so a spire thinner than the band is not lost, as it
    would be by blurring.  The picture's frame is no border.

    A region that is nowhere the heaviest, as a thin line where the picture is painted small first, has no border: its
    weights stay as they are, and the others share what it leaves of each position.

    Parameters
    ----------
    regions : Regions
        Where they are soft, the heaviest region counts.
    pixels : float
        Width of the band, centred on the border; 0 gives hard regions.

    Returns
    -------
    Regions
        Of the same size; weights add up to 1.  For Grams that take each position once with its weight (see above).

    Raises
    ------
    InputError
        If the width is negative or no number.
    """
    if not 0 <= pixels < float("inf"):
        raise InputError(f"feather: expected a width in pixels from 0 on, found {pixels}")
    labels = regions.labels
    weights = np.zeros(regions.weights.shape, np.float32)
    borderless = np.setdiff1d(np.arange(len(regions.names)), labels)
    for number in np.unique(labels):
        inside = labels == number
        weights[..., number] = inside if pixels == 0 else np.clip(0.5 + _signed_distance(inside) / pixels, 0, 1)
    weights *= (1 - regions.weights[..., borderless].sum(axis=2, keepdims=True)) / weights.sum(axis=2, keepdims=True)
    weights[..., borderless] = regions.weights[..., borderless]
    return Regions(weights, regions.colors, regions.names)


def fill_unknown(labels: NDArray[np.intp], known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give every position that is not known the label of the nearest known one; some position must be known."""
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: NDArray[np.intp] = labels[rows, columns]
    return filled


def _signed_distance(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to the border half-way between pixels, positive inside; 0.5 beside it."""
    if inside.all():
        return np.full(inside.shape, np.inf, np.float32)
    within = ndimage.distance_transform_edt(inside)
    beyond = ndimage.distance_transform_edt(~inside)
    signed: NDArray[np.float32] = np.where(inside, within - 0.5, 0.5 - beyond).astype(np.float32)
    return signed
