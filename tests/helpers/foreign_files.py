"""The miniature VGG-19 as other programs would save it: Caffe, safetensors, Keras, Torch7 and PyTorch."""

import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch_pickles
from mini_networks import mini_vgg19

Arrays = dict[str, np.ndarray]


def oihw() -> Arrays:
    """Return ``LAYER.weight`` (O×I×H×W) and ``LAYER.bias`` of the miniature VGG-19."""
    arrays = {}
    for name, (w, b) in mini_vgg19().items():
        arrays[f"{name}.weight"] = np.ascontiguousarray(w.transpose(3, 2, 0, 1))
        arrays[f"{name}.bias"] = b
    return arrays


def with_matrices(arrays: Arrays) -> Arrays:
    """Flatten the classifier's filters to O×(C·H·W), as PyTorch and Caffe keep them."""
    return {
        name: array.reshape(len(array), -1) if name.startswith("fc") and array.ndim == 4 else array
        for name, array in arrays.items()
    }


def bgr(arrays: Arrays) -> Arrays:
    """Reverse the first filters' channels."""
    return {name: array[:, ::-1] if name == "conv1_1.weight" else array for name, array in arrays.items()}


def same_arrays(found: Arrays, expected: Arrays) -> None:
    """Assert names in their order, types, shapes and every bit."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        torch_pickles.same(found[name], np.asarray(array, order="C"))


# Protobuf, field by field


def varint(number: int) -> bytes:
    number %= 2**64
    parts = []
    while number >= 0x80:
        parts.append(number % 0x80 + 0x80)
        number //= 0x80
    return bytes([*parts, number])


def number_field(field: int, number: int) -> bytes:
    return varint(field * 8) + varint(number)


def bytes_field(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field * 8 + 2) + varint(len(data)) + data


def float_field(field: int, number: float) -> bytes:
    return varint(field * 8 + 5) + struct.pack("<f", number)


def blob(array: np.ndarray, sizes: bool = False, packed: bool = True, chunks: int = 1) -> bytes:
    """Return a BlobProto: with a BlobShape or the four old `sizes`; numbers packed in one or more chunks, or not."""
    if sizes:
        shape = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(number_field(i, size) for i, size in enumerate(shape, start=1))
    else:
        head = bytes_field(7, bytes_field(1, b"".join(varint(size) for size in array.shape)))
    number, kind = (8, 1) if array.dtype == np.float64 else (5, 5)
    flat = array.astype(array.dtype.newbyteorder("<")).ravel()
    if packed:
        return head + b"".join(bytes_field(number, part.tobytes()) for part in np.array_split(flat, chunks))
    return head + b"".join(varint(number * 8 + kind) + item.tobytes() for item in flat)


def vgg_order() -> list[str]:
    """Return the names of the layers in a VGG-19's order, activations and pools included."""
    names: list[str] = []
    layers = list(mini_vgg19())
    for name, after in zip(layers, [*layers[1:], ""], strict=True):
        names.append(name)
        if name != "fc8":
            names.append("relu" + name.removeprefix("conv").removeprefix("fc"))
        if name.startswith("conv") and after[:5] != name[:5]:
            names.append(f"pool{name[4]}")
    return [*names, "prob"]


def caffemodel(path: Path, version: int = 2, **how: Any) -> Path:
    """Write the miniature VGG-19 in Caffe's schema of 2015 (version 2), 2014 (1) or 2013 (0)."""
    arrays = with_matrices(bgr(oihw()))
    kinds = {"conv": 0, "fc": 1, "relu": 2, "pool": 3, "prob": 4}
    layers, bottom = [], "data"
    for name in vgg_order():
        kind = kinds[name.rstrip("0123456789_")]
        top = bottom if kind == 2 else name
        blobs = [blob(arrays[f"{name}.{part}"], sizes=version < 2, **how) for part in ("weight", "bias") if kind < 2]
        count = len(arrays[f"{name}.bias"]) if kind < 2 else 0
        write = {0: _v0_layer, 1: _v1_layer, 2: _layer}[version]
        layers.append(write(name, kind, bottom, top, count, blobs))
        bottom = top
    path.write_bytes(bytes_field(1, "mini") + b"".join(layers))
    return path


def _layer(name: str, kind: int, bottom: str, top: str, count: int, blobs: list[bytes]) -> bytes:
    words = ("Convolution", "InnerProduct", "ReLU", "Pooling", "Softmax")[kind]
    body = bytes_field(1, name) + bytes_field(2, words) + bytes_field(3, bottom) + bytes_field(4, top)
    body += b"".join(bytes_field(7, content) for content in blobs)
    return bytes_field(100, body + _parameters(kind, count, (106, 117, 0, 121, 0)))


def _v1_layer(name: str, kind: int, bottom: str, top: str, count: int, blobs: list[bytes]) -> bytes:
    body = bytes_field(2, bottom) + bytes_field(3, top) + bytes_field(4, name)
    body += number_field(5, (4, 14, 18, 17, 20)[kind])
    body += b"".join(bytes_field(6, content) for content in blobs)
    return bytes_field(2, body + _parameters(kind, count, (10, 17, 0, 19, 0)))


