"""The weights file: what is written comes back, and whatever is wrong with a file is one sentence."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from vggnumpy.checks.networks import every_kind_network
from vggnumpy.errors import InputError
from vggnumpy.formats.weights import content_digest, read_weights, write_weights
from vggnumpy.nets import Network, architecture, fit_table, random_network
from vggnumpy.nets.tables import PARTS, Layer, chain, conv, pool, relu

SHAPES = {
    "conv0": (1, 1, 3, 3),
    "conv1_1": (3, 3, 3, 4),
    "conv1_2": (3, 3, 4, 5),
    "conv2_1": (3, 3, 5, 6),
    "conv1_1_aux": (1, 1, 4, 7),
}
PROVENANCE = {"source": "original.pth", "source_sha256": "5" * 64, "license": "CC BY 4.0 — “quoted”", "training": "{}"}


def small_network(dtype: str = "float32") -> Network:
    net = random_network(fit_table(architecture("vgg19"), SHAPES), rng=3, dtype=dtype).with_pool_rounding("ceil")
    biases = np.random.default_rng(4)
    weights = {name: (w, biases.standard_normal(b.shape).astype(dtype)) for name, (w, b) in net.weights.items()}
    return Network(
        "vgg19", net.table, weights, "BGR", (103.939, 116.779, 123.68), (0.1, 1 / 3, 2.0), "reflect", PROVENANCE
    )


def assert_same(net: Network, expected: Network) -> None:
    for name in ("name", "table", "channel_order", "mean", "scale", "pad_mode"):
        assert getattr(net, name) == getattr(expected, name)
    assert (net.image_size, net.classes) == (expected.image_size, expected.classes)
    assert list(net.weights) == [layer.name for layer in expected.table if layer.kind in PARTS]
    for name, pair in expected.weights.items():
        for found, array in zip(net.weights[name], pair, strict=True):
            assert found.dtype == array.dtype
            assert found.tobytes() == array.tobytes(), name


def test_layers_of_every_kind_come_back(tmp_path: Path) -> None:
    net = replace(every_kind_network(), image_size=(6, 5), classes=("cat", "dog", "«мышь»", "", "e", "f"))
    write_weights(tmp_path / "net.h5", net)
    assert_same(read_weights(tmp_path / "net.h5", "float64"), net)
    table = json.loads(h5py.File(tmp_path / "net.h5").attrs["layers"])
    assert table[1] == {"name": "leaky", "kind": "relu", "inputs": ["conv"], "leak": 0.1}  # nothing that is as usual


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a good weights file."""
    write_weights(tmp_path / "net.h5", small_network())
    return tmp_path / "net.h5"


def change(path: Path, edit: Callable[[Any], Any], sign: bool = False) -> None:
    """Edit a file in place; `sign` gives it the digest that belongs to the new content."""
    with h5py.File(path, "r+") as file:
        edit(file)
        if sign:
            names = [
                f"{row['name']}/{part}"
                for row in json.loads(file.attrs["layers"])
                for part in ("weight", "bias")
                if row["kind"] == "conv"
            ]
            attributes = {name: v.decode() if isinstance(v, bytes) else v for name, v in file.attrs.items()}
            file.attrs["digest"] = content_digest(attributes, [(name, file[name][()]) for name in names])


