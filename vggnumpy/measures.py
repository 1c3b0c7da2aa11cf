r"""How a result looks, in numbers: whether its regions have their styles' colours, and whether their borders show.

A picture painted region by region can fail in two ways that an eye sees at once.  A region may not have become like
the part of the painting that it was to take its style from; and along the borders there may be a dull, grey or smeared
band, or a glowing one.  `region_color_distances` and `border_ratios` measure the two.  Positions belong to their
heaviest region, so that soft regions are judged as hard ones.

Two pictures of one size are compared place by place: `color_distance` by colour, `ssim` by structure, and
`layout_correlation` by where they are light and where dark, strokes and textures left aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.color import srgb_to_lab, srgb_to_yiq
from vggnumpy.errors import InputError
from vggnumpy.regions import Regions

CONTRAST_RADIUS = 3
"""Local contrast is that of windows of 7 × 7 pixels."""

FEWEST = 100
"""A border or an interior with fewer pixels than this, on either side, is too short to be judged."""

SSIM_RADIUS = 5
"""Windows of 11 × 11 pixels, weighted by a Gaussian of deviation 1.5."""


@dataclass(frozen=True)
class BorderRatios:
    """How a picture looks beside the border of two regions, in parts of how it looks inside them; 1 is no difference.

    Attributes
    ----------
    names : (str, str)
        The two regions.
    saturation : float
        Mean chroma, √(a*² + b*²), within the band, over the mean of the two regions' own means.
    contrast : float
        The same of the local contrast.
    pixels : int
        In the band.
    """

    names: tuple[str, str]
    saturation: float
    contrast: float
    pixels: int


def region_colors(image: ArrayLike, regions: Regions) -> NDArray[np.float64]:
    """Return the mean colour of each region of a picture.

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    regions : Regions
        Of any size; brought to the picture's.

    Returns
    -------
    ndarray, K×3
        L*, a*, b*.

    Raises
    ------
    InputError
        If the image is not H×W×3, or a region is nowhere the heaviest at its size.
    """
    lab, labels = _lab_and_labels(image, regions)
    return np.stack([lab[labels == number].mean(axis=0) for number in range(len(regions.names))])


def region_color_distances(
    image: ArrayLike, regions: Regions, style: ArrayLike, style_regions: Regions
) -> NDArray[np.float64]:
    """Return how far the mean colour of each region is from that of the region it takes its style from.

        ΔE76_k = ‖mean Lab of the picture's region k − mean Lab of the style's region k‖

    Parameters
    ----------
    image : array_like, H×W×3
        The result: RGB, 0–255.
    regions : Regions
        Its regions: the content's.
    style : array_like, H×W×3
        The painting.
    style_regions : Regions
        The painting's, in the order of the content's.

    Returns
    -------
    ndarray, K

    Raises
    ------
    InputError
        As `region_colors`, or if the two have not equally many regions.
    """
    if len(regions.names) != len(style_regions.names):
        found = f"{len(style_regions.names)} and {len(regions.names)}"
        raise InputError(f"expected as many regions in the style as in the picture, found {found}")
    distances: NDArray[np.float64] = np.linalg.norm(
        region_colors(image, regions) - region_colors(style, style_regions), axis=1
    )
    return distances


def local_contrast(lightness: NDArray[np.floating[Any]], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    r"""Return the deviation of the lightness within 7 × 7 pixels around each position, own region only.

        c(p) = √(mean L² − (mean L)²)        means over those pixels of the window that have the label of p

    A sky beside a darker roof is thus no contrast of either, however sharp the edge between them.

    Parameters
    ----------
    lightness : ndarray, H×W
        L*.
    labels : ndarray of int, H×W
        The region of each position.
    """
    values = lightness.astype(np.float64)
    contrast = np.zeros(values.shape)
    for number in np.unique(labels):
        inside = labels == number
        count, total, squares = (
            ndimage.uniform_filter(part, 2 * CONTRAST_RADIUS + 1, mode="constant")
            for part in (inside.astype(np.float64), inside * values, inside * values**2)
        )
        count, mean = count[inside], total[inside] / count[inside]
        contrast[inside] = np.sqrt(np.maximum(squares[inside] / count - mean**2, 0))
    return contrast


def border_ratios(image: ArrayLike, regions: Regions, width: float = 6) -> list[BorderRatios]:
    """Compare a picture along the borders of its regions with the regions themselves.

    The band of two regions i and j is what of i is within `width` pixels of j, and of j within `width` of i.  What a
    value is inside a region is its mean over all that is farther than `width` from any other region.  With n_i + n_j
    pixels in the band, the ratio of a value v (chroma, `local_contrast`) is

        (mean of v over i's part of the band + mean of v over j's part) / (mean of v inside i + mean of v inside j)

    so that both sides count alike, whichever has more pixels there.  A grey band has a saturation well below 1, a
    smeared one a contrast well below 1, a glowing one either above.

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    regions : Regions
        Of any size; brought to the picture's.
    width : float
        In pixels.

    Returns
    -------
    list of BorderRatios
        One for each two regions that meet, in the regions' order; without those where a part of the band or the inside
        of a region has fewer than 100 pixels.

    Raises
    ------
    InputError
        As `region_colors`.
    """
    lab, labels = _lab_and_labels(image, regions)
    values = np.stack([np.hypot(lab[..., 1], lab[..., 2]), local_contrast(lab[..., 0], labels)], axis=-1)
    parts, ratios = border_parts(labels, len(regions.names), width), []
    for i, j in parts:
        if i > j:
            continue
        both = parts[i, j], parts[j, i]
        band, own = (sum(values[side[which]].mean(axis=0) for side in both) for which in (0, 1))
        saturation, contrast = (band / np.maximum(own, 1e-12)).tolist()
        pixels = int(sum(side.band.sum() for side in both))
        ratios.append(BorderRatios((regions.names[i], regions.names[j]), saturation, contrast, pixels))
    return ratios


class BorderPart(NamedTuple):
    """A region's part of the band beside another one, what of it is in no band, and distances to the other, H×W."""

    band: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    distance: NDArray[np.float64]


