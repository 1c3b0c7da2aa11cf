"""Damaged and malicious `.mat` files get one sentence: no crash, no hang, no warning, no memory out of proportion."""

import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import h5py
import mini_networks as mini
import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats import mat_values
from vggnumpy.formats.mat_file import read_mat

CONV = {"type": "conv", "weights": mini.cell(np.ones((1, 1, 3, 2), "float32"), np.zeros((2, 1), "float32"))}
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"

# Runs in a process of its own: what crashes or waits there ends it, and its memory is limited and measured.
FUZZ = """
import json, random, resource, signal, sys, warnings
from collections import Counter
from pathlib import Path
import h5py, numpy
from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet, read_mat

folder, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
warnings.simplefilter("error")
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcomes, path = {name: Counter() for name in cases}, folder / "damaged.mat"

def attempt(name, content):
    path.write_bytes(content)
    signal.alarm(20)
    try:
        net = read_mat(path)
        assert isinstance(net, SimpleNet) and net.layers
        outcome = "read"
    except InputError as error:
        sentence = str(error)
        outcome = "refused"
        if not sentence.startswith(f"{path}: ") or "\\n" in sentence or len(sentence) > 500:
            outcome = sentence
    except Exception as error:
        outcome = repr(error)
    signal.alarm(0)
    outcomes[name][outcome] += 1

for name, count in cases.items():
    content = (folder / name).read_bytes()
    for i in range(20):
        attempt(f"{name}", content[: len(content) * i // 20])
    assert outcomes[name] == {"refused": 20}, outcomes
    rng = random.Random(name)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 8, 50))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        attempt(name, damaged)
print(json.dumps([outcomes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def small_net() -> dict[str, Any]:
    moments = np.ones((4, 2), "float32")
    layers = [
        {**CONV, "name": "conv1", "pad": mini.row(1, 1, 1, 1)},
        {"type": "bnorm", "weights": mini.cell(*[np.ones((4, 1), "float32")] * 2, moments)},
        {"type": "pool", "method": "max", "pool": mini.row(2, 2), "stride": 2.0},
    ]
    about = {"averageImage": np.full((16, 16, 3), 100.0), "interpolation": "bilinear"}
    meta = {"normalization": about, "classes": {"description": mini.cell("one", "two")}}
    return {"layers": mini.cell(*layers), "meta": meta}


def test_random_damage(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    # One variable, so that no cut falls between two, where the file would be whole without the second.
    mini.write_v5(tmp_path / "v5", {"net": small_net()}, compress=False)
    mini.write_v5(tmp_path / "v7", {"net": small_net()})
    mini.write_v73(tmp_path / "v73", {"net": small_net()})
    cases = {"v5": 400, "v7": 200, "v73": 150}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FUZZ, str(tmp_path), json.dumps(cases)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    outcomes, kilobytes = json.loads(done.stdout)
    for name, count in cases.items():
        assert set(outcomes[name]) == {"refused", "read"}, outcomes[name]
        assert sum(outcomes[name].values()) == count + 20
    assert kilobytes < 100_000


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind: int, shape: tuple[int, ...], body: bytes, name: str = "") -> bytes:
    sizes = element(5, np.array(shape, "<i4").tobytes())
    return element(14, element(6, struct.pack("<II", kind, 0)) + sizes + element(1, name.encode()) + body)


def packed(element_: bytes) -> bytes:
    data = zlib.compress(element_, 9)
    return struct.pack("<II", 15, len(data)) + data


def struct_of(fields: dict[str, bytes], name: str = "") -> bytes:
    names = b"".join(field.encode().ljust(16, b"\0") for field in fields)
    return array(2, (1, 1), element(5, struct.pack("<i", 16)) + element(1, names) + b"".join(fields.values()), name)


def nested(depth: int) -> bytes:
    inner = array(1, (0, 0), b"")
    for _ in range(depth):
        inner = array(1, (1, 1), inner)
    return array(1, (1, 1), inner, "layers")


@pytest.fixture
def peak_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """Check what Python and NumPy allocate at most in a block; limits are a tenth of the real ones, to be quick."""
    monkeypatch.setattr(mat_values, "FREE_BYTES", mat_values.FREE_BYTES // 10)
    monkeypatch.setattr(mat_values, "MAX_VALUES", 20_000)

    @contextmanager
    def limited(most: int) -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < most

    return limited


ZEROS = bytes(40 << 20)
MALICIOUS_V5 = {
    "a bomb of zeros as numbers": (
        lambda: packed(array(6, (5 << 20, 1), element(9, ZEROS), "layers")),
        "more than 20 times the file's size",
    ),
    "a bomb in a field that is passed over": (
        lambda: packed(array(1, (1, 1), struct_of({"momentum": array(6, (5 << 20, 1), element(9, ZEROS))}), "layers")),
        "more than 20 times the file's size",
    ),
    "a bomb behind the variable": (
        lambda: packed(array(1, (1, 1), struct_of({"type": array(4, (1, 1), element(4, b"x\0"))}), "layers") + ZEROS),
        "more than 20 times the file's size",
    ),
    "many empty cells": (
        lambda: packed(array(1, (1, 50_000), element(14, b"") * 50_000, "layers")),
        "more than 20000 values",
    ),
    "a shape that the numbers do not fill": (
        lambda: array(6, (1 << 30, 1 << 30), element(9, bytes(16)), "layers"),
        "an array of shape .* has 16 bytes",
    ),
    "bytes as doubles": (
        lambda: packed(array(6, (2 << 20, 1), element(2, bytes(2 << 20)), "layers")),
        "more than 20 times the file's size",
    ),
    "more cells than bytes": (
        lambda: array(1, (1 << 30, 1), element(14, b""), "layers"),
        "longer than the one that contains it",
    ),
    "a length beyond the file": (
        lambda: struct.pack("<II", 14, 1 << 31),
        "claims 2147483648 bytes where 0 are left",
    ),
    "a length beyond its variable": (
        lambda: packed(struct.pack("<II", 14, 1 << 31) + bytes(64)),
        "longer than the one|cut short|flags",
    ),
    "text longer than its shape": (
        lambda: array(1, (1, 1), struct_of({"type": array(4, (1, 2), element(16, b"x" * 99))}), "layers"),
        "text of 2 characters has 99 bytes",
    ),
    "deep nesting": (lambda: nested(10_000), "nested more than 12 deep"),
    "a negative shape": (lambda: array(6, (-1, -1), element(9, bytes(8)), "layers"), "impossible shape"),
    "a shape of many axes": (lambda: array(6, (1,) * 40, element(9, bytes(8)), "layers"), "impossible shape"),
    "a wrong checksum": (lambda: packed(array(1, (1, 1), b"", "meta"))[:-1] + b"\xff", "damaged"),
}


@pytest.mark.parametrize("case", MALICIOUS_V5)
def test_malicious_files_of_version_5(case: str, tmp_path: Path, peak_memory: Any) -> None:
    make, sentence = MALICIOUS_V5[case]
    path = tmp_path / "net.mat"
    path.write_bytes(HEADER + make())
    with peak_memory(30 << 20), pytest.raises(InputError, match=sentence) as caught:
        read_mat(path)
    assert "\n" not in str(caught.value)


def replaced(file: h5py.File, **settings: Any) -> h5py.Dataset:
    """Put another dataset in the place of the average image."""
    del file["meta/normalization/averageImage"]
    item = file["meta/normalization"].create_dataset("averageImage", **settings)
    item.attrs["MATLAB_class"] = np.bytes_("double")
    return item


def external_link(file: h5py.File, folder: Path) -> None:
    mini.write_v73(folder / "other.mat", small_net())
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(folder / "other.mat"), "/layers")


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(24))
    replaced(file, shape=(3, 1), dtype="f8", external=[(str(folder / "secret"), 0, 24)])


def virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.zeros((3, 1))
    layout = h5py.VirtualLayout((3, 1), "f8")
    layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "x", (3, 1))
    del file["meta/normalization/averageImage"]
    item = file["meta/normalization"].create_virtual_dataset("averageImage", layout)
    item.attrs["MATLAB_class"] = np.bytes_("double")


def left_out(file: h5py.File, folder: Path) -> None:
    replaced(file, shape=(3, 100, 200), dtype="f8")


def chunks_left_out(file: h5py.File, folder: Path) -> None:
    replaced(file, shape=(3, 100, 200), dtype="f8", chunks=(3, 100, 100), compression="gzip")[:, :, :100] = 1


def huge(file: h5py.File, folder: Path) -> None:
    replaced(file, shape=(3, 1 << 20, 1 << 20), dtype="f8", chunks=(1, 1024, 1024), compression="gzip")


def huge_chunk(file: h5py.File, folder: Path) -> None:
    replaced(file, data=np.zeros((3, 1)), maxshape=(None, None), chunks=(1 << 10, 1 << 10), compression="gzip")


def chunk_bomb(file: h5py.File, folder: Path) -> None:
    item = replaced(file, shape=(3, 32, 32), dtype="f8", chunks=(3, 32, 32), compression="gzip")
    item.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(40 << 20), 9))


def long_chunk(file: h5py.File, folder: Path) -> None:
    item = replaced(file, shape=(3, 4, 4), dtype="f8", chunks=(3, 4, 4), compression="gzip")
    item.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(3 * 4 * 4 * 8), 9) + bytes(10_000))


def other_filter(file: h5py.File, folder: Path) -> None:
    replaced(file, data=np.zeros((3, 4, 4)), chunks=(3, 4, 4), compression="lzf")


def other_type(file: h5py.File, folder: Path) -> None:
    replaced(file, data=np.zeros((3, 1), "complex64"))


def circle(file: h5py.File, folder: Path) -> None:
    file["layers"][0, 0] = file["layers"].ref


def doubling(file: h5py.File, folder: Path) -> None:
    """Each of ten cells holds the one before it ten times."""
    inner = file["layers"][0, 0]
    for i in range(10):
        item = file["#refs#"].create_dataset(f"level{i}", (10, 1), h5py.ref_dtype)
        item[...] = [[inner]] * 10
        item.attrs["MATLAB_class"] = np.bytes_("cell")
        inner = item.ref
    file["layers"][0, 0] = inner


def null_reference(file: h5py.File, folder: Path) -> None:
    item = file["#refs#"].create_dataset("null", (1, 1), h5py.ref_dtype)
    item.attrs["MATLAB_class"] = np.bytes_("cell")
    file["layers"][0, 0] = item.ref


MALICIOUS_V73 = {
    external_link: "holds no network",
    external_storage: "in another file",
    virtual: "in another file",
    left_out: "not all in the file",
    chunks_left_out: "not all in the file",
    huge: "more than 20 times the file's size",
    huge_chunk: "stored in chunks of shape",
    chunk_bomb: "a chunk does not inflate to 24576 bytes",
    long_chunk: "a chunk of 384 bytes is stored in",
    other_filter: "a filter that MATLAB does not use",
    other_type: "stored as complex64, expected float64",
    circle: "nested more than 12 deep",
    doubling: "more than 20000 values|nested more than 12 deep",
    null_reference: "damaged",
}


@pytest.mark.parametrize("change", MALICIOUS_V73, ids=lambda change: change.__name__)
def test_malicious_files_of_version_73(change: Any, tmp_path: Path, peak_memory: Any) -> None:
    path = mini.write_v73(tmp_path / "net.mat", small_net())
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with peak_memory(30 << 20), pytest.raises(InputError, match=MALICIOUS_V73[change]) as caught:
        read_mat(path)
    assert "\n" not in str(caught.value)
