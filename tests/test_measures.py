"""Colours of regions and the look of their borders, measured on pictures that were painted to be so."""

import numpy as np
import pytest

from vggnumpy.color import lab_to_srgb, srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.measures import (
    border_ratios,
    color_distance,
    layout_correlation,
    local_contrast,
    region_color_distances,
    region_colors,
    ssim,
)
from vggnumpy.regions import feather, hard_regions

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
HEIGHT, WIDTH = 60, 120


def halves(height=HEIGHT, width=WIDTH, part=0.5):
    return hard_regions(np.tile(np.arange(width) >= part * width, (height, 1)).astype(int), [RED, BLUE])


def painted(chroma=20.0, noise=5.0, dull=slice(0, 0)):
    """Light with a red cast on the left, dark with a blue one on the right; grey and flat in some columns."""
    lab = np.empty((HEIGHT, WIDTH, 3))
    lab[:, : WIDTH // 2] = (70, chroma, 0)
    lab[:, WIDTH // 2 :] = (40, 0, -chroma)
    lab[..., 0] += np.random.default_rng(0).normal(0, noise, (HEIGHT, WIDTH))
    lab[:, dull] = np.where(np.arange(WIDTH)[dull, None] < WIDTH // 2, (70, 0, 0), (40, 0, 0))
    return lab_to_srgb(lab)


def test_the_distance_is_that_of_the_mean_colours():
    image, style = painted(), np.zeros((30, 40, 3))
    style[:, 10:] = 255
    colors = region_colors(image, halves())
    np.testing.assert_allclose(colors, [(70, 20, 0), (40, 0, -20)], atol=0.3)
    distances = region_color_distances(image, halves(), style, halves(30, 40, 0.25))
    np.testing.assert_allclose(distances, np.linalg.norm(colors - [(0, 0, 0), (100, 0, 0)], axis=1), atol=0.01)
    assert region_color_distances(image, halves(), image, halves()) == pytest.approx([0, 0])


def test_masks_of_another_size_are_brought_to_the_picture_s():
    assert np.array_equal(region_colors(painted(), halves(2, 4)), region_colors(painted(), halves()))


def test_a_border_that_does_not_show_has_ratios_of_1():
    (found,) = border_ratios(painted(), halves())
    assert found.names == ("red", "blue") and found.pixels == 12 * HEIGHT
    assert found.saturation == pytest.approx(1, abs=0.01)
    assert 0.9 < found.contrast < 1.02  # the windows beside the border are half as wide
    assert border_ratios(painted(), feather(halves(), 10)) == [found]


def test_a_grey_band_is_seen_and_a_glowing_one_too():
    middle = slice(WIDTH // 2 - 3, WIDTH // 2 + 3)
    (grey,) = border_ratios(painted(dull=middle), halves())
    assert grey.saturation == pytest.approx(0.5, abs=0.01) and grey.contrast < 0.85
    lab = srgb_to_lab(painted())
    lab[:, middle, 1:] *= 1.5
    lab[:, middle, 0] += 10 * (np.indices((HEIGHT, 6)).sum(axis=0) % 2)
    (glowing,) = border_ratios(lab_to_srgb(lab), halves())
    assert glowing.saturation == pytest.approx(1.25, abs=0.02) and glowing.contrast > 1.2


def test_both_sides_count_alike():
    """The band is dull on the left only, which has the greater chroma, whichever region is the larger one."""
    lab = srgb_to_lab(painted(chroma=20))
    lab[:, : WIDTH // 2, 1] *= 2
    lab[:, WIDTH // 2 - 6 : WIDTH // 2, 1] = 10
    numbers = halves().labels[:, 30:]
    (found,) = border_ratios(lab_to_srgb(lab[:, 30:]), hard_regions(numbers, [RED, BLUE]))
    assert found.saturation == pytest.approx((10 + 20) / (40 + 20), abs=0.01)


def test_an_edge_between_regions_is_no_contrast():
    labels = halves().labels
    flat = np.where(labels == 0, 70.0, 40.0)
    assert np.abs(local_contrast(flat, labels)).max() < 1e-5
    one = local_contrast(flat, np.zeros_like(labels))
    assert one[30, 60] == pytest.approx(np.sqrt((3 * 70**2 + 4 * 40**2) / 7 - ((3 * 70 + 4 * 40) / 7) ** 2))


def test_borders_too_short_to_be_judged_are_left_out():
    numbers = np.zeros((HEIGHT, WIDTH), int)
    numbers[:, 60:] = 1
    numbers[:4, :4] = 2
    found = border_ratios(painted(), hard_regions(numbers, [RED, BLUE, GREEN]))
    assert [one.names for one in found] == [("red", "blue")]


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4)), np.zeros((1, 4, 4, 3))])
def test_other_arrays_are_refused(image):
    with pytest.raises(InputError, match="expected one picture H×W×3 to measure, found shape"):
        border_ratios(image, halves())


def test_other_numbers_of_regions_and_lost_regions_are_refused():
    three = hard_regions(np.arange(3) * np.ones((4, 1), int), [RED, BLUE, GREEN])
    with pytest.raises(InputError, match="expected as many regions in the style as in the picture, found 3 and 2"):
        region_color_distances(painted(), halves(), painted(), three)
    with pytest.raises(InputError, match="region blue is nowhere the heaviest at 1×1 pixels"):
        region_colors(np.zeros((1, 1, 3)), halves())


def noisy(seed=1, shape=(24, 31, 3)):
    return np.random.default_rng(seed).uniform(0, 255, shape)


def test_the_colour_distance_is_the_mean_over_the_pixels():
    a = np.zeros((4, 5, 3))
    b = a.copy()
    b[:2] = 255
    assert color_distance(a, b) == pytest.approx(50, abs=0.01)
    assert color_distance(a, a) == 0
    assert color_distance(a - 50, b * 2) == color_distance(a, b)


def test_structural_similarity_is_the_formula_window_by_window():
    a, b = noisy(1), noisy(1) * 0.5 + noisy(2) * 0.3
    weights = np.exp(-np.add.outer(np.arange(-5, 6) ** 2, np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    luma = np.array([0.299, 0.587, 0.114])
    values = []
    for i, j in np.ndindex(24 - 10, 31 - 10):
        x, y = (one[i : i + 11, j : j + 11] @ luma for one in (a, b))
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        common = (weights * (x - mx) * (y - my)).sum()
        value = (2 * mx * my + 6.5025) * (2 * common + 58.5225)
        values.append(value / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225)))
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-9)
    assert ssim(a, a) == pytest.approx(1) and abs(ssim(a, noisy(3))) < 0.1


def test_the_layout_is_what_is_left_without_the_textures():
    light = np.zeros((64, 96, 3))
    light[:32] = 100
    light += 50
    textures = noisy(1, (64, 96, 3)) - 127.5, noisy(2, (64, 96, 3)) - 127.5
    a, b = (light + 0.3 * one for one in textures)
    assert layout_correlation(a, b) > 0.95
    assert layout_correlation(a, b[::-1]) < -0.95
    assert abs(layout_correlation(a, b.transpose(1, 0, 2)[:64].repeat(2, axis=1)[:, :96])) < 0.3
    assert layout_correlation(a, b, 1 / 200) < layout_correlation(a, b)


@pytest.mark.parametrize("measure", [color_distance, ssim, layout_correlation])
def test_two_pictures_must_have_one_size(measure):
    with pytest.raises(InputError, match="two pictures H×W×3 of one size"):
        measure(noisy(), noisy(2, (24, 30, 3)))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="11×11 pixels at least, got 31×10"):
        ssim(noisy()[:10], noisy()[:10])
    with pytest.raises(InputError, match="one lightness"):
        layout_correlation(noisy(), np.full((24, 31, 3), 7))
