"""Painted masks: the regions are found whatever edges, noise and spots do, and matched by colour."""

import numpy as np
import pytest
from mask_pictures import BLUE, GREEN, RED, YELLOW, antialiased, blurred, compressed, labels, painted
from PIL import Image

from vggnumpy.errors import InputError
from vggnumpy.masks import check_mask_size, match_regions, regions_of_mask
from vggnumpy.regions import hard_regions

COLORS = [RED, BLUE, GREEN, YELLOW]  # red and green make yellow's direction: an edge between them lies near it
CASES = {
    "river_starry": {"blue": (0, 0, 255), "red": (255, 0, 0), "green": (0, 255, 0)},
    "portrait_gogh": {"red": (255, 0, 0), "yellow": (255, 255, 0), "green": (0, 255, 0), "blue": (0, 0, 255)},
    "nc_tubingen_starry": {"black": (0, 0, 0), "white": (255, 255, 255), "green": (0, 255, 0)},
    "nc_city_dusk": {"black": (0, 0, 0), "red": (255, 0, 0)},
}


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def agrees(regions, truth, colors, least):
    """Tell whether each colour's region covers what was painted in it."""
    nearest = [int(np.abs(regions.colors - color).sum(axis=1).argmin()) for color in colors]
    assert sorted(nearest) == list(range(len(colors)))
    return all(iou(regions.labels == k, truth == i) >= least for i, k in enumerate(nearest))


def matched(content, style):
    return match_regions(regions_of_mask(content), regions_of_mask(style))


def test_exact_colours_give_hard_regions():
    truth = labels(60, 80)
    regions = regions_of_mask(painted(truth, COLORS))
    assert agrees(regions, truth, COLORS, 1.0) and set(np.unique(regions.weights)) == {0.0, 1.0}
    assert np.array_equal(regions.picture(), painted(truth, COLORS))
    assert list(regions.shares) == sorted(regions.shares, reverse=True)


def test_antialiased_edges_become_soft_edges_between_the_two_regions_that_meet_there():
    mask = antialiased(90, 120, COLORS)
    assert len(np.unique(mask.reshape(-1, 3), axis=0)) > 20
    regions = regions_of_mask(mask)
    assert agrees(regions, labels(360, 480)[2::4, 2::4], COLORS, 0.97)
    soft = (regions.weights > 0.02) & (regions.weights < 0.98)
    assert 0.02 < soft.any(axis=2).mean() < 0.2
    # Mixing the colours by the weights gives the mask back, but where three regions meet.
    wrong = np.abs(regions.picture().astype(int) - mask).max(axis=2) > 30
    assert wrong.mean() < 0.002
    # Half red, half green is neither yellow nor blue.
    yellow = regions.names.index("yellow")
    y, x = np.mgrid[:90, :120]
    assert not regions.weights[(y < 50) & (y > 20) & (x > 5), yellow].any()


def test_an_edge_in_the_colour_of_a_third_region_is_no_part_of_it():
    mask = np.full((60, 80, 3), 128.0)
    mask[:, 50:65], mask[:, 65:] = 0, 255
    mask[:, 65] = [128, 128, 128]
    regions = regions_of_mask(mask)
    assert regions.names == ("grey", "black", "white")
    np.testing.assert_allclose(regions.weights[:, 65], np.tile([0, 0.5, 0.5], (60, 1)), atol=0.01)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_noise_makes_no_region(quality):
    regions = regions_of_mask(compressed(antialiased(90, 120, COLORS), quality))
    assert agrees(regions, labels(360, 480)[2::4, 2::4], COLORS, 0.93)


def test_wide_blurs_make_no_region():
    regions = regions_of_mask(blurred(painted(labels(180, 240), COLORS), 8))
    assert agrees(regions, labels(180, 240), COLORS, 0.9)
    assert (regions.weights.max(axis=2) < 0.9).mean() > 0.1


def test_small_spots_go_to_what_surrounds_them():
    truth = labels(100, 120)
    mask = painted(truth, COLORS)
    mask[35:39, 60:63] = 190  # 0.1 % of the mask, in the disc, grey
    regions = regions_of_mask(mask)
    assert len(regions.names) == 4 and agrees(regions, truth, COLORS, 1.0)


def test_a_line_two_pixels_wide_is_a_region():
    mask = np.zeros((80, 100, 3), np.uint8)
    mask[:, 50:] = RED
    mask[:, 49:51] = 255
    regions = regions_of_mask(mask)
    assert set(regions.names) == {"black", "red", "white"}
    assert regions.shares[regions.names.index("white")] == pytest.approx(0.02)


def test_the_number_of_regions_can_be_given():
    mask = np.zeros((50, 60, 3), np.uint8)
    mask[:, :30], mask[:, 30:45], mask[:3, 50:54] = (200, 0, 0), (230, 0, 0), (250, 250, 0)
    assert regions_of_mask(mask, 2).names == ("red", "black")
    colors = np.rint(regions_of_mask(mask, 4).colors).astype(int).tolist()
    assert colors == [[200, 0, 0], [230, 0, 0], [0, 0, 0], [250, 250, 0]]


