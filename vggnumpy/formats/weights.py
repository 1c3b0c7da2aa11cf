"""The weights file: an HDF5 file with a network's filters, its layer table and what its images must look like.

``weights/README.md`` describes the format for readers in other languages.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.files import atomic_path, open_input, reason
from vggnumpy.formats.hdf5_guard import SIGNATURE, check_hdf5, check_stored, stored_datasets
from vggnumpy.formats.reading import RefusedError
from vggnumpy.nets.network import CHANNEL_ORDERS, POOLINGS, Network
from vggnumpy.nets.tables import KINDS, PARTS, Layer, check_parts, check_table, table_from_dicts, table_to_dicts
from vggnumpy.ops import PAD_MODES

PathLike = str | os.PathLike[str]

FORMAT = "vggnumpy weights 1"
STORED_DTYPES = ("float16", "float32", "float64")
WORKING_DTYPES = ("float32", "float64")
PROVENANCE = ("source", "source_sha256", "license", "training")
TEXTS = ("architecture", *PROVENANCE, "channel_order", "pad_mode", "layers", "digest")
VECTORS = ("mean", "scale")
ATTRIBUTES = ("format", *TEXTS, *VECTORS, "image_size", "classes")
# What HDF5 and h5py raise on damaged files, apart from InputError.
DAMAGE = (OSError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, AttributeError)
MAKE_AGAIN = "make it again from the original with: vggnumpy convert SOURCE -o OUT.h5"


def write_weights(path: PathLike, net: Network, dtype: str | None = None) -> str:
    """Write a network into a weights file.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write, whole or not at all; one that exists is replaced.
    net : Network
        ``source``, ``source_sha256``, ``license`` and ``training`` are taken from its provenance, empty where it has
        none.
    dtype : {"float16", "float32", "float64"}, optional
        How the numbers are stored, by default in the network's own dtype; a narrower one rounds them.

    Returns
    -------
    digest : str
        SHA-256 of what the network computes with, as `content_digest` defines it.

    Raises
    ------
    InputError
        If the file cannot be written, or the network would be refused by `read_weights`.
    """
    import h5py

    stored = _one_of("dtype", str(net.dtype) if dtype is None else dtype, STORED_DTYPES)
    arrays = {}
    with np.errstate(over="ignore"):  # what overflows is refused below, by the layer's name
        for layer in net.table:
            for part, array in zip(PARTS.get(layer.kind, ()), net.weights.get(layer.name, ()), strict=True):
                arrays[f"{layer.name}/{part}"] = np.ascontiguousarray(
                    to_host(array), np.dtype(stored).newbyteorder("<")
                )
    attributes: dict[str, Any] = {
        "format": FORMAT,
        "architecture": net.name,
        **{name: str(net.provenance.get(name, "")) for name in PROVENANCE},
        "channel_order": net.channel_order,
        "mean": np.array(net.mean, "<f8"),
        "scale": np.array(net.scale, "<f8"),
        "pad_mode": net.pad_mode,
        "layers": json.dumps(table_to_dicts(net.table)),
    }
    if net.image_size is not None:
        attributes["image_size"] = np.array(net.image_size, "<i8")
    if net.classes:
        attributes["classes"] = json.dumps(net.classes)
    attributes["digest"] = content_digest(attributes, arrays.items())
    try:
        _check_attributes(attributes)
        _check_shapes(_parse_table(attributes["layers"]), {name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            _check_finite(name, array)
    except InputError as error:
        raise InputError(f"{path}: network {net.name} cannot be stored: {error}") from None
    # Made in memory first: a full disk then fails in one plain write, not somewhere inside the HDF5 library.
    image = io.BytesIO()
    # From 1.8 on HDF5 guards its own structure by checksums and lets an attribute (the table) exceed 64 KiB.
    with h5py.File(image, "w", libver=("v108", "v108")) as file:
        for name, value in attributes.items():
            if isinstance(value, str):
                text = value.encode()
                file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(len(text), 1)))
            else:
                file.attrs[name] = value
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    with atomic_path(path) as temporary:
        temporary.write_bytes(image.getbuffer())
    return str(attributes["digest"])


def read_weights(path: PathLike, dtype: str = "float32") -> Network:
    """Read a weights file and verify all of it.

    Parameters
    ----------
    path : str or os.PathLike
    dtype : {"float32", "float64"}
        Of the network's weights, whatever the file stores.

    Returns
    -------
    Network
        Its ``provenance`` holds ``source``, ``source_sha256``, ``license``, ``digest``, the name of the ``file``, the
        widest dtype ``stored`` in it, and the record of its ``training``, empty for a network that was not
        trained here.

    Raises
    ------
    InputError
        In one sentence, for the first thing found wrong: file and format, attributes, layer table, layers and
        datasets, shapes, dtype, numbers that are not finite, digest.
    """
    import h5py

    working = _one_of("dtype", dtype, WORKING_DTYPES)
    with open_input(path) as stream, _one_sentence(path):
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            raise InputError("expected a weights file of vggnumpy (HDF5), found another kind of file")
        check_hdf5(stream)
        # Through the open stream, so that HDF5 takes no lock: some network drives refuse locks.
        with h5py.File(stream, "r") as file:
            attributes = {"training": "", **{name: file.attrs[name] for name in ATTRIBUTES if name in file.attrs}}
            _check_attributes(attributes)
            table = _parse_table(attributes["layers"])
            datasets = stored_datasets(file)
            _check_shapes(table, {name: dataset.shape for name, dataset in datasets.items()})
            for name, dataset in datasets.items():
                check_stored(name, dataset, STORED_DTYPES)
            stored = {name: _numbers(datasets[name]) for name in _dataset_names(table)}
        for name, array in stored.items():
            _check_finite(name, array)
        digest = content_digest(attributes, stored.items())
        if digest != attributes["digest"]:
            raise InputError(
                f"the content was changed after it was written: expected the digest {attributes['digest'][:16]}…, "
                f"found {digest[:16]}…"
            )
        weights, stored_dtypes = {}, {array.dtype for array in stored.values()}
        for layer in table:
            parts = []
            for part in PARTS.get(layer.kind, ()):
                name = f"{layer.name}/{part}"
                with np.errstate(over="ignore"):
                    parts.append(stored.pop(name).astype(working, copy=False))
                _check_finite(f"{name} as {working}", parts[-1])
            if parts:
                weights[layer.name] = tuple(parts)
        return Network(
            name=attributes["architecture"],
            table=table,
            weights=weights,
            channel_order=attributes["channel_order"],
            mean=tuple(map(float, attributes["mean"])),
            scale=tuple(map(float, attributes["scale"])),
            pad_mode=attributes["pad_mode"],
            provenance={
                **{name: attributes[name] for name in (*PROVENANCE, "digest")},
                "file": Path(path).name,
                "stored": np.result_type(*stored_dtypes).name,
            },
            image_size=_image_size(attributes.get("image_size")),
            classes=_classes(attributes.get("classes")),
        )


def content_digest(attributes: Mapping[str, Any], arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Return the SHA-256 of everything that decides what a network computes.

    Hashed are, in this order: the texts ``architecture``, ``channel_order``, ``pad_mode`` and ``layers``, each in
    UTF-8 with a zero byte after it; ``mean`` and ``scale`` as little-endian float64; and for every dataset its
    name, dtype and shape as one text (``conv1_1/weight float32 3 3 3 64``) with a zero byte after it, then its
    numbers, little-endian in C order.  Where the numbers came from and what the classes are called is not part of it.

    Parameters
    ----------
    attributes : dict
        The file's attributes.
    arrays : iterable of (str, ndarray)
        Dataset name and numbers as stored, in the order of the layer table, weight before bias.
    """
    digest = hashlib.sha256()
    for name in ("architecture", "channel_order", "pad_mode", "layers"):
        digest.update(attributes[name].encode() + b"\0")
    for name in VECTORS:
        digest.update(np.asarray(attributes[name], "<f8").tobytes())
    for name, array in arrays:
        digest.update(" ".join([name, array.dtype.name, *map(str, array.shape)]).encode() + b"\0")
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


