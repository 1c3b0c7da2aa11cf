"""Style representations: what is kept of a style image, one Gram matrix a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vggnumpy.backend import backend_of
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics, gram_statistics
from vggnumpy.nets.network import LayerKey, Network

Style = Mapping[LayerKey, GramStatistics | tuple[Any, int]]


def as_pixels(image: Any, net: Network, name: str) -> Any:
    """Return an image as an array of the network's dtype.

    Parameters
    ----------
    image : ndarray, H×W×3 or N×H×W×3, RGB 0–255
        uint8 (converted, exactly) or of the network's dtype.
    net : Network
    name : str
        What to call the image in a message.

    Raises
    ------
    TypeError
        If it is no array or the dtype is another one.
    """
    backend_of(image)
    if image.dtype == np.uint8:
        return image.astype(net.dtype)
    if image.dtype != net.dtype:
        raise TypeError(f"the {name} is {image.dtype}; expected uint8 or the network's {net.dtype}")
    return image


def style_of(net: Network, image: Any, layers: Iterable[LayerKey]) -> dict[LayerKey, GramStatistics]:
    """Return an image's Gram matrix, summed over positions, and the number of positions, for each layer.

    Parameters
    ----------
    net : Network
    image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, uint8 or of the network's dtype
    layers : iterable of str or int
        Layer names or MatConvNet's numbers.

    Raises
    ------
    InputError
        If the network has no such layer.
    """
    features, _ = net.forward(as_pixels(image, net, "style image"), layers)
    return {layer: gram_statistics(F) for layer, F in features.items()}


def check_style(style: Style, layers: Iterable[LayerKey]) -> None:
    """Raise `InputError` unless `style` has a Gram matrix and a count for each of the layers."""
    for layer in layers:
        if layer not in style:
            raise InputError(f"the style has no Gram matrix for layer {layer!r}; it has {', '.join(map(str, style))}")
        if len(style[layer]) != 2:
            raise InputError(f"the style of layer {layer!r} must be a pair of a Gram matrix and a count of positions")
