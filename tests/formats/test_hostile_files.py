"""Damaged and malicious files of every kind: arrays or one sentence, no crash, no hang, nothing executed.

All cases run in one other process with limited memory, because a fault in a reader could take any amount, or the
process itself.  The variable VGGNUMPY_DAMAGED_FILES sets how many damaged copies are tried of each file (a full check:
VGGNUMPY_DAMAGED_FILES=1000 pytest tests/formats/test_hostile_files.py, half a minute).
"""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign_files import FILES
from torch_pickles import MAGIC

import vggnumpy

COUNT = int(os.environ.get("VGGNUMPY_DAMAGED_FILES", "100"))
NAMES = ("current.caffemodel", "v0.caffemodel", "mini.safetensors", "2016.h5", "model.h5", "mini.t7")
NAMES = (*NAMES, "zip.pth", "legacy.pth")

# Arguments: how many copies, then the files.  Prints a line for each (its name, sentences, arrays, cuts not noticed),
# then the most memory that was in use, in KiB.
PROGRAM = """
import resource, sys
from pathlib import Path

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.formats.caffe_file import read_caffemodel
from vggnumpy.formats.keras_file import read_keras
from vggnumpy.formats.safetensors_file import read_safetensors
from vggnumpy.formats.t7_file import read_t7
from vggnumpy.formats.torch_file import read_torch_file

READERS = {
    ".caffemodel": lambda path: read_caffemodel(path).arrays,
    ".safetensors": read_safetensors,
    ".h5": read_keras,
    ".t7": lambda path: read_t7(path).arrays,
    ".pth": read_torch_file,
}

def attempt(path, content):
    path.write_bytes(content)
    try:
        arrays = READERS[path.suffix](path)
    except InputError as error:
        said = str(error)
        assert said.startswith(f"{path}: ") and "\\n" not in said and len(said) < 600 + len(str(path)), said
        assert "more memory than is free" not in said, said
        return 0
    assert all(isinstance(array, np.ndarray) and array.sum() is not None for array in arrays.values())
    return 1

np.seterr(all="ignore")
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
for name in sys.argv[2:]:
    original = Path(name)
    content = original.read_bytes()
    damaged = original.with_name("damaged" + original.suffix)
    cuts = sum(attempt(damaged, content[: len(content) * i // 20]) for i in range(20))
    rng, arrays = np.random.default_rng(0), 0
    # Where bytes are not zero a file's structure is; the rest of an HDF5 file is mostly empty room.
    places = np.flatnonzero(np.frombuffer(content, np.uint8))
    for case in range(int(sys.argv[1])):
        changed = bytearray(content)
        for _ in range(rng.integers(1, 6)):
            place = rng.choice(places) if case % 2 else rng.integers(len(content))
            changed[place] = rng.choice([rng.integers(256), changed[place] ^ 1 << rng.integers(8), 0, 255])
        arrays += attempt(damaged, changed)
    print(original.name, int(sys.argv[1]) - arrays, arrays, cuts)
print(*(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


class Attack:
    """Pickled by the standard library into a program that makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (self.folder,)


def malicious(folder: Path, victim: Path) -> list[Path]:
    """Write an attack in both of PyTorch's containers, behind enough of a state dict to look like one."""
    attack = pickle.dumps({"weight": Attack(victim)}, 2)
    facts = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}]
    (folder / "attack_legacy.pth").write_bytes(b"".join(pickle.dumps(fact, 2) for fact in facts) + attack)
    with zipfile.ZipFile(folder / "attack_zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", attack)
    pickle.loads(attack)
    assert victim.is_dir()  # it would have worked
    victim.rmdir()
    return [folder / "attack_legacy.pth", folder / "attack_zip.pth"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are tested on Linux")
def test_damaged_files_give_arrays_or_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "victims").mkdir()
    paths = [FILES[name](tmp_path / name) for name in NAMES]
    paths += malicious(tmp_path, tmp_path / "victims" / "victim")
    root = str(Path(vggnumpy.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", PROGRAM, str(COUNT), *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any((tmp_path / "victims").iterdir())
    *lines, peak = done.stdout.splitlines()
    assert int(peak) < 250_000  # of which 70,000 are Python's, NumPy's and HDF5's own
    results = {name: tuple(map(int, counts)) for name, *counts in map(str.split, lines)}
    assert list(results) == [path.name for path in paths]
    for name, (sentences, arrays, cuts) in results.items():
        assert cuts == 0, name  # every file cut short is noticed
        assert sentences > COUNT / 20, name
        if name != "zip.pth":  # whose numbers are under checksums; elsewhere a changed number is a number, too
            assert (arrays > 0) == ("attack" not in name), name


def test_a_file_cut_between_two_of_caffes_layers_is_shorter_and_valid(tmp_path: Path) -> None:
    """Protobuf has no mark for the end: what such a cut loses is for the reader of the network to notice."""
    from vggnumpy.formats.caffe_file import read_caffemodel

    path = FILES["current.caffemodel"](tmp_path / "net.caffemodel")
    whole = read_caffemodel(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"relu5_4") - 5])
    part = read_caffemodel(path)
    assert whole.layers[: len(part.layers)] == part.layers
    assert part.layers[-1].name == "conv5_4"
