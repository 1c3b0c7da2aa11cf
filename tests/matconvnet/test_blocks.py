"""Each function in MATLAB's order of axes: its definition, its derivatives by differences, sizes and refusals."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import matconvnet as mcn
from vggnumpy import ops


def defined_conv(x, f, b, pad, stride, dilate):
    """Return the convolution by its definition, H×W×C×N."""
    top, bottom, left, right = pad
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0), (0, 0)))
    kh, kw, depth, filters = f.shape
    rows = (padded.shape[0] - (kh - 1) * dilate[0] - 1) // stride[0] + 1
    columns = (padded.shape[1] - (kw - 1) * dilate[1] - 1) // stride[1] + 1
    share = filters // (x.shape[2] // depth)
    y = np.zeros((rows, columns, filters, x.shape[3])) + b.reshape(1, 1, -1, 1)
    for i, j, k, u, v in np.ndindex(rows, columns, filters, kh, kw):
        first = k // share * depth
        seen = padded[i * stride[0] + u * dilate[0], j * stride[1] + v * dilate[1], first : first + depth]
        y[i, j, k] += f[u, v, :, k] @ seen
    return y


def check_derivatives(forward, inputs, derivatives, dzdy, rng):
    """Compare ⟨derivative, d⟩ with a central difference along a random d, for each input."""
    assert len(inputs) == len(derivatives)
    for i, (array, found) in enumerate(zip(inputs, derivatives, strict=True)):
        assert found.shape == array.shape and found.dtype == array.dtype
        d, step = rng.standard_normal(array.shape), 1e-5
        values = []
        for sign in (1, -1):
            moved = [*inputs]
            moved[i] = array + sign * step * d
            values.append(np.sum(forward(*moved) * dzdy))
        slope = (values[0] - values[1]) / (2 * step)
        assert abs(slope - np.sum(found * d)) <= 1e-7 * max(abs(slope), 1), i


@pytest.mark.parametrize("depth", [4, 2, 1])
@pytest.mark.parametrize(
    ("pad", "stride", "dilate"),
    [((0, 0, 0, 0), (1, 1), (1, 1)), ((1, 2, 0, 3), (2, 1), (1, 2)), ((2,) * 4, (3, 2), (2, 1))],
)
def test_conv(rng, depth, pad, stride, dilate):
    x, f, b = frozen(rng, (7, 8, 4, 3)), frozen(rng, (3, 2, depth, 8)), frozen(rng, (1, 8))
    options = {"pad": pad, "stride": stride, "dilate": dilate}
    y = mcn.vl_nnconv(x, f, b, **options)
    np.testing.assert_allclose(y, defined_conv(x, f, b, **options), rtol=0, atol=1e-12)
    dzdy = frozen(rng, y.shape)
    found = mcn.vl_nnconv(x, f, b, dzdy, **options)
    check_derivatives(lambda *given: mcn.vl_nnconv(*given, **options), (x, f, b), found, dzdy, rng)


def test_conv_with_empty_filters_pads_subsamples_and_adds_b(rng):
    x, b = frozen(rng, (5, 6, 4, 2)), frozen(rng, (4, 1))
    options = {"pad": (1, 0, 2, 1), "stride": (2, 3)}
    identity = np.zeros((1, 1, 4, 4))
    identity[0, 0] = np.eye(4)
    for empty in (None, np.zeros((0, 0)), []):
        y = mcn.vl_nnconv(x, empty, b, **options)
        np.testing.assert_allclose(y, defined_conv(x, identity, b, dilate=(1, 1), **options), atol=1e-15)
    dzdy = frozen(rng, y.shape)
    dzdx, dzdf, dzdb = mcn.vl_nnconv(x, [], b, dzdy, **options)
    assert dzdf is None
    check_derivatives(lambda x, b: mcn.vl_nnconv(x, None, b, **options), (x, b), (dzdx, dzdb), dzdy, rng)


def test_conv_with_nothing_at_all_copies(rng):
    x = frozen(rng, (4, 5, 2))
    y = mcn.vl_nnconv(x, [], [])
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(y, x)
    dzdx, dzdf, dzdb = mcn.vl_nnconv(x, [], [], x)
    np.testing.assert_array_equal(dzdx, x)
    assert dzdf is None and dzdb is None
    one = frozen(rng, (1, 1, 3))  # which MatConvNet leaves uninitialised
    np.testing.assert_array_equal(mcn.vl_nnconv(one, None, one.reshape(3)), 2 * one)


@pytest.mark.parametrize("filters", [True, False])
def test_derivatives_that_are_not_wanted_are_none(rng, filters):
    x, f, b = frozen(rng, (4, 5, 2)), frozen(rng, (3, 3, 2, 2)) if filters else None, frozen(rng, (2,))
    dzdy = mcn.vl_nnconv(x, f, b)
    whole = mcn.vl_nnconv(x, f, b, dzdy)
    for i, option in enumerate(("NoDerData", "NoDerFilters", "NoDerBiases")):
        part = mcn.vl_nnconv(x, f, b, dzdy, **{option: True})
        for j in range(3):
            if i == j or whole[j] is None:
                assert part[j] is None
            else:
                np.testing.assert_array_equal(part[j], whole[j])


@pytest.mark.parametrize("groups", [1, 2])
def test_convt_is_the_adjoint_of_conv(rng, groups):
    x, f, b = frozen(rng, (3, 4, 4, 2)), frozen(rng, (3, 2, 3, 4)), frozen(rng, (3 * groups, 1))
    options = {"upsample": (2, 3), "crop": (1, 0, 0, 1), "numGroups": groups}
    y = mcn.vl_nnconvt(x, f, b, **options)
    assert y.shape == (2 * 2 + 3 - 1, 3 * 3 + 2 - 1, 3 * groups, 2)
    dzdy = frozen(rng, y.shape)
    found = mcn.vl_nnconvt(x, f, b, dzdy, **options)
    np.testing.assert_allclose(
        found[0], mcn.vl_nnconv(dzdy, f, [], pad=options["crop"], stride=options["upsample"]), atol=1e-12
    )
    check_derivatives(lambda *given: mcn.vl_nnconvt(*given, **options), (x, f, b), found, dzdy, rng)
    assert mcn.vl_nnconvt(x, f, [], dzdy, **options)[2] is None


@pytest.mark.parametrize("method", ["max", "avg"])
def test_pool(rng, method):
    x, options = frozen(rng, (7, 6, 3, 2)), {"pad": (1, 0, 0, 2), "stride": (2, 1), "method": method}
    y = mcn.vl_nnpool(x, (2, 3), **options)
    take = np.max if method == "max" else np.mean
    for i, j in np.ndindex(y.shape[:2]):
        rows, columns = slice(max(2 * i - 1, 0), 2 * i + 1), slice(j, j + 3)
        np.testing.assert_allclose(y[i, j], take(x[rows, columns], axis=(0, 1)), atol=1e-14)
    dzdy = frozen(rng, y.shape)
    found = mcn.vl_nnpool(x, (2, 3), dzdy, **options)
    check_derivatives(lambda x: mcn.vl_nnpool(x, (2, 3), **options), (x,), (found,), dzdy, rng)


def test_a_derivative_goes_to_the_first_maximum_in_column_order():
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(mcn.vl_nnpool(x, 2, np.ones((1, 1))), [[0, 0], [1, 0]])


@pytest.mark.parametrize("leak", [0.0, 0.1])
def test_relu_and_its_derivative_from_the_output(rng, leak):
    x, dzdy = frozen(rng, (4, 5, 3, 2)), frozen(rng, (4, 5, 3, 2))
    y = mcn.vl_nnrelu(x, leak=leak)
    np.testing.assert_array_equal(y, np.where(x > 0, x, leak * x))
    for given in (x, y):
        np.testing.assert_array_equal(mcn.vl_nnrelu(given, dzdy, leak=leak), np.where(x > 0, dzdy, leak * dzdy))


def test_softmax_is_along_the_third_axis(rng):
    x, dzdy = frozen(rng, (2, 3, 5, 4)), frozen(rng, (2, 3, 5, 4))
    y = mcn.vl_nnsoftmax(x)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis=2, keepdims=True), atol=1e-15)
    check_derivatives(mcn.vl_nnsoftmax, (x,), (mcn.vl_nnsoftmax(x, dzdy),), dzdy, rng)


def test_normalize_is_across_the_third_axis(rng):
    x, param, dzdy = frozen(rng, (2, 3, 5, 4)), (3, 1.5, 0.3, 0.6), frozen(rng, (2, 3, 5, 4))
    y = mcn.vl_nnnormalize(x, param)
    squares = np.pad(x**2, ((0, 0), (0, 0), (1, 1), (0, 0)))
    energy = 1.5 + 0.3 * (squares[:, :, :-2] + squares[:, :, 1:-1] + squares[:, :, 2:])
    np.testing.assert_allclose(y, x * energy**-0.6, atol=1e-14)
    found = mcn.vl_nnnormalize(x, param, dzdy)
    check_derivatives(lambda x: mcn.vl_nnnormalize(x, param), (x,), (found,), dzdy, rng)
    with pytest.raises(ValueError, match="N, kappa, alpha and beta"):
        mcn.vl_nnnormalize(x, (5, 1))


@pytest.mark.parametrize("given", [False, True])
def test_bnorm_with_its_own_and_with_given_moments(rng, given):
    x, g, b, dzdy = frozen(rng, (3, 4, 2, 5)), frozen(rng, (2, 1)), frozen(rng, (1, 2)), frozen(rng, (3, 4, 2, 5))
    own = np.stack([x.mean(axis=(0, 1, 3)), np.sqrt(x.var(axis=(0, 1, 3)) + 1e-4)], axis=1)
    moments = np.array([[0.5, 2.0], [-1.0, 0.7]]) if given else []
    y, used = mcn.vl_nnbnorm(x, g, b, moments=moments)
    np.testing.assert_allclose(used, moments if given else own, atol=1e-14)
    scaled = (x - used[:, 0].reshape(1, 1, 2, 1)) / used[:, 1].reshape(1, 1, 2, 1)
    np.testing.assert_allclose(y, scaled * g.reshape(1, 1, 2, 1) + b.reshape(1, 1, 2, 1), atol=1e-13)
    *found, back = mcn.vl_nnbnorm(x, g, b, dzdy, moments=moments)
    np.testing.assert_array_equal(back, used)
    check_derivatives(lambda *a: mcn.vl_nnbnorm(*a, moments=moments)[0], (x, g, b), found, dzdy, rng)


def test_bnorm_given_its_own_moments_gives_the_same(rng):
    x, g, b = frozen(rng, (3, 4, 2, 5)), frozen(rng, (2,)), frozen(rng, (2,))
    y, moments = mcn.vl_nnbnorm(x, g, b)
    np.testing.assert_allclose(mcn.vl_nnbnorm(x, g, b, moments=moments)[0], y, atol=1e-13)
    assert mcn.vl_nnbnorm(x, g, b, epsilon=1.0)[1][0, 1] > moments[0, 1]


def test_dropout(rng):
    x, dzdy = frozen(rng, (20, 21, 3, 2)), frozen(rng, (20, 21, 3, 2))
    y, mask = mcn.vl_nndropout(x, rate=0.25, rng=1)
    assert mask.shape == x.shape and set(np.unique(mask)) == {0, 1 / 0.75}
    assert abs((mask == 0).mean() - 0.25) < 0.05
    np.testing.assert_array_equal(y, x * mask)
    np.testing.assert_array_equal(mcn.vl_nndropout(x, mask=mask)[0], y)
    np.testing.assert_array_equal(mcn.vl_nndropout(x, dzdy, mask=mask), dzdy * mask)
    np.testing.assert_array_equal(mcn.vl_nndropout(x, rate=0.25, rng=1)[1], mask)
    with pytest.raises(ValueError, match="needs the mask"):
        mcn.vl_nndropout(x, dzdy)
    with pytest.raises(ValueError, match="the mask of vl_nndropout"):
        mcn.vl_nndropout(x, mask=mask[:1])
    with pytest.raises(ValueError, match="the dzdy of vl_nndropout"):
        mcn.vl_nndropout(x, dzdy[:1], mask=mask)


def expected_loss(x, labels, weights):
    """Return the loss by its definition; labels and weights H×W×N."""
    scores = np.log(np.exp(x).sum(axis=2))
    value = 0.0
    for i, j, n in np.ndindex(labels.shape):
        if labels[i, j, n]:
            value += weights[i, j, n] * (scores[i, j, n] - x[i, j, int(labels[i, j, n]) - 1, n])
    return value / x.shape[3]


def test_softmaxloss_takes_every_form_of_labels(rng):
    x = frozen(rng, (3, 4, 5, 2))
    images = np.array([5.0, 2.0])
    everywhere, ones = np.broadcast_to(images, (3, 4, 2)), np.ones((3, 4, 2))
    positions, weights = rng.integers(0, 6, (3, 4, 2)).astype("float64"), rng.random((3, 4, 2))
    cases = [
        (images, everywhere, ones),
        ([5, 2], everywhere, ones),
        (images.reshape(1, 1, 1, 2), everywhere, ones),
        (np.array([0, 2]), everywhere * [0, 1], ones),
        (np.array([[5.0, 0.5], [2.0, 3.0]]).T.reshape(1, 1, 2, 2), everywhere, ones * [0.5, 3]),
        (positions[:, :, None], positions, ones),
        (np.stack([positions, weights], axis=2), positions, weights),
    ]
    for c, labels, weigh in cases:
        np.testing.assert_allclose(mcn.vl_nnsoftmaxloss(x, c), expected_loss(x, labels, weigh), rtol=1e-13)
        found = mcn.vl_nnsoftmaxloss(x, c, 0.7)
        check_derivatives(lambda x, c=c: mcn.vl_nnsoftmaxloss(x, c), (x,), (found,), 0.7, rng)
    single = x[:, :, :, 0]
    assert mcn.vl_nnsoftmaxloss(single, 3) == mcn.vl_nnsoftmaxloss(single, np.full((3, 4), 3))


@pytest.mark.parametrize("c", [[1, 6], [1.5, 2], [1, np.nan], [1, 2, 3], np.ones((3, 3, 1, 2)), np.ones((3, 4, 3, 2))])
def test_softmaxloss_refuses_what_are_no_labels(rng, c):
    with pytest.raises(ValueError, match="labels c must be"):
        mcn.vl_nnsoftmaxloss(frozen(rng, (3, 4, 5, 2)), c)


def test_softmaxloss_refuses_a_derivative_that_is_no_number(rng):
    with pytest.raises(ValueError, match="must be a number"):
        mcn.vl_nnsoftmaxloss(frozen(rng, (3, 4, 5, 2)), [1, 2], np.ones(2))


def test_results_have_as_many_axes_as_the_input(rng):
    f = frozen(rng, (3, 3, 2, 4))
    assert mcn.vl_nnconv(frozen(rng, (5, 6, 2, 1)), f, []).shape == (3, 4, 4, 1)
    assert mcn.vl_nnconv(frozen(rng, (5, 6, 2)), f, []).shape == (3, 4, 4)
    grey = frozen(rng, (5, 6))
    assert mcn.vl_nnconv(grey, f[:, :, :1], []).shape == (3, 4, 4)
    dropped = frozen(rng, (3, 3))  # 3×3×1×1, as MATLAB hands it over
    y = mcn.vl_nnconv(grey, dropped, [])
    assert y.shape == (3, 4)
    dzdx, dzdf, _ = mcn.vl_nnconv(grey, dropped, [], y)
    assert dzdx.shape == (5, 6) and dzdf.shape == (3, 3)


def test_single_stays_single_and_the_order_in_memory_does_not_matter(rng):
    x, f, b = frozen(rng, (5, 6, 2, 3), "float32"), frozen(rng, (3, 3, 2, 4), "float32"), frozen(rng, (4,), "float32")
    y = mcn.vl_nnconv(x, f, b)
    assert y.dtype == "float32"
    for same in non_contiguous(x):
        np.testing.assert_array_equal(mcn.vl_nnconv(same, f, b), y)
    for wrong in ((x.astype("float64"), f, b), (x, f, b.astype("float64")), (x, None, np.zeros(2))):
        with pytest.raises(TypeError, match="mixture"):
            mcn.vl_nnconv(*wrong)
    for data, filters in ((x, f), (x[..., :2], None)):
        with pytest.raises(TypeError, match="mixture"):
            mcn.vl_nnconv(data, filters, [], mcn.vl_nnconv(data, filters, []).astype("float64"))
    double = f.astype("float64")
    with pytest.raises(TypeError, match="mixture"):
        mcn.vl_nnconv(x, double, [], mcn.vl_nnconv(x, f, []).astype("float64"), NoDerFilters=True)
    with pytest.raises(TypeError, match="array"):
        mcn.vl_nnrelu([[1.0, 2.0]])


X, F, B = np.ones((6, 6, 4, 2)), np.ones((3, 3, 4, 2)), np.ones(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mcn.vl_nnconv(X, F, B, pad=-1), "pad must be one or four non-negative"),
        (lambda: mcn.vl_nnconv(X, F, B, pad=(1, 1)), "pad must be one or four non-negative"),
        (lambda: mcn.vl_nnconv(X, F, B, stride=0), "stride must be one or two integers of at least 1"),
        (lambda: mcn.vl_nnconv(X, F, B, dilate=0), "dilate must be one or two integers of at least 1"),
        (lambda: mcn.vl_nnconv(X, F, B, dilate=3), "does not fit into 6 pixels"),
        (lambda: mcn.vl_nnconv(X, F[:, :, :3], B), "depth 3 do not divide the 4 channels"),
        (lambda: mcn.vl_nnconv(X, F[:, :, :1], B), "4 groups, as x and f make them, do not divide the 2 filters"),
        (lambda: mcn.vl_nnconv(X, F, np.ones(3)), "b must have 2 entries, one for each filter of f, got 3"),
        (lambda: mcn.vl_nnconv(X, F, B, X), "dzdy must have the size of the output, 4×4×2×2, got 6×6×4×2"),
        (lambda: mcn.vl_nnconv(X, None, np.ones(3)), "b must have 4 entries, one for each channel of x"),
        (lambda: mcn.vl_nnconv(X, None, None, dilate=2), "dilate must be 1 if the filters f are empty"),
        (lambda: mcn.vl_nnconv(X, None, None, F), "dzdy must have the size of the output, 6×6×4×2"),
        (lambda: mcn.vl_nnconv(np.ones((2,) * 5), F, B), "x must have at most four axes"),
        (lambda: mcn.vl_nnconv(np.ones(3), F, B), "x must be H×W, H×W×C or H×W×C×N"),
        (lambda: mcn.vl_nnrelu(np.ones((2, 0, 3))), "none of them empty"),
        (lambda: mcn.vl_nnconvt(X, F, B), "the channels of x, 4, on their last axis"),
        (lambda: mcn.vl_nnpool(X, 2, pad=2), "must be smaller than the window"),
        (lambda: mcn.vl_nnpool(X, 7), "does not fit into 6 pixels"),
        (lambda: mcn.vl_nnpool(X, 2, method="mean"), "must be one of max, avg, got 'mean'"),
        (lambda: mcn.vl_nnpool(X, 2, X), "dzdy must have the size of the output, 5×5×4×2"),
        (lambda: mcn.vl_nnbnorm(X, B, B), "the gain of batch_norm must have 4 entries"),
        (lambda: mcn.vl_nnsoftmax(X, F), "dzdy must have the size of the output, 6×6×4×2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_they_are_the_operators_themselves(rng):
    x, w, b = frozen(rng, (2, 5, 6, 3)), frozen(rng, (3, 3, 3, 4)), frozen(rng, (4,))
    y, _ = ops.conv(x, w, b)
    np.testing.assert_array_equal(mcn.vl_nnconv(x.transpose(1, 2, 3, 0), w, b, pad=1), y.transpose(1, 2, 3, 0))
