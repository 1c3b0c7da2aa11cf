"""Every operator on CUDA arrays agrees with its NumPy body, forward and backward: that body in float64."""

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.backend import select_device
from vggnumpy.errors import InputError

SEED = 600
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}  # of the largest entry


def conv(x_shape, w_shape, **options):
    def run(dy, x, w, b):
        y, cache = ops.conv(x, w, b, **options)
        if dy is None:
            return [y]
        return [y, ops.conv_backward_input(dy, cache), *ops.conv_backward_filter(dy, x, cache)]

    return run, [x_shape, w_shape, w_shape[-1:]]


def conv_transpose(x_shape, w_shape, groups=1, **options):
    def run(dy, x, w, b):
        y, cache = ops.conv_transpose(x, w, b, groups=groups, **options)
        if dy is None:
            return [y]
        back = ops.conv_transpose_backward_input(dy, cache), *ops.conv_transpose_backward_filter(dy, x, cache)
        return [y, *back]

    return run, [x_shape, w_shape, (w_shape[2] * groups,)]


def one_input(forward, backward, x_shape, *parameters, **options):
    """Return an operator whose backward pass takes dy and the cache, with one gradient for each array it is given."""

    def run(dy, x, *arrays):
        y, cache = forward(x, *arrays, **options)
        if dy is None:
            return [y]
        gradients = backward(dy, cache)
        return [y, *(gradients if isinstance(gradients, (list, tuple)) else [gradients])]

    return run, [x_shape, *parameters]


def prelu(x_shape):
    def run(dy, x, slope):
        y, cache = ops.prelu(x, slope)
        if dy is None:
            return [y]
        return [y, ops.prelu_backward(dy, cache), ops.prelu_backward_slope(dy, x, cache)]

    return run, [x_shape, x_shape[-1:]]


def concat(*shapes):
    def run(dy, *xs):
        y, cache = ops.concat(list(xs))
        return [y] if dy is None else [y, *ops.concat_backward(dy, cache)]

    return run, list(shapes)


def softmax_loss(x_shape, labels):
    def run(dy, x, weights):
        value, cache = ops.softmax_loss(x, labels, weights)
        return [value] if dy is None else [value, ops.softmax_loss_backward(1.5, cache)]

    return run, [x_shape, np.shape(labels)]


def batch_norm_with_moments(x_shape):
    def run(dy, x, gain, bias, moments):
        y, cache = ops.batch_norm(x, gain, bias, abs(moments) + 1)
        return [y] if dy is None else [y, *ops.batch_norm_backward(dy, cache)]

    return run, [x_shape, x_shape[-1:], x_shape[-1:], (x_shape[-1], 2)]


