"""Styles made of styles: mean, mixture, eigengram and edit at every size, and what is told of how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.images import resize, to_uint8
from vggnumpy.losses import GramStatistics
from vggnumpy.multiscale import THUMBNAIL, Grams, MultiscaleStyle, described
from vggnumpy.styles import eigengram, eigengram_weights, mean_style, mix_styles, mixture_shares

_STRIP = 960  # width that several small pictures may have together


def mean_multiscale(styles: Sequence[MultiscaleStyle]) -> MultiscaleStyle:
    """Return the mean of several styles at every size, see `vggnumpy.styles.mean_style`.

    Raises
    ------
    InputError
        If there is none, or they differ in network, layers or sizes.
    """
    return _combined(styles, mean_style, {"made": "mean"})


def mix_multiscale(styles: Sequence[MultiscaleStyle], weights: Sequence[float]) -> MultiscaleStyle:
    """Return a mixture of styles at every size, see `vggnumpy.styles.mix_styles`.

    Raises
    ------
    InputError
        If there is none, they differ in network, layers or sizes, or the weights do not fit.
    """
    shares = mixture_shares(weights, len(styles)) if styles else []
    return _combined(styles, lambda one: mix_styles(one, weights), {"made": "mixture", "weights": shares})


def eigengram_multiscale(styles: Sequence[MultiscaleStyle], stacked: bool = False) -> MultiscaleStyle:
    """Return the eigengram of several styles at every size, see `vggnumpy.styles.eigengram`.

    Raises
    ------
    InputError
        If there is none, or they differ in network, layers or sizes.
    """
    made = _combined(styles, lambda one: eigengram(one, stacked), {"made": "eigengram", "stacked": stacked})
    size = made.sizes[-1]
    weights = eigengram_weights([one.grams[size] for one in styles], stacked)
    return replace(made, recipe={**made.recipe, "weights": {layer: w.tolist() for layer, w in weights.items()}})


def edit_style(
    style: MultiscaleStyle,
    layers: Mapping[str, float] | None = None,
    channels: Mapping[str, Mapping[int, float]] | None = None,
    drop: Iterable[str] = (),
) -> MultiscaleStyle:
    """Return a style with some layers or channels stronger or weaker, or without some layers.

    Parameters
    ----------
    style : MultiscaleStyle
    layers : dict, optional
        Layer → what its Gram matrix is multiplied with: the target then wants features √factor times as large.
    channels : dict, optional
        Layer → channel → a in Fₖ ← a Fₖ, so that G_ij becomes aᵢ aⱼ G_ij: still a matrix that features can have.  0
        asks for an image in which the channel is silent.
    drop : iterable of str
        Layers to leave out.

    Raises
    ------
    InputError
        If a layer or channel is not there, a factor is negative or not finite, a layer is both changed and dropped,
        or no layer is left.
    """
    layers, channels, drop = dict(layers or {}), dict(channels or {}), list(drop)
    for layer in (*layers, *channels, *drop):
        if layer not in style.layers:
            raise InputError(f"the style has no layer {layer!r}; it has {', '.join(style.layers)}")
        if layer in drop and (layer in layers or layer in channels):
            raise InputError(f"layer {layer} is dropped, and cannot be made stronger or weaker besides")
    factors = {layer: _channel_factors(style, layer, channels.get(layer, {})) for layer in style.layers}
    for layer, factor in layers.items():
        if not 0 < factor < np.inf:
            raise InputError(f"the factor of layer {layer} must be positive and finite, got {factor}; drop it instead")
    kept = [layer for layer in style.layers if layer not in drop]
    if not kept:
        raise InputError("a style needs one layer at least, and all are dropped")
    grams: dict[int, Grams] = {
        size: {
            layer: GramStatistics(
                (one[layer].matrix * (layers.get(layer, 1.0) * np.outer(factors[layer], factors[layer]))).astype(
                    style.dtype
                ),
                one[layer].positions,
            )
            for layer in kept
        }
        for size, one in style.grams.items()
    }
    named = {layer: {str(k): a for k, a in one.items()} for layer, one in channels.items()}
    recipe = {"made": "edit", "layers": layers, "channels": named, "drop": drop, "of": [dict(style.recipe)]}
    return replace(style, grams=grams, digests={layer: style.digests[layer] for layer in kept}, recipe=recipe)


def _channel_factors(style: MultiscaleStyle, layer: str, channels: Mapping[int, float]) -> np.ndarray:
    count = len(style.grams[style.sizes[0]][layer].matrix)
    factors = np.ones(count)
    for channel, factor in channels.items():
        if not 0 <= channel < count:
            raise InputError(f"layer {layer} has channels 0 to {count - 1}, got {channel}")
        if not 0 <= factor < np.inf:
            raise InputError(f"the factor of channel {channel} of {layer} must be finite, not negative, got {factor}")
        factors[channel] = factor
    return factors


def _combined(styles: Sequence[MultiscaleStyle], combine: Any, recipe: dict[str, Any]) -> MultiscaleStyle:
    """Apply a function of styles at one size to all sizes."""
    if not styles:
        raise InputError("expected one style at least, got none")
    first = styles[0]
    for number, one in enumerate(styles, start=1):
        if one.sizes != first.sizes:
            sizes = [", ".join(map(str, each.sizes)) for each in (first, one)]
            raise InputError(
                f"styles must have the same sizes: style 1 has {sizes[0]}; style {number} has {sizes[1]}; compute them "
                "with one --size"
            )
        if one.layers != first.layers:
            layers = [", ".join(each.layers) for each in (first, one)]
            raise InputError(
                f"styles must have the same layers: style 1 has {layers[0]}; style {number} has {layers[1]}"
            )
        if one.digests != first.digests:
            raise InputError(
                f"styles must come from one network: style 1 from {described(first.network)}, style {number} from "
                f"{described(one.network)}"
                + (", of other weights" if described(one.network) == described(first.network) else "")
            )
    return MultiscaleStyle(
        {size: combine([one.grams[size] for one in styles]) for size in first.sizes},
        first.digests,
        first.network,
        {**recipe, "of": [dict(one.recipe) for one in styles]},
        strip([one.preview for one in styles]),
    )


def strip(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures side by side, of one height, uint8."""
    parts: list[np.ndarray] = []
    for picture in pictures:
        height, width = picture.shape[:2]
        parts += [np.full((THUMBNAIL, 2, 3), 255, np.float32)] * bool(parts)
        parts.append(resize(picture.astype(np.float32), (THUMBNAIL, max(1, round(width * THUMBNAIL / height)))))
    joined = np.concatenate(parts, axis=1)
    if joined.shape[1] > _STRIP:
        joined = resize(joined, (max(1, round(THUMBNAIL * _STRIP / joined.shape[1])), _STRIP))
    return to_uint8(joined)


def pictures_in(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the recipes of all pictures that went into a style, in their order."""
    if recipe.get("made") == "picture":
        return [recipe]
    return [picture for one in recipe.get("of", ()) for picture in pictures_in(one)]


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """Say in words how a style was made."""
    made, parts = recipe.get("made"), [recipe_text(one) for one in recipe.get("of", ())]
    if made == "picture":
        return recipe.get("name") or "a picture without a name"
    if made in ("mean", "eigengram"):
        return f"the {made} of {', '.join(parts)}"
    if made == "mixture":
        return " + ".join(f"{w:.3g} × ({part})" for w, part in zip(recipe["weights"], parts, strict=True))
    changes = [f"{layer} × {factor:g}" for layer, factor in recipe.get("layers", {}).items()] if made == "edit" else []
    changes += [f"channels of {layer}" for layer in recipe.get("channels", {})]
    changes += [f"without {layer}" for layer in recipe.get("drop", ())]
    return f"{made} of {parts[0]}: {', '.join(changes)}" if made == "edit" else f"{made}, {recipe.get('kind')}"
