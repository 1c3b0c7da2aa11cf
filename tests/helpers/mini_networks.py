"""Miniature VGG-19 and VGG-Face with invented numbers, and the `.mat` files that MatConvNet's layouts make of them.

Element k = 0, 1, 2, … (first axis fastest) of array number s is u = ((3k² + 7919k + 104729s) mod 20011)/20011 − ½,
times √(24/fan-in) for filters and 0.2 for biases, in float64, stored as float32.  Convolution i = 1, 2, … has
s = base + 2i for its filters and base + 2i + 1 for its bias; base is 0 for VGG-19 and 1000 for VGG-Face.
Images are 64×64; the blocks have 4, 5, 6, 7, 8 channels, fc6 to fc8 are 2×2×8×9, 1×1×9×10 and 1×1×10×11 (VGG-Face: ×6).

A file's content is written down as plain Python: dict for a struct, `cell` for a cell array, str for text, bool for
a logical, numbers and arrays for double and single.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
Content = dict[str, Any]

SIDE = 64
CHANNELS = (4, 5, 6, 7, 8)
MEAN_VGG19 = (123.68, 116.779, 103.939)
MEAN_FACE = (129.186279296875, 104.76238250732422, 93.59396362304688)
CLASSES_VGG19 = tuple(f"n{i:08d}" for i in range(1, 12))
DESCRIPTIONS_VGG19 = tuple(f"thing {i}, also called {chr(96 + i)}" for i in range(1, 12))
DESCRIPTIONS_FACE = tuple(f"Person_{i}" for i in range(1, 7))


def invented(shape: tuple[int, ...], number: int, scale: float) -> np.ndarray:
    """Return array number `number` of the formula."""
    k = np.arange(np.prod(shape), dtype="float64")
    u = np.mod(3 * k**2 + 7919 * k + 104729 * number, 20011) / 20011 - 0.5
    return (scale * u).reshape(shape, order="F").astype("float32")


def _mini(repeats: Iterable[int], classes: int, base: int) -> Arrays:
    shapes: dict[str, tuple[int, ...]] = {}
    depth = 3
    for block, (count, channels) in enumerate(zip(repeats, CHANNELS, strict=True), start=1):
        for i in range(1, count + 1):
            shapes[f"conv{block}_{i}"] = (3, 3, depth, channels)
            depth = channels
    shapes |= {"fc6": (2, 2, 8, 9), "fc7": (1, 1, 9, 10), "fc8": (1, 1, 10, classes)}
    arrays = {}
    for i, (name, shape) in enumerate(shapes.items(), start=1):
        w = invented(shape, base + 2 * i, np.sqrt(24 / np.prod(shape[:3])))
        arrays[name] = (w, invented(shape[3:], base + 2 * i + 1, 0.2))
    return arrays


def mini_vgg19() -> Arrays:
    """Return layer name → (filters H×W×Cin×Cout, bias of Cout), float32, in the network's order."""
    return _mini((2, 2, 4, 4, 4), classes=11, base=0)


def mini_vgg_face() -> Arrays:
    """Return layer name → (filters H×W×Cin×Cout, bias of Cout), float32, in the network's order."""
    return _mini((2, 2, 3, 3, 3), classes=6, base=1000)


def cell(*items: Any, column: bool = False) -> np.ndarray:
    """Return a 1×N (or N×1) cell array; without items, the 0×0 one."""
    if not items:
        return np.empty((0, 0), object)
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape((-1, 1) if column else (1, -1))


def row(*numbers: float) -> np.ndarray:
    return np.array([numbers], "float64")


Maker = Callable[[str, np.ndarray, np.ndarray], Content]


def _layers(arrays: Arrays, conv: Maker, relu: Content, pool: Content, dropout: bool = False) -> list[Content]:
    """Line up layers in the order of VGG; `relu` and `pool` are all but the name."""
    layers: list[Content] = []
    names = list(arrays)
    for name, after in zip(names, [*names[1:], ""], strict=True):
        layers.append(conv(name, *arrays[name]))
        if name == "fc8":
            break
        layers.append({"name": "relu" + name.removeprefix("conv").removeprefix("fc"), **relu})
        if dropout and name in ("fc6", "fc7"):
            layers.append({"type": "dropout", "name": f"dropout{name[2:]}", "rate": 0.5})
        if name.startswith("conv") and after[:5] != name[:5]:
            layers.append({"name": f"pool{name[4]}", **pool})
    return layers


