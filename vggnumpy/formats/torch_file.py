"""Arrays out of PyTorch's ``.pth`` files, without PyTorch and without executing what the file says.

A state dict is stored as a pickle that describes tensors (shape, strides, which stretch of which storage) plus the
storages' raw numbers.  Two containers hold these parts:

* since PyTorch 1.6 a zip archive: ``NAME/data.pkl`` and one uncompressed record ``NAME/data/KEY`` per storage;
* before, one stream: a magic number, the protocol's version, facts about the machine, the description, the list
  of the storages' keys (five pickles), then for each key a count (int64) and its numbers.

A pickle is a program for a stack machine, and Python's own reader calls whatever functions the program names.
Here a small interpreter of the harmless instructions builds dicts, lists and descriptions of tensors; the
functions it knows are the few below, anything else is refused by name.
"""

import logging
import math
import mmap
import os
import pickletools
import zipfile
from collections.abc import Callable
from io import BufferedReader, BytesIO
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggnumpy.files import PathLike, open_input
from vggnumpy.formats.reading import MAX_DIMENSIONS, MAX_GROWTH, RefusedError, check_view, is_count, one_sentence, quote

_log = logging.getLogger(__name__)

# NumPy has no bfloat16: its 16 bits are the upper half of a float32's (see _decode).
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
_ORDERED_DICT = ("collections", "OrderedDict")
_SIZE = ("torch", "Size")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_TENSORS = (("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"))
_KNOWN = {_ORDERED_DICT, _SIZE, _PARAMETER, *_TENSORS}
_KNOWN |= {(module, kind) for module in ("torch", "torch.cuda") for kind in _DTYPES}

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_INSTRUCTIONS = 1_000_000  # a state dict takes about 30 per tensor


class _Global(NamedTuple):
    module: str
    name: str


class _Storage(NamedTuple):
    key: str
    kind: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_ReadStorage = Callable[[_Storage], NDArray[Any]]


