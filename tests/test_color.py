"""CIELAB and YIQ against published values and back, in both precisions."""

import colorsys

import numpy as np
import pytest

from vggnumpy.color import lab_to_srgb, srgb_to_lab, srgb_to_yiq, yiq_to_srgb
from vggnumpy.errors import InputError

# CIELAB (D65) of sRGB colours as colour calculators on the web print them, to two decimals.
PUBLISHED = {
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.74, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (255, 255, 0): (97.14, -21.56, 94.48),
    (0, 255, 255): (91.11, -48.09, -14.13),
    (255, 0, 255): (60.32, 98.25, -60.84),
    (255, 255, 255): (100, 0, 0),
    (128, 128, 128): (53.59, 0, 0),
    (8, 8, 8): (2.19, 0, 0),
    (0, 0, 0): (0, 0, 0),
}


@pytest.mark.parametrize("rgb", PUBLISHED)
def test_published_values(rgb):
    np.testing.assert_allclose(srgb_to_lab(rgb), PUBLISHED[rgb], atol=0.02)
    np.testing.assert_allclose(lab_to_srgb(PUBLISHED[rgb]), rgb, atol=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-3), ("float64", 1e-10)])
def test_back_and_forth_is_where_it_began(dtype, tolerance):
    rgb = np.random.default_rng(0).uniform(-20, 275, (7, 5, 3)).astype(dtype)
    lab = srgb_to_lab(rgb)
    back = lab_to_srgb(lab)
    assert lab.dtype == back.dtype == dtype
    np.testing.assert_allclose(back, rgb, atol=tolerance)


def test_single_precision_is_double_precision_rounded():
    rgb = np.random.default_rng(1).uniform(0, 255, (100, 3))
    np.testing.assert_allclose(srgb_to_lab(rgb.astype("float32")), srgb_to_lab(rgb), atol=2e-4)


def test_both_pieces_of_each_curve_meet():
    step = 1e-9
    for level in (0.04045 * 255, 255 * 0.0992):  # where sRGB bends, and where (6/29)³ lies
        below, above = srgb_to_lab(np.full(3, level - step)), srgb_to_lab(np.full(3, level + step))
        np.testing.assert_allclose(below, above, atol=1e-5)


@pytest.mark.parametrize("rgb", PUBLISHED)
def test_yiq_is_that_of_the_standard_library_up_to_the_rounding_of_its_weights(rgb):
    np.testing.assert_allclose(srgb_to_yiq(rgb) / 255, colorsys.rgb_to_yiq(*np.divide(rgb, 255)), atol=0.005)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-10)])
def test_yiq_and_back_is_where_it_began_and_grey_has_no_chroma(dtype, tolerance):
    rgb = np.random.default_rng(0).uniform(-20, 275, (7, 5, 3)).astype(dtype)
    back = yiq_to_srgb(srgb_to_yiq(rgb))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, rgb, atol=tolerance)
    grey = srgb_to_yiq(np.full((3,), 77, dtype))
    np.testing.assert_allclose(grey, [77, 0, 0], atol=1e-4)


@pytest.mark.parametrize("convert", [srgb_to_lab, lab_to_srgb, srgb_to_yiq, yiq_to_srgb])
def test_other_shapes_are_refused(convert):
    with pytest.raises(InputError, match=r"three numbers each along the last axis, found shape \(4, 2\)"):
        convert(np.zeros((4, 2)))
