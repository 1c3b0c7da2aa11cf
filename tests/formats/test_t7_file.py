"""Torch7's files: nested sequences in order, and one sentence for functions, circles and forged counts."""

import struct
from pathlib import Path

import numpy as np
import pytest
from foreign_files import T7, bgr, oihw, same_arrays, t7, vgg_order, with_matrices
from torch_pickles import same

from vggnumpy.errors import InputError
from vggnumpy.formats.t7_file import T7Model, read_t7

TWO = np.array([1.5, -2.0], np.float32)
KINDS = {
    "ReLU": "relu",
    "SoftMax": "prob",
    "SpatialMaxPooling": "pool",
    "Linear": "fc",
    "SpatialConvolutionMM": "conv",
    "SpatialConvolution": "conv",
    "View": "",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.t7"


def read(path: Path, content: bytes) -> T7Model:
    path.write_bytes(content)
    return read_t7(path)


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(path, content)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and len(said) < 600 + len(str(path))
    return said


def with_bias(made: T7, bias: bytes) -> bytes:
    return made.sequential([made.module("nn.Linear", {"bias": bias})])


@pytest.mark.parametrize("matrices", [True, False])
def test_the_miniature_network(path: Path, matrices: bool) -> None:
    model = read_t7(t7(path, matrices))
    path.unlink()
    assert [i for i, _, _ in model.modules] == list(range(44))
    order = vgg_order()
    order.insert(order.index("pool5") + 1, "")  # the View before fc6
    for (_, kind, _), name in zip(model.modules, order, strict=True):
        assert name.startswith(KINDS[kind.removeprefix("nn.")])
    numbers = {name: str(i) for i, name in enumerate(order)}
    expected = with_matrices(bgr(oihw()))
    renamed = {name.replace(name.split(".")[0], numbers[name.split(".")[0]]): a for name, a in expected.items()}
    same_arrays(model.arrays, renamed)
    assert model.modules[0][2] == {
        "nInputPlane": 3.0,
        "nOutputPlane": 4.0,
        "kW": 3.0,
        "kH": 3.0,
        "dW": 1.0,
        "dH": 1.0,
        "padW": 1.0,
        "padH": 1.0,
    }
    assert model.modules[1][2] == {"inplace": True}
    assert all(array.flags.writeable and array.flags.aligned for array in model.arrays.values())


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("Double", "f8"),
        ("Float", "f4"),
        ("Half", "f2"),
        ("Long", "i8"),
        ("Int", "i4"),
        ("Short", "i2"),
        ("Char", "i1"),
        ("Byte", "u1"),
        ("Cuda", "f4"),
        ("CudaDouble", "f8"),
        ("CudaHalf", "f2"),
        ("CudaLong", "i8"),
    ],
)
def test_every_type_comes_bit_for_bit(path: Path, kind: str, dtype: str) -> None:
    random = np.random.default_rng(0).integers(0, 256, 24 * np.dtype(dtype).itemsize, np.uint8)
    array = random.view(dtype).reshape(2, 3, 4)  # NaNs and all
    same(read(path, with_bias(made := T7(), made.tensor(array, kind)))[0]["0.bias"], array)


def test_views_share_one_storage(path: Path) -> None:
    """As getParameters() leaves a network: one storage, seen again by its index."""
    made, numbers = T7(), np.arange(12, dtype=np.float32)
    storage = made.storage(numbers)
    again = storage[:8]  # tag and index
    modules = [
        made.module("nn.Linear", {"weight": made.view((2, 3), (3, 1), 1, storage)}),
        made.module("nn.Linear", {"weight": made.view((3, 2), (1, 3), 7, again)}),
        made.module("nn.Linear", {"bias": made.view((2,), (0,), 12, again), "weight": made.view((), (), 1, b"\0" * 4)}),
    ]
    got = read(path, made.sequential(modules)).arrays
    same(got["0.weight"], numbers[:6].reshape(2, 3))
    same(got["1.weight"], np.ascontiguousarray(numbers[6:].reshape(2, 3).T))
    same(got["2.bias"], np.array([11, 11], np.float32))
    same(got["2.weight"], np.zeros(0, np.float32))


def test_modules_may_be_shared_and_old_files_have_no_version(path: Path) -> None:
    made = T7()
    relu = made.module("nn.ReLU", {}, version=False)
    last = made.module("nn.Linear", {"bias": made.tensor(TWO), "running_mean": made.tensor(TWO)}, version=False)
    model = read(path, made.sequential([relu, relu[:8], last]))
    assert [kind for _, kind, _ in model.modules] == ["nn.ReLU", "nn.ReLU", "nn.Linear"]
    assert list(model.arrays) == ["2.bias", "2.running_mean"]


# What is something else


def test_other_files(path: Path) -> None:
    assert "empty file" in refusal(path, b"")
    assert "ASCII" in refusal(path, b"4\n1\n3\nV 1\n13\nnn.Sequential\n")
    for content in (b"hello", b"\x89HDF\r\n\x1a\n", b"PK\3\4" + bytes(100), b"\x80\x02}."):
        assert "found something else" in refusal(path, content)
    assert "found a tensor" in refusal(path, T7().tensor(TWO))
    assert "found a table" in refusal(path, T7().table([]))
    assert "found something else" in refusal(path, T7().number(3))
    assert "without any" in refusal(path, T7().sequential([]))
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read_t7(path)


