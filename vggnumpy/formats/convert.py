"""Original weights, as others published them, turned into a weights file.

Every number is kept bit for bit; what a file of bare arrays does not say (channel order, mean, range, padding, how
pools round) is taken from the family of networks that it is recognised as, or asked for, and reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.files import check_output, sha256
from vggnumpy.formats.npz_file import read_npz
from vggnumpy.formats.torch_file import read_torch_file
from vggnumpy.formats.weights import STORED_DTYPES, WORKING_DTYPES, write_weights
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import ARCHITECTURES, fit_table
from vggnumpy.nets.tables import architecture as table_of

PathLike = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]
Weights = dict[str, tuple[np.ndarray, np.ndarray]]

READERS = {".pth": read_torch_file, ".pt": read_torch_file, ".npz": read_npz}
OUTPUT_SUFFIXES = (".h5", ".hdf5")

# How originals name a layer's arrays: by VGG's names, by torchvision's index, by the index in a plain sequence.
STYLES = {
    "named": re.compile(r"(conv0|conv\d+_\d+(?:_aux)?)\.(?:weight|bias)"),
    "features": re.compile(r"(features\.\d+)\.(?:weight|bias)"),
    "bare": re.compile(r"(\d{1,6})\.(?:weight|bias)"),
}
CLASSIFIER = re.compile(r"(?:classifier\.\d+|fc\d+)\.(?:weight|bias)")


class InputConvention(NamedTuple):
    """What a first layer expects: channel order, then mean and scale in that order, for pixels of 0–255."""

    channel_order: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    words: str


INPUTS = {
    "torchvision": InputConvention(
        "RGB",
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        "RGB, 0–1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225)",
    ),
    "caffe": InputConvention(
        "BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "BGR, 0–255 minus (103.939, 116.779, 123.68)"
    ),
    "matconvnet": InputConvention(
        "RGB", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), "RGB, 0–255 minus (123.68, 116.779, 103.939)"
    ),
    "unit": InputConvention("RGB", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "RGB, 0–1"),
}
ROUNDINGS = {"floor": "pools drop an incomplete last window", "ceil": "pools keep an incomplete last window"}


class Family(NamedTuple):
    """A group of published networks with common conventions."""

    words: str
    input_convention: str | None
    pad_mode: str
    pool_rounding: str
    license: str = "not stated"


VGG_LICENSE = "CC BY 4.0 (Simonyan and Zisserman, Visual Geometry Group, Oxford)"
NORMALISED = Family("normalised encoder of universal style transfer (Li et al. 2017)", "unit", "reflect", "ceil")
DISTILLED = Family("encoder of collaborative distillation (Wang et al. 2020)", "unit", "reflect", "floor")
TORCHVISION = Family("torchvision's VGG", "torchvision", "zero", "floor")
JOHNSON = Family("Caffe's VGG under torchvision's names (Johnson)", "caffe", "zero", "floor", VGG_LICENSE)
UNKNOWN = Family("VGG layers of unknown origin", None, "zero", "floor")
# How the SHA-256 of Johnson's vgg19-d01eb7cb.pth and vgg16-00b39a1b.pth begin; nothing else tells them from
# torchvision's own files.
JOHNSON_DIGESTS = ("d01eb7cb", "00b39a1b")


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes
    ----------
    source, output : str
        The files, as given.
    family : str
        What the source was recognised as.
    architecture : str
        Name of the layer table, such as ``"vgg19"``.
    layers : tuple of str
        The convolutions that were converted, in the order of the table.
    left_out : tuple of str
        Arrays of the source that are not in the output: the classifier, and what belongs to no layer.
    conventions : tuple of str
        What bare arrays do not say, a phrase each, ending in ``(assumed)`` or ``(given)``.
    digest : str
        The output's digest.
    """

    source: str
    output: str
    family: str
    architecture: str
    layers: tuple[str, ...]
    left_out: tuple[str, ...]
    conventions: tuple[str, ...]
    digest: str


