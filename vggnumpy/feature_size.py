r"""Strokes of one painting within the forms of another: style layers taken from two pictures.

A layer's features see as far as its window, a few pixels in the first layers and a face in the last.  So the Gram
matrices of shallow layers describe what is small, grain and brush strokes, and those of deep layers what is large, how
strokes are bent into forms.  Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (2017, section 6),
take the small from one painting and the large from another.  Here the style loss itself does:

    E(x) = Σ_{l ∈ fine} w_l ‖G_l(x) − A_l(fine picture)‖² + Σ_{l ∈ coarse} w_l ‖G_l(x) − A_l(coarse picture)‖²

Nothing new has to be derived, since each layer has one target as always.  Their way, painting the coarse picture anew
with the fine one's strokes and taking that for style, is two transfers one after the other, and costs twice the time.

The two targets do not quite agree, as no painting has both.  Above all both sorts of layers know of colours, and a blue
sky cannot be made of pink strokes: the result is neither.  So a transfer moves the fine picture's colours to the coarse
one's mean and covariance first (`vggnumpy.color_control.match_colors`), and colours come from where forms come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vggnumpy.backend import Backend
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics
from vggnumpy.multiscale import grams_of
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.presets import Settings


def fine_layers(net: Network, layers: Iterable[LayerKey]) -> list[str]:
    """Return the shallower half of some layers, rounded down, in the network's order.

    Parameters
    ----------
    net : Network
    layers : iterable of str or int
        Style layers: names or MatConvNet's numbers.

    Raises
    ------
    InputError
        If there are fewer than two, or the network does not have one.

    Examples
    --------
    >>> import vggnumpy as vn
    >>> fine_layers(vn.random_network("vgg19", rng=0), ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"])
    ['relu1_1', 'relu2_1']
    """
    names = [net.layer_name(layer) for layer in layers]
    if len(names) < 2:
        raise InputError(f"a fine and a coarse style need two style layers at least, got {', '.join(names) or 'none'}")
    return sorted(names, key=list(net.layers).index)[: len(names) // 2]


def coarse_and_fine(
    net: Network, coarse: np.ndarray, fine: np.ndarray, layers: Sequence[LayerKey]
) -> dict[Any, GramStatistics]:
    """Return a style that has its shallower half of layers from one picture and the others from another.

    Parameters
    ----------
    net : Network
    coarse, fine : ndarray, H×W×3, RGB 0–255, of the network's dtype
        Of any two sizes.  `fine` gives the Gram matrices of `fine_layers`.
    layers : sequence of str or int
        The style layers.

    Returns
    -------
    dict
        Layer name → `GramStatistics`, for `vggnumpy.Objective`.

    Raises
    ------
    InputError
        As `fine_layers`.
    """
    small = fine_layers(net, layers)
    large = [name for name in map(net.layer_name, layers) if name not in small]
    return {**grams_of(net, fine, small), **grams_of(net, coarse, large)}


def check_fine(net: Network, settings: Settings, regions: bool) -> None:
    """Refuse a fine style where the style is not one Gram matrix a layer.

    Raises
    ------
    InputError
        If the style loss is another or there are regions, or as `fine_layers`.
    """
    if settings.style_loss != "gram" or regions:
        what = "regions" if regions else f"the style loss {settings.style_loss}"
        raise InputError(f"a fine style goes with Gram matrices of whole pictures, not with {what}")
    fine_layers(net, settings.style_layers or {})


def grams_on_device(style: dict[Any, GramStatistics], backend: Backend) -> dict[Any, GramStatistics]:
    """Return a style's Gram matrices as arrays of a backend."""
    return {layer: GramStatistics(backend.xp.asarray(G), positions) for layer, (G, positions) in style.items()}
