"""PyTorch's files: the tensors bit for bit, nothing executed, and one sentence for everything else."""

import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_pickles import (
    CONTAINERS,
    call,
    dict_of,
    legacy_file,
    number,
    one_tensor,
    program,
    same,
    shape_of,
    storage,
    tensor,
    text,
    zip_file,
)

from vggnumpy.formats.npz_file import read_npz
from vggnumpy.formats.torch_file import read_torch_file

# The real files


def miniature(shared: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(shared / "fixtures" / "matconvnet" / "mini_vgg19_oihw.npz")
    return {name: array for name, array in arrays.items() if name.endswith((".weight", ".bias"))}


@pytest.mark.parametrize("name", ["mini_vgg19_zip", "mini_vgg19_legacy"])
def test_the_miniature_network(shared: Path, name: str) -> None:
    expected = miniature(shared)
    got = read_torch_file(shared / "fixtures" / "other_formats" / f"{name}.pth")
    assert list(got)[:3] == ["features.0.weight", "features.0.bias", "features.2.weight"]
    assert got["classifier.0.weight"].shape == (9, 32)
    for (stored, array), (layer, match) in zip(got.items(), expected.items(), strict=True):
        dense = stored.startswith("classifier") and layer.endswith("weight")
        same(array, match.reshape(len(match), -1) if dense else match)


def test_the_miniature_network_in_gatys_names(shared: Path) -> None:
    expected = miniature(shared)
    got = read_torch_file(shared / "fixtures" / "other_formats" / "mini_vgg19_gatys_legacy.pth")
    assert set(got) == {name for name in expected if name.startswith("conv")}
    for name, array in got.items():
        same(array, expected[name][:, ::-1] if name == "conv1_1.weight" else expected[name])


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("vgg_normalised_conv3_1", "vgg19_normalised_conv3_1"),
        ("feature_invertor_conv1_1", None),
        ("feature_invertor_conv2_1", None),
        ("feature_invertor_conv3_1", None),
    ],
)
def test_real_pretrained_weights(shared: Path, name: str, arrays: str | None) -> None:
    folder = shared / "data" / "vgg19_prefix"
    expected = list(read_npz(folder / f"{arrays or name}.npz").values())
    got = list(read_torch_file(folder / f"{name}.pth").values())
    assert len(got) == len(expected)
    for array, match in zip(got, expected, strict=True):
        same(array, match)


# What a tensor can be


@CONTAINERS
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", np.float64),
        ("FloatStorage", np.float32),
        ("HalfStorage", np.float16),
        ("LongStorage", np.int64),
        ("IntStorage", np.int32),
        ("ShortStorage", np.int16),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("BoolStorage", np.bool_),
    ],
)
def test_every_type_comes_bit_for_bit(tmp_path: Path, container: str, kind: str, dtype: type) -> None:
    random = np.random.default_rng(0).integers(0, 256, 24 * np.dtype(dtype).itemsize, np.uint8)
    array = (random % 2).astype(bool) if dtype is np.bool_ else random.view(dtype)  # NaNs and all
    array = array.reshape(2, 3, 4)
    same(read_torch_file(one_tensor(tmp_path / "f.pth", container, array, kind))["a"], array)