@contextmanager
def _one_sentence(path: PathLike) -> Iterator[None]:
    """Name the file and what to do; HDF5's many exceptions for damage become one."""
    try:
        yield
    except (InputError, RefusedError) as error:
        raise InputError(f"{path}: {error}; {MAKE_AGAIN}") from None
    except DAMAGE as error:
        raise InputError(f"{path}: the file is damaged ({reason(error)}); {MAKE_AGAIN}") from None


def _one_of(what: str, value: Any, choices: Iterable[str]) -> str:
    """Return a text that must be one of some choices; a dtype may be given as NumPy's object, too."""
    text = np.dtype(value).name if isinstance(value, (type, np.dtype)) else value
    if not isinstance(text, str) or text not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, got {value!r}")
    return text


def _check_attributes(attributes: dict[str, Any]) -> None:
    """Check the attributes; texts of any HDF5 kind become str in place."""
    for name in ("format", *TEXTS):
        value = attributes.get(name)
        if isinstance(value, bytes):
            value = attributes[name] = value.decode("utf-8", errors="replace")
        if not isinstance(value, str):
            found = "nothing" if value is None else f"a {type(value).__name__}"
            raise InputError(f"expected a text in the attribute {name}, found {found}")
        if name == "format" and value != FORMAT:
            raise InputError(f"expected the format {FORMAT!r}, found {value[:40]!r} (is this vggnumpy too old for it?)")
    for name in VECTORS:
        vector = attributes.get(name)
        if not isinstance(vector, np.ndarray) or vector.shape != (3,) or vector.dtype.kind != "f":
            found = "nothing" if vector is None else repr(vector)[:60]
            raise InputError(f"expected three floating numbers in the attribute {name}, found {found}")
        if not np.isfinite(vector).all() or (name == "scale" and not vector.all()):
            raise InputError(f"the attribute {name} must be three finite numbers (scale not zero), found {vector}")
    if not attributes["architecture"]:
        raise InputError("the attribute architecture is empty, expected a name such as vgg19")
    _one_of("the attribute channel_order", attributes["channel_order"], CHANNEL_ORDERS)
    _one_of("the attribute pad_mode", attributes["pad_mode"], PAD_MODES)
    for name in ("source_sha256", "digest"):
        value = attributes[name]
        if not re.fullmatch(r"[0-9a-f]{64}", value) and (value or name == "digest"):
            raise InputError(f"the attribute {name} must be 64 hexadecimal digits, found {value[:70]!r}")


