"""The rectifier with a slope a channel, and the derivatives with respect to its input and its slopes."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import ops
from vggnumpy.gradcheck import check_vjp, distinct

SEED = 90


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 7, 3), (5, 7, 9), (1, 2, 3, 17)])
def test_all_passes_agree_with_plain_loops(naive, agree, shape, dtype):
    rng = np.random.default_rng(SEED)
    x, dy, slope = frozen(rng, shape, dtype), frozen(rng, shape, dtype), frozen(rng, shape[-1:], dtype)
    y, cache = ops.prelu(x, slope)
    ours = y, ops.prelu_backward(dy, cache), ops.prelu_backward_slope(dy, x, cache)
    for actual, expected in zip(ours, naive.rectifier(x, dy, slope), strict=True):
        assert actual.dtype == dtype
        agree(actual, expected, 1e-6 if dtype == "float32" else 1e-14)
    assert cache.positive.nbytes == x.size // shape[-1] * -(-shape[-1] // 8)


def test_equal_slopes_are_a_leak_and_the_kink_is_the_leak_s():
    x = np.random.default_rng(SEED).integers(-2, 3, (2, 5, 7, 3)).astype("float64")
    y, cache = ops.prelu(x, np.full(3, 0.3))
    leaky, leaky_cache = ops.relu(x, 0.3)
    np.testing.assert_array_equal(y, leaky)
    dy = np.random.default_rng(SEED).standard_normal(x.shape)
    np.testing.assert_array_equal(ops.prelu_backward(dy, cache), ops.relu_backward(dy, leaky_cache))
    np.testing.assert_array_equal(ops.prelu_backward(dy, cache)[x == 0], 0.3 * dy[x == 0])


def test_agrees_with_differences():
    x, slope = distinct((2, 5, 7, 3)), np.array([0.2, -0.4, 1.0])
    assert check_vjp(lambda at: ops.prelu(at, slope), ops.prelu_backward, x) < 1e-8
    assert (
        check_vjp(lambda at: ops.prelu(x, at), lambda dy, cache: ops.prelu_backward_slope(dy, x, cache), slope) < 1e-8
    )


def test_memory_order_does_not_matter():
    rng = np.random.default_rng(SEED)
    x, slope = frozen(rng, (2, 5, 4, 3)), frozen(rng, 3)
    y, cache = ops.prelu(x, slope)
    for view in non_contiguous(x):
        np.testing.assert_array_equal(ops.prelu(view, slope)[0], y)
        np.testing.assert_array_equal(ops.prelu_backward(view, cache), ops.prelu_backward(x, cache))
        np.testing.assert_allclose(
            ops.prelu_backward_slope(view, view, cache), ops.prelu_backward_slope(x, x, cache), rtol=1e-13
        )


def test_the_sum_over_positions_is_float64():
    x = np.array([-(2.0**24), -1, -1], "float32").reshape(3, 1, 1)  # in float32, 2²⁴ + 1 + 1 is 2²⁴
    _, cache = ops.prelu(x, np.ones(1, "float32"))
    assert ops.prelu_backward_slope(np.ones_like(x), x, cache) == -(2.0**24) - 2


def test_nan_stays_nan():
    np.testing.assert_array_equal(ops.prelu(np.array([[np.nan, np.inf]]), np.ones(2))[0], [[np.nan, np.inf]])


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 1), ()])
def test_other_than_one_slope_a_channel_is_refused(shape):
    with pytest.raises(ValueError, match=r"prelu needs 3 slopes, one a channel, got shape \("):
        ops.prelu(np.ones((2, 2, 3)), np.ones(shape))


def test_backward_refuses_other_shapes_and_dtypes():
    x = np.ones((3, 4, 2))
    _, cache = ops.prelu(x, np.ones(2))
    with pytest.raises(ValueError, match=r"prelu_backward: dy must have the output's shape \(3, 4, 2\), got \(3, 4\)"):
        ops.prelu_backward(x[..., 0], cache)
    with pytest.raises(ValueError, match="prelu_backward_slope: dy must have the output's shape"):
        ops.prelu_backward_slope(x[:2], x, cache)
    with pytest.raises(ValueError, match=r"x must be the forward pass's, of shape \(3, 4, 2\), got \(2, 4, 2\)"):
        ops.prelu_backward_slope(x, x[:2], cache)
    with pytest.raises(TypeError, match="prelu_backward needs arrays of one dtype"):
        ops.prelu_backward(x.astype("float32"), cache)
    with pytest.raises(TypeError, match="prelu_backward_slope needs arrays of one dtype"):
        ops.prelu_backward_slope(x.astype("float32"), x.astype("float32"), cache)
