"""Styles made of styles: at every size as `vggnumpy.styles` makes them at one, and edits."""

from dataclasses import replace

import numpy as np
import pytest
from small_styles import LAYERS, small_chain, small_styles

from vggnumpy.errors import InputError
from vggnumpy.style_mixing import (
    edit_style,
    eigengram_multiscale,
    mean_multiscale,
    mix_multiscale,
    pictures_in,
    recipe_text,
    strip,
)
from vggnumpy.styles import eigengram, eigengram_weights, mean_style, mix_styles

STYLES = small_styles(3)


def assert_same_grams(style, expected_at):
    for size in (128, 256):
        expected = expected_at([one.grams[size] for one in STYLES])
        for layer in LAYERS:
            np.testing.assert_array_equal(style.grams[size][layer].matrix, expected[layer].matrix, strict=True)
            assert style.grams[size][layer].positions == 1


@pytest.mark.parametrize(
    ("make", "expected_at", "made"),
    [
        (mean_multiscale, mean_style, "mean"),
        (lambda s: mix_multiscale(s, [1, 2, 5]), lambda s: mix_styles(s, [1, 2, 5]), "mixture"),
        (eigengram_multiscale, eigengram, "eigengram"),
        (lambda s: eigengram_multiscale(s, stacked=True), lambda s: eigengram(s, stacked=True), "eigengram"),
    ],
)
def test_every_size_is_combined_as_one_is(make, expected_at, made):
    style = make(STYLES)
    assert_same_grams(style, expected_at)
    assert style.recipe["made"] == made
    assert (style.digests, style.network) == (STYLES[0].digests, STYLES[0].network)
    assert list(pictures_in(style.recipe)) == [one.recipe for one in STYLES]
    assert style.preview.dtype == np.uint8 and style.preview.shape[0] == 96


def test_the_recipe_keeps_the_weights():
    assert mix_multiscale(STYLES, [1, 2, 5]).recipe["weights"] == [0.125, 0.25, 0.625]
    weights = eigengram_multiscale(STYLES).recipe["weights"]
    largest = eigengram_weights([one.grams[256] for one in STYLES])
    assert weights == {layer: largest[layer].tolist() for layer in LAYERS}


def test_from_one_style_to_another():
    path = [mix_multiscale(STYLES[:2], [1 - t, t]).grams[128]["relu2_1"].matrix for t in (0, 0.25, 1)]
    np.testing.assert_allclose(path[1], 0.75 * path[0] + 0.25 * path[2], rtol=1e-5)
    own, count = STYLES[1].grams[128]["relu2_1"]
    np.testing.assert_allclose(path[2], own / count, rtol=1e-6)


def test_layers_and_channels_are_edited_and_the_rest_is_untouched():
    style = edit_style(STYLES[0], {"relu1_1": 2.0}, {"relu2_1": {1: 0.0, 3: 3.0}})
    for size in (128, 256):
        (own, M), (edited, count) = STYLES[0].grams[size]["relu1_1"], style.grams[size]["relu1_1"]
        np.testing.assert_array_equal(edited, 2 * own, strict=True)
        assert count == M
        own, edited = STYLES[0].grams[size]["relu2_1"].matrix, style.grams[size]["relu2_1"].matrix
        a = np.array([1, 0, 1, 3, 1, 1], "float32")
        np.testing.assert_array_equal(edited, a[:, None] * own * a)
        assert np.linalg.eigvalsh(edited.astype("float64"))[0] > -1e-3 * abs(edited).max()
    assert recipe_text(style.recipe) == "edit of a picture without a name: relu1_1 × 2, channels of relu2_1"


def test_layers_are_dropped():
    style = edit_style(STYLES[0], drop=["relu1_1"])
    assert style.layers == ("relu2_1",) and set(style.grams[128]) == {"relu2_1"}
    assert style.grams[128]["relu2_1"].matrix.tobytes() == STYLES[0].grams[128]["relu2_1"].matrix.tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": {"relu9_1": 2}}, "no layer 'relu9_1'; it has relu1_1, relu2_1"),
        ({"layers": {"relu1_1": 0}}, "must be positive and finite, got 0; drop it instead"),
        ({"layers": {"relu1_1": float("nan")}}, "must be positive and finite"),
        ({"channels": {"relu2_1": {6: 0}}}, "channels 0 to 5, got 6"),
        ({"channels": {"relu2_1": {-1: 0}}}, "channels 0 to 5, got -1"),
        ({"channels": {"relu2_1": {1: -1}}}, "must be finite, not negative, got -1"),
        ({"drop": ["relu1_1", "relu2_1"]}, "needs one layer at least"),
    ],
)
def test_edits_that_leave_no_style_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        edit_style(STYLES[0], **changes)


@pytest.mark.parametrize("make", [mean_multiscale, lambda s: mix_multiscale(s, [1] * len(s)), eigengram_multiscale])
def test_what_does_not_fit_together_is_refused(make):
    with pytest.raises(InputError, match="one style at least"):
        make([])
    with pytest.raises(InputError, match="same sizes: style 1 has 128, 256; style 2 has 64; compute them with one"):
        make([STYLES[0], *small_styles(1, size=64)])
    with pytest.raises(InputError, match="same layers: style 1 has relu1_1, relu2_1; style 2 has relu1_1"):
        make([STYLES[0], edit_style(STYLES[1], drop=["relu2_1"])])
    with pytest.raises(InputError, match=r"one network: .*, of other weights"):
        make([STYLES[0], *small_styles(1, small_chain(seed=9))])
    with pytest.raises(InputError, match=r"one network: .* style 2 from .* with max pooling"):
        make([STYLES[0], *small_styles(1, small_chain().with_pooling("max"))])


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InputError, match=r"as many weights|must not be negative"):
        mix_multiscale(STYLES[:2], weights)


def test_small_pictures_stand_side_by_side_and_not_too_wide():
    one = strip([STYLES[0].preview])
    assert one.shape == (96, 154, 3)
    assert strip([one, one]).shape == (96, 154 + 2 + 154, 3)
    assert strip([one] * 20).shape[1] == 960


def test_a_recipe_is_told_in_words():
    named = [replace(one, recipe={**one.recipe, "name": name}) for one, name in zip(STYLES, "abc", strict=True)]
    mixed = mix_multiscale([mean_multiscale(named[:2]), named[2]], [1, 3])
    assert recipe_text(mixed.recipe) == "0.25 × (the mean of a, b) + 0.75 × (c)"
