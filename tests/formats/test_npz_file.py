"""Archives of arrays come back as they are, or as one sentence."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats.npz_file import read_npz

ARRAYS = {
    "conv1_1.weight": np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32),
    "conv1_1.bias": np.arange(4, dtype=np.float64),
    "empty": np.zeros((0, 3), np.int64),
    "order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big": np.arange(5, dtype=">i2"),
}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_are(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(tmp_path / "a.npz", **ARRAYS)
    got = read_npz(tmp_path / "a.npz")
    assert list(got) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "Object arrays cannot be loaded" in refusal(tmp_path / "a.npz")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("array.npy", "text.npz", "empty.npz"):
        assert "expected an .npz archive" in refusal(tmp_path / name)
    assert "no such file" in refusal(tmp_path / "missing.npz")


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "found the entry 'readme.txt'" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_damaged_archives_give_arrays_or_a_sentence(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(tmp_path / "a.npz", **ARRAYS)
    content, path = (tmp_path / "a.npz").read_bytes(), tmp_path / "damaged.npz"
    for length in range(0, len(content), 13):
        path.write_bytes(content[:length])
        refusal(path)
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 2)] = rng.integers(0, 256, 2)
        path.write_bytes(damaged.tobytes())
        try:
            read_npz(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refusal(tmp_path / "a.npz")
