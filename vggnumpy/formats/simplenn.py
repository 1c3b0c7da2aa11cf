"""MatConvNet's chain of layers as a layer table and back: the same layers, numbers and numbering under our names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet
from vggnumpy.nets.architectures import ARCHITECTURES, architecture
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import INPUT, Layer, chain

# Layers that only training needs: what they compute from the class scores is a loss.
LOSSES = ("softmaxloss", "loss")
METHODS = {"max": "max", "avg": "average"}
_CANNOT = {
    "prelu": "has a slope for each channel, and MatConvNet's rectifiers one for all",
    "concat": "joins branches, and MatConvNet's simplenn is a chain",
}
FACE_CLASSES = 2622


class Chain(NamedTuple):
    """What a chain of MatConvNet says: a layer table, weights, and what its pictures must look like."""

    table: tuple[Layer, ...]
    weights: dict[str, tuple[np.ndarray, ...]]
    mean: tuple[float, ...] | None
    image_size: tuple[int, int] | None
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    mean_varies: bool
    license: str


def chain_of(simple: SimpleNet) -> Chain:
    """Return the layer table and the weights of a chain.

    Every layer becomes one of ours with the same numbers.  A pool that MatConvNet pads at the bottom and right so that
    no pixel is lost, by stride − 1, becomes one that rounds up, which computes the same.  A loss at the end becomes the
    softmax that it starts with, or nothing; names lose their slashes, which HDF5 would take for folders.

    Raises
    ------
    InputError
        If a layer is of a type that is not known.
    """
    layers, weights, left_out = [], {}, []
    for number, raw in enumerate(simple.layers, start=1):
        # HDF5 would take slashes for folders, and dots alone for this one and the one above.
        name = raw["name"].replace("/", "_")
        name = name if name.strip(".") else f"layer{number}"
        if raw["type"] == "bnorm" and (raw["weights"][2][:, 1] <= 0).any():
            raise InputError(f"layer {name} normalises by moments of which the file has none: run the network first")
        if raw["type"] in LOSSES:
            left_out.append(raw["name"])
            if raw["type"] == "softmaxloss":
                layers.append(Layer(name, "softmax", ()))
            continue
        layers.append(_layer(name, raw))
        if raw["weights"]:
            weights[name] = tuple(raw["weights"])
    average = simple.meta.get("normalization", {}).get("averageImage")
    classes = simple.meta.get("classes", {})
    if layers and layers[0].name == "conv0" and layers[0].size == (1, 1):
        layers[0] = replace(layers[0], numbered=False)  # preprocessing, as our own files have it
    return Chain(
        chain(layers),
        weights,
        None if average is None else tuple(float(channel) for channel in average),
        simple.meta.get("normalization", {}).get("imageSize"),
        tuple(classes.get("description") or classes.get("name") or ()),
        tuple(left_out),
        simple.meta.get("normalization", {}).get("averageImageVaries", False),
        simple.meta.get("license", ""),
    )


def _layer(name: str, raw: dict[str, Any]) -> Layer:
    match raw["type"]:
        case "conv":
            kh, kw, _, channels = raw["weights"][0].shape
            return Layer(name, "conv", (), (kh, kw), channels, raw["stride"], raw["pad"], raw["dilate"])
        case "convt":
            kh, kw = raw["weights"][0].shape[:2]
            channels = raw["weights"][1].size
            return Layer(name, "convt", (), (kh, kw), channels, raw["upsample"], raw["crop"], groups=raw["numGroups"])
        case "pool" if raw["method"] in METHODS:
            pad, rounding = _rounding(raw["pool"], raw["stride"], raw["pad"])
            return Layer(
                name,
                "pool",
                (),
                raw["pool"],
                stride=raw["stride"],
                pad=pad,
                method=METHODS[raw["method"]],
                rounding=rounding,
            )
        case "relu":
            return Layer(name, "relu", (), leak=raw["leak"])
        case "lrn":
            size, kappa, alpha, beta = raw["param"]
            return Layer(name, "lrn", (), lrn=(int(size), kappa, alpha, beta))
        case "dropout":
            return Layer(name, "dropout", (), rate=raw["rate"], numbered=False)
        case "bnorm" | "softmax" as kind:
            return Layer(name, kind, ())
    method = f" with the method {raw['method']!r}" if raw["type"] == "pool" else ""
    raise InputError(f"layer {name} is of the type {raw['type']!r}{method}, which vggnumpy does not compute")


def _rounding(
    window: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int, int, int]
) -> tuple[tuple[int, int, int, int], str]:
    """Return a pool's padding and rounding.

    With s − 1 more pixels there are ⌊(n + s − 1 − w)/s⌋ + 1 = ⌈(n − w)/s⌉ + 1 windows, as when rounding up, and since a
    pool looks at pixels inside the image only, they hold the same.
    """
    extra = (0, stride[0] - 1, 0, stride[1] - 1)
    if pad == extra and any(extra) and window[0] >= stride[0] and window[1] >= stride[1]:
        return (0, 0, 0, 0), "ceil"
    return pad, "floor"


def names_of(chain: Chain) -> list[str]:
    """Return the architectures whose layers a chain has, the likeliest first; none if it is none of them."""
    own = _outline(chain.table)
    names = [
        name
        for name in ARCHITECTURES
        if own in (_outline(architecture(name, classifier=True)), _outline(ARCHITECTURES[name]))
    ]
    # VGG-Face is VGG-16 by its layers; its classes or the mean colour of faces tell.
    face = len(chain.classes) == FACE_CLASSES or (chain.mean is not None and abs(chain.mean[0] - 129.19) < 0.1)
    return sorted(names, key=lambda name: (name == "vgg-face") != face)


def _outline(table: Iterable[Layer]) -> list[Any]:
    """Return the layers that change a map beyond rectifying it, with what tells networks of like names apart."""
    return [
        (layer.name, layer.stride, layer.pad if layer.kind == "conv" else None, layer.lrn)
        for layer in table
        if layer.kind in ("conv", "pool", "lrn") and layer.numbered
    ]


def simplenn(net: Network) -> SimpleNet:
    """Return a network of ours in MatConvNet's terms, sharing its arrays.

    What ``vl_simplenn`` must be given then is what the network's first layer sees: ``net.preprocess(image)``, which for
    most networks is the RGB image (0–255) minus ``meta["normalization"]["averageImage"]``.  Batch normalisation has its
    fixed moments in mode "test" only.

    Parameters
    ----------
    net : Network
        A chain.

    Returns
    -------
    SimpleNet
        The layers in the same order, and so with the network's numbers unless it has layers that are not counted.
        Pools that keep an incomplete last window get MatConvNet's longer padding at the bottom and right,
        min(pad + stride − 1, window − 1).

    Raises
    ------
    InputError
        If the network has what MatConvNet's chains cannot express: branches, padding other than zero, a slope for each
        channel, or a pool over a whole map of any size.
    """
    before, layers = INPUT, []
    for layer in net.table:
        if layer.inputs != (before,):
            raise InputError(
                f"layer {layer.name} takes its input from {' and '.join(layer.inputs)}, so the network is no chain"
            )
        layers.append(_convert(layer, list(net.weights.get(layer.name, ())), layer.pad_mode or net.pad_mode))
        before = layer.name
    meta: dict[str, Any] = {"normalization": {"averageImage": np.array(net.mean, "float64")}}
    if net.image_size is not None:
        meta["normalization"]["imageSize"] = tuple(net.image_size)
    if net.classes:
        meta["classes"] = {"description": list(net.classes)}
    return SimpleNet(layers, meta)


def _convert(layer: Layer, weights: list[Any], pad_mode: str) -> dict[str, Any]:
    if layer.kind in _CANNOT:
        raise InputError(f"layer {layer.name} {_CANNOT[layer.kind]}")
    head = {"name": layer.name, "type": layer.kind, "precious": False, "weights": weights}
    match layer.kind:
        case "conv":
            if any(layer.pad) and pad_mode != "zero":
                raise InputError(f"layer {layer.name} has {pad_mode} padding, and MatConvNet's is zero")
            return {**head, "pad": layer.pad, "stride": layer.stride, "dilate": layer.dilate}
        case "convt":
            return {**head, "crop": layer.pad, "upsample": layer.stride, "numGroups": layer.groups}
        case "bnorm":
            return {**head, "epsilon": 1e-5}
        case "pool":
            if not all(layer.size):
                raise InputError(
                    f"layer {layer.name} pools a map of whatever size, and MatConvNet's windows have a fixed one"
                )
            method = "max" if layer.method == "max" else "avg"
            return {**head, "pool": layer.size, "stride": layer.stride, "pad": _pool_pad(layer), "method": method}
        case "relu":
            return {**head, "leak": layer.leak}
        case "dropout":
            return {**head, "rate": layer.rate}
        case "lrn":
            return {**head, "param": layer.lrn}
    return head  # softmax


def _pool_pad(layer: Layer) -> tuple[int, ...]:
    """Return the padding that makes MatConvNet, which rounds down, find the windows that `layer` does.

    n windows of size w at distance s span (n − 1)s + w, so s − 1 more entries turn ⌊·⌋ into ⌈·⌉; more than w − 1 would
    make windows of padding alone, which neither program counts.
    """
    pad = list(layer.pad)
    if layer.rounding == "ceil":
        for axis, after in enumerate((1, 3)):
            pad[after] = min(pad[after] + layer.stride[axis] - 1, layer.size[axis] - 1)
    return tuple(pad)
