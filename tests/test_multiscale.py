"""A style at several sizes: as the objective would compute it, between sizes, and for which network."""

from dataclasses import replace

import numpy as np
import pytest
from small_styles import LAYERS, small_chain, small_pictures, small_styles

from vggnumpy import Objective, transfer
from vggnumpy.errors import InputError
from vggnumpy.formats.style_file import read_style, write_style
from vggnumpy.images import fit_size, resize, write_image
from vggnumpy.multiscale import picture_style, style_sizes
from vggnumpy.styles import mix_styles

NET = small_chain()
PICTURE = small_pictures(1)[0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(512, [128, 256, 512]), (300, [150, 300]), (255, [255]), (64, [64]), (1000, [250, 500, 1000])],
)
def test_a_style_is_kept_at_the_sizes_that_a_transfer_goes_through(size, expected):
    assert style_sizes(size) == expected


@pytest.mark.parametrize("size", [15, 0, -1, 32.0])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InputError, match="at least 16 pixels"):
        style_sizes(size)


def test_the_matrices_are_those_of_the_picture_at_each_size():
    style = picture_style(NET, PICTURE, size=256)
    assert (style.sizes, style.layers, style.dtype) == ((128, 256), LAYERS, np.float32)
    for size in style.sizes:
        pixels = resize(PICTURE.astype("float32"), fit_size(*PICTURE.shape[:2], size))
        features, _ = NET.forward(pixels, LAYERS)
        for layer, (matrix, positions) in style.grams[size].items():
            F = features[layer].reshape(-1, features[layer].shape[-1]).astype("float64")
            assert positions == len(F)
            np.testing.assert_allclose(matrix, F.T @ F, rtol=1e-3, atol=1e-3 * abs(F.T @ F).max())


def test_a_file_and_its_pixels_have_one_style(tmp_path):
    write_image(tmp_path / "a.png", PICTURE)
    of_file, of_pixels = (picture_style(NET, one, size=32) for one in (tmp_path / "a.png", PICTURE))
    np.testing.assert_array_equal(of_file.grams[32]["relu2_1"].matrix, of_pixels.grams[32]["relu2_1"].matrix)
    assert (of_file.recipe["name"], of_pixels.recipe["name"]) == ("a.png", "")
    assert len(of_file.recipe["sha256"]) == 64 and of_file.recipe["sha256"] != of_pixels.recipe["sha256"]
    assert (of_file.recipe["height"], of_file.recipe["width"]) == PICTURE.shape[:2]
    assert of_file.preview.shape == (60, 96, 3)


def test_at_its_sizes_a_style_is_as_computed_and_beyond_them_as_at_the_end():
    style = small_styles(1)[0]
    for asked, size in ((128, 128), (256, 256), (17, 128), (4000, 256)):
        assert all(style.at(asked)[layer].matrix is style.grams[size][layer].matrix for layer in LAYERS)


def test_between_two_sizes_it_is_mixed_by_the_logarithm():
    style = small_styles(1)[0]
    half = style.at(128 * 2**0.5)
    expected = mix_styles([style.grams[128], style.grams[256]], [0.5, 0.5])
    for layer in LAYERS:
        np.testing.assert_allclose(half[layer].matrix, expected[layer].matrix, rtol=1e-6)
    (own, count), (other, number) = (style.grams[size]["relu2_1"] for size in style.sizes)
    t = np.log(150 / 128) / np.log(256 / 128)
    expected_matrix = (1 - t) * own / count + t * other / number
    matrix, positions = style.at(150)["relu2_1"]
    assert positions == 1 and abs(own / count - other / number).max() > 1e-3 * abs(own / count).max()
    np.testing.assert_allclose(matrix, expected_matrix, rtol=1e-5, atol=1e-6 * abs(expected_matrix).max())


