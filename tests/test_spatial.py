"""A picture whose regions take their styles from different places."""

from dataclasses import replace

import numpy as np
import pytest

from vggnumpy import InputError, random_network, transfer
from vggnumpy.borders import evened
from vggnumpy.color import srgb_to_lab
from vggnumpy.losses import regions_statistics
from vggnumpy.nets import architecture
from vggnumpy.ops.geometry import Sides
from vggnumpy.plan import plan_transfer
from vggnumpy.regions import hard_regions
from vggnumpy.scale import objective_at
from vggnumpy.spatial import Placement, content_masks, placement_of_masks, recolored_content, region_styles, style_masks

NET = random_network(architecture("vgg19")[:7], rng=1)  # to relu2_1
RNG = np.random.default_rng(0)
CONTENT = RNG.uniform(0, 255, (48, 64, 3)).astype("float32")
RED, BLUE = (255, 0, 0), (0, 0, 255)
LAYERS = ["relu1_1", "relu2_1"]


def mask(height, width, part=0.5):
    """Red on the left, blue on the right."""
    painted = np.empty((height, width, 3), np.uint8)
    painted[:, : int(part * width)] = RED
    painted[:, int(part * width) :] = BLUE
    return painted


def left_and_right(height, width):
    return hard_regions((np.arange(width) >= width // 2).astype(int) + np.zeros((height, 1), int), [RED, BLUE])


def halves(left, right, height=40, width=56):
    """A painting of two colours with a little texture."""
    painted = np.empty((height, width, 3), np.float32)
    painted[:, : width // 2], painted[:, width // 2 :] = left, right
    return (painted + RNG.normal(0, 10, painted.shape)).clip(0, 255).astype("float32")


def test_masks_of_one_colour_belong_together():
    placed = placement_of_masks(mask(48, 64), [mask(40, 56, 0.25)[:, ::-1]], [(48, 64), (40, 56)])
    assert placed.content.names == placed.styles[0].names
    for name, share, style in zip(placed.content.names, placed.content.shares, placed.styles[0].shares, strict=True):
        assert share == pytest.approx(0.5)
        assert style == pytest.approx(0.25 if name == "red" else 0.75)


def test_without_style_masks_the_largest_region_is_the_first_style_s():
    placed = placement_of_masks(mask(48, 64, 0.25), [], [(48, 64), (40, 56), (40, 56)])
    assert placed.content.names == ("blue", "red") and placed.styles == (0, 1)


@pytest.mark.parametrize(
    ("masks", "sizes", "message"),
    [
        ([mask(48, 64)], [(48, 70), (40, 56)], "the content's mask"),
        ([mask(48, 64), mask(40, 56)], [(48, 64), (40, 70)], "the style's mask"),
        ([mask(48, 64), mask(40, 56, 0)], [(48, 64), (40, 56)], "style"),
        ([mask(48, 64), mask(40, 56)], [(48, 64), (40, 56), (40, 56)], "one mask for each of 2 style pictures"),
        ([mask(48, 64)], [(48, 64), (40, 56)], "each of the 2 regions"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, sizes, message):
    with pytest.raises(InputError, match=message):
        placement_of_masks(masks[0], masks[1:], sizes)


def test_paintings_for_a_region_each_are_one_style():
    placed = Placement(left_and_right(48, 64), (1, 0))
    paintings = [halves((200, 0, 0), (180, 0, 0)), halves((0, 0, 200), (0, 0, 180))]
    masks = style_masks(placed, NET, [painting.shape[:2] for painting in paintings], LAYERS, "area")
    (style,) = region_styles(placed, NET, paintings, masks)
    for layer in LAYERS:
        for region, painting in ((0, paintings[1]), (1, paintings[0])):
            F = NET.forward(painting, [layer])[0][layer]
            expected = regions_statistics(F, np.ones((*F.shape[:2], 1), "float32"))
            error = np.linalg.norm(style[layer].matrices[region] - expected.matrices[0])
            assert error <= 1e-5 * np.linalg.norm(expected.matrices[0])
            assert style[layer].weights[region] == expected.weights[0]


def test_the_canvas_reflects_the_mask_and_the_band_has_its_width():
    regions = left_and_right(48, 64)
    own = content_masks(regions, NET, ["relu1_1"], (48, 64), Sides(8, 8, 16, 16), 0.0, "area")["relu1_1"]
    assert own.shape == (64, 96, 2)
    np.testing.assert_array_equal(own[8:-8, 16:-16], regions.weights)
    np.testing.assert_array_equal(own[:8, :, 0], own[16:8:-1, :, 0])
    soft = content_masks(regions, NET, ["relu1_1"], (48, 64), Sides(0, 0, 0, 0), 8 / 64, "area")["relu1_1"]
    assert ((soft[0, :, 0] > 0) & (soft[0, :, 0] < 1)).sum() == 8


def mean_color(pixels, left):
    width = pixels.shape[1] // 2
    part = pixels[:, : width - 6] if left else pixels[:, width + 6 :]
    return part.mean(axis=(0, 1))


@pytest.mark.parametrize("swapped", [False, True])
def test_each_region_takes_the_colour_of_its_own(swapped):
    grey = np.full((48, 64, 3), 128, np.float32) + RNG.normal(0, 5, (48, 64, 3)).astype("float32")
    painting = halves((220, 60, 40), (40, 60, 220))
    own = left_and_right(40, 56)
    style = own.take([1, 0]) if swapped else own
    placed = Placement(left_and_right(48, 64), (replace(style, names=own.names),))
    result = transfer(
        grey, painting, net=NET, size=64, iterations=25, placement=placed, content_layers={}, style_layers={
            "relu1_1": 1.0, "relu2_1": 1.0}, variation=0.0, scales=1,
    )  # fmt: skip
    for left in (True, False):
        red, _, blue = mean_color(result.pixels, left)
        assert (red > blue + 50) if left != swapped else (blue > red + 50)


def test_a_placement_that_does_not_fit_is_refused():
    placed = Placement(left_and_right(48, 64), (left_and_right(40, 56),))
    painting = halves(RED, BLUE)
    with pytest.raises(InputError, match="2 style pictures need regions for each"):
        transfer(CONTENT, [painting, painting], net=NET, size=64, placement=placed)
    with pytest.raises(InputError, match="no meaning"):
        transfer(CONTENT, [painting] * 2, net=NET, placement=Placement(placed.content, (0, 1)), style_weights=[1, 2])
    small = np.zeros((40, 56), int)
    small[0, 0] = 1
    dot = Placement(left_and_right(48, 64), (hard_regions(small, [RED, BLUE]),))
    with pytest.raises(InputError, match=r"style picture at 64×46 pixels is empty at layer relu"):
        transfer(CONTENT, painting, net=NET, size=64, placement=dot, mask_way="inside")
    with pytest.raises(InputError, match="carried to layers by one of"):
        transfer(CONTENT, painting, net=NET, placement=placed, mask_way="outside")
    with pytest.raises(InputError, match="feather"):
        transfer(CONTENT, painting, net=NET, placement=placed, feather=2)


HALVES = slice(28), slice(28, None)
CALM = 96 + CONTENT / 8


def mean_lab(pixels):
    return srgb_to_lab(pixels).mean(axis=(0, 1))


@pytest.mark.parametrize("masks", [True, False])
def test_content_gets_its_styles_colours_region_by_region(masks):
    content, painting = left_and_right(48, 64), halves((220, 60, 40), (40, 60, 220))
    if masks:
        placed, styles = Placement(content, (left_and_right(40, 56), left_and_right(40, 56))), [painting, painting / 2]
        left, right = (mean_lab(painting[:, half]) / 2 + mean_lab(painting[:, half] / 2) / 2 for half in HALVES)
    else:
        placed, styles = Placement(content, (1, 0)), [painting, painting[::-1] / 2]
        left, right = mean_lab(styles[1]), mean_lab(styles[0])
    moved = recolored_content(CALM, placed, styles, [0.5, 0.5])
    assert moved.dtype == "float32" and moved.min() >= 0 and moved.max() <= 255
    np.testing.assert_allclose(mean_lab(moved[:, :32]), left, atol=2)
    np.testing.assert_allclose(mean_lab(moved[:, 32:]), right, atol=2)


def test_a_transfer_begins_and_ends_with_colours_moved_region_by_region():
    painting = halves((220, 60, 40), (40, 60, 220))
    placed = Placement(left_and_right(48, 64), (left_and_right(40, 56),))
    steps = []
    options = {
        "net": NET,
        "size": 64,
        "iterations": 2,
        "placement": placed,
        "callback": lambda p: steps.append(p._pixels),
    }
    moved = transfer(CALM, painting, color="regions", first_step=0.01, **options).pixels
    assert mean_color(steps[0], True)[0] > 180 and mean_color(steps[0], False)[2] > 180
    for half, wanted in ((slice(32), mean_lab(painting[:, :28])), (slice(32, None), mean_lab(painting[:, 28:]))):
        np.testing.assert_allclose(mean_lab(moved[:, half]), wanted, atol=0.5)
    with pytest.raises(InputError, match="moves colours region by region: give masks"):
        transfer(CONTENT, painting, net=NET, size=64, color="regions")


def test_colours_moved_region_by_region_end_in_even_borders():
    painting, steps = halves((220, 60, 40), (40, 60, 220)), []
    placed = Placement(left_and_right(48, 64), (left_and_right(40, 56),))
    options = {"iterations": 2, "scales": 1, "placement": placed, "callback": lambda p: steps.append(p._pixels)}
    moved = transfer(CALM, painting, net=NET, size=160, color="regions", **options).pixels
    even = evened(steps[-1].clip(0, 255), placed.content, 6 * 160 / 512)
    np.testing.assert_allclose(moved, recolored_content(even, placed, [painting], [1.0], 1.0), atol=1e-3)


def test_most_of_the_margin_belongs_to_no_region():
    placed = Placement(left_and_right(48, 64), (left_and_right(40, 56),))
    painting = halves((220, 60, 40), (40, 60, 220))
    plan = plan_transfer(
        halves((9, 9, 9), (99, 99, 99), 48, 64), painting, net=NET, size=64, placement=placed, feather=0.0
    )
    objective = objective_at(plan, plan.net, (48, 64), Sides(8, 8, 16, 16))
    maps = objective._regions["relu1_1"]
    assert maps.shape == (64, 96, 2) and maps.sum() == maps[4:-4, 12:-12].sum() == 56 * 72