CASES = {
    "conv 3×3": conv((2, 7, 9, 3), (3, 3, 3, 5)),
    "conv 3×3, one image, more than a tile": conv((11, 13, 19), (3, 3, 19, 70)),
    "conv 1×1, no padding, two tiles of channels": conv((1, 6, 5, 70), (1, 1, 70, 67), pad=0),
    "conv 3×2, stride 2×3, dilation 2×1": conv(
        (11, 6, 6), (3, 2, 3, 4), stride=(2, 3), pad=(1, 0, 2, 1), dilate=(2, 1)
    ),
    "conv 7×7, stride 2": conv((2, 14, 11, 3), (7, 7, 3, 6), stride=2, pad=3),
    "conv of groups": conv((2, 6, 7, 12), (3, 3, 4, 9)),
    "conv of each channel": conv((1, 5, 6, 5), (3, 3, 1, 10), pad=(0, 1, 2, 0)),
    "conv, stride larger than the filter": conv((9, 10, 4), (2, 1, 4, 3), stride=(3, 4), pad=0),
    "conv, reflected": conv((1, 5, 6, 4), (3, 3, 4, 8), pad_mode="reflect"),
    "conv, replicated": conv((1, 9, 6, 4), (5, 3, 2, 4), stride=2, pad=3, pad_mode="replicate"),
    "conv, sums over several slices": conv((2, 75, 70, 1), (1, 2, 1, 2), pad=0),
    "conv_transpose": conv_transpose((2, 4, 5, 6), (3, 3, 4, 6), upsample=2, crop=(1, 0, 0, 1)),
    "conv_transpose of groups": conv_transpose((4, 3, 6), (2, 3, 2, 6), groups=3, upsample=(3, 1)),
    "relu": one_input(ops.relu, ops.relu_backward, (2, 5, 7, 13)),
    "relu, more than a block": one_input(ops.relu, ops.relu_backward, (33, 17, 16)),
    "relu, leaky": one_input(ops.relu, ops.relu_backward, (5, 7, 8), leak=0.1),
    "relu of a vector": one_input(ops.relu, ops.relu_backward, (19,)),
    "prelu": prelu((2, 5, 3, 11)),
    "max_pool": one_input(ops.max_pool, ops.max_pool_backward, (2, 6, 8, 5)),
    "max_pool, ceil": one_input(ops.max_pool, ops.max_pool_backward, (5, 7, 3), rounding="ceil"),
    "max_pool, overlapping": one_input(
        ops.max_pool, ops.max_pool_backward, (2, 9, 8, 3), window=(3, 4), stride=(2, 1), pad=(2, 1, 0, 3)
    ),
    "max_pool, gaps": one_input(ops.max_pool, ops.max_pool_backward, (9, 8, 2), stride=(5, 3), rounding="ceil"),
    "max_pool, more than 256 taps": one_input(ops.max_pool, ops.max_pool_backward, (18, 19, 2), window=17, stride=1),
    "max_pool, more than a block": one_input(ops.max_pool, ops.max_pool_backward, (5, 19, 64), window=3, stride=2),
    "avg_pool": one_input(ops.avg_pool, ops.avg_pool_backward, (2, 6, 8, 5)),
    "avg_pool, ceil": one_input(ops.avg_pool, ops.avg_pool_backward, (5, 7, 3), rounding="ceil"),
    "avg_pool, overlapping": one_input(
        ops.avg_pool, ops.avg_pool_backward, (2, 9, 8, 3), window=(3, 4), stride=(2, 1), pad=(2, 1, 0, 3)
    ),
    "avg_pool of the whole": one_input(ops.avg_pool, ops.avg_pool_backward, (2, 6, 7, 4), window=(6, 7), stride=1),
    "pad with zeros": one_input(ops.pad, ops.pad_backward, (2, 4, 5, 3), sides=(1, 0, 2, 3)),
    "pad, reflected": one_input(ops.pad, ops.pad_backward, (4, 5, 3), sides=(3, 1, 2, 4), mode="reflect"),
    "pad, replicated": one_input(ops.pad, ops.pad_backward, (1, 4, 5, 3), sides=2, mode="replicate"),
    "concat": concat((2, 3, 4, 5), (2, 3, 4, 1), (2, 3, 4, 2)),
    "lrn": one_input(ops.lrn, ops.lrn_backward, (2, 3, 4, 11), size=4, alpha=0.3),
    "batch_norm": one_input(ops.batch_norm, ops.batch_norm_backward, (2, 5, 4, 3), (3,), (3,)),
    "batch_norm with moments": batch_norm_with_moments((5, 4, 3)),
    "softmax": one_input(ops.softmax, ops.softmax_backward, (2, 3, 4, 5)),
    "softmax_loss": softmax_loss((2, 3, 4, 5), np.arange(24).reshape(2, 3, 4) % 6 - 1),
    "softmax_loss, one label an image": softmax_loss((3, 1, 1, 5), [4, -1, 0]),
    "dropout": one_input(ops.dropout, ops.dropout_backward, (3, 5, 12), rate=0.3, rng=7),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_as_on_the_cpu(on_device, name, dtype):
    run, shapes = CASES[name]
    rng = np.random.default_rng(SEED)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    dy = rng.standard_normal(np.shape(run(None, *arrays)[0])).astype(dtype)
    expected = run(*(array.astype("float64") for array in (dy, *arrays)))
    actual = on_device(run, dy, *arrays)
    assert len(actual) == len(expected) > 1
    for one, other in zip(actual, expected, strict=True):
        assert np.shape(one) == np.shape(other) and (one.dtype == dtype or np.ndim(one) == 0)
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[dtype] * max(abs(other).max(), 1))


def test_every_operator_is_among_them():
    assert {name.partition(" ")[0].rstrip(",") for name in CASES} == {
        name for name in ops.__all__ if "backward" not in name and name != "PAD_MODES"
    }


def forward_and_back(forward, backward, **options):
    def run(x, dy):
        y, cache = forward(x, **options)
        return [y, backward(dy, cache)]

    return run


POOL = {"window": 3, "stride": 2, "pad": (1, 0, 2, 1), "rounding": "ceil"}
IRREGULAR = {
    "max_pool": (ops.max_pool, ops.max_pool_backward, POOL),
    "avg_pool": (ops.avg_pool, ops.avg_pool_backward, POOL),
    "relu": (ops.relu, ops.relu_backward, {}),
    "relu, leaky": (ops.relu, ops.relu_backward, {"leak": 0.2}),
}