def _oldest_conv(name: str, w: np.ndarray, b: np.ndarray) -> Content:
    pad = row(*[float(w.shape[0] == 3)] * 4)
    return {"pad": pad, "type": "conv", "name": name, "stride": row(1, 1), "biases": b.reshape(1, -1), "filters": w}


def _middle_conv(name: str, w: np.ndarray, b: np.ndarray) -> Content:
    pad = row(*[float(w.shape[0] == 3)] * 4)
    return {"weights": cell(w, b.reshape(1, -1)), "pad": pad, "type": "conv", "name": name, "stride": row(1, 1)}


def _current_conv(name: str, w: np.ndarray, b: np.ndarray) -> Content:
    pad = row(*[float(w.shape[0] == 3)] * 4)
    head = {"name": name, "type": "conv", "weights": cell(w, b.reshape(-1, 1)), "size": row(*w.shape)}
    return {**head, "pad": pad, "stride": row(1, 1), "precious": False, "dilate": 1.0, "opts": cell()}


def _face_conv(name: str, w: np.ndarray, b: np.ndarray) -> Content:
    weights = cell(w, b.reshape(-1, 1))
    return {"type": "conv", "name": name, "weights": weights, "stride": 1.0, "pad": float(w.shape[0] == 3)}


def _old_vgg19(conv: Maker) -> Content:
    pool = {"stride": row(2, 2), "pad": row(0, 0, 0, 0), "type": "pool", "method": "max", "pool": row(2, 2)}
    return {
        "layers": cell(*_layers(mini_vgg19(), conv, {"type": "relu"}, pool), {"type": "softmax", "name": "prob"}),
        "classes": {"name": cell(*CLASSES_VGG19), "description": cell(*DESCRIPTIONS_VGG19)},
        "normalization": {
            "averageImage": np.broadcast_to(MEAN_VGG19, (SIDE, SIDE, 3)),
            "keepAspect": 1.0,
            "border": row(0, 0),
            "imageSize": row(SIDE, SIDE, 3),
            "interpolation": "bilinear",
        },
    }


def vgg19_filters() -> Content:
    """Return the oldest layout: filters and biases, 1×K; no meta."""
    return _old_vgg19(_oldest_conv)


def vgg19_weights() -> Content:
    """Return the middle layout: weights, biases 1×K; no meta."""
    return _old_vgg19(_middle_conv)


def vgg19_meta() -> Content:
    """Return the current layout: weights, biases K×1, meta, padded pools."""
    relu = {"type": "relu", "leak": 0.0, "weights": cell(), "precious": False}
    pool = {"type": "pool", "method": "max", "pool": row(2, 2), "stride": row(2, 2), "pad": row(0, 1, 0, 1)}
    pool |= {"weights": cell(), "precious": False, "opts": cell()}
    prob = {"name": "prob", "type": "softmax", "weights": cell(), "precious": False}
    return {
        "layers": cell(*_layers(mini_vgg19(), _current_conv, relu, pool), prob),
        "meta": {
            "inputs": {"name": "data", "size": row(SIDE, SIDE, 3, 10)},
            "classes": {"name": cell(*CLASSES_VGG19), "description": cell(*DESCRIPTIONS_VGG19)},
            "normalization": {
                "imageSize": row(SIDE, SIDE, 3, 10),
                "interpolation": "bilinear",
                "averageImage": np.array(MEAN_VGG19).reshape(1, 1, 3),
                "keepAspect": True,
                "border": row(8, 8),
                "cropSize": row(*[SIDE / (SIDE + 8)] * 2),
            },
        },
    }


def _face(dropout: bool) -> tuple[np.ndarray, Content]:
    pool = {"type": "pool", "method": "max", "pool": row(2, 2), "stride": 2.0, "pad": 0.0}
    layers = _layers(mini_vgg_face(), _face_conv, {"type": "relu"}, pool, dropout)
    about = {
        "classes": {"description": cell(*DESCRIPTIONS_FACE, column=True)},
        "normalization": {
            "averageImage": np.array(MEAN_FACE, "float32").reshape(1, 1, 3),
            "imageSize": row(SIDE, SIDE, 3),
            "keepAspect": True,
            "border": row(8, 8),
            "interpolation": "bicubic",
        },
    }
    return cell(*layers, {"type": "softmax", "name": "prob"}), about


