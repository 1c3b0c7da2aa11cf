"""Colours moved region by region: to the means that were asked for, by the map that moves them least."""

import numpy as np
import pytest

from vggnumpy.color import lab_to_srgb, srgb_to_lab
from vggnumpy.color_control import ColorStatistics
from vggnumpy.errors import InputError
from vggnumpy.region_colors import least_map, recolored_regions, region_statistics
from vggnumpy.regions import feather, hard_regions

RNG = np.random.default_rng(0)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(height=30, width=40, part=0.5):
    return hard_regions(np.tile(np.arange(width) >= part * width, (height, 1)).astype(int), [RED, BLUE])


def covariance(seed, scale):
    factor = np.random.default_rng(seed).normal(0, scale, (3, 3))
    return factor @ factor.T


IMAGE = RNG.uniform(20, 200, (30, 40, 3))


def test_statistics_are_those_of_each_region_alone():
    for k, found in enumerate(region_statistics(IMAGE, halves())):
        part = srgb_to_lab(IMAGE[:, 20 * k : 20 * (k + 1)]).reshape(-1, 3)
        np.testing.assert_allclose(found.mean, part.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, np.cov(part.T, bias=True), rtol=1e-10)


def test_soft_positions_count_with_their_weight():
    soft = feather(halves(), 16)
    w = soft.weights[..., 0].astype(float).ravel()
    expected = np.cov(srgb_to_lab(IMAGE).reshape(-1, 3).T, aweights=w, bias=True)
    np.testing.assert_allclose(region_statistics(IMAGE, soft)[0].covariance, expected, rtol=1e-9)


def test_the_unlimited_map_brings_the_covariance_over_and_moves_colours_least():
    source, target = covariance(1, 20), covariance(2, 30)
    A = least_map(source, target, 0, np.inf)
    np.testing.assert_allclose(A @ source @ A.T, target, rtol=1e-9)
    np.testing.assert_allclose(A, A.T, rtol=1e-12)
    moved = np.trace(source + target - 2 * A @ source)  # mean of |x − A x|²
    other = np.linalg.cholesky(target) @ np.linalg.inv(np.linalg.cholesky(source))
    assert moved < np.trace(source + target - other @ source - source @ other.T)


def test_contrast_falls_to_the_target_s_but_does_not_grow():
    calm = covariance(1, 4) + np.eye(3)
    lively = 25 * calm
    np.testing.assert_allclose(least_map(calm, lively, 0, 1), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(least_map(lively, calm, 0, 1), np.eye(3) / 5, atol=1e-9)
    np.testing.assert_allclose(least_map(lively, calm, 0.5, 1), np.eye(3) / 2, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regions_get_their_mean_colours(dtype):
    targets = [
        ColorStatistics(np.array([60.0, 5, 10]), covariance(3, 2)),
        ColorStatistics(np.array([40.0, 0, -9]), np.eye(3)),
    ]
    moved = recolored_regions(IMAGE.astype(dtype), halves(), targets, least=0)
    assert moved.dtype == dtype
    for one, target in zip(region_statistics(moved, halves()), targets, strict=True):
        np.testing.assert_allclose(one.mean, target.mean, atol=1e-3)
        np.testing.assert_allclose(one.covariance, target.covariance, atol=0.01)  # all of them lower than the picture's


def test_a_region_of_one_colour_is_moved_as_it_is():
    flat = np.full((30, 40, 3), 77.0)
    targets = [
        ColorStatistics(np.array([50.0, 2, 3]), covariance(3, 10)),
        ColorStatistics(np.zeros(3), np.zeros((3, 3))),
    ]
    moved = recolored_regions(flat, halves(), targets)
    np.testing.assert_allclose(moved[:, :20], np.broadcast_to(lab_to_srgb([50.0, 2, 3]), (30, 20, 3)), rtol=1e-6)
    np.testing.assert_allclose(moved[:, 20:], 0, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="expected one picture H×W×3 to recolour, found shape"):
        recolored_regions(IMAGE[0], halves(), [])
    with pytest.raises(InputError, match="expected colours for each of 2 regions, found 1"):
        recolored_regions(IMAGE, halves(), region_statistics(IMAGE, halves())[:1])


def test_contrast_is_kept_where_means_alone_are_moved():
    targets = [
        ColorStatistics(one.mean + np.array([-5, 4, 3]), np.eye(3)) for one in region_statistics(IMAGE, halves())
    ]
    moved = recolored_regions(IMAGE, halves(), targets, least=1)
    inside = (moved > 0).all(axis=2) & (moved < 255).all(axis=2)
    assert inside.mean() > 0.8
    np.testing.assert_allclose((srgb_to_lab(moved) - srgb_to_lab(IMAGE))[inside] - (-5, 4, 3), 0, atol=1e-6)
