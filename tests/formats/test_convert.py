"""Conversion: the original's numbers bit for bit, and nothing assumed that is not said."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats import originals, read_weights
from vggnumpy.formats.convert import Conversion, convert
from vggnumpy.nets import ARCHITECTURES, Network, architecture

Arrays = dict[str, Any]
CONVS = {name: [layer.name for layer in table if layer.kind == "conv"] for name, table in ARCHITECTURES.items()}


def layer_arrays(prefix: str, shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}.weight": rng.standard_normal(shape).astype(dtype),
        f"{prefix}.bias": rng.standard_normal(shape[0]).astype(dtype),
    }


def vgg_arrays(prefixes: list[str], dtype: str = "float32") -> Arrays:
    """Return filters for layers in a row, from 3 channels to 4 to 5 and so on."""
    arrays: Arrays = {}
    for i, prefix in enumerate(prefixes):
        arrays |= layer_arrays(prefix, (4 + i, 3 + i, 3, 3), i, dtype)
    return arrays


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert_arrays(arrays: Arrays, **options: Any) -> tuple[Conversion, Network]:
    np.savez("net.npz", **arrays)
    return convert("net.npz", "net.h5", **options), read_weights("net.h5")


def assert_kept(net: Network, arrays: Arrays, prefixes: dict[str, str] | None = None) -> None:
    """Every convolution's numbers are the original's, O×I×H×W turned into H×W×I×O."""
    for name, (w, b) in net.weights.items():
        prefix = prefixes[name] if prefixes else name
        np.testing.assert_array_equal(w.transpose(3, 2, 0, 1), arrays[f"{prefix}.weight"], strict=True)
        np.testing.assert_array_equal(b, arrays[f"{prefix}.bias"], strict=True)


def assert_refused(arrays: Arrays, *words: str, **options: Any) -> None:
    np.savez("net.npz", **arrays)
    with pytest.raises(InputError) as caught:
        convert("net.npz", "net.h5", **options)
    message = str(caught.value)
    assert message.startswith("net.npz: ")
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert not Path("net.h5").exists()


@pytest.mark.parametrize(
    ("file", "input_convention"),
    [("mini_vgg19_zip.pth", None), ("mini_vgg19_legacy.pth", None), ("mini_vgg19_gatys_legacy.pth", "caffe")],
)
def test_every_torch_fixture_gives_the_arrays_it_was_made_from(
    shared: Path, folder: Path, file: str, input_convention: str | None
) -> None:
    report = convert(shared / "fixtures/other_formats" / file, "net.h5", input_convention=input_convention)
    net = read_weights("net.h5")
    with np.load(shared / "fixtures/matconvnet/mini_vgg19_oihw.npz") as archive:
        arrays = dict(archive)
    if "gatys" in file:
        arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]
        assert report.left_out == ()
        assert net.channel_order == "BGR"
        assert list(net.weights) == list(report.layers) == CONVS["vgg19"]
    else:
        assert report.left_out == ()
        assert report.family == "torchvision's VGG"
        assert net.channel_order == "RGB"
        assert list(net.weights) == list(report.layers) == [*CONVS["vgg19"], "fc6", "fc7", "fc8"]
    assert_kept(net, arrays)
    assert net.provenance["source"] == file
    assert net.provenance["digest"] == report.digest


def test_an_archive_with_other_arrays_says_what_it_leaves_out(shared: Path, folder: Path) -> None:
    source = shared / "fixtures/matconvnet/mini_vgg19_oihw.npz"
    report = convert(source, "net.h5", input_convention="matconvnet")
    with np.load(source) as arrays:
        assert_kept(read_weights("net.h5"), arrays)
        assert set(report.left_out) == {"mean", "layer_names", "class_descriptions"}


def test_the_prefix_is_the_same_from_both_of_its_files(shared: Path, folder: Path) -> None:
    data = shared / "data/vgg19_prefix"
    named = convert(data / "vgg19_normalised_conv3_1.npz", "named.h5")
    bare = convert(data / "vgg_normalised_conv3_1.pth", "bare.h5", architecture="vgg19")
    assert named.digest == bare.digest
    assert named.layers == bare.layers == ("conv0", "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    with np.load(data / "vgg19_normalised_conv3_1.npz") as arrays:
        assert_kept(read_weights("bare.h5"), arrays)


def test_the_decoders_beside_the_prefix_are_called_decoders(shared: Path, folder: Path) -> None:
    decoders = sorted((shared / "data/vgg19_prefix").glob("feature_invertor_*"))
    assert len(decoders) == 6
    for path in decoders:
        with pytest.raises(InputError, match="decoder"):
            convert(path, "net.h5")


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_names_tell_the_architectures_apart(folder: Path, name: str) -> None:
    named = vgg_arrays(CONVS[name])
    report, net = convert_arrays(named, input_convention="caffe")
    assert report.architecture == net.name == name
    assert_kept(net, named)
    indices = {layer.name: f"features.{i}" for i, layer in enumerate(architecture(name)) if layer.kind == "conv"}
    features = vgg_arrays(list(indices.values()))
    report, net = convert_arrays(features)
    assert report.architecture == net.name == name
    assert_kept(net, features, indices)
    bare = vgg_arrays([str(3 * i + 1) for i in range(len(CONVS[name]))])
    report, net = convert_arrays(bare, input_convention="caffe", architecture=name)
    assert_kept(net, bare, {conv: str(3 * i + 1) for i, conv in enumerate(CONVS[name])})


def test_a_part_that_both_architectures_begin_with_is_said_to_be_assumed(folder: Path) -> None:
    arrays = vgg_arrays(CONVS["vgg19"][:3])
    report, net = convert_arrays(arrays, input_convention="caffe")
    assert "architecture vgg19 (assumed)" in report.conventions
    assert net.layers[-1] == "relu2_1"
    report, _ = convert_arrays(arrays, input_convention="caffe", architecture="vgg16")
    assert "architecture vgg16 (given)" in report.conventions


def test_bare_numbers_are_matched_in_numerical_order_whatever_the_file_s_order(folder: Path) -> None:
    arrays = vgg_arrays(["2", "5", "10"])
    mixed = {name: arrays[name] for name in sorted(arrays, reverse=True)}
    _, net = convert_arrays(mixed, architecture="vgg19", input_convention="unit")
    assert_kept(net, arrays, {"conv1_1": "2", "conv1_2": "5", "conv2_1": "10"})
    first = {name.replace("conv0", "0"): array for name, array in FIRST.items()}
    report, net = convert_arrays(arrays | first, architecture="vgg19")
    assert_kept(net, arrays | first, {"conv0": "0", "conv1_1": "2", "conv1_2": "5", "conv2_1": "10"})
    assert "universal style transfer" in report.family


FIRST = layer_arrays("conv0", (3, 3, 1, 1), 7)
SIDE = layer_arrays("conv1_1_aux", (9, 4, 1, 1), 8)
PLAIN = vgg_arrays(["conv1_1", "conv1_2", "conv2_1"])
FEATURES = vgg_arrays(["features.0", "features.2", "features.5"])
UNIT = ("RGB", (0.0,) * 3, (1 / 255,) * 3)
TORCHVISION = (
    "RGB",
    (123.675, 116.28, 103.53),
    (0.01712475383, 0.0175070028, 0.01742919389),
)
CAFFE = ("BGR", (103.939, 116.779, 123.68), (1.0,) * 3)


@pytest.mark.parametrize(
    ("arrays", "family", "expected", "pad_mode", "rounding"),
    [
        (FIRST | PLAIN, "universal style transfer", UNIT, "reflect", "ceil"),
        (FIRST | PLAIN | SIDE, "collaborative distillation", UNIT, "reflect", "floor"),
        (FEATURES, "torchvision", TORCHVISION, "zero", "floor"),
    ],
)
def test_a_family_brings_its_conventions_and_options_win_over_them(
    folder: Path, arrays: Arrays, family: str, expected: tuple[Any, ...], pad_mode: str, rounding: str
) -> None:
    def assert_conventions(net: Network, expected: tuple[Any, ...], pad_mode: str, rounding: str) -> None:
        assert net.channel_order == expected[0]
        np.testing.assert_allclose(net.mean, expected[1], rtol=1e-9)
        np.testing.assert_allclose(net.scale, expected[2], rtol=1e-9)
        assert net.pad_mode == pad_mode
        assert [layer.rounding for layer in net.table if layer.kind == "pool"] == [rounding]

    report, net = convert_arrays(arrays)
    assert family in report.family
    assert len(report.conventions) == 4
    assert all(phrase.endswith("(assumed)") for phrase in report.conventions)
    assert_conventions(net, expected, pad_mode, rounding)
    other = "floor" if rounding == "ceil" else "ceil"
    report, net = convert_arrays(arrays, input_convention="caffe", pad_mode="replicate", pool_rounding=other)
    assert [phrase.endswith("(given)") for phrase in report.conventions] == [False, True, True, True]
    assert_conventions(net, CAFFE, "replicate", other)


def test_johnson_s_files_are_told_by_their_digest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for digest in ("d01eb7cb" + "0" * 56, "00b39a1b" + "0" * 56):
        monkeypatch.setattr(originals, "sha256", lambda path, digest=digest: digest)
        report, net = convert_arrays(FEATURES)
        assert (net.channel_order, net.mean, net.scale) == CAFFE
        assert net.provenance["license"].startswith("CC BY 4.0")
        assert net.provenance["source_sha256"] == digest
        assert "Johnson" in report.family


def test_a_licence_is_recorded_as_given_and_never_guessed(folder: Path) -> None:
    assert convert_arrays(FEATURES)[1].provenance["license"] == "not stated"
    assert convert_arrays(FEATURES, license="CC0")[1].provenance["license"] == "CC0"


@pytest.mark.parametrize("style", ["named", "bare"])
def test_an_unknown_convention_is_asked_for_and_taken_as_given(folder: Path, style: str) -> None:
    arrays = PLAIN if style == "named" else vgg_arrays(["0", "2", "5"])
    assert_refused(arrays, "--input", "torchvision, caffe, matconvnet, unit", "RGB, 0–1", architecture="vgg19")
    for name, order in {"torchvision": "RGB", "caffe": "BGR", "matconvnet": "RGB", "unit": "RGB"}.items():
        report, net = convert_arrays(arrays, architecture="vgg19", input_convention=name)
        assert net.channel_order == order
        assert report.conventions[1].endswith("(given)")
    _, caffe = convert_arrays(arrays, architecture="vgg19", input_convention="caffe")
    _, matconvnet = convert_arrays(arrays, architecture="vgg19", input_convention="matconvnet")
    assert matconvnet.mean == (123.68, 116.779, 103.939) == caffe.mean[::-1]


@pytest.mark.parametrize(("dtype", "working"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_the_numbers_are_stored_in_the_original_s_dtype(folder: Path, dtype: str, working: str) -> None:
    arrays = vgg_arrays(["features.0"], dtype)
    convert_arrays(arrays)
    with h5py.File("net.h5") as file:
        assert file["conv1_1/weight"].dtype == dtype
    wide = {name: array.astype(working) for name, array in arrays.items()}
    assert_kept(read_weights("net.h5", working), wide, {"conv1_1": "features.0"})


def without(arrays: Arrays, *names: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name not in names}


def spoiled(name: str, value: float) -> Arrays:
    array = PLAIN[name].copy()
    array.flat[1] = value
    return PLAIN | {name: array}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["holds no arrays"]),
        ({"weight": np.ones(3)}, ["no such name", "conv1_1.weight", "(weight)"]),
        (layer_arrays("layer1.0.conv1", (4, 3, 3, 3), 0), ["no such name", "layer1.0.conv1.weight"]),
        (PLAIN | FEATURES, ["names of several kinds"]),
        (PLAIN | layer_arrays("conv5", (4, 4, 3, 3), 0), ["conv5.weight", "does not have"]),
        (PLAIN | layer_arrays("conv9_1", (4, 4, 3, 3), 0), ["conv9_1"]),
        (FEATURES | {"features.1.running_mean": np.ones(4)}, ["batch normalisation"]),
        (layer_arrays("inv_conv1_1", (3, 64, 3, 3), 0), ["decoder"]),
        (layer_arrays("features.0", (4, 3, 11, 11), 0) | layer_arrays("features.3", (4, 4, 5, 5), 0), ["features.3"]),
        (without(PLAIN, "conv1_2.weight", "conv1_2.bias"), ["conv1_2", "conv2_1"]),
        (without(FEATURES, "features.0.weight", "features.0.bias"), ["conv1_1", "conv2_1"]),
        (vgg_arrays([name for name in CONVS["vgg19"][:8] if name != "conv3_3"]), ["lack", "conv3_3 although conv3_4"]),
        (without(PLAIN, "conv1_2.bias"), ["conv1_2 lacks", "conv1_2.bias"]),
        (without(PLAIN, "conv1_2.weight"), ["conv1_2 lacks", "conv1_2.weight"]),
        (PLAIN | {"conv1_2.weight": np.ones((5, 36), "float32")}, ["conv1_2", "(5, 36)", "(filters, input channels"]),
        (PLAIN | {"conv1_2.bias": np.ones(4, "float32")}, ["conv1_2", "(4,)"]),
        (PLAIN | {"conv1_2.weight": np.ones((5, 3, 3, 3), "float32")}, ["conv1_2", "3×3×3×5", "3×3×4×5"]),
        (PLAIN | {"conv1_1.weight": np.ones((4, 1, 3, 3), "float32")}, ["conv1_1"]),
        (PLAIN | {"conv1_1.weight": np.ones((4, 3, 5, 5), "float32")}, ["conv1_1", "5×5×3×4"]),
        (PLAIN | {"conv1_1.bias": np.ones(4, "int64")}, ["conv1_1.bias", "int64", "float32"]),
        (PLAIN | {"conv1_1.bias": np.ones(4, "complex64")}, ["conv1_1.bias", "complex64"]),
        (spoiled("conv1_2.weight", np.nan), ["conv1_2.weight", "not finite"]),
        (spoiled("conv1_2.bias", np.inf), ["conv1_2.bias", "not finite"]),
        (SIDE | PLAIN | {"conv1_1_aux.weight": np.ones((9, 5, 1, 1), "float32")}, ["conv1_1_aux"]),
    ],
)
def test_what_is_wrong_with_a_source_is_one_sentence(folder: Path, arrays: Arrays, words: list[str]) -> None:
    assert_refused(arrays, *words, input_convention="caffe")


def test_bare_numbers_need_the_architecture_and_must_fit_it(folder: Path) -> None:
    bare = vgg_arrays(["0", "2", "5"])
    assert_refused(bare, "--architecture", "vgg16, vgg19", "bare numbers")
    many = vgg_arrays([str(i) for i in range(14)])
    assert_refused(many, "14 layers", "13 convolutions of vgg16", architecture="vgg16", input_convention="caffe")
    inverse = layer_arrays("1", (4, 5, 3, 3), 0) | layer_arrays("3", (3, 4, 3, 3), 0)
    assert_refused(inverse, "decoder", "5 channels to 3")
    for arrays in (PLAIN, FEATURES, bare):
        assert_refused(arrays, "architecture 'vgg18' is unknown", "vgg16, vgg19", architecture="vgg18")
    features = vgg_arrays([f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 16)])
    assert_refused(features, "features.16", "vgg16", architecture="vgg16")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            {"input_convention": "bgr"},
            "input convention must be one of torchvision, caffe, matconvnet, unit, .* got 'bgr'",
        ),
        ({"pad_mode": "mirror"}, "pad mode must be one of"),
        ({"pool_rounding": "up"}, "pool rounding must be floor or ceil"),
    ],
)
def test_an_option_that_does_not_exist_is_said(folder: Path, option: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        convert_arrays(FEATURES, **option)
    assert not Path("net.h5").exists()


def test_files_of_other_kinds_and_places_are_refused(folder: Path) -> None:
    np.savez("net.npz", **FEATURES)
    Path("text.pth").write_text("no torch file")
    Path("text.npz").write_bytes(b"")
    for source, out, words in (
        ("net.onnx", "net.h5", r"net\.onnx: expected .* \.pth, \.pt, \.npz"),
        ("net.npz", "net.pth", r"net\.pth: .* named \.h5"),
        ("missing.pth", "nowhere/net.h5", r"nowhere/net\.h5: the folder .* does not exist"),
        ("missing.pth", "net.h5", r"missing\.pth: there is no such file"),
        ("text.pth", "net.h5", r"text\.pth: "),
        ("text.npz", "net.h5", r"text\.npz: "),
    ):
        with pytest.raises(InputError, match=words) as caught:
            convert(source, out)
        assert "\n" not in str(caught.value)
        assert not Path("net.h5").exists()