def vgg_face_net() -> Content:
    """Return one variable `net`, as Oxford published it: dropout layers, scalar pad and stride."""
    layers, about = _face(dropout=True)
    return {"net": {"layers": layers, **about}}


def vgg_face_meta() -> Content:
    """Return the same network with `meta` and without dropout layers."""
    layers, about = _face(dropout=False)
    return {"layers": layers, "meta": about}


def write_v5(path: Path, content: Content, compress: bool = True) -> Path:
    """Write a MAT file of version 5, or 7 as MATLAB calls it when compressed."""
    scipy.io.savemat(path, content, do_compression=compress, oned_as="row")
    return path


def write_v73(path: Path, content: Content) -> Path:
    """Write a MAT file of version 7.3: HDF5 behind a user block, cells as references, all axes reversed."""
    with h5py.File(path, "w", userblock_size=512, libver="earliest", track_order=False) as file:
        references = file.create_group("#refs#")
        for name, value in content.items():
            _store(file, name, value, references)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sat Jan 01 00:00:00 2000 HDF5 schema 1.00 ."
    with open(path, "r+b") as stream:
        stream.write(header.ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def _store(parent: h5py.Group, name: str, value: Any, references: h5py.Group) -> Any:
    if isinstance(value, dict):
        item = parent.create_group(name)
        fields = [np.array([c.encode() for c in field], "S1") for field in value]
        kind = h5py.vlen_dtype(np.dtype("S1"))
        item.attrs.create("MATLAB_fields", _objects(fields), (len(fields),), kind)
        for field, inner in value.items():
            _store(item, field, inner, references)
        return _label(item, "struct")
    if isinstance(value, str):
        codes = np.frombuffer(value.encode("utf-16-le"), "uint16")
        return _array(parent, name, codes.reshape(1, -1), "char", decode=2)
    if isinstance(value, bool):
        return _array(parent, name, np.array([[value]], "uint8"), "logical", decode=1)
    array = np.asarray(value)
    if array.dtype != object:
        kind = {"float64": "double", "float32": "single"}.get(array.dtype.name, array.dtype.name)
        return _array(parent, name, np.atleast_2d(array), kind)
    if not array.size:
        return _array(parent, name, array, "cell")
    item = parent.create_dataset(name, array.T.shape, h5py.ref_dtype)  # before its items, which takes the name
    made = [_store(references, f"r{len(references) + 1}", inner, references).ref for inner in array.T.flat]
    item[...] = _objects(made).reshape(array.T.shape)
    return _label(item, "cell")


def _array(parent: h5py.Group, name: str, array: np.ndarray, kind: str, decode: int = 0) -> Any:
    if array.size:
        stored = array.T
        packed = {"compression": "gzip", "shuffle": True} if array.size > 64 else {}
    else:
        stored, packed = np.array(array.shape, "uint64"), {}
    item = parent.create_dataset(name, data=stored, **packed)
    if not array.size:
        item.attrs["MATLAB_empty"] = np.uint8(1)
    if decode:
        item.attrs["MATLAB_int_decode"] = np.int32(decode)
    return _label(item, kind)


def _label(item: Any, kind: str) -> Any:
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


MINI_FILES: dict[str, tuple[Callable[[], Content], Callable[[Path, Content], Path]]] = {
    "mini_vgg19_filters.mat": (vgg19_filters, write_v5),
    "mini_vgg19_weights.mat": (vgg19_weights, write_v5),
    "mini_vgg19_meta.mat": (vgg19_meta, write_v5),
    "mini_vgg19_meta_v73.mat": (vgg19_meta, write_v73),
    "mini_vgg_face_net.mat": (vgg_face_net, write_v5),
    "mini_vgg_face_meta.mat": (vgg_face_meta, write_v5),
}


def write_mini(folder: Path, name: str) -> Path:
    """Write one of `MINI_FILES` into a folder and return its path."""
    content, write = MINI_FILES[name]
    return write(folder / name, content())
