"""PyTorch's files: the tensors bit for bit, nothing executed, and one sentence for everything else."""

import logging
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

import vggnumpy
from vggnumpy.errors import InputError
from vggnumpy.formats.npz_file import read_npz
from vggnumpy.formats.torch_file import read_torch_file

MAGIC = 0x1950A86A20F9469CFC6C

# An assembler of pickles as torch.save writes them, instruction by instruction.


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def shape_of(*sizes: int) -> bytes:
    return tuple_of(*map(number, sizes))


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + tuple_of(*arguments) + b"R"


def storage(key: str, kind: str, length: int, module: str = "torch", legacy: bool = False) -> bytes:
    view = [b"N"] if legacy else []
    return tuple_of(text("storage"), named(module, kind), text(key), text("cpu"), number(length), *view) + b"Q"


def tensor(held: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    hooks = call("collections", "OrderedDict")
    parts = (held, number(offset), shape_of(*shape), shape_of(*strides), b"\x89", hooks)
    return call("torch._utils", "_rebuild_tensor_v2", *parts)


def dict_of(**items: bytes) -> bytes:
    return call("collections", "OrderedDict") + b"(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def zip_file(path: Path, body: bytes, records: dict[str, bytes], **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(body))
        for name, data in more.items():
            archive.writestr(f"archive/{name}", data)
        for key, data in records.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def legacy_file(path: Path, body: bytes, records: dict[str, tuple[int, bytes]], little: bool = True) -> Path:
    facts = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}]
    parts = [pickle.dumps(fact, 2) for fact in facts]
    parts += [program(body), pickle.dumps(list(records), 2)]
    parts += [struct.pack("<q", length) + data for length, data in records.values()]
    path.write_bytes(b"".join(parts))
    return path


def one_tensor(path: Path, container: str, array: np.ndarray, kind: str, module: str = "torch") -> Path:
    strides = tuple(s // array.itemsize for s in array.strides)
    held = storage("7", kind, array.size, module, legacy=container == "legacy")
    body = dict_of(a=tensor(held, 0, array.shape, strides))
    if container == "legacy":
        return legacy_file(path, body, {"7": (array.size, array.tobytes())})
    return zip_file(path, body, {"7": array.tobytes()})


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_torch_file(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600 + len(str(path))
    return sentence


def same(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()  # bit for bit


CONTAINERS = pytest.mark.parametrize("container", ["zip", "legacy"])

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
