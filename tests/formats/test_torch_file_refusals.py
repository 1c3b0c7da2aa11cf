"""Files that pretend to be PyTorch's: nothing in them runs, and each gets one sentence."""

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_pickles import (
    CONTAINERS,
    MAGIC,
    call,
    dict_of,
    legacy_file,
    named,
    number,
    program,
    refusal,
    same,
    shape_of,
    storage,
    tensor,
    text,
    zip_file,
)

import vggnumpy
from vggnumpy.errors import InputError
from vggnumpy.formats.torch_file import read_torch_file

# What must never run


class Attack:
    """Pickled by the standard library into a program that calls whatever it likes."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@CONTAINERS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("attack", ["os.system", "eval", "exec", "mkdir"])
def test_malicious_pickles_do_not_run(tmp_path: Path, container: str, protocol: int, attack: str) -> None:
    victim = tmp_path / "victim"
    thing = {
        "os.system": Attack(os.system, f"touch {victim}"),
        "eval": Attack(eval, f"__import__('os').mkdir({str(victim)!r})"),
        "exec": Attack(exec, f"__import__('os').mkdir({str(victim)!r})"),
        "mkdir": Attack(os.mkdir, str(victim)),
    }[attack]
    malicious = pickle.dumps({"a": thing}, protocol)
    if container == "legacy":
        facts = [MAGIC, 1001, {"little_endian": True}]
        (tmp_path / "f.pth").write_bytes(b"".join(pickle.dumps(fact, 2) for fact in facts) + malicious)
    else:
        with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
            archive.writestr("archive/data.pkl", malicious)
    assert "refers to the Python object" in refusal(tmp_path / "f.pth")
    assert not victim.exists()
    pickle.loads(malicious)
    assert victim.exists()  # it would have worked


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("torch.nn.modules.container", "Sequential"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_xla_tensor"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.fromkeys"),
        ("argparse", "Namespace"),
    ],
)
def test_unknown_objects_are_refused_by_name(tmp_path: Path, module: str, name: str) -> None:
    body = dict_of(a=named(module, name))
    assert f"'{module}.{name}'" in refusal(zip_file(tmp_path / "f.pth", body, {}))


@pytest.mark.parametrize(
    ("body", "instruction"),
    [
        (b"(ios\nsystem\n", "INST"),
        (b"(cos\nsystem\no", "Python object"),
        (b"\x8f", "EMPTY_SET"),
        (named("collections", "OrderedDict") + b")\x81", "NEWOBJ"),
        (b"\x82\x01", "EXT1"),
        (b"Pkey\n", "PERSID"),
        (b"I01\n", "INT"),
    ],
)
def test_instructions_no_state_dict_needs(tmp_path: Path, body: bytes, instruction: str) -> None:
    assert instruction in refusal(zip_file(tmp_path / "f.pth", body, {}))


# What is no state dict


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (tensor(storage("0", "FloatStorage", 1), 0, (1,), (1,)), "found another object"),
        (b"]", "found another object"),
        (number(3), "found another object"),
        (dict_of(), "a dict without tensors"),
        (dict_of(a=number(3)), "a dict without tensors"),
        (b"}" + number(3) + tensor(storage("0", "FloatStorage", 1), 0, (1,), (1,)) + b"s", "named by text"),
        (b"}" + shape_of(1, 2) + number(3) + b"s", "keys that are no names"),
        (b")" + number(3) + b"a", "appends to what is no list"),
        (text("f") + b")R", "calls what is no function"),
        (call("torch._utils", "_rebuild_tensor_v2", number(1), number(0), b")", b")"), "not known"),
        (call("torch._utils", "_rebuild_tensor_v2", b")"), "damaged"),
        (named("collections", "OrderedDict") + named("collections", "OrderedDict") + b"R", "no function"),
        (number(3) + b"Q", "storage of numbers"),
        (storage("0", "FloatStorage", -1), "storage of numbers"),
        (storage("0", "FloatStorage", 2**60), "storage of numbers"),
        (storage("0", "FloatStorage", 3) + storage("0", "FloatStorage", 4), "described twice"),
        (b"", "damaged"),
        (b"t", "damaged"),
        (b"h\x05", "damaged"),
        (b"u", "damaged"),
    ],
)
def test_descriptions_of_something_else(tmp_path: Path, body: bytes, words: str) -> None:
    assert words in refusal(zip_file(tmp_path / "f.pth", body, {"0": bytes(4)}))


@CONTAINERS
@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (6, (), ()),
        (0, (2, 3), (4, 1)),
        (0, (7,), (0,)),
        (0, (1000, 1000), (0, 0)),
        (-1, (2,), (1,)),
        (5, (2,), (-1,)),
        (0, (2**47, 2**47, 2**47), (2**47, 2**47, 1)),
        (0, (2**70,), (1,)),
        (0, (2, 3), (1,)),
        (0, (1,) * 9, (1,) * 9),
        (7, (0,), (1,)),
    ],
)
def test_tensors_outside_their_storage(
    tmp_path: Path, container: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    body = dict_of(a=tensor(storage("0", "FloatStorage", 6, legacy=container == "legacy"), offset, shape, strides))
    if container == "legacy":
        refusal(legacy_file(tmp_path / "f.pth", body, {"0": (6, bytes(24))}))
    else:
        refusal(zip_file(tmp_path / "f.pth", body, {"0": bytes(24)}))


# What is wrong with a container

ONE = dict_of(a=tensor(storage("0", "FloatStorage", 6), 0, (6,), (1,)))
ONE_LEGACY = dict_of(a=tensor(storage("0", "FloatStorage", 6, legacy=True), 0, (6,), (1,)))


def test_files_that_are_not_torchs(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps({"a": 1}, 2))
    (tmp_path / "archive.pth").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name in ("text", "empty", "pickle", "archive"):
        assert "written by torch.save" in refusal(tmp_path / f"{name}.pth")
    assert "no such file" in refusal(tmp_path / "missing.pth")
    assert "found a folder" in refusal(tmp_path)


def test_big_endian_files(tmp_path: Path) -> None:
    zip_file(tmp_path / "zip.pth", ONE, {"0": bytes(24)}, byteorder=b"big")
    legacy_file(tmp_path / "legacy.pth", ONE_LEGACY, {"0": (6, bytes(24))}, little=False)
    assert "big-endian" in refusal(tmp_path / "zip.pth")
    assert "big-endian" in refusal(tmp_path / "legacy.pth")
    zip_file(tmp_path / "little.pth", ONE, {"0": bytes(24)}, byteorder=b"little")
    assert read_torch_file(tmp_path / "little.pth")["a"].shape == (6,)


@pytest.mark.parametrize("size", [0, 20, 25, 28, 240])
def test_storages_of_another_size(tmp_path: Path, size: int) -> None:
    assert "should take 24 bytes" in refusal(zip_file(tmp_path / "zip.pth", ONE, {"0": bytes(size)}))
    legacy_file(tmp_path / "legacy.pth", ONE_LEGACY, {"0": (size // 4 if size != 25 else 7, bytes(size))})
    assert "should take 24 bytes" in refusal(tmp_path / "legacy.pth")


def test_a_legacy_file_cut_short_in_its_numbers(tmp_path: Path) -> None:
    legacy_file(tmp_path / "f.pth", ONE_LEGACY, {"0": (6, bytes(23))})
    assert "cut short" in refusal(tmp_path / "f.pth")


def test_storages_missing_or_unknown(tmp_path: Path) -> None:
    assert "is missing" in refusal(zip_file(tmp_path / "zip.pth", ONE, {"1": bytes(24)}))
    legacy_file(tmp_path / "legacy.pth", ONE_LEGACY, {"1": (6, bytes(24))})
    assert "no tensor refers to" in refusal(tmp_path / "legacy.pth")
    refusal(legacy_file(tmp_path / "none.pth", ONE_LEGACY, {}))


@pytest.mark.parametrize("name", ["../../data.pkl", "/data.pkl", "a/b/data.pkl", "data.pkl"])
def test_archives_with_other_names(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
        archive.writestr(name, program(ONE))
    if name != "/data.pkl":  # an empty NAME is odd and harmless
        assert "without its NAME/data.pkl" in refusal(tmp_path / "f.pth")
    refusal(tmp_path / "f.pth")


def test_two_descriptions(tmp_path: Path) -> None:
    path = zip_file(tmp_path / "f.pth", ONE, {"0": bytes(24)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", program(ONE))
    assert "without its NAME/data.pkl" in refusal(path)


def test_keys_that_look_like_paths_stay_inside_the_archive(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(24))
    body = dict_of(a=tensor(storage(f"../../{tmp_path}/secret", "FloatStorage", 6), 0, (6,), (1,)))
    assert "is missing" in refusal(zip_file(tmp_path / "f.pth", body, {"0": bytes(24)}))


def test_compressed_archives_are_refused_before_they_grow(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", program(ONE), zipfile.ZIP_STORED)
        archive.writestr("a/data/0", bytes(24))
    assert "is compressed" in refusal(tmp_path / "f.pth")


def test_a_record_larger_than_the_file(tmp_path: Path) -> None:
    path = zip_file(tmp_path / "f.pth", ONE, {"0": bytes(24)})
    content = bytearray(path.read_bytes())
    sizes = content.rindex(b"PK\x01\x02") + 20  # in the directory's last entry: compressed and plain
    content[sizes : sizes + 8] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content)
    assert "larger than the file" in refusal(path)


def test_names_full_of_surprises(tmp_path: Path) -> None:
    body = dict_of(a=named("o" * 100_000, "\x1b[2J"))
    assert "\x1b" not in refusal(zip_file(tmp_path / "f.pth", body, {}))


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are tested on Linux")
def test_bombs_stay_small(tmp_path: Path) -> None:
    """Each of these few bytes asks Python's own reader, or NumPy, for gigabytes, hours or a crash."""
    held = storage("0", "FloatStorage", 250_000)
    view = tensor(held, 0, (250_000,), (1,))
    pairs = b"".join(number(i) + b"N\x86" for i in range(20_000))
    bombs = {
        "memo": b"Nr\xff\xff\xff\x7f0",
        "unicode": b"\x8d" + struct.pack("<Q", 2**62),
        "unicode4": b"X" + struct.pack("<I", 2**32 - 1),
        "bytes": b"\x8e" + struct.pack("<Q", 2**62),
        "long": b"\x8b" + struct.pack("<i", 2**31 - 1),
        "frame": b"\x95" + struct.pack("<Q", 2**62) + b"N",
        "nested": b"})" + b"\x85" * 300_000 + b"Ns",
        "nested value": dict_of(a=b")" + b"\x85" * 300_000),
        "endless": b"N" * 1_100_000,
        "shared": dict_of(**{f"a{i}": view for i in range(2000)}),
        "pairs": b"](" + pairs + b"eq\x00(" + 5000 * (named("collections", "OrderedDict") + b"h\x00\x85R") + b"t",
    }
    program_text = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
