"""Styles that know of places or of patches, as terms of an objective: what stands in for the Gram losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vggnumpy import losses
from vggnumpy.engine.threads import cores
from vggnumpy.errors import InputError
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.terms import LayerTerm

STYLE_LOSSES = ("gram", "self-convolution", "autocorrelation", "local", "covariation", "patches")
ALIGNED = ("self-convolution", "autocorrelation", "local")
"""Those that compare place with place: the style picture is brought to the content's size and proportions."""
WINDOWED = ("local", "covariation")
"""Those that look through windows, whose radius is chosen."""
_COMPONENTS = 4  # principal components of the content that ``covariation`` looks at


def check_style_loss(kind: str, patches: bool, radius: int, style_scale: float) -> None:
    """Refuse a style loss that is unknown, or that does not go with other settings.

    Parameters
    ----------
    kind : str
        Of the style loss.
    patches : bool
        Whether patches are matched beside it.
    radius, style_scale
        As in `vggnumpy.presets.Settings`.

    Raises
    ------
    InputError
    """
    if kind not in STYLE_LOSSES:
        raise InputError(f"the style loss must be one of {', '.join(STYLE_LOSSES)}, got {kind!r}")
    if patches and kind != "gram":
        raise InputError(f"patches are matched beside Gram matrices only, not beside {kind}")
    if radius < 0:
        raise InputError(f"the radius must not be negative, got {radius}")
    if kind in ALIGNED and style_scale != 1:
        raise InputError(
            f"the style loss {kind} compares place with place, with the style picture at the result's size: it goes "
            f"with a style scale of 1 alone, got {style_scale}"
        )


def loss_without_gpu(kind: str, patches: bool) -> str | None:
    """Return the style loss that keeps a transfer on the CPU, or None if a GPU can compute it: Gram matrices alone.

    Parameters
    ----------
    kind : str
        The style loss.
    patches : bool
        Whether patches are matched besides.
    """
    return "patches" if patches else None if kind == "gram" else kind


@dataclass
class HeldPatches:
    """The patch loss at a layer with its matches held until `release` is called.

    The loss jumps when matches change, and an optimiser that remembers gradients would stumble over it.
    """

    target: losses.PatchTarget
    maps: Any
    normalization: str
    matches: Any = field(default=None)

    def __call__(self, F: Any) -> tuple[float, Any]:
        """Return the loss and its derivative, searching the matches first if none are held."""
        if self.matches is None:
            self.matches = losses.patches_match(F, self.target, self.maps)
        return losses.patches(F, self.target, self.maps, self.matches, self.normalization)

    def release(self) -> None:
        """Forget the matches, so that the next call searches them anew."""
        self.matches = None


def style_terms(
    kind: str,
    net: Network,
    weights: Mapping[LayerKey, float],
    images: Sequence[np.ndarray],
    shares: Sequence[float],
    normalization: str,
    *,
    content: np.ndarray | None = None,
    content_layers: Iterable[LayerKey] = (),
    radius: int = 8,
    content_maps: Mapping[LayerKey, Any] | None = None,
    style_maps: Sequence[Mapping[LayerKey, Any]] | None = None,
) -> list[LayerTerm]:
    """Return the terms of a style other than by Gram matrices.

    Parameters
    ----------
    kind : {"self-convolution", "autocorrelation", "local", "covariation", "patches"}
        See the modules of that name in `vggnumpy.losses`.
    net : Network
    weights : dict
        Layer → weight.
    images : sequence of ndarray, H×W×3, RGB 0–255, of the network's dtype
        The style pictures; at the size of the image where `kind` is one of `ALIGNED`.
    shares : sequence of float
        Of each style picture.
    normalization : str
        As for the losses.
    content, content_layers : ndarray, H×W×3, and layers, optional
        What ``covariation`` takes for content: the picture as the deepest of the content layers sees it, of the style's
        layers if there are none, and standardised, see `vggnumpy.losses.standardised_content`.
    radius : int
        Of the windows of ``local`` and ``covariation``, in positions of the layer.
    content_maps, style_maps : dict and sequence of dict, optional
        Layer → semantic maps H×W×D at the layer's size, of the image and of each style picture, for ``patches``.

    Raises
    ------
    InputError
        If the kind is unknown, or something that it needs is missing.
    """
    if kind not in STYLE_LOSSES[1:]:
        raise InputError(f"a style other than by Gram matrices is one of {', '.join(STYLE_LOSSES[1:])}, got {kind!r}")
    if kind == "covariation" and content is None:
        raise InputError("the covariation of style and content needs a content picture")
    names = {net.layer_name(key): (key, weight) for key, weight in weights.items()}
    deepest = max(map(net.layer_name, content_layers or names), key=net.layers.index, default="")
    P, components = None, None
    if kind == "covariation":
        P = losses.standardised_content(net.forward(content, [deepest])[0][deepest])
        components = losses.content_components(P, min(_COMPONENTS, P.shape[-1]))
    terms = []
    for number, (image, share) in enumerate(zip(images, shares, strict=True)):
        features, _ = net.forward(image, {*names, deepest} if kind == "covariation" else names)
        for layer, (key, weight) in names.items():
            loss: Callable[..., tuple[Any, ...]]
            S = features[layer]
            if kind == "patches":
                maps = (content_maps or {}).get(key), (style_maps[number] if style_maps else {}).get(key)
                loss = HeldPatches(losses.patches_target(S, maps[1]), maps[0], normalization)
            elif kind == "covariation":
                content_style = losses.standardised_content(features[deepest])
                covariation = losses.covariation_target(S, content_style, components, radius)
                loss = _covariation(covariation, P, normalization)
            elif kind == "local":
                loss = _local(losses.local_gram_target(S, radius), normalization)
            else:
                spatial = losses.self_convolution if kind == "self-convolution" else losses.autocorrelation
                loss = _spatial(spatial, losses.self_convolution_target(S, cores()), normalization)
            name = f"{kind} {layer}" if len(images) == 1 else f"{kind} {layer}, style {number + 1}"
            terms.append(LayerTerm(name, (layer,), weight * share, loss))
    return terms


def cropped(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the middle of a picture with the proportions of another, whose height and width are given."""
    height, width = image.shape[:2]
    rows, columns = min(height, round(width * shape[0] / shape[1])), min(width, round(height * shape[1] / shape[0]))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


def _covariation(target: losses.CovariationTarget, content: Any, normalization: str) -> Callable[..., tuple[Any, ...]]:
    return lambda F: losses.covariation(F, content, target, normalization)[:2]


def _local(target: losses.LocalGramTarget, normalization: str) -> Callable[..., tuple[Any, ...]]:
    return lambda F: losses.local_gram(F, target, normalization, cores())


def _spatial(
    loss: Callable[..., tuple[Any, ...]], target: losses.SelfConvolutionTarget, normalization: str
) -> Callable[..., tuple[Any, ...]]:
    return lambda F: loss(F, target, normalization, cores())
