"""Which networks the engine can compute: chains of 3×3 convolutions, rectifiers and 2×2 pools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import INPUT, Layer


@dataclass(frozen=True)
class Link:
    """A convolution with what follows it: its rectifier and, maybe, a pool.

    Attributes
    ----------
    conv, relu : Layer
    pool : Layer or None
    """

    conv: Layer
    relu: Layer
    pool: Layer | None = None


@dataclass(frozen=True)
class Chain:
    """The part of a network that some layers depend on.

    Attributes
    ----------
    network : str
        The network's name.
    head : tuple of Layer
        1×1 convolutions between the preprocessed image and the first 3×3 one.
    links : tuple of Link
        Down to the deepest tapped layer.
    taps : frozenset of str
        The layers where losses sit.
    """

    network: str
    head: tuple[Layer, ...]
    links: tuple[Link, ...]
    taps: frozenset[str]


def find_chain(net: Network, taps: Iterable[str]) -> Chain | None:
    """Return how the tapped layers are computed, or None if that is not a chain the engine knows.

    Such a chain begins with 1×1 convolutions, if any, and goes on with 3×3 convolutions of stride and padding 1, each
    followed by a rectifier and at most one pool of 2×2 and stride 2.  All but the 1×1 convolutions may be tapped.
    """
    taps = frozenset(taps)
    layers = _path(net, taps)
    if layers is None:
        return None
    head: list[Layer] = []
    while layers and layers[0].kind == "conv" and layers[0].size == (1, 1) and _is_plain(net, layers[0], 0):
        head.append(layers.pop(0))
    links: list[Link] = []
    while layers:
        if len(layers) < 2 or not (_is_plain(net, layers[0], 1) and layers[1].kind == "relu" and not layers[1].leak):
            return None
        pool = layers[2] if len(layers) > 2 and _is_halving(layers[2]) else None
        links.append(Link(layers[0], layers[1], pool))
        del layers[: 2 + (pool is not None)]
    linked = {layer.name for link in links for layer in (link.conv, link.relu, link.pool) if layer is not None}
    return Chain(net.name, tuple(head), tuple(links), taps) if links and taps <= linked else None


def _path(net: Network, taps: frozenset[str]) -> list[Layer] | None:
    """Return the layers from the image to the deepest tap if they are one path that all taps lie on.

    A convolution takes its rectifier along.
    """
    by_name = {layer.name: layer for layer in net.table}
    deepest = max(taps, key=net.layers.index, default=INPUT)
    rectified = [layer.name for layer in net.table if layer.kind == "relu" and layer.inputs == (deepest,)]
    deepest = (rectified or [deepest])[0]
    path: list[Layer] = []
    while deepest != INPUT:
        layer = by_name[deepest]
        if len(layer.inputs) != 1:
            return None
        path.append(layer)
        deepest = layer.inputs[0]
    return path[::-1] if taps <= {layer.name for layer in path} else None


def _is_plain(net: Network, layer: Layer, pad: int) -> bool:
    """Whether a layer is a convolution of size 2·pad + 1 in one group that keeps the size of its input."""
    size = 2 * pad + 1
    if layer.kind != "conv" or layer.size != (size, size) or layer.groups != 1:
        return False
    inputs = {other.name: other.channels for other in net.table if other.kind == "conv"}
    grouped = net.weights[layer.name][0].shape[2] not in (3, *inputs.values())
    return not grouped and (layer.stride, layer.dilate, layer.pad) == ((1, 1), (1, 1), (pad,) * 4)


def _is_halving(layer: Layer) -> bool:
    return layer.kind == "pool" and (layer.size, layer.stride, layer.pad) == ((2, 2), (2, 2), (0, 0, 0, 0))