def test_grey_arrays_and_floats_are_masks_too():
    mask = np.zeros((40, 50))
    mask[:, 20:] = 255.0
    regions = regions_of_mask(mask)
    assert regions.names == ("white", "black") and regions.shares == pytest.approx((0.6, 0.4))


def test_the_same_mask_gives_the_same_regions():
    mask = compressed(antialiased(60, 80, COLORS), 60)
    assert np.array_equal(regions_of_mask(mask).weights, regions_of_mask(mask.copy()).weights)


def test_regions_are_matched_by_colour_not_by_size_or_order():
    content = antialiased(60, 80, COLORS)
    style = antialiased(90, 70, [(255, 250, 10), (10, 250, 0), (0, 0, 240), (250, 0, 0)])
    first, second = matched(content, style)
    assert first.names == second.names and np.array_equal(first.colors, second.colors)
    truth = labels(360, 280)[2::4, 2::4]
    for name, number in {"yellow": 0, "green": 1, "blue": 2, "red": 3}.items():
        assert iou(second.labels == second.names.index(name), truth == number) > 0.95


def test_a_region_that_the_other_mask_lacks_is_named():
    content, style = painted(labels(60, 80), COLORS), painted(labels(60, 80), [RED, BLUE, RED, YELLOW])
    with pytest.raises(InputError, match=r"the content's mask has a region in green \(0, 255, 0\), 1\d\.\d % of"):
        matched(content, style)
    with pytest.raises(InputError, match=r"style's mask has a region in green .* the content's mask nothing like it"):
        matched(style, content)
    swapped = painted(labels(60, 80), [RED, BLUE, (120, 120, 120), YELLOW])
    with pytest.raises(InputError, match="do not correspond: the content's mask has a region in green"):
        matched(content, swapped)


@pytest.mark.parametrize(
    ("mask", "regions", "sentence"),
    [
        (
            np.full((30, 40, 3), (0, 0, 255), np.uint8),
            None,
            r"style mask: .* found one colour that covers half a per cent or more, \(0, 0, 255\)",
        ),
        (np.random.default_rng(0).integers(0, 256, (60, 80, 3)), None, "too many colours, as in a photo"),
        (painted(labels(40, 50), COLORS), 5, "expected 5 regions, found 4 colours"),
        (painted(labels(40, 50), COLORS), 1, "expected 2 to 16 regions to look for, found 1"),
        (np.zeros((30, 40, 4)), None, r"expected an RGB picture H×W×3, found shape \(30, 40, 4\)"),
        (np.zeros((0, 40, 3)), None, r"found shape \(0, 40, 3\)"),
        (np.full((30, 40, 3), np.nan), None, "expected values from 0 to 255, found nan"),
        (np.full((30, 40, 3), 300.0), None, "found 300 to 300"),
    ],
)
def test_what_is_no_mask_gets_one_sentence(mask, regions, sentence):
    with pytest.raises(InputError, match=sentence) as raised:
        regions_of_mask(mask, regions, "style mask")
    assert "\n" not in str(raised.value)


def test_a_photo_is_no_mask(shared):
    photo = np.asarray(Image.open(shared / "data/images/content_tubingen.jpg").resize((320, 240)))
    with pytest.raises(InputError, match="too many colours"):
        regions_of_mask(photo)


@pytest.mark.parametrize("mask", [(768, 1024), (384, 512), (75, 100), (76, 100), (767, 1024), (1536, 2048)])
def test_masks_of_the_pictures_proportions_pass(mask):
    check_mask_size(mask, (768, 1024))


@pytest.mark.parametrize("mask", [(1024, 768), (768, 1028), (100, 100), (73, 100)])
def test_masks_of_other_proportions_are_refused(mask):
    sentence = rf"content mask: .* its picture, 1024×768, found {mask[1]}×{mask[0]} \(width×height\)"
    with pytest.raises(InputError, match=sentence):
        check_mask_size(mask, (768, 1024), "content mask")


def test_matching_needs_no_masks():
    numbers = labels(20, 30)
    content = hard_regions(numbers, [RED, GREEN, BLUE, YELLOW])
    style = hard_regions(numbers, [GREEN, BLUE, YELLOW, RED])
    _, moved = match_regions(content, style)
    assert np.array_equal(moved.labels == 0, numbers == 3)


@pytest.mark.parametrize("case", CASES)
def test_the_collected_masks(shared, case):
    masks = [
        np.asarray(Image.open(shared / f"data/masks/{case}_{k}_mask.png").convert("RGB")) for k in ("content", "style")
    ]
    masks = [mask[::2, ::2] if max(mask.shape) > 1000 else mask for mask in masks]
    colors = list(CASES[case].values())
    for mask, regions in zip(masks, matched(*masks), strict=True):
        assert set(regions.names) == set(CASES[case])
        truth = np.stack([np.abs(mask.astype(int) - color).sum(axis=2) for color in colors]).argmin(axis=0)
        assert agrees(regions, truth, colors, 0.97)
        assert (regions.weights.max(axis=2) == 1).mean() > 0.98
