r"""Masks painted in colours: which region each pixel of a mask belongs to, and which region of another mask it matches.

A painted mask has a few flat colours, but its file rarely has: edges are anti-aliased, JPEG adds noise, small spots
are in colours of their own.  So the colours are looked for where the mask is *flat* (most of a pixel's neighbours are
nearly like it, as they are not along an edge), from the most frequent one on, each far from those before, and
refined by k-means (`scipy.cluster.vq`).  Then

* a pixel close to one of the colours belongs to that region;
* any other is taken for a mixture c = (1−t) c_i + t c_j of two colours whose regions are near, and gets the weights
  1−t and t: an anti-aliased edge becomes a soft edge, not a region;
* one that is no such mixture (a small grey spot) goes to the nearest region.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.color import srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.regions import Regions, color_names, fill_unknown

SMALLEST = 0.005
"""The smallest part of a mask that counts as a region where their number is not given."""

MOST_REGIONS = 16
"""More colours than this are no mask."""

# All in grey levels 0–255, distances over the three channels together.
_FLAT = 12  # a neighbour differs by no more in any channel
_LIKE = 24  # from a region's colour: belongs to the region
_KNOWN = 0.65  # of a mask, at least; the photos and paintings we tried have 0.1 to 0.59, masks with JPEG noise 0.85
_APART = (60, 40, 24, 12)  # between two regions' colours; the later ones only where more regions are asked for
_ALIKE = 40.0  # ΔE between colours of two masks that mean the same
_NEAR = 2.0  # levels of colour that a pixel of distance weighs, where a mixture is looked for


def regions_of_mask(mask: ArrayLike, regions: int | None = None, what: str = "mask") -> Regions:
    """Return the regions of one painted mask.

    Parameters
    ----------
    mask : array_like, H×W×3 (or grey H×W), 0–255
        RGB.
    regions : int, optional
        How many colours to look for.  By default as many as are at least 60 levels apart and each cover half a per
        cent of the mask.
    what : str
        What messages call the mask.

    Returns
    -------
    Regions
        Largest first, of the mask's size, soft where the mask is between two colours.

    Raises
    ------
    InputError
        If the mask is no such array, has one colour, is no drawing of a few flat colours, or has fewer than asked for.
    """
    pixels = _checked(mask, what)
    if regions is not None and not 2 <= regions <= MOST_REGIONS:
        raise InputError(f"{what}: expected 2 to {MOST_REGIONS} regions to look for, found {regions}")
    flat = _flat(pixels)
    colors = _mask_colors(pixels[flat], flat.size, regions, what)
    weights = _weights(pixels, flat, colors, what)
    order = np.argsort(-weights.sum(axis=(0, 1)), kind="stable")
    return Regions(weights[..., order], colors[order], color_names(colors[order]))


def match_regions(
    content: Regions, style: Regions, names: Sequence[str] = ("the content's mask", "the style's mask")
) -> tuple[Regions, Regions]:
    """Put the style's regions into the content's order, each beside the one of the same colour.

    Pairs are those with the smallest sum of distances in Lab (`scipy.optimize.linear_sum_assignment`).

    Parameters
    ----------
    content, style : Regions
    names : (str, str)
        What messages call the two masks.

    Returns
    -------
    content, style : Regions
        The content as it was; the style in its order, with its colours and names.

    Raises
    ------
    InputError
        If a region of one mask has none in the other whose colour is within 40 ΔE.
    """
    from scipy.optimize import linear_sum_assignment

    distance = np.linalg.norm(srgb_to_lab(content.colors)[:, None] - srgb_to_lab(style.colors), axis=2)
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(distance), strict=True) if distance[i, j] <= _ALIKE]
    for mine, other, one, matched in (
        (content, style, names, {i for i, _ in pairs}),
        (style, content, names[::-1], {j for _, j in pairs}),
    ):
        for number in sorted(set(range(len(mine.names))) - matched):
            region = f"{_described(mine, number)}, {100 * mine.shares[number]:.1f} % of it,"
            has = ", ".join(_described(other, k) for k in range(len(other.names)))
            raise InputError(
                f"the masks do not correspond: {one[0]} has a region in {region} and {one[1]} nothing like it (it has "
                f"{has}); paint what belongs together in the same colour, or give the number of regions (--regions): "
                "then details belong to the nearest"
            )
    moved = style.take([j for _, j in sorted(pairs)])
    return content, Regions(moved.weights, content.colors, content.names)


def check_mask_size(mask: tuple[int, int], picture: tuple[int, int], what: str = "mask") -> None:
    """Check that a mask has its picture's proportions.

    A mask may be larger or smaller than its picture, but one scaled to the other's width (or height) must agree in
    height (or width) within one pixel of the smaller of the two.

    Parameters
    ----------
    mask, picture : (int, int)
        Height and width.
    what : str
        What the message calls the mask.

    Raises
    ------
    InputError
        If it has not.
    """
    (height, width), (rows, columns) = mask, picture
    if abs(height * columns - rows * width) > max(height, width, rows, columns):
        found = f"found {width}×{height} (width×height)"
        raise InputError(
            f"{what}: expected the proportions of its picture, {columns}×{rows}, {found}; draw it over that picture"
        )


def _described(regions: Regions, number: int) -> str:
    """Name a region with the numbers of its colour."""
    name = regions.names[number]
    return name if "(" in name else f"{name} {tuple(int(v) for v in np.rint(regions.colors[number]))}"


def _checked(mask: ArrayLike, what: str) -> NDArray[np.float32]:
    array = np.asarray(mask)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{what}: expected an RGB picture H×W×3, found shape {array.shape}, {array.dtype}")
    pixels: NDArray[np.float32] = array.astype(np.float32)
    if not (pixels.min() >= -0.5 and pixels.max() <= 255.5):
        raise InputError(f"{what}: expected values from 0 to 255, found {pixels.min():g} to {pixels.max():g}")
    return pixels


def _flat(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels have at least 5 of their 8 neighbours like themselves.

    A pixel inside a line two pixels wide has 5.  One on an anti-aliased edge has the 2 along the edge.
    """
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    like = np.zeros((height, width), np.int8)
    for y, x in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
        like += np.abs(padded[y : y + height, x : x + width] - pixels).max(axis=2) <= _FLAT
    return like >= 5


