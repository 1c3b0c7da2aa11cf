"""``vl_simplenn_display``: sizes, receptive fields and memory of a chain of layers, without computing it.

Receptive fields.  Along one axis let output p of a layer depend on the inputs around a·p + c, e to the left and right
taken together (a window of k = e + 1):

* convolution and pool with stride s and `before` pixels of padding: a = s, e = dilate·(k − 1), c = e/2 − before;
* transposed convolution: input i writes outputs u·i − before … u·i − before + k − 1, so the inputs that reach p lie
  between (p + before − k + 1)/u and (p + before)/u: a = 1/u, e = (k − 1)/u, c = before/u − e/2;
* all others: a = 1, e = c = 0.

Put one after the other, with J_l = a₁ ⋯ a_{l−1} the distance of a layer's inputs in pixels of the image,

    size = 1 + Σ_l J_l e_l,      offset = 1 + Σ_l J_l c_l,      stride = J_L a_L

The offset is the centre of the first output's field, counted from 1 as in MATLAB.

Source: MatConvNet's manual (Vedaldi and Lenc 2015, section 5.3 to 5.6), and the columns of its ``vl_simplenn_display``,
which ignores dilation and takes a transposed convolution for a layer that keeps the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet
from vggnumpy.matconvnet.arrays import four_axes
from vggnumpy.matconvnet.tidy import Net, vl_simplenn_tidy
from vggnumpy.ops.geometry import four_sides, pair

Numbers = tuple[float, ...]
_TYPES = {"lrn": "norm", "softmax": "softmx", "softmaxloss": "softmxl"}
_COLUMNS = tuple(
    "layer|type|name|support|filt dim|num filts|stride|pad|rf size|rf offset|rf stride|"
    "data size|data depth|data num|data mem|param mem".split("|")
)


@dataclass(frozen=True)
class LayerInfo:
    """What `simplenn_info` says of one layer; pairs are (vertical, horizontal).

    Attributes
    ----------
    name, type : str
    support : pair
        Size of the window, between its first and last pixel if it is dilated.
    filters : (int, int) or None
        Depth and number of the filters, of a convolution.
    stride : pair
        1/upsample for a transposed convolution.
    pad : (top, bottom, left, right)
        Of a transposed convolution, what is cropped.
    rf_size, rf_offset, rf_stride : pair
        Receptive field: its size, the centre of the first one (from 1), and the distance between neighbours, in pixels
        of the image.
    data_size : (height, width, depth, number)
        Of the output; NaN where it is not known.
    data_bytes : float
        Memory of the output.
    parameters, parameter_bytes : int
        Numbers in the layer's weights, and their memory.
    """

    name: str
    type: str
    support: Numbers
    filters: tuple[int, int] | None
    stride: Numbers
    pad: tuple[int, ...]
    rf_size: Numbers
    rf_offset: Numbers
    rf_stride: Numbers
    data_size: Numbers
    data_bytes: float
    parameters: int
    parameter_bytes: int


@dataclass(frozen=True)
class _Geometry:
    """One layer's own numbers, each a pair; see the module."""

    support: Numbers
    stride: Numbers
    extent: Numbers
    shift: Numbers
    pad: tuple[int, ...]


def simplenn_info(net: Net, inputSize: Sequence[int] | None = None, batchSize: int = 1) -> list[LayerInfo]:
    """Return sizes, receptive fields and memory of every layer; the first entry is the input.

    Parameters
    ----------
    net : SimpleNet, Network or dict
        As `vl_simplenn_tidy` takes it.
    inputSize : (height, width) or (height, width, channels), optional
        By default the file's ``meta["normalization"]["imageSize"]``; without that, sizes are NaN.
    batchSize : int
        Number of images.

    Raises
    ------
    InputError
        If the input size is not two or three positive numbers, or the input too small for a layer.
    """
    chain = vl_simplenn_tidy(net)
    weights = [array for layer in chain.layers for array in layer["weights"] if array is not None]
    itemsize = weights[0].dtype.itemsize if weights else 4
    size = _input_size(chain, inputSize, batchSize)
    ones = (1.0, 1.0)
    infos = [
        LayerInfo("", "input", ones, None, ones, (0,) * 4, ones, ones, ones, size, math.prod(size) * itemsize, 0, 0)
    ]
    for number, layer in enumerate(chain.layers, start=1):
        last, geometry = infos[-1], _geometry(layer)
        size = _output_size(layer, geometry, last.data_size)
        if any(side < 1 for side in size):
            raise InputError(f"the input is too small for layer {number} ({layer['name']}): nothing is left there")
        arrays = [array for array in layer["weights"] if array is not None]
        f = four_axes(arrays[0], "filters").shape if layer["type"] in ("conv", "convt") and arrays else None
        infos.append(
            LayerInfo(
                layer["name"],
                layer["type"] if layer["type"] != "pool" else {"avg": "apool"}.get(layer["method"], "mpool"),
                geometry.support,
                None if f is None else (f[2], f[3]),
                geometry.stride,
                geometry.pad,
                _step(last.rf_size, last.rf_stride, geometry.extent),
                _step(last.rf_offset, last.rf_stride, geometry.shift),
                tuple(j * a for j, a in zip(last.rf_stride, geometry.stride, strict=True)),
                size,
                math.prod(size) * itemsize,
                sum(array.size for array in arrays),
                sum(array.size * array.dtype.itemsize for array in arrays),
            )
        )
    return infos


