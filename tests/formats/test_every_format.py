"""Every format's original becomes the same network: the miniature VGG-19's and VGG-Face's numbers, bit for bit."""

from pathlib import Path
from typing import Any

import foreign_files
import h5py
import numpy as np
import pytest
from mini_networks import (
    CLASSES_VGG19,
    DESCRIPTIONS_FACE,
    DESCRIPTIONS_VGG19,
    MEAN_FACE,
    MEAN_VGG19,
    MINI_FILES,
    mini_vgg19,
    mini_vgg_face,
    write_mini,
)

from vggnumpy.cli import main
from vggnumpy.errors import InputError
from vggnumpy.formats import read_weights
from vggnumpy.formats.convert import convert
from vggnumpy.nets import Network, architecture

BGR = {"channel_order": "BGR", "mean": MEAN_VGG19[::-1]}
# File → options that it needs, what its network expects.
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mini_vgg19.caffemodel": ({}, BGR),
    "mini_vgg19_v1.caffemodel": ({}, BGR),
    "mini_vgg19.safetensors": ({"input_convention": "matconvnet"}, {"channel_order": "RGB", "mean": MEAN_VGG19}),
    "mini_vgg19_zip.pth": ({}, {"channel_order": "RGB"}),
    "mini_vgg19_legacy.pth": ({}, {"channel_order": "RGB"}),
}


def assert_mini(net: Network, expected: dict[str, Any], reversed_first: bool = False) -> None:
    assert list(net.weights) == list(expected)
    for name, (w, b) in expected.items():
        first = reversed_first and name == "conv1_1"
        np.testing.assert_array_equal(net.weights[name][0], w[:, :, ::-1] if first else w, strict=True)
        np.testing.assert_array_equal(net.weights[name][1], b, strict=True)


def check_mat(path: Path, out: Path) -> None:
    report, net = convert(path, out), read_weights(out)
    face = "face" in path.name
    assert report.architecture == net.name == ("vgg-face" if face else "vgg19")
    assert_mini(net, mini_vgg_face() if face else mini_vgg19())
    assert (net.channel_order, net.scale, net.pad_mode) == ("RGB", (1.0,) * 3, "zero")
    np.testing.assert_array_equal(net.mean, MEAN_FACE if face else MEAN_VGG19)
    assert net.image_size == (64, 64)
    assert net.classes == (DESCRIPTIONS_FACE if face else DESCRIPTIONS_VGG19)
    whole = architecture(net.name, classifier=True)
    assert list(net.numbers.values()) == [layer.name for layer in whole]  # dropouts are not counted
    assert [layer.kind for layer in net.table].count("dropout") == 2 * path.name.endswith("face_net.mat")
    rounding = "ceil" if "vgg19_meta" in path.name or "face_meta" in path.name else "floor"
    pools = [layer for layer in net.table if layer.kind == "pool"]
    assert {(layer.pad, layer.rounding) for layer in pools} in ({((0,) * 4, rounding)}, {((0,) * 4, "floor")})
    assert all("(in the file)" in words for words in report.conventions)


@pytest.mark.parametrize("name", MINI_FILES)
def test_every_layout_of_matconvnet(tmp_path: Path, name: str) -> None:
    check_mat(write_mini(tmp_path, name), tmp_path / "net.h5")


def test_matconvnet_s_own_files(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "fixtures/matconvnet").glob("*.mat"))
    assert len(files) == 6
    for path in files:
        check_mat(path, tmp_path / "net.h5")


def test_the_pools_of_the_current_layout_round_up_and_those_of_older_ones_down(tmp_path: Path) -> None:
    for name, rounding in {"mini_vgg19_meta.mat": "ceil", "mini_vgg19_filters.mat": "floor"}.items():
        convert(write_mini(tmp_path, name), tmp_path / "net.h5")
        pools = [layer for layer in read_weights(tmp_path / "net.h5").table if layer.kind == "pool"]
        assert {(layer.pad, layer.rounding) for layer in pools} == {((0, 0, 0, 0), rounding)}


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_fixtures(shared: Path, tmp_path: Path, name: str) -> None:
    options, expected = OTHERS[name]
    report = convert(shared / "fixtures/other_formats" / name, tmp_path / "net.h5", **options)
    net = read_weights(tmp_path / "net.h5")
    assert report.architecture == "vgg19" and report.left_out == ()
    assert_mini(net, mini_vgg19(), net.channel_order == "BGR")
    assert {key: getattr(net, key) for key in expected} == expected


@pytest.mark.parametrize("name", foreign_files.FILES)
def test_the_same_files_made_here(tmp_path: Path, name: str) -> None:
    path = foreign_files.FILES[name](tmp_path / name)
    options: dict[str, Any] = {"input_convention": "caffe"}
    if path.suffix == ".t7":
        options["architecture"] = "vgg19"
    convert(path, tmp_path / "net.h5", **options)
    net = read_weights(tmp_path / "net.h5")
    first = net.weights["conv1_1"][0]
    if path.suffix == ".h5":
        # In Keras's order of inputs, height × width × channels, fc6 is our filter as it stands.
        assert net.weights["fc6"][0].shape == (2, 2, 8, 9)
    assert_mini(net, mini_vgg19(), not np.array_equal(first, mini_vgg19()["conv1_1"][0]))
    assert net.channel_order == "BGR"


