"""The miniature networks that tests write are the ones of the large material, field by field."""

from pathlib import Path
from typing import Any

import h5py
import mini_networks
import numpy as np
import pytest
import scipy.io


def from_v5(value: Any) -> Any:
    """Return plain Python: structs as dicts, cells as lists with their shape, the rest as arrays."""
    if value.dtype.names:
        (record,) = value.reshape(-1)
        return {name: from_v5(record[name]) for name in value.dtype.names}
    if value.dtype == object:
        return value.shape, [from_v5(item) for item in value.flat]
    return value


def from_v73(file: h5py.File, item: Any) -> Any:
    kind = item.attrs["MATLAB_class"].decode()
    if kind == "struct":
        fields = ["".join(c.decode() for c in field) for field in item.attrs["MATLAB_fields"]]
        assert sorted(fields) == sorted(item)
        return {field: from_v73(file, item[field]) for field in fields}
    if "MATLAB_empty" in item.attrs:
        return kind, tuple(item[()])
    if kind == "cell":
        return item.shape, [from_v73(file, file[reference]) for reference in item[()].flat]
    return kind, int(item.attrs.get("MATLAB_int_decode", 0)), item[()]


def assert_same(mine: Any, original: Any, where: str) -> None:
    assert type(mine) is type(original), where
    if isinstance(mine, dict):
        assert set(mine) == set(original), where  # in any order, as no reader may rely on it
        for name in mine:
            assert_same(mine[name], original[name], f"{where}.{name}")
    elif isinstance(mine, (tuple, list)):
        assert len(mine) == len(original), where
        for i, (a, b) in enumerate(zip(mine, original, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(mine, np.ndarray):
        assert (mine.dtype, mine.shape) == (original.dtype, original.shape), where
        np.testing.assert_array_equal(mine, original, where)
    else:
        assert mine == original, where


@pytest.mark.parametrize("name", mini_networks.MINI_FILES)
def test_the_written_file_reads_as_the_original(name: str, shared: Path, tmp_path: Path) -> None:
    mine, original = mini_networks.write_mini(tmp_path, name), shared / "fixtures" / "matconvnet" / name
    if name.endswith("_v73.mat"):
        with h5py.File(mine) as a, h5py.File(original) as b:
            assert set(a) == set(b)
            for variable in set(a) - {"#refs#"}:
                assert_same(from_v73(a, a[variable]), from_v73(b, b[variable]), variable)
        return
    contents = [{k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_"} for path in (mine, original)]
    assert set(contents[0]) == set(contents[1])
    for variable in contents[0]:
        assert_same(*(from_v5(content[variable]) for content in contents), variable)


@pytest.mark.parametrize("name", ["mini_vgg19", "mini_vgg_face"])
def test_arrays_are_the_stored_ones(name: str, shared: Path) -> None:
    arrays = getattr(mini_networks, name)()
    with np.load(shared / "fixtures" / "matconvnet" / f"{name}_oihw.npz") as stored:
        for layer, (w, b) in arrays.items():
            np.testing.assert_array_equal(w.transpose(3, 2, 0, 1), stored[f"{layer}.weight"])
            np.testing.assert_array_equal(b, stored[f"{layer}.bias"])
        assert {key for key in stored if key.endswith(".weight")} == {f"{layer}.weight" for layer in arrays}
