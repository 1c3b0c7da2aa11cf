"""Borders made even, on pictures that were painted with a dull or a glowing one."""

import numpy as np
import pytest

from vggnumpy.borders import evened
from vggnumpy.color import lab_to_srgb, srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.measures import border_ratios
from vggnumpy.regions import Regions, feather, hard_regions

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
HEIGHT, WIDTH = 90, 120
LABELS = np.tile(np.arange(WIDTH) >= WIDTH // 2, (HEIGHT, 1)).astype(int)
HALVES = hard_regions(LABELS, [RED, BLUE])


def painted(chroma, contrast, labels=LABELS):
    """Red on the left, blue on the right, both noisy, with these factors within 6 pixels of the middle."""
    noise = np.random.default_rng(0).normal(0, 4, labels.shape)
    lab = np.stack([55 + noise, np.where(labels == 0, 24.0, 0), np.where(labels == 0, 0, -24.0)], axis=-1)
    band = slice(WIDTH // 2 - 6, WIDTH // 2 + 6)
    lab[:, band, 1:] *= chroma
    lab[:, band, 0] += (contrast - 1) * noise[:, band]
    return lab_to_srgb(lab)


@pytest.mark.parametrize(("chroma", "contrast"), [(0.7, 0.7), (1.4, 1.4), (0.7, 1.4)])
@pytest.mark.parametrize("regions", [HALVES, feather(HALVES, 4)])
def test_a_border_that_shows_is_made_even(chroma, contrast, regions):
    image = painted(chroma, contrast)
    (before,), (after,) = border_ratios(image, regions), border_ratios(evened(image, regions, 6), regions)
    assert before.saturation == pytest.approx(chroma, abs=0.01) and abs(before.contrast - 1) > 0.2
    assert after.saturation == pytest.approx(1, abs=0.02)  # the insides get a part of the factor where it fades out
    # Windows reach out of the band, and are half as wide beside the border.
    assert after.contrast == pytest.approx(1, abs=0.1)


def test_what_is_far_from_borders_stays_as_it_is():
    image = painted(0.7, 1.3)
    result, columns = evened(image, HALVES, 6), np.arange(WIDTH)
    far = (columns < WIDTH // 2 - 12) | (columns >= WIDTH // 2 + 12)
    assert np.array_equal(result[:, far], image[:, far])
    assert result.dtype == image.dtype and np.abs(result - image)[:, ~far].max() > 5
    assert evened(image.astype(np.float32), HALVES, 6).dtype == np.float32


def test_a_grey_band_is_not_multiplied_without_end():
    """Chroma of a fifth would need a factor of 5, and noise with it."""
    before, after = painted(0.2, 1), evened(painted(0.2, 1), HALVES, 6)
    (found,) = border_ratios(after, HALVES)
    assert found.saturation == pytest.approx(1.5 * border_ratios(before, HALVES)[0].saturation, rel=0.03)


def test_where_two_borders_meet_their_factors_are_averaged():
    """In the corner of the first region the factor is the geometric mean of those along its two borders."""
    labels = LABELS.copy()
    labels[60:] = 2
    image = np.where((labels == 2)[..., None], lab_to_srgb(np.array([55.0, 0, 24])), painted(0.7, 1))
    before, after = (
        np.hypot(*np.moveaxis(srgb_to_lab(one)[..., 1:], -1, 0))
        for one in (image, evened(image, hard_regions(labels, [RED, BLUE, GREEN]), 6))
    )
    factor = after / before
    assert factor[20, 57] == pytest.approx(1 / 0.7, rel=0.01) and factor[57, 20] == pytest.approx(1, abs=0.05)
    assert factor[57, 57] == pytest.approx(np.sqrt(factor[20, 57] * factor[57, 20]), rel=1e-3)


def test_borders_too_short_to_be_judged_are_left_alone():
    image = painted(0.7, 1.3)
    small = np.zeros_like(LABELS)
    small[:4, :4] = 1
    assert np.array_equal(evened(image, hard_regions(small, [RED, BLUE]), 6), image)


def test_other_arrays_are_refused():
    with pytest.raises(InputError, match="expected one picture H×W×3 to even, found shape"):
        evened(np.zeros((4, 4)), HALVES, 6)


def test_a_region_that_is_nowhere_the_heaviest_changes_nothing():
    image = painted(0.7, 1.3)
    weights = np.concatenate([0.99 * HALVES.weights, np.full((HEIGHT, WIDTH, 1), 0.01)], axis=-1).astype("float32")
    three = Regions(weights, np.array([RED, BLUE, GREEN], np.float64), ("red", "blue", "green"))
    assert np.array_equal(evened(image, three, 6), evened(image, HALVES, 6))
