"""Networks written as MatConvNet's ``.mat`` files, for its ``vl_simplenn`` to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, atomic_path
from vggnumpy.formats.simplenn import simplenn
from vggnumpy.nets.network import CHANNEL_ORDERS, Network
from vggnumpy.nets.tables import INPUT, Layer

Struct = dict[str, Any]

_LARGEST_VARIABLE = 2**31 - 1  # bytes, of MATLAB's files of version 5 and 7


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
        _check_size(net)
        layers = simplenn(_for_rgb(net)).layers
    except InputError as error:
        raise InputError(f"{path}: network {net.name} cannot be written for MatConvNet: {error}") from None
    content = {"layers": _cell(*map(_struct, layers)), "meta": _meta(net)}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        scipy.io.savemat(file, content, format="5", do_compression=False)
        # SciPy writes the time into the header's text, and the same network should give the same file.
        file.seek(0)
        file.write(b"MATLAB 5.0 MAT-file, written by vggnumpy".ljust(116))


def _check_size(net: Network) -> None:
    size = sum(part.nbytes for parts in net.weights.values() for part in parts)
    if size > _LARGEST_VARIABLE - (1 << 24):
        raise InputError(f"its weights take {size} bytes, and a variable of such a file at most {_LARGEST_VARIABLE}")


def _for_rgb(net: Network) -> Network:
    """Return the network with filters for RGB pixels that nothing is multiplied with; no number of it changes."""
    order = list(CHANNEL_ORDERS[net.channel_order])
    weights, table = dict(net.weights), net.table
    if set(net.scale) != {1.0}:
        if "conv0" in weights:
            raise InputError("it scales its input before a layer conv0, which is the name that the scaling would get")
        scaling = np.zeros((1, 1, 3, 3), net.dtype)
        scaling[0, 0, order, [0, 1, 2]] = net.scale
        weights["conv0"] = (scaling, np.zeros(3, net.dtype))
        rest = (replace(layer, inputs=tuple(_behind(name) for name in layer.inputs)) for layer in table)
        table = (Layer("conv0", "conv", (INPUT,), channels=3), *rest)
    elif order != [0, 1, 2]:
        first = table[0]
        if first.kind != "conv" or weights[first.name][0].shape[2] != 3:
            raise InputError(f"its input is BGR, and its first layer {first.name} has no filters to turn to RGB")
        filters, bias = weights[first.name]
        weights[first.name] = (filters[:, :, order], bias)
    mean = tuple(net.mean[i] for i in order)
    return replace(net, table=table, weights=weights, channel_order="RGB", mean=mean, scale=(1.0, 1.0, 1.0))


def _behind(name: str) -> str:
    return "conv0" if name == INPUT else name


def _struct(layer: Struct) -> Struct:
    """Return a layer's fields with the values and in the order that MatConvNet's own files have."""
    weights = [np.asarray(to_host(part)) for part in layer["weights"]]
    struct: Struct = {"name": layer["name"], "type": layer["type"], "weights": _cell(*map(_column, weights))}
    struct["precious"] = layer["precious"]
    if layer["type"] in ("conv", "convt"):
        struct["size"] = _row(weights[0].shape)
    for field, value in layer.items():
        if field not in struct:
            plain = value if isinstance(value, str) else float(value) if isinstance(value, int) else value
            struct[field] = _row(value) if isinstance(value, tuple) else plain
    if layer["type"] in ("conv", "convt", "pool"):
        struct["opts"] = _cell()
    return struct


def _meta(net: Network) -> Struct:
    """Return ``meta``: what the input must look like, as the scripts of MatConvNet use it, and the classes."""
    mean = [net.mean[i] for i in CHANNEL_ORDERS[net.channel_order]]
    normalization: Struct = {"averageImage": np.array(mean, "float64").reshape(1, 1, 3)}
    normalization |= {"interpolation": "bilinear", "keepAspect": True, "border": _row((0, 0)), "cropSize": _row((1, 1))}
    meta: Struct = {"normalization": normalization}
    if net.image_size is not None:
        normalization["imageSize"] = _row((*net.image_size, 3))
        meta["inputs"] = {"name": "data", "size": _row((*net.image_size, 3, 10))}
    if net.provenance.get("license"):
        meta["license"] = str(net.provenance["license"])
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
