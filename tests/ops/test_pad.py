"""Padding in every mode, and its exact transpose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint, check_vjp

MODES = sorted(ops.PAD_MODES)
SHAPES = [(1, 1, 1, 1), (2, 2, 1, 3), (1, 3, 2, 2), (2, 5, 7, 3)]
SIDES = [(0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 0, 3), (0, 0, 2, 0), (4, 5, 3, 6)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_both_passes_agree_with_plain_loops(naive, agree, mode, shape, sides, dtype):
    rng = np.random.default_rng(30)
    x = rng.standard_normal(shape).astype(dtype)
    x.flags.writeable = False
    y, cache = ops.pad(x, sides, mode)
    np.testing.assert_array_equal(y, naive.pad(x, sides, mode))
    dy = rng.standard_normal(y.shape).astype(dtype)
    dy.flags.writeable = False
    dx = ops.pad_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    agree(dx, naive.pad_backward(dy.astype("float64"), shape, sides, mode), 1e-6 if dtype == "float32" else 1e-14)


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    sides=st.tuples(*[st.integers(0, 6)] * 4),
    mode=st.sampled_from(MODES),
)
def test_any_padding_agrees_with_plain_loops(naive, agree, shape, sides, mode):
    rng = np.random.default_rng(31)
    x = rng.standard_normal(shape)
    y, cache = ops.pad(x, sides, mode)
    np.testing.assert_array_equal(y, naive.pad(x, sides, mode))
    dy = rng.standard_normal(y.shape)
    agree(ops.pad_backward(dy, cache), naive.pad_backward(dy, shape, sides, mode), 1e-13)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_backward_is_the_transpose_and_agrees_with_differences(mode, sides):
    def forward(x):
        return ops.pad(x, sides, mode)

    x = np.random.default_rng(32).standard_normal((2, 3, 4, 2))
    assert check_adjoint(forward, ops.pad_backward, x) < 1e-14
    assert check_vjp(forward, ops.pad_backward, x) < 1e-8


def test_the_modes_are_what_their_names_say():
    row = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    for mode, expected in {
        "zero": [0, 0, 1, 2, 3, 0, 0],
        "reflect": [3, 2, 1, 2, 3, 2, 1],
        "replicate": [1, 1, 1, 2, 3, 3, 3],
    }.items():
        np.testing.assert_array_equal(ops.pad(row, (0, 0, 2, 2), mode)[0].ravel(), expected)


def test_one_number_pads_all_sides_and_a_single_image_keeps_its_axes():
    x = np.random.default_rng(33).standard_normal((3, 4, 2))
    y, cache = ops.pad(x, 2)
    assert y.shape == (7, 8, 2)
    np.testing.assert_array_equal(y, ops.pad(x[None], (2, 2, 2, 2))[0][0])
    assert ops.pad_backward(y, cache).shape == x.shape


def test_nothing_added_is_the_array_itself_or_a_view():
    x = np.ones((2, 3, 4, 2))
    assert ops.pad(x, 0)[0] is x
    assert np.shares_memory(ops.pad(x[0], 0)[0], x)


def test_non_contiguous_images():
    x = np.random.default_rng(34).standard_normal((2, 3, 8, 5)).transpose(0, 3, 1, 2)[:, ::2, ::-1]
    y, cache = ops.pad(x, (1, 0, 2, 1), "reflect")
    same, _ = ops.pad(np.ascontiguousarray(x), (1, 0, 2, 1), "reflect")
    np.testing.assert_array_equal(y, same)
    dy = np.random.default_rng(35).standard_normal((*y.shape[:3], 2 * y.shape[3]))[..., ::2]
    np.testing.assert_array_equal(ops.pad_backward(dy, cache), ops.pad_backward(np.ascontiguousarray(dy), cache))


@pytest.mark.parametrize(
    ("x", "sides", "mode", "message"),
    [
        (np.zeros((3, 3, 1)), 1, "wrap", "pad mode must be one of zero, reflect, replicate, got 'wrap'"),
        (np.zeros((3, 3, 1)), (1, 2), "zero", r"pad must be one or four non-negative integers, got \(1, 2\)"),
        (np.zeros((3, 3, 1)), (1, 2, -1, 0), "zero", "non-negative"),
        (np.zeros((3, 3, 1)), 1.5, "zero", "pad must be one or four non-negative integers, got 1.5"),
        (np.zeros((3, 3)), 1, "zero", r"x must be H×W×C or N×H×W×C .* \(3, 3\)"),
        (np.zeros((1, 3, 0, 1)), 1, "reflect", "without an empty axis"),
    ],
)
def test_what_does_not_fit_is_named(x, sides, mode, message):
    with pytest.raises(ValueError, match=message):
        ops.pad(x, sides, mode)


def test_backward_refuses_another_shape():
    _, cache = ops.pad(np.zeros((3, 3, 1)), 1)
    with pytest.raises(ValueError, match=r"pad_backward: dy must have the output's shape \(5, 5, 1\), got \(3, 3, 1\)"):
        ops.pad_backward(np.zeros((3, 3, 1)), cache)
