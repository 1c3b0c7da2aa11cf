"""Layers and arrays out of Caffe's ``.caffemodel`` files, without Caffe and without protobuf's library.

A ``.caffemodel`` is one protobuf message, NetParameter, in the wire format of `vggnumpy.formats.protobuf`.  The
messages and their fields' numbers, out of Caffe's caffe.proto:

* NetParameter: layers (V1) 2, layer 100
* LayerParameter: name 1, type 2 (text), bottom 3, top 4, blobs 7; concat_param 104, convolution 106, dropout 108,
  inner_product 117, lrn 118, pooling 121, relu 123, softmax 125, batch_norm 139, scale 142
* V1LayerParameter (2014): layer (V0) 1, bottom 2, top 3, name 4, type 5 (a number, `_V1_TYPES`), blobs 6;
  concat_param 9, convolution 10, dropout 12, inner_product 17, lrn 18, pooling 19, relu 30, softmax 39
* V0LayerParameter (2013): name 1, type 2 (text), blobs 50, and all parameters side by side (`_V0_TYPES`)
* BlobProto: num 1, channels 2, height 3, width 4, data 5 (float), diff 6, shape 7, double_data 8; BlobShape: dim 1
* the parameters' own fields stand in the functions below
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from vggnumpy.files import PathLike
from vggnumpy.formats.protobuf import (
    Message,
    Value,
    Wire,
    choice,
    floating,
    integer,
    integers,
    numbers,
    pair,
    text,
    texts,
)
from vggnumpy.formats.reading import MAX_DIMENSIONS, RefusedError, is_count, mapped, quote

_WORDS = "a Caffe network (.caffemodel)"


class CaffeLayer(NamedTuple):
    """A layer of a Caffe network.

    Attributes
    ----------
    name : str
    type : str
        As in current files, such as ``"Convolution"``; older ones are translated.
    bottoms, tops : tuple of str
        Names of the blobs that it reads and writes; equal where it works in place.
    params : dict
        What the type needs, defaults filled in; pairs are (height, width).  Convolution, Deconvolution:
        ``num_output``, ``bias_term``, ``kernel_size``, ``stride``, ``pad``, ``dilation``, ``group``.  Pooling:
        ``method`` (max, ave, stochastic), ``kernel_size``, ``stride``, ``pad``, ``global_pooling``, ``rounding``
        (ceil, floor).  LRN: ``local_size``, ``alpha``, ``beta``, ``k``, ``region`` (across_channels,
        within_channel).  InnerProduct: ``num_output``, ``bias_term``, ``transpose`` (its weights are then I×O).
        Dropout: ``dropout_ratio``.  ReLU: ``negative_slope``.  Concat, Softmax, SoftmaxWithLoss: ``axis``.
        BatchNorm: ``eps``.  Scale: ``axis``, ``bias_term``.  Other types: nothing.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: dict[str, Any]


class CaffeModel(NamedTuple):
    """The content of a ``.caffemodel``.

    Attributes
    ----------
    arrays : dict of str to ndarray
        A layer's blobs as ``LAYER.weight``, ``LAYER.bias``, ``LAYER.2``, …, bit for bit, float32 or float64, in
        C order.  Convolution weights are O×(I/group)×H×W, inner products O×I with the inputs in C, H, W order.
        Old files store four sizes for everything: biases (1, 1, 1, O) become (O,), inner products O×I.
    layers : list of CaffeLayer
        In the file's order.
    """

    arrays: dict[str, NDArray[Any]]
    layers: list[CaffeLayer]