@CONTAINERS
def test_bfloat16_becomes_float32(tmp_path: Path, container: str) -> None:
    values = np.array([1.0, -2.5, 3.140625, np.inf, 0.0], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    same(read_torch_file(one_tensor(tmp_path / "f.pth", container, halves, "BFloat16Storage"))["a"], values)


@CONTAINERS
def test_storages_of_a_gpu(tmp_path: Path, container: str) -> None:
    array = np.arange(6, dtype=np.float32)
    same(read_torch_file(one_tensor(tmp_path / "f.pth", container, array, "FloatStorage", "torch.cuda"))["a"], array)


@CONTAINERS
def test_strides_offsets_and_shared_storages(tmp_path: Path, container: str) -> None:
    numbers = np.arange(24, dtype=np.float32)
    held = storage("0", "FloatStorage", 24, legacy=container == "legacy")
    body = dict_of(
        whole=tensor(held, 0, (24,), (1,)),
        turned=tensor(held, 0, (6, 4), (1, 6)),
        part=tensor(held, 5, (2, 3), (8, 2)),
        scalar=tensor(held, 23, (), ()),
        empty=tensor(held, 24, (0, 3), (3, 1)),
    )
    if container == "legacy":
        path = legacy_file(tmp_path / "f.pth", body, {"0": (24, numbers.tobytes())})
    else:
        path = zip_file(tmp_path / "f.pth", body, {"0": numbers.tobytes()})
    got = read_torch_file(path)
    assert list(got) == ["whole", "turned", "part", "scalar", "empty"]
    same(got["whole"], numbers)
    same(got["turned"], np.ascontiguousarray(numbers.reshape(4, 6).T))
    same(got["part"], np.array([[5, 7, 9], [13, 15, 17]], np.float32))
    same(got["scalar"], np.float32(23).reshape(()))
    same(got["empty"], np.zeros((0, 3), np.float32))
    got["whole"][:] = 0  # arrays of their own
    assert got["turned"].sum() == numbers.sum()


def test_parameters_sizes_and_the_older_tensor(tmp_path: Path) -> None:
    held = storage("0", "FloatStorage", 6)
    older = call(
        "torch._utils", "_rebuild_tensor", held, number(0), call("torch", "Size", shape_of(2, 3)), shape_of(3, 1)
    )
    body = dict_of(a=call("torch._utils", "_rebuild_parameter", older, b"\x88", b"N"))
    numbers = np.arange(6, dtype=np.float32)
    same(read_torch_file(zip_file(tmp_path / "f.pth", body, {"0": numbers.tobytes()}))["a"], numbers.reshape(2, 3))


def test_a_state_dict_from_python_2(tmp_path: Path) -> None:
    held = storage("0", "FloatStorage", 2, legacy=True).replace(text("storage"), b"U\x07storage")
    pair = b"]" + b"(" + b"U\x01a" + tensor(held, 0, (2,), (1,)) + b"e"
    body = call("collections", "OrderedDict", b"]" + pair + b"a")
    numbers = np.arange(2, dtype=np.float32)
    same(read_torch_file(legacy_file(tmp_path / "f.pth", body, {"0": (2, numbers.tobytes())}))["a"], numbers)


def test_other_pickle_protocols(tmp_path: Path) -> None:
    plain = program(dict_of(a=tensor(storage("0", "FloatStorage", 1), 0, (1,), (1,)))).replace(b"\x80\x02", b"\x80\x04")
    stacked = plain.replace(b"ccollections\nOrderedDict\n", b"\x8c\x0bcollections\x8c\x0bOrderedDict\x93\x94")
    assert stacked != plain
    with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
        archive.writestr("a/data.pkl", stacked)
        archive.writestr("a/data/0", b"\0\0\x80\x3f")
    assert read_torch_file(tmp_path / "f.pth")["a"].tolist() == [1.0]


def test_a_checkpoint_is_unwrapped_and_the_rest_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = dict_of(a=tensor(storage("0", "FloatStorage", 1), 0, (1,), (1,)), version=number(3))
    body = dict_of(epoch=number(7), state_dict=inner, arch=text("vgg19"))
    path = zip_file(tmp_path / "f.pth", body, {"0": bytes(4)})
    with caplog.at_level(logging.WARNING, "vggnumpy"):
        assert list(read_torch_file(path)) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: left out what is not a tensor: 'epoch, arch, version'"
    ]


def test_a_state_dict_is_read_without_remarks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_torch_file(one_tensor(tmp_path / "f.pth", "zip", np.zeros(3, np.float32), "FloatStorage"))
    assert caplog.records == []
