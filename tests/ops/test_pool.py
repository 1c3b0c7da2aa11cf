"""Max and average pooling agree with plain loops, ties and borders included."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp, distinct
from vggnumpy.ops.geometry import pool_size

METHODS = {
    "max": (ops.max_pool, ops.max_pool_backward),
    "average": (ops.avg_pool, ops.avg_pool_backward),
}
SEED = 40

# x shape, options of the pools.
GEOMETRIES = {
    "2×2": ((1, 6, 4, 3), {}),
    "2×2, odd, floor": ((2, 5, 7, 2), {}),
    "2×2, odd, ceil": ((2, 5, 7, 2), {"rounding": "ceil"}),
    "one pixel, ceil": ((1, 1, 1, 3), {"rounding": "ceil"}),
    "1×2, ceil": ((1, 1, 2, 3), {"rounding": "ceil"}),
    "3×3 of stride 2, overlapping": ((1, 7, 5, 2), {"window": 3}),
    "3×3 of stride 2, ceil": ((1, 6, 8, 2), {"window": 3, "rounding": "ceil"}),
    "3×2 of stride 1×3": ((2, 6, 8, 2), {"window": (3, 2), "stride": (1, 3)}),
    "stride larger than the window": ((1, 8, 9, 2), {"window": 2, "stride": (3, 5)}),
    "stride larger than the window, ceil": ((1, 9, 8, 2), {"window": 2, "stride": (5, 4), "rounding": "ceil"}),
    "one pixel to the bottom and right, as MatConvNet": ((1, 5, 6, 2), {"pad": (0, 1, 0, 1)}),
    "four sides": ((2, 5, 4, 2), {"window": (3, 4), "stride": (2, 3), "pad": (2, 1, 0, 3)}),
    "four sides, ceil": (
        (1, 6, 4, 2),
        {"window": (3, 4), "stride": (2, 3), "pad": (2, 1, 0, 3), "rounding": "ceil"},
    ),
    "whole image": ((1, 5, 7, 3), {"window": (5, 7)}),
    "1×1": ((1, 3, 2, 2), {"window": 1, "stride": 1}),
    "window over everything and more": ((1, 2, 2, 1), {"window": 5, "pad": 3, "stride": 2}),
}


def naive_options(options):
    full = {"window": 2, "stride": 2, "pad": 0, "rounding": "floor", **options}
    return (
        np.broadcast_to(full["window"], 2).tolist(),
        np.broadcast_to(full["stride"], 2).tolist(),
        np.broadcast_to(full["pad"], 4).tolist(),
        full["rounding"],
    )


def compare_with_loops(naive, agree, method, x, options):
    x.flags.writeable = False
    forward, backward = METHODS[method]
    tolerance = 1e-6 if x.dtype == "float32" else 1e-14
    y, cache = forward(x, **options)
    agree(y, naive.pool(method, x, *naive_options(options)), tolerance, "y")
    dy = np.random.default_rng(SEED + 1).standard_normal(y.shape).astype(x.dtype)
    dy.flags.writeable = False
    dx = backward(dy, cache)
    agree(dx, naive.pool_backward(method, dy, x, *naive_options(options)), tolerance, "dx")
    assert y.dtype == dx.dtype == x.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("method", METHODS)
def test_both_passes_agree_with_plain_loops(naive, agree, method, geometry, dtype):
    shape, options = geometry
    compare_with_loops(naive, agree, method, distinct(shape, SEED).astype(dtype), options)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_of_equal_maxima_the_first_in_column_order_gets_the_derivative(naive, agree, geometry):
    shape, options = geometry
    x = np.random.default_rng(SEED).integers(0, 2, shape).astype("float64")
    compare_with_loops(naive, agree, "max", x, options)
    compare_with_loops(naive, agree, "max", np.zeros(shape), options)


def test_down_the_first_column_comes_before_the_second():
    x = np.array([[0.0, 1.0], [1.0, 1.0]]).reshape(2, 2, 1)
    y, cache = ops.max_pool(x)
    assert y.item() == 1
    np.testing.assert_array_equal(ops.max_pool_backward(np.ones((1, 1, 1)), cache)[..., 0], [[0, 0], [1, 0]])


@st.composite
def geometries(draw):
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pad = tuple(draw(st.integers(0, window[side // 2] - 1)) for side in range(4))
    size = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    rounding = draw(st.sampled_from(["floor", "ceil"]))
    if rounding == "floor":
        assume(all(size[axis] + pad[2 * axis] + pad[2 * axis + 1] >= window[axis] for axis in (0, 1)))
    return (draw(st.integers(1, 2)), *size, 2), {"window": window, "stride": stride, "pad": pad, "rounding": rounding}


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(geometry=geometries(), method=st.sampled_from(sorted(METHODS)))
def test_any_geometry_agrees_with_plain_loops(naive, agree, geometry, method):
    shape, options = geometry
    compare_with_loops(naive, agree, method, distinct(shape, SEED), options)


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 5), st.integers(0, 5), st.integers(1, 7))
def test_every_window_holds_a_pixel_of_the_image(naive, size, window, before, after, stride):
    assume(before < window and after < window)
    for rounding in ("floor", "ceil"):
        if rounding == "floor" and size + before + after < window:
            continue
        starts = naive.pool_starts(size, window, before, after, stride, rounding)
        assert pool_size(size, window, before, after, stride, rounding) == len(starts)
        assert all(start < size and start + window > 0 for start in starts)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_backward_agrees_with_differences_and_the_average_s_is_a_transpose(geometry):
    shape, options = geometry
    x = distinct(shape, SEED)
    for forward, backward in METHODS.values():
        assert check_vjp(lambda at, forward=forward: forward(at, **options), backward, x) < 1e-8
    assert check_adjoint(lambda at: ops.avg_pool(at, **options), ops.avg_pool_backward, x) < 1e-14


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_average_of_a_constant_is_that_constant(geometry):
    shape, options = geometry
    y, _ = ops.avg_pool(np.full(shape, 3.0), **options)
    np.testing.assert_allclose(y, 3, rtol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_image_is_a_batch_of_one_without_its_axis(method):
    forward, backward = METHODS[method]
    x = distinct((2, 5, 7, 3), SEED)
    for options in ({}, {"rounding": "ceil"}, {"pad": (0, 1, 1, 0)}):
        whole, whole_cache = forward(x, **options)
        dy = np.random.default_rng(SEED).standard_normal(whole.shape)
        dx = backward(dy, whole_cache)
        for n in range(2):
            y, cache = forward(x[n], **options)
            assert y.ndim == 3
            np.testing.assert_array_equal(y, whole[n])
            np.testing.assert_array_equal(backward(dy[n], cache), dx[n])


@pytest.mark.parametrize("options", [{}, {"rounding": "ceil"}, {"window": 3, "pad": (1, 0, 2, 1)}])
@pytest.mark.parametrize("method", METHODS)
def test_memory_order_does_not_matter(method, options):
    forward, backward = METHODS[method]
    x = distinct((2, 5, 7, 3), SEED)
    y, cache = forward(x, **options)
    dy = distinct(y.shape, SEED)
    sparse = np.zeros((2, 10, 14, 6))[:, ::2, ::2, ::2]
    sparse[...] = x
    for same in (np.asfortranarray(x), sparse, np.ascontiguousarray(x[:, ::-1])[:, ::-1]):
        other, other_cache = forward(same, **options)
        np.testing.assert_array_equal(other, y)
        np.testing.assert_array_equal(backward(np.asfortranarray(dy), other_cache), backward(dy, cache))


@pytest.mark.parametrize("options", [{}, {"rounding": "ceil"}, {"pad": (0, 1, 0, 1)}])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", [(0, 0), (1, 1), (4, 4), (2, 3)])
def test_nan_in_a_window_gives_nan_there_and_nowhere_else(method, options, where):
    x = distinct((5, 5, 1), SEED)
    clean = METHODS[method][0](x, **options)[0]
    x[where] = np.nan
    y, _ = METHODS[method][0](x, **options)
    row, column = where[0] // 2, where[1] // 2
    hit = np.zeros(y.shape, bool)
    if row < y.shape[0] and column < y.shape[1]:
        hit[row, column] = True
    np.testing.assert_array_equal(np.isnan(y), hit)
    np.testing.assert_array_equal(y[~hit], clean[~hit])


@pytest.mark.parametrize("pad", [0, (1, 0, 1, 0), (1, 1, 1, 1)])
def test_the_maximum_of_a_window_of_minus_infinities_lies_inside_the_image(naive, pad):
    x = np.full((1, 4, 4, 1), -np.inf)
    y, cache = ops.max_pool(x, window=2, stride=2, pad=pad)
    dx = ops.max_pool_backward(np.ones(y.shape), cache)
    expected = naive.pool_backward("max", np.ones(y.shape), x, *naive_options({"pad": pad}))
    assert np.all(y == -np.inf)
    np.testing.assert_array_equal(dx, expected)


def test_the_cache_of_max_pooling_is_one_byte_an_entry_and_of_average_pooling_nothing():
    x = np.zeros((1, 8, 8, 5))
    y, cache = ops.max_pool(x)
    assert cache.tap.nbytes == y.size
    _, geometry = ops.avg_pool(x)
    assert not any(isinstance(part, np.ndarray) for part in geometry)


def test_a_window_of_more_than_256_taps(naive, agree):
    x = distinct((1, 20, 17, 1), SEED)
    compare_with_loops(naive, agree, "max", x, {"window": (19, 17), "stride": 1})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 4), {}, "x must be H×W×C or N×H×W×C"),
        ((1, 4, 1), {}, "a pooling window of 2 does not fit into 1 pixels padded by 0 and 0"),
        ((4, 4, 1), {"window": 5}, "a pooling window of 5 does not fit into 4 pixels"),
        ((4, 4, 1), {"window": 0}, "window must be one or two integers of at least 1"),
        ((4, 4, 1), {"stride": (2, 0)}, "stride must be one or two integers of at least 1"),
        ((4, 4, 1), {"pad": 2}, "pooling pads 2 and 2 must be smaller than the window of 2"),
        ((4, 4, 1), {"pad": (0, 0, 0, 3), "window": (4, 3)}, "pooling pads 0 and 3 must be smaller than the window"),
        ((4, 4, 1), {"pad": -1}, "pad must be one or four non-negative integers"),
        ((4, 4, 1), {"rounding": "up"}, "rounding must be 'floor' or 'ceil', got 'up'"),
    ],
)
def test_what_does_not_fit_is_named(method, shape, options, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method][0](np.zeros(shape), **options)


def test_backward_refuses_another_shape():
    x = np.zeros((4, 6, 2))
    for name, (forward, backward) in {"max": METHODS["max"], "avg": METHODS["average"]}.items():
        _, cache = forward(x)
        with pytest.raises(ValueError, match=rf"{name}_pool_backward: dy must have the output's shape \(2, 3, 2\)"):
            backward(np.zeros((2, 3, 1)), cache)
