"""Files as torch.save writes them, assembled without torch."""

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats.torch_file import read_torch_file

MAGIC = 0x1950A86A20F9469CFC6C

# An assembler of pickles as torch.save writes them, instruction by instruction.


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def shape_of(*sizes: int) -> bytes:
    return tuple_of(*map(number, sizes))


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + tuple_of(*arguments) + b"R"


def storage(key: str, kind: str, length: int, module: str = "torch", legacy: bool = False) -> bytes:
    view = [b"N"] if legacy else []
    return tuple_of(text("storage"), named(module, kind), text(key), text("cpu"), number(length), *view) + b"Q"


def tensor(held: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    hooks = call("collections", "OrderedDict")
    parts = (held, number(offset), shape_of(*shape), shape_of(*strides), b"\x89", hooks)
    return call("torch._utils", "_rebuild_tensor_v2", *parts)


def dict_of(**items: bytes) -> bytes:
    return call("collections", "OrderedDict") + b"(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def zip_file(path: Path, body: bytes, records: dict[str, bytes], **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(body))
        for name, data in more.items():
            archive.writestr(f"archive/{name}", data)
        for key, data in records.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def legacy_file(path: Path, body: bytes, records: dict[str, tuple[int, bytes]], little: bool = True) -> Path:
    facts = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}]
    parts = [pickle.dumps(fact, 2) for fact in facts]
    parts += [program(body), pickle.dumps(list(records), 2)]
    parts += [struct.pack("<q", length) + data for length, data in records.values()]
    path.write_bytes(b"".join(parts))
    return path


def one_tensor(path: Path, container: str, array: np.ndarray, kind: str, module: str = "torch") -> Path:
    strides = tuple(s // array.itemsize for s in array.strides)
    held = storage("7", kind, array.size, module, legacy=container == "legacy")
    body = dict_of(a=tensor(held, 0, array.shape, strides))
    if container == "legacy":
        return legacy_file(path, body, {"7": (array.size, array.tobytes())})
    return zip_file(path, body, {"7": array.tobytes()})


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_torch_file(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600 + len(str(path))
    return sentence


def same(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()  # bit for bit


CONTAINERS = pytest.mark.parametrize("container", ["zip", "legacy"])