def read_torch_file(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read the tensors of a state dict saved by ``torch.save``.

    Parameters
    ----------
    path : str or os.PathLike
        A ``.pth`` or ``.pt`` file of either container, holding a state dict or a checkpoint dict with one under
        "state_dict".

    Returns
    -------
    dict of str to ndarray
        In the file's order, new contiguous arrays of the tensors' shapes (convolution weights are OIHW) and types,
        bit for bit; bfloat16 becomes float32, which holds it exactly.  Entries that are not tensors are left
        out and named in one logged warning.

    Raises
    ------
    InputError
        If the file is missing, no PyTorch file, damaged or cut short, was written on a big-endian machine, or
        refers to Python objects other than tensors in dicts (a whole pickled model).
    """
    with open_input(path) as file, one_sentence(path):
        content, read_storage = (_open_zip if file.peek(2)[:2] == b"PK" else _open_legacy)(file)
        tensors = _find_tensors(path, content)
        return _load(tensors, read_storage, os.fstat(file.fileno()).st_size)


def _find_tensors(path: PathLike, content: object) -> dict[str, _Tensor]:
    """Pick the tensors out of a state dict, or out of a checkpoint around one."""
    others: list[object] = []
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        others = [key for key in content if key != "state_dict"]
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise RefusedError("expected a state dict (names and tensors), found another object")
    tensors = {key: value for key, value in content.items() if isinstance(value, _Tensor)}
    others += [key for key in content if key not in tensors]
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise RefusedError("expected a state dict (names and tensors), found a dict without tensors named by text")
    if others:
        _log.warning("%s: left out what is not a tensor: %s", path, quote(", ".join(map(str, others))))
    return tensors


# Tensors out of storages


def _load(tensors: dict[str, _Tensor], read_storage: _ReadStorage, file_size: int) -> dict[str, NDArray[Any]]:
    """Read one storage at a time and copy its tensors out, so that no more than one is held beside the result."""
    names_by_storage: dict[_Storage, list[str]] = {}
    total = 0
    for name, tensor in tensors.items():
        check_view(name, tensor.offset, tensor.shape, tensor.strides, tensor.storage.length)
        names_by_storage.setdefault(tensor.storage, []).append(name)
        total += math.prod(tensor.shape) * np.dtype(_DTYPES[tensor.storage.kind]).itemsize
    if total > MAX_GROWTH * file_size:
        raise RefusedError(f"its tensors would take {total} bytes, far more than the file has; it is damaged")
    arrays: dict[str, NDArray[Any]] = {}
    for storage, names in names_by_storage.items():
        numbers = read_storage(storage)
        for name in names:
            _, offset, shape, strides = tensors[name]
            steps = [stride * numbers.itemsize for stride in strides]
            view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
            arrays[name] = _decode(view.copy(order="C"), storage.kind)
    return {name: arrays[name] for name in tensors}


def _decode(numbers: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind == "BFloat16Storage":
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if kind == "BoolStorage":
        return np.asarray(numbers != 0)
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


# The two containers


def _open_zip(file: BufferedReader) -> tuple[object, _ReadStorage]:
    archive = zipfile.ZipFile(file)
    records = {record.filename: record for record in archive.infolist()}
    roots = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise RefusedError("expected a zip archive written by torch.save, found one without its NAME/data.pkl")
    file_size = os.fstat(file.fileno()).st_size

    def read(name: str) -> bytes:
        record = records.get(roots[0] + name)
        if record is None:
            raise RefusedError(f"its record {quote(name)} is missing; the file is damaged")
        # torch does not compress, and a record that is not compressed cannot be a bomb.
        if record.file_size != record.compress_size:
            raise RefusedError(f"its record {quote(name)} is compressed, which torch.save does not do")
        if record.file_size > file_size:
            raise RefusedError(f"its record {quote(name)} is larger than the file, which is damaged")
        return archive.read(record)

    def read_storage(storage: _Storage) -> NDArray[Any]:
        dtype, data = np.dtype(_DTYPES[storage.kind]), read(f"data/{storage.key}")
        _check_length(storage, len(data), dtype.itemsize)
        return np.frombuffer(data, dtype)

    if roots[0] + "byteorder" in records:
        _check_little(read("byteorder") == b"little")
    return _interpret(BytesIO(read("data.pkl")), {}), read_storage


def _open_legacy(file: BufferedReader) -> tuple[object, _ReadStorage]:
    if file.peek(1)[:1] != b"\x80":
        raise RefusedError("expected a file written by torch.save, found something else")
    storages: dict[str, _Storage] = {}
    # Reading a map, unlike a file, sets no memory aside for the bytes that a damaged count promises.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if _interpret(stream, {}) != _LEGACY_MAGIC or _interpret(stream, {}) != _LEGACY_PROTOCOL:
            raise RefusedError("expected a file written by torch.save, found another pickle")
        machine = _interpret(stream, {})
        _check_little(isinstance(machine, dict) and machine.get("little_endian") is True)
        content, keys, position = _interpret(stream, storages), _interpret(stream, {}), stream.tell()
        starts: dict[str, int] = {}
        for key in keys if isinstance(keys, list) else []:
            storage = storages.get(key) if isinstance(key, str) else None
            if storage is None:
                raise RefusedError("it holds numbers that no tensor refers to; the file is damaged")
            itemsize = np.dtype(_DTYPES[storage.kind]).itemsize
            _check_length(storage, int.from_bytes(stream[position : position + 8], "little") * itemsize, itemsize)
            starts[key] = position + 8
            position += 8 + storage.length * itemsize
        if position > len(stream):
            raise RefusedError(f"it is cut short: expected {position} bytes, found {len(stream)}")

    def read_storage(storage: _Storage) -> NDArray[Any]:
        file.seek(starts[storage.key])
        return np.fromfile(file, _DTYPES[storage.kind], storage.length)

    return content, read_storage


def _check_length(storage: _Storage, stored: int, itemsize: int) -> None:
    if stored != storage.length * itemsize:
        raise RefusedError(
            f"its storage {quote(storage.key)} should take {storage.length * itemsize} bytes and takes {stored}; "
            "the file is damaged"
        )


def _check_little(little: bool) -> None:
    if not little:
        raise RefusedError("expected numbers in little-endian order, found a file of a big-endian machine")


# The description: a pickle read as data


def _interpret(stream: IO[bytes] | mmap.mmap, storages: dict[str, _Storage]) -> Any:
    """Run the next pickle of a stream up to its end, adding the storages it names to ``storages``.

    Values are text, numbers, None, tuples, lists and dicts with keys of text or whole numbers (so that hashing
    never goes into nested tuples), and the three kinds of description above.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    value: Any
    for count, (instruction, value, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
        if count >= _MAX_INSTRUCTIONS:
            raise RefusedError("its description of the tensors is absurdly long; the file is damaged")
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(value)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":  # the last two: Python 2
                stack.append(value)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction.name])
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[instruction.name])
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                marks.append(len(stack) - int(instruction.name[-1]))
                stack.append(tuple(pop_to_mark()))
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS":
                items = pop_to_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                item, key = stack.pop(), stack.pop()
                _update(stack[-1], [(key, item)])
            case "SETITEMS":
                items = pop_to_mark()
                _update(stack[-1], list(zip(items[::2], items[1::2], strict=True)))
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "GLOBAL":
                stack.append(_known(*value.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_known(module, name))
            case "BINPERSID":
                storage = _describe_storage(stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise RefusedError(f"its storage {quote(storage.key)} is described twice; the file is damaged")
                stack.append(storage)
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "BUILD":
                stack.pop()  # attributes of an OrderedDict: the versions of the modules, of no use here
            case other:
                raise RefusedError(f"its pickle has the instruction {other}, which no state dict needs")
    raise AssertionError("genops ends with STOP or raises")


def _extend(target: object, items: list[Any]) -> None:
    if type(target) is not list:
        raise RefusedError("its description appends to what is no list; the file is damaged")
    target.extend(items)


def _update(target: object, pairs: list[tuple[Any, Any]]) -> None:
    if type(target) is not dict or not all(isinstance(key, str | int) for key, _ in pairs):
        raise RefusedError("its description fills a dict with keys that are no names; the file is damaged")
    target.update(pairs)


def _known(module: object, name: object) -> _Global:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _KNOWN:
        raise RefusedError(
            f"it refers to the Python object {quote(f'{module}.{name}')}, and only tensors in dicts are read; "
            "load it with PyTorch where you trust it and save model.state_dict()"
        )
    return _Global(module, name)


def _describe_storage(identity: object) -> _Storage:
    """Take the storage out of ("storage", its class, key, device, length[, view]); views are long gone."""
    match identity:
        case ("storage", _Global(_, kind), str(key), _, int(length)) | (
            "storage", _Global(_, kind), str(key), _, int(length), None
        ) if kind in _DTYPES and is_count(length):  # fmt: skip
            return _Storage(key, kind, length)
    raise RefusedError("it describes a storage of numbers in a way that is not known; the file is damaged")


def _call(function: object, arguments: object) -> Any:
    """Do what the few known functions would do, with descriptions in the place of tensors."""
    if not isinstance(function, _Global) or type(arguments) is not tuple:
        raise RefusedError("it calls what is no function; the file is damaged")
    if function == _ORDERED_DICT:
        content: dict[Any, Any] = {}
        if arguments:  # a list of pairs, from Python 2
            _update(content, [(key, item) for key, item in arguments[0]])
            arguments[0].clear()  # so that a list cannot be made into ever more dicts
        return content
    if function in (_SIZE, _PARAMETER):
        return arguments[0]
    if function in _TENSORS:
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple):
            if max(len(shape), len(strides)) <= MAX_DIMENSIONS:
                return _Tensor(storage, offset, shape, strides)
    raise RefusedError("it describes a tensor in a way that is not known; the file is damaged")