from vggnumpy.formats.torch_file import read_torch_file
from vggnumpy.errors import InputError
for name in sys.argv[1:]:
    try:
        read_torch_file(name)
    except InputError as error:
        print(error)
"""
    paths = []
    for name, body in bombs.items():
        paths.append(str(zip_file(tmp_path / f"{name} zip", body, {"0": bytes(1_000_000)})))
        legacy_body = body.replace(held, storage("0", "FloatStorage", 250_000, legacy=True))
        paths.append(str(legacy_file(tmp_path / f"{name} legacy", legacy_body, {"0": (250_000, bytes(1_000_000))})))
    root = str(Path(vggnumpy.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", program_text, *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    assert all(line.startswith(f"{path}: ") for line, path in zip(lines, paths, strict=True))
    assert not any("memory" in line for line in lines)
    said = dict(zip(bombs, lines[::2], strict=True))
    assert "absurdly long" in said["endless"]
    assert "found another object" in said["pairs"]
    assert "more than the file has" in said["shared"]
    assert "keys that are no names" in said["nested"]


def test_damaged_files_give_arrays_or_a_sentence(tmp_path: Path) -> None:
    numbers = {key: np.arange(6, dtype=np.float32).tobytes() for key in "01"}
    records = {key: (6, data) for key, data in numbers.items()}
    body = dict_of(
        state_dict=dict_of(
            a=tensor(storage("0", "FloatStorage", 6, legacy=True), 0, (2, 3), (3, 1)),
            b=tensor(storage("1", "FloatStorage", 6, legacy=True), 0, (6,), (1,)),
        )
    )
    legacy_file(tmp_path / "legacy", body, records)
    zip_file(tmp_path / "zip", body.replace(b"NtQ", b"tQ"), numbers)
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for name in ("zip", "legacy"):
        content = (tmp_path / name).read_bytes()
        assert list(read_torch_file(tmp_path / name)) == ["a", "b"]
        for length in range(0, len(content), 3):
            path.write_bytes(content[:length])
            refusal(path)
        arrays = sentences = 0
        for _ in range(600):
            damaged = np.frombuffer(content, np.uint8).copy()
            damaged[rng.integers(0, len(damaged), rng.integers(1, 4))] = rng.integers(0, 256)
            path.write_bytes(damaged.tobytes())
            try:
                got = read_torch_file(path)
            except InputError as error:
                sentences += 1
                assert "\n" not in str(error)
            else:
                arrays += 1
                assert all(isinstance(array, np.ndarray) for array in got.values())
        assert arrays > 10
        assert sentences > 200


def test_files_of_torch_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    state["turned"] = torch.arange(12.0).reshape(3, 4).T
    state["half"] = torch.tensor([1.5, -2.0]).half()
    state["brain"] = torch.tensor([1.5, -2.0]).bfloat16()
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    for modern in (True, False):
        torch.save(state, tmp_path / "f.pth", _use_new_zipfile_serialization=modern)
        got = read_torch_file(tmp_path / "f.pth")
        assert list(got) == list(state)
        for name, value in state.items():
            same(got[name], value.detach().float().numpy() if name == "brain" else value.detach().numpy().copy("C"))
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / "f.pth", _use_new_zipfile_serialization=modern)
        assert list(read_torch_file(tmp_path / "f.pth")) == list(state)
        torch.save(torch.nn.Linear(2, 2), tmp_path / "f.pth", _use_new_zipfile_serialization=modern)
        assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "f.pth")
