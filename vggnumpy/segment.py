r"""Masks made from the pictures themselves: regions by colour, position and network features.

Every pixel of a small copy of the picture gets a vector of three parts: its Lab colour, its position, and the first
principal components of the network's features, colour and features averaged over a neighbourhood, so that a brush
stroke or a window does not make a region.  Each part is scaled to a total variance of 1 and then weighted, so that none
counts more because its numbers are larger.  k-means (`scipy.cluster.vq`) divides the vectors into regions.

What comes out has borders as vague as the neighbourhood, so they are drawn again by the *guided filter* (He, Sun and
Tang 2010): in every window a region's map m, 0 or 1, is replaced with the affine function of the colours x that is
nearest to it, m ≈ a·x + b, least squares with a penalty ε‖a‖²:

    a = (Cov(x, x) + ε I)⁻¹ Cov(x, m),      b = mean(m) − a·mean(x)                                         (1)

a and b are averaged over the windows that hold a pixel, enlarged and applied to the colours of the *large* picture (the
fast guided filter, He and Sun 2015), so borders fall where its colours change.  The heaviest region takes the pixel,
and small islands go to what surrounds them.

The regions of two pictures are paired in `vggnumpy.pairing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.backend import to_host
from vggnumpy.color import srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.images import fit_size, resize
from vggnumpy.nets import Network
from vggnumpy.regions import Regions, fill_unknown, hard_regions

MOST_REGIONS = 8
COLORS = np.array(
    [(0, 0, 255), (255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 0, 255), (0, 255, 255), (128, 0, 128), (255, 140, 0)],
    np.float64,
)
"""What regions made from pictures are shown in, in order."""

LAYERS = ("relu3_1", "relu2", "conv2_relu_3x3", "fire2_concat")
"""The layers whose features are looked at, by default the first that the network has: deep enough to tell textures,
fine enough (4 pixels, 8 in AlexNet) to place them."""

_COLOR, _POSITION, _FEATURES = 1.0, 1.0, 1.5  # weights of the three parts; results change little by half or double
_COMPONENTS = 8
_BLUR = 0.02  # deviation of the neighbourhood, of the long side
_WINDOW = 0.02  # radius of the guided filter's windows, of the long side
_PENALTY = 10.0  # ε, in squared units of Lab
_ISLAND = 0.005  # of the picture
_TRIES = 8  # runs of k-means, of which the tightest is taken
_ONE_COLOR = 1.0  # deviation of all colours together, in units of Lab, of a picture that has nothing to divide


@dataclass(frozen=True)
class Segments:
    """The regions found in a picture, and what pairing compares.

    Attributes
    ----------
    regions : Regions
        Hard, of the picture's size, numbered from 0 at the top of the picture down, by their centres.
    colors : ndarray, K×3
        Mean Lab of each region.
    positions : ndarray, K×2
        Centre of each region, down and across, 0–1.
    features : ndarray, K×C
        Mean of the network's features in each region, each position's scaled to length 1.
    """

    regions: Regions
    colors: NDArray[np.float64]
    positions: NDArray[np.float64]
    features: NDArray[np.float64]


def segment(
    image: ArrayLike,
    net: Network,
    regions: int = 2,
    layer: str | None = None,
    long_side: int = 256,
    rng: int | np.random.Generator = 0,
    what: str = "the picture",
) -> Segments:
    """Divide a picture into regions.

    Parameters
    ----------
    image : array_like, H×W×3
        RGB, 0–255.
    net : Network
        Any that has the layer; its weights should be trained ones.
    regions : int
        How many, 2 to 8.  Two separate sky from ground, or a figure from what is behind it, most reliably.
    layer : str, optional
        Whose features to look at; by default the first of `LAYERS` that the network has.
    long_side : int
        The picture is looked at this small (a smaller one as it is); borders are drawn at its own size.
    rng : int or numpy.random.Generator
        The seed of k-means' starts.
    what : str
        What messages call the picture.

    Returns
    -------
    Segments

    Raises
    ------
    InputError
        If the image is not H×W×3, the number of regions is not offered, the network has no such layer, or the picture
        is of one colour or has not that many regions.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"{what}: expected one picture H×W×3 to divide into regions, found shape {pixels.shape}")
    if not 2 <= regions <= MOST_REGIONS:
        raise InputError(f"expected 2 to {MOST_REGIONS} regions to divide a picture into, found {regions}")
    layer = layer or next((name for name in LAYERS if name in net.layers), LAYERS[0])
    if layer not in net.layers:
        raise InputError(f"network {net.name} has no layer {layer}; name one of {', '.join(net.layers)}")
    rng = np.random.default_rng(rng)
    height, width = pixels.shape[:2]
    size = fit_size(height, width, min(long_side, max(height, width)))
    small = resize(pixels, size).clip(0, 255)
    lab = srgb_to_lab(small).astype(np.float64)
    if lab.var(axis=(0, 1)).sum() < _ONE_COLOR**2:  # what a network makes of it is its padding
        color = tuple(int(v) for v in np.rint(small.mean(axis=(0, 1))))
        raise InputError(f"{what}: expected a picture to divide into {regions} regions, found one colour, {color}")
    features = _unit_features(small, net, layer)
    vectors = np.concatenate([_COLOR * _scaled(_blurred(lab, _BLUR)), _POSITION * _scaled(_places(size))], axis=2)
    components = resize(_components(_blurred(features, _BLUR)), size)
    labels = _cluster(np.dstack([vectors, _FEATURES * _scaled(components)]), regions, rng)
    labels = _without_islands(_redrawn(labels, regions, lab, pixels))
    missing = regions - len(np.unique(labels))
    if missing:
        raise InputError(f"{what} divides into {regions - missing} regions only, not {regions}: ask for fewer")
    return _described(labels, pixels, features)


