"""Softmax and its log loss: probabilities, labels and weights, large scores, derivatives."""

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import ops
from vggnumpy.gradcheck import check_gradient, check_vjp

SEED = 93


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 1, 2, 10), (2, 3, 5, 4), (3, 2, 7), (5,), (2, 1, 1, 1)])
def test_both_passes_of_softmax_agree_with_plain_loops(naive, agree, shape, dtype):
    rng = np.random.default_rng(SEED)
    x, dy = frozen(rng, shape, dtype), frozen(rng, shape, dtype)
    y, cache = ops.softmax(x)
    dx = ops.softmax_backward(dy, cache)
    expected, dexpected = naive.softmax(x, dy)
    assert y.dtype == dx.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    agree(y, expected, tolerance)
    np.testing.assert_allclose(dx, dexpected, rtol=0, atol=tolerance)


def test_softmax_agrees_with_differences():
    x = np.random.default_rng(SEED).standard_normal((2, 3, 4, 6))
    assert check_vjp(ops.softmax, ops.softmax_backward, x) < 1e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_any_size_give_probabilities(dtype):
    x = np.array([[1e4, -1e4, 1e4, 0], [-1e30, -1e30, -1e30, -1e30], [1e30, 0, -np.inf, 5]], dtype)
    y, cache = ops.softmax(x)
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5, 0], [0.25] * 4, [1, 0, 0, 0]])
    np.testing.assert_array_equal(ops.softmax_backward(np.ones_like(x), cache), 0)


def test_many_probabilities_sum_to_one_in_float32_in_any_order():
    x = np.random.default_rng(SEED).standard_normal((40, 20, 4096)).astype("float32")
    for view in (x, np.asfortranarray(x)):
        np.testing.assert_allclose(ops.softmax(view)[0].sum(axis=-1, dtype="float64"), 1, rtol=0, atol=3e-7)


def test_memory_order_does_not_matter_to_softmax(agree):
    x = frozen(np.random.default_rng(SEED), (2, 5, 4, 3))
    y, cache = ops.softmax(x)
    dx = ops.softmax_backward(x, cache)
    for view in non_contiguous(x):
        other, other_cache = ops.softmax(view)
        agree(other, y)
        agree(ops.softmax_backward(view, other_cache), dx)


def test_softmax_backward_refuses_another_shape_or_dtype():
    y, cache = ops.softmax(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match="softmax_backward: dy must have the output's shape"):
        ops.softmax_backward(y[0], cache)
    with pytest.raises(TypeError, match="softmax_backward needs arrays of one dtype"):
        ops.softmax_backward(y.astype("float32"), cache)


def labelled(shape=(3, 4, 2, 5), dtype="float64"):
    """Return scores, labels (some of them to be left out) and weights of every position."""
    rng = np.random.default_rng(SEED)
    x, labels = frozen(rng, shape, dtype), rng.integers(-2, shape[-1], shape[:-1])
    return x, labels, rng.uniform(0.5, 2, shape[:-1]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_agrees_with_plain_loops(naive, weighted, dtype):
    x, labels, weights = labelled(dtype=dtype)
    value, _ = ops.softmax_loss(x, labels, weights if weighted else None)
    expected = naive.softmax_loss(x, labels, weights if weighted else np.ones(labels.shape))
    assert np.asarray(value).dtype == "float64" and np.ndim(value) == 0
    assert value == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-14)


def test_a_label_an_image_is_that_of_all_its_positions():
    x, _, _ = labelled()
    labels, weights = np.array([4, -1, 0]), np.array([0.5, 3.0, 2.0])
    every = np.broadcast_to(labels[:, None, None], x.shape[:-1])
    weigh = np.broadcast_to(weights[:, None, None], x.shape[:-1])
    for given, spread in (((labels,), (every,)), ((labels, weights), (every, weigh))):
        value, cache = ops.softmax_loss(x, *given)
        expected, expected_cache = ops.softmax_loss(x, *spread)
        assert value == expected
        np.testing.assert_array_equal(
            ops.softmax_loss_backward(1.0, cache), ops.softmax_loss_backward(1.0, expected_cache)
        )


def test_the_loss_is_divided_by_the_images_alone():
    x = np.zeros((2, 3, 4, 5))
    assert ops.softmax_loss(x, np.array([1, 2]))[0] == pytest.approx(12 * np.log(5))
    assert ops.softmax_loss(x, np.array([1, -1]))[0] == pytest.approx(6 * np.log(5))
    assert ops.softmax_loss(x[0], 3)[0] == pytest.approx(12 * np.log(5))


