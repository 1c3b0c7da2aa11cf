"""safetensors: tensors bit for bit, and one sentence for a header that lies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import oihw, raw_safetensors, safetensors, same_arrays
from torch_pickles import same

from vggnumpy.errors import InputError
from vggnumpy.formats.npz_file import read_npz
from vggnumpy.formats.safetensors_file import read_safetensors

SIX = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_safetensors(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and len(said) < 600 + len(str(path))
    return said


def test_the_miniature_network_as_safetensors_wrote_it(shared: Path) -> None:
    stored = read_npz(shared / "fixtures" / "matconvnet" / "mini_vgg19_oihw.npz")
    expected = {name: array for name, array in stored.items() if name.endswith((".weight", ".bias"))}
    got = read_safetensors(shared / "fixtures" / "other_formats" / "mini_vgg19.safetensors")
    same_arrays(dict(sorted(got.items())), dict(sorted(expected.items())))


def test_the_miniature_network(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f.safetensors", oihw())
    got = read_safetensors(path)
    path.unlink()
    same_arrays(got, oihw())
    assert all(array.flags.writeable and array.flags.aligned for array in got.values())


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "i8", "u1"])
def test_every_type_comes_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    random = np.random.default_rng(0).integers(0, 256, 24 * np.dtype(dtype).itemsize, np.uint8)
    array = random.view(dtype).reshape(2, 3, 4)  # NaNs and all
    same(read_safetensors(safetensors(tmp_path / "f.safetensors", {"a": array}))["a"], array)


@pytest.mark.parametrize(("kind", "dtype"), [("I16", "i2"), ("I8", "i1"), ("U16", "u2"), ("U32", "u4"), ("U64", "u8")])
def test_the_rarer_integers(tmp_path: Path, kind: str, dtype: str) -> None:
    array = np.array([0, 1, -1]).astype(dtype)
    header = json.dumps({"a": {"dtype": kind, "shape": [3], "data_offsets": [0, array.nbytes]}})
    same(read_safetensors(raw_safetensors(tmp_path / "f", header, array.tobytes()))["a"], array)


def test_truth_scalars_and_nothing(tmp_path: Path) -> None:
    arrays = {"truth": np.array([True, False]), "scalar": np.array(2.5), "none": np.zeros((0, 3), np.float32)}
    same_arrays(read_safetensors(safetensors(tmp_path / "f.safetensors", arrays)), arrays)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625, np.inf, 0.0], np.float32)
    header = json.dumps({"a": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}})
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    same(read_safetensors(raw_safetensors(tmp_path / "f", header, data))["a"], values)


def test_tensors_may_be_listed_in_another_order_than_stored(tmp_path: Path) -> None:
    first = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
    second = {"dtype": "U8", "shape": [1], "data_offsets": [2, 3]}
    got = read_safetensors(raw_safetensors(tmp_path / "f", json.dumps({"b": second, "a": first}), b"\1\2\3"))
    assert {name: array.tolist() for name, array in got.items()} == {"b": [3], "a": [1, 2]}
    assert list(got) == ["b", "a"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "F8_E4M3"}, "is 'F8_E4M3', expected one of F64"),
        ({"dtype": 3}, "in a way that is not known"),
        ({"shape": [2, 4]}, "should take 32 bytes and takes 24"),
        ({"shape": [2**40, 2**40]}, "bytes and takes 24"),
        ({"shape": [-2, -3]}, "in a way that is not known"),
        ({"shape": [2.0, 3.0]}, "in a way that is not known"),
        ({"shape": [True, 6]}, "in a way that is not known"),
        ({"shape": [2**60]}, "in a way that is not known"),
        ({"shape": [1] * 9}, "in a way that is not known"),
        ({"shape": 6}, "in a way that is not known"),
        ({"data_offsets": [24, 0]}, "takes -24"),
        ({"data_offsets": [0]}, "in a way that is not known"),
        ({"data_offsets": [-4, 20]}, "in a way that is not known"),
        ({"data_offsets": [4, 28]}, "should begin at byte 0 and begin at 4"),
        ({"data_offsets": [0, 28], "shape": [7]}, "take 28 bytes, found 24"),
        ({"data_offsets": [0, 20], "shape": [5]}, "take 20 bytes, found 24"),
    ],
)
def test_entries_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(safetensors(tmp_path / "f.safetensors", SIX, a=changes))


@pytest.mark.parametrize("begin", [0, 20, 28])
def test_tensors_that_overlap_or_leave_gaps(tmp_path: Path, begin: int) -> None:
    path = safetensors(tmp_path / "f.safetensors", {**SIX, "b": SIX["a"]}, b={"data_offsets": [begin, begin + 24]})
    assert "overlap or leave a gap" in refusal(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ('{"a": 1, "a": 2}', "a name twice"),
        ('{"a": {"dtype": "U8", "dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}', "a name twice"),
        ('{"a": []}', "in a way that is not known"),
        ("{}", "no tensors"),
        ('{"__metadata__": {}}', "no tensors"),
        ("{", "damaged"),
        ('{"a": ' + "[" * 100_000, "damaged"),
        ('{"a": ' + "9" * 10_000 + "}", "damaged"),
        ("[]", "found something else"),
    ],
)
def test_headers(tmp_path: Path, header: str, words: str) -> None:
    assert words in refusal(raw_safetensors(tmp_path / "f", header, b""))


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    for content in (b"hello, world", b"\x08", b"\xff" * 100, bytes(100), b"\x09" + bytes(7) + b"{}"):
        path.write_bytes(content)
        assert "found something else" in refusal(path)
    path.write_bytes(b"")
    assert "empty file" in refusal(path)
    path.write_bytes((10_000_001).to_bytes(8, "little") + b"{" + b" " * 10_000_000)
    assert "its header takes 10000001 bytes" in refusal(path)
    assert "no such file" in refusal(tmp_path / "missing")


def test_a_header_that_is_no_text(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f.safetensors", SIX)
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"\xff"'))
    assert "damaged" in refusal(path)
