"""Layer tables: what a network consists of, as plain data.

A table is a tuple of layers in the order of computation.  Each names its inputs, so that branches (as in inception
modules) are tables too; the chain that most networks are is what `chain` makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vggnumpy.errors import InputError

INPUT = "input"
KINDS = ("conv", "relu", "pool", "concat")


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes
    ----------
    name : str
        Such as ``"conv1_1"``, ``"relu1_1"``, ``"pool1"``.
    kind : {"conv", "relu", "pool", "concat"}
        The operator.
    inputs : tuple of str
        Names of the layers whose outputs it takes; ``"input"`` is the preprocessed image.
    size : (int, int)
        Height and width of the filters (conv) or the window (pool).
    channels : int
        Number of filters (conv), else 0.
    stride, dilate : (int, int)
        As the operator takes them.
    pad : (top, bottom, left, right)
        As the operator takes them.
    method : {"max", "average"}
        What a pool computes.
    rounding : {"floor", "ceil"}
        Whether a pool drops or keeps an incomplete last window.
    pad_mode : str
        What the padding of a conv holds; empty means the network's own mode.
    numbered : bool
        Whether MatConvNet's numbering counts this layer.  Preprocessing inside the network and side branches that
        its model files do not have are not counted, nor are dropout layers, so that "layer 13" means the same
        layer in every file.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    size: tuple[int, int] = (1, 1)
    channels: int = 0
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilate: tuple[int, int] = (1, 1)
    method: str = "max"
    rounding: str = "floor"
    pad_mode: str = ""
    numbered: bool = True


def conv(name: str, channels: int, size: int = 3, pad: int = 1, inputs: tuple[str, ...] = (), **more: Any) -> Layer:
    """Return a convolution of `size`×`size` filters; without inputs, `chain` fills them in."""
    return Layer(name, "conv", inputs, (size, size), channels, pad=(pad,) * 4, **more)


def relu(name: str, inputs: tuple[str, ...] = (), **more: Any) -> Layer:
    """Return a rectifier; without inputs, `chain` fills them in."""
    return Layer(name, "relu", inputs, **more)


def pool(name: str, size: int = 2, stride: int = 2, inputs: tuple[str, ...] = (), **more: Any) -> Layer:
    """Return a pooling; without inputs, `chain` fills them in."""
    return Layer(name, "pool", inputs, (size, size), stride=(stride, stride), **more)


def chain(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Give each layer that names no input the output of the layer before it, the first one the image."""
    table: list[Layer] = []
    for layer in layers:
        before = table[-1].name if table else INPUT
        table.append(layer if layer.inputs else replace(layer, inputs=(before,)))
    return tuple(table)


