"""Arrays and modules out of Torch7's binary ``.t7`` files, without Lua.

A file is one object, little-endian.  An object is a tag (int32) and what follows it:

====  ===============  =================================================================================
tag   kind             content
====  ===============  =================================================================================
0     nil              nothing
1     number           float64
2     string           length (int32), bytes
3     table            index (int32); if new: count of pairs (int32), then a key and a value for each
4     torch object     index (int32); if new: the strings "V 1" and class name (old files: the name alone)
                       without tags, then the content by class
5     boolean          int32
6–8   function         refused: it is Lua code
====  ===============  =================================================================================

An index seen before means that very object again.  Content by class: a tensor is its number of axes (int32), sizes
(int64 each), strides (int64), offset (int64, counted from 1) and a storage (an object, or nil); a storage is a count
(int64) and its numbers; anything else, such as the modules of nn, is a table of its fields.
Source: File.lua and generic/Tensor.c of github.com/torch/torch7.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggnumpy.files import PathLike
from vggnumpy.formats.reading import MAX_DIMENSIONS, MAX_GROWTH, RefusedError, check_view, mapped, quote

_DTYPES = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "<i1",
    "Byte": "<u1",
    "Cuda": "<f4",
    "CudaDouble": "<f8",
    "CudaHalf": "<f2",
    "CudaLong": "<i8",
    "CudaInt": "<i4",
    "CudaShort": "<i2",
    "CudaChar": "<i1",
    "CudaByte": "<u1",
}
_PARTS = ("weight", "bias", "running_mean", "running_var")
_WORDS = "a Torch7 network (.t7, binary)"
_MAX_OBJECTS = 1_000_000  # a module takes about 50
_MAX_DEPTH = 100  # a module in a Sequential adds 3
_MAX_MODULES = 10_000


class T7Model(NamedTuple):
    """The content of a ``.t7`` file.

    Attributes
    ----------
    arrays : dict of str to ndarray
        ``N.weight`` and ``N.bias`` (and ``N.running_mean``, ``N.running_var``) of module number N, bit for bit, new
        contiguous arrays.  Filters are O×I×H×W, also where the module kept them as O×(I·H·W); matrices O×I.
    modules : list of (int, str, dict)
        For every module its number, its class such as ``"nn.SpatialConvolution"``, and its numbers and booleans
        by name (``kW``, ``kH``, ``dW``, ``dH``, ``padW``, ``padH``, ``nInputPlane``, ``nOutputPlane``, …).
    """

    arrays: dict[str, NDArray[Any]]
    modules: list[tuple[int, str, dict[str, float | bool]]]


class _Storage(NamedTuple):
    kind: str
    begin: int  # of its numbers, in bytes from the file's start
    length: int


class _Tensor(NamedTuple):
    kind: str
    storage: _Storage | None
    offset: int  # counted from 0
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Module(NamedTuple):
    kind: str
    fields: dict[Any, Any]


def read_t7(path: PathLike) -> T7Model:
    """Read a network that Torch7 saved: an ``nn.Sequential``, which may hold others.

    Modules are numbered from 0 in the order in which they compute, as if all nested ones stood in one list.

    Raises
    ------
    InputError
        If the file is missing, no binary ``.t7``, damaged or cut short: a count that does not fit the bytes, an
        object inside itself, a tensor outside its storage; if it holds functions, or objects that are neither
        tensors nor tables; or if the network is no plain sequence.
    """
    with mapped(path, _WORDS) as data:
        if bytes(data[1:2]) in (b"\n", b"\r"):
            raise RefusedError(f"expected {_WORDS}, found the ASCII form; save it again in Torch7 with torch.save(…)")
        if bytes(data[1:4]) != bytes(3):
            raise RefusedError(f"expected {_WORDS}, found something else")
        reader = _Reader(data)
        modules: list[_Module] = []
        _flatten(reader.object(0), modules, [0])
        return _model(data, modules)


# The objects


class _Reader:
    """Reads objects one after the other; numbers of storages are only located."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.count = 0
        self.seen: dict[int, Any] = {}

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise RefusedError(
                f"it is damaged or cut short: expected {count} bytes at byte {self.at} of {len(self.data)}"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, size: int = 4) -> int:
        """Return the next int32, or int64."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def text(self) -> str:
        """Return the next string; Lua's hold any bytes, Latin-1 keeps them all."""
        return str(self.take(self.integer()), "latin-1")

    def object(self, depth: int) -> Any:
        """Return the next object."""
        self.count += 1
        if self.count > _MAX_OBJECTS or depth > _MAX_DEPTH:
            raise RefusedError("it holds absurdly many objects, or too deep in each other; the file is damaged")
        match self.integer():
            case 0:
                return None
            case 1:
                return float(np.frombuffer(self.take(8), "<f8")[0])
            case 2:
                return self.text()
            case 5:
                return self.integer() != 0
            case 3 | 4 as tag:
                index = self.integer()
                if index not in self.seen:
                    self.seen[index] = None  # until it is complete
                    self.seen[index] = self.table(depth) if tag == 3 else self.torch(depth)
                if self.seen[index] is None:
                    raise RefusedError("one of its objects holds itself, which no plain network needs")
                return self.seen[index]
            case 6 | 7 | 8:
                raise RefusedError("it holds a Lua function, which is never run; clear the model's closures in Torch7")
            case tag:
                raise RefusedError(f"it has an object of the unknown kind {tag}; the file is damaged")

    def table(self, depth: int) -> dict[Any, Any]:
        """Return a table's pairs, keys being texts, numbers and booleans."""
        pairs: dict[Any, Any] = {}
        for _ in range(self.integer()):
            key = self.object(depth + 1)
            if not isinstance(key, str | float | bool):
                raise RefusedError("it has a table with keys that are no names; the file is damaged")
            pairs[key] = self.object(depth + 1)
        return pairs

    def torch(self, depth: int) -> Any:
        """Return a tensor, a storage or a module."""
        name = self.text()
        if name.startswith("V "):
            name = self.text()
        if name.startswith("torch."):
            kind = name.removeprefix("torch.")
            if kind.removesuffix("Tensor") in _DTYPES and kind.endswith("Tensor"):
                return self.tensor(kind.removesuffix("Tensor"), depth)
            if kind.removesuffix("Storage") in _DTYPES and kind.endswith("Storage"):
                return self.storage(kind.removesuffix("Storage"))
            raise RefusedError(f"it holds an object of the class {quote(name)}, which is neither tensor nor module")
        fields = self.object(depth + 1)
        if not isinstance(fields, dict):
            raise RefusedError(f"its object of the class {quote(name)} is no table of fields, so it cannot be read")
        return _Module(name, fields)

    def tensor(self, kind: str, depth: int) -> _Tensor:
        """Return where a tensor's numbers are; it is checked when they are wanted."""
        axes = self.integer()
        if not 0 <= axes <= MAX_DIMENSIONS:
            raise RefusedError(f"it has a tensor of {axes} dimensions, which is absurd; the file is damaged")
        shape = tuple(self.integer(8) for _ in range(axes))
        strides = tuple(self.integer(8) for _ in range(axes))
        offset = self.integer(8) - 1
        storage = self.object(depth + 1)
        if storage is not None and not (isinstance(storage, _Storage) and storage.kind == kind):
            raise RefusedError("it has a tensor without a storage of its kind; the file is damaged")
        return _Tensor(kind, storage, offset, shape, strides)

    def storage(self, kind: str) -> _Storage:
        """Return where a storage's numbers are, which are passed over."""
        length = self.integer(8)
        begin = self.at
        self.take(length * np.dtype(_DTYPES[kind]).itemsize)
        return _Storage(kind, begin, length)