def _parameters(kind: int, count: int, fields: tuple[int, ...]) -> bytes:
    convolution = number_field(1, count) + number_field(3, 1) + number_field(4, 3)
    pooling = number_field(1, 0) + number_field(2, 2) + number_field(3, 2)
    content = (convolution, number_field(1, count), b"", pooling, b"")[kind]
    return bytes_field(fields[kind], content) if content else b""


def _v0_layer(name: str, kind: int, bottom: str, top: str, count: int, blobs: list[bytes]) -> bytes:
    body = bytes_field(1, name) + bytes_field(2, ("conv", "innerproduct", "relu", "pool", "softmax")[kind])
    if kind == 0:
        body += number_field(3, count) + number_field(7, 1) + number_field(8, 3)
    elif kind == 1:
        body += number_field(3, count)
    elif kind == 3:
        body += number_field(8, 2) + number_field(10, 2) + number_field(11, 0)
    body += b"".join(bytes_field(50, content) for content in blobs)
    return bytes_field(2, bytes_field(2, bottom) + bytes_field(3, top) + bytes_field(1, body))


# safetensors


def safetensors(path: Path, arrays: Arrays, **entries: Any) -> Path:
    """Write a .safetensors file; `entries` are put over the header's own."""
    kinds = {"f2": "F16", "f4": "F32", "f8": "F64", "i8": "I64", "u1": "U8", "b1": "BOOL", "i4": "I32"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in arrays.items():
        offsets = [at, at + array.nbytes]
        header[name] = {"dtype": kinds[array.dtype.str[1:]], "shape": list(array.shape), "data_offsets": offsets}
        at += array.nbytes
    for name, fields in entries.items():
        header[name] = {**header.get(name, {}), **fields}
    return raw_safetensors(path, json.dumps(header), b"".join(array.tobytes() for array in arrays.values()))


def raw_safetensors(path: Path, header: str, data: bytes) -> Path:
    text = header.encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


# Keras

KERAS_STYLES = ("2016", "nested", "model")


def keras_arrays() -> Arrays:
    """Return what the file holds: kernels H×W×I×O, the classifier's (H·W·I)×O."""
    arrays = {}
    for name, (w, b) in mini_vgg19().items():
        arrays[f"{name}.weight"] = w.reshape(-1, w.shape[3]) if name.startswith("fc") else w
        arrays[f"{name}.bias"] = b
    first = arrays["conv1_1.weight"]
    arrays["conv1_1.weight"] = first[:, :, ::-1]
    return arrays


def keras(path: Path, style: str) -> Path:
    """Write a Keras file: names of 2016; nested newer ones, listed in texts of free length; these in a whole model."""
    arrays = keras_arrays()
    with h5py.File(path, "w", libver="earliest") as file:
        root = file.create_group("model_weights") if style == "model" else file
        if style == "model":
            file.attrs["model_config"] = b'{"class_name": "Lambda", "config": {"function": ["4wEAAAAAAAAA"]}}'
            file.create_group("optimizer_weights").create_dataset("iterations:0", data=np.int64(7))
        names = vgg_order()
        root.attrs["layer_names"] = _list(names, fixed=style == "2016")
        root.attrs["backend"] = b"tensorflow"
        for layer in names:
            group = root.create_group(layer)
            own = [part for part in ("weight", "bias") if f"{layer}.{part}" in arrays]
            stored = [_keras_name(layer, part, style) for part in own]
            group.attrs["weight_names"] = _list(stored, fixed=style == "2016")
            for part, name in zip(own, stored, strict=True):
                group.create_dataset(name, data=arrays[f"{layer}.{part}"])
    return path


def _keras_name(layer: str, part: str, style: str) -> str:
    if style == "2016":
        return f"{layer}_{part[0].upper() if part == 'weight' else 'b'}_1:0"
    return f"{layer}/{'kernel' if part == 'weight' else 'bias'}:0"


def _list(names: list[str], fixed: bool) -> Any:
    """Return what h5py stores as texts of fixed length, as NumPy's own, or of free length."""
    return np.array([name.encode() for name in names]) if fixed or not names else [name.encode() for name in names]


# Torch7


class T7:
    """Puts objects together as Torch7 writes them, each with an index of its own."""

    def __init__(self) -> None:
        self.index = 0

    def next(self) -> bytes:
        self.index += 1
        return struct.pack("<i", self.index)

    @staticmethod
    def number(value: float) -> bytes:
        return struct.pack("<id", 1, value)

    @staticmethod
    def boolean(value: bool) -> bytes:
        return struct.pack("<ii", 5, value)

    @staticmethod
    def raw(value: str) -> bytes:
        return struct.pack("<i", len(value)) + value.encode("latin-1")

    def text(self, value: str) -> bytes:
        return struct.pack("<i", 2) + self.raw(value)

    def table(self, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
        head, items = self.next(), list(pairs)
        return struct.pack("<i", 3) + head + struct.pack("<i", len(items)) + b"".join(k + v for k, v in items)

    def object(self, name: str, content: bytes, version: bool = True) -> bytes:
        head = self.raw("V 1") if version else b""
        return struct.pack("<i", 4) + self.next() + head + self.raw(name) + content

    def storage(self, array: np.ndarray, kind: str = "Float") -> bytes:
        return self.object(f"torch.{kind}Storage", struct.pack("<q", array.size) + array.tobytes())

    def tensor(self, array: np.ndarray, kind: str = "Float") -> bytes:
        strides = tuple(step // array.itemsize for step in array.strides)
        return self.view(array.shape, strides, 1, self.storage(array, kind), kind)

    def view(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, storage: bytes, kind: str = "Float"
    ) -> bytes:
        axes = len(shape)
        numbers = struct.pack(f"<i{2 * axes + 1}q", axes, *shape, *strides, offset)
        return self.object(f"torch.{kind}Tensor", numbers + storage)

    def module(self, name: str, fields: dict[str, bytes], version: bool = True) -> bytes:
        body = self.table([(self.text(key), value) for key, value in fields.items()])
        return self.object(name, body, version)

    def sequential(self, modules: Iterable[bytes]) -> bytes:
        items = self.table((self.number(i), module) for i, module in enumerate(modules, start=1))
        return self.module("nn.Sequential", {"modules": items, "train": self.boolean(False)})


def t7(path: Path, matrices: bool = True) -> Path:
    """Write the miniature VGG-19, its filters as matrices (SpatialConvolutionMM) or with four axes; blocks nested."""
    made, arrays = T7(), with_matrices(bgr(oihw()))
    blocks: list[list[bytes]] = [[]]
    for name in vgg_order():
        if f"{name}.weight" in arrays:
            blocks[-1].append(_t7_weights(made, name, arrays, matrices))
        elif name.startswith("pool"):
            window = {key: made.number(2) for key in ("kW", "kH", "dW", "dH")}
            blocks[-1].append(made.module("nn.SpatialMaxPooling", window | {"padW": made.number(0)}))
            blocks.append([])
            if name == "pool5":
                blocks[-1].append(made.module("nn.View", {"numElements": made.number(32)}))
        else:
            kind = "nn.SoftMax" if name == "prob" else "nn.ReLU"
            blocks[-1].append(made.module(kind, {"inplace": made.boolean(True)}))
    path.write_bytes(made.sequential([*(made.sequential(block) for block in blocks[:-1]), *blocks[-1]]))
    return path


def _t7_weights(made: T7, name: str, arrays: Arrays, matrices: bool) -> bytes:
    w, b = (np.ascontiguousarray(arrays[f"{name}.{part}"]) for part in ("weight", "bias"))
    if w.ndim == 2:
        return made.module("nn.Linear", {"weight": made.tensor(w), "bias": made.tensor(b)})
    fields = {"nInputPlane": w.shape[1], "nOutputPlane": w.shape[0], "kW": 3, "kH": 3, "dW": 1, "dH": 1}
    body = {key: made.number(value) for key, value in {**fields, "padW": 1, "padH": 1}.items()}
    body["weight"] = made.tensor(w.reshape(len(w), -1) if matrices else w)
    body["gradWeight"] = made.tensor(np.zeros(0, np.float32))
    kind = "nn.SpatialConvolutionMM" if matrices else "nn.SpatialConvolution"
    return made.module(kind, body | {"bias": made.tensor(b)})


# PyTorch


def pth(path: Path, container: str) -> Path:
    """Write a state dict of the miniature VGG-19, names as in Caffe, in either container."""
    legacy = container == "legacy"
    tensors, data = {}, {}
    for i, (name, array) in enumerate(with_matrices(oihw()).items()):
        held = torch_pickles.storage(str(i), "FloatStorage", array.size, legacy=legacy)
        strides = tuple(step // 4 for step in array.strides)
        tensors[name] = torch_pickles.tensor(held, 0, array.shape, strides)
        data[str(i)] = array.tobytes()
    body = torch_pickles.dict_of(**tensors)
    if legacy:
        return torch_pickles.legacy_file(path, body, {key: (len(raw) // 4, raw) for key, raw in data.items()})
    return torch_pickles.zip_file(path, body, data)


# One file of each kind, by its name.
FILES: dict[str, Callable[[Path], Path]] = {
    "current.caffemodel": caffemodel,
    "v1.caffemodel": lambda path: caffemodel(path, version=1),
    "v0.caffemodel": lambda path: caffemodel(path, version=0),
    "mini.safetensors": lambda path: safetensors(path, oihw()),
    **{f"{style}.h5": lambda path, style=style: keras(path, style) for style in KERAS_STYLES},
    "mini.t7": t7,
    "zip.pth": lambda path: pth(path, "zip"),
    "legacy.pth": lambda path: pth(path, "legacy"),
}
