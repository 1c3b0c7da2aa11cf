"""The style file: an HDF5 file with a style's Gram matrices at several sizes, and where they came from.

| where | what |
|---|---|
| attribute ``format`` | ``vggnumpy style 1`` |
| attribute ``network`` | JSON: name, file, pooling and padding of the network that saw the pictures, for people |
| attribute ``layers`` | JSON list: each layer's ``name``, and the ``digest`` of what its features are computed with |
| attribute ``recipe`` | JSON: how the style was made, see `vggnumpy.multiscale.MultiscaleStyle` |
| attribute ``digest`` | SHA-256 of all the rest, see `content_digest` |
| ``size S/LAYER`` | Gram matrix C×C at a long side of S pixels, float32 or float64, *summed* over its positions |
| its attribute ``positions`` | how many they were; 1 for a matrix per position, such as a mixture's |
| ``preview`` | a small picture, height × width × 3, uint8 |

Everything is stored in the dtype that it was computed in: what is read is what was written, bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, atomic_path, open_input
from vggnumpy.formats.hdf5_guard import SIGNATURE, check_hdf5, check_stored, stored_datasets
from vggnumpy.formats.load import best_network, find_weights, load_network
from vggnumpy.formats.reading import RefusedError, one_sentence, quote
from vggnumpy.losses import GramStatistics
from vggnumpy.multiscale import Grams, MultiscaleStyle
from vggnumpy.nets import Network

FORMAT = "vggnumpy style 1"
SUFFIXES = (".h5", ".hdf5")
_TEXTS = ("format", "network", "layers", "recipe", "digest")
_FACTS = ("name", "file", "pooling", "pad_mode")
_DEEPEST = 100  # recipes in recipes
MAKE_AGAIN = "make it again with: vggnumpy style compute PICTURE -o OUT.h5"


def write_style(path: PathLike, style: MultiscaleStyle) -> str:
    """Write a style into a file.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write, whole or not at all; one that exists is replaced.
    style : MultiscaleStyle

    Returns
    -------
    digest : str
        SHA-256 of what was written, see `content_digest`.

    Raises
    ------
    InputError
        If the file cannot be written, or would be refused by `read_style`.
    """
    import h5py

    texts = {
        "format": FORMAT,
        "network": json.dumps(dict(style.network)),
        "layers": json.dumps([{"name": layer, "digest": digest} for layer, digest in style.digests.items()]),
        "recipe": json.dumps(dict(style.recipe)),
    }
    matrices = {
        f"size {size}/{layer}": (_little_endian(to_host(grams[layer].matrix)), int(grams[layer].positions))
        for size, grams in sorted(style.grams.items())
        for layer in style.layers
    }
    preview = np.ascontiguousarray(style.preview, np.uint8)
    texts["digest"] = content_digest(texts, matrices, preview)
    try:
        _check_texts(texts)
        for name, (matrix, positions) in matrices.items():
            _check_matrix(name, matrix, positions)
        _check_preview(preview.shape)
    except RefusedError as error:
        raise InputError(f"{path}: the style cannot be stored: {error}") from None
    # Made in memory first: a full disk then fails in one plain write, not somewhere inside the HDF5 library.
    image = io.BytesIO()
    with h5py.File(image, "w", libver=("v108", "v108")) as file:
        for name, text in texts.items():
            file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", max(len(text.encode()), 1)))
        for name, (matrix, positions) in matrices.items():
            file.create_dataset(name, data=matrix).attrs["positions"] = np.int64(positions)
        file.create_dataset("preview", data=preview)
    with atomic_path(path) as temporary:
        temporary.write_bytes(image.getbuffer())
    return texts["digest"]


def read_style(path: PathLike) -> MultiscaleStyle:
    """Read a style file and verify all of it.

    No picture is opened: everything that a transfer needs of them is in the file.

    Raises
    ------
    InputError
        In one sentence, for the first thing found wrong: file and format, texts, layers and sizes, shapes, dtype,
        numbers that are not finite, digest.
    """
    with open_input(path) as stream, one_sentence(path):
        try:
            return _read(stream)
        except RefusedError as refusal:
            raise RefusedError(f"{refusal}; {MAKE_AGAIN}") from None


def _read(stream: BufferedReader) -> MultiscaleStyle:
    import h5py

    if stream.read(len(SIGNATURE)) != SIGNATURE:
        raise RefusedError("expected a style file of vggnumpy (HDF5), found another kind of file")
    check_hdf5(stream)
    # Through the open stream, so that HDF5 takes no lock: some network drives refuse locks.
    with h5py.File(stream, "r") as file:
        texts = {name: _text(file.attrs, name) for name in _TEXTS}
        network, digests, recipe = _check_texts(texts)
        datasets = stored_datasets(file)
        preview = _preview(datasets.pop("preview", None))
        sizes = _sizes(datasets, list(digests))
        names = [f"size {size}/{layer}" for size in sizes for layer in digests]
        matrices = {name: _matrix(name, datasets[name]) for name in names}
    if len({matrix.dtype for matrix, _ in matrices.values()}) > 1:
        raise RefusedError("its matrices have several dtypes, expected one")
    digest = content_digest(texts, matrices, preview)
    if digest != texts["digest"]:
        raise RefusedError(
            f"its content was changed after it was written: expected the digest {texts['digest'][:16]}…, found "
            f"{digest[:16]}…"
        )
    for layer in digests:
        if len({matrices[f"size {size}/{layer}"][0].shape for size in sizes}) > 1:
            raise RefusedError(f"layer {layer} has not as many channels at every size")
    grams: dict[int, Grams] = {
        size: {layer: GramStatistics(*matrices[f"size {size}/{layer}"]) for layer in digests} for size in sizes
    }
    return MultiscaleStyle(grams, digests, network, recipe, preview)


def ready_styles(given: Sequence[Any]) -> list[MultiscaleStyle]:
    """Return the styles that are ready among what stands for a style, reading files; none if all are pictures.

    Parameters
    ----------
    given : sequence of MultiscaleStyle, path or anything else
        A path with the suffix of HDF5 is a style file's; everything else is taken for a picture.

    Raises
    ------
    InputError
        If a file cannot be used, or some are styles and some are pictures.
    """
    ready = [one for one in given if isinstance(one, MultiscaleStyle) or is_style_file(one)]
    if ready and len(ready) < len(given):
        raise InputError(
            "style files and style pictures do not go together; make style files of the pictures with: vggnumpy style "
            "compute PICTURE -o OUT.h5"
        )
    return [one if isinstance(one, MultiscaleStyle) else read_style(one) for one in ready]


def is_style_file(path: Any) -> bool:
    """Tell whether a path is a style file's, by its suffix."""
    return isinstance(path, (str, Path)) and Path(path).suffix.lower() in SUFFIXES


