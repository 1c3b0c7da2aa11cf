"""Regions found in pictures: sky and ground apart, paired, drawn and corrected."""

import numpy as np
import pytest
from PIL import Image

from vggnumpy.errors import InputError
from vggnumpy.formats.convert import convert
from vggnumpy.formats.load import load_network
from vggnumpy.masks import match_regions, regions_of_mask
from vggnumpy.nets import random_network
from vggnumpy.pairing import draw_pairing, pair, paired, pairing_costs
from vggnumpy.segment import segment

RIVER = {
    "content": ("data/images/content_tubingen.jpg", "data/masks/river_starry_content_mask.png"),
    "style": ("data/images/style_starry_night_van_gogh.jpg", "data/masks/river_starry_style_mask.png"),
}


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def net():
    return random_network("vgg16", rng=0).without_classifier()


def landscape(height, width, sky, ground, slope, seed=0):
    """Paint a noisy, striped ground under a sky: the picture and where the sky is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    above = y < height * (0.45 + slope * (x / width - 0.5))
    stripes = 40 * np.sign(np.sin(1.3 * x + 0.7 * y))[..., None]
    picture = np.where(above[..., None], sky, np.array(ground) + stripes) + rng.normal(0, 8, (height, width, 3))
    return picture.clip(0, 255).astype(np.float32), above


def test_sky_and_ground_of_painted_landscapes(net):
    day, sky = landscape(120, 160, (120, 160, 230), (110, 100, 60), 0.3)
    dusk, dark = landscape(150, 130, (60, 60, 130), (70, 40, 20), -0.2, seed=1)
    content, style = segment(day, net), segment(dusk, net)
    assert iou(content.regions.labels == 0, sky) > 0.95  # region 0 is the upper one
    assert iou(style.regions.labels == 0, dark) > 0.95
    assert pair(content, style) == (0, 1)
    assert pairing_costs(content, style).shape == (2, 2)
    assert content.positions[0, 0] < 0.4 < content.positions[1, 0]
    assert content.regions.names == ("blue", "red")


def test_the_borders_are_drawn_at_the_pictures_own_size(net):
    day, sky = landscape(480, 640, (120, 160, 230), (110, 100, 60), 0.3)
    found = segment(day, net, long_side=96)
    assert found.regions.size == (480, 640)
    wrong = (found.regions.labels == 0) != sky
    assert wrong.sum() / 640 < 0.5  # pixels a column, where one of the small picture has 6.7


def test_the_same_seed_gives_the_same_regions(net):
    day, _ = landscape(60, 80, (120, 160, 230), (110, 100, 60), 0.3)
    first, second = (segment(day, net, regions=3, rng=5).regions for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_a_pairing_can_be_corrected(net):
    day, _ = landscape(60, 80, (120, 160, 230), (110, 100, 60), 0.3)
    upside_down = day[::-1]
    content, style = segment(day, net), segment(upside_down, net)
    for pairing in [(0, 1), (1, 0)]:
        first, second = paired(content, style, pairing)
        assert np.array_equal(first.weights, content.regions.weights)
        assert np.array_equal(second.weights, style.regions.weights[..., list(pairing)])
        assert second.names == first.names and np.array_equal(second.colors, first.colors)
    with pytest.raises(InputError, match="expected each of the region numbers 0 to 1 once"):
        paired(content, style, (0, 0))


def test_colours_and_features_outweigh_a_little_difference_of_place(net):
    x = np.arange(96) * np.ones((64, 1))
    left, right = np.array((200, 60, 40)), np.array((40, 60, 200))
    content = np.where((x < 44)[..., None], left, right).astype(np.float32)
    style = np.where((x < 52)[..., None], left, right).astype(np.float32)
    first, second = segment(content, net), segment(style, net)
    second_left = int(second.positions[:, 1].argmin())
    first_left = int(first.positions[:, 1].argmin())
    assert pair(first, second)[first_left] == second_left


def test_the_masks_can_be_painted_over_and_read_again(net):
    day, _ = landscape(60, 80, (120, 160, 230), (110, 100, 60), 0.3)
    content, style = paired(segment(day, net), segment(day[:, ::-1], net))
    again = match_regions(regions_of_mask(content.picture()), regions_of_mask(style.picture()))
    for regions, read in zip((content, style), again, strict=True):
        assert np.array_equal(read.take([read.names.index(n) for n in regions.names]).weights, regions.weights)


def test_the_drawing_shows_tints_and_numbers(net):
    day, _ = landscape(60, 80, (120, 160, 230), (110, 100, 60), 0.3)
    content, style = segment(day, net), segment(day[:, ::-1], net)
    drawing = draw_pairing(day, day[:, ::-1], content, style, height=96)
    assert drawing.dtype == np.uint8 and drawing.shape == (96, 128 + 3 + 128, 3)
    top, bottom = drawing[3, 3].astype(int), drawing[-3, 3].astype(int)
    assert top[2] > top[0] + 60 and bottom[0] > bottom[2] + 60  # blue above red
    swapped = draw_pairing(day, day[:, ::-1], content, style, (1, 0), height=96)
    assert np.array_equal(swapped[:, :128], drawing[:, :128])
    assert swapped[3, -3, 0] > 60 + swapped[3, -3, 2].astype(int)
    # A digit is black on white: 0 has its hole, 1 has not.
    assert (drawing == 0).all(axis=2).sum() == (swapped == 0).all(axis=2).sum() == 2 * (12 + 8)
    with pytest.raises(InputError, match="expected the picture that the regions were made of"):
        draw_pairing(day[1:], day, content, style)


def test_a_network_without_that_layer_has_one_of_its_own():
    day, sky = landscape(96, 128, (120, 160, 230), (110, 100, 60), 0.3)
    other = random_network("squeezenet1_1", rng=0)
    assert iou(segment(day, other).regions.labels == 0, sky) > 0.9
    with pytest.raises(InputError, match="has no layer relu3_1"):
        segment(day, other, layer="relu3_1")


def test_bad_requests_get_one_sentence(net):
    day, _ = landscape(60, 80, (120, 160, 230), (110, 100, 60), 0.3)
    for image, options, sentence in [
        (day[..., 0], {}, r"expected one picture H×W×3 .* found shape \(60, 80\)"),
        (day, {"regions": 1}, "expected 2 to 8 regions to divide a picture into, found 1"),
        (day, {"regions": 9}, "found 9"),
        (day, {"layer": "relu9_1"}, "network random vgg16 has no layer relu9_1; name one of conv1_1, "),
        (np.full((60, 80, 3), 97), {"what": "wall.png"}, r"wall.png: expected .* found one colour, \(97, 97, 97\)"),
    ]:
        with pytest.raises(InputError, match=sentence):
            segment(image, net, **options)
    two, three = segment(day, net), segment(day, net, regions=3)
    with pytest.raises(InputError, match="expected as many regions in the style as in the content, found 3 and 2"):
        pair(two, three)
    with pytest.raises(InputError, match="expected 2 regions in the style, as in the content, found 3"):
        paired(two, three, (0, 1, 2))
    with pytest.raises(InputError, match="features of different layers"):
        pair(two, segment(day, net, layer="relu2_1"))


@pytest.fixture(scope="module", params=["prefix", "builtin"])
def trained(request, shared, tmp_path_factory):
    if request.param == "builtin":
        return load_network("builtin")
    path = tmp_path_factory.mktemp("net") / "prefix.h5"
    convert(shared / "data/vgg19_prefix/vgg19_normalised_conv3_1.npz", path)
    return load_network(path)


def test_sky_and_ground_of_a_photo_and_a_painting_without_masks(shared, trained):
    found = {}
    for role, (picture, mask) in RIVER.items():
        image = np.asarray(Image.open(shared / picture))
        sky = np.asarray(Image.open(shared / mask).convert("RGB"))[..., 2] > 127
        found[role] = segment(image, trained)
        assert iou(found[role].regions.labels == 0, sky) >= 0.85
    assert pair(found["content"], found["style"]) == (0, 1)
