"""Winograd's algorithm computes what the exact convolution computes, forward and backward."""

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp
from vggnumpy.ops.winograd import winograd_conv, winograd_conv_backward_filter, winograd_conv_backward_input
from vggnumpy.ops.winograd_matrices import POINTS, transforms
from vggnumpy.ops.winograd_tiles import gather_tiles, transform_filters

TILES = (4, 6)
SHAPES = [(9, 14, 5), (2, 17, 6, 3), (1, 1, 1, 2), (1, 2, 3, 4), (5, 1, 3), (24, 25, 70), (3, 70, 9)]


def operands(shape, filters=7, dtype="float64"):
    rng = np.random.default_rng(3)
    x, w, b = (rng.standard_normal(s) for s in (shape, (3, 3, shape[-1], filters), (filters,)))
    return x.astype(dtype), w.astype(dtype), b.astype(dtype)


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("pad_mode", ops.PAD_MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_exact_pair(shape, pad_mode, tile):
    x, w, b = operands(shape)
    y, cache = ops.conv(x, w, b, pad_mode=pad_mode)
    fast, fast_cache = winograd_conv(x, w, b, pad_mode, tile)
    assert fast.shape == y.shape and relative(fast, y) < 1e-13
    dy = np.random.default_rng(4).standard_normal(y.shape)
    dx = winograd_conv_backward_input(dy, fast_cache)
    assert dx.shape == x.shape and relative(dx, ops.conv_backward_input(dy, cache)) < 1e-13


@pytest.mark.parametrize(("tile", "bound"), [(4, 1e-5), (6, 3e-5)])
@pytest.mark.parametrize("channels", [3, 512])
def test_in_float32_the_error_is_small(channels, tile, bound):
    x, w, b = operands((20, 19, channels), 33, "float32")
    y, cache = ops.conv(*(a.astype("float64") for a in (x, w, b)))
    fast, fast_cache = winograd_conv(x, w, b, tile=tile)
    assert fast.dtype == "float32" and relative(fast, y) < bound
    dy = np.random.default_rng(4).standard_normal(y.shape).astype("float32")
    dx = winograd_conv_backward_input(dy, fast_cache)
    assert dx.dtype == "float32"
    assert relative(dx, ops.conv_backward_input(dy.astype("float64"), cache)) < bound


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("pad_mode", ops.PAD_MODES)
def test_the_backward_pass_is_the_transpose_and_the_derivative(pad_mode, tile):
    x, w, b = operands((2, 7, 10, 3), 4)

    def forward(at):
        return winograd_conv(at, w, None, pad_mode, tile)

    assert check_adjoint(forward, winograd_conv_backward_input, x) < 1e-13
    assert check_vjp(lambda at: winograd_conv(at, w, b, pad_mode, tile), winograd_conv_backward_input, x) < 1e-8


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("pad_mode", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape[-3:-1]) > 1])
def test_the_filters_derivative_is_the_exact_one(shape, pad_mode, tile):
    x, w, b = operands(shape)
    y, cache = winograd_conv(x, w, b, pad_mode, tile)
    dy = np.random.default_rng(5).standard_normal(y.shape)
    dw, db = winograd_conv_backward_filter(dy, x, cache)
    exact = ops.conv_backward_filter(dy, x, ops.conv(x, w, b, pad_mode=pad_mode)[1])
    assert relative(dw, exact[0]) < 1e-13 and relative(db, exact[1]) < 1e-13
    backward = lambda dy, cache: winograd_conv_backward_filter(dy, x, cache)[0]  # noqa: E731
    assert check_vjp(lambda w: winograd_conv(x, w, b, pad_mode, tile), backward, w) < 1e-8


@pytest.mark.parametrize(("tile", "bound"), [(4, 3e-6), (6, 2e-5)])
def test_in_float32_the_filters_derivative_has_a_small_error(tile, bound):
    x, w, b = operands((4, 32, 32, 64), 64)
    dy = np.random.default_rng(6).standard_normal((4, 32, 32, 64))
    exact, _ = ops.conv_backward_filter(dy, x, ops.conv(x, w, b)[1])
    cache = winograd_conv(x.astype("f4"), w.astype("f4"), tile=tile)[1]
    dw, db = winograd_conv_backward_filter(dy.astype("f4"), x.astype("f4"), cache)
    assert dw.dtype == db.dtype == "float32" and relative(dw, exact) < bound


@pytest.mark.parametrize("tile", TILES)
def test_the_matrices_compute_a_correlation_and_are_exact_in_float32(tile):
    G, straight, turned = transforms(tile)
    rng = np.random.default_rng(5)
    d, g = rng.standard_normal(tile + 2), rng.standard_normal(3)
    np.testing.assert_allclose(straight.AT @ ((G @ g) * (straight.BT @ d)), np.correlate(d, g), rtol=0, atol=1e-13)
    np.testing.assert_allclose(turned.AT @ ((G @ g) * (turned.BT @ d)), np.convolve(d, g, "valid"), rtol=0, atol=1e-13)
    for matrix in (*straight, *turned):
        np.testing.assert_array_equal(matrix.astype("float32"), matrix)
    assert POINTS[tile][1] == 1 and (straight.AT[:, 1] == 1).all()  # where the bias enters


def test_filters_are_transformed_in_their_own_dtype():
    w = np.ones((3, 3, 2, 5), "float32")
    assert transform_filters(w).dtype == "float32" and transform_filters(w, 6).shape == (64, 2, 5)


@pytest.mark.parametrize("tile", TILES)
def test_transformed_filters_are_rounded_once(tile):
    w = np.random.default_rng(7).standard_normal((3, 3, 5, 64)).astype("float32")
    np.testing.assert_array_equal(transform_filters(w, tile), transform_filters(w.astype("f8"), tile).astype("f4"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_a_bias_goes_the_mean_goes_too_and_is_not_rounded_with_the_products(dtype):
    x, w, b = operands((20, 19, 256), 33)
    x, w, b = (x + 20).astype(dtype), w.astype(dtype), np.zeros_like(b).astype(dtype)
    y, _ = ops.conv(x.astype("f8"), w.astype("f8"))
    kept_out, with_it = (relative(winograd_conv(x, w, bias)[0], y) for bias in (b, None))
    assert kept_out < {"float32": 0.8 * with_it, "float64": 1e-13}[dtype]


def test_a_block_of_tiles_is_cut_from_anywhere():
    x = np.random.default_rng(6).standard_normal((13, 11, 2))
    padded = np.pad(x, ((1, 9), (1, 9), (0, 0)))
    tiles = np.full((6, 10, 2, 2), np.nan)
    for top, left in ((-1, -1), (3, 3), (7, 7), (3, -1)):
        gather_tiles(x, tiles, top, left, 4)
        for j in range(6):
            for s in range(2):
                column = padded[top + 1 : top + 11, left + 1 + 4 * s + j]
                np.testing.assert_array_equal(tiles[j, :, s], column)


def test_what_does_not_fit_is_refused():
    x, w, b = operands((6, 6, 3))
    with pytest.raises(ValueError, match="tile must be 4 or 6, got 5"):
        winograd_conv(x, w, tile=5)
    for filters in (w[:2], w[:, :, :2], w[0]):
        with pytest.raises(ValueError, match="Winograd needs filters 3×3×3×K"):
            winograd_conv(x, filters)
    with pytest.raises(ValueError, match="bias of K"):
        winograd_conv(x, w, b[:2])
    with pytest.raises(TypeError, match="mixture"):
        winograd_conv(x, w.astype("float32"))
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        winograd_conv_backward_input(x, winograd_conv(x, w)[1])