def _mask_colors(pixels: NDArray[np.float32], total: int, regions: int | None, what: str) -> NDArray[np.float64]:
    """Find the regions' colours, K×3, among the flat pixels N×3 of a mask of ``total`` pixels."""
    from scipy.cluster.vq import kmeans2

    # Colours in cells 8 levels wide: their mean and their number, most frequent first.
    codes = (pixels / 8).astype(np.int64) @ np.array([32 * 32, 32, 1])
    counts = np.bincount(codes, minlength=32**3)
    sums = np.stack([np.bincount(codes, pixels[:, c], minlength=32**3) for c in range(3)], axis=1)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    counts, means = counts[order], sums[order] / counts[order, None]

    least = SMALLEST * total if regions is None else 1
    for apart in _APART[:1] if regions is None else _APART:
        seeds = _seeds(means, counts, apart, least)
        if regions is None or len(seeds) >= regions:
            break
    seeds = seeds[: regions or MOST_REGIONS + 1]
    near = np.linalg.norm(means[:, None] - seeds, axis=2).min(axis=1, initial=np.inf) <= 2 * _LIKE
    if regions is not None and len(seeds) < regions:
        raise InputError(f"{what}: expected {regions} regions, found {len(seeds)} colours: {_listed(seeds)}")
    if len(seeds) < 2:
        if np.count_nonzero(np.linalg.norm(pixels - means[:1], axis=1) <= _LIKE) < _KNOWN * total:
            raise _too_many(what)
        only = f"one colour that covers half a per cent or more, {_listed(means[:1])}"
        raise InputError(f"{what}: expected at least two regions, found {only}")
    # k-means without weights: each cell as often as its share of the mask asks for, at least once.
    sample = means[near].repeat(np.ceil(counts[near] * (20000 / total)).astype(int), axis=0)
    colors: NDArray[np.float64] = kmeans2(sample, seeds, minit="matrix")[0]
    return colors


def _seeds(means: NDArray[np.float64], counts: NDArray[np.intp], apart: float, least: float) -> NDArray[np.float64]:
    """Return the most frequent colour, then the most frequent one of those far from it, and so on; largest first.

    Half of all that is nearer to it than ``apart`` must be really like it.  Of a slow gradient from one region to
    another, spread evenly over its length, the 0.4 in the middle are.
    """
    found: list[NDArray[np.float64]] = []
    sizes: list[int] = []
    left = np.ones(len(means), bool)
    while left.any() and len(found) <= MOST_REGIONS:
        first = int(np.argmax(left))
        distance = np.linalg.norm(means - means[first], axis=1)
        size, like = counts[left & (distance < apart)].sum(), distance <= 0.4 * apart
        peak = 2 * counts[like].sum() >= counts[distance < apart].sum()
        if peak and size >= least:
            found.append(means[first])
            sizes.append(-int(size))
        left &= distance >= apart if peak else ~like
    return np.reshape(found, (-1, 3))[np.argsort(sizes, kind="stable")]


def _too_many(what: str) -> InputError:
    return InputError(
        f"{what}: expected a drawing of 2 to {MOST_REGIONS} flat colours, found too many colours, as in a photo"
    )


def _listed(colors: NDArray[np.float64]) -> str:
    return ", ".join(str(tuple(int(v) for v in np.rint(color))) for color in colors)


def _weights(
    pixels: NDArray[np.float32], flat: NDArray[np.bool_], colors: NDArray[np.float64], what: str
) -> NDArray[np.float32]:
    """Return the weights H×W×K of all pixels."""
    distance = np.stack([np.linalg.norm(pixels - color.astype(np.float32), axis=2) for color in colors], axis=2)
    labels = distance.argmin(axis=2)
    known = flat & (distance.min(axis=2) <= _LIKE)
    if known.mean() < _KNOWN or len(colors) > MOST_REGIONS:
        raise _too_many(what)
    for color, count in zip(colors, np.bincount(labels[known], minlength=len(colors)), strict=True):
        if count == 0:
            raise InputError(f"{what}: the region of colour {_listed(color[None])} is empty; ask for fewer regions")
    labels = fill_unknown(labels, known)
    weights: NDArray[np.float32] = (labels[..., None] == np.arange(len(colors))).astype(np.float32)
    if known.all():
        return weights
    open_pixels = pixels[~known].astype(np.float64)
    away = [ndimage.distance_transform_edt(~known | (labels != k))[~known] for k in range(len(colors))]
    best = np.full(len(open_pixels), np.inf)
    mixed = weights[~known]
    for i in range(len(colors)):
        for j in range(i + 1, len(colors)):
            step = colors[j] - colors[i]
            t = np.clip((open_pixels - colors[i]) @ step / (step @ step), 0, 1)
            miss = np.linalg.norm(open_pixels - colors[i] - t[:, None] * step, axis=1)
            cost = miss + _NEAR * (away[i] * (t < 1) + away[j] * (t > 0))
            better = (cost < best) & (miss <= 2 * _LIKE)
            best[better] = cost[better]
            mixed[better] = 0
            mixed[better, i], mixed[better, j] = 1 - t[better], t[better]
    weights[~known] = mixed
    return weights