def test_a_single_image_is_a_batch_of_one_without_its_axis():
    x, labels, weights = labelled()
    for label, weigh in ((labels[0], weights[0]), (2, 0.5)):
        value, cache = ops.softmax_loss(x[0], label, weigh)
        expected, expected_cache = ops.softmax_loss(x[:1], np.asarray(label)[None], np.asarray(weigh)[None])
        assert value == expected
        dx = ops.softmax_loss_backward(1.0, cache)
        np.testing.assert_array_equal(dx, ops.softmax_loss_backward(1.0, expected_cache)[0])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_derivative_of_the_loss_agrees_with_differences(weighted):
    x, labels, weights = labelled()

    def fun(at):
        value, cache = ops.softmax_loss(at, labels, weights if weighted else None)
        return 3 * value, ops.softmax_loss_backward(3, cache)

    assert check_gradient(fun, x) < 1e-8


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_loss_is_minus_the_logarithm_of_softmax(agree, multilabel):
    """MatConvNet's softmaxloss.basic: scores in (0.001, 1), and the derivative through softmax and logarithm."""
    rng = np.random.default_rng(SEED)
    x = rng.uniform(0.001, 1.001, (3, 3, 4, 10))
    labels = (np.arange(36).reshape(3, 3, 4) + 1) % 10 if multilabel else np.array([6, 1, 0])
    weights = rng.uniform(0, 1, labels.shape)
    spread = np.broadcast_to(labels.reshape(3, *labels.shape[1:] or (1, 1)), x.shape[:-1])
    heavy = np.broadcast_to(weights.reshape(3, *labels.shape[1:] or (1, 1)), x.shape[:-1])
    y, cache = ops.softmax(x)
    chosen = np.eye(10)[spread]
    value, loss_cache = ops.softmax_loss(x, labels, weights)
    assert value == pytest.approx(-(heavy * np.log((y * chosen).sum(axis=-1))).sum() / 3, rel=1e-13)
    dx = ops.softmax_backward(-heavy[..., None] * chosen / y / 3, cache)
    agree(ops.softmax_loss_backward(1.0, loss_cache), dx, 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_scores_give_finite_losses(dtype):
    x = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype).reshape(2, 1, 1, 3)
    value, cache = ops.softmax_loss(x, np.array([1, 0]))
    assert value == 1e4
    dx = ops.softmax_loss_backward(1.0, cache)
    np.testing.assert_array_equal(dx.reshape(2, 3), [[0.5, -0.5, 0], [0, 0, 0]])
    assert dx.dtype == dtype


def test_a_small_loss_is_not_rounded_away_in_float32():
    x = np.array([0, -20], "float32").reshape(1, 1, 2)
    assert ops.softmax_loss(x, 0)[0] == pytest.approx(np.exp(-20), rel=1e-6)


def test_what_does_not_count_may_be_anything():
    x = np.zeros((3, 1, 1, 2))
    x[1], x[2, ..., 0] = np.nan, -np.inf
    for labels, weights in (([0, -1, -5], None), ([0, 1, 0], [1.0, 0, 0])):
        value, cache = ops.softmax_loss(x, np.array(labels), weights)
        assert value == pytest.approx(np.log(2) / 3)
        np.testing.assert_allclose(ops.softmax_loss_backward(6.0, cache)[:, 0, 0], [[-1, 1], [0, 0], [0, 0]])


def test_nothing_to_count_is_a_loss_of_zero():
    value, cache = ops.softmax_loss(np.ones((2, 3, 4, 5)), np.full(2, -1))
    assert value == 0
    np.testing.assert_array_equal(ops.softmax_loss_backward(1.0, cache), np.zeros((2, 3, 4, 5)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64"])
def test_labels_are_integers_of_any_width(dtype):
    x, labels, _ = labelled()
    labels = abs(labels)
    assert ops.softmax_loss(x, labels.astype(dtype))[0] == ops.softmax_loss(x, labels)[0]
    assert ops.softmax_loss(x, labels.tolist())[0] == ops.softmax_loss(x, labels)[0]


def test_memory_order_does_not_matter_to_the_loss():
    x, labels, weights = labelled()
    value, cache = ops.softmax_loss(x, labels, weights)
    for view in non_contiguous(x):
        other, other_cache = ops.softmax_loss(view, np.asfortranarray(labels), np.asfortranarray(weights))
        assert other == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(
            ops.softmax_loss_backward(1.0, other_cache), ops.softmax_loss_backward(1.0, cache), rtol=0, atol=1e-15
        )


def test_no_input_is_written_to():
    x, labels, weights = labelled()
    before = [labels.copy(), weights.copy()]
    labels.flags.writeable = weights.flags.writeable = False
    _, cache = ops.softmax_loss(x, labels, weights)
    first = ops.softmax_loss_backward(1.0, cache)
    np.testing.assert_array_equal(first, ops.softmax_loss_backward(1.0, cache))
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(weights, before[1])


X = np.ones((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("labels", "weights", "message"),
    [
        ([0, 5], None, "labels must be below 5, the number of channels, and count from 0; got 5"),
        ([0, 1, 2], None, r"labels must have the shape \(2, 3, 4\), one a position, or \(2,\), one an image, got"),
        (np.zeros((2, 3), int), None, "labels must have the shape"),
        (np.zeros((2, 1, 1), int), None, "labels must have the shape"),
        ([0, 1], np.ones(3), r"weights must have the shape of the labels, \(2,\), got \(3,\)"),
        ([0, 1], np.ones((2, 3, 4)), "weights must have the shape of the labels"),
    ],
)
def test_labels_and_weights_that_do_not_fit_are_refused(labels, weights, message):
    with pytest.raises(ValueError, match=message):
        ops.softmax_loss(X, labels, weights)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [True, False], ["a", "b"]])
def test_labels_that_are_no_integers_are_refused(labels):
    with pytest.raises(TypeError, match="labels must be integers, 0 to 4 or negative to be left out, got"):
        ops.softmax_loss(X, labels)


def test_scores_and_weights_have_one_dtype():
    with pytest.raises(TypeError, match="softmax_loss needs arrays of one dtype"):
        ops.softmax_loss(X, [0, 1], np.ones(2, "float32"))
