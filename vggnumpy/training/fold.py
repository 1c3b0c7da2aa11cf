"""From a trained model to a network: batch normalisation goes into the filters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import Layer
from vggnumpy.training.stages import Parts


def fold(table: tuple[Layer, ...], weights: Parts) -> tuple[tuple[Layer, ...], Parts]:
    """Put every batch normalisation into the convolution before it, exactly.

    With the moments [μ, σ] fixed, gain (conv(x) + b − μ)/σ + bias is a convolution again, with the filters w · gain/σ
    and the bias (b − μ) · gain/σ + bias.  Padding is not touched, because the filters see it before μ is taken off.

    Parameters
    ----------
    table : tuple of Layer
    weights : dict
        As `vggnumpy.training.Model` holds them.

    Returns
    -------
    table, weights
        Without normalisations; computed in float64, in the dtype they came in.
    """
    owner = {layer.name: layer.inputs[0] for layer in table if layer.kind == "bnorm"}
    folded: Parts = {name: parts for name, parts in weights.items() if name not in owner}
    for norm, conv in owner.items():
        w, b = (part.astype("float64") for part in weights[conv])
        gain, bias, moments = (part.astype("float64") for part in weights[norm])
        scale = gain / moments[:, 1]
        dtype = weights[conv][0].dtype
        folded[conv] = (w * scale).astype(dtype), ((b - moments[:, 0]) * scale + bias).astype(dtype)
    layers = [
        replace(layer, inputs=tuple(owner.get(name, name) for name in layer.inputs))
        for layer in table
        if layer.name not in owner
    ]
    return tuple(layers), folded


def to_network(
    name: str,
    table: tuple[Layer, ...],
    weights: Parts,
    mean: np.ndarray,
    scale: np.ndarray,
    classes: tuple[str, ...],
    provenance: dict[str, str],
) -> Network:
    """Return the folded model as a network, with its classifier."""
    layers, folded = fold(table, weights)
    return Network(
        name,
        layers,
        folded,
        mean=tuple(map(float, mean)),
        scale=tuple(map(float, scale)),
        provenance=dict(provenance),
        image_size=(32, 32),
        classes=classes,
    )