def test_an_objective_takes_it_for_the_picture_to_the_bit():
    style = picture_style(NET, PICTURE, size=64)
    pixels = resize(PICTURE.astype("float32"), fit_size(*PICTURE.shape[:2], 64))
    x = np.random.default_rng(1).uniform(0, 255, (20, 24, 3)).astype("float32")
    weights = dict.fromkeys(LAYERS, 0.5)
    value, dimage = Objective(NET, None, style.at(64), style=weights)(x)
    expected, dexpected = Objective(NET, None, pixels, style=weights)(x)
    assert value == expected
    np.testing.assert_array_equal(dimage, dexpected)


def test_a_narrow_picture_keeps_16_pixels():
    narrow = picture_style(NET, np.zeros((16, 400, 3), "uint8") + PICTURE[:16, :1], size=32)
    assert narrow.grams[32]["relu1_1"].positions == 16 * 400


def test_float64_is_computed_by_the_reference():
    net = small_chain(dtype="float64")
    style = picture_style(net, PICTURE, ["relu2_1"], 32)
    assert style.dtype == np.float64 and style.layers == ("relu2_1",)


def test_a_style_knows_its_network():
    style = small_styles(1, size=32)[0]
    style.check(NET, LAYERS)
    style.check(replace(NET, name="other"), ["relu2_1"])
    with pytest.raises(InputError, match=r"with average pooling and zero padding, and this is .* with max pooling"):
        style.check(NET.with_pooling("max"), LAYERS)
    with pytest.raises(InputError, match=r"style 2 was computed .* one of the same name and other weights"):
        style.check(small_chain(seed=9), LAYERS, "style 2")
    with pytest.raises(InputError, match="no Gram matrix for layer conv1_1, but for relu1_1, relu2_1"):
        style.check(NET, ["conv1_1"])


@pytest.mark.parametrize(
    ("picture", "layers", "message"),
    [
        (np.zeros((20, 20)), None, r"H×W×3, got shape \(20, 20\)"),
        (PICTURE, ["relu1_1", "relu1_1"], "each once"),
        (PICTURE, [], "needs layers"),
        (PICTURE, ["relu7_1"], "no layer 'relu7_1'"),
    ],
)
def test_what_gives_no_style_is_refused(picture, layers, message):
    with pytest.raises(InputError, match=message):
        picture_style(NET, picture, layers, 32)


def test_a_style_that_cannot_fit_into_memory_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("vggnumpy.multiscale.available_memory", lambda: 10**6)
    with pytest.raises(InputError, match="use a smaller size"):
        picture_style(NET, PICTURE, size=2048)


@pytest.mark.parametrize("style_scale", [1.0, 0.5])
def test_a_transfer_over_two_sizes_takes_it_for_the_picture_to_the_bit(style_scale):
    options = {"net": NET, "size": 256, "scales": 2, "iterations": 2, "content_layers": {"relu1_1": 0.01}}
    options["style_scale"] = style_scale
    content, style = small_pictures(2)[1], picture_style(NET, PICTURE, size=round(256 * style_scale))
    if style_scale < 1:  # at the coarse size, 64 pixels, too
        style = replace(style, grams={64: picture_style(NET, PICTURE, size=64).grams[64], **style.grams})
    a, b = (transfer(content, one, **options).pixels for one in (PICTURE, style))
    assert a.tobytes() == b.tobytes()


def test_a_style_of_a_picture_as_narrow_as_a_thread_has_a_small_picture(tmp_path):
    style = picture_style(NET, resize(PICTURE, (16, 5000)), size=32)
    assert style.preview.shape == (1, 96, 3)
    write_style(tmp_path / "a.h5", style)
    np.testing.assert_array_equal(read_style(tmp_path / "a.h5").preview, style.preview)
    with pytest.raises(InputError, match="preview has the shape"):
        write_style(tmp_path / "b.h5", replace(style, preview=np.zeros((16, 5000, 3), "uint8")))
    assert not (tmp_path / "b.h5").exists()
