"""Convolution and its derivatives agree with plain loops, in every geometry."""

import sys

import numpy as np
import pytest
from arrays import frozen, non_contiguous
from hypothesis import given, settings
from hypothesis import strategies as st

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp

SEED = 20
TOLERANCES = {"float64": 1e-13, "float32": 2e-6}

# x shape, w shape, options of `conv`.
GEOMETRIES = {
    "3×3, one pixel": ((1, 1, 1, 2), (3, 3, 2, 3), {}),
    "3×3, 2 pixels wide": ((1, 2, 2, 3), (3, 3, 3, 2), {}),
    "3×3, 3 pixels wide": ((2, 3, 3, 1), (3, 3, 1, 4), {}),
    "3×3, 5×7": ((3, 5, 7, 4), (3, 3, 4, 5), {}),
    "5×7 without padding gives one pixel": ((2, 5, 7, 2), (5, 7, 2, 3), {"pad": 0}),
    "1×1": ((2, 5, 7, 4), (1, 1, 4, 3), {"pad": 0}),
    "1×1 with padding": ((1, 3, 2, 4), (1, 1, 4, 3), {"pad": 2}),
    "2×4, four sides": ((2, 5, 7, 2), (2, 4, 2, 3), {"pad": (1, 0, 2, 3)}),
    "stride 2": ((1, 5, 7, 3), (3, 3, 3, 2), {"stride": 2}),
    "stride 3×2, cut on the right": ((1, 7, 6, 2), (3, 2, 2, 2), {"stride": (3, 2), "pad": (0, 1, 1, 0)}),
    "stride larger than the filter": ((1, 7, 7, 2), (1, 2, 2, 2), {"stride": (3, 4), "pad": 0}),
    "dilated 2×3": ((1, 7, 9, 2), (3, 3, 2, 2), {"dilate": (2, 3), "pad": 2}),
    "dilated with stride": ((1, 8, 7, 2), (2, 3, 2, 3), {"dilate": 2, "stride": (2, 1), "pad": (2, 1, 0, 3)}),
    "2 groups": ((2, 5, 4, 6), (3, 3, 3, 4), {}),
    "depthwise, 2 filters a channel": ((1, 5, 4, 3), (3, 3, 1, 6), {}),
    "reflect": ((1, 5, 7, 2), (3, 3, 2, 2), {"pad_mode": "reflect"}),
    "reflect over a single row": ((1, 1, 4, 2), (3, 3, 2, 2), {"pad_mode": "reflect"}),
    "reflect, wider than the image": ((1, 2, 3, 2), (5, 5, 2, 2), {"pad_mode": "reflect", "pad": (3, 2, 4, 1)}),
    "replicate": ((2, 3, 5, 2), (3, 3, 2, 2), {"pad_mode": "replicate"}),
    "replicate, everything at once": (
        (2, 6, 5, 4),
        (2, 3, 2, 4),
        {"pad_mode": "replicate", "stride": (2, 1), "dilate": (1, 2), "pad": (0, 3, 2, 1)},
    ),
}


def naive_options(options):
    """Spell out the shorthand of `conv`."""
    full = {"stride": 1, "pad": 1, "dilate": 1, "pad_mode": "zero", **options}
    return {
        "stride": np.broadcast_to(full["stride"], 2).tolist(),
        "sides": np.broadcast_to(full["pad"], 4).tolist(),
        "dilate": np.broadcast_to(full["dilate"], 2).tolist(),
        "mode": full["pad_mode"],
    }


def compare_with_loops(naive, agree, x_shape, w_shape, options, dtype="float64"):
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, x_shape, dtype), frozen(rng, w_shape, dtype), frozen(rng, w_shape[3], dtype)
    loops = naive_options(options)
    y, cache = ops.conv(x, w, b, **options)
    expected = naive.conv(x, w, b, **loops)
    agree(y, expected, TOLERANCES[dtype], "y")
    dy = frozen(rng, expected.shape, dtype)
    dx, (dw, db) = ops.conv_backward_input(dy, cache), ops.conv_backward_filter(dy, x, cache)
    for name, actual, reference in zip(
        ("dx", "dw", "db"), (dx, dw, db), naive.conv_backward(dy, x, w, **loops), strict=True
    ):
        assert actual.dtype == dtype
        agree(actual, reference, TOLERANCES[dtype], name)
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_forward_and_derivatives_agree_with_plain_loops(naive, agree, geometry, dtype):
    compare_with_loops(naive, agree, *geometry, dtype)