@pytest.mark.parametrize("tag", [6, 7, 8])
def test_functions_are_refused(path: Path, tag: int) -> None:
    code = struct.pack("<iii", tag, 99, 4) + b"\x1bLua" + bytes(4)
    assert "a Lua function, which is never run" in refusal(path, with_bias(T7(), code))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch.Generator", "neither tensor nor module"),
        ("torch.FloatThing", "neither tensor nor module"),
        ("torch.ComplexTensor", "neither tensor nor module"),
        ("tds.Hash", "no table of fields"),
    ],
)
def test_objects_of_other_classes(path: Path, name: str, words: str) -> None:
    assert words in (said := refusal(path, with_bias(made := T7(), made.object(name, made.number(3)))))
    assert repr(name) in said


def test_containers_with_branches(path: Path) -> None:
    made = T7()
    inner = made.module("nn.Concat", {"modules": made.table([])})
    assert "the container 'nn.Concat'; only nn.Sequential" in refusal(path, made.sequential([inner]))
    assert "only nn.Sequential" in refusal(path, made.module("nn.Sequential", {"modules": made.number(1)}))
    gap = made.table([(made.number(2), made.module("nn.ReLU", {}))])
    assert "lacks number 1" in refusal(path, made.module("nn.Sequential", {"modules": gap}))
    assert "found something else" in refusal(path, made.sequential([made.text("relu")]))


def test_filters_whose_sizes_are_not_told(path: Path) -> None:
    made = T7()
    sizes = {"nInputPlane": made.number(2), "kH": made.number(1), "kW": made.number(1)}
    fields = {"weight": made.tensor(np.zeros((3, 2), np.float32)), **sizes}
    kind = "nn.SpatialConvolutionMM"
    assert read(path, made.sequential([made.module(kind, fields)])).arrays["0.weight"].shape == (3, 2, 1, 1)
    for wrong, words in ((3, "does not fit"), (-2, "does not tell"), (1.5, "does not tell"), (np.nan, "does not tell")):
        changed = {**fields, "kH": made.number(wrong)}
        assert words in refusal(path, made.sequential([made.module(kind, changed)]))
    del fields["kW"]
    assert "does not tell" in refusal(path, made.sequential([made.module(kind, fields)]))


# What is damaged or hostile


def test_circles(path: Path) -> None:
    for index, circle in enumerate((struct.pack("<ii", 3, 2), struct.pack("<ii", 4, 1)), start=1):
        made = T7()
        made.index = 2
        table = struct.pack("<iii", 3, 2, 1) + made.text("modules") + circle
        content = struct.pack("<ii", 4, 1) + made.raw("V 1") + made.raw("nn.Sequential") + table
        assert "holds itself" in refusal(path, content), index


def test_depth_and_multiplied_modules(path: Path) -> None:
    made = T7()
    content = made.module("nn.ReLU", {})
    for _ in range(20):
        content = made.sequential([content])
    assert "without any" in refusal(path, content)
    for _ in range(20):
        content = made.sequential([content])
    assert "too deep" in refusal(path, content)
    assert "too deep" in refusal(path, b"".join(struct.pack("<iii", 3, i, 1) for i in range(100_000)))
    made = T7()
    content = made.sequential([])
    for _ in range(25):  # each holds the one before twice: 2²⁵ modules
        content = made.sequential([content, content[:8]])
    assert "more than 10000 modules" in refusal(path, content)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<ii", 2, 2**31 - 1),
        struct.pack("<ii", 2, -1),
        struct.pack("<iii", 3, 1, 2**31 - 1),
        struct.pack("<ii", 4, 1) + struct.pack("<i", 2**31 - 1),
        struct.pack("<ii", 4, 1) + T7.raw("torch.FloatStorage") + struct.pack("<q", 2**62),
        struct.pack("<ii", 4, 1) + T7.raw("torch.FloatStorage") + struct.pack("<q", -1),
        struct.pack("<ii", 4, 1) + T7.raw("torch.FloatTensor") + struct.pack("<i", 8) + bytes(8),
    ],
)
def test_forged_counts(path: Path, content: bytes) -> None:
    assert "damaged or cut short: expected" in refusal(path, content)


def test_other_damage(path: Path) -> None:
    made = T7()
    assert "the unknown kind 9" in refusal(path, struct.pack("<i", 9))
    assert "keys that are no names" in refusal(path, made.table([(made.table([]), made.number(1))]))
    assert "keys that are no names" in refusal(path, made.table([(bytes(4), made.number(1))]))
    assert "9 dimensions" in refusal(path, made.view((1,) * 9, (1,) * 9, 1, made.storage(TWO)))
    assert "without a storage of its kind" in refusal(path, made.view((1,), (1,), 1, made.storage(TWO, "Int")))
    assert "without a storage of its kind" in refusal(path, made.view((1,), (1,), 1, made.number(1)))
    many = made.table((made.number(i), bytes(4)) for i in range(600_000))
    assert "absurdly many" in refusal(path, many)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((3,), (1,), 1),
        ((2,), (1,), 2),
        ((1,), (1,), 0),
        ((1,), (-1,), 2),
        ((-1,), (1,), 1),
        ((1000, 1000), (0, 0), 1),
        ((2**47, 2**47), (1, 1), 1),
        ((2**62,), (1,), 1),
        ((2,), (1,), -(2**63)),
    ],
)
def test_tensors_outside_their_storage(
    path: Path, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    made = T7()
    refusal(path, with_bias(made, made.view(shape, strides, offset, made.storage(TWO))))
    refusal(path, with_bias(made, made.view(shape, strides, offset, bytes(4))))


def test_tensors_that_multiply(path: Path) -> None:
    made, numbers = T7(), np.zeros(20_000, np.float32)
    storage = made.storage(numbers)
    first = made.view((20_000,), (1,), 1, storage)
    rest = [made.view((20_000,), (1,), 1, storage[:8]) for _ in range(20)]
    modules = [made.module("nn.Linear", {"bias": bias}) for bias in (first, *rest)]
    assert "far more than the file has" in refusal(path, made.sequential(modules))