def vl_simplenn_display(net: Net, inputSize: Sequence[int] | None = None, batchSize: int = 1) -> str:
    """Print a table of a network's layers: sizes, receptive fields and memory; and return it.

    Parameters
    ----------
    net, inputSize, batchSize
        As for `simplenn_info`, which returns the same as numbers.

    Returns
    -------
    str
        One line for each layer with MatConvNet's columns, and two of totals.  Memory is that of the weights' dtype.

    Raises
    ------
    InputError
        As `simplenn_info`.
    """
    infos = simplenn_info(net, inputSize, batchSize)
    rows = [_COLUMNS, *(_row(number, info) for number, info in enumerate(infos))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    count, memory = sum(info.parameters for info in infos), sum(info.parameter_bytes for info in infos)
    lines.append(f"parameter memory: {_memory(memory)} ({count:,} parameters)")
    lines.append(f"data memory: {_memory(sum(info.data_bytes for info in infos))} (for batch size {batchSize})")
    text = "\n".join(lines)
    print(text)
    return text


def _input_size(net: SimpleNet, given: Sequence[int] | None, batch: int) -> Numbers:
    sides = given if given is not None else net.meta.get("normalization", {}).get("imageSize")
    if sides is None:
        return (math.nan, math.nan, math.nan, batch)
    if len(sides) not in (2, 3) or not all(side >= 1 for side in sides):
        raise InputError(f"inputSize must be height, width and maybe channels, got {tuple(sides)!r}")
    filters = [layer["weights"][0] for layer in net.layers if layer["type"] == "conv" and layer["weights"]]
    depth = sides[2] if len(sides) == 3 else four_axes(filters[0], "filters").shape[2] if filters else math.nan
    return (*sides[:2], depth, batch)


def _geometry(layer: dict[str, Any]) -> _Geometry:
    none, ones = (0.0, 0.0), (1.0, 1.0)
    match layer["type"]:
        case "conv" | "pool":
            if layer["type"] == "pool":
                window, spread = pair(layer["pool"], "pool"), (1, 1)
            else:
                f, spread = layer["weights"][0], pair(layer["dilate"], "dilate")
                window = (1, 1) if f is None else four_axes(f, "filters").shape[:2]
            pad, stride = four_sides(layer["pad"]), pair(layer["stride"], "stride")
            extent = tuple(float(d * (k - 1)) for k, d in zip(window, spread, strict=True))
            shift = (extent[0] / 2 - pad.top, extent[1] / 2 - pad.left)
            return _Geometry(tuple(e + 1 for e in extent), stride, extent, shift, pad)
        case "convt":
            window = four_axes(layer["weights"][0], "filters").shape[:2]
            crop, up = four_sides(layer["crop"], "crop"), pair(layer["upsample"], "upsample")
            extent = tuple((k - 1) / u for k, u in zip(window, up, strict=True))
            shift = (crop.top / up[0] - extent[0] / 2, crop.left / up[1] - extent[1] / 2)
            return _Geometry(window, (1 / up[0], 1 / up[1]), extent, shift, crop)
    return _Geometry(ones, ones, none, none, (0,) * 4)


def _output_size(layer: dict[str, Any], geometry: _Geometry, size: Numbers) -> Numbers:
    height, width, depth, number = size
    top, bottom, left, right = geometry.pad
    f = None if not layer["weights"] or layer["weights"][0] is None else layer["weights"][0]
    match layer["type"]:
        case "conv" | "pool":
            height = (height + top + bottom - geometry.support[0]) // geometry.stride[0] + 1
            width = (width + left + right - geometry.support[1]) // geometry.stride[1] + 1
            if layer["type"] == "conv" and f is not None:
                depth = four_axes(f, "filters").shape[3]
        case "convt":
            up = pair(layer["upsample"], "upsample")
            height = up[0] * (height - 1) + geometry.support[0] - top - bottom
            width = up[1] * (width - 1) + geometry.support[1] - left - right
            depth = four_axes(f, "filters").shape[2] * layer["numGroups"]
        case "softmaxloss":
            return (1, 1, 1, 1)
        case "custom":
            return (math.nan,) * 3 + (number,)
    return height, width, depth, number


def _step(total: Numbers, jump: Numbers, own: Numbers) -> Numbers:
    return tuple(t + j * o for t, j, o in zip(total, jump, own, strict=True))


def _row(number: int, info: LayerInfo) -> tuple[str, ...]:
    first = (str(number), _TYPES.get(info.type, info.type), info.name)
    height, width, depth, count = info.data_size
    filters = ("n/a", "n/a") if info.filters is None else tuple(str(count) for count in info.filters)
    fields = (info.stride, info.pad, info.rf_size, info.rf_offset, info.rf_stride)
    middle = (_dims(info.support), *filters, *map(_dims, fields)) if number else ("n/a",) * 8
    memory = (_memory(info.data_bytes), _memory(info.parameter_bytes) if number else "n/a")
    return (*first, *middle, _dims((height, width)), _number(depth), _number(count), *memory)


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4g}" if value != int(value) else str(int(value))


def _dims(values: Sequence[float]) -> str:
    """Return one number if all are the same, else all with × between them."""
    texts = [_number(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def _memory(size: float) -> str:
    if math.isnan(size):
        return "NaN"
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.0f}GB"