def _unit_features(image: NDArray[Any], net: Network, layer: str) -> NDArray[np.float64]:
    """Return a layer's features, each position's scaled to length 1: what is there, not how strongly."""
    features, _ = net.forward(np.ascontiguousarray(image, net.dtype), [layer])
    host = to_host(features[layer]).astype(np.float64)
    unit: NDArray[np.float64] = host / np.maximum(np.linalg.norm(host, axis=2, keepdims=True), 1e-12)
    return unit


def _places(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return each pixel's centre, down and across, 0–1, H×W×2."""
    height, width = size
    return np.stack(
        np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"), axis=2
    )


def _blurred(values: NDArray[Any], part: float) -> NDArray[Any]:
    """Average over a neighbourhood whose deviation is a part of the long side."""
    deviation = part * max(values.shape[:2])
    blurred: NDArray[Any] = ndimage.gaussian_filter(values, (deviation, deviation, 0), mode="nearest")
    return blurred


def _scaled(values: NDArray[Any]) -> NDArray[Any]:
    """Scale to a total variance of 1 over the positions; what does not vary stays zero."""
    centred = values - values.mean(axis=(0, 1))
    scaled: NDArray[Any] = centred / max(np.sqrt(centred.var(axis=(0, 1)).sum()), 1e-12)
    return scaled


def _components(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project onto the principal components with the largest variance."""
    flat = features.reshape(-1, features.shape[2])
    flat = flat - flat.mean(axis=0)
    _, directions = np.linalg.eigh(flat.T @ flat)
    components: NDArray[np.float64] = flat @ directions[:, ::-1][:, :_COMPONENTS]
    return components.reshape(*features.shape[:2], -1)


def _cluster(vectors: NDArray[np.float64], regions: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Divide H×W×D vectors by k-means; of several starts take the result with the smallest sum of squares."""
    from scipy.cluster.vq import kmeans2, vq

    flat = vectors.reshape(-1, vectors.shape[2])
    sample = flat[:: 1 + len(flat) // 20000]
    best, labels = np.inf, np.zeros(len(flat), np.intp)
    for _ in range(_TRIES):
        centres, _ = kmeans2(sample, regions, minit="++", rng=rng)
        numbers, distances = vq(flat, centres)
        if (total := float(distances @ distances)) < best:
            best, labels = total, numbers.astype(np.intp)
    return labels.reshape(vectors.shape[:2])


def _redrawn(labels: NDArray[np.intp], regions: int, lab: NDArray[np.float64], image: NDArray[Any]) -> NDArray[np.intp]:
    """Draw the regions again at the image's size, their borders along its colours: equation (1)."""
    side = 1 + 2 * round(_WINDOW * max(labels.shape))

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        average: NDArray[Any] = ndimage.uniform_filter(values, (side, side) + (0,) * (values.ndim - 2), mode="nearest")
        return average

    maps = (labels[..., None] == np.arange(regions)).astype(np.float64)
    colors, shares = mean(lab), mean(maps)
    covariance = mean(lab[..., :, None] * lab[..., None, :]) - colors[..., :, None] * colors[..., None, :]
    with_maps = mean(lab[..., :, None] * maps[..., None, :]) - colors[..., :, None] * shares[..., None, :]
    slopes = np.linalg.solve(covariance + _PENALTY * np.eye(3), with_maps)  # H×W×3×K
    offsets = mean(shares - np.einsum("ijc,ijck->ijk", colors, slopes))
    slopes = mean(slopes)
    size = image.shape[:2]
    large_lab = srgb_to_lab(np.asarray(image, np.float32))
    weights = np.empty((*size, regions), np.float32)
    for number in range(regions):
        slope, offset = (resize(a[..., number].astype(np.float32), size) for a in (slopes, offsets))
        weights[..., number] = np.einsum("ijc,ijc->ij", large_lab, slope) + offset
    heaviest: NDArray[np.intp] = weights.argmax(axis=2)
    return heaviest


def _without_islands(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give pieces smaller than 1/200 of the picture to what is nearest; of each region the largest piece stays."""
    known = np.zeros(labels.shape, bool)
    for number in np.unique(labels):
        pieces, count = ndimage.label(labels == number)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        sizes[0] = 0
        large = sizes >= min(_ISLAND * labels.size, sizes.max())
        large[0] = False
        known |= large[pieces]
    return fill_unknown(labels, known)


def _described(labels: NDArray[np.intp], image: NDArray[Any], features: NDArray[np.float64]) -> Segments:
    """Order the regions from the top down and take the means that pairing compares."""
    rows = np.broadcast_to(np.arange(labels.shape[0])[:, None], labels.shape)
    count = labels.max() + 1
    order = np.argsort(ndimage.mean(rows, labels, np.arange(count)), kind="stable")
    regions = hard_regions(np.argsort(order)[labels], COLORS[:count])

    def means(values: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.einsum("ijk,ijc->kc", weights, values, optimize=True)
        total /= weights.sum(axis=(0, 1), dtype=np.float64)[:, None]
        return total

    small = regions.resized(features.shape[:2]).weights
    lab = srgb_to_lab(np.asarray(image, np.float32))
    return Segments(
        regions, means(lab, regions.weights), means(_places(regions.size), regions.weights), means(features, small)
    )
