"""CIFAR-10 in all its forms, and what is wrong with a damaged one."""

import io
import pickle
import tarfile

import h5py
import numpy as np
import pytest
from PIL import Image

from vggnumpy.errors import InputError
from vggnumpy.formats.cifar import read_cifar

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (32, 32, 3)).astype("uint8")


def contents(suffix, number):
    """Return a batch of three pictures as it is published."""
    indices = range(3 * number, 3 * number + 3)
    planes = np.stack([picture(i).transpose(2, 0, 1).reshape(-1) for i in indices])
    labels = [i % 10 for i in indices]
    if suffix:
        return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, planes, strict=True))
    batch = {b"batch_label": b"training batch", b"labels": labels, b"data": planes, b"filenames": [b"a", b"b", b"c"]}
    return pickle.dumps(batch, protocol=2 + number % 3)


@pytest.fixture(params=["", ".bin"], ids=["python", "binary"])
def folder(request, tmp_path):
    for number, name in enumerate(BATCHES):
        (tmp_path / f"{name}{request.param}").write_bytes(contents(request.param, number))
    return tmp_path


def check(pictures, numbers):
    assert [int(label) for label in pictures.labels] == [i % 10 for i in numbers]
    assert all(np.array_equal(pixels, picture(i)) for pixels, i in zip(pictures.pixels, numbers, strict=True))


def test_a_folder_of_batches(folder):
    check(read_cifar(folder, "train"), range(15))
    check(read_cifar(folder, "test"), range(15, 18))
    assert read_cifar(folder, "test").note == ""


def test_an_archive(folder):
    archive = folder / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.glob("*batch*")):
            file.add(path, f"cifar-10-batches/{path.name}")
    check(read_cifar(archive, "train"), range(15))
    check(read_cifar(archive, "test"), range(15, 18))


def test_a_list_longer_than_one_of_the_pickle_s_portions(tmp_path):
    labels = [i % 10 for i in range(2500)]
    planes = np.zeros((2500, 3072), np.uint8)
    for name in BATCHES:
        (tmp_path / name).write_bytes(pickle.dumps({"data": planes.tobytes(), "labels": labels}, protocol=4))
    assert read_cifar(tmp_path, "test").labels.tolist() == labels


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_no_pickle_is_executed(tmp_path, capsys):
    for name in BATCHES:
        (tmp_path / name).write_bytes(pickle.dumps({"labels": [1], "data": Malicious()}))
    with pytest.raises(InputError, match="expected a batch of CIFAR-10 for Python"):
        read_cifar(tmp_path, "train")
    assert capsys.readouterr().out == ""


def hdf5(path, count=4, damage=None):
    files = []
    for i in range(count):
        stream = io.BytesIO()
        Image.fromarray(picture(i)).save(stream, "JPEG")
        files.append(stream.getvalue())
    arrays = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offset": np.cumsum([0, *map(len, files)]).astype("uint32"),
        "label": np.arange(count, dtype="uint8"),
    }
    if damage:
        damage(arrays)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"train/{name}"] = array
    return path


def test_jpeg_pictures_in_hdf5(tmp_path):
    pictures = read_cifar(hdf5(tmp_path / "c.h5"), "train")
    assert pictures.labels.tolist() == [0, 1, 2, 3] and "JPEG" in pictures.note
    assert all(np.abs(pixels.astype(int) - picture(i)).mean() < 60 for i, pixels in enumerate(pictures.pixels))
    with pytest.raises(InputError, match=r"c\.h5: expected CIFAR-10's pictures as test/jpeg"):
        read_cifar(tmp_path / "c.h5", "test")


def cut(arrays):
    arrays["jpeg"] = arrays["jpeg"][:-10]


def relabelled(arrays):
    arrays["label"] = arrays["label"] + np.uint8(8)


def scrambled(arrays):
    arrays["jpeg"] = arrays["jpeg"] ^ np.uint8(255)


@pytest.mark.parametrize("damage", [cut, relabelled, scrambled])
def test_a_damaged_hdf5_file_gets_one_sentence(tmp_path, damage):
    with pytest.raises(InputError, match=r"c\.h5"):
        read_cifar(hdf5(tmp_path / "c.h5", damage=damage), "train")


def test_a_batch_that_is_cut_short_or_missing_gets_one_sentence(folder):
    path = next(folder.glob("data_batch_3*"))
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="data_batch_3"):
            read_cifar(folder, "train")
    path.unlink()
    with pytest.raises(InputError, match=r"lacks CIFAR-10's data_batch_3 \(or data_batch_3\.bin\)"):
        read_cifar(folder, "train")


def test_a_half_downloaded_archive_gets_one_sentence(folder):
    archive = folder / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.glob("*batch*")):
            file.add(path, path.name)
    archive.write_bytes(archive.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"cifar\.tar\.gz"):
        read_cifar(archive, "test")


def test_labels_beyond_nine_are_refused(folder):
    if not (folder / "test_batch.bin").exists():
        pytest.skip("the binary form only")
    (folder / "test_batch.bin").write_bytes(b"\x0b" + bytes(3072))
    with pytest.raises(InputError, match="expected labels from 0 to 9, found 11"):
        read_cifar(folder, "test")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.h5"):
        read_cifar(tmp_path / "x.h5", "train")
