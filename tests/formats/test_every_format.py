"""Every format's original becomes the same network: the miniature VGG-19's and VGG-Face's numbers, bit for bit."""

from dataclasses import replace
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
    cell,
    mini_vgg19,
    mini_vgg_face,
    write_mini,
    write_v5,
)

from vggnumpy.cli import main
from vggnumpy.errors import InputError
from vggnumpy.formats import originals, read_weights
from vggnumpy.formats.convert import convert
from vggnumpy.formats.registry import ORIGINALS
from vggnumpy.formats.weights import write_weights
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
    sources = [words.rpartition("(")[2] for words in report.conventions]
    assert sources == ["by its layers)", "in the file)", "in the file)", "in the file)"]


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


def test_dropouts_go_with_the_classifier(tmp_path: Path) -> None:
    path = write_mini(tmp_path, "mini_vgg_face_net.mat")
    report = convert(path, tmp_path / "net.h5", classifier=False)
    assert report.left_out == ("fc6", "relu6", "dropout6", "fc7", "relu7", "dropout7", "fc8", "prob")
    assert read_weights(tmp_path / "net.h5").layers[-1] == "pool5"


def test_doubles_stay_doubles_in_matconvnet_s_format(tmp_path: Path) -> None:
    convert(write_mini(tmp_path, "mini_vgg19_meta.mat"), tmp_path / "single.h5")
    net = read_weights(tmp_path / "single.h5", "float64")
    w, b = net.weights["conv1_1"]
    double = replace(net, weights={**net.weights, "conv1_1": (w + 1e-12, b)})
    write_weights(tmp_path / "net.h5", double)
    convert(tmp_path / "net.h5", tmp_path / "net.mat")
    convert(tmp_path / "net.mat", tmp_path / "again.h5")
    np.testing.assert_array_equal(read_weights(tmp_path / "again.h5", "float64").weights["conv1_1"][0], w + 1e-12)


def test_the_same_network_is_the_same_file_and_keeps_its_licence(tmp_path: Path) -> None:
    convert(write_mini(tmp_path, "mini_vgg_face_meta.mat"), tmp_path / "net.h5", license="non-commercial")
    digests = set()
    for name in ("a.mat", "b.mat"):
        digests.add(convert(tmp_path / "net.h5", tmp_path / name).digest)
        content = (tmp_path / name).read_bytes()
        assert content[:116].rstrip() == b"MATLAB 5.0 MAT-file, written by vggnumpy"  # no time
    assert len(digests) == 1
    convert(tmp_path / "a.mat", tmp_path / "again.h5")
    assert read_weights(tmp_path / "again.h5").provenance["license"] == "non-commercial"


def test_a_licence_is_known_by_the_sha_256_of_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mini(tmp_path, "mini_vgg19_meta.mat")
    known = ORIGINALS["vgg19"].digests["sha256"]
    monkeypatch.setattr(originals, "sha256", lambda _: known)
    convert(path, tmp_path / "net.h5")
    assert read_weights(tmp_path / "net.h5").provenance["license"] == ORIGINALS["vgg19"].license


def test_the_source_is_not_written_over(tmp_path: Path) -> None:
    path = write_mini(tmp_path, "mini_vgg19_meta.mat")
    before = path.read_bytes()
    with pytest.raises(InputError, match="this is the source itself"):
        convert(path, path)
    assert path.read_bytes() == before


def test_an_architecture_that_a_chain_does_not_have_is_refused(tmp_path: Path) -> None:
    path = write_mini(tmp_path, "mini_vgg19_meta.mat")
    with pytest.raises(InputError, match="its layers are not those of vgg16"):
        convert(path, tmp_path / "net.h5", architecture="vgg16")


def chain_file(path: Path, *layers: dict[str, Any], average: Any = None) -> Path:
    """Write a chain by hand."""
    conv = {"name": "c", "type": "conv", "weights": cell(np.ones((1, 1, 3, 2), "float32"), np.zeros((2, 1), "float32"))}
    average = np.zeros((1, 1, 3)) if average is None else average
    content = {"layers": cell(*(conv if layer == {} else layer for layer in layers))}
    return write_v5(path, content | {"meta": {"normalization": {"averageImage": average}}})


def test_chains_that_can_never_run_are_refused(tmp_path: Path) -> None:
    ones = np.ones((2, 1), "float32")
    relu, bnorm = {"name": "r", "type": "relu"}, {"name": "b", "type": "bnorm", "weights": cell(ones, ones)}
    with pytest.raises(InputError, match=r"net\.mat: none of its layers has weights"):
        convert(chain_file(tmp_path / "net.mat", relu), tmp_path / "net.h5")
    with pytest.raises(InputError, match=r"net\.mat: layer b normalises by moments of which the file has none"):
        convert(chain_file(tmp_path / "net.mat", {}, bnorm), tmp_path / "net.h5")


def test_names_that_hdf5_cannot_hold_and_average_images_that_vary(tmp_path: Path) -> None:
    average = np.zeros((2, 2, 3))
    average[0, 0] = 4
    path = chain_file(tmp_path / "tiny.mat", {}, {"name": "..", "type": "relu"}, average=average)
    report = convert(path, tmp_path / "net.h5")
    net = read_weights(tmp_path / "net.h5")
    assert net.layers == ("c", "layer2") and net.name == "tiny" and net.mean == (1.0, 1.0, 1.0)
    assert report.conventions[0] == "network tiny (by the file's name)"
    assert "the mean colour of an average image that varies" in report.conventions[1]


def test_keras_s_vgg_face_is_told_by_its_names(tmp_path: Path) -> None:
    names = [layer.name for layer in architecture("vgg16") if layer.kind == "conv"]
    depth = 3
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        for name in names:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"] = np.zeros((3, 3, depth, 4), "float32")
            group[f"{name}/bias:0"] = np.zeros(4, "float32")
            depth = 4
        file.attrs["layer_names"] = [name.encode() for name in names]
    report = convert(tmp_path / "keras.h5", tmp_path / "net.h5")
    assert report.family == "Keras's VGG-Face"
    assert read_weights(tmp_path / "net.h5").mean == (93.5940, 104.7624, 129.1863)


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
