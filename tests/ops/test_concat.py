"""Joining features along the channels and parting their derivative again."""

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.gradcheck import check_adjoint

SHAPES = [[(2, 5, 7, 3)], [(1, 1, 1, 1), (1, 1, 1, 2)], [(5, 7, 2), (5, 7, 1), (5, 7, 4)]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_channels_stand_side_by_side(shapes, dtype):
    rng = np.random.default_rng(60)
    xs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    for x in xs:
        x.flags.writeable = False
    y, cache = ops.concat(xs)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dxs = ops.concat_backward(dy, cache)
    assert y.dtype == dtype and len(dxs) == len(xs)
    c = 0
    for x, dx in zip(xs, dxs, strict=True):
        assert dx.shape == x.shape and dx.dtype == dtype
        for k in range(x.shape[-1]):
            np.testing.assert_array_equal(y[..., c], x[..., k])
            np.testing.assert_array_equal(dx[..., k], dy[..., c])
            c += 1
    assert c == y.shape[-1]


def test_tuples_are_taken_as_lists():
    xs = np.ones((2, 2, 1)), np.zeros((2, 2, 2))
    np.testing.assert_array_equal(ops.concat(xs)[0], ops.concat(list(xs))[0])


def test_backward_is_the_transpose():
    def forward(x):
        return ops.concat([x[..., 3:], x[..., :1], x[..., 1:3]])

    def backward(dy, cache):
        last, first, middle = ops.concat_backward(dy, cache)
        return np.concatenate([first, middle, last], axis=-1)

    assert check_adjoint(forward, backward, np.zeros((2, 3, 4, 5))) < 1e-14


@pytest.mark.parametrize("shapes", [[(2, 2, 3), (2, 3, 3)], [(2, 2, 3), (1, 2, 2, 3)]])
def test_other_sizes_are_refused(shapes):
    with pytest.raises(ValueError, match="concat needs features that differ only in channels, got shapes"):
        ops.concat([np.zeros(shape) for shape in shapes])


def test_nothing_is_refused():
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        ops.concat([])


def test_backward_refuses_another_shape():
    _, cache = ops.concat([np.zeros((2, 2, 1)), np.zeros((2, 2, 2))])
    with pytest.raises(ValueError, match=r"concat_backward: dy must have the output's shape \(2, 2, 3\)"):
        ops.concat_backward(np.zeros((2, 2, 2)), cache)
