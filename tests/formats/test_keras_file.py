"""Keras's files: the layouts of 2016 and later, nothing unpickled, and one sentence for everything else."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from foreign_files import KERAS_STYLES, bgr, keras, oihw, same_arrays
from torch_pickles import same

from vggnumpy.errors import InputError
from vggnumpy.formats.keras_file import dense_from_hwc, is_keras_file, read_keras
from vggnumpy.formats.weights import write_weights
from vggnumpy.nets import random_network
from vggnumpy.nets.tables import chain, conv, relu


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.h5"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_keras(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and len(said) < 600 + len(str(path))
    return said


def small(path: Path, arrays: dict[str, Any], attribute: str = "layer_names") -> Path:
    """Write arrays by their path, ``LAYER/…``."""
    with h5py.File(path, "w") as file:
        file.attrs[attribute] = np.array([b"a"])
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


@pytest.mark.parametrize("style", KERAS_STYLES)
def test_the_miniature_network(path: Path, style: str) -> None:
    got = read_keras(keras(path, style))
    path.unlink()
    expected = bgr(oihw())
    for layer, height in (("fc6", 2), ("fc7", 1), ("fc8", 1)):
        matrix = got[f"{layer}.weight"]
        assert matrix.shape == (len(got[f"{layer}.bias"]), matrix.shape[1])
        got[f"{layer}.weight"] = np.ascontiguousarray(dense_from_hwc(matrix, height, height))
    got = {name: np.ascontiguousarray(array) for name, array in got.items()}
    same_arrays(dict(sorted(got.items())), dict(sorted(expected.items())))
    assert is_keras_file(keras(path, style))


def test_dense_inputs_count_in_the_order_h_w_c() -> None:
    got = dense_from_hwc(np.arange(24).reshape(2, 12), 2, 3)
    assert got.shape == (2, 2, 2, 3)
    # Output o, channel c, row h, column w: number (h · 3 + w) · 2 + c of output o.
    assert got[1, 1, 0, 2] == 12 + 2 * 2 + 1
    assert got[0, 0, 1, 1] == (3 + 1) * 2
    for shape, height in (((2, 12), 5), ((12,), 1), ((2, 12), 0), ((2, 0, 3), 1)):
        with pytest.raises(ValueError, match="do not fit a map"):
            dense_from_hwc(np.zeros(shape), height, height)


def test_names_of_parts(path: Path) -> None:
    one, kernel = np.arange(2.0), np.arange(12.0).reshape(2, 1, 3, 2)
    newer = {f"n/n/{part}:0": one for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    older = {f"o/o_{part}:0": one for part in ("gamma", "beta", "running_mean", "running_std")}
    names = {"c/c_W": kernel, "c/c_b": one, "d/d_1/kernel:0": kernel, "d/d_1/bias:0": one, "k3/model/k3/kernel": kernel}
    got = read_keras(small(path, {**newer, **older, **names, "p/p/alpha:0": one, "q/q_alpha:0": one}))
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    parts = {f"{layer}.{part}" for layer in "no" for part in norm}
    expected = parts | {"c.weight", "c.bias", "d.weight", "d.bias", "k3.weight", "p.alpha", "q.q_alpha"}
    assert set(got) == expected
    for name in ("c", "d", "k3"):
        assert got[f"{name}.weight"].shape == (2, 3, 2, 1)
        same(np.ascontiguousarray(got[f"{name}.weight"].transpose(2, 3, 1, 0)), kernel)


def test_a_model_inside_a_model_gives_its_layers(path: Path) -> None:
    numbers = {f"vgg19/block1_conv{i}/{part}:0": np.full(i, 1.0) for i in (1, 2) for part in ("bias", "gamma")}
    got = read_keras(small(path, {**numbers, "head/head/bias:0": np.zeros(1)}))
    layers = {f"block1_conv{i}.{part}": i for i in (1, 2) for part in ("bias", "gamma")}
    assert {name: array.size for name, array in got.items()} == {**layers, "head.bias": 1}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_every_type_comes_bit_for_bit(path: Path, dtype: str) -> None:
    numbers = np.array([np.nan, np.inf, -0.0, 1e-7, 3], dtype)
    same(read_keras(small(path, {"a/a/bias:0": numbers}))["a.bias"], numbers.astype(numbers.dtype.newbyteorder("=")))


def test_scalars_and_lists_in_pieces(path: Path) -> None:
    got = read_keras(small(path, {"a/a/scale:0": np.float32(2), "a/a/none:0": np.zeros((0, 2))}, "layer_names0"))
    same(got["a.scale"], np.float32(2).reshape(()))
    assert got["a.none"].shape == (0, 2)


# What is something else


def test_other_files(path: Path) -> None:
    for content in (b"", b"\x89HDF", b"PK\3\4" + bytes(100)):
        path.write_bytes(content)
        assert "another kind of file" in refusal(path)
        assert not is_keras_file(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "damaged" in refusal(path)
    assert not is_keras_file(path)
    path.unlink()
    assert "no such file" in refusal(path)
    with pytest.raises(InputError, match="no such file"):
        is_keras_file(path)


def test_our_own_weights_file_is_told_apart(path: Path) -> None:
    write_weights(path, random_network(chain([conv("conv1_1", 4), relu("relu1_1")]), rng=0))
    assert "found a weights file of vggnumpy" in refusal(path)
    assert not is_keras_file(path)


def test_other_hdf5_files(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(3)
    assert "found another kind of HDF5 file" in refusal(path)
    with h5py.File(path, "w") as file:
        file.create_group("layers/conv2d/vars")["0"] = np.zeros(3)
    assert "Keras 3" in refusal(path)
    assert 'model.save("NAME.h5")' in refusal(path)
    assert not is_keras_file(path)
    assert "without any" in refusal(small(path, {}))


@pytest.mark.parametrize("array", [np.arange(3), np.array([b"text"]), np.zeros(3, bool), np.zeros(3, complex)])
def test_arrays_that_are_no_floating_numbers(path: Path, array: np.ndarray) -> None:
    assert "'a.bias' is no array of float16, float32, float64" in refusal(small(path, {"a/a/bias:0": array}))


def test_kernels_in_another_order(path: Path) -> None:
    theano = {"a/a_W": np.zeros((64, 3, 3, 3)), "a/a_b": np.zeros(64)}
    assert "Theano" in refusal(small(path, theano))


def test_names_that_collide(path: Path) -> None:
    assert "'a.weight' twice" in refusal(small(path, {"a/a_W_1:0": np.zeros(1), "a/a_W_2:0": np.zeros(1)}))
    inner = {"a/b/bias:0": np.zeros(1), "a/c/bias:0": np.zeros(1), "b/b/bias:0": np.zeros(1)}
    assert "'b.bias' twice" in refusal(small(path, inner))


@pytest.mark.parametrize("how", [{"compression": "gzip"}, {"chunks": (10,)}])
def test_pieces_and_compression(path: Path, how: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        file.create_dataset("a/a/bias:0", data=np.arange(100.0)[::-1], **how)
    assert "compressed" in refusal(path) or "in pieces" in refusal(path)


# What must not be followed or believed


def test_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    small(tmp_path / "secret.h5", {"a/a/bias:0": np.ones(3)})
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
    assert "another kind of HDF5 file" in refusal(path)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        file["a"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/a")
        file["b"] = h5py.SoftLink("/b")
    assert "without any" in refusal(path)


def test_numbers_in_another_file_are_not_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        external = [(str(tmp_path / "secret"), 0, 16)]
        file.create_dataset("a/a/bias:0", (4,), "float32", external=external)
    assert "not all in the file" in refusal(path)
    small(tmp_path / "other.h5", {"x": np.ones(4, np.float32)})
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        file.create_virtual_dataset("v", layout)
    assert "not all in the file" in refusal(path)


def test_groups_that_hold_themselves_end(path: Path) -> None:
    small(path, {"a/a/bias:0": np.ones(3)})
    with h5py.File(path, "r+") as file:
        file["a/again"] = file["a"]
        file["a/a/bias:1"] = file["a/a/bias:0"]
    same(read_keras(path)["a.bias"], np.ones(3))


def test_names_that_lead_in_circles(path: Path) -> None:
    """One flipped bit in the list of free places makes HDF5 itself take memory without end."""
    content = bytearray(keras(path, "2016").read_bytes())
    heap = content.index(b"HEAP")
    first, address = (int.from_bytes(content[heap + i : heap + i + 8], "little") for i in (16, 24))
    content[address + first : address + first + 8] = first.to_bytes(8, "little")
    path.write_bytes(content)
    assert "lead in a circle" in refusal(path)
    assert not is_keras_file(path)
    content[13] = 4
    path.write_bytes(content)
    assert "addresses of other than 8 bytes" in refusal(path)


def test_absurd_sizes_are_refused_before_any_memory_is_taken(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        file.create_dataset("a/a/bias:0", (2**50,), "float32", chunks=(1024,))
    assert "not all in the file" in refusal(path)
    small(path, {"a/a/bias:0": np.ones(1000)})
    content = path.read_bytes()
    path.write_bytes(content.replace((1000).to_bytes(8, "little"), (2**40).to_bytes(8, "little")))
    assert "damaged" in refusal(path)  # HDF5 itself compares the two sizes that it keeps
    small(path, {"a/a/bias:0": np.ones(10_000)})
    with h5py.File(path, "r+") as file:
        place = file["a/a/bias:0"].id.get_offset()
        for i in range(20):
            file.create_dataset(f"a/a/bias{i}:0", (10_000,), "float64")  # not stored, so its address is 2⁶⁴ − 1
    content, size = path.read_bytes(), (80_000).to_bytes(8, "little")
    path.write_bytes(content.replace(b"\xff" * 8 + size, place.to_bytes(8, "little") + size))
    assert "would take 1680000 bytes, far more than the file has" in refusal(path)
    small(path, {"a/a/bias:0": np.zeros((1,) * 9)})
    assert "9 dimensions" in refusal(path)