def _vgg(blocks: Iterable[tuple[int, int]]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for number, (count, channels) in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            layers += [conv(f"conv{number}_{i}", channels), relu(f"relu{number}_{i}")]
        layers.append(pool(f"pool{number}"))
    return chain(layers)


# The convolutional parts of VGG-16 and VGG-19 (Simonyan and Zisserman 2014, table 1, columns D and E).
ARCHITECTURES: dict[str, tuple[Layer, ...]] = {
    "vgg16": _vgg([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]),
    "vgg19": _vgg([(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)]),
}


def architecture(name: str) -> tuple[Layer, ...]:
    """Return the layer table of a known architecture.

    Raises
    ------
    InputError
        If the name is unknown; the message lists the known ones.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"architecture {name!r} is unknown; expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def fit_table(table: tuple[Layer, ...], shapes: dict[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """Adapt an architecture to the filters at hand: a part of it, narrower, with a first and with side layers.

    Kept are the layers up to the last convolution that has filters and its rectifier, with the width these have; if
    that is the architecture's last convolution, all layers.
    ``conv0``, a 1×1 convolution before the first layer, is put in front; ``NAME_aux``, a 1×1 convolution with a
    rectifier beside the main chain, is attached to the rectifier that follows ``NAME``.

    Parameters
    ----------
    table : tuple of Layer
        The architecture.
    shapes : dict
        Layer name → shape of its filters, kh×kw×C×K.

    Raises
    ------
    InputError
        If a convolution in between has no filters, or filters belong to no layer of the architecture.
    """
    convs = [layer.name for layer in table if layer.kind == "conv"]
    known = {"conv0", *convs, *(f"{name}_aux" for name in convs)}
    strangers = sorted(set(shapes) - known)
    if strangers:
        raise InputError(f"the weights hold layers that the architecture does not have: {', '.join(strangers)}")
    present = [name for name in convs if name in shapes]
    if not present:
        raise InputError(f"the weights hold none of the architecture's layers {convs[0]} … {convs[-1]}")
    missing = [name for name in convs[: convs.index(present[-1])] if name not in shapes]
    if missing:
        raise InputError(f"the weights lack the layer {', '.join(missing)} although {present[-1]} is there")
    names = [layer.name for layer in table]
    # A part ends with its last convolution's rectifier; the whole keeps the pool at its end.
    last = len(table) if present[-1] == convs[-1] else names.index(present[-1]) + 2
    layers: list[Layer] = []
    if "conv0" in shapes:
        layers.append(conv("conv0", shapes["conv0"][3], size=1, pad=0, inputs=(INPUT,), numbered=False))
    for layer in table[:last]:
        width = shapes[layer.name][3] if layer.kind == "conv" else 0
        inputs = (layers[-1].name if layers else INPUT,)
        layers.append(replace(layer, channels=width, inputs=inputs))
    for name in present:
        if f"{name}_aux" in shapes:
            after = next(layer.name for layer in layers if layer.inputs == (name,))
            width = shapes[f"{name}_aux"][3]
            layers.append(conv(f"{name}_aux", width, size=1, pad=0, inputs=(after,), numbered=False))
            layers.append(relu(f"{after}_aux", inputs=(f"{name}_aux",), numbered=False))
    return tuple(layers)


def check_table(table: tuple[Layer, ...], channels: int, shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that a table can be computed and that every convolution's filters fit it.

    Parameters
    ----------
    table : tuple of Layer
    channels : int
        Channels of the image.
    shapes : dict
        Layer name → shape of its filters, kh×kw×C×K.

    Raises
    ------
    InputError
        In one sentence, for the first layer that does not fit.
    """
    depth = {INPUT: channels}
    for layer in table:
        if layer.kind not in KINDS:
            raise InputError(f"layer {layer.name} is of the unknown kind {layer.kind!r}")
        if layer.name in depth:
            raise InputError(f"two layers have the name {layer.name}")
        unknown = [name for name in layer.inputs if name not in depth]
        if unknown or not layer.inputs:
            raise InputError(f"layer {layer.name} takes its input from {unknown or 'nowhere'}, which is not before it")
        incoming = sum(depth[name] for name in layer.inputs)
        if layer.kind == "conv":
            if layer.name not in shapes:
                raise InputError(f"the weights of layer {layer.name} are missing")
            if len(shapes[layer.name]) != 4:
                raise InputError(f"the filters of layer {layer.name} have {len(shapes[layer.name])} axes instead of 4")
            kh, kw, cin, cout = shapes[layer.name]
            groups = incoming // cin if cin and incoming % cin == 0 else 0
            if (kh, kw, cout) != (*layer.size, layer.channels) or not groups or cout % groups:
                raise InputError(
                    f"the filters of layer {layer.name} have shape {kh}×{kw}×{cin}×{cout} where "
                    f"{layer.size[0]}×{layer.size[1]}×{incoming}×{layer.channels} was expected"
                    " (height × width × input channels × filters): are the axes transposed?"
                )
            incoming = cout
        depth[layer.name] = incoming
    strangers = sorted(set(shapes) - set(depth))
    if strangers:
        raise InputError(f"the weights hold layers that the network does not have: {', '.join(strangers)}")


def table_to_dicts(table: tuple[Layer, ...]) -> list[dict[str, Any]]:
    """Return a table as JSON-ready dictionaries."""
    return [asdict(layer) for layer in table]


def table_from_dicts(rows: Any) -> tuple[Layer, ...]:
    """Return the table that `table_to_dicts` wrote.

    Raises
    ------
    InputError
        If a row does not describe a layer.
    """
    known = {field.name for field in fields(Layer)}
    table = []
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or not {"name", "kind", "inputs"} <= set(row) <= known:
            raise InputError(f"the network's layer table has a row that is not a layer: {row!r}")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        table.append(Layer(**values))
    return tuple(table)
