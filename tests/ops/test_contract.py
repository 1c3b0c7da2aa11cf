"""What every operator promises: dtype and kind of its arrays, inputs left alone, sizes as plain numbers."""

import inspect

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.ops.geometry import Sides, four_sides, pair

X = np.random.default_rng(70).standard_normal((2, 6, 5, 3))
W = np.random.default_rng(71).standard_normal((3, 3, 3, 4))
B = np.random.default_rng(72).standard_normal(4)
LABELS = np.array([2, -1])

# Name → forward pass, and the backward passes on (dy, cache), all at the arrays above in one dtype.
FORWARD = {
    "pad": lambda x, w, b: ops.pad(x, (1, 2, 0, 3), "reflect"),
    "conv": lambda x, w, b: ops.conv(x, w, b),
    "max_pool": lambda x, w, b: ops.max_pool(x, rounding="ceil"),
    "avg_pool": lambda x, w, b: ops.avg_pool(x, 3, 2, (1, 0, 2, 1)),
    "relu": lambda x, w, b: ops.relu(x),
    "prelu": lambda x, w, b: ops.prelu(x, b[:3]),
    "concat": lambda x, w, b: ops.concat([x, x]),
    "conv_transpose": lambda x, w, b: ops.conv_transpose(x, w.transpose(0, 1, 3, 2), b, 2, 1),
    "lrn": lambda x, w, b: ops.lrn(x),
    "batch_norm": lambda x, w, b: ops.batch_norm(x, b[:3], b[1:]),
    "softmax": lambda x, w, b: ops.softmax(x),
    "softmax_loss": lambda x, w, b: ops.softmax_loss(x, LABELS, b[:2]),
    "dropout": lambda x, w, b: ops.dropout(x, rng=0),
}
BACKWARD = {
    "pad_backward": ("pad", lambda dy, x, cache: ops.pad_backward(dy, cache)),
    "conv_backward_input": ("conv", lambda dy, x, cache: ops.conv_backward_input(dy, cache)),
    "conv_backward_filter": ("conv", lambda dy, x, cache: ops.conv_backward_filter(dy, x, cache)),
    "max_pool_backward": ("max_pool", lambda dy, x, cache: ops.max_pool_backward(dy, cache)),
    "avg_pool_backward": ("avg_pool", lambda dy, x, cache: ops.avg_pool_backward(dy, cache)),
    "relu_backward": ("relu", lambda dy, x, cache: ops.relu_backward(dy, cache)),
    "prelu_backward": ("prelu", lambda dy, x, cache: ops.prelu_backward(dy, cache)),
    "prelu_backward_slope": ("prelu", lambda dy, x, cache: ops.prelu_backward_slope(dy, x, cache)),
    "concat_backward": ("concat", lambda dy, x, cache: ops.concat_backward(dy, cache)),
    "conv_transpose_backward_input": (
        "conv_transpose",
        lambda dy, x, cache: ops.conv_transpose_backward_input(dy, cache),
    ),
    "conv_transpose_backward_filter": (
        "conv_transpose",
        lambda dy, x, cache: ops.conv_transpose_backward_filter(dy, x, cache),
    ),
    "lrn_backward": ("lrn", lambda dy, x, cache: ops.lrn_backward(dy, cache)),
    "batch_norm_backward": ("batch_norm", lambda dy, x, cache: ops.batch_norm_backward(dy, cache)),
    "softmax_backward": ("softmax", lambda dy, x, cache: ops.softmax_backward(dy, cache)),
    "softmax_loss_backward": ("softmax_loss", lambda dy, x, cache: ops.softmax_loss_backward(dy, cache)),
    "dropout_backward": ("dropout", lambda dy, x, cache: ops.dropout_backward(dy, cache)),
}
ENDS = "softmax_loss"  # its output is a number in float64, and so is the derivative that its backward pass is given


def test_no_operator_is_forgotten_here():
    assert {*FORWARD, *BACKWARD, "PAD_MODES"} == set(ops.__all__)


def arrays(dtype):
    return X.astype(dtype), W.astype(dtype), B.astype(dtype)


