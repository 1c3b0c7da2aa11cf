"""Whether a Caffe file's own layers are those of the architecture that its names suggest.

Networks of other people have AlexNet's and VGG's names: CaffeNet pools before it normalises, others stride otherwise.
Their arrays would fit the table and compute something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vggnumpy.errors import InputError
from vggnumpy.formats.caffe_file import CaffeLayer
from vggnumpy.formats.naming import plain
from vggnumpy.nets.tables import INPUT, Layer

# What changes a map beyond rectifying it, in Caffe's words and in ours.
CAFFE_KINDS = {"Convolution": "conv", "InnerProduct": "conv", "Pooling": "pool", "LRN": "lrn", "Concat": "concat"}
KINDS = set(CAFFE_KINDS.values())


def check_caffe_layers(layers: Sequence[CaffeLayer], table: Sequence[Layer]) -> None:
    """Check that a file's layers have the inputs, sizes, strides and constants of a layer table.

    Parameters
    ----------
    layers : sequence of CaffeLayer
        As the file has them; one without any pool says nothing about its network and passes.
    table : sequence of Layer
        With Caffe's names.

    Raises
    ------
    InputError
        If a layer of the table is not in the file or differs, for the first one.
    """
    found = {plain(layer.name): layer for layer in layers if layer.type in CAFFE_KINDS}
    if not any(layer.type == "Pooling" for layer in found.values()):
        return
    theirs, ours = _caffe_sources(layers), _sources(table)
    for layer in table:
        if layer.kind not in KINDS:
            continue
        if layer.name not in found:
            raise InputError(f"the file has no layer {layer.name}; is it another network?")
        if theirs[layer.name] != ours[layer.name]:
            raise InputError(
                f"layer {layer.name} follows {' and '.join(theirs[layer.name])} in the file, where this architecture "
                f"has {' and '.join(ours[layer.name])}; it is another network"
            )
        for what, in_file, in_table in _differences(found[layer.name], layer):
            raise InputError(
                f"layer {layer.name} has the {what} {in_file} in the file, where this architecture has {in_table}; "
                "it is another network"
            )


def _caffe_sources(layers: Sequence[CaffeLayer]) -> dict[str, list[str]]:
    """Return, for each layer that changes a map, those that made its inputs; rectifiers and the like do not count."""
    made_by: dict[str, list[str]] = {}
    sources = {}
    for layer in layers:
        inputs = [name for blob in layer.bottoms for name in made_by.get(blob, [INPUT])]
        if layer.type in CAFFE_KINDS:
            sources[plain(layer.name)] = inputs
            inputs = [plain(layer.name)]
        for blob in layer.tops if layer.bottoms else ():
            made_by[blob] = inputs
    return sources


def _sources(table: Sequence[Layer]) -> dict[str, list[str]]:
    made_by: dict[str, list[str]] = {INPUT: [INPUT]}
    sources = {}
    for layer in table:
        inputs = [name for source in layer.inputs for name in made_by[source]]
        sources[layer.name] = inputs
        made_by[layer.name] = [layer.name] if layer.kind in KINDS else inputs
    return sources


def _differences(theirs: CaffeLayer, layer: Layer) -> list[tuple[str, Any, Any]]:
    """Return (what, in the file, in the table) for each parameter that differs."""
    params = theirs.params
    pairs: list[tuple[str, Any, Any]] = []
    if theirs.type == "Convolution":
        pairs = [("stride", params["stride"], layer.stride), ("dilation", params["dilation"], layer.dilate)]
        pairs.append(("padding", _four(params["pad"]), layer.pad))
    elif theirs.type == "Pooling":
        method = {"max": "max", "ave": "average"}.get(params["method"], params["method"])
        window = (0, 0) if params["global_pooling"] else params["kernel_size"]
        pairs = [("method", method, layer.method), ("window", window, layer.size)]
        if any(window):
            pairs += [("stride", params["stride"], layer.stride), ("padding", _four(params["pad"]), layer.pad)]
    elif theirs.type == "LRN":
        # Caffe divides α by the size of the window.
        size = params["local_size"]
        constants = (size, params["k"], round(params["alpha"] / max(size, 1), 9), round(params["beta"], 6))
        pairs = [("constants", constants, layer.lrn), ("region", params["region"], "across_channels")]
    return [(what, a, b) for what, a, b in pairs if a != b]


def _four(pad: tuple[int, int]) -> tuple[int, int, int, int]:
    return pad[0], pad[0], pad[1], pad[1]