@st.composite
def geometries(draw):
    def some(low, high):
        return draw(st.integers(low, high))

    groups, depth = some(1, 2), some(1, 2)
    kernel, dilate, stride = (some(1, 3), some(1, 3)), (some(1, 2), some(1, 2)), (some(1, 3), some(1, 3))
    sides = tuple(some(0, 2) for _ in range(4))
    reach = [(kernel[axis] - 1) * dilate[axis] + 1 - sides[2 * axis] - sides[2 * axis + 1] for axis in (0, 1)]
    size = [some(max(1, least), max(1, least) + 3) for least in reach]
    mode = draw(st.sampled_from(sorted(ops.PAD_MODES)))
    options = {"stride": stride, "pad": sides, "dilate": dilate, "pad_mode": mode}
    return (some(1, 2), *size, groups * depth), (*kernel, depth, groups * some(1, 2)), options


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(geometry=geometries())
def test_any_geometry_agrees_with_plain_loops(naive, agree, geometry):
    compare_with_loops(naive, agree, *geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_backward_passes_are_transposes_and_agree_with_differences(geometry):
    x_shape, w_shape, options = geometry
    rng = np.random.default_rng(SEED)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    b = rng.standard_normal(w_shape[3])

    def by_x(at):
        return ops.conv(at, w, **options)

    def by_w(at):
        return ops.conv(x, at, **options)

    def to_w(dy, cache):
        return ops.conv_backward_filter(dy, x, cache)[0]

    assert check_adjoint(by_x, ops.conv_backward_input, x) < 1e-13
    assert check_adjoint(by_w, to_w, w) < 1e-13
    assert check_vjp(lambda at: ops.conv(at, w, b, **options), ops.conv_backward_input, x) < 1e-8


def test_a_single_image_is_a_batch_of_one_without_its_axis(agree):
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, (5, 7, 3)), frozen(rng, (3, 3, 3, 4)), frozen(rng, 4)
    y, cache = ops.conv(x, w, b)
    ys, caches = ops.conv(x[None], w, b)
    dy = frozen(rng, y.shape)
    assert y.shape == (5, 7, 4) and ys.shape == (1, 5, 7, 4)
    np.testing.assert_array_equal(y, ys[0])
    dx = ops.conv_backward_input(dy, cache)
    np.testing.assert_array_equal(dx, ops.conv_backward_input(dy[None], caches)[0])
    assert dx.shape == x.shape
    dw, db = ops.conv_backward_filter(dy, x, cache)
    dws, dbs = ops.conv_backward_filter(dy[None], x[None], caches)
    np.testing.assert_array_equal(dw, dws)
    np.testing.assert_array_equal(db, dbs)


def test_no_bias_is_a_bias_of_zero_and_the_bias_is_added_once_a_position():
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, (2, 4, 5, 3)), frozen(rng, (3, 3, 3, 2)), frozen(rng, 2)
    without = ops.conv(x, w)[0]
    np.testing.assert_array_equal(without, ops.conv(x, w, np.zeros(2))[0])
    np.testing.assert_allclose(ops.conv(x, w, b)[0] - without, np.broadcast_to(b, without.shape), rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"pad": 0}, {"stride": 2, "pad": (0, 1, 1, 0), "pad_mode": "reflect"}])
def test_memory_order_does_not_matter(agree, options):
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, (2, 5, 7, 3)), frozen(rng, (3, 3, 3, 4)), frozen(rng, 4)
    y, cache = ops.conv(x, w, b, **options)
    dy = frozen(rng, y.shape)
    dx, (dw, db) = ops.conv_backward_input(dy, cache), ops.conv_backward_filter(dy, x, cache)
    for other_x, other_w, other_dy in zip(non_contiguous(x), non_contiguous(w), non_contiguous(dy), strict=True):
        other_y, other_cache = ops.conv(other_x, other_w, b, **options)
        agree(other_y, y)
        agree(ops.conv_backward_input(other_dy, other_cache), dx)
        other_dw, other_db = ops.conv_backward_filter(other_dy, other_x, other_cache)
        agree(other_dw, dw)
        agree(other_db, db)


