"""Colour control: what is kept is kept to a grey level, what is matched is matched, on made-up and on real pictures."""

from functools import cache

import numpy as np
import pytest

from vggnumpy.color_control import (
    COLORS,
    METHODS,
    SPACES,
    color_statistics,
    controlled,
    finished,
    grey_picture,
    luminance,
    match_colors,
    match_histogram,
    match_luminance,
    pooled,
    with_luminance,
)
from vggnumpy.errors import InputError
from vggnumpy.images import fit_size, read_image, resize, to_uint8
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.run import demo_portrait

RNG = np.random.default_rng(0)


@cache
def picture(path):
    image = read_image(path)
    image = resize(image, fit_size(*image.shape[:2], 112))
    image.flags.writeable = False
    return image


def portrait():
    return picture(demo_portrait())


def paintings():
    return [picture(painting_path(name)) for name in PAINTINGS]


def chroma(image, space):
    return SPACES[space][0](np.asarray(image, "float32"))[..., 1:]


# --- brightness alone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dark", [False, True])
def test_every_kind_of_colour_keeps_its_chroma_to_a_grey_level_under_any_brightness(space, dark):
    colours = RNG.uniform(0, 40 if dark else 256, (300, 400, 3)).astype("float32")
    wanted = RNG.uniform(-20, 140, (300, 400)).astype("float32") * (1.0 if space == "lab" else 2.55)
    rounded = to_uint8(with_luminance(colours, wanted.astype("float32"), space))
    assert np.abs(chroma(rounded, space) - chroma(np.clip(colours, 0, 255), space)).max() < 1


@pytest.mark.parametrize("kind", ["luminance", "luminance-lab"])
def test_a_result_in_brightness_has_the_chroma_of_the_content_to_a_grey_level(kind):
    content = portrait()
    space = {"luminance": "yiq", "luminance-lab": "lab"}[kind]
    for painting in paintings():
        _, (grey,) = controlled(kind, content, [painting])
        painted = resize(grey, content.shape[:2])  # the painting's own brightness: a transfer asks for nothing harsher
        result = to_uint8(finished(kind, painted, content))
        assert np.abs(chroma(result, space) - chroma(np.clip(content, 0, 255), space)).max() < 1
        reached = np.abs(luminance(result.astype("float32"), space) - luminance(painted, space)) < 1
        assert 0.6 < reached.mean() < 1  # where there is no such colour brightness gives way, and only there


@pytest.mark.parametrize("space", SPACES)
def test_brightness_gives_way_no_further_than_it_must(space):
    blue = np.full((16, 16, 3), (10.0, 20.0, 200.0), "float32")
    own = float(luminance(blue, space)[0, 0])
    brightest = with_luminance(blue, np.full((16, 16), 1000, "float32"), space)
    assert luminance(brightest, space)[0, 0] > own + 2
    assert brightest.max() > 254.5
    within = np.full((16, 16), own + 1, "float32")
    np.testing.assert_allclose(luminance(with_luminance(blue, within, space), space), within, atol=2e-3)


@pytest.mark.parametrize("space", SPACES)
def test_a_grey_picture_has_the_brightness_it_was_made_of(space):
    wanted = RNG.uniform(0, 100, (9, 7))
    grey = grey_picture(wanted, space)
    np.testing.assert_allclose(grey, np.repeat(grey[..., :1], 3, axis=2), atol=1e-6)
    np.testing.assert_allclose(luminance(grey, space), wanted, atol=1e-6)


def test_brightness_is_matched_in_mean_and_deviation_and_flat_pictures_are_not_blown_up():
    wanted = RNG.uniform(30, 90, (40, 50))
    moved = match_luminance(RNG.uniform(0, 255, (20, 30)), wanted)
    assert (moved.mean(), moved.std()) == pytest.approx((wanted.mean(), wanted.std()))
    nearly_flat = 100 + RNG.normal(0, 0.01, (20, 30))
    assert match_luminance(nearly_flat, wanted).std() < 0.02 * wanted.std()


# --- colours matched ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_matched_colours_have_the_mean_and_covariance_asked_for(method):
    wanted = color_statistics(portrait())
    for painting in paintings():
        found = color_statistics(match_colors(painting, wanted, method))
        np.testing.assert_allclose(found.mean, wanted.mean, rtol=0.01)
        np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=0.01)


