r"""Borders that do not show: saturation and local contrast beside a border made those of the region's inside.

Two regions of a photograph seldom meet as two flat papers do.  There is a shadow, a rim of light, a dark outline, and
what is painted from it, region by region, has them too, besides what is left of the border in the features that look
over it: a dull or a glowing band, by which the eye finds the mask.

Let i be a region that meets region j, and p a position of i at a distance d from j.  With m the mean of a value over
i's positions within the width of the border, and M its mean over those that are farther than that from any other region
(`vggnumpy.measures.border_ratios` compares the two), the value of p is multiplied by

    f_ij^w_ij,        f_ij = M / m,  between ⅔ and 3/2,        w_ij = 2 − d / width,  between 0 and 1                (1)

which is f_ij in all of the band and fades out over as much again.  Where several regions are near, the logarithms of
their factors are averaged, weighted with w, and the average counts as much as the nearest of them does alone,

    log f(p) = max_j w_ij · Σ_j w_ij log f_ij / Σ_j w_ij                                                            (2)

The values are chroma √(a*² + b*²), so that a* and b* are multiplied with their factor, and the local contrast of L*:
what L* differs from its own Gaussian mean, over the positions of the same region alone, is multiplied with the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.color import lab_to_srgb, srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.measures import CONTRAST_RADIUS, border_parts, local_contrast
from vggnumpy.regions import Regions

WIDTH = 6 / 512
"""Of the band on each side of a border of a painted picture, in parts of its long side."""

MOST = 1.5
"""What a value is multiplied or divided by at most."""


def evened(image: ArrayLike, regions: Regions, width: float) -> NDArray[np.floating]:
    """Return a picture whose saturation and local contrast at the borders of its regions are those of their insides.

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    regions : Regions
        Of any size; brought to the picture's.  Positions belong to their heaviest region.
    width : float
        Of the band on each side of a border, in pixels.

    Returns
    -------
    ndarray, H×W×3
        By equations (1) and (2), clipped to 0–255; farther than twice the width from any border the picture itself, and
        beside borders that are too short to be judged.  float32 for float32, else float64.

    Raises
    ------
    InputError
        If the image is not H×W×3.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected one picture H×W×3 to even, found shape {pixels.shape}")
    labels = regions.resized((pixels.shape[0], pixels.shape[1])).labels
    lab = srgb_to_lab(pixels.astype(np.float64)).astype(np.float64)
    values = np.stack([np.hypot(lab[..., 1], lab[..., 2]), local_contrast(lab[..., 0], labels)], axis=-1)
    logs, total, largest = np.zeros(values.shape), np.zeros(labels.shape), np.zeros(labels.shape)
    for (i, _), (band, inside, distance) in border_parts(labels, len(regions.names), width).items():
        ratio = values[inside].mean(axis=0) / np.maximum(values[band].mean(axis=0), 1e-12)
        w = np.where(labels == i, (2 - distance / width).clip(0, 1), 0)
        logs += w[..., None] * np.log(ratio.clip(1 / MOST, MOST))
        total, largest = total + w, np.maximum(largest, w)
    near = total > 0
    factors = np.exp(logs[near] * (largest[near] / total[near])[:, None])
    lab[near, 1:] *= factors[:, :1]
    mean = _mean_within(lab[..., 0], labels)[near]
    lab[near, 0] = mean + (lab[near, 0] - mean) * factors[:, 1]
    result: NDArray[np.floating] = pixels.astype(np.float32 if pixels.dtype == np.float32 else np.float64)
    result[near] = lab_to_srgb(lab[near]).clip(0, 255)
    return result


def _mean_within(lightness: NDArray[np.float64], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the Gaussian mean around each position, over the positions of its own region."""
    mean = np.empty(lightness.shape)
    for number in np.unique(labels):
        inside = (labels == number).astype(np.float64)
        weights, sums = (ndimage.gaussian_filter(part, CONTRAST_RADIUS) for part in (inside, inside * lightness))
        mean[labels == number] = sums[labels == number] / weights[labels == number]
    return mean