def _parse_table(text: str) -> tuple[Layer, ...]:
    """Return the layer table of the attribute ``layers``, every field of every layer checked."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the attribute layers is not JSON, so there is no layer table") from None
    table = table_from_dicts(rows)
    for layer in table:
        _check_layer(layer)
    if not any(layer.kind == "conv" for layer in table):
        raise InputError("the layer table holds no convolution")
    return table


def _image_size(value: Any) -> tuple[int, int] | None:
    """Return the attribute ``image_size``, which may be absent."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.shape != (2,) or value.dtype.kind not in "iu" or (value < 1).any():
        raise InputError(f"expected two positive integers in the attribute image_size, found {repr(value)[:60]}")
    return int(value[0]), int(value[1])


def _classes(text: Any) -> tuple[str, ...]:
    """Return the attribute ``classes``, a JSON list of names, which may be absent."""
    if text is None:
        return ()
    try:
        names = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("expected a JSON list of names in the attribute classes, found something else")
    return tuple(names)


def _check_layer(layer: Layer) -> None:
    """Check types and ranges of a layer's fields, which JSON does not guarantee."""
    faults = {
        "name": not isinstance(layer.name, str) or not layer.name,
        "kind": layer.kind not in KINDS,
        "inputs": not isinstance(layer.inputs, tuple) or not all(isinstance(name, str) for name in layer.inputs),
        "size": not _integers(layer.size, 2, least=1) and not (layer.kind == "pool" and layer.size == (0, 0)),
        "channels": not _integers((layer.channels,), 1, least=layer.kind in ("conv", "convt")),
        "stride": not _integers(layer.stride, 2, least=1),
        "pad": not _integers(layer.pad, 4, least=0),
        "dilate": not _integers(layer.dilate, 2, least=1),
        "method": layer.method not in POOLINGS,
        "rounding": layer.rounding not in ("floor", "ceil"),
        "pad_mode": layer.pad_mode not in ("", *PAD_MODES),
        "groups": not _integers((layer.groups,), 1, least=1),
        "leak": not _reals((layer.leak,), 1),
        "lrn": not _reals(layer.lrn, 4) or not _integers(layer.lrn[:1], 1, least=1),
        "rate": not _reals((layer.rate,), 1) or not 0 <= layer.rate < 1,
        "numbered": not isinstance(layer.numbered, bool),
    }
    if layer.kind != "concat" and not faults["inputs"] and len(layer.inputs) != 1:
        faults["inputs"] = True  # only a concat joins several
    for field, fault in faults.items():
        if fault:
            value = getattr(layer, field)
            raise InputError(f"the layer table's entry {layer.name!r} has the invalid {field} {value!r}")


def _integers(values: Any, count: int, least: int) -> bool:
    """Tell whether `values` is a tuple of `count` integers, none below `least`."""
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(v) is int and least <= v < 2**31 for v in values)
    )


def _reals(values: Any, count: int) -> bool:
    """Tell whether `values` is a tuple of `count` finite numbers."""
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    )


def _dataset_names(table: tuple[Layer, ...]) -> list[str]:
    """Return the datasets that a table asks for, in the order in which the digest takes them."""
    return [f"{layer.name}/{part}" for layer in table for part in PARTS.get(layer.kind, ())]


def _check_shapes(table: tuple[Layer, ...], shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that exactly the datasets of the table are there, with the shapes that it asks for."""
    names = _dataset_names(table)
    for name in names:
        if name not in shapes:
            owner, _, part = name.rpartition("/")
            raise InputError(f"the {part} of layer {owner} is missing (no dataset {name})")
    strangers = sorted(set(shapes) - set(names))
    if strangers:
        raise InputError(f"the file holds {', '.join(strangers)[:200]}, which no layer of its table uses")
    owners = [layer for layer in table if layer.kind in PARTS]
    check_table(table, 3, {layer.name: shapes[f"{layer.name}/weight"] for layer in owners})
    for layer in owners:
        check_parts(layer, tuple(shapes[f"{layer.name}/{part}"] for part in PARTS[layer.kind]))


def _numbers(dataset: Any) -> np.ndarray:
    return np.ascontiguousarray(dataset[()], dataset.dtype.newbyteorder("="))


def _check_finite(name: str, array: np.ndarray) -> None:
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        layer = name.rpartition("/")[0]
        raise InputError(f"layer {layer} holds {bad} numbers that are not finite, in {name}")
