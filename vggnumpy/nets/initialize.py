"""Random weights for any layer table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vggnumpy.backend import FLOAT_TYPES
from vggnumpy.errors import InputError
from vggnumpy.nets.architectures import architecture
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import INPUT, PARTS, Layer

# Mean colour of ImageNet in RGB (Simonyan and Zisserman 2014); random networks are centred on it as well.
IMAGENET_MEAN = (123.68, 116.779, 103.939)


def random_network(
    table: str | tuple[Layer, ...] = "vgg19",
    rng: int | np.random.Generator | None = 0,
    pooling: str | None = None,
    dtype: str = "float32",
) -> Network:
    """Return a network with random filters (He et al. 2015) and zero biases.

    Each filter entry is drawn from N(0, 2 / (kh·kw·C)): a rectifier halves the mean square of its input, and 2 / fan-in
    makes up for that, so features keep their scale from layer to layer.  Per-channel leaky rectifiers begin with the
    slope 0.25 (the same paper).

    Parameters
    ----------
    table : str or tuple of Layer
        An architecture's name, or any layer table.
    rng : int, Generator or None
        Seed; drawn on the host in float64, so that the same seed gives the same network everywhere.
    pooling : {"max", "average"}, optional
        What the pools compute; by default what the table says, which is the maximum for the architectures.
    dtype : {"float32", "float64"}

    Raises
    ------
    InputError
        If the architecture, the pooling or the dtype is unknown, or the seed negative.
    """
    layers = architecture(table) if isinstance(table, str) else table
    if dtype not in FLOAT_TYPES:
        raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
    if isinstance(rng, int) and rng < 0:
        raise InputError(f"the seed must not be negative, got {rng}")
    generator = np.random.default_rng(rng)
    depth: dict[str, int] = {INPUT: 3}
    weights: dict[str, tuple[np.ndarray, ...]] = {}
    for layer in layers:
        incoming = sum(depth[name] for name in layer.inputs)
        if layer.kind == "conv":
            shape = (*layer.size, incoming // layer.groups, layer.channels)
            filters = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))
            weights[layer.name] = filters.astype(dtype), np.zeros(layer.channels, dtype)
        elif layer.kind == "prelu":
            weights[layer.name] = (np.full(incoming, 0.25, dtype),)
        elif layer.kind in PARTS:
            raise InputError(f"layer {layer.name}: random networks have no layers of the kind {layer.kind}")
        depth[layer.name] = layer.channels if layer.kind == "conv" else incoming
    name = f"random {table}" if isinstance(table, str) else "random network"
    source = f"He initialisation, seed {rng}" if isinstance(rng, int) else "He initialisation"
    provenance = {"source": source, "trained": False}
    network = Network(name, layers, weights, mean=IMAGENET_MEAN, provenance=provenance)
    return network if pooling is None else network.with_pooling(pooling)


def centre_filters(net: Network) -> Network:
    """Return the same network with every filter's mean taken off, so that it answers to contrast, not to brightness.

    Behind a rectifier all features are positive.  A random filter whose entries do not add up to zero then mostly
    measures how large they are altogether, every channel says nearly the same, and Gram matrices of different pictures
    hardly differ.  With w − mean(w) in place of w that common part is gone.  In the first layer a quarter of the
    filters keep theirs, because the mean of the pixels is their colour; the others are centred for each colour apart.

    Parameters
    ----------
    net : Network
        Of random filters; trained ones would lose what they have learnt.
    """
    convs = [layer.name for layer in net.table if layer.kind == "conv"]
    first, weights = convs[0], dict(net.weights)
    for name in convs:
        w, b = net.weights[name]
        centred = w - w.mean(axis=(0, 1) if name == first else (0, 1, 2), keepdims=True)
        if name == first:
            plain = w.shape[3] // 4
            centred[..., :plain] = w[..., :plain]
        weights[name] = centred, b
    return replace(net, weights=weights, name=f"centred {net.name}")
