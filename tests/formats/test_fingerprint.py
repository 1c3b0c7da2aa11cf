"""A first layer that is VGG-19's with its axes or channels in another order is recognised, and nothing else is."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats import load_network, write_weights
from vggnumpy.formats.convert import convert
from vggnumpy.formats.fingerprint import VGG19, check_first_layer, projections, rgb_filters
from vggnumpy.nets import Network, architecture, fit_table, random_network

CAFFE = {"channel_order": "BGR", "mean": (103.939, 116.779, 123.68)}
MATCONVNET = {"channel_order": "RGB", "mean": (123.68, 116.779, 103.939)}
WORDS = ("height and width exchanged", "red and blue exchanged", "every filter turned by 180°")


def known_filters() -> np.ndarray:
    """Make RGB filters of norm 1, 3×3×3×64, that have VGG-19's projections; the rest of each is in its centre."""
    v, h, c = np.zeros((3, 3, 3, 3))
    v[0], v[2], h[:, 0], h[:, 2], c[..., 0], c[..., 2] = -1, 1, -1, 1, 1, -1
    filters = np.einsum("iuvc,ik->uvck", np.stack([v, h, c]) / 18, VGG19 / 10)
    filters[1, 1] += np.sqrt((1 - (filters**2).sum((0, 1, 2))) / 3)  # v, h and c are orthogonal to a grey centre
    np.testing.assert_allclose(projections(filters), VGG19 / 10, atol=1e-12)
    return filters


def network(rgb: np.ndarray, **input_: object) -> Network:
    """Return conv1_1 and relu1_1 with these filters of RGB pixels, in the order that the input takes."""
    net = random_network(fit_table(architecture("vgg19"), {"conv1_1": rgb.shape}))
    net = replace(net, **(input_ or MATCONVNET))
    gains = np.geomspace(1e-3, 1e3, rgb.shape[3])
    w = (rgb[:, :, ::-1] if net.channel_order == "BGR" else rgb) * gains
    return replace(net, weights={"conv1_1": (w.astype("float32"), net.weights["conv1_1"][1])})


def corrupted(net: Network, exchanged: bool, reversed_: bool, turned: bool) -> Network:
    weights = dict(net.weights)
    for name, (w, b) in net.weights.items():
        if name == "conv0":
            continue
        w = w.swapaxes(0, 1) if exchanged else w
        w = w[:, :, ::-1] if reversed_ and name == "conv1_1" else w
        weights[name] = ((w[::-1, ::-1] if turned else w).copy(), b)
    return replace(net, weights=weights)