def replace_dataset(name: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        array = make(file[name][()])
        del file[name]
        file[name] = array

    return edit


def set_number(name: str, value: float) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        file[name][(0,) * file[name].ndim] = value

    return edit


def set_field(layer: str, field: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        rows = json.loads(file.attrs["layers"])
        next(row for row in rows if row["name"] == layer)[field] = value
        file.attrs["layers"] = json.dumps(rows)

    return edit


def set_attribute(name: str, value: Any) -> Callable[[Any], None]:
    return lambda file: file.attrs.__setitem__(name, value)


def assert_refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "vggnumpy convert" in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    net = small_network(dtype)
    digest = write_weights(tmp_path / "net.h5", net)
    again = read_weights(tmp_path / "net.h5", dtype)
    assert_same(again, net)
    assert again.provenance == {**PROVENANCE, "digest": digest, "file": "net.h5", "stored": dtype}


def test_pool_rounding_pads_and_side_layers_are_kept_layer_by_layer(tmp_path: Path) -> None:
    table = chain(
        [
            conv("conv1", 4, size=5, pad=2, stride=(2, 1), dilate=(1, 2), pad_mode="replicate"),
            relu("relu1"),
            pool("pool1", size=3, pad=(0, 1, 0, 1), method="average"),
            pool("pool2", rounding="ceil"),
            conv("left/1x1", 2, size=1, pad=0),
            conv("right", 3, inputs=("pool2",), numbered=False),
            Layer("join", "concat", ("left/1x1", "right")),
        ]
    )
    net = random_network(table)
    write_weights(tmp_path / "net.h5", net)
    assert_same(read_weights(tmp_path / "net.h5"), net)


def test_a_long_layer_table_fits(tmp_path: Path) -> None:
    net = random_network(chain(conv(f"convolution_{i}", 1, size=1, pad=0) for i in range(400)))
    write_weights(tmp_path / "net.h5", net)
    assert_same(read_weights(tmp_path / "net.h5"), net)


def test_half_precision_is_read_exactly(tmp_path: Path) -> None:
    net = small_network()
    weights = {name: (w.astype("float16"), b.astype("float16")) for name, (w, b) in net.weights.items()}
    write_weights(tmp_path / "half.h5", net, dtype="float16")
    with h5py.File(tmp_path / "half.h5") as file:
        assert file["conv1_1/weight"].dtype == "float16"
    for dtype in ("float32", "float64"):
        again = read_weights(tmp_path / "half.h5", dtype)
        for name, (w, b) in weights.items():
            np.testing.assert_array_equal(again.weights[name][0], w.astype(dtype), strict=True)
            np.testing.assert_array_equal(again.weights[name][1], b.astype(dtype), strict=True)


def test_a_stored_dtype_is_widened_and_narrowed_on_reading(tmp_path: Path) -> None:
    for stored, wanted in (("float32", "float64"), ("float64", "float32")):
        write_weights(tmp_path / "net.h5", small_network(stored))
        assert_same(read_weights(tmp_path / "net.h5", wanted), small_network(stored).astype(wanted))


def test_the_same_network_makes_the_same_file(path: Path, tmp_path: Path) -> None:
    write_weights(tmp_path / "again.h5", small_network())
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_the_digest_covers_what_is_computed_and_not_where_it_came_from(tmp_path: Path) -> None:
    net = small_network()
    digest = write_weights(tmp_path / "net.h5", net)
    elsewhere = Network(**{**net.__dict__, "provenance": {}})
    assert write_weights(tmp_path / "net.h5", elsewhere) == digest
    w, b = net.weights["conv1_1"]
    others = [
        {"pad_mode": "zero"},
        {"channel_order": "RGB"},
        {"mean": (0.0, 0.0, 0.0)},
        {"scale": (1.0, 1.0, 1.0)},
        {"table": net.with_pooling("average").table},
        {"weights": {**net.weights, "conv1_1": (w, np.nextafter(b, np.float32(np.inf)))}},
    ]
    digests = {write_weights(tmp_path / "net.h5", Network(**{**net.__dict__, **other})) for other in others}
    assert len(digests | {digest}) == len(others) + 1


def test_the_reader_in_the_description_of_the_format_works(path: Path) -> None:
    readme = Path(__file__).parents[2] / "weights" / "README.md"
    (code,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    attributes, layers, arrays = namespace["read"](path)
    net = read_weights(path)
    assert attributes["digest"] == net.provenance["digest"]
    assert [layer["name"] for layer in layers] == list(net.layers)
    for name, (w, b) in net.weights.items():
        np.testing.assert_array_equal(arrays[f"{name}/weight"], w, strict=True)
        np.testing.assert_array_equal(arrays[f"{name}/bias"], b, strict=True)
    change(path, set_number("conv1_1/bias", 0.5))
    with pytest.raises(AssertionError):
        namespace["read"](path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda file: file.attrs.__delitem__("format"), ["attribute format", "nothing"]),
        (set_attribute("format", "vggnumpy weights 2"), ["'vggnumpy weights 1'", "'vggnumpy weights 2'"]),
        (lambda file: file.attrs.__delitem__("license"), ["attribute license"]),
        (set_attribute("source", 7.0), ["attribute source", "float64"]),
        (lambda file: file.attrs.__delitem__("scale"), ["attribute scale", "nothing"]),
        (set_attribute("mean", [1.0, 2.0]), ["attribute mean", "three"]),
        (set_attribute("mean", [1.0, 2.0, np.nan]), ["attribute mean", "finite"]),
        (set_attribute("scale", [1.0, 0.0, 1.0]), ["attribute scale", "not zero"]),
        (set_attribute("channel_order", "GBR"), ["channel_order", "RGB, BGR", "'GBR'"]),
        (set_attribute("pad_mode", "mirror"), ["pad_mode", "zero, reflect, replicate", "'mirror'"]),
        (set_attribute("architecture", ""), ["architecture", "empty"]),
        (set_attribute("digest", "abc"), ["digest", "64 hexadecimal"]),
        (set_attribute("source_sha256", "unknown"), ["source_sha256", "64 hexadecimal"]),
        (set_attribute("layers", "[{"), ["layers", "JSON"]),
        (set_attribute("layers", "[" * 100_000), ["layers", "JSON"]),
        (set_attribute("layers", "[]"), ["no convolution"]),
        (set_attribute("layers", '[{"name": "conv1_1"}]'), ["not a layer"]),
        (set_field("conv1_1", "kind", "dense"), ["conv1_1", "kind", "'dense'"]),
        (set_field("conv1_1", "size", "3x3"), ["conv1_1", "size", "'3x3'"]),
        (set_field("conv1_1", "size", [3, 0]), ["conv1_1", "size", "(3, 0)"]),
        (set_field("conv1_1", "pad", [1, 1, 1]), ["conv1_1", "pad"]),
        (set_field("conv1_1", "channels", True), ["conv1_1", "invalid channels True"]),
        (set_field("conv1_1", "inputs", ["conv0", "conv0"]), ["conv1_1", "inputs"]),
        (set_field("pool1", "rounding", "up"), ["pool1", "rounding", "'up'"]),
        (set_field("pool1", "method", {"a": 1}), ["pool1", "method"]),
        (set_field("relu1_1", "inputs", ["conv9"]), ["relu1_1", "conv9"]),
        (lambda file: file.__delitem__("conv2_1"), ["weight of layer conv2_1 is missing"]),
        (lambda file: file.__delitem__("conv1_2/bias"), ["bias of layer conv1_2 is missing"]),
        (lambda file: file.__setitem__("fc6/weight", [1.0]), ["fc6/weight", "no layer"]),
        (replace_dataset("conv1_2/weight", lambda w: w.transpose(3, 2, 0, 1)), ["conv1_2", "5×4×3×3", "transposed"]),
        (replace_dataset("conv1_2/weight", lambda w: w[0]), ["conv1_2", "3 axes"]),
        (replace_dataset("conv1_2/bias", lambda b: b[:, None]), ["bias of layer conv1_2", "(5, 1)", "(5,)"]),
        (replace_dataset("conv1_2/bias", lambda b: b.astype(int)), ["conv1_2/bias", "int64", "float16, float32"]),
        (set_number("conv2_1/weight", np.nan), ["conv2_1", "1 numbers", "not finite"]),
        (set_number("conv2_1/bias", -np.inf), ["conv2_1", "not finite"]),
    ],
)
def test_what_is_wrong_is_said(path: Path, edit: Callable[[Any], Any], words: list[str]) -> None:
    change(path, edit)
    assert_refused(path, *words)


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (replace_dataset("conv1_2/weight", lambda w: w.transpose(3, 2, 0, 1)), "transposed"),
        (replace_dataset("conv1_2/bias", lambda b: b[:-1]), "bias of layer conv1_2"),
        (set_number("conv2_1/weight", np.nan), "layer conv2_1"),
        (set_field("conv1_1", "stride", [0, 1]), "stride"),
        (set_attribute("mean", [np.inf, 0.0, 0.0]), "finite"),
    ],
)
def test_content_is_checked_whatever_the_digest(path: Path, edit: Callable[[Any], Any], word: str) -> None:
    change(path, edit, sign=True)
    assert_refused(path, word)


