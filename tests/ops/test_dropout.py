"""Dropout: its mask is drawn once, repeatable, kept as bits, and the same forward and backward."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp

SEED = 94


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7,), (5, 4, 3), (2, 5, 4, 9)])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.9])
def test_an_entry_is_dropped_or_scaled_and_its_derivative_likewise(shape, rate, dtype):
    rng = np.random.default_rng(SEED)
    x, dy = frozen(rng, shape, dtype), frozen(rng, shape, dtype)
    y, cache = ops.dropout(x, rate, 1)
    dx = ops.dropout_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    kept = y != 0
    np.testing.assert_allclose(y, np.where(kept, x / dtype_of(dtype)(1 - rate), 0), rtol=1e-6)
    np.testing.assert_allclose(dx, np.where(kept, dy / dtype_of(dtype)(1 - rate), 0), rtol=1e-6)
    assert cache.kept.nbytes == x.size // shape[-1] * -(-shape[-1] // 8)


def dtype_of(name):
    return np.dtype(name).type


def test_the_share_of_what_is_dropped_is_the_rate_and_the_expected_value_stays():
    x = np.ones((300, 400, 5))
    for rate in (0.1, 0.5, 0.8):
        y, _ = ops.dropout(x, rate, SEED)
        assert (y == 0).mean() == pytest.approx(rate, abs=0.005)  # eight standard deviations
        assert y.mean() == pytest.approx(1, abs=0.02)


def test_the_same_seed_gives_the_same_mask_in_either_dtype_and_memory_order():
    x = frozen(np.random.default_rng(SEED), (2, 5, 4, 9))
    y, _ = ops.dropout(x, 0.4, 3)
    np.testing.assert_array_equal(ops.dropout(x, 0.4, np.random.default_rng(3))[0], y)
    np.testing.assert_array_equal(ops.dropout(x.astype("float32"), 0.4, 3)[0] != 0, y != 0)
    for view in non_contiguous(x):
        np.testing.assert_array_equal(ops.dropout(view, 0.4, 3)[0], y)
    assert not np.array_equal(ops.dropout(x, 0.4, 4)[0], y)


def test_a_generator_goes_on_and_no_seed_is_a_new_one():
    x = np.ones((20, 20, 9))
    generator = np.random.default_rng(3)
    first = ops.dropout(x, rng=generator)[0]
    assert not np.array_equal(ops.dropout(x, rng=generator)[0], first)
    assert not np.array_equal(ops.dropout(x)[0], ops.dropout(x)[0])
    assert set(np.unique(first)) == {0, 2}  # the default drops half


def test_the_backward_pass_is_the_transpose_and_agrees_with_differences():
    x = np.random.default_rng(SEED).standard_normal((2, 5, 4, 3))
    assert check_adjoint(lambda at: ops.dropout(at, 0.3, 5), ops.dropout_backward, x) < 1e-15
    assert check_vjp(lambda at: ops.dropout(at, 0.3, 5), ops.dropout_backward, x) < 1e-8


def test_what_is_dropped_may_be_anything():
    y, cache = ops.dropout(np.full((50, 3), np.inf), 0.5, 1)
    assert set(np.unique(y)) == {0, np.inf}
    np.testing.assert_array_equal(np.isinf(ops.dropout_backward(np.full((50, 3), np.inf), cache)), y == np.inf)


@pytest.mark.parametrize("rate", [1, -0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="the rate of dropout must be at least 0 and below 1, got"):
        ops.dropout(np.ones((2, 3)), rate)


def test_backward_refuses_another_shape():
    y, cache = ops.dropout(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match="dropout_backward: dy must have the output's shape"):
        ops.dropout_backward(y[0], cache)
