"""Weights of regions: they add up to 1 whatever is done to them, and area averages are areas."""

import numpy as np
import pytest
from mask_pictures import BLUE, GREEN, RED, YELLOW, labels

from vggnumpy.errors import InputError
from vggnumpy.regions import Regions, color_names, feather, hard_regions

COLORS = [RED, GREEN, BLUE, YELLOW]


def halves(height, width, at):
    return hard_regions((np.arange(width) >= at).astype(int) * np.ones((height, 1), int), [RED, BLUE])


def overlap(i, count, j, length):
    """Return how much of old interval j lies in new interval i, as a part of the new one."""
    return max(0.0, min((i + 1) / count, (j + 1) / length) - max(i / count, j / length)) * count


@pytest.mark.parametrize("size", [(10, 15), (7, 11), (20, 30), (33, 8), (1, 1), (20, 31), (45, 64)])
def test_resizing_averages_areas(size):
    regions = hard_regions(labels(20, 30), COLORS)
    rows = np.array([[overlap(i, size[0], j, 20) for j in range(20)] for i in range(size[0])])
    columns = np.array([[overlap(i, size[1], j, 30) for j in range(30)] for i in range(size[1])])
    resized = regions.resized(size)
    np.testing.assert_allclose(resized.weights, np.einsum("ip,pqk,jq->ijk", rows, regions.weights, columns), atol=1e-6)
    np.testing.assert_allclose(resized.shares, regions.shares, atol=1e-6)
    np.testing.assert_allclose(resized.weights.sum(axis=2), 1, atol=1e-6)
    assert resized.size == size and resized.weights.dtype == np.float32


def test_a_region_of_one_pixel_survives_resizing():
    numbers = np.zeros((64, 64), int)
    numbers[5, 60] = 1
    assert hard_regions(numbers, [RED, BLUE]).resized((3, 5)).shares[1] == pytest.approx(1 / 64**2)


def test_a_feather_falls_linearly_over_its_width():
    soft = feather(halves(5, 40, 20), 8)
    expected = np.clip(0.5 + (np.arange(40) + 0.5 - 20) / 8, 0, 1)
    np.testing.assert_allclose(soft.weights[..., 1], np.tile(expected, (5, 1)), atol=1e-6)
    assert ((soft.weights > 0) & (soft.weights < 1)).any(axis=2).sum(axis=1).tolist() == [8] * 5


@pytest.mark.parametrize("pixels", [0, 1, 3.5, 10, 200])
def test_feathered_weights_add_up_to_1_and_keep_each_pixels_region(pixels):
    hard = hard_regions(labels(60, 80), COLORS)
    soft = feather(hard, pixels)
    np.testing.assert_allclose(soft.weights.sum(axis=2), 1, atol=1e-6)
    assert np.array_equal(soft.labels, hard.labels)


def test_no_feather_gives_hard_regions():
    hard = hard_regions(labels(60, 80), COLORS)
    assert np.array_equal(feather(feather(hard, 6), 0).weights, hard.weights)


def test_the_frame_is_no_border():
    numbers = labels(60, 80)
    hard = hard_regions(numbers, COLORS)
    inner = feather(hard, 6).weights[10:-10, 10:-10]
    cropped = feather(hard_regions(numbers[10:-10, 10:-10], COLORS), 6).weights
    np.testing.assert_allclose(cropped[5:-5, 5:-5], inner[5:-5, 5:-5], atol=1e-6)
    assert np.array_equal(feather(halves(30, 40, 20), 6).weights[0], feather(halves(30, 40, 20), 6).weights[15])


def test_a_spire_thinner_than_the_feather_keeps_its_place():
    numbers = np.zeros((40, 40), int)
    numbers[:, 19:21] = 1
    soft = feather(hard_regions(numbers, [RED, BLUE]), 12)
    assert (soft.weights[:, 19:21, 1] > 0.5).all()


@pytest.mark.parametrize("pixels", [-1, float("nan"), float("inf")])
def test_other_widths_are_refused(pixels):
    with pytest.raises(InputError, match="expected a width in pixels from 0 on"):
        feather(halves(4, 6, 3), pixels)


def test_a_region_that_is_nowhere_heaviest_keeps_the_weights_it_has():
    """As a line of two pixels in a large mask, where a picture is painted small first."""
    numbers = np.repeat((np.arange(40) >= 20).astype(int)[None], 20, axis=0)
    numbers[:, 8] = 2
    small = hard_regions(numbers, [RED, BLUE, GREEN]).resized((5, 10))
    assert not (small.labels == 2).any()
    soft = feather(small, 4)
    assert np.array_equal(soft.weights[..., 2], small.weights[..., 2])
    np.testing.assert_allclose(soft.weights.sum(axis=2), 1, atol=1e-6)
    two = feather(hard_regions((np.arange(10) >= 5).astype(int) * np.ones((5, 1), int), [RED, BLUE]), 4).weights
    np.testing.assert_allclose(soft.weights[..., :2], two * (1 - small.weights[..., 2:]), atol=1e-6)


def test_taking_another_order():
    regions = hard_regions(labels(20, 30), COLORS)
    moved = regions.take((2, 0, 3, 1))
    assert moved.names == ("blue", "red", "yellow", "green")
    assert np.array_equal(moved.picture(), regions.picture())
    for order in [(0, 1, 2), (0, 1, 2, 2), (1, 2, 3, 4)]:
        with pytest.raises(InputError, match="expected each of the region numbers 0 to 3 once"):
            regions.take(order)


def test_names_tell_regions_apart():
    names = color_names([(0, 0, 255), (0, 0, 220), (3, 2, 1), (130, 130, 130), (255, 0, 0)])
    assert names == ("blue (0, 0, 255)", "blue (0, 0, 220)", "black", "grey", "red")


def regions_with(**changes):
    parts = {
        "weights": halves(4, 6, 3).weights,
        "colors": np.array([RED, BLUE], float),
        "names": ("red", "blue"),
    }
    return Regions(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights": np.ones((4, 6, 1), np.float32)}, "at least two regions"),
        ({"weights": np.ones((4, 6), np.float32)}, r"expected weights H×W×K .* found shape \(4, 6\)"),
        ({"weights": halves(4, 6, 3).weights.astype(float)}, "found .* float64"),
        ({"weights": halves(4, 6, 3).weights / 2}, "add up to 1, found .* sums from 0.5 to 0.5"),
        ({"weights": np.tile(np.float32([2, -1]), (4, 6, 1))}, "not negative .* found values from -1 on"),
        ({"weights": np.full((4, 6, 2), np.nan, np.float32)}, "found values from nan"),
        ({"weights": np.tile(np.float32([1, 0]), (4, 6, 1))}, "blue is empty"),
        ({"colors": np.zeros((3, 3))}, "expected 2 colours and as many names"),
        ({"names": ("red", "red")}, "expected 2 colours and as many names, found .* red, red"),
    ],
)
def test_what_are_no_regions(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        regions_with(**changes)


def test_labels_out_of_range():
    with pytest.raises(InputError, match="expected region numbers 0 to 1, found 0 to 3"):
        hard_regions(labels(20, 30), [RED, BLUE])
    with pytest.raises(InputError, match="expected whole numbers H×W"):
        hard_regions(np.zeros((4, 4)), [RED, BLUE])
    with pytest.raises(InputError, match="expected a positive height and width, found 0 and 4"):
        halves(4, 6, 3).resized((0, 4))