def border_parts(labels: NDArray[np.intp], count: int, width: float) -> dict[tuple[int, int], BorderPart]:
    """Return, for each region and each that it meets, its part of the band between them, and its own inside.

    Parameters
    ----------
    labels : ndarray of int, H×W
        The region of each position.
    count : int
        Of regions.
    width : float
        In pixels.

    Returns
    -------
    dict
        (i, j) → what of region i is within `width` of region j, and what of it is farther than that from any other.
        (i, j) and (j, i) are there if each of their four parts has 100 pixels.
    """
    distances = [_distance_to(labels == number) for number in range(count)]
    near = [distance <= width for distance in distances]
    alone = np.sum(near, axis=0) == 1
    insides = [(labels == number) & alone for number in range(count)]
    bands = {(i, j): (labels == i) & near[j] for i, j in permutations(range(count), 2)}
    return {
        (i, j): BorderPart(bands[i, j], insides[i], distances[j])
        for i, j in bands
        if min(part.sum() for part in (bands[i, j], bands[j, i], insides[i], insides[j])) >= FEWEST
    }


def _distance_to(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each position's distance to a region; it is infinite where the region is nowhere."""
    if not region.any():
        return np.full(region.shape, np.inf)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~region)
    return distance


def color_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return the mean colour difference of two pictures, place by place.

        mean over p of ΔE76(p) = ‖Lab_a(p) − Lab_b(p)‖

    2.3 is about what an eye can just tell apart, in large even patches.

    Parameters
    ----------
    a, b : array_like, H×W×3
        RGB, 0–255; clipped to that.

    Raises
    ------
    InputError
        If they are not two pictures of one size.
    """
    lab_a, lab_b = (srgb_to_lab(one) for one in _two_pictures(a, b))
    return float(np.linalg.norm(lab_a - lab_b, axis=-1).mean())


def ssim(a: ArrayLike, b: ArrayLike) -> float:
    r"""Return the structural similarity of two pictures: 1 for the same, about 0 for unrelated ones.

    Of the luminances Y, 0–255, with means μ, variances σ² and covariance σ_ab over windows of 11 × 11 pixels weighted
    by a Gaussian of deviation 1.5, C₁ = (0.01·255)², C₂ = (0.03·255)², and the mean taken over all windows that lie in
    the picture:

        SSIM = mean of (2 μ_a μ_b + C₁)(2 σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂))

    Wang, Bovik, Sheikh and Simoncelli, *Image Quality Assessment*, 2004, equation 13, at the pictures' own size.

    Parameters
    ----------
    a, b : array_like, H×W×3
        RGB, 0–255; clipped to that.

    Raises
    ------
    InputError
        If they are not two pictures of one size, or smaller than a window.
    """
    pictures = _two_pictures(a, b)
    height, width = pictures[0].shape[:2]
    if min(height, width) <= 2 * SSIM_RADIUS:
        window = 2 * SSIM_RADIUS + 1
        raise InputError(f"the structural similarity needs {window}×{window} pixels at least, got {width}×{height}")
    y_a, y_b = (srgb_to_yiq(one)[..., 0] for one in pictures)

    def blurred(values: NDArray[Any]) -> NDArray[np.float64]:
        inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
        means: NDArray[np.float64] = ndimage.gaussian_filter(values, 1.5, radius=SSIM_RADIUS)[inside, inside]
        return means

    mean_a, mean_b = blurred(y_a), blurred(y_b)
    spread_a, spread_b = blurred(y_a**2) - mean_a**2, blurred(y_b**2) - mean_b**2
    common = blurred(y_a * y_b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ratio = (2 * mean_a * mean_b + c1) * (2 * common + c2)
    ratio /= (mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2)
    return float(ratio.mean())


def layout_correlation(a: ArrayLike, b: ArrayLike, width: float = 1 / 32) -> float:
    """Return how far two pictures are light and dark in the same places: 1 if they are, about 0 if unrelated.

    Pearson's correlation of their luminances after a Gaussian, which takes strokes and textures away.

    Parameters
    ----------
    a, b : array_like, H×W×3
        RGB, 0–255; clipped to that.
    width : float
        Deviation of the Gaussian, in parts of the long side.

    Raises
    ------
    InputError
        If they are not two pictures of one size, or one of them is of one lightness everywhere.
    """
    pictures = _two_pictures(a, b)
    sigma = width * max(pictures[0].shape)
    smooth = [ndimage.gaussian_filter(srgb_to_yiq(one)[..., 0], sigma, mode="nearest") for one in pictures]
    x, y = (one - one.mean() for one in smooth)
    scale = float(np.sqrt((x**2).mean() * (y**2).mean()))
    if min(np.ptp(one) for one in smooth) < 1e-6:
        raise InputError("layouts are compared by what is light and what dark, and one picture has one lightness")
    return float((x * y).mean() / scale)


def _two_pictures(a: ArrayLike, b: ArrayLike) -> list[NDArray[np.float64]]:
    pictures = [np.asarray(one, np.float64) for one in (a, b)]
    shapes = [one.shape for one in pictures]
    if shapes[0] != shapes[1] or len(shapes[0]) != 3 or shapes[0][2] != 3:
        raise InputError(f"expected two pictures H×W×3 of one size, found shapes {shapes[0]} and {shapes[1]}")
    return [one.clip(0, 255) for one in pictures]


def _lab_and_labels(image: ArrayLike, regions: Regions) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return a picture's colours and the heaviest region at each of its pixels."""
    pixels = np.asarray(image, np.float64)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected one picture H×W×3 to measure, found shape {pixels.shape}")
    labels = regions.resized((pixels.shape[0], pixels.shape[1])).labels
    for number, name in enumerate(regions.names):
        if not (labels == number).any():
            raise InputError(f"region {name} is nowhere the heaviest at {pixels.shape[1]}×{pixels.shape[0]} pixels")
    return srgb_to_lab(pixels.clip(0, 255)).astype(np.float64), labels
