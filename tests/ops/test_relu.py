"""The rectifier, its derivative and its one bit an entry."""

import numpy as np
import pytest
from arrays import frozen

from vggnumpy import ops
from vggnumpy.gradcheck import check_vjp, distinct


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (1, 1, 1), (2, 5, 7, 3), (1, 2, 2, 8), (1, 3, 2, 17)])
def test_both_passes_entry_by_entry(shape, dtype):
    rng = np.random.default_rng(50)
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    x.flags.writeable = dy.flags.writeable = False
    y, cache = ops.relu(x)
    dx = ops.relu_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    for index in np.ndindex(shape):
        assert y[index] == (x[index] if x[index] > 0 else 0)
        assert dx[index] == (dy[index] if x[index] > 0 else 0)


def test_the_derivative_at_zero_is_zero():
    x = np.array([[-1.0, -0.0, 0.0, 5e-324, 1.0]])
    y, cache = ops.relu(x)
    np.testing.assert_array_equal(y, [[0, 0, 0, 5e-324, 1]])
    np.testing.assert_array_equal(ops.relu_backward(np.full((1, 5), 7.0), cache), [[0, 0, 0, 7, 7]])


def test_nan_stays_nan_and_infinity_infinity():
    y, _ = ops.relu(np.array([np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0])


def test_agrees_with_differences():
    assert check_vjp(ops.relu, ops.relu_backward, distinct((2, 5, 7, 3))) < 1e-8


def test_memory_order_does_not_matter():
    x = np.random.default_rng(51).standard_normal((2, 6, 4, 10))
    for view in (x.transpose(3, 1, 0, 2), x[:, ::2, ::-1, 1::3], np.asfortranarray(x)):
        y, cache = ops.relu(view)
        np.testing.assert_array_equal(y, np.maximum(view, 0))
        np.testing.assert_array_equal(ops.relu_backward(view, cache), np.maximum(view, 0))


@pytest.mark.parametrize(("channels", "size"), [(64, 8), (1, 1), (9, 2)])
def test_the_cache_is_one_bit_an_entry(channels, size):
    _, cache = ops.relu(np.ones((5, 7, channels), "float32"))
    assert cache.positive.nbytes == 5 * 7 * size


def test_backward_refuses_another_shape():
    _, cache = ops.relu(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"relu_backward: dy must have the output's shape \(3, 4, 2\), got \(3, 4\)"):
        ops.relu_backward(np.ones((3, 4)), cache)


@pytest.mark.parametrize("leak", [0.1, 1.0, 2.5, -0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_leak_is_the_slope_on_the_left(naive, agree, leak, dtype):
    rng = np.random.default_rng(52)
    x, dy = frozen(rng, (2, 5, 7, 3), dtype), frozen(rng, (2, 5, 7, 3), dtype)
    expected, dexpected, _ = naive.rectifier(x, dy, [leak] * 3)
    y, cache = ops.relu(x, leak)
    dx = ops.relu_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    agree(y, expected, 1e-7)
    agree(dx, dexpected, 1e-7)
    assert cache.positive.nbytes == 2 * 5 * 7


def test_a_leak_may_be_a_number_of_numpy():
    y, cache = ops.relu(np.ones((2, 3), "float32"), np.float64(0.1))
    assert y.dtype == "float32" and ops.relu_backward(y, cache).dtype == "float32"


def test_the_derivative_at_zero_is_the_leak():
    x = np.array([[-1.0, -0.0, 0.0, 1.0]])
    y, cache = ops.relu(x, 0.25)
    np.testing.assert_array_equal(y, [[-0.25, 0, 0, 1]])
    np.testing.assert_array_equal(ops.relu_backward(np.full((1, 4), 8.0), cache), [[2, 2, 2, 8]])


def test_nan_and_infinity_with_a_leak():
    y, _ = ops.relu(np.array([np.nan, np.inf, -np.inf]), 0.1)
    np.testing.assert_array_equal(y, [np.nan, np.inf, -np.inf])


def test_an_infinite_derivative_stops_where_nothing_leaks():
    _, cache = ops.relu(np.array([-1.0, 1.0]))
    np.testing.assert_array_equal(ops.relu_backward(np.array([np.inf, 2.0]), cache), [0, 2])


def test_a_leak_agrees_with_differences():
    assert check_vjp(lambda x: ops.relu(x, 0.2), ops.relu_backward, distinct((2, 5, 7, 3))) < 1e-8