def convert(
    source: PathLike,
    out: PathLike,
    *,
    architecture: str | None = None,
    input_convention: str | None = None,
    pad_mode: str | None = None,
    pool_rounding: str | None = None,
    license: str | None = None,
) -> Conversion:
    """Convert original weights into a weights file; what is given wins over what is assumed.

    Parameters
    ----------
    source : str or os.PathLike
        ``.pth``, ``.pt`` (a PyTorch state dict) or ``.npz``, filters O×I×H×W, named like ``conv1_1.weight``,
        ``features.0.weight`` or ``0.weight``.
    out : str or os.PathLike
        The ``.h5`` to write, whole or not at all.
    architecture : {"vgg16", "vgg19"}, optional
        Needed where layers have bare numbers; else the names tell, and ``"vgg19"`` is taken where both fit.
    input_convention : {"torchvision", "caffe", "matconvnet", "unit"}, optional
        Channel order, mean and range that the first layer expects; needed where the family does not tell.
    pad_mode : {"zero", "reflect", "replicate"}, optional
        What the padding of the convolutions holds.
    pool_rounding : {"floor", "ceil"}, optional
        Whether pools drop or keep an incomplete last window.
    license : str, optional
        Recorded in the output; if not given, what the source's digest tells, else ``"not stated"``.

    Returns
    -------
    Conversion

    Raises
    ------
    InputError
        In one sentence, if the source cannot be read or is no such network, or the output cannot be written.
    """
    read = READERS.get(Path(source).suffix.lower())
    if read is None:
        raise InputError(f"{source}: expected original weights in a file of type {', '.join(READERS)}")
    if Path(out).suffix.lower() not in OUTPUT_SUFFIXES:
        raise InputError(f"{out}: a weights file must be named {' or '.join(OUTPUT_SUFFIXES)}; rename the output")
    if input_convention is not None and input_convention not in INPUTS:
        raise InputError(f"the input convention must be one of {', '.join(INPUTS)}, got {input_convention!r}")
    check_output(out)
    arrays, source_digest = read(source), sha256(source)
    try:
        style, prefixes, left_out = _recognise_names(arrays)
        name, layers = _match_layers(style, prefixes, arrays, architecture)
        weights, stored = _weights(arrays, layers)
        table = fit_table(table_of(name), {layer: w.shape for layer, (w, _) in weights.items()})
        family = _family(style, layers, source_digest)
        convention = _input_convention(family, input_convention)
        net = Network(
            name,
            table,
            weights,
            convention.channel_order,
            convention.mean,
            convention.scale,
            pad_mode or family.pad_mode,
            {"source": Path(source).name, "source_sha256": source_digest, "license": license or family.license},
        ).with_pool_rounding(pool_rounding or family.pool_rounding)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    chosen = {
        f"architecture {name}": architecture,
        f"input {convention.words}": input_convention,
        f"{net.pad_mode} padding": pad_mode,
        ROUNDINGS[pool_rounding or family.pool_rounding]: pool_rounding,
    }
    return Conversion(
        source=os.fspath(source),
        output=os.fspath(out),
        family=family.words,
        architecture=name,
        layers=tuple(layer.name for layer in table if layer.kind == "conv"),
        left_out=left_out,
        conventions=tuple(f"{words} ({'given' if option else 'assumed'})" for words, option in chosen.items()),
        digest=write_weights(out, net, stored),
    )


def _recognise_names(arrays: Arrays) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the style of the arrays' names, the layers' own prefixes in it, and the arrays that are left out."""
    if not arrays:
        raise InputError("the file holds no arrays; expected the filters and biases of a VGG network")
    if any(name.startswith("inv_") for name in arrays):
        raise InputError("these are weights of a decoder (inv_…), which turns features into images; give an encoder's")
    if any(name.endswith(".running_mean") for name in arrays):
        raise InputError("this network has batch normalisation (running_mean), which vggnumpy does not compute")
    owners = {
        name: (style, match[1]) for name in arrays for style in STYLES if (match := STYLES[style].fullmatch(name))
    }
    styles = sorted({style for style, _ in owners.values()})
    if len(styles) != 1:
        found = "names of several kinds" if styles else "no such name"
        raise InputError(
            "expected arrays all named like conv1_1.weight, or features.0.weight, or 0.weight, "
            f"found {found} ({_some(arrays)})"
        )
    rest = tuple(name for name in arrays if name not in owners)
    unknown = [name for name in rest if name.endswith((".weight", ".bias")) and not CLASSIFIER.fullmatch(name)]
    if unknown:
        raise InputError(f"the file holds layers that VGG networks do not have: {_some(unknown)}")
    return styles[0], list(dict.fromkeys(prefix for _, prefix in owners.values())), rest


def _match_layers(style: str, prefixes: list[str], arrays: Arrays, given: str | None) -> tuple[str, dict[str, str]]:
    """Return the architecture's name, and layer name → prefix of its arrays."""
    if given is not None:
        table_of(given)  # says which are known
    if style == "named":
        if given is None:
            given = (
                "vgg19" if "conv0" in prefixes else _best_fit({name: _convs(name) for name in ARCHITECTURES}, prefixes)
            )
        return given, {prefix: prefix for prefix in prefixes}
    if style == "features":
        # torchvision counts convolutions, rectifiers and pools alike, as the table does.
        places = {
            name: {f"features.{i}": layer.name for i, layer in enumerate(table) if layer.kind == "conv"}
            for name, table in ARCHITECTURES.items()
        }
        if given is None:
            given = _best_fit(places, prefixes)
        strangers = [prefix for prefix in prefixes if prefix not in places[given]]
        if strangers:
            raise InputError(f"{_some(strangers)} is no convolution in torchvision's {given}")
        return given, {places[given][prefix]: prefix for prefix in prefixes}
    return _match_in_order(sorted(prefixes, key=int), arrays, given)


