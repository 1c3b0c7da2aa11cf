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
KINDS = ("conv", "convt", "relu", "prelu", "pool", "lrn", "bnorm", "softmax", "dropout", "concat")
# Kind of layer → the parts that its weights have.  The first one's shape decides the others' (see `part_shapes`).
PARTS = {
    "conv": ("weight", "bias"),
    "convt": ("weight", "bias"),
    "prelu": ("weight",),
    "bnorm": ("weight", "bias", "moments"),
}


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes
    ----------
    name : str
        Such as ``"conv1_1"``, ``"relu1_1"``, ``"pool1"``.
    kind : str
        The operator, one of `KINDS`: `conv`, `conv_transpose` ("convt"), `relu`, `prelu`, `max_pool` or `avg_pool`
        ("pool"), `lrn`, `batch_norm` ("bnorm", with fixed moments), `softmax`, `concat`, or ``"dropout"``, which
        does nothing outside training.
    inputs : tuple of str
        Names of the layers whose outputs it takes; ``"input"`` is the preprocessed image.
    size : (int, int)
        Height and width of the filters (conv, convt) or the window (pool); (0, 0) is a pool over the whole map.
    channels : int
        Number of output channels (conv, convt), else 0.
    stride, dilate : (int, int)
        As the operator takes them; the stride of a transposed convolution is its upsampling.
    pad : (top, bottom, left, right)
        As the operator takes them; of a transposed convolution what is cropped.
    method : {"max", "average"}
        What a pool computes.
    rounding : {"floor", "ceil"}
        Whether a pool drops or keeps an incomplete last window.
    pad_mode : str
        What the padding of a conv holds; empty means the network's own mode.
    groups : int
        Groups of channels that are convolved apart.  Of a convolution 1 leaves it to the filters, which tell by their
        own input channels.
    leak : float
        Slope of a rectifier for negative entries.
    lrn : (int, float, float, float)
        Window, κ, α and β of a local response normalisation.
    rate : float
        Share of the entries that a dropout drops in training.
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
    groups: int = 1
    leak: float = 0.0
    lrn: tuple[int, float, float, float] = (5, 1.0, 2e-5, 0.75)
    rate: float = 0.5
    numbered: bool = True


def conv(name: str, channels: int, size: int = 3, pad: int = 1, inputs: tuple[str, ...] = (), **more: Any) -> Layer:
    """Return a convolution of `size`×`size` filters; without inputs, `chain` fills them in."""
    return Layer(name, "conv", inputs, (size, size), channels, pad=(pad,) * 4, **more)


def relu(name: str, inputs: tuple[str, ...] = (), **more: Any) -> Layer:
    """Return a rectifier; without inputs, `chain` fills them in."""
    return Layer(name, "relu", inputs, **more)


def fully_connected(name: str, channels: int, size: int = 1, inputs: tuple[str, ...] = ()) -> Layer:
    """Return a fully connected layer: a convolution without padding whose filters see `size`×`size` positions."""
    return conv(name, channels, size, 0, inputs)


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
    owners = [layer.name for layer in table if layer.kind in PARTS]
    known = {"conv0", *owners, *(f"{name}_aux" for name in owners)}
    strangers = sorted(set(shapes) - known)
    if strangers:
        raise InputError(f"the weights hold layers that the architecture does not have: {', '.join(strangers)}")
    present = [name for name in owners if name in shapes]
    if not present:
        raise InputError(f"the weights hold none of the architecture's layers {owners[0]} … {owners[-1]}")
    missing = [name for name in owners[: owners.index(present[-1])] if name not in shapes]
    if missing:
        raise InputError(f"the weights lack the layer {', '.join(missing)} although {present[-1]} is there")
    names = [layer.name for layer in table]
    # A part ends with its last convolution's rectifier; the whole keeps what is at its end.
    last = len(table) if present[-1] == owners[-1] else names.index(present[-1]) + 2
    layers: list[Layer] = []
    if "conv0" in shapes:
        layers.append(conv("conv0", shapes["conv0"][3], size=1, pad=0, inputs=(INPUT,), numbered=False))
    for layer in table[:last]:
        if "conv0" in shapes:
            layer = replace(layer, inputs=tuple("conv0" if name == INPUT else name for name in layer.inputs))
        layers.append(_fit_layer(layer, shapes[layer.name]) if layer.kind == "conv" else layer)
    for name in present:
        if f"{name}_aux" in shapes:
            after = next(layer.name for layer in layers if layer.inputs == (name,))
            width = shapes[f"{name}_aux"][3]
            layers.append(conv(f"{name}_aux", width, size=1, pad=0, inputs=(after,), numbered=False))
            layers.append(relu(f"{after}_aux", inputs=(f"{name}_aux",), numbered=False))
    return tuple(layers)


