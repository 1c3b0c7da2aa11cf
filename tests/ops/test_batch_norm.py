"""Batch normalisation: the formula, the moments, its derivatives with and without given moments, its digits."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import ops
from vggnumpy.gradcheck import check_vjp

SEED = 92
# The sizes of MatConvNet's own tests: rows, columns, channels, images.
SIZES = [(n, h, w, c) for h in (2, 8, 13) for w in (2, 8, 17) for c in (1, 3, 4) for n in (2, 7)]


def case(shape, dtype="float64"):
    rng = np.random.default_rng(SEED)
    return frozen(rng, shape, dtype), frozen(rng, shape[-1], dtype), frozen(rng, shape[-1], dtype)


def moments_for(channels, dtype="float64"):
    rng = np.random.default_rng(SEED + 1)
    return np.stack([rng.standard_normal(channels), rng.uniform(0.5, 2, channels)], axis=1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 1, 3), (2, 3, 4, 2), (3, 5, 1, 4)])
def test_value_and_moments_agree_with_plain_loops(naive, agree, shape, dtype):
    x, gain, bias = case(shape, dtype)
    y, cache = ops.batch_norm(x, gain, bias, epsilon=1e-3)
    expected, moments = naive.batch_norm(x, gain, bias, 1e-3)
    assert y.dtype == cache.moments.dtype == dtype
    agree(y, expected, 1e-6 if dtype == "float32" else 1e-13)
    agree(cache.moments, moments, 1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("shape", SIZES)
def test_value_and_moments_are_the_formula_s_and_own_moments_change_nothing(agree, shape):
    """MatConvNet's bnorm.regression and bnorm.givenMoments, which also hold for images of another mean."""
    x, gain, bias = case(shape)
    x = 128 * x + 40
    y, cache = ops.batch_norm(x, gain, bias, epsilon=1e-3)
    mean, sigma = x.mean(axis=(0, 1, 2)), np.sqrt(x.var(axis=(0, 1, 2)) + 1e-3)
    agree(cache.moments, np.stack([mean, sigma], axis=1), 1e-13)
    agree(y, gain * (x - mean) / sigma + bias, 1e-13)
    agree(ops.batch_norm(x, gain, bias, cache.moments)[0], y, 1e-13)


def test_epsilon_is_matconvnet_s_by_default():
    x, gain, bias = case((2, 3, 4, 2))
    np.testing.assert_array_equal(ops.batch_norm(x, gain, bias)[0], ops.batch_norm(x, gain, bias, None, 1e-4)[0])


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 5, 2), (1, 2, 1, 1)])
def test_all_derivatives_agree_with_differences(shape, given):
    x, gain, bias = case(shape)
    moments = moments_for(shape[-1]) if given else None

    def part(number):
        return lambda dy, cache: ops.batch_norm_backward(dy, cache)[number]

    assert check_vjp(lambda at: ops.batch_norm(at, gain, bias, moments, 0.1), part(0), x) < 1e-8
    assert check_vjp(lambda at: ops.batch_norm(x, at, bias, moments, 0.1), part(1), gain) < 1e-8
    assert check_vjp(lambda at: ops.batch_norm(x, gain, at, moments, 0.1), part(2), bias) < 1e-8


@pytest.mark.parametrize("given", [False, True])
def test_the_derivatives_in_float32_are_those_in_float64(agree, given):
    shape = (2, 9, 7, 5)
    dy = frozen(np.random.default_rng(SEED + 2), shape)
    results = {}
    for dtype in ("float32", "float64"):
        x, gain, bias = case(shape, dtype)
        _, cache = ops.batch_norm(x, gain, bias, moments_for(5, dtype) if given else None)
        results[dtype] = ops.batch_norm_backward(dy.astype(dtype), cache)
    for single, double in zip(results["float32"], results["float64"], strict=True):
        assert single.dtype == "float32"
        agree(single, double, 1e-6)