@pytest.mark.parametrize("name", BACKWARD)
def test_no_input_is_written_to_and_the_dtype_is_kept(name):
    forward, backward = BACKWARD[name]
    for dtype in ("float32", "float64"):
        given = arrays(dtype)
        for array in given:
            array.flags.writeable = False
        y, cache = FORWARD[forward](*given)
        dy = np.ones_like(y)
        dy.flags.writeable = False
        out = backward(dy, given[0], cache)
        assert {str(part.dtype) for part in (out if isinstance(out, (list, tuple)) else [out])} == {dtype}
        assert y.dtype == ("float64" if forward == ENDS else dtype)
        np.testing.assert_array_equal(dy, 1)
        for array, original in zip(given, arrays(dtype), strict=True):
            np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float16", "complex128", "bool", ">f4"])
def test_only_float32_and_float64_are_taken(name, dtype):
    with pytest.raises(TypeError, match=f"{name} works on float32 or float64 arrays, got {np.dtype(dtype)}"):
        FORWARD[name](*(np.abs(array).astype(dtype) for array in (X, W, B)))


@pytest.mark.parametrize("name", [name for name in BACKWARD if BACKWARD[name][0] != ENDS])
def test_a_backward_pass_takes_floats_only(name):
    forward, backward = BACKWARD[name]
    y, cache = FORWARD[forward](X, W, B)
    with pytest.raises(TypeError, match=f"{name} works on float32 or float64 arrays, got .*int64"):
        backward(np.ones(y.shape, "int64"), X, cache)


@pytest.mark.parametrize("other", [0, 1, 2])
def test_a_mixture_of_dtypes_is_refused(other):
    given = list(arrays("float32"))
    given[other] = given[other].astype("float64")
    with pytest.raises(TypeError, match="conv needs arrays of one dtype, got a mixture of float32 and float64"):
        ops.conv(*given)
    with pytest.raises(TypeError, match="conv needs arrays of one dtype"):
        ops.conv(given[0], w=given[1], b=given[2])


def test_a_mixture_in_a_list_is_refused():
    with pytest.raises(TypeError, match="concat needs arrays of one dtype, got a mixture of float32 and float64"):
        ops.concat([X, X.astype("float32")])


def test_a_derivative_of_another_dtype_than_the_filters_is_refused():
    y, cache = ops.conv(*arrays("float32"))
    with pytest.raises(TypeError, match="one dtype"):
        ops.conv_backward_filter(y, X, cache)
    with pytest.raises(TypeError, match="one dtype"):
        ops.conv_backward_input(y.astype("float64"), cache)


@pytest.mark.parametrize("name", FORWARD)
def test_what_is_no_array_is_refused(name):
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got"):
        getattr(ops, name)("features")


@pytest.mark.parametrize("name", BACKWARD)
def test_a_cache_serves_a_second_backward_pass(name):
    forward, backward = BACKWARD[name]
    y, cache = FORWARD[forward](X, W, B)
    first, second = (backward(np.ones_like(y), X, cache) for _ in range(2))
    pairs = zip(first, second, strict=True) if isinstance(first, (list, tuple)) else [(first, second)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [*FORWARD, *BACKWARD])
def test_an_operator_keeps_its_docstring_and_signature(name):
    function = getattr(ops, name)
    assert "Parameters\n" in inspect.getdoc(function) and "Returns\n" in inspect.getdoc(function)
    assert next(iter(inspect.signature(function).parameters)) in ("x", "xs", "dy", "dvalue")


def test_one_or_two_integers():
    assert pair(2, "stride") == (2, 2) and pair((1, 3), "stride") == (1, 3) and pair([3, 1], "stride") == (3, 1)
    assert four_sides(1) == Sides(1, 1, 1, 1) and four_sides([0, 1, 2, 3]) == (0, 1, 2, 3)


def test_integers_of_numpy_count_as_integers():
    assert pair(np.int64(2), "stride") == (2, 2)
    assert pair(np.array([1, 2]), "stride") == (1, 2)
    assert four_sides(np.int64(1)) == (1, 1, 1, 1)


@pytest.mark.parametrize("value", [0, -1, 1.5, (1, 0), (1, 2, 3), (), (1.5, 1)])
def test_what_is_no_stride_is_refused(value):
    with pytest.raises(ValueError, match="stride must be one or two integers of at least 1, got"):
        pair(value, "stride")
