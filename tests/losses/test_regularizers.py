"""The regularisers of pixels: their formulas, their gradients, and images where there is no derivative."""

import numpy as np
import pytest

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient, distinct

POWERS = (1, 1.5, 2, 3, 6)
BETAS = (1, 1.25, 2, 3, "l1")
SHAPES = [(1, 1, 3), (1, 5, 3), (4, 1, 2), (5, 7, 3), (2, 3, 4, 3)]
CENTER = (0.25, -0.125, 0.5)


def image(shape, dtype="float64"):
    x = distinct(shape, 120, gap=0.02).astype(dtype)
    x.flags.writeable = False
    return x


def size_formula(x, power, center):
    channel = np.broadcast_to(center, x.shape[-1:])
    return sum(abs(float(x[index]) - channel[index[-1]]) ** power for index in np.ndindex(x.shape))


def variation_formula(x, beta):
    batch = x if x.ndim == 4 else x[None]
    total = 0.0
    for n, i, j, c in np.ndindex(batch.shape):
        here = float(batch[n, i, j, c])
        u = float(batch[n, i + 1, j, c]) - here if i + 1 < batch.shape[1] else 0.0
        v = float(batch[n, i, j + 1, c]) - here if j + 1 < batch.shape[2] else 0.0
        total += abs(u) + abs(v) if beta == "l1" else (u * u + v * v) ** (beta / 2)
    return total


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("power", POWERS)
def test_size_and_its_gradient(power, shape):
    x, center = image(shape), CENTER[: shape[-1]]
    for c in (0.0, 0.125, center):
        value, dx = losses.size(x, power, c)
        assert value == pytest.approx(size_formula(x, power, c), rel=1e-12)
        assert dx.shape == x.shape
        assert check_gradient(lambda at, c=c: losses.size(at, power, c), x) < 1e-6


@pytest.mark.parametrize("power", POWERS)
def test_a_colour_at_the_centre_costs_nothing(power):
    value, dx = losses.size(np.broadcast_to(np.array(CENTER), (4, 5, 3)), power, CENTER)
    assert value == 0 and not dx.any()


def test_size_is_the_sum_of_squares_by_default():
    x = image((5, 7, 3))
    value, dx = losses.size(x)
    assert value == pytest.approx((x**2).sum(), rel=1e-14)
    np.testing.assert_array_equal(dx, 2 * x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", BETAS)
def test_variation_and_its_gradient(beta, shape):
    x = image(shape)
    value, dx = losses.variation(x, beta)
    assert value == pytest.approx(variation_formula(x, beta), rel=1e-12, abs=0)
    assert dx.shape == x.shape
    if value:
        # Smooth where no pixel's neighbours are both its equals; for "l1" where none of them is.
        assert check_gradient(lambda at: losses.variation(at, beta), x) < 1e-6


@pytest.mark.parametrize("beta", BETAS)
def test_a_constant_added_changes_nothing(beta):
    x = image((5, 7, 3))
    value, dx = losses.variation(x, beta)
    shifted, dshifted = losses.variation(x + np.array([1.0, 2.0, 3.0]), beta)
    assert shifted == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(dshifted, dx, rtol=0, atol=1e-11 * abs(dx).max())
    np.testing.assert_allclose(dx.sum(axis=(0, 1)), 0, atol=1e-11 * abs(dx).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", BETAS)
def test_a_flat_image_costs_nothing_and_has_a_zero_gradient(beta, dtype):
    value, dx = losses.variation(np.full((2, 5, 7, 3), 128, dtype), beta)
    assert value == 0 and dx.dtype == dtype and not dx.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", BETAS)
def test_flat_parts_leave_the_gradient_finite_and_zero_inside(beta, dtype):
    x = np.zeros((8, 9, 3), dtype)
    x[4:, 5:] = 200
    value, dx = losses.variation(x, beta)
    assert value == pytest.approx(variation_formula(x, beta), rel=1e-6)
    assert np.isfinite(dx).all()
    assert not dx[:3].any() and not dx[6:, 7:].any() and dx[4, 5:].all()


@pytest.mark.parametrize("beta", [1, 1.25])
def test_differences_too_small_to_square_leave_the_gradient_finite(beta):
    x = np.zeros((3, 3, 3), "float32")
    x[1, 1] = 1e-30
    value, dx = losses.variation(x, beta)
    assert np.isfinite(value) and np.isfinite(dx).all()


@pytest.mark.parametrize("regularizer", [losses.size, losses.variation])
@pytest.mark.parametrize("order", [1, 1.5, 2])
def test_float32_is_close_to_float64(regularizer, order):
    x = np.random.default_rng(121).uniform(0, 255, (32, 30, 3)).astype("float32")
    value, dx = regularizer(x, order)
    expected, dexpected = regularizer(x.astype("float64"), order)
    assert dx.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(dx, dexpected, rtol=0, atol=1e-5 * abs(dexpected).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_centre_may_be_an_array_of_any_dtype(dtype):
    x = image((4, 5, 3), dtype)
    value, dx = losses.size(x, center=np.array(CENTER))
    same, dsame = losses.size(x, center=CENTER)
    assert value == same
    np.testing.assert_array_equal(dx, dsame)


def test_memory_order_does_not_matter():
    x = image((6, 8, 3))
    for view in (np.asfortranarray(x), np.ascontiguousarray(x[::-1])[::-1]):
        for regularizer, orders in ((losses.size, POWERS), (losses.variation, BETAS)):
            for order in orders:
                (value, dx), (other, dother) = regularizer(x, order), regularizer(view, order)
                assert other == pytest.approx(value, rel=1e-13)
                np.testing.assert_array_equal(dother, dx)


@pytest.mark.parametrize("power", [0.5, 0, -1, float("nan")])
def test_powers_below_one_are_refused(power):
    with pytest.raises(ValueError, match="the power of the size regulariser must be at least 1, got"):
        losses.size(np.zeros((3, 3, 3)), power)


@pytest.mark.parametrize("beta", [0.5, 0, float("nan"), "l2", ""])
def test_betas_below_one_and_other_words_are_refused(beta):
    with pytest.raises(ValueError, match="beta of the variation regulariser must be a number of at least 1 or 'l1'"):
        losses.variation(np.zeros((3, 3, 3)), beta)


@pytest.mark.parametrize("regularizer", [losses.size, losses.variation])
def test_whole_numbers_are_refused(regularizer):
    with pytest.raises(TypeError, match="works on float32 or float64 arrays, got uint8"):
        regularizer(np.zeros((3, 3, 3), "uint8"))