def test_a_constant_channel_becomes_the_bias_and_receives_no_derivative():
    for dtype, value in (("float32", 0.1), ("float32", 3e7), ("float64", 1 / 3)):
        x = np.full((3, 7, 5, 2), value, dtype)
        y, cache = ops.batch_norm(x, np.array([2, 3], dtype), np.array([5, -1], dtype))
        np.testing.assert_allclose(y, np.broadcast_to([5, -1], x.shape), rtol=1e-6)
        np.testing.assert_allclose(cache.moments[:, 1], 0.01, rtol=1e-6)
        dx, dgain, dbias = ops.batch_norm_backward(np.ones_like(x), cache)
        np.testing.assert_allclose(dx, 0, atol=1e-3)
        np.testing.assert_allclose(dgain, 0, atol=1e-6)
        np.testing.assert_array_equal(dbias, 105)


def test_a_mean_far_larger_than_the_deviation_costs_no_digits():
    x = (1000 + 0.1 * np.random.default_rng(SEED).standard_normal((2, 40, 40, 3))).astype("float32")
    y, cache = ops.batch_norm(x, np.ones(3, "float32"), np.zeros(3, "float32"))
    exact = x.astype("float64")
    sigma = np.sqrt(exact.var(axis=(0, 1, 2)) + 1e-4)
    np.testing.assert_allclose(cache.moments[:, 1], sigma, rtol=1e-6)
    np.testing.assert_allclose(y, (exact - exact.mean(axis=(0, 1, 2))) / sigma, rtol=0, atol=2e-6)


def test_a_mean_that_float32_cannot_hold_costs_no_digits():
    x = np.full((1, 4, 4, 1), 2**24, "float32")
    x[0, ::2] += 2  # the next number; the mean lies between them
    y, cache = ops.batch_norm(x, np.ones(1, "float32"), np.zeros(1, "float32"))
    np.testing.assert_allclose(cache.moments[0, 1], np.sqrt(1.0001), rtol=1e-6)
    np.testing.assert_allclose(np.unique(y), np.array([-1, 1]) / np.sqrt(1.0001), rtol=1e-6)


def test_a_single_image_is_a_batch_of_one_without_its_axis():
    x, gain, bias = case((5, 4, 3))
    y, cache = ops.batch_norm(x, gain, bias)
    ys, caches = ops.batch_norm(x[None], gain, bias)
    np.testing.assert_array_equal(y, ys[0])
    for one, batch in zip(ops.batch_norm_backward(x, cache), ops.batch_norm_backward(x[None], caches), strict=True):
        np.testing.assert_array_equal(one, batch.reshape(one.shape))


@pytest.mark.parametrize("given", [False, True])
def test_memory_order_does_not_matter(agree, given):
    x, gain, bias = case((2, 5, 4, 3))
    moments = moments_for(3) if given else None
    y, cache = ops.batch_norm(x, gain, bias, moments)
    derivatives = ops.batch_norm_backward(x**2, cache)
    for view in non_contiguous(x):
        other, other_cache = ops.batch_norm(view, gain, bias, moments)
        agree(other, y)
        for actual, expected in zip(ops.batch_norm_backward(view**2, other_cache), derivatives, strict=True):
            agree(actual, expected)


X = np.ones((2, 3, 4, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, np.ones(3), np.ones(2)), r"the gain of batch_norm must have 2 entries, got shape \(3,\)"),
        ((X, np.ones(2), np.ones((1, 2))), r"the bias of batch_norm must have 2 entries, got shape \(1, 2\)"),
        ((X, np.ones(2), np.ones(2), np.ones((2, 3))), r"moments of batch_norm must be 2×2, got shape \(2, 3\)"),
        ((X, np.ones(2), np.ones(2), np.zeros((2, 2))), "second column of the moments, σ, must be positive"),
        ((X, np.ones(2), np.ones(2), None, 0.0), "the epsilon of batch_norm must be positive, got 0.0"),
        ((X[0, 0], np.ones(2), np.ones(2)), "x must be H×W×C or N×H×W×C"),
        ((X[:0], np.ones(2), np.ones(2)), "without an empty axis"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.batch_norm(*arguments)


def test_backward_refuses_another_shape_or_dtype():
    y, cache = ops.batch_norm(X, np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="batch_norm_backward: dy must have the output's shape"):
        ops.batch_norm_backward(y[0], cache)
    with pytest.raises(TypeError, match="batch_norm_backward needs arrays of one dtype"):
        ops.batch_norm_backward(y.astype("float32"), cache)
