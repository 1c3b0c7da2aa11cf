"""Which layer an array belongs to: the names that the published files use, matched with the architectures' own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.nets.architectures import ARCHITECTURES, CLASSIFIERS, architecture
from vggnumpy.nets.tables import PARTS, Layer

Arrays = Mapping[str, np.ndarray]

# How originals name a layer: by Caffe's names, by torchvision's modules, by Keras's, by the index in a plain sequence.
SCHEMES = {
    "features": re.compile(r"features\.\d+(\.\w+)?|classifier\.\d+"),
    "keras": re.compile(r"block\d+_conv\d+|fc[12]|predictions"),
    "bare": re.compile(r"\d{1,6}"),
    "named": re.compile(r"conv0|conv\d+_\d+(_aux)?"),
}
# GoogLeNet's two side classifiers, which only its training used.
SIDE_CLASSIFIER = re.compile(r"loss[12]/.*")
OWNED = re.compile(r"(.+)\.(?:weight|bias)")


class Naming(NamedTuple):
    """The layers found in a file.

    Attributes
    ----------
    scheme : str
        One of `SCHEMES`.
    architecture : str
    layers : dict
        Name of a layer of the architecture → prefix of its arrays in the file.
    left_out : tuple of str
        Arrays that belong to no layer.
    """

    scheme: str
    architecture: str
    layers: dict[str, str]
    left_out: tuple[str, ...]


def match_names(arrays: Arrays, given: str | None = None) -> Naming:
    """Find the architecture whose layers a file's arrays are.

    Parameters
    ----------
    arrays : dict
        ``PREFIX.weight`` and ``PREFIX.bias``, filters O×I×H×W.
    given : str, optional
        The architecture's name, if the user knows it.

    Raises
    ------
    InputError
        If the names or the number of layers fit no architecture, or not the given one.
    """
    if not arrays:
        raise InputError("the file holds no arrays; expected the filters and biases of a VGG network")
    if any(name.startswith("inv_") for name in arrays):
        raise InputError("these are weights of a decoder (inv_…), which turns features into images; give an encoder's")
    if any(name.endswith((".running_mean", ".moving_mean")) for name in arrays):
        raise InputError("this network has batch normalisation (running_mean), which none of the known networks has")
    owners = {name: match[1] for name in arrays if (match := OWNED.fullmatch(name))}
    schemes = {prefix: scheme for prefix in dict.fromkeys(owners.values()) if (scheme := _scheme(plain(prefix)))}
    found = sorted(set(schemes.values()))
    if len(found) != 1:
        what = "names of several kinds" if found else "no such name"
        raise InputError(
            "expected arrays all named like conv1_1.weight, or features.0.weight, or 0.weight, "
            f"found {what} ({some(arrays)})"
        )
    strangers = [n for n, prefix in owners.items() if prefix not in schemes and not SIDE_CLASSIFIER.match(prefix)]
    if strangers:
        raise InputError(f"the file holds layers that the known networks do not have: {some(strangers)}")
    if given is not None:
        architecture(given)  # says which are known
    scheme, prefixes = found[0], list(schemes)
    rest = tuple(name for name in arrays if owners.get(name) not in schemes)
    if scheme == "bare":
        name, layers = _match_in_order(sorted(prefixes, key=int), arrays, given)
        return Naming(scheme, name, layers, rest)
    places = {name: _places(scheme, name) for name in ([given] if given else ARCHITECTURES)}
    name = _best_fit(places, [plain(prefix) for prefix in prefixes])
    strange = [prefix for prefix in prefixes if plain(prefix) not in places[name]]
    if strange:
        raise InputError(f"the file holds layers that {name} does not have: {some(f'{p}.weight' for p in strange)}")
    layers = {places[name][plain(prefix)]: prefix for prefix in prefixes}
    if len(layers) < len(prefixes):
        raise InputError(f"two layers of the file are the same layer of {name}: {some(prefixes)}")
    return Naming(scheme, given or _variant(name, layers, arrays), layers, rest)


def plain(prefix: str) -> str:
    """Return a layer's name with Caffe's slashes as they are in our tables."""
    return prefix.replace("/", "_")


def _scheme(prefix: str) -> str | None:
    """Return the scheme that a layer's name follows."""
    for scheme, pattern in SCHEMES.items():
        if pattern.fullmatch(prefix):
            return scheme
    return "named" if any(prefix in _places("named", name) for name in ARCHITECTURES) else None


