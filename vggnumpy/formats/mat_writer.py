"""Networks written as MatConvNet's ``.mat`` files, for its ``vl_simplenn`` to run."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, atomic_path
from vggnumpy.nets.network import CHANNEL_ORDERS, Network
from vggnumpy.nets.tables import INPUT, Layer

Struct = dict[str, Any]

_LARGEST_VARIABLE = 2**31 - 1  # bytes, of MATLAB's files of version 5 and 7
_CANNOT = {
    "prelu": "has a slope for each channel, and MatConvNet's rectifiers one for all",
    "concat": "joins branches, and MatConvNet's simplenn is a chain",
}


def write_mat(path: PathLike, net: Network) -> None:
    """Write a network as MatConvNet's current layout: variables ``layers`` and ``meta``, MAT version 5, uncompressed.

    In MATLAB, ``net = vl_simplenn_tidy(load(path))`` and then ``vl_simplenn(net, x)`` with the image
    ``x = bsxfun(@minus, single(image), net.meta.normalization.averageImage)`` computes what this network does.

    MatConvNet's input is RGB, 0–255, minus the mean.  What differs is written without changing a number:

    * a network that wants BGR has the input axis of its first convolution reversed, and its mean;
    * a scale that is not 1 becomes a first layer ``conv0``, a 1×1 convolution whose filters are the scale on a diagonal
      (multiplying the first filters instead would round them); all numbers of layers are then higher by one;
    * pools that keep an incomplete last window get MatConvNet's longer padding at the bottom and at the right,
      min(pad + stride − 1, window − 1), which makes the same windows wherever MatConvNet finds at least one.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write, whole or not at all; one that exists is replaced.
    net : Network
        A chain.  Its classes become ``meta.classes.description``.

    Raises
    ------
    InputError
        In one sentence, if the file cannot be written or the network has what MatConvNet's chains cannot express:
        branches, padding other than zero, a slope for each channel, a pool over a whole map of any size, the order BGR
        without a convolution at its beginning; or is too large for such a file.
    """
    import scipy.io

    try:
        layers = _layers(net)
    except InputError as error:
        raise InputError(f"{path}: network {net.name} cannot be written for MatConvNet: {error}") from None
    content = {"layers": _cell(*layers), "meta": _meta(net)}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        scipy.io.savemat(file, content, format="5", do_compression=False)


def _layers(net: Network) -> list[Struct]:
    """Return MatConvNet's structs of all layers, with what the input needs in front."""
    size = sum(part.nbytes for parts in net.weights.values() for part in parts)
    if size > _LARGEST_VARIABLE - (1 << 24):
        raise InputError(f"its weights take {size} bytes, and a variable of such a file at most {_LARGEST_VARIABLE}")
    weights = {name: [np.asarray(to_host(part)) for part in parts] for name, parts in net.weights.items()}
    before, layers = INPUT, []
    for layer in net.table:
        if layer.inputs != (before,):
            raise InputError(f"layer {layer.name} takes its input from {' and '.join(layer.inputs)}, so it is no chain")
        layers.append(layer)
        before = layer.name
    order = list(CHANNEL_ORDERS[net.channel_order])
    if set(net.scale) != {1.0}:
        if "conv0" in weights:
            raise InputError("it scales its input before a layer conv0, which is the name that the scaling would get")
        scaling = np.zeros((1, 1, 3, 3), net.dtype)
        scaling[0, 0, order, [0, 1, 2]] = net.scale
        weights["conv0"] = [scaling, np.zeros(3, net.dtype)]
        layers.insert(0, Layer("conv0", "conv", (INPUT,), channels=3))
    elif order != [0, 1, 2]:
        first = layers[0]
        if first.kind != "conv" or weights[first.name][0].shape[2] != 3:
            raise InputError(f"its input is BGR, and its first layer {first.name} has no filters to turn to RGB")
        filters, bias = weights[first.name]
        weights[first.name] = [filters[:, :, order], bias]
    return [_layer(layer, weights.get(layer.name, []), layer.pad_mode or net.pad_mode) for layer in layers]


def _layer(layer: Layer, weights: list[np.ndarray], pad_mode: str) -> Struct:
    if layer.kind in _CANNOT:
        raise InputError(f"layer {layer.name} {_CANNOT[layer.kind]}")
    head = {"name": layer.name, "type": layer.kind}
    tail = {"weights": _cell(*map(_column, weights)), "precious": False}
    match layer.kind:
        case "conv":
            if any(layer.pad) and pad_mode != "zero":
                raise InputError(f"layer {layer.name} has {pad_mode} padding, and MatConvNet's is zero")
            more = {"size": _row(weights[0].shape), "pad": _row(layer.pad), "stride": _row(layer.stride)}
            return {**head, **tail, **more, "dilate": _row(layer.dilate), "opts": _cell()}
        case "convt":
            more = {"size": _row(weights[0].shape), "crop": _row(layer.pad), "upsample": _row(layer.stride)}
            return {**head, **tail, **more, "numGroups": float(layer.groups), "opts": _cell()}
        case "pool":
            return {**head, **tail, **_pool(layer), "opts": _cell()}
        case "bnorm":
            return {**head, **tail, "epsilon": 1e-5}  # only training uses it: the moments hold it already
        case "relu":
            return {**head, **tail, "leak": float(layer.leak)}
        case "dropout":
            return {**head, **tail, "rate": float(layer.rate)}
        case "lrn":
            return {**head, **tail, "param": _row(layer.lrn)}
    return {**head, **tail}  # softmax


def _pool(layer: Layer) -> Struct:
    if not all(layer.size):
        raise InputError(f"layer {layer.name} pools a map of whatever size, and MatConvNet's windows have a fixed one")
    pad = list(layer.pad)
    if layer.rounding == "ceil":
        # n windows of size w at distance s span (n − 1)s + w.  s − 1 more entries turn ⌊·⌋ into ⌈·⌉; more than w − 1
        # would make windows of padding alone, which neither program counts.
        for axis, after in enumerate((1, 3)):
            pad[after] = min(pad[after] + layer.stride[axis] - 1, layer.size[axis] - 1)
    method = "max" if layer.method == "max" else "avg"
    return {"method": method, "pool": _row(layer.size), "stride": _row(layer.stride), "pad": _row(pad)}


def _meta(net: Network) -> Struct:
    """Return ``meta``: what the input must look like, as the scripts of MatConvNet use it, and the classes."""
    mean = [net.mean[i] for i in CHANNEL_ORDERS[net.channel_order]]
    normalization: Struct = {"averageImage": np.array(mean, "float64").reshape(1, 1, 3)}
    normalization |= {"interpolation": "bilinear", "keepAspect": True, "border": _row((0, 0)), "cropSize": _row((1, 1))}
    meta: Struct = {"normalization": normalization}
    if net.image_size is not None:
        normalization["imageSize"] = _row((*net.image_size, 3))
        meta["inputs"] = {"name": "data", "size": _row((*net.image_size, 3, 10))}
    if net.classes:
        meta["classes"] = {"description": _cell(*net.classes)}
    return meta


def _column(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _row(numbers: Any) -> np.ndarray:
    return np.array([numbers], "float64")


def _cell(*items: Any) -> np.ndarray:
    """Return a 1×N cell array; without items, the 0×0 one."""
    cell = np.empty((1, len(items)) if items else (0, 0), object)
    for i, item in enumerate(items):
        cell[0, i] = item
    return cell
