"""Published weights of any format as a network, with what was assumed on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, sha256
from vggnumpy.formats.caffe_check import check_caffe_layers
from vggnumpy.formats.caffe_file import read_caffemodel
from vggnumpy.formats.families import INPUTS, ROUNDINGS, TORCHVISION_SQUEEZENET, family_of, input_convention
from vggnumpy.formats.keras_file import dense_from_hwc, read_keras
from vggnumpy.formats.mat_file import read_mat
from vggnumpy.formats.mtcnn import from_mtcnn
from vggnumpy.formats.naming import Naming, match_names
from vggnumpy.formats.npz_file import read_npz
from vggnumpy.formats.registry import license_of
from vggnumpy.formats.safetensors_file import read_safetensors
from vggnumpy.formats.simplenn import chain_of, names_of
from vggnumpy.formats.t7_file import read_t7
from vggnumpy.formats.torch_file import read_torch_file
from vggnumpy.formats.weights import STORED_DTYPES, WORKING_DTYPES
from vggnumpy.nets.architectures import CLASSIFIERS, IMAGE_SIZES, architecture
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import INPUT, Layer, fit_table

Arrays = Mapping[str, np.ndarray]
Weights = dict[str, tuple[np.ndarray, ...]]

READERS: dict[str, Callable[[PathLike], Arrays]] = {
    ".pth": read_torch_file,
    ".pt": read_torch_file,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".caffemodel": lambda path: read_caffemodel(path).arrays,
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".t7": lambda path: read_t7(path).arrays,
}
SUFFIXES = (*READERS, ".mat")


class Given(NamedTuple):
    """What the user says about an original; None leaves it to the family that it is recognised as."""

    architecture: str | None = None
    input_convention: str | None = None
    pad_mode: str | None = None
    pool_rounding: str | None = None
    license: str | None = None


class Original(NamedTuple):
    """An original's network.

    Attributes
    ----------
    net : Network
    stored : str
        The dtype that holds its numbers bit for bit.
    family : str
        What it was recognised as.
    left_out : tuple of str
        What of the file is not in the network.
    conventions : tuple of str
        What bare arrays do not say, a phrase each, ending in ``(assumed)``, ``(given)``, ``(in the file)``.
    """

    net: Network
    stored: str
    family: str
    left_out: tuple[str, ...]
    conventions: tuple[str, ...]


def read_original(path: PathLike, given: Given) -> Original:
    """Read published weights.

    Raises
    ------
    InputError
        In one sentence, if the file cannot be read, is no known network, or an option is not one of its values.
    """
    suffix = Path(path).suffix.lower()
    if given.input_convention is not None and given.input_convention not in INPUTS:
        raise InputError(f"the input convention must be one of {', '.join(INPUTS)}, got {given.input_convention!r}")
    if suffix == ".mat":
        return _from_mat(path, given)
    arrays, digest = READERS[suffix](path), sha256(path)
    try:
        original = _from_arrays(Path(path), arrays, digest, given)
        if suffix == ".caffemodel":
            check_caffe_layers(read_caffemodel(path).layers, original.net.table)
        return original
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _from_arrays(path: Path, arrays: Arrays, digest: str, given: Given) -> Original:
    arrays = from_mtcnn(arrays)
    naming = match_names(arrays, given.architecture)
    name = naming.architecture
    reader = path.suffix.lower()
    pairs = _pairs(naming, arrays, hwc=READERS[reader] is read_keras)
    stored, weights = _in_one_dtype(pairs)
    top = {layer.name for layer in CLASSIFIERS[name]}
    table = fit_table(architecture(name, classifier=not top.isdisjoint(weights)), _shapes(weights))
    family = family_of(reader, naming.scheme, name, naming.layers, naming.layers.values(), digest)
    convention = input_convention(family, given.input_convention)
    net = Network(
        name,
        table,
        weights,
        convention.channel_order,
        convention.mean,
        convention.scale,
        given.pad_mode or family.pad_mode,
        _provenance(path, digest, given.license or license_of(digest) or family.license),
        (224, 224) if family is TORCHVISION_SQUEEZENET else IMAGE_SIZES[name],
        ("no face", "face") if name == "onet" else (),
    )
    return Original(
        _rounded(net, given.pool_rounding or family.pool_rounding),
        stored,
        family.words,
        naming.left_out,
        _conventions(
            given,
            ("assumed",) * 4,
            f"architecture {name}",
            f"input {convention.words}",
            f"{net.pad_mode} padding",
            ROUNDINGS.get(given.pool_rounding or family.pool_rounding or "", "pools round as in the architecture"),
        ),
    )


def _rounded(net: Network, rounding: str | None) -> Network:
    return net if rounding is None else net.with_pool_rounding(rounding)


def _provenance(path: PathLike, digest: str, license: str) -> dict[str, str]:
    return {"source": Path(path).name, "source_sha256": digest, "license": license}


def _conventions(given: Given, otherwise: tuple[str, ...], *words: str) -> tuple[str, ...]:
    """Say of architecture, input, padding and rounding whether the user gave them or where else they come from."""
    known = zip(words, given[:4], otherwise, strict=True)
    return tuple(f"{text} ({source if option is None else 'given'})" for text, option, source in known)


def _pairs(naming: Naming, arrays: Arrays, hwc: bool) -> Weights:
    """Return the layers' arrays as operators take them, checked, in the original's dtypes.

    `hwc` tells whether fully connected layers take the map before them in the order H, W, C, or else in C, H, W.
    """
    # A fully connected layer's filters cover the whole map before it, whose channels only the layers before tell.
    depth: dict[str, int] = {INPUT: 3}
    weights: Weights = {}
    known = {layer.name: layer for layer in architecture(naming.architecture, classifier=True)}
    for layer in known.values():
        incoming = sum(depth[name] for name in layer.inputs)
        depth[layer.name] = incoming
        if layer.name in naming.layers:
            parts = _parts(layer, naming.layers[layer.name], arrays, incoming, hwc)
            weights[layer.name] = parts
            depth[layer.name] = parts[-1].size
    for name, prefix in naming.layers.items():
        if name not in known:  # conv0, and layers beside the chain
            weights[name] = _parts(Layer(name, "conv", ()), prefix, arrays, 0, False)
    return {name: weights[name] for name in naming.layers}


def _parts(layer: Layer, prefix: str, arrays: Arrays, incoming: int, hwc: bool) -> tuple[np.ndarray, ...]:
    """Return filters H×W×I×O and bias of one layer, or its slopes."""
    names = [f"{prefix}.weight", f"{prefix}.bias"][: 1 if layer.kind == "prelu" else 2]
    found = []
    for name in names:
        if name not in arrays:
            raise InputError(f"layer {layer.name} lacks the array {name}; such layers have {' and '.join(names)}")
        array = arrays[name]
        if array.dtype.name not in STORED_DTYPES:
            raise InputError(f"{name} is {array.dtype}, expected one of {', '.join(STORED_DTYPES)}")
        if not np.isfinite(array).all():
            raise InputError(f"{name} (layer {layer.name}) holds numbers that are not finite")
        found.append(array)
    if layer.kind == "prelu":
        return (found[0],)
    w, b = found
    if w.ndim == 2 and not any(layer.pad):
        w = _filters_of_matrix(w, incoming, hwc)
    if w.ndim != 4 or b.shape != w.shape[:1]:
        raise InputError(
            f"layer {layer.name} has filters of shape {w.shape} and a bias of shape {b.shape}, "
            "expected (filters, input channels, height, width) and (filters,)"
        )
    return w.transpose(2, 3, 1, 0), b


def _filters_of_matrix(w: np.ndarray, incoming: int, hwc: bool) -> np.ndarray:
    """Return O×I weights of a fully connected layer as O×C×H×W filters over a square map of C channels."""
    side = math.isqrt(w.shape[1] // incoming) if incoming else 0
    if side * side * incoming != w.shape[1] or not side:
        return w  # refused by its shape
    return dense_from_hwc(w, side, side) if hwc else w.reshape(len(w), incoming, side, side)


def _in_one_dtype(pairs: Mapping[str, tuple[np.ndarray, ...]]) -> tuple[str, Weights]:
    """Return the dtype that stores all numbers bit for bit, and the weights in the one to compute with."""
    # Of several dtypes the widest holds the numbers of all; half precision is widened to compute with, not to store.
    stored = np.result_type(*(array for parts in pairs.values() for array in parts)).name
    working = stored if stored in WORKING_DTYPES else "float32"
    weights = {name: tuple(a.astype(working, order="C", copy=False) for a in parts) for name, parts in pairs.items()}
    return stored, weights


def _shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    return {name: parts[0].shape for name, parts in weights.items()}


def _from_mat(path: PathLike, given: Given) -> Original:
    simple, digest = read_mat(path), sha256(path)
    try:
        chain = chain_of(simple)
        convention = INPUTS[given.input_convention] if given.input_convention else None
        if convention is None and chain.mean is None:
            raise InputError("the file has no averageImage, so give --input, one of " + ", ".join(INPUTS))
        if not chain.weights:
            raise InputError("none of its layers has weights")
        stored, weights = _in_one_dtype(chain.weights)
        names = names_of(chain)
        if given.architecture is not None:
            architecture(given.architecture)  # says which are known
            if given.architecture not in names:
                raise InputError(f"its layers are not those of {given.architecture}")
        net = Network(
            given.architecture or (names or [Path(path).stem])[0],
            chain.table,
            weights,
            convention.channel_order if convention else "RGB",
            convention.mean if convention else chain.mean or (),
            convention.scale if convention else (1.0, 1.0, 1.0),
            given.pad_mode or "zero",
            _provenance(path, digest, given.license or license_of(digest) or chain.license or "not stated"),
            chain.image_size,
            chain.classes,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    mean = ", ".join(f"{channel:.7g}" for channel in chain.mean or ())
    if chain.mean_varies:
        mean += ", the mean colour of an average image that varies"
    return Original(
        _rounded(net, given.pool_rounding),
        stored,
        "a chain of MatConvNet",
        chain.left_out,
        _conventions(
            given,
            ("by its layers" if names else "by the file's name", *("in the file",) * 3),
            f"network {net.name}",
            f"input {convention.words}" if convention else f"input RGB, 0–255 minus ({mean})",
            f"{net.pad_mode} padding",
            ROUNDINGS.get(given.pool_rounding or "", "pools round layer by layer"),
        ),
    )


def without_classifier(original: Original) -> Original:
    """Return the same without the layers that only name the picture's class, which are most of a VGG's numbers."""
    lean = original.net.without_classifier()
    cut = tuple(name for name in original.net.layers if name not in lean.layers)
    return original._replace(net=lean, left_out=(*original.left_out, *cut))