def _places(scheme: str, name: str) -> dict[str, str]:
    """Return prefix → layer for the names that a scheme gives to an architecture's layers."""
    owners = _owners(architecture(name, classifier=True))
    if scheme == "named":
        places = {layer: layer for layer in owners}
        if name.startswith("vgg"):
            places |= {layer: layer for owner in owners for layer in ("conv0", f"{owner}_aux")}
        return places | {layer.replace("squeeze1x1", "squeeze"): layer for layer in owners}
    if scheme == "keras":
        if not name.startswith("vgg"):
            return {}
        tops = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
        return {re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", layer): layer for layer in owners} | tops
    if name.startswith("vgg"):
        # torchvision counts convolutions, rectifiers and pools alike, as the table does; its classifier's dropouts
        # come after the rectifiers, Johnson's before the layers.
        table = ARCHITECTURES[name]
        tops = {"0": "fc6", "1": "fc6", "3": "fc7", "4": "fc7", "6": "fc8"}
        places = {f"features.{i}": layer.name for i, layer in enumerate(table) if layer.kind == "conv"}
        return places | {f"classifier.{i}": layer for i, layer in tops.items()}
    if name in ("squeezenet1_0-torchvision", "squeezenet1_1"):
        return _squeezenet_modules(name)
    return {}


def _squeezenet_modules(name: str) -> dict[str, str]:
    """Return torchvision's names: it counts layers and pools, but a fire module as one."""
    places, number, fire = {"features.0": "conv1", "classifier.1": "conv10"}, -1, ""
    for layer in ARCHITECTURES[name]:
        module, _, part = layer.name.partition("_")
        if not module.startswith("fire") or module != fire:
            number, fire = number + 1, module
        if layer.kind == "conv" and part:
            places[f"features.{number}.{part.replace('squeeze1x1', 'squeeze')}"] = layer.name
    return places


def _variant(name: str, layers: Mapping[str, str], arrays: Arrays) -> str:
    """Tell apart the architectures that have the same layers, by the shapes of their first and last filters."""

    def shape(layer: str) -> tuple[int, ...]:
        weight = arrays.get(f"{layers.get(layer)}.weight")
        return () if weight is None else weight.shape

    if name == "vgg16" and shape("fc8")[:1] == (2622,):
        return "vgg-face"
    if name == "squeezenet1_0" and shape("conv10")[:1] == (1001,):
        return "squeezenet1_0-tflite"
    return "squeezenet1_1" if name == "squeezenet1_0" and shape("conv1")[2:] == (3, 3) else name


def _match_in_order(prefixes: list[str], arrays: Arrays, given: str | None) -> tuple[str, dict[str, str]]:
    """Match layers that only have numbers onto an architecture's layers, in order."""
    shapes = [arrays[f"{prefix}.weight"].shape if f"{prefix}.weight" in arrays else () for prefix in prefixes]
    if len(shapes[0]) == len(shapes[-1]) == 4 and shapes[0][1] != 3 and shapes[-1][0] == 3:
        raise InputError(
            f"these look like the weights of a decoder, from {shapes[0][1]} channels to 3, which turns features into "
            "images; give an encoder's"
        )
    if given is None:
        raise InputError(
            f"the layers have bare numbers ({some(prefixes)}), so say which network this is with --architecture, "
            f"one of {', '.join(ARCHITECTURES)}"
        )
    whole = any(len(shape) == 2 for shape in shapes)
    names = ["conv0"] * (shapes[0] == (3, 3, 1, 1)) + _owners(architecture(given, classifier=whole))
    if len(prefixes) > len(names):
        raise InputError(f"the file has {len(prefixes)} layers, more than the {len(names)} convolutions of {given}")
    return given, dict(zip(names, prefixes, strict=False))


def _owners(table: Iterable[Layer]) -> list[str]:
    """Return the layers of a table that have weights."""
    return [layer.name for layer in table if layer.kind in PARTS]


def _best_fit(places: Mapping[str, Mapping[str, str]], prefixes: list[str]) -> str:
    """Return the architecture that lacks the fewest of the layers and then has the fewest gaps; VGG-19 if equal."""

    def misfit(name: str) -> tuple[int, int, bool, bool]:
        classifier = {layer.name for layer in CLASSIFIERS[name]}
        found = {places[name][prefix] for prefix in prefixes if prefix in places[name]}
        known = _owners(ARCHITECTURES[name])
        present = [i for i, layer in enumerate(known) if layer in found]
        gaps = max(present) + 1 - len(present) if present else 0
        strangers = sum(prefix not in places[name] for prefix in prefixes)
        missing = len(known) - len(present) if found & classifier else 0
        return strangers, gaps + missing, name != "vgg19", name != "vgg16"

    return min(places, key=misfit)


def some(names: Iterable[str]) -> str:
    """Return the first few names as one text."""
    names = list(names)
    return ", ".join(names[:5]) + (f" … {len(names)} in all" if len(names) > 5 else "")
