"""Local response normalisation: its window of channels, its derivative, and its digits in float32."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous
from hypothesis import given, settings
from hypothesis import strategies as st

from vggnumpy import ops
from vggnumpy.gradcheck import check_vjp

SEED = 91
PARAMETERS = {"kappa": 1.5, "alpha": 0.3, "beta": 0.75}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 40])
@pytest.mark.parametrize("shape", [(2, 2, 3, 7), (1, 3, 1), (3, 1, 2)])
def test_both_passes_agree_with_plain_loops(naive, agree, shape, size, dtype):
    rng = np.random.default_rng(SEED)
    x, dy = frozen(rng, shape, dtype), frozen(rng, shape, dtype)
    y, cache = ops.lrn(x, size, **PARAMETERS)
    dx = ops.lrn_backward(dy, cache)
    expected, dexpected = naive.lrn(x, dy, size, **PARAMETERS)
    assert y.dtype == dx.dtype == dtype
    agree(y, expected, 1e-6 if dtype == "float32" else 1e-14)
    agree(dx, dexpected, 1e-6 if dtype == "float32" else 1e-14)


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(channels=st.integers(1, 20), size=st.integers(1, 45))
def test_any_window_is_that_of_plain_loops(naive, agree, channels, size):
    x = np.random.default_rng(SEED).standard_normal((1, 1, channels))
    expected, dexpected = naive.lrn(x, x, size, **PARAMETERS)
    y, cache = ops.lrn(x, size, **PARAMETERS)
    agree(y, expected, 1e-14)
    agree(ops.lrn_backward(x, cache), dexpected, 1e-13)


def test_the_defaults_are_matconvnet_s(naive, agree):
    x = np.random.default_rng(SEED).standard_normal((3, 2, 8)) * 100
    agree(ops.lrn(x)[0], naive.lrn(x, x, 5, 1.0, 2e-5, 0.75)[0], 1e-14)


def test_the_longer_side_of_an_even_window_comes_after():
    x = np.zeros((1, 1, 6))
    x[0, 0, 3] = 2.0
    x[0, 0, [0, 1, 2, 4, 5]] = 1e-9  # too small to count themselves
    y, _ = ops.lrn(x, size=4, kappa=1, alpha=1, beta=1)
    np.testing.assert_allclose(y[0, 0] / x[0, 0], [1, 0.2, 0.2, 0.2, 0.2, 1])


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_agrees_with_differences(size):
    x = np.random.default_rng(SEED).standard_normal((2, 3, 2, 9))
    assert check_vjp(lambda at: ops.lrn(at, size, **PARAMETERS), ops.lrn_backward, x) < 1e-8


def test_a_window_of_all_channels_divides_by_the_length():
    x = np.random.default_rng(SEED).standard_normal((2, 3, 4, 10))
    y, _ = ops.lrn(x, size=20, kappa=1e-12, alpha=1, beta=0.5)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-11)


def test_of_zero_the_value_is_zero_and_the_derivative_a_power_of_kappa():
    x = np.zeros((2, 3, 4, 6), "float32")
    y, cache = ops.lrn(x, kappa=16, alpha=1, beta=0.75)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_allclose(ops.lrn_backward(np.ones_like(x), cache), 1 / 8, rtol=1e-6)


@pytest.mark.parametrize("size", [5, 2000])
def test_float32_keeps_its_digits_over_a_thousand_channels(size):
    # One large channel first: the rest would be lost in differences of a running sum.
    x = np.random.default_rng(SEED).exponential(1, (3, 2, 1000))
    x[..., 0] = 3e4
    dy = np.random.default_rng(SEED + 1).standard_normal(x.shape)
    options = {"size": size, "kappa": 1.0, "alpha": 1.0, "beta": 0.5}
    y, cache = ops.lrn(x.astype("float32"), **options)
    exact, exact_cache = ops.lrn(x, **options)
    np.testing.assert_allclose(y, exact, rtol=1e-6)
    dx, dexact = ops.lrn_backward(dy.astype("float32"), cache), ops.lrn_backward(dy, exact_cache)
    np.testing.assert_allclose(dx[..., 10:], dexact[..., 10:], rtol=0, atol=1e-6 * abs(dexact[..., 10:]).max())


def test_memory_order_does_not_matter(agree):
    x = frozen(np.random.default_rng(SEED), (2, 5, 4, 7))
    y, cache = ops.lrn(x, **PARAMETERS)
    dx = ops.lrn_backward(x, cache)
    for view in non_contiguous(x):
        other, other_cache = ops.lrn(view, **PARAMETERS)
        agree(other, y)
        agree(ops.lrn_backward(view, other_cache), dx)


def test_a_single_image_is_a_batch_of_one_without_its_axis():
    x = np.random.default_rng(SEED).standard_normal((5, 4, 7))
    np.testing.assert_array_equal(ops.lrn(x)[0], ops.lrn(x[None])[0][0])


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_what_is_no_window_is_refused(size):
    with pytest.raises(ValueError, match="the window of lrn must be an integer of at least 1, got"):
        ops.lrn(np.ones((1, 1, 3)), size)


@pytest.mark.parametrize("wrong", [{"kappa": 0}, {"kappa": -1.0}, {"alpha": -1e-9}, {"kappa": float("nan")}])
def test_parameters_that_let_the_sum_reach_zero_are_refused(wrong):
    with pytest.raises(ValueError, match="lrn needs a positive kappa and no negative alpha, got"):
        ops.lrn(np.ones((1, 1, 3)), **wrong)


def test_backward_refuses_another_shape_or_dtype():
    y, cache = ops.lrn(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"lrn_backward: dy must have the output's shape \(3, 4, 2\), got \(3, 4\)"):
        ops.lrn_backward(y[..., 0], cache)
    with pytest.raises(TypeError, match="lrn_backward needs arrays of one dtype"):
        ops.lrn_backward(y.astype("float32"), cache)
