"""Averages over equal rectangles, where both regions and layers' masks get their weights from."""

import numpy as np
import pytest

from vggnumpy.area import area_average


@pytest.mark.parametrize("size", [(7, 11), (13, 40), (29, 3), (1, 1), (20, 30)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_means_are_not_negative_and_keep_the_mean_of_the_whole(size, dtype):
    values = np.random.default_rng(0).uniform(0, 1, (20, 30, 2)).astype(dtype) ** 40  # from 1 down to almost nothing
    averages = area_average(values, size)
    assert averages.dtype == dtype and averages.shape == (*size, 2) and averages.flags.c_contiguous
    assert averages.min() >= 0
    np.testing.assert_allclose(averages.mean(axis=(0, 1)), values.mean(axis=(0, 1)), rtol=1e-6)


def test_a_mean_covers_parts_of_values():
    values = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(area_average(values, (2, 1)), [[(1 + 2 / 2) / 1.5], [(2 / 2 + 4) / 1.5]], rtol=1e-15)
    np.testing.assert_allclose(area_average(values, (6, 1))[:, 0], [1, 1, 2, 2, 4, 4], rtol=1e-15)
