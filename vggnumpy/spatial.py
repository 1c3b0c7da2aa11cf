"""Spatial control: which part of a picture takes its style from which part of which painting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggnumpy.backend import Backend
from vggnumpy.color import srgb_to_lab
from vggnumpy.color_control import color_statistics, pooled
from vggnumpy.engine import engine_for
from vggnumpy.errors import InputError
from vggnumpy.losses import RegionStatistics
from vggnumpy.masks import check_mask_size, match_regions, regions_of_mask
from vggnumpy.nets.masks import carry_masks
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.ops.geometry import Sides
from vggnumpy.region_colors import LEAST, recolored_regions, region_statistics
from vggnumpy.regions import Regions, feather
from vggnumpy.styles import region_style_of


@dataclass(frozen=True)
class Placement:
    """The regions of a picture and of the paintings that they take their style from.

    Attributes
    ----------
    content : Regions
        K regions of the picture.
    styles : tuple of Regions, or tuple of int
        For each painting its own K regions, in the picture's order, so that region k is painted in the style of
        region k; or the number of the one region that the whole painting is for.

    Raises
    ------
    InputError
        If a painting has another number of regions, or numbers are given and not every region has one painting.
    """

    content: Regions
    styles: tuple[Regions, ...] | tuple[int, ...]

    def __post_init__(self) -> None:
        names = self.content.names
        if all(isinstance(one, Regions) for one in self.styles):
            for number, one in enumerate(self.styles, start=1):
                if isinstance(one, Regions) and len(one.names) != len(names):
                    raise InputError(f"style {number} has {len(one.names)} regions, the content {len(names)}")
        elif sorted(map(str, self.styles)) != sorted(map(str, range(len(names)))):
            raise InputError(
                f"each of the {len(names)} regions ({', '.join(names)}) needs one style picture of its own, or every "
                f"style picture a mask; there are {len(self.styles)} pictures"
            )


def placement_of_masks(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    pictures: Sequence[tuple[int, int]],
    regions: int | None = None,
    names: Sequence[str] | None = None,
) -> Placement:
    """Return the placement that painted masks describe.

    Parameters
    ----------
    content : ndarray, H×W×3, RGB 0–255
        The content's mask.
    styles : sequence of ndarray
        The styles' masks, regions of one colour belong together; or none, and then the styles are for the content's
        regions in the order of their size, the largest first.
    pictures : sequence of (int, int)
        Height and width of the content and of each style picture.
    regions : int, optional
        How many a mask has; by default found.
    names : sequence of str, optional
        What messages call the masks, such as their files: the content's, then the styles'.

    Raises
    ------
    InputError
        If a mask has not its picture's proportions, cannot be read, lacks a region that another has, or the number of
        masks is neither none nor that of the styles.
    """
    size, *sizes = pictures
    numbered = [f"the mask of style {number + 1}" for number in range(len(styles))]
    first, *rest = names or ("the content's mask", *(["the style's mask"] if len(styles) == 1 else numbered))
    check_mask_size(content.shape[:2], size, first)
    own = regions_of_mask(content, regions, first)
    if not styles:
        order = np.argsort([-share for share in own.shares], kind="stable")
        return Placement(own.take([int(i) for i in order]), tuple(range(len(sizes))))
    if len(styles) != len(sizes):
        raise InputError(
            f"expected one mask for each of {len(sizes)} style pictures, or none, found {len(styles)}: give "
            "--style-mask once for each STYLE"
        )
    matched = []
    for mask, picture, what in zip(styles, sizes, rest, strict=True):
        check_mask_size(mask.shape[:2], picture, what)
        matched.append(match_regions(own, regions_of_mask(mask, regions, what), (first, what))[1])
    return Placement(own, tuple(matched))


def recolored_content(
    content: np.ndarray,
    placement: Placement,
    styles: Sequence[np.ndarray],
    weights: Sequence[float],
    least: float = LEAST,
) -> np.ndarray:
    """Return the picture with each region's colours moved to those of the region that it takes its style from.

    See `vggnumpy.region_colors`: painting then begins with a sky that has the painted sky's mean colour already, and
    its content does not pull it back.

    Parameters
    ----------
    content : ndarray, H×W×3, RGB 0–255
    placement : Placement
    styles : sequence of ndarray, H×W×3, RGB 0–255
    weights : sequence of float
        Share of each style in every region; of no meaning where each is for a region of its own.
    least : float
        As for `vggnumpy.region_colors.recolored_regions`.

    Returns
    -------
    ndarray, H×W×3
        Of the dtype of `content`.
    """
    if all(isinstance(one, Regions) for one in placement.styles):
        found = [
            region_statistics(style, own)
            for style, own in zip(styles, placement.styles, strict=True)
            if isinstance(own, Regions)
        ]
        targets = [pooled(region, weights) for region in zip(*found, strict=True)]
    else:
        order = np.argsort(placement.styles)  # type: ignore[arg-type]
        targets = [color_statistics(srgb_to_lab(styles[i])) for i in order]
    return recolored_regions(content, placement.content, targets, least)


def content_masks(
    content: Regions, net: Network, layers: Iterable[LayerKey], shape: tuple[int, int], sides: Sides, softness: float,
    way: str,
) -> dict[LayerKey, np.ndarray]:  # fmt: skip
    """Return the weights of a canvas's positions in each region, for some layers.

    Parameters
    ----------
    content : Regions
    net : Network
    layers : iterable of str or int
    shape : (int, int)
        Of the picture at this scale.
    sides : Sides
        By how much the canvas is larger.
    softness : float
        Width of the band in which neighbours blend, in parts of the picture's long side; 0 keeps the mask's own edges.
    way : str
        How masks reach a layer, one of `vggnumpy.nets.masks.WAYS`.

    Raises
    ------
    InputError
        If a region is empty at a layer.
    """
    regions = content.resized(shape)
    if softness:
        regions = feather(regions, softness * max(shape))
    top, bottom, left, right = sides
    weights = np.pad(regions.weights, ((top, bottom), (left, right), (0, 0)), mode="reflect")
    return carry_masks(net, weights, layers, way, content.names, _at("content picture", shape))


def region_styles(
    placement: Placement, net: Network, images: Sequence[np.ndarray], masks: Sequence[dict[LayerKey, np.ndarray]]
) -> list[dict[LayerKey, RegionStatistics]]:
    """Return the Gram matrices of the regions of each style; of paintings for a region each, one style together.

    Parameters
    ----------
    placement : Placement
    net : Network
    images : sequence of ndarray, H×W×3, RGB 0–255, of the network's dtype
        The style pictures at the size they are used in.
    masks : sequence of dict
        From `style_masks`, for these sizes; their layers are those of the Gram matrices.
    """
    styles = [_statistics(net, image, own) for image, own in zip(images, masks, strict=True)]
    if all(isinstance(one, Regions) for one in placement.styles):
        return styles
    order = np.argsort(placement.styles)  # type: ignore[arg-type]
    together = {
        layer: RegionStatistics(*(np.concatenate([styles[i][layer][part] for i in order]) for part in (0, 1)))
        for layer in masks[0]
    }
    return [together]


def style_masks(
    placement: Placement, net: Network, sizes: Sequence[tuple[int, int]], layers: Iterable[LayerKey], way: str
) -> list[dict[LayerKey, np.ndarray]]:
    """Return the weights of the positions of each style picture, of these sizes, in its regions, layer by layer.

    Raises
    ------
    InputError
        If a region is empty at a layer.
    """
    masks, layers = [], list(layers)
    for number, (size, regions) in enumerate(zip(sizes, placement.styles, strict=True), start=1):
        if isinstance(regions, Regions):
            picture = "style picture" if len(sizes) == 1 else f"style picture {number}"
            weights = regions.resized(size).weights
            masks.append(carry_masks(net, weights, layers, way, regions.names, _at(picture, size)))
        else:
            masks.append(carry_masks(net, np.ones((*size, 1), np.float32), layers))
    return masks


def _at(picture: str, size: tuple[int, int]) -> str:
    """Name a picture with its size: a region may be empty at the small sizes that a transfer begins with alone."""
    return f"{picture} at {size[1]}×{size[0]} pixels"


def _statistics(net: Network, image: np.ndarray, masks: dict[LayerKey, np.ndarray]) -> dict[LayerKey, Any]:
    """Return the statistics of an image's regions, by the engine where it can: in its memory, which is less."""
    named = {net.layer_name(key): mask for key, mask in masks.items()}
    engine = engine_for(net, named, image.shape) if image.dtype == np.float32 else None
    if engine is None:
        return dict(region_style_of(net, image, masks))
    found, _ = engine.forward(image, named, masks=named)
    return {key: found[net.layer_name(key)] for key in masks}


def on_device(arrays: dict[LayerKey, Any], backend: Backend) -> dict[LayerKey, Any]:
    """Return arrays, or statistics of regions, as arrays of a backend."""
    asarray = backend.xp.asarray
    return {
        key: RegionStatistics(*map(asarray, one)) if isinstance(one, RegionStatistics) else asarray(one)
        for key, one in arrays.items()
    }