@pytest.mark.parametrize(
    "edit",
    [
        set_number("conv1_1/weight", 0.5),
        set_attribute("mean", [0.0, 0.0, 0.0]),
        set_attribute("pad_mode", "zero"),
        set_field("pool1", "rounding", "floor"),
    ],
)
def test_a_plausible_change_fails_the_digest_and_passes_with_a_new_one(path: Path, edit: Callable[[Any], Any]) -> None:
    change(path, edit)
    assert_refused(path, "changed after it was written", "digest")
    change(path, edit, sign=True)
    read_weights(path)


def test_numbers_too_large_for_the_wanted_dtype_are_refused(tmp_path: Path) -> None:
    net = small_network("float64")
    net.weights["conv1_2"][0][0, 0, 0, 0] = 1e200
    write_weights(tmp_path / "net.h5", net)
    read_weights(tmp_path / "net.h5", "float64")
    assert_refused(tmp_path / "net.h5", "conv1_2", "as float32")


def test_an_absurd_size_is_refused_before_any_memory_is_taken(path: Path) -> None:
    def edit(file: Any) -> None:
        del file["conv1_1_aux"]
        file.create_dataset("conv1_1_aux/weight", (1, 1, 4, 2**30), "float32", chunks=(1, 1, 4, 1024))
        file.create_dataset("conv1_1_aux/bias", (2**30,), "float32", chunks=(1024,))
        set_field("conv1_1_aux", "channels", 2**30)(file)

    change(path, edit)
    assert_refused(path, "conv1_1_aux", "not all in the file")