def _fit_layer(layer: Layer, shape: tuple[int, ...]) -> Layer:
    """Give a convolution the width of its filters; without padding (fully connected) their size as well."""
    return replace(layer, channels=shape[3], size=layer.size if any(layer.pad) else (shape[0], shape[1]))


def check_table(table: tuple[Layer, ...], channels: int, shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that a table can be computed and that every layer's weights fit it.

    Parameters
    ----------
    table : tuple of Layer
    channels : int
        Channels of the image.
    shapes : dict
        Layer name → shape of the first part of its weights: filters, slopes, gains (see `PARTS`).

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
        if layer.kind in PARTS and layer.name not in shapes:
            raise InputError(f"the weights of layer {layer.name} are missing")
        if layer.kind in ("conv", "convt"):
            _check_filters(layer, incoming, shapes[layer.name])
            incoming = layer.channels
        elif layer.kind in PARTS and shapes[layer.name] != (incoming,):
            raise InputError(
                f"layer {layer.name} has weights of shape {shapes[layer.name]} where {incoming} were expected, one for "
                "each channel"
            )
        depth[layer.name] = incoming
    strangers = sorted(set(shapes) - {layer.name for layer in table if layer.kind in PARTS})
    if strangers:
        raise InputError(f"the weights hold layers that the network does not have: {', '.join(strangers)}")


def _check_filters(layer: Layer, incoming: int, shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
        raise InputError(f"the filters of layer {layer.name} have {len(shape)} axes instead of 4")
    kh, kw, cin, cout = shape
    if layer.kind == "conv":
        expected = f"{layer.size[0]}×{layer.size[1]}×{incoming // layer.groups}×{layer.channels}"
        order = "height × width × input channels × filters"
        groups = incoming // cin if cin and incoming % cin == 0 else 0
        fits = (kh, kw, cout) == (*layer.size, layer.channels) and groups and cout % groups == 0
        fits = fits and layer.groups in (1, groups)
    else:
        expected = f"{layer.size[0]}×{layer.size[1]}×{layer.channels // layer.groups}×{incoming}"
        order = "height × width × output channels of a group × input channels"
        fits = (kh, kw, cin * layer.groups, cout) == (*layer.size, layer.channels, incoming)
        fits = fits and incoming % layer.groups == 0
    if not fits:
        raise InputError(
            f"the filters of layer {layer.name} have shape {kh}×{kw}×{cin}×{cout} where {expected} was expected"
            f" ({order}): are the axes transposed?"
        )


def part_shapes(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of all parts of a layer's weights, given the first one's, in the order of `PARTS`."""
    if layer.kind in ("conv", "convt"):
        return shape, (layer.channels,)
    return (shape, shape, (*shape, 2)) if layer.kind == "bnorm" else (shape,)


def check_parts(layer: Layer, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Check that the parts of a layer's weights fit together.

    Raises
    ------
    InputError
        If one is missing or too many, or its shape is not what the first one's asks for.
    """
    names = PARTS.get(layer.kind, ())
    if len(shapes) != len(names):
        raise InputError(f"layer {layer.name} has {len(shapes)} arrays of weights; expected {' and '.join(names) or 0}")
    for name, shape, expected in zip(names, shapes, part_shapes(layer, shapes[0]) if shapes else (), strict=True):
        if shape != expected:
            raise InputError(f"the {name} of layer {layer.name} has shape {shape}, expected {expected}")


def table_to_dicts(table: tuple[Layer, ...]) -> list[dict[str, Any]]:
    """Return a table as JSON-ready dictionaries; what is as usual is left out."""
    usual = asdict(Layer("", "", ()))
    return [{key: value for key, value in asdict(layer).items() if value != usual[key]} for layer in table]


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