def _match_in_order(prefixes: list[str], arrays: Arrays, given: str | None) -> tuple[str, dict[str, str]]:
    """Match layers that only have numbers onto an architecture's convolutions, in order."""
    shapes = [arrays[f"{prefix}.weight"].shape if f"{prefix}.weight" in arrays else () for prefix in prefixes]
    if len(shapes[0]) == len(shapes[-1]) == 4 and shapes[0][1] != 3 and shapes[-1][0] == 3:
        raise InputError(
            f"these look like the weights of a decoder, from {shapes[0][1]} channels to 3, which turns features into "
            "images; give an encoder's"
        )
    if given is None:
        raise InputError(
            f"the layers have bare numbers ({_some(prefixes)}), so say which network this is with --architecture, "
            f"one of {', '.join(ARCHITECTURES)}"
        )
    names = ["conv0"] * (shapes[0] == (3, 3, 1, 1)) + _convs(given)
    if len(prefixes) > len(names):
        raise InputError(f"the file has {len(prefixes)} layers, more than the {len(names)} convolutions of {given}")
    return given, dict(zip(names, prefixes, strict=False))


def _convs(name: str) -> list[str]:
    return [layer.name for layer in ARCHITECTURES[name] if layer.kind == "conv"]


def _best_fit(candidates: Mapping[str, Iterable[str]], prefixes: list[str]) -> str:
    """Return the architecture that lacks the fewest of the layers and then has the fewest gaps; VGG-19 if equal."""

    def misfit(name: str) -> tuple[int, int, bool]:
        known = list(candidates[name])
        present = [i for i, layer in enumerate(known) if layer in prefixes]
        gaps = max(present) + 1 - len(present) if present else 0
        return len(set(prefixes) - set(known)), gaps, name != "vgg19"

    return min(candidates, key=misfit)


def _weights(arrays: Arrays, layers: dict[str, str]) -> tuple[Weights, str]:
    """Return filters H×W×I×O and biases as the network takes them, and the dtype that stores them bit for bit."""
    pairs = {}
    for layer, prefix in layers.items():
        pair = []
        for name in (f"{prefix}.weight", f"{prefix}.bias"):
            if name not in arrays:
                raise InputError(f"layer {layer} lacks the array {name}; VGG layers have filters and a bias")
            array = arrays[name]
            if array.dtype.name not in STORED_DTYPES:
                raise InputError(f"{name} is {array.dtype}, expected one of {', '.join(STORED_DTYPES)}")
            if not np.isfinite(array).all():
                raise InputError(f"{name} (layer {layer}) holds numbers that are not finite")
            pair.append(array)
        w, b = pair
        if w.ndim != 4 or b.shape != w.shape[:1]:
            raise InputError(
                f"layer {layer} has filters of shape {w.shape} and a bias of shape {b.shape}, "
                "expected (filters, input channels, height, width) and (filters,)"
            )
        pairs[layer] = w.transpose(2, 3, 1, 0), b
    # Of several dtypes the widest holds the numbers of all; half precision is widened to compute with, not to store.
    stored = np.result_type(*(array for pair in pairs.values() for array in pair)).name
    working = stored if stored in WORKING_DTYPES else "float32"
    return {name: (w.astype(working, order="C"), b.astype(working)) for name, (w, b) in pairs.items()}, stored


def _family(style: str, layers: Iterable[str], source_digest: str) -> Family:
    if "conv0" in layers:
        return DISTILLED if any(layer.endswith("_aux") for layer in layers) else NORMALISED
    if source_digest.startswith(JOHNSON_DIGESTS):
        return JOHNSON
    return TORCHVISION if style == "features" else UNKNOWN


def _input_convention(family: Family, given: str | None) -> InputConvention:
    chosen = given or family.input_convention
    if chosen is None:
        choices = "; ".join(f"{name}: {convention.words}" for name, convention in INPUTS.items())
        raise InputError(
            "the file does not tell which pixels its first layer expects, so give --input, one of "
            f"{', '.join(INPUTS)} ({choices})"
        )
    return INPUTS[chosen]


def _some(names: Iterable[str]) -> str:
    """Return the first few names as one text."""
    names = list(names)
    return ", ".join(names[:5]) + (f" … {len(names)} in all" if len(names) > 5 else "")