def test_keras_s_own_names(tmp_path: Path) -> None:
    ours = dict(zip(("conv1_1", "conv1_2", "conv2_1"), ("block1_conv1", "block1_conv2", "block2_conv1"), strict=True))
    mini = mini_vgg19()
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ours.values()]
        for name, theirs in ours.items():
            group = file.create_group(theirs)
            group.attrs["weight_names"] = [f"{theirs}/kernel:0".encode(), f"{theirs}/bias:0".encode()]
            group[f"{theirs}/kernel:0"], group[f"{theirs}/bias:0"] = mini[name]
    report = convert(tmp_path / "keras.h5", tmp_path / "net.h5")
    net = read_weights(tmp_path / "net.h5")
    assert report.family == "Keras's VGG"
    assert_mini(net, {name: mini[name] for name in ours})
    assert (net.channel_order, net.mean) == ("BGR", MEAN_VGG19[::-1])


def test_the_classifier_can_be_left_out_and_is_said_to_be(tmp_path: Path) -> None:
    path = write_mini(tmp_path, "mini_vgg19_meta.mat")
    report = convert(path, tmp_path / "net.h5", classifier=False)
    assert report.left_out == ("fc6", "relu6", "fc7", "relu7", "fc8", "prob")
    net = read_weights(tmp_path / "net.h5")
    assert net.layers[-1] == "pool5"
    assert_mini(net, {name: pair for name, pair in mini_vgg19().items() if name.startswith("conv")})


def test_a_network_goes_to_matconvnet_s_format_and_comes_back(tmp_path: Path) -> None:
    check_mat(write_mini(tmp_path, "mini_vgg19_meta.mat"), tmp_path / "net.h5")
    report = convert(tmp_path / "net.h5", tmp_path / "mini_vgg19_meta.mat")
    assert report.family == "a weights file of vggnumpy"
    check_mat(tmp_path / "mini_vgg19_meta.mat", tmp_path / "again.h5")
    first, second = read_weights(tmp_path / "net.h5"), read_weights(tmp_path / "again.h5")
    assert first.provenance["digest"] == second.provenance["digest"]
    direct = convert(write_mini(tmp_path, "mini_vgg19_filters.mat"), tmp_path / "direct.mat")
    assert len(direct.digest) == 64


def test_a_scale_becomes_a_layer_that_the_numbers_do_not_count(tmp_path: Path) -> None:
    convert(write_mini(tmp_path, "mini_vgg19_meta.mat"), tmp_path / "net.h5", input_convention="torchvision")
    convert(tmp_path / "net.h5", tmp_path / "scaled.mat")
    report = convert(tmp_path / "scaled.mat", tmp_path / "again.h5")
    first, second = read_weights(tmp_path / "net.h5"), read_weights(tmp_path / "again.h5")
    assert report.architecture == "vgg19" and second.layers == ("conv0", *first.layers)
    assert second.numbers == first.numbers
    image = np.random.default_rng(1).uniform(0, 255, (20, 30, 3)).astype("float32")
    features, again = (net.forward(image, ["relu3_1"])[0]["relu3_1"] for net in (first, second))
    np.testing.assert_allclose(again, features, rtol=0, atol=1e-5 * abs(features).max())


HOSTILE = {
    "net.mat": lambda path: write_mini(path.parent, "mini_vgg19_meta.mat"),
    "net_v73.mat": lambda path: write_mini(path.parent, "mini_vgg19_meta_v73.mat"),
    "net.caffemodel": foreign_files.caffemodel,
    "net.h5": lambda path: foreign_files.keras(path, "2016"),
    "net.pth": lambda path: foreign_files.pth(path, "legacy"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damage_is_one_sentence_and_exit_code_2_on_the_command_line(tmp_path: Path, capsys: Any, name: str) -> None:
    whole = HOSTILE[name](tmp_path / name).read_bytes()
    source, out = tmp_path / f"damaged{Path(name).suffix}", tmp_path / "net.out.h5"
    rng = np.random.default_rng(6)
    for case in range(30):
        content = bytearray(whole[: len(whole) * case // 20] if case < 20 else whole)
        if case >= 20:
            content[rng.integers(min(len(whole), 2000))] ^= 0xFF
        source.write_bytes(content)
        code = main(["convert", str(source), "-o", str(out), "--input", "caffe"])
        captured = capsys.readouterr()
        assert code in ((2,) if case < 20 else (0, 2))
        if code:
            assert captured.out == "" and captured.err.count("\n") == 1 and str(source) in captured.err
            assert not out.exists()
        out.unlink(missing_ok=True)


def test_our_own_file_is_not_converted_into_our_own(tmp_path: Path) -> None:
    check_mat(write_mini(tmp_path, "mini_vgg19_meta.mat"), tmp_path / "net.h5")
    with pytest.raises(InputError, match="weights file of vggnumpy already"):
        convert(tmp_path / "net.h5", tmp_path / "other.h5")
    with pytest.raises(InputError, match="leave the options out"):
        convert(tmp_path / "net.h5", tmp_path / "other.mat", pad_mode="reflect")


def test_a_first_layer_the_wrong_way_round_is_refused_on_conversion(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "data/vgg19_prefix/vgg19_normalised_conv3_1.npz") as archive:
        arrays = dict(archive)
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"].transpose(0, 1, 3, 2)
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(InputError, match=r"net\.npz: .*height and width"):
        convert(tmp_path / "net.npz", tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()


def test_names_of_classes_are_descriptions_where_there_are_any() -> None:
    assert CLASSES_VGG19 != DESCRIPTIONS_VGG19
