"""Transposed convolution and its derivatives agree with plain loops, and are the transposes of `conv`'s."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp

SEED = 95
TOLERANCES = {"float64": 1e-13, "float32": 2e-6}

# x shape, w shape, options of `conv_transpose`.
GEOMETRIES = {
    "one pixel": ((1, 1, 1, 2), (3, 4, 3, 2), {}),
    "3×4": ((2, 5, 4, 3), (3, 4, 2, 3), {}),
    "1×1": ((2, 3, 4, 3), (1, 1, 5, 3), {}),
    "upsampled by 2": ((1, 3, 4, 2), (4, 4, 2, 2), {"upsample": 2}),
    "upsampled by 2, 3, four sides cropped": ((2, 4, 3, 3), (3, 5, 2, 3), {"upsample": (2, 3), "crop": (1, 0, 2, 3)}),
    "rows and columns that no window touches": ((2, 3, 4, 2), (2, 1, 3, 2), {"upsample": (4, 3)}),
    "those cut off": ((1, 3, 3, 1), (1, 2, 2, 1), {"upsample": (5, 4), "crop": (3, 1, 0, 5)}),
    "cropped by more than a filter": ((1, 6, 5, 2), (2, 3, 2, 2), {"crop": (3, 2, 0, 4)}),
    "cropped to one pixel": ((1, 3, 3, 2), (3, 3, 1, 2), {"upsample": 2, "crop": 3}),
    "2 groups": ((2, 3, 4, 4), (3, 3, 3, 4), {"upsample": 2, "crop": 1, "groups": 2}),
    "a group a channel": ((1, 4, 3, 3), (4, 4, 1, 3), {"upsample": 2, "crop": 1, "groups": 3}),
}


def naive_options(options):
    """Spell out the shorthand of `conv_transpose`."""
    return {
        "upsample": np.broadcast_to(options.get("upsample", 1), 2).tolist(),
        "crop": np.broadcast_to(options.get("crop", 0), 4).tolist(),
        "groups": options.get("groups", 1),
    }


def compare_with_loops(naive, agree, x_shape, w_shape, options, dtype="float64"):
    rng, loops = np.random.default_rng(SEED), naive_options(options)
    x, w = frozen(rng, x_shape, dtype), frozen(rng, w_shape, dtype)
    b = frozen(rng, w_shape[2] * loops["groups"], dtype)
    y, cache = ops.conv_transpose(x, w, b, **options)
    expected = naive.conv_transpose(x, w, b, **loops)
    assert y.dtype == dtype
    agree(y, expected, TOLERANCES[dtype], "y")
    dy = frozen(rng, expected.shape, dtype)
    ours = ops.conv_transpose_backward_input(dy, cache), *ops.conv_transpose_backward_filter(dy, x, cache)
    theirs = naive.conv_transpose_backward(dy, x, w, **loops)
    for name, actual, reference in zip(("dx", "dw", "db"), ours, theirs, strict=True):
        assert actual.dtype == dtype
        agree(actual, reference, TOLERANCES[dtype], name)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_forward_and_derivatives_agree_with_plain_loops(naive, agree, geometry, dtype):
    compare_with_loops(naive, agree, *geometry, dtype)


@st.composite
def geometries(draw):
    def some(low, high):
        return draw(st.integers(low, high))

    groups, share = some(1, 2), some(1, 2)
    size, kernel, upsample = (some(1, 4), some(1, 4)), (some(1, 4), some(1, 4)), (some(1, 5), some(1, 5))
    crop = tuple(some(0, 3) for _ in range(4))
    for axis in (0, 1):
        assume(upsample[axis] * (size[axis] - 1) + kernel[axis] > crop[2 * axis] + crop[2 * axis + 1])
    options = {"upsample": upsample, "crop": crop, "groups": groups}
    channels = groups * some(1, 2)
    return (some(1, 2), *size, channels), (*kernel, share, channels), options


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(geometry=geometries())
def test_any_geometry_agrees_with_plain_loops(naive, agree, geometry):
    compare_with_loops(naive, agree, *geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_backward_passes_are_transposes_and_agree_with_differences(geometry):
    x_shape, w_shape, options = geometry
    rng = np.random.default_rng(SEED)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    b = rng.standard_normal(w_shape[2] * options.get("groups", 1))

    def by_x(at):
        return ops.conv_transpose(at, w, **options)

    def by_w(at):
        return ops.conv_transpose(x, at, **options)

    def to_w(dy, cache):
        return ops.conv_transpose_backward_filter(dy, x, cache)[0]

    assert check_adjoint(by_x, ops.conv_transpose_backward_input, x) < 1e-13
    assert check_adjoint(by_w, to_w, w) < 1e-13
    assert check_vjp(lambda at: ops.conv_transpose(at, w, b, **options), ops.conv_transpose_backward_input, x) < 1e-8


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_it_is_the_transpose_of_a_convolution_with_the_same_filters(geometry):
    x_shape, w_shape, options = geometry
    rng, loops = np.random.default_rng(SEED), naive_options(options)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y, _ = ops.conv_transpose(x, w, **options)
    z = rng.standard_normal(y.shape)
    convolved, _ = ops.conv(z, w, None, loops["upsample"], loops["crop"])
    assert (convolved * x).sum() == pytest.approx((z * y).sum(), rel=1e-12)


def test_without_a_window_there_is_the_bias_alone():
    y, _ = ops.conv_transpose(np.ones((2, 2, 1)), np.ones((1, 1, 1, 1)), np.array([5.0]), upsample=2)
    np.testing.assert_array_equal(y[..., 0], [[6, 5, 6], [5, 5, 5], [6, 5, 6]])


def test_a_bilinear_filter_enlarges_smoothly():
    tent = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25]).reshape(4, 4, 1, 1)
    ramp = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 5, 1))
    y, _ = ops.conv_transpose(ramp, tent, upsample=2, crop=1)
    assert y.shape == (12, 10, 1)
    np.testing.assert_allclose(y[1:-1, 1:-1, 0], np.broadcast_to((np.arange(10)[:, None] + 0.5) / 2, (10, 8)))


def test_a_single_image_is_a_batch_of_one_without_its_axis():
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, (5, 7, 3)), frozen(rng, (3, 3, 4, 3)), frozen(rng, 4)
    options = {"upsample": 2, "crop": (1, 0, 0, 1)}
    y, cache = ops.conv_transpose(x, w, b, **options)
    ys, caches = ops.conv_transpose(x[None], w, b, **options)
    assert y.shape == (10, 14, 4)
    np.testing.assert_array_equal(y, ys[0])
    dx = ops.conv_transpose_backward_input(y, cache)
    np.testing.assert_array_equal(dx, ops.conv_transpose_backward_input(ys, caches)[0])
    for one, batch in zip(
        ops.conv_transpose_backward_filter(y, x, cache),
        ops.conv_transpose_backward_filter(ys, x[None], caches),
        strict=True,
    ):
        np.testing.assert_array_equal(one, batch)


@pytest.mark.parametrize("options", [{}, {"upsample": 2, "crop": (0, 1, 1, 0)}])
def test_memory_order_does_not_matter(agree, options):
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, (2, 5, 7, 3)), frozen(rng, (3, 3, 4, 3)), frozen(rng, 4)
    y, cache = ops.conv_transpose(x, w, b, **options)
    dy = frozen(rng, y.shape)
    dx, (dw, db) = (
        ops.conv_transpose_backward_input(dy, cache),
        ops.conv_transpose_backward_filter(dy, x, cache),
    )
    for other_x, other_w, other_dy in zip(non_contiguous(x), non_contiguous(w), non_contiguous(dy), strict=True):
        other_y, other_cache = ops.conv_transpose(other_x, other_w, b, **options)
        agree(other_y, y)
        agree(ops.conv_transpose_backward_input(other_dy, other_cache), dx)
        other_dw, other_db = ops.conv_transpose_backward_filter(other_dy, other_x, other_cache)
        agree(other_dw, dw)
        agree(other_db, db)


X, W = np.ones((2, 4, 5, 4)), np.ones((3, 3, 2, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, W[..., :3]), r"must have the channels of x, 4, on their last axis, got shape \(3, 3, 2, 3\)"),
        ((X, W[0]), r"filters must be kh×kw×K×C without an empty axis, got shape \(3, 2, 4\)"),
        ((X, W[:0]), "without an empty axis"),
        ((X, W, np.ones(4)), r"the bias must have 2 entries, one a channel of y, got shape \(4,\)"),
        ((X, W, np.ones(2), 1, 0, 2), "the bias must have 4 entries"),
        ((X, W, None, 0), "upsample must be one or two integers of at least 1, got 0"),
        ((X, W, None, 1, -1), "crop must be one or four non-negative integers, got -1"),
        ((X, W, None, 1, (3, 3, 0, 0)), r"nothing is left of 6×7 pixels after a crop of \(3, 3, 0, 0\)"),
        ((X, W, None, 1, (0, 0, 7, 0)), "nothing is left of 6×7 pixels"),
        ((X, W, None, 1, 0, 3), "groups must be a positive integer that divides the 4 channels, got 3"),
        ((X, W, None, 1, 0, 0), "groups must be a positive integer that divides the 4 channels, got 0"),
        ((X[0, 0], W), "x must be H×W×C or N×H×W×C"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.conv_transpose(*arguments)


def test_backward_refuses_other_shapes_and_dtypes():
    y, cache = ops.conv_transpose(X, W)
    for call, name in (
        (lambda dy: ops.conv_transpose_backward_input(dy, cache), "conv_transpose_backward_input"),
        (lambda dy: ops.conv_transpose_backward_filter(dy, X.astype(dy.dtype), cache), "conv_transpose_backward_fil"),
    ):
        with pytest.raises(ValueError, match=rf"{name}.*: dy must have the output's shape \(2, 6, 7, 2\), got"):
            call(y[:1])
        with pytest.raises(TypeError, match=f"{name}.* needs arrays of one dtype"):
            call(y.astype("float32"))
    with pytest.raises(ValueError, match=r"x must be the forward pass's, of shape \(2, 4, 5, 4\), got \(1, 4, 5, 4\)"):
        ops.conv_transpose_backward_filter(y, X[:1], cache)