def style_network(style: MultiscaleStyle) -> Network:
    """Return the network of the weights file that a style was computed with if it is here, else the best there is.

    That it is the same one is for `MultiscaleStyle.check` to say.
    """
    name = Path(style.network["file"]).stem
    return load_network(name) if name and find_weights(name) is not None else best_network()


def content_digest(
    texts: Mapping[str, str], matrices: Mapping[str, tuple[np.ndarray, int]], preview: np.ndarray
) -> str:
    """Return the SHA-256 of a style file's content.

    Hashed are the texts ``network``, ``layers`` and ``recipe`` in UTF-8, each with a zero byte after it; then every
    matrix, sizes ascending and layers in the order of ``layers``: its name, dtype, number of channels and number of
    positions as one text (``size 512/relu1_1 float32 64 262144``) with a zero byte after it, and its numbers,
    little-endian in C order; then the preview's height and width as a text with a zero byte after it, and its bytes.
    """
    digest = hashlib.sha256()
    for name in ("network", "layers", "recipe"):
        digest.update(texts[name].encode() + b"\0")
    for name, (matrix, positions) in matrices.items():
        digest.update(f"{name} {matrix.dtype.name} {len(matrix)} {positions}".encode() + b"\0")
        digest.update(_little_endian(matrix).data)
    digest.update(f"{preview.shape[0]} {preview.shape[1]}".encode() + b"\0" + preview.tobytes())
    return digest.hexdigest()


def _little_endian(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix, matrix.dtype.newbyteorder("<"))


def _text(attributes: Any, name: str) -> str:
    value = attributes.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if name == "format" and value != FORMAT:
        found = "another HDF5 file" if value is None else f"the format {quote(str(value))}"
        raise RefusedError(f"expected a style file ({FORMAT}), found {found}")
    if not isinstance(value, str):
        raise RefusedError(f"expected a text in the attribute {name}")
    return value