@pytest.mark.parametrize("name", IRREGULAR)
def test_ties_infinities_and_nan(on_device, name):
    forward, backward, options = IRREGULAR[name]
    rng = np.random.default_rng(SEED + 1)
    x = rng.integers(-2, 3, (2, 9, 11, 5)).astype("float64")  # many equal maxima
    special = np.array([np.nan, -np.inf, np.inf, -np.nan])
    x[rng.random(x.shape) < 0.02] = np.nan
    x[0, :4, :5] = -np.inf
    x[1, 0, :4, 0] = special
    dy = rng.standard_normal(forward(x, **options)[0].shape)
    run = forward_and_back(forward, backward, **options)
    for one, other in zip(on_device(run, x, dy), run(x, dy), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-14)


def test_masks_and_taps_are_kept_as_on_the_cpu(on_device):
    def run(x):
        return [ops.relu(x)[1].positive, ops.max_pool(x, 3, 2, 1)[1].tap, ops.dropout(x, rng=3)[1].kept]

    x = np.random.default_rng(SEED + 2).integers(-1, 2, (2, 7, 6, 13)).astype("float32")
    for one, other in zip(on_device(run, x), run(x), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("order", ["transposed", "sparse", "backwards"])
def test_arrays_in_any_order_in_memory(on_device, order):
    changed = {
        "transposed": lambda a: a.transpose(1, 0, 2),
        "sparse": lambda a: a[::2, ::3],
        "backwards": lambda a: a[::-1, :, ::-1],
    }[order]

    def run(x, w, b):
        x, w = changed(x), w[..., ::2]
        y, conv_cache = ops.conv(x, w, b[::2])
        pooled, tap = ops.max_pool(x)
        positive = ops.prelu(x, b[:3][::-1])[1]
        return [
            y,
            *ops.conv_backward_filter(y[::-1], x, conv_cache),
            ops.conv_backward_input(y[::-1], conv_cache),
            ops.max_pool_backward(pooled[:, ::-1], tap),
            ops.relu_backward(x[::-1], ops.relu(x)[1]),
            ops.prelu_backward_slope(x[::-1], x, positive),
        ]

    rng = np.random.default_rng(SEED + 3)
    arrays = [rng.standard_normal(shape) for shape in ((9, 8, 3), (3, 3, 3, 8), (8,))]
    for one, other in zip(on_device(run, *arrays), run(*arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_the_host_refuses_what_does_not_fit(on_device):
    def run(x, w):
        for call, problem in (
            (lambda: ops.conv(x, w[:, :, :2]), "do not fit 3 channels"),
            (lambda: ops.conv(x, w, w[0, 0, 0, :2]), "bias must have 4 entries"),
            (lambda: ops.conv_backward_input(x, ops.conv(x, w)[1]), "must have the output's shape"),
            (lambda: ops.conv_backward_filter(ops.conv(x, w)[0], x[1:], ops.conv(x, w)[1]), "forward pass's"),
            (lambda: ops.prelu(x, w[0, 0, 0]), "needs 3 slopes"),
            (lambda: ops.dropout(x, 1.0), "at least 0 and below 1"),
            (lambda: ops.max_pool(x, 9), "does not fit into"),
        ):
            with pytest.raises(ValueError, match=problem):
                call()
        return []

    on_device(run, np.ones((5, 5, 3)), np.ones((3, 3, 3, 4)))


@pytest.mark.gpu
def test_arrays_of_more_than_two_to_the_31_entries():
    try:
        cuda = select_device("cuda")
    except InputError as error:
        pytest.skip(str(error))
    xp, shape = cuda.xp, (1, 1 << 16, (1 << 15) + 64, 1)
    x = xp.zeros(shape, "float32")
    x[0, -2:, -2:, 0] = xp.asarray([[-1.0, 2.0], [3.0, -4.0]], "float32")
    rectified, mask = ops.relu(x)
    expected = np.array([[0, 2], [3, 0]])
    np.testing.assert_array_equal(cuda.to_host(rectified[0, -2:, -2:, 0]), expected)
    np.testing.assert_array_equal(cuda.to_host(ops.relu_backward(x, mask)[0, -2:, -2:, 0]), expected)
    del rectified, mask
    pooled, tap = ops.max_pool(x)
    assert float(pooled[0, -1, -1, 0]) == 3
    assert float(ops.max_pool_backward(pooled, tap)[0, -1, -2, 0]) == 3
    del pooled, tap
    y, cache = ops.conv(x, xp.full((1, 1, 1, 1), 2, "float32"), pad=0)
    np.testing.assert_array_equal(cuda.to_host(y[0, -2:, -2:, 0]), [[-2, 4], [6, -8]])
    del y
    np.testing.assert_array_equal(cuda.to_host(ops.conv_backward_input(x, cache)[0, -2:, -2:, 0]), [[-2, 4], [6, -8]])