def sentence(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_network(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


FAULTS = [fault for fault in product((False, True), repeat=3) if any(fault)]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("input_", [CAFFE, MATCONVNET])
def test_every_fault_is_named_although_the_digest_is_right(
    tmp_path: Path, fault: tuple[bool, bool, bool], input_: dict[str, object]
) -> None:
    net = network(known_filters(), **input_)
    write_weights(tmp_path / "right.h5", net)
    assert load_network(tmp_path / "right.h5").channel_order == net.channel_order
    write_weights(tmp_path / "wrong.h5", corrupted(net, *fault))
    text = sentence(tmp_path / "wrong.h5")
    assert [words in text for words in WORDS] == list(fault)


def test_what_to_do_is_said(tmp_path: Path) -> None:
    for input_, other in ((CAFFE, "matconvnet"), (MATCONVNET, "caffe")):
        net = network(known_filters(), **input_)
        write_weights(tmp_path / "reversed.h5", corrupted(net, False, True, False))
        assert f"convert the original with --input {other}" in sentence(tmp_path / "reversed.h5")
        write_weights(tmp_path / "exchanged.h5", corrupted(net, True, False, False))
        assert "exchange the first two axes of every layer's filters" in sentence(tmp_path / "exchanged.h5")


def test_the_wrong_channel_order_in_the_file_is_a_reversal(tmp_path: Path) -> None:
    net = network(known_filters(), **MATCONVNET)
    write_weights(tmp_path / "net.h5", replace(net, channel_order="BGR"))
    assert "red and blue exchanged" in sentence(tmp_path / "net.h5")


@pytest.mark.parametrize("fault", [(False, False, False), *FAULTS])
@pytest.mark.parametrize("seed", range(20))
def test_other_filters_pass(seed: int, fault: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(seed)
    check_first_layer(corrupted(network(rng.standard_normal((3, 3, 3, 64))), *fault))
    check_first_layer(corrupted(network(known_filters()[..., rng.permutation(64)]), *fault))


def test_other_shapes_and_empty_filters_pass() -> None:
    known = known_filters()
    for filters in (known[..., :16].swapaxes(0, 1), np.zeros((3, 3, 3, 64))):
        check_first_layer(network(filters))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_filters_act_on_rgb_pixels_as_the_network_does(order: str) -> None:
    shapes = {"conv0": (1, 1, 3, 3), "conv1_1": (3, 3, 3, 5)}
    net = random_network(fit_table(architecture("vgg19"), shapes), rng=0).astype("float64")
    rng = np.random.default_rng(1)
    weights = {name: (rng.standard_normal(shape), np.zeros(shape[3])) for name, shape in shapes.items()}
    net = replace(net, weights=weights, channel_order=order, mean=(0.0, 0.0, 0.0), scale=(1.0, 20.0, 0.3))
    pixels = rng.uniform(0, 255, (3, 3, 3))
    features, _ = net.forward(pixels, ["conv1_1"])
    np.testing.assert_allclose(
        np.einsum("uvc,uvck->k", pixels, rgb_filters(net)), features["conv1_1"][1, 1], rtol=1e-12
    )


PREFIX = "data/vgg19_prefix/vgg19_normalised_conv3_1.npz"


@pytest.mark.parametrize("fault", FAULTS)
def test_the_real_first_layer_corrupted(shared: Path, tmp_path: Path, fault: tuple[bool, bool, bool]) -> None:
    convert(shared / PREFIX, tmp_path / "right.h5")
    write_weights(tmp_path / "wrong.h5", corrupted(load_network(tmp_path / "right.h5"), *fault))
    text = sentence(tmp_path / "wrong.h5")
    assert [words in text for words in WORDS] == list(fault)


def test_the_real_first_layer_passes_for_any_input(shared: Path, tmp_path: Path) -> None:
    convert(shared / PREFIX, tmp_path / "with_conv0.h5")
    net = load_network(tmp_path / "with_conv0.h5")
    w, b = net.weights["conv1_1"]
    table = fit_table(architecture("vgg19"), {"conv1_1": w.shape})
    bgr = Network("vgg19", table, {"conv1_1": (w, b)}, **CAFFE)
    rgb = Network("vgg19", table, {"conv1_1": (np.ascontiguousarray(w[:, :, ::-1]), b)}, **MATCONVNET)
    for name, right in {"bgr": bgr, "rgb": rgb}.items():
        write_weights(tmp_path / f"{name}.h5", right)
        load_network(tmp_path / f"{name}.h5")
        wrong = {"RGB": "BGR", "BGR": "RGB"}[right.channel_order]
        write_weights(tmp_path / f"{name}.h5", replace(right, channel_order=wrong))
        assert "red and blue exchanged" in sentence(tmp_path / f"{name}.h5")


def test_other_real_first_layers_pass(shared: Path) -> None:
    folder = shared / "data" / "pretrained_other"
    with np.load(folder / "squeezenet1_1" / "weights.npz") as arrays:
        filters = arrays["conv1.weight"].astype("float64").transpose(2, 3, 1, 0)
    assert filters.shape == (3, 3, 3, 64)
    with np.load(folder / "vgg19_narrow16x" / "encoder5.npz") as arrays:
        narrow = arrays["conv1_1.weight"].astype("float64").transpose(2, 3, 1, 0)
    for fault in [(False, False, False), *FAULTS]:
        check_first_layer(corrupted(network(filters), *fault))
        check_first_layer(corrupted(network(narrow), *fault))