# The network


def _flatten(thing: Any, modules: list[_Module], visits: list[int]) -> None:
    """Append a module, or the modules inside a Sequential, counting visits: shared ones multiply."""
    visits[0] += 1
    if visits[0] > _MAX_MODULES:
        raise RefusedError(f"it has more than {_MAX_MODULES} modules; the file is damaged")
    if not isinstance(thing, _Module):
        found = "a tensor" if isinstance(thing, _Tensor) else "a table" if isinstance(thing, dict) else "something else"
        raise RefusedError(f"expected a network (nn.Sequential of modules), found {found}")
    inner = thing.fields.get("modules")
    if inner is None:
        modules.append(thing)
        return
    if thing.kind != "nn.Sequential" or not isinstance(inner, dict):
        raise RefusedError(f"it has the container {quote(thing.kind)}; only nn.Sequential is read")
    for i in range(1, len(inner) + 1):
        if i not in inner:
            raise RefusedError(f"an nn.Sequential of {len(inner)} modules lacks number {i}; the file is damaged")
        _flatten(inner[i], modules, visits)


def _model(data: memoryview, modules: list[_Module]) -> T7Model:
    """Check all arrays before the first is copied."""
    tensors = {
        f"{i}.{part}": (module, module.fields[part])
        for i, module in enumerate(modules)
        for part in _PARTS
        if isinstance(module.fields.get(part), _Tensor)
    }
    total = 0
    for name, (_, tensor) in tensors.items():
        if tensor.shape:  # no axes: Torch7's empty tensor, which has no place
            stored = tensor.storage.length if tensor.storage else 0
            check_view(name, tensor.offset, tensor.shape, tensor.strides, stored)
        total += math.prod(tensor.shape) * np.dtype(_DTYPES[tensor.kind]).itemsize
    if total > MAX_GROWTH * len(data):
        raise RefusedError(f"its tensors would take {total} bytes, far more than the file has; it is damaged")
    if not tensors:
        raise RefusedError("expected a network with weights, found one without any")
    arrays = {name: _filters(name, module, _copy(data, tensor)) for name, (module, tensor) in tensors.items()}
    scalars = [
        {str(key): value for key, value in module.fields.items() if isinstance(value, float | bool)}
        for module in modules
    ]
    return T7Model(arrays, [(i, module.kind, scalars[i]) for i, module in enumerate(modules)])


def _copy(data: memoryview, tensor: _Tensor) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[tensor.kind])
    if tensor.storage is None or not tensor.shape:
        return np.empty(tensor.shape or (0,), dtype.newbyteorder("="))
    begin = tensor.storage.begin + tensor.offset * dtype.itemsize
    end = tensor.storage.begin + tensor.storage.length * dtype.itemsize
    steps = [stride * dtype.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(np.frombuffer(data[begin:end], dtype), tensor.shape, steps, writeable=False)
    return view.astype(dtype.newbyteorder("="), order="C")


def _filters(name: str, module: _Module, array: NDArray[Any]) -> NDArray[Any]:
    """Give the filters of a convolution that keeps them as a matrix (nn.SpatialConvolutionMM) their four axes."""
    sizes = [module.fields.get(field) for field in ("nInputPlane", "kH", "kW")]
    if not name.endswith(".weight") or array.ndim != 2 or "Convolution" not in module.kind:
        return array
    if not all(isinstance(size, float) and size.is_integer() and size >= 1 for size in sizes):
        raise RefusedError(f"module {name.split('.')[0]} ({quote(module.kind)}) does not tell its filters' sizes")
    shape = (len(array), *(int(size) for size in sizes if isinstance(size, float)))
    if math.prod(shape) != array.size:
        raise RefusedError(f"{name} of shape {array.shape} does not fit the filters' sizes {shape}")
    return array.reshape(shape)