def _check_texts(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    """Return the network's facts, layer → digest, and the recipe, every field of them checked."""
    network, layers, recipe = (_json(texts, name) for name in ("network", "layers", "recipe"))
    if not isinstance(network, dict) or not all(isinstance(network.get(name), str) for name in _FACTS):
        raise RefusedError(f"its attribute network must hold the texts {', '.join(_FACTS)}")
    digests: dict[str, str] = {}
    for row in layers if isinstance(layers, list) else [None]:
        name, digest = (row.get("name"), row.get("digest")) if isinstance(row, dict) else (None, None)
        if not isinstance(name, str) or not name or name in digests or not _is_digest(digest):
            raise RefusedError(f"its attribute layers must list names and digests, found {quote(str(row))}")
        digests[name] = str(digest)
    if not digests:
        raise RefusedError("it has no layers")
    if not _is_digest(texts["digest"]):
        raise RefusedError("its attribute digest must be 64 hexadecimal digits")
    _check_recipe(recipe, 0)
    return {name: network[name] for name in _FACTS}, digests, recipe


def _json(texts: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(texts[name])
    except (ValueError, RecursionError):
        raise RefusedError(f"its attribute {name} is not JSON") from None


def _is_digest(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _check_recipe(recipe: Any, depth: int) -> None:
    """Check what `vggnumpy.style_mixing.recipe_text` and others rely on."""
    of = recipe.get("of", []) if isinstance(recipe, dict) else None
    if not isinstance(recipe, dict) or not isinstance(recipe.get("made"), str) or not isinstance(of, list):
        raise RefusedError("its recipe does not say how it was made")
    made, weights = recipe["made"], recipe.get("weights")
    shares = isinstance(weights, list) and all(isinstance(w, float) for w in weights) and len(weights) == len(of)
    picture = isinstance(recipe.get("name"), str) and _is_digest(recipe.get("sha256"))
    parts = [recipe.get(name, {}) for name in ("layers", "channels")], recipe.get("drop", [])
    edit = len(of) == 1 and all(isinstance(one, dict) for one in parts[0]) and isinstance(parts[1], list)
    edit = edit and all(isinstance(factor, (int, float)) for factor in parts[0][0].values())
    sound = {
        "picture": picture and not of,
        "mean": bool(of),
        "eigengram": bool(of),
        "mixture": bool(of) and shares,
        "edit": edit,
        "synthetic": isinstance(recipe.get("kind"), str) and isinstance(recipe.get("layers"), dict),
    }
    if not sound.get(made, False) or depth > _DEEPEST:
        raise RefusedError(f"its recipe is not one that this vggnumpy knows ({quote(made)})")
    for one in of:
        _check_recipe(one, depth + 1)


def _sizes(datasets: Mapping[str, Any], layers: list[str]) -> list[int]:
    """Return the sizes, ascending, having checked that every layer has a matrix at each and nothing else is there."""
    sizes: set[int] = set()
    for name in datasets:
        found = re.fullmatch(r"size ([1-9]\d{0,8})/(.+)", name)
        if found is None or found[2] not in layers:
            raise RefusedError(f"it holds {quote(name)}, which is no part of a style")
        sizes.add(int(found[1]))
    for size in sizes:
        for layer in layers:
            if f"size {size}/{layer}" not in datasets:
                raise RefusedError(f"the matrix of layer {layer} at size {size} is missing")
    if not sizes:
        raise RefusedError("it holds no matrices")
    return sorted(sizes)


def _matrix(name: str, dataset: Any) -> tuple[np.ndarray, int]:
    check_stored(name, dataset, ("float32", "float64"))
    if dataset.ndim != 2:
        raise RefusedError(f"{quote(name)} has the shape {dataset.shape}, expected a matrix")
    positions = dataset.attrs.get("positions")
    if not isinstance(positions, np.integer):
        raise RefusedError(f"{quote(name)} does not say its number of positions")
    matrix = np.ascontiguousarray(dataset[()], dataset.dtype.newbyteorder("="))
    _check_matrix(name, matrix, int(positions))
    return matrix, int(positions)


def _check_matrix(name: str, matrix: np.ndarray, positions: int) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 1:
        raise RefusedError(f"{quote(name)} has the shape {matrix.shape}, expected a square matrix")
    if positions < 1 or not np.isfinite(matrix).all():
        raise RefusedError(f"{quote(name)} needs finite numbers and a positive number of positions")


def _preview(dataset: Any) -> np.ndarray:
    if dataset is None:
        raise RefusedError("it has no preview")
    _check_preview(dataset.shape)
    check_stored("preview", dataset, ("uint8",))
    pixels: np.ndarray = dataset[()]
    return pixels


def _check_preview(shape: Sequence[int]) -> None:
    if len(shape) != 3 or shape[2] != 3 or not 0 < min(shape) <= max(shape) <= 4096:
        raise RefusedError(f"its preview has the shape {tuple(shape)}, expected a small picture, height × width × 3")