def read_caffemodel(path: PathLike) -> CaffeModel:
    """Read a network that Caffe saved, in the current schema or one of the two older ones.

    Raises
    ------
    InputError
        If the file is missing, no ``.caffemodel``, damaged or cut short: a length or count that does not fit the
        bytes, a blob with more or fewer numbers than its shape says, two layers of one name with blobs.
    """
    with mapped(path, _WORDS) as data:
        wire = Wire()
        net = wire.message(data)
        sources = [_v1_layer(wire, value) for value in net.get(2, [])]
        sources += [_layer(wire, value) for value in net.get(100, [])]
        if not sources:
            raise RefusedError(f"expected {_WORDS}, found something without layers")
        arrays: dict[str, NDArray[Any]] = {}
        for layer, blobs in sources:
            for i, blob in enumerate(blobs):
                name = f"{layer.name}.{('weight', 'bias', str(i))[min(i, 2)]}"
                if name in arrays:
                    raise RefusedError(f"two of its layers are named {quote(layer.name)}, and both have numbers")
                filters = i == 0 and layer.type in ("Convolution", "Deconvolution")
                arrays[name] = _array(wire, name, blob, squeeze=0 if filters else 2 if i == 0 else 3)
        return CaffeModel(arrays, [layer for layer, _ in sources])


# Blobs


def _array(wire: Wire, name: str, blob: Value, squeeze: int) -> NDArray[Any]:
    """Return a blob's numbers in its shape, less up to `squeeze` leading ones of the four sizes of an old blob."""
    message = wire.message(blob)
    if message.get(7):
        shape = integers(wire.message(message[7][-1]), 1)
    else:
        shape = [[0, *integers(message, number)][-1] for number in (1, 2, 3, 4)]
    if len(shape) > MAX_DIMENSIONS or not all(map(is_count, shape)):
        raise RefusedError(f"{quote(name)} has the shape {shape[:9]}, which is absurd; the file is damaged")
    if len(shape) == 4 and shape[:squeeze] == [1] * squeeze:
        shape = shape[squeeze:]
    array = numbers(message, 8, "<f8") if message.get(8) else numbers(message, 5, "<f4")
    if array.size != math.prod(shape):
        raise RefusedError(
            f"{quote(name)} has {array.size} numbers and the shape {tuple(shape)}, which needs {math.prod(shape)}; "
            "the file is damaged"
        )
    return array.reshape(shape)


# Parameters


def _convolution(p: Message) -> dict[str, Any]:
    return {
        "num_output": integer(p, 1, 0),
        "bias_term": integer(p, 2, 1) != 0,
        "kernel_size": pair(p, 4, 11, 12, 0),
        "stride": pair(p, 6, 13, 14, 1),
        "pad": pair(p, 3, 9, 10, 0),
        "dilation": pair(p, 18, -1, -1, 1),
        "group": integer(p, 5, 1),
    }


def _pooling(p: Message) -> dict[str, Any]:
    return {
        "method": choice(p, 1, ("max", "ave", "stochastic")),
        "kernel_size": pair(p, 2, 5, 6, 0),
        "stride": pair(p, 3, 7, 8, 1),
        "pad": pair(p, 4, 9, 10, 0),
        "global_pooling": integer(p, 12, 0) != 0,
        "rounding": choice(p, 13, ("ceil", "floor")),
    }


def _lrn(p: Message) -> dict[str, Any]:
    return {
        "local_size": integer(p, 1, 5),
        "alpha": floating(p, 2, 1.0),
        "beta": floating(p, 3, 0.75),
        "k": floating(p, 5, 1.0),
        "region": choice(p, 4, ("across_channels", "within_channel")),
    }


def _inner_product(p: Message) -> dict[str, Any]:
    return {
        "num_output": integer(p, 1, 0),
        "bias_term": integer(p, 2, 1) != 0,
        "transpose": integer(p, 6, 0) != 0,
    }


def _softmax(p: Message) -> dict[str, Any]:
    return {"axis": integer(p, 2, 1)}


