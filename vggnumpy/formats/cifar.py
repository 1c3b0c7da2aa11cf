"""CIFAR-10's pictures: its own batches, for Python and binary, in a folder or an archive; and JPEG pictures in HDF5.

Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009: 50,000 training and 10,000 test pictures of
32×32 pixels in ten classes.

The batches for Python are pickles.  A pickle is a program, and none is run here: the two things wanted, one text of
N·3072 bytes and one list of N small numbers, are read off the instructions that would push them.
"""

from __future__ import annotations

import pickletools
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, open_input
from vggnumpy.formats.hdf5_guard import SIGNATURE, check_hdf5
from vggnumpy.formats.reading import RefusedError, one_sentence, quote
from vggnumpy.images import decode_rgb

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
SPLITS = ("train", "test")
_PIXELS = SIDE * SIDE * 3
_RECORD = 1 + _PIXELS
_NAMES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_MAX_MEMBER = 1 << 26  # twice a batch's size


class Pictures(NamedTuple):
    """Pictures and what they show.

    Attributes
    ----------
    pixels : ndarray, N×32×32×3, uint8, RGB
    labels : ndarray of N, uint8
        0–9, in the order of `CLASSES`.
    note : str
        How they were stored, where that changes them.
    """

    pixels: np.ndarray
    labels: np.ndarray
    note: str


def read_cifar(path: PathLike, split: str) -> Pictures:
    """Read one split of CIFAR-10.

    Parameters
    ----------
    path : str or os.PathLike
        A folder with ``data_batch_1`` … ``test_batch`` (Python) or ``data_batch_1.bin`` … ``test_batch.bin`` (binary);
        the archive ``cifar-10-python.tar.gz`` or ``cifar-10-binary.tar.gz``; or an HDF5 file with JPEG pictures:
        ``train/jpeg`` (all files one after the other), ``train/offset`` (N + 1 positions) and ``train/label``.
    split : {"train", "test"}

    Raises
    ------
    InputError
        If something is missing, damaged, cut short or something else.
    """
    if split not in SPLITS:
        raise InputError(f"the split must be train or test, got {split!r}")
    path = Path(path)
    if path.is_dir():
        return _from_batches(path, split, lambda name: _read_file(path / name))
    with open_input(path) as file, one_sentence(path):
        start = file.peek(8)[:8]
        if start == SIGNATURE:
            return _from_hdf5(file, split)
        if start[:2] == b"\x1f\x8b" or path.suffix == ".tar":
            with tarfile.open(fileobj=file) as archive:
                return _from_batches(path, split, lambda name: _read_member(archive, name))
        raise RefusedError("expected CIFAR-10 as a folder of batches, a .tar.gz archive or an HDF5 file")


def _from_batches(path: Path, split: str, read: Callable[[str], bytes | None]) -> Pictures:
    pixels, labels = [], []
    for name in _NAMES[split]:
        data, parse = read(name), _parse_pickle
        if data is None:
            data, parse = read(f"{name}.bin"), _parse_binary
        if data is None:
            raise InputError(f"{path} lacks CIFAR-10's {name} (or {name}.bin); is the download complete?")
        with one_sentence(path / name):
            planes, numbers = parse(data)
            if numbers.size and numbers.max() >= len(CLASSES):
                raise RefusedError(f"expected labels from 0 to 9, found {numbers.max()}; the file is damaged")
            pixels.append(planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
            labels.append(numbers)
    return Pictures(np.concatenate(pixels), np.concatenate(labels), "")


def _read_file(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with open_input(path) as file:
        return file.read(_MAX_MEMBER)


def _read_member(archive: tarfile.TarFile, name: str) -> bytes | None:
    for member in archive:
        if member.isfile() and member.name.rsplit("/", 1)[-1] == name:
            stream = archive.extractfile(member)
            return None if stream is None else stream.read(_MAX_MEMBER)
    return None


def _parse_binary(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return planes N×3072 and labels: each record is a label and the red, green and blue plane."""
    if not data or len(data) % _RECORD:
        raise RefusedError(f"expected records of {_RECORD} bytes, found {len(data)} bytes; the file is cut short")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    return records[:, 1:], records[:, 0].copy()


def _parse_pickle(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return planes N×3072 and labels, read off a pickle's instructions."""
    text: bytes | None = None
    labels: list[int] = []
    collecting = False
    for instruction, value, _ in pickletools.genops(data):
        if isinstance(value, (str, bytes)) and instruction.name.endswith(("STRING", "BYTES", "UNICODE", "BYTES8")):
            content = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            if len(content) >= _PIXELS:
                text = content
            collecting = content == b"labels"
        elif collecting and instruction.name in ("BININT", "BININT1", "BININT2"):
            labels.append(int(value or 0))
    if text is None or len(text) % _PIXELS or len(text) // _PIXELS != len(labels):
        raise RefusedError("expected a batch of CIFAR-10 for Python: pictures of 3072 bytes with a label each")
    if min(labels) < 0 or max(labels) > 255:
        raise RefusedError("expected labels from 0 to 9; the file is damaged")
    return np.frombuffer(text, np.uint8).reshape(-1, _PIXELS), np.array(labels, np.uint8)


def _from_hdf5(stream: Any, split: str) -> Pictures:
    import h5py

    check_hdf5(stream)
    with h5py.File(stream, "r") as file:
        missing = [name for name in ("jpeg", "offset", "label") if f"{split}/{name}" not in file]
        if missing:
            raise RefusedError(f"expected CIFAR-10's pictures as {split}/jpeg, offset and label; it lacks {missing[0]}")
        jpeg, offset, label = (file[f"{split}/{name}"][...] for name in ("jpeg", "offset", "label"))
    count = len(label)
    ordered = offset.shape == (count + 1,) and offset[0] == 0 and (np.diff(offset.astype("int64")) > 0).all()
    if not count or not ordered or offset[-1] != len(jpeg) or label.max() >= len(CLASSES):
        raise RefusedError("its pictures, their places and their labels do not fit together; the file is damaged")
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    data = jpeg.tobytes()
    for i in range(count):
        picture = decode_rgb(data[offset[i] : offset[i + 1]])
        if picture.shape != pixels.shape[1:]:
            raise RefusedError(f"picture {quote(str(i))} is {picture.shape[1]}×{picture.shape[0]}, not 32×32 pixels")
        pixels[i] = picture
    return Pictures(pixels, label.astype(np.uint8), "JPEG copies of CIFAR-10")
