"""Caffe's files: every schema gives the same arrays, and what is damaged gets one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import (
    bgr,
    blob,
    bytes_field,
    caffemodel,
    float_field,
    number_field,
    oihw,
    same_arrays,
    varint,
    vgg_order,
    with_matrices,
)
from torch_pickles import same

from vggnumpy.errors import InputError
from vggnumpy.formats.caffe_file import CaffeLayer, read_caffemodel
from vggnumpy.formats.npz_file import read_npz

CONVOLUTION = {
    "num_output": 4,
    "bias_term": True,
    "kernel_size": (3, 3),
    "stride": (1, 1),
    "pad": (1, 1),
    "dilation": (1, 1),
    "group": 1,
}
MAX_POOL = {
    "method": "max",
    "kernel_size": (2, 2),
    "stride": (2, 2),
    "pad": (0, 0),
    "global_pooling": False,
    "rounding": "ceil",
}


def layer(name: str, kind: str, *fields: bytes) -> bytes:
    return bytes_field(100, bytes_field(1, name) + bytes_field(2, kind) + b"".join(fields))


def read(tmp_path: Path, *layers: bytes) -> Any:
    (tmp_path / "net.caffemodel").write_bytes(b"".join(layers))
    return read_caffemodel(tmp_path / "net.caffemodel")


def refusal(tmp_path: Path, *layers: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, *layers)
    assert str(caught.value).startswith(f"{tmp_path / 'net.caffemodel'}: ")
    return str(caught.value)


@pytest.mark.parametrize("name", ["mini_vgg19", "mini_vgg19_v1"])
def test_the_miniature_network_as_protobuf_wrote_it(shared: Path, name: str) -> None:
    folder = shared / "fixtures"
    stored = read_npz(folder / "matconvnet" / "mini_vgg19_oihw.npz")
    expected = {name: array for name, array in stored.items() if name.endswith((".weight", ".bias"))}
    got = read_caffemodel(folder / "other_formats" / f"{name}.caffemodel")
    same_arrays(got.arrays, with_matrices(bgr(expected)))
    assert [layer.name for layer in got.layers] == vgg_order()


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("how", [{}, {"packed": False}, {"chunks": 3}])
def test_every_schema_and_packing_gives_the_same_network(tmp_path: Path, version: int, how: dict[str, Any]) -> None:
    got = read_caffemodel(caffemodel(tmp_path / "net.caffemodel", version, **how))
    same_arrays(got.arrays, with_matrices(bgr(oihw())))
    assert [layer.name for layer in got.layers] == vgg_order()
    assert got.layers[0] == CaffeLayer("conv1_1", "Convolution", ("data",), ("conv1_1",), CONVOLUTION)
    assert got.layers[1] == CaffeLayer("relu1_1", "ReLU", ("conv1_1",), ("conv1_1",), {"negative_slope": 0.0})
    assert got.layers[4] == CaffeLayer("pool1", "Pooling", ("conv1_2",), ("pool1",), MAX_POOL)
    fc6 = {"num_output": 9, "bias_term": True, "transpose": False}
    assert got.layers[37] == CaffeLayer("fc6", "InnerProduct", ("pool5",), ("fc6",), fc6)
    assert got.layers[-1] == CaffeLayer("prob", "Softmax", ("fc8",), ("prob",), {"axis": 1})


def test_arrays_are_their_own(tmp_path: Path) -> None:
    arrays = read_caffemodel(caffemodel(tmp_path / "net.caffemodel")).arrays
    (tmp_path / "net.caffemodel").unlink()
    for array in arrays.values():
        assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous


# Parameters


@pytest.mark.parametrize(
    ("kind", "field", "content", "params"),
    [
        (
            "Convolution",
            106,
            number_field(1, 256) + number_field(2, 0) + number_field(5, 2) + bytes_field(4, varint(5) + varint(7)),
            {"num_output": 256, "bias_term": False, "group": 2, "kernel_size": (5, 7), "stride": (1, 1)},
        ),
        (
            "Convolution",
            106,
            b"".join(number_field(i, i) for i in (9, 10, 11, 12, 13, 14)) + number_field(18, 2),
            {"pad": (9, 10), "kernel_size": (11, 12), "stride": (13, 14), "dilation": (2, 2), "num_output": 0},
        ),
        ("Deconvolution", 106, number_field(4, 4) + number_field(6, 2), {"kernel_size": (4, 4), "stride": (2, 2)}),
        (
            "Pooling",
            121,
            number_field(1, 1) + number_field(7, 2) + number_field(12, 1) + number_field(13, 1),
            {"method": "ave", "stride": (2, 1), "global_pooling": True, "rounding": "floor"},
        ),
        ("LRN", 118, b"", {"local_size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0, "region": "across_channels"}),
        (
            "LRN",
            118,
            number_field(1, 3) + float_field(2, 0.5) + float_field(3, 0.25) + number_field(4, 1) + float_field(5, 2),
            {"local_size": 3, "alpha": 0.5, "beta": 0.25, "k": 2.0, "region": "within_channel"},
        ),
        ("InnerProduct", 117, number_field(1, 9) + number_field(6, 1), {"num_output": 9, "transpose": True}),
        ("Dropout", 108, float_field(1, 0.25), {"dropout_ratio": 0.25}),
        ("Dropout", 108, b"", {"dropout_ratio": 0.5}),
        ("ReLU", 123, float_field(1, 0.125), {"negative_slope": 0.125}),
        ("Concat", 104, number_field(1, 2), {"axis": 2}),
        ("Concat", 104, number_field(1, 1) + number_field(2, -1), {"axis": -1}),
        ("Softmax", 125, number_field(2, -2), {"axis": -2}),
        ("SoftmaxWithLoss", 125, b"", {"axis": 1}),
        ("BatchNorm", 139, float_field(3, 0.5), {"eps": 0.5}),
        ("Scale", 142, number_field(4, 1), {"axis": 1, "bias_term": True}),
        ("Split", 0, b"", {}),
    ],
)
def test_parameters(tmp_path: Path, kind: str, field: int, content: bytes, params: dict[str, Any]) -> None:
    body = bytes_field(field, content) if content else b""
    (got,) = read(tmp_path, layer("a/b", kind, body, bytes_field(3, "x"), bytes_field(3, "y"), bytes_field(4, "z")))[1]
    assert got[:4] == ("a/b", kind, ("x", "y"), ("z",))
    assert {name: got.params[name] for name in params} == params
    if not content:
        assert got.params == params


@pytest.mark.parametrize(
    ("number", "kind", "field"),
    [(15, "LRN", 18), (6, "Dropout", 12), (3, "Concat", 9), (18, "ReLU", 30), (20, "Softmax", 39), (17, "Pooling", 19)],
)
def test_layers_of_2014_have_their_own_numbers(tmp_path: Path, number: int, kind: str, field: int) -> None:
    content = b"".join(number_field(i, 1) for i in (1, 2)) if kind in ("Concat", "Pooling", "Softmax") else b""
    content = content or (number_field(1, 3) if kind == "LRN" else float_field(1, 0.125))
    body = bytes_field(4, "a") + number_field(5, number) + bytes_field(field, content)
    old = read(tmp_path, bytes_field(2, body)).layers
    new_field = {"LRN": 118, "Dropout": 108, "Concat": 104, "ReLU": 123, "Softmax": 125, "Pooling": 121}[kind]
    assert old == read(tmp_path, layer("a", kind, bytes_field(new_field, content))).layers
    assert old[0].type == kind
    assert old != read(tmp_path, layer("a", kind)).layers or kind in ("Concat", "Softmax")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(0, ""), (5, "Data"), (14, "InnerProduct"), (25, "Eltwise"), (35, "AbsVal"), (39, "Deconvolution")],
)
def test_types_of_2014_are_translated(tmp_path: Path, number: int, kind: str) -> None:
    assert read(tmp_path, bytes_field(2, number_field(5, number))).layers[0].type == kind


def test_parameters_of_2013(tmp_path: Path) -> None:
    def old(kind: str, *fields: bytes) -> dict[str, Any]:
        body = bytes_field(1, bytes_field(1, "a") + bytes_field(2, kind) + b"".join(fields))
        return read(tmp_path, bytes_field(2, body)).layers[0].params

    lrn = old("lrn", number_field(13, 3), float_field(14, 0.5), float_field(15, 0.25), float_field(22, 2))
    assert lrn == {"local_size": 3, "alpha": 0.5, "beta": 0.25, "k": 2.0, "region": "across_channels"}
    conv = old("conv", number_field(3, 8), number_field(4, 0), *(number_field(i, i) for i in (7, 8, 9, 10)))
    assert (conv["num_output"], conv["bias_term"], conv["group"]) == (8, False, 9)
    assert (conv["pad"], conv["kernel_size"], conv["stride"]) == ((7, 7), (8, 8), (10, 10))
    assert old("dropout", float_field(12, 0.25)) == {"dropout_ratio": 0.25}
    assert old("concat", number_field(65, 2)) == {"axis": 2}
    assert old("padding", number_field(7, 2)) == {}


# Blobs


def test_blobs_of_every_kind(tmp_path: Path) -> None:
    numbers = np.arange(12.0)
    half = numbers.astype(np.float32)
    blobs = [blob(numbers), blob(half.reshape(3, 4)), blob(half), blob(half[:1].reshape(()), packed=False)]
    got = read(tmp_path, layer("bn", "BatchNorm", *(bytes_field(7, content) for content in blobs))).arrays
    assert list(got) == ["bn.weight", "bn.bias", "bn.2", "bn.3"]
    same(got["bn.weight"], numbers)
    same(got["bn.bias"], half.reshape(3, 4))
    same(got["bn.3"], half[0].reshape(()))


def test_doubles_may_be_unpacked_and_differences_are_left_out(tmp_path: Path) -> None:
    numbers = np.arange(200.0)
    difference = b"".join(float_field(6, 1.0) for _ in range(200))
    content = blob(numbers, packed=False) + difference
    same(read(tmp_path, layer("a", "PReLU", bytes_field(7, content))).arrays["a.weight"], numbers)


@pytest.mark.parametrize(
    ("kind", "stored", "shape"),
    [
        ("Convolution", (1, 1, 2, 3), (1, 1, 2, 3)),
        ("Deconvolution", (1, 1, 1, 6), (1, 1, 1, 6)),
        ("InnerProduct", (1, 1, 2, 3), (2, 3)),
        ("InnerProduct", (1, 1, 1, 6), (1, 6)),
        ("InnerProduct", (2, 3, 1, 1), (2, 3, 1, 1)),
    ],
)
def test_four_old_sizes(tmp_path: Path, kind: str, stored: tuple[int, ...], shape: tuple[int, ...]) -> None:
    content = blob(np.zeros(stored, np.float32), sizes=True)
    got = read(tmp_path, layer("a", kind, bytes_field(7, content), bytes_field(7, content))).arrays
    assert got["a.weight"].shape == shape
    assert got["a.bias"].shape == ((6,) if stored[2] == 1 and stored[0] == 1 else stored)


def test_runs_that_end_and_begin_again(tmp_path: Path) -> None:
    """Unpacked numbers in runs of every length around the step in which runs are searched."""
    for count in (1, 2, 63, 64, 65, 191, 192, 193, 1000):
        numbers = np.arange(2 * count, dtype=np.float32)
        run = b"".join(float_field(5, value) for value in numbers[:count])
        rest = b"".join(float_field(5, value) for value in numbers[count:])
        shape = bytes_field(7, bytes_field(1, varint(2 * count)))
        got = read(tmp_path, layer("a", "PReLU", bytes_field(7, run + shape + rest))).arrays
        same(got["a.weight"], numbers)


# What is wrong


def test_what_is_no_caffemodel(tmp_path: Path) -> None:
    assert "empty file" in refusal(tmp_path, b"")
    for content in (b"hello, world", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" + bytes(100), bytes(1000), b"\x08\x01"):
        assert (
            "damaged or cut short, or another kind" in (said := refusal(tmp_path, content)) or "without layers" in said
        )
    with pytest.raises(InputError, match="no such file"):
        read_caffemodel(tmp_path / "missing.caffemodel")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes_field(100, b"\x0a\x05abc"), "ends behind its end"),
        (bytes_field(100, b"\x0a" + b"\xff" * 9 + b"\x01"), "ends behind its end"),
        (bytes_field(100, b"\xff" * 11), "without an end"),
        (bytes_field(100, b"\x80"), "without an end"),
        (bytes_field(100, b"\x2d\0\0"), "ends behind its end"),
        (bytes_field(100, b"\x0b\x0c"), "of the kind 3"),
        (bytes_field(100, b"\0\0"), "a field 0"),
        (number_field(100, 7), "where a message is expected"),
        (layer("a", "ReLU") + bytes_field(100, number_field(1, 7)), "where a text is expected"),
        (layer("\0", "ReLU").replace(b"\0", b"\xff"), "damaged"),
        (bytes_field(2, number_field(5, 40)), "should be 0 to 39"),
        (layer("a", "Pooling", bytes_field(121, number_field(1, 3))), "should be 0 to 2"),
        (layer("a", "Pooling", bytes_field(121, number_field(2, -1))), "height and width"),
        (layer("a", "Convolution", bytes_field(106, 3 * number_field(4, 3))), "height and width"),
        (layer("a", "Convolution", bytes_field(106, number_field(1, 2**31))), "absurd"),
        (layer("a", "Convolution", bytes_field(106, float_field(1, 1.0))), "no integer"),
        (layer("a", "LRN", bytes_field(118, number_field(2, 1))), "another kind than expected"),
        (layer("a", "LRN", bytes_field(118, bytes_field(2, b"123"))), "4 bytes in 3 bytes"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((7,), "has 6 numbers and the shape (7,), which needs 7"),
        ((), "has 6 numbers"),
        ((2**47, 2**47), "has 6 numbers"),
        ((-1, -6), "absurd"),
        ((2**60,), "absurd"),
        ((1,) * 9, "absurd"),
        ((1,) * 200, "no integer"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    dims = bytes_field(7, bytes_field(1, b"".join(map(varint, shape))))
    content = dims + bytes_field(5, bytes(24))
    assert words in refusal(tmp_path, layer("a", "PReLU", bytes_field(7, content)))


def test_two_layers_of_one_name(tmp_path: Path) -> None:
    data, numbers = layer("a", "Data"), layer("a", "PReLU", bytes_field(7, blob(np.zeros(1, np.float32))))
    assert len(read(tmp_path, data, numbers, data).layers) == 3
    assert "two of its layers are named 'a'" in refusal(tmp_path, numbers, data, numbers)


def test_more_fields_than_any_network_has(tmp_path: Path) -> None:
    assert "more than 1000000 fields" in refusal(tmp_path, layer("a", "ReLU", b"\x58\0" * 1_000_001))
