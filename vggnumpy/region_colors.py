r"""Colours moved region by region: a picture whose sky has the colours of the painted sky before a stroke is painted.

Gram matrices bring a region's colours over too, but slowly where the picture's own are far away: a white house under a
night sky stays the lightest thing for hundreds of iterations, and the content's features, which know light from dark,
hold it there.  Where the picture that is repainted, content and start, has its style's colours already, region by
region, nothing pulls them back, and the painter's iterations are left for strokes.  The result's borders are made even
(`vggnumpy.borders`), and it is moved once more, by its mean alone: strokes are what Gram matrices see best, and their
mean may have strayed.

For one region let μ_c, Σ_c be mean and covariance of its own colours in Lab, and μ_s, Σ_s those of the region that it
takes its style from, each position counted with its weight.  Of all affine maps x → A (x − μ_c) + μ_s with
A Σ_c Aᵀ = Σ_s the one that moves colours least on average is (Olkin and Pukelsheim 1982; for pictures Pitié and Kokaram
2007)

    A = Σ_c^-½ (Σ_c^½ Σ_s Σ_c^½)^½ Σ_c^-½                                                               (1)

A is symmetric, its eigenvalues are how many times contrast grows along its axes.  Those above 1 are replaced with 1: a
clear sky's few grey levels, stretched to all that a painted sky holds, are noise, blocks of JPEG, and a glowing band
along the horizon, and it is the strokes that bring the painting's contrast.  Those below ½ are replaced with ½: a face
that takes its colours from a calm part of a painting is still to be seen.  Means agree all the same, but for colours
that RGB has not and that are clipped.

Where regions are soft each position gets the mean of its regions' maps by weight.  That is a grey where the two are
complements, so weights should be those of the masks' own edges, a pixel or two wide, and not of a broad `feather`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vggnumpy.color import lab_to_srgb, srgb_to_lab
from vggnumpy.color_control import ColorStatistics
from vggnumpy.errors import InputError
from vggnumpy.regions import Regions

LEAST, MOST = 0.5, 1.0
"""Limits of the eigenvalues of the map: how a region's contrast may change."""

_ROUNDING = 0.5  # units of Lab by which any colour varies: keeps Σ_c^-½ finite


def region_statistics(image: ArrayLike, regions: Regions) -> list[ColorStatistics]:
    """Return mean and covariance of each region's colours in Lab.

        μ = Σ_p w_p x_p / Σ_p w_p,      Σ = Σ_p w_p (x_p − μ)(x_p − μ)ᵀ / Σ_p w_p

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    regions : Regions
        Of any size; brought to the picture's.

    Raises
    ------
    InputError
        If the image is not H×W×3.
    """
    pixels = _checked(image)
    weights = regions.resized((pixels.shape[0], pixels.shape[1])).weights.reshape(-1, len(regions.names))
    colors, found = srgb_to_lab(pixels.astype(np.float64)).reshape(-1, 3), []
    for w in weights.astype(np.float64).T:
        mean = w @ colors / w.sum()
        away = colors - mean
        found.append(ColorStatistics(mean, (away * w[:, None]).T @ away / w.sum()))
    return found


def recolored_regions(
    image: ArrayLike, regions: Regions, targets: Sequence[ColorStatistics], least: float = LEAST
) -> NDArray[np.floating]:
    """Return a picture whose regions have the mean colours of others, moved as little as that takes.

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    regions : Regions
        Of any size; brought to the picture's.
    targets : sequence of K ColorStatistics
        What each region is to have, in Lab.
    least : float
        Lower limit of the eigenvalues; 1 for means alone.

    Returns
    -------
    ndarray, H×W×3
        By equation (1) with its eigenvalues limited, clipped to 0–255.  float32 for float32, else float64.

    Raises
    ------
    InputError
        If the image is not H×W×3, or there is not a target for each region.
    """
    pixels = _checked(image)
    if len(targets) != len(regions.names):
        raise InputError(f"expected colours for each of {len(regions.names)} regions, found {len(targets)}")
    weights = regions.resized((pixels.shape[0], pixels.shape[1])).weights
    lab = srgb_to_lab(pixels.astype(np.float64))
    moved = np.zeros(pixels.shape)
    for k, (own, target) in enumerate(zip(region_statistics(pixels, regions), targets, strict=True)):
        A = least_map(own.covariance, target.covariance, least, MOST)
        moved += weights[..., k : k + 1] * ((lab - own.mean) @ A + target.mean)
    return lab_to_srgb(moved).clip(0, 255).astype(pixels.dtype)


def least_map(
    source: NDArray[np.float64], target: NDArray[np.float64], least: float, most: float
) -> NDArray[np.float64]:
    """Return A of equation (1), 3×3 symmetric, its eigenvalues limited.

    Parameters
    ----------
    source, target : ndarray, 3×3
        Σ_c and Σ_s.
    least, most : float
        Limits of the eigenvalues; 0 and infinity for (1) itself.
    """
    values, axes = np.linalg.eigh(source)
    deviations = np.sqrt(np.maximum(values, _ROUNDING**2))
    root, inverse = (axes * deviations) @ axes.T, (axes / deviations) @ axes.T
    values, axes = np.linalg.eigh(root @ target @ root)
    A = inverse @ (axes * np.sqrt(np.maximum(values, 0))) @ axes.T @ inverse
    values, axes = np.linalg.eigh((A + A.T) / 2)
    limited: NDArray[np.float64] = (axes * values.clip(least, most)) @ axes.T
    return limited


def _checked(image: ArrayLike) -> NDArray[np.floating]:
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected one picture H×W×3 to recolour, found shape {pixels.shape}")
    return pixels.astype(np.float32 if pixels.dtype == np.float32 else np.float64)