@pytest.mark.parametrize("limit", [1, 2000])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_height_of_the_strips_does_not_matter(agree, monkeypatch, geometry, limit):
    x_shape, w_shape, options = geometry
    rng = np.random.default_rng(SEED)
    x, w, b = frozen(rng, x_shape), frozen(rng, w_shape), frozen(rng, w_shape[3])
    y, cache = ops.conv(x, w, b, **options)
    dy = frozen(rng, y.shape)
    whole = y, ops.conv_backward_input(dy, cache), *ops.conv_backward_filter(dy, x, cache)
    monkeypatch.setattr(sys.modules["vggnumpy.ops.conv"], "_STRIP_BYTES", limit)
    y, cache = ops.conv(x, w, b, **options)
    strips = y, ops.conv_backward_input(dy, cache), *ops.conv_backward_filter(dy, x, cache)
    for name, part, reference in zip(("y", "dx", "dw", "db"), strips, whole, strict=True):
        agree(part, reference, 1e-14, name)


def test_the_cache_keeps_the_filters_and_no_features():
    x, w = np.ones((1, 64, 64, 3)), np.ones((3, 3, 3, 8))
    _, cache = ops.conv(x, w)
    assert cache.w is w
    assert not any(isinstance(part, np.ndarray) for part in (*cache[1:], *cache.padding))


def test_the_bias_derivative_of_float32_is_summed_in_float64():
    dy = np.full((1, 512, 512, 1), 0.1, "float32")
    x, w = np.zeros((1, 512, 512, 1), "float32"), np.zeros((1, 1, 1, 1), "float32")
    _, cache = ops.conv(x, w, pad=0)
    _, db = ops.conv_backward_filter(dy, x, cache)
    np.testing.assert_allclose(db, dy.size * np.float64(np.float32(0.1)), rtol=1e-7)


def zeros(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((zeros(4, 4), zeros(3, 3, 4, 2)), {}, r"x must be H×W×C or N×H×W×C .* got shape \(4, 4\)"),
        ((zeros(0, 4, 3), zeros(3, 3, 3, 2)), {}, "without an empty axis"),
        ((zeros(4, 4, 3), zeros(3, 3, 3)), {}, r"filters must be kh×kw×C×K .* \(3, 3, 3\)"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 0)), {}, "filters must be kh×kw×C×K"),
        ((zeros(4, 4, 3), zeros(3, 3, 2, 4)), {}, "filters of depth 2, 4 of them, do not fit 3 channels"),
        ((zeros(4, 4, 4), zeros(3, 3, 2, 5)), {}, "filters of depth 2, 5 of them, do not fit 4 channels"),
        ((zeros(4, 4, 3), zeros(3, 3, 4, 3)), {}, "do not fit 3 channels"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2), zeros(3)), {}, r"the bias must have 2 entries.*got shape \(3,\)"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2), zeros(2, 1)), {}, "the bias must have 2 entries"),
        ((zeros(4, 2, 3), zeros(5, 5, 3, 2)), {}, "a filter that spans 5 pixels does not fit into 2 pixels padded"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"dilate": 3}, "a filter that spans 7 pixels does not fit into"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"stride": 0}, "stride must be one or two integers of at least 1, got 0"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"stride": (1, 1.5)}, "stride must be one or two integers"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"dilate": (1, 2, 3)}, "dilate must be one or two integers"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"pad": -1}, "pad must be one or four non-negative integers, got -1"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"pad": (1, 1)}, "pad must be one or four non-negative integers"),
        ((zeros(4, 4, 3), zeros(3, 3, 3, 2)), {"pad_mode": "wrap"}, "must be one of zero, reflect, replicate, got 'wr"),
    ],
)
def test_what_does_not_fit_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ops.conv(*arguments, **options)


def test_backward_passes_refuse_what_is_not_the_forward_pass_s():
    x, w = np.ones((1, 4, 5, 3)), np.ones((3, 3, 3, 2))
    y, cache = ops.conv(x, w)
    with pytest.raises(ValueError, match=r"conv_backward_input: dy must have the output's shape \(1, 4, 5, 2\)"):
        ops.conv_backward_input(y[0], cache)
    with pytest.raises(ValueError, match=r"conv_backward_filter: dy must .* got \(1, 4, 4, 2\)"):
        ops.conv_backward_filter(y[:, :, 1:], x, cache)
    with pytest.raises(ValueError, match=r"x must be the forward pass's, of shape \(1, 4, 5, 3\), got \(1, 4, 5, 1\)"):
        ops.conv_backward_filter(y, x[..., :1], cache)