def test_numbers_stored_in_another_file_are_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    external = [(str(tmp_path / "secret"), 0, 16)]

    def edit(file: Any) -> None:
        del file["conv1_1/bias"]
        file.create_dataset("conv1_1/bias", (4,), "float32", external=external)

    change(path, edit)
    assert_refused(path, "conv1_1/bias", "not all in the file")


def test_files_of_other_kinds_are_refused(path: Path, tmp_path: Path) -> None:
    for content in (b"", b"\x89HDF", b"PK\3\4" + bytes(100)):
        path.write_bytes(content)
        assert_refused(path, "another kind of file")
    for name in ("missing.h5", "."):
        with pytest.raises(InputError, match=r"no such file|found a folder"):
            read_weights(tmp_path / name)
    with pytest.raises(InputError, match="dtype must be one of float32, float64, got 'float16'"):
        read_weights(path, "float16")


def test_flipped_and_missing_bytes_never_leak_an_exception_or_a_changed_network(path: Path) -> None:
    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected = small_network()
    damaged = [content[:length] for length in rng.integers(0, len(content), 60)]
    for _ in range(300):
        places, masks = rng.integers(0, len(content), 3), rng.integers(1, 256, 3)
        flipped = bytearray(content)
        for place, mask in zip(places, masks, strict=True):
            flipped[place] ^= mask
        damaged.append(bytes(flipped))
    refused = 0
    for damage in damaged:
        path.write_bytes(damage)
        try:
            net = read_weights(path)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert_same(net, expected)
    assert refused > len(damaged) / 2


def test_writing_refuses_what_reading_would_refuse(tmp_path: Path) -> None:
    net = small_network()
    w, b = net.weights["conv1_2"]
    with pytest.raises(InputError, match="bias of layer conv1_2"):
        Network(**{**net.__dict__, "weights": {**net.weights, "conv1_2": (w, b[:-1])}})
    broken = Network(**{**net.__dict__, "weights": {**net.weights, "conv1_2": (w * np.float32(np.nan), b)}})
    with pytest.raises(InputError, match=r"conv1_2 holds .* not finite"):
        write_weights(tmp_path / "net.h5", broken)
    large = Network(**{**net.__dict__, "weights": {**net.weights, "conv1_2": (w + np.float32(1e5), b)}})
    with pytest.raises(InputError, match="conv1_2 holds 180 numbers that are not finite"):
        write_weights(tmp_path / "net.h5", large, dtype="float16")
    with pytest.raises(InputError, match="dtype must be one of"):
        write_weights(tmp_path / "net.h5", net, dtype="int8")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="does not exist"):
        write_weights(tmp_path / "folder" / "net.h5", net)


def test_a_failed_write_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(self: Path, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_weights(path, small_network("float64"))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["net.h5"]