def test_the_two_maps_are_a_triangle_and_a_symmetric_product():
    image, other = RNG.uniform(0, 255, (30, 30, 3)), RNG.uniform(0, 200, (30, 30, 3)) ** 1.02
    A = {}
    for method in METHODS:  # x ↦ A (x − μ) + ν, from what it makes of all pixels
        moved = match_colors(image, other, method).reshape(-1, 3) - color_statistics(other).mean
        A[method] = np.linalg.lstsq(image.reshape(-1, 3) - color_statistics(image).mean, moved, rcond=None)[0].T
    np.testing.assert_allclose(A["cholesky"][np.triu_indices(3, 1)], 0, atol=1e-6)
    roots = A["principal-axes"]  # Σ_t^½ Σ_s^-½, and both roots symmetric: A Σ_s^½ = (A Σ_s^½)ᵀ
    variances, axes = np.linalg.eigh(color_statistics(image).covariance)
    product = roots @ (axes * np.sqrt(variances)) @ axes.T
    np.testing.assert_allclose(product, product.T, rtol=1e-6)
    np.testing.assert_allclose(match_colors(image, image), image, atol=1e-9)


def test_a_grey_picture_takes_a_mean_but_no_colours_from_its_rounding():
    grey = np.repeat(RNG.uniform(0, 255, (40, 40, 1)), 3, axis=2)
    noisy = grey + RNG.choice([-0.2, 0.2], grey.shape)  # what a JPEG file leaves
    wanted = color_statistics(portrait())
    for method in METHODS:
        found = color_statistics(match_colors(noisy, wanted, method))
        np.testing.assert_allclose(found.mean, wanted.mean)
        assert np.linalg.eigvalsh(found.covariance)[:2].max() < 0.2 * np.linalg.eigvalsh(wanted.covariance)[1]
        assert np.isfinite(match_colors(portrait(), grey, method)).all()


def test_statistics_of_two_pictures_are_those_of_their_pixels_together():
    first, second = RNG.uniform(0, 255, (20, 30, 3)), RNG.uniform(50, 90, (10, 20, 3))
    together = color_statistics(np.concatenate([first.reshape(-1, 1, 3), second.reshape(-1, 1, 3)]))
    found = pooled([color_statistics(first), color_statistics(second)], [0.75, 0.25])
    np.testing.assert_allclose(found.mean, together.mean)
    np.testing.assert_allclose(found.covariance, together.covariance)


def test_a_matched_histogram_is_the_targets_in_every_channel_and_together():
    content = portrait()
    for painting in paintings():
        moved = match_histogram(painting, content)
        levels = np.linspace(0.02, 0.98, 49)
        for channel in range(3):
            found, wanted = (np.quantile(image[..., channel], levels) for image in (moved, content))
            assert np.abs(found - wanted).mean() < 1
        found, wanted = color_statistics(moved).covariance, color_statistics(content).covariance
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
        assert moved.min() >= content.min() and moved.max() <= content.max()


def test_equal_colours_stay_equal_when_histograms_are_matched():
    flat = np.repeat(np.repeat(RNG.uniform(0, 255, (2, 2, 3)), 20, axis=0), 20, axis=1)
    moved = match_histogram(flat, portrait())
    assert len(np.unique(moved.reshape(-1, 3), axis=0)) == 4


# --- all of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COLORS)
def test_pictures_keep_their_shapes_and_are_only_read(kind):
    content, styles = portrait(), paintings()[:2]
    own, controlled_styles = controlled(kind, content, styles)
    assert own.dtype == np.float32 and own.shape == content.shape
    for one, old in zip(controlled_styles, styles, strict=True):
        assert one.dtype == np.float32 and one.shape == old.shape
    assert finished(kind, own, content).shape == content.shape


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: match_colors(np.zeros((4, 4)), np.zeros((4, 4, 3))), r"H×W×3 of finite numbers, found shape \(4, 4\)"),
        (lambda: match_colors(np.full((4, 4, 3), np.nan), np.zeros((4, 4, 3))), "finite numbers"),
        (
            lambda: match_colors(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), "guess"),
            "one of cholesky, principal-axes, got 'guess'",
        ),
        (lambda: luminance(np.zeros((4, 4, 3)), "hsv"), "one of yiq, lab, got 'hsv'"),
        (lambda: with_luminance(np.zeros((4, 4, 3)), np.zeros((4, 5))), r"\(4, 4\), found \(4, 5\)"),
    ],
)
def test_what_cannot_be_used_is_said(call, said):
    with pytest.raises(InputError, match=said):
        call()