# Type → the number of its parameters in LayerParameter, in V1LayerParameter (0: none), and what they say.
_PARAMS: dict[str, tuple[int, int, Callable[[Message], dict[str, Any]]]] = {
    "Convolution": (106, 10, _convolution),
    "Deconvolution": (106, 10, _convolution),
    "Pooling": (121, 19, _pooling),
    "LRN": (118, 18, _lrn),
    "InnerProduct": (117, 17, _inner_product),
    "Dropout": (108, 12, lambda p: {"dropout_ratio": floating(p, 1, 0.5)}),
    "ReLU": (123, 30, lambda p: {"negative_slope": floating(p, 1, 0.0)}),
    "Concat": (104, 9, lambda p: {"axis": integer(p, 2, integer(p, 1, 1))}),
    "Softmax": (125, 39, _softmax),
    "SoftmaxWithLoss": (125, 39, _softmax),
    "BatchNorm": (139, 0, lambda p: {"eps": floating(p, 3, 1e-5)}),
    "Scale": (142, 0, lambda p: {"axis": integer(p, 1, 1), "bias_term": integer(p, 4, 0) != 0}),
}
# The numbers 0 to 39 of V1LayerParameter.LayerType, under the names that replaced them.
_V1_TYPES = (
    " Accuracy BNLL Concat Convolution Data Dropout EuclideanLoss Flatten HDF5Data HDF5Output Im2col ImageData "
    "InfogainLoss InnerProduct LRN MultinomialLogisticLoss Pooling ReLU Sigmoid Softmax SoftmaxWithLoss Split TanH "
    "WindowData Eltwise Power SigmoidCrossEntropyLoss HingeLoss MemoryData ArgMax Threshold DummyData Slice MVN AbsVal "
    "Silence ContrastiveLoss Exp Deconvolution"
).split(" ")
# Type of 2013 → what replaced it, and the replacement's parameters: its field → field of V0LayerParameter.
_V0_TYPES: dict[str, tuple[str, dict[int, int]]] = {
    "conv": ("Convolution", {1: 3, 2: 4, 3: 7, 4: 8, 5: 9, 6: 10}),
    "pool": ("Pooling", {1: 11, 2: 8, 3: 10, 4: 7}),
    "lrn": ("LRN", {1: 13, 2: 14, 3: 15, 5: 22}),
    "innerproduct": ("InnerProduct", {1: 3, 2: 4}),
    "dropout": ("Dropout", {1: 12}),
    "relu": ("ReLU", {}),
    "concat": ("Concat", {1: 65}),
    "softmax": ("Softmax", {}),
    "softmax_loss": ("SoftmaxWithLoss", {}),
}


def _layer(wire: Wire, value: Value) -> tuple[CaffeLayer, list[Value]]:
    """Return a layer of the current schema, and its blobs."""
    message = wire.message(value)
    kind = text(message, 2)
    number, _, parse = _PARAMS.get(kind, (0, 0, lambda _: {}))
    params = parse(wire.message(message.get(number, [memoryview(b"")])[-1]))
    return CaffeLayer(text(message, 1), kind, texts(message, 3), texts(message, 4), params), message.get(7, [])


def _v1_layer(wire: Wire, value: Value) -> tuple[CaffeLayer, list[Value]]:
    """Return a layer of 2014's schema or, nested in it, 2013's; and its blobs."""
    message = wire.message(value)
    bottoms, tops = texts(message, 2), texts(message, 3)
    if message.get(1):
        old = wire.message(message[1][-1])
        kind, fields = _V0_TYPES.get(text(old, 2), (text(old, 2), {}))
        parameters = {new: old[number] for new, number in fields.items() if number in old}
        params = _PARAMS[kind][2](parameters) if kind in _PARAMS else {}
        return CaffeLayer(text(old, 1), kind, bottoms, tops, params), old.get(50, [])
    kind = choice(message, 5, tuple(_V1_TYPES))
    _, number, parse = _PARAMS.get(kind, (0, 0, lambda _: {}))
    params = parse(wire.message(message.get(number, [memoryview(b"")])[-1]))
    return CaffeLayer(text(message, 4), kind, bottoms, tops, params), message.get(6, [])
