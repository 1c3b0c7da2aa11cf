"""One scale of a transfer: a picture's canvas and the objective that is minimised on it.

The canvas has a margin around the picture (see `Settings.margin`), which is painted along and cut off at the end.
Gram matrices are summed over the picture and a few pixels around it.  Summed over all of the margin, which is a quarter
of the canvas at 128 pixels, they are met by the two together: the margin takes a share of the style with it, and the
longer the descent, the larger the share.  Summed over the picture alone, its outermost strokes lie along its frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.feature_size import coarse_and_fine, grams_on_device
from vggnumpy.images import resize
from vggnumpy.nets import Network
from vggnumpy.nets.network import LayerKey
from vggnumpy.objective import Objective
from vggnumpy.ops import pad
from vggnumpy.ops.geometry import Sides, window_at
from vggnumpy.plan import Plan, style_size
from vggnumpy.spatial import content_masks, on_device, region_styles, style_masks
from vggnumpy.style_terms import ALIGNED, cropped, style_terms
from vggnumpy.terms import LayerTerm

_AROUND = 4  # pixels of the margin that Gram matrices are summed over too


def canvas_at(plan: Plan, pixels: np.ndarray, shape: tuple[int, int], sides: Sides) -> Any:
    """Return a picture at the size of one scale, extended by `sides`, where the transfer runs."""
    canvas, _ = pad(resize(pixels, shape).astype(plan.net.dtype), sides, "reflect")
    return plan.backend.xp.asarray(canvas)


@dataclass(frozen=True)
class _Style:
    """What stands for the style in the objective of one scale: pictures or their statistics at layers, and terms."""

    images: list[Any] = field(default_factory=list)
    layers: dict[LayerKey, float] = field(default_factory=dict)
    weights: list[float] | None = None
    regions: dict[LayerKey, Any] | None = None
    terms: list[LayerTerm] = field(default_factory=list)


def objective_at(plan: Plan, net: Network, shape: tuple[int, int], sides: Sides) -> Objective:
    """Build the objective of one scale, for a canvas that is larger than the picture by `sides`."""
    settings = plan.settings
    content = canvas_at(plan, plan.content, shape, sides)
    style = _style(plan, content, shape, sides)
    return Objective(
        net,
        content,
        style.images,
        settings.content_layers,
        style.layers,
        settings.normalization,
        settings.size_penalty,
        settings.variation,
        size_power=settings.size_power,
        variation_beta=settings.variation_beta,
        style_weights=style.weights,
        margin=_beyond(sides),
        regions=style.regions,
        layer_terms=style.terms,
        precision=settings.precision,
    )


def _style(plan: Plan, content: Any, shape: tuple[int, int], sides: Sides) -> _Style:
    """Return the style at one scale: of whole pictures, of regions, or in place of Gram matrices."""
    settings, layers, backend = plan.settings, plan.settings.style_layers or {}, plan.backend
    if plan.ready:
        long_side = round(settings.style_scale * max(shape))
        return _Style([one.at(long_side, backend) for one in plan.ready], layers, plan.style_weights)
    images, own, maps, terms = _style_images(plan, shape, sides), None, None, list[LayerTerm]()
    by_gram = settings.style_loss == "gram"
    kind, others = ("patches", settings.patch_layers or {}) if by_gram else (settings.style_loss, layers)
    if plan.placement is not None:
        every, way = {**layers, **others}, settings.mask_way
        own = content_masks(plan.placement.content, plan.net, every, shape, sides, settings.feather, way)
        maps = style_masks(plan.placement, plan.net, [image.shape[:2] for image in images], every, way)
    if others:
        terms = style_terms(
            kind,
            plan.net,
            others,
            images,
            plan.style_weights,
            settings.normalization,
            content=to_host(content),
            content_layers=settings.content_layers or (),
            radius=settings.radius,
            content_maps=own,
            style_maps=maps,
        )
    if not by_gram:
        return _Style(terms=terms)
    if plan.fine is not None:
        fine = resize(plan.fine, style_size(settings, plan.fine, shape)).astype(plan.net.dtype)
        joined = [coarse_and_fine(plan.net, one, fine, list(layers)) for one in images]
        return _Style([grams_on_device(one, backend) for one in joined], layers, plan.style_weights)
    if plan.placement is None or own is None or maps is None:
        return _Style([backend.xp.asarray(one) for one in images], layers, plan.style_weights, terms=terms)
    maps = [{layer: one[layer] for layer in layers} for one in maps]
    styles = [on_device(one, backend) for one in region_styles(plan.placement, plan.net, images, maps)]
    weights = plan.style_weights if len(styles) == len(images) else [1.0]
    return _Style(styles, layers, weights, on_device(_inside(own, layers, content.shape, sides), backend), terms)


def _beyond(sides: Sides) -> Sides:
    """Return what of the margin Gram matrices leave out."""
    return Sides(*(max(side - _AROUND, 0) for side in sides))


def _inside(
    maps: dict[LayerKey, np.ndarray], layers: Iterable[LayerKey], shape: tuple[int, ...], sides: Sides
) -> dict[LayerKey, np.ndarray]:
    """Return the weights of regions at some layers with 0 where Gram matrices are not summed: it belongs to none."""
    found = {}
    for layer in layers:
        size = maps[layer].shape
        window = window_at((size[0], size[1]), (shape[0], shape[1]), _beyond(sides))
        found[layer], _ = pad(window.of(maps[layer]), window.outside(size))
    return found


def _style_images(plan: Plan, shape: tuple[int, int], sides: Sides) -> list[np.ndarray]:
    """Return the style pictures at the size they have at one scale."""
    if plan.settings.style_loss in ALIGNED:
        return [to_host(canvas_at(plan, cropped(one, shape), shape, sides)) for one in plan.styles]
    return [resize(one, style_size(plan.settings, one, shape)).astype(plan.net.dtype) for one in plan.styles]
