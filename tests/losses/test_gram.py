"""The Gram style loss: its formula, its gradient for any target, and its parts."""

import numpy as np
import pytest

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")


def features(shape, dtype="float64", seed=110):
    F = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    F.flags.writeable = False
    return F


def target(kind, channels, seed=111):
    """Return a target and the number of positions it was summed over."""
    rng = np.random.default_rng(seed)
    if kind == "one entry":
        A = np.zeros((channels, channels))
        A[0, channels - 1] = 30.0
        return A, 11
    if kind == "asymmetric":
        return 20 * rng.standard_normal((channels, channels)), 24
    return losses.gram_statistics(rng.standard_normal((4, 9, channels)))


def naive_gram(F):
    channels = F.shape[-1]
    rows = F.reshape(-1, channels).tolist()
    return [[sum(row[i] * row[j] for row in rows) for j in range(channels)] for i in range(channels)], len(rows)


def formula(F, A, target_positions, normalization):
    """Equation (1) of the module, entry by entry."""
    G, M = naive_gram(F)
    C = F.shape[-1]
    entries = [(i, j) for i in range(C) for j in range(C)]
    distance = sum((G[i][j] / M - A[i, j] / target_positions) ** 2 for i, j in entries)
    factor = {
        "raw": M**2 / 2,
        "gatys": 1 / (4 * C**2),
        "mean_square": 1 / C**4,
        "relative": target_positions**2 / sum(A[i, j] ** 2 for i, j in entries),
    }[normalization]
    return factor * distance


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "one entry"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (5, 7, 3), (2, 3, 5, 4)])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_value_and_gradient(normalization, shape, kind):
    F = features(shape)
    A, positions = target(kind, shape[-1])
    value, dF = losses.gram(F, A, positions, normalization)
    assert value == pytest.approx(formula(F, A, positions, normalization), rel=1e-12)
    assert dF.shape == F.shape
    assert check_gradient(lambda x: losses.gram(x, A, positions, normalization), F) < 1e-7


def test_one_channel():
    F, A = features((4, 5, 1)), np.array([[3.0]])
    value, _ = losses.gram(F, A, 10)
    assert value == pytest.approx(((F**2).sum() / 20 - 0.3) ** 2 / 4, rel=1e-13)
    assert check_gradient(lambda x: losses.gram(x, A, 10), F) < 1e-7


def test_the_matrix_and_the_count():
    F = features((2, 3, 5, 4))
    G, M = losses.gram_statistics(F)
    expected, positions = naive_gram(F)
    np.testing.assert_allclose(G, expected, rtol=1e-13, atol=1e-13)
    assert M == positions == 30
    np.testing.assert_array_equal(G, G.T)


def test_with_equal_counts_the_losses_are_the_papers():
    F, S = features((5, 7, 3)), features((5, 7, 3), seed=112)
    G, A = np.array(naive_gram(F)[0]), np.array(naive_gram(S)[0])
    M, C = 35, 3
    assert losses.gram(F, A, normalization="raw")[0] == pytest.approx(((G - A) ** 2).sum() / 2, rel=1e-12)
    assert losses.gram(F, A)[0] == pytest.approx(((G - A) ** 2).sum() / (4 * C**2 * M**2), rel=1e-12)
    mean_square = ((G / (C * M) - A / (C * M)) ** 2).mean()
    assert losses.gram(F, A, normalization="mean_square")[0] == pytest.approx(mean_square, rel=1e-12)


def test_the_count_is_the_features_own_by_default():
    F, (A, _) = features((5, 7, 3)), target("asymmetric", 3)
    assert losses.gram(F, A)[0] == losses.gram(F, A, 35)[0] != losses.gram(F, A, 34)[0]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_images_of_other_size_are_compared_by_their_means(normalization):
    F = features((4, 5, 3))
    G, M = losses.gram_statistics(F)
    for times in (1, 3, 12):
        value, dF = losses.gram(F, times * G, times * M, normalization)
        assert value == pytest.approx(0, abs=1e-24)
        np.testing.assert_allclose(dF, 0, atol=1e-12)
    if normalization != "raw":
        doubled, _ = losses.gram(np.concatenate([F, F]), *target("symmetric", 3), normalization)
        assert doubled == pytest.approx(losses.gram(F, *target("symmetric", 3), normalization)[0], rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_at_the_target_value_and_gradient_are_zero(normalization):
    F = features((5, 7, 3))
    value, dF = losses.gram(F, losses.gram_statistics(F).matrix, normalization=normalization)
    assert value == 0 and not dF.any()


def test_relative_is_one_without_any_style():
    A, positions = target("asymmetric", 3)
    value, dF = losses.gram(np.zeros((4, 4, 3)), A, positions, "relative")
    assert value == pytest.approx(1, rel=1e-14) and not dF.any()


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_float32_is_close_to_float64(normalization, kind):
    F = features((12, 11, 8), "float32")
    A, positions = target(kind, 8)
    A = A.astype("float32")
    value, dF = losses.gram(F, A, positions, normalization)
    expected, dexpected = losses.gram(F.astype("float64"), A.astype("float64"), positions, normalization)
    assert dF.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-5 * abs(dexpected).max())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_strips_add_up_to_the_whole(normalization):
    F, (A, positions) = features((9, 4, 3)), target("asymmetric", 3)
    strips = [slice(0, 1), slice(1, 6), slice(6, 9)]
    parts = [losses.gram_statistics(F[rows]) for rows in strips]
    G, M = sum(part.matrix for part in parts), sum(part.positions for part in parts)
    value, S = losses.gram_value(G, A, M, positions, normalization)
    expected, dF = losses.gram(F, A, positions, normalization)
    assert value == pytest.approx(expected, rel=1e-12)
    gradient = np.concatenate([losses.gram_cotangent(F[rows], S) for rows in strips])
    np.testing.assert_allclose(gradient, dF, rtol=0, atol=1e-13 * abs(dF).max())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_derivative_with_respect_to_the_matrix(normalization):
    A, positions = target("asymmetric", 4)
    G = np.random.default_rng(113).standard_normal((4, 4))
    assert check_gradient(lambda x: losses.gram_value(x, A, 7, positions, normalization), G) < 1e-7


def test_memory_order_does_not_matter():
    F, (A, positions) = features((6, 8, 4)), target("asymmetric", 4)
    value, dF = losses.gram(F, A, positions)
    for view in (np.asfortranarray(F), np.ascontiguousarray(F[::-1])[::-1]):
        other, dother = losses.gram(view, np.asfortranarray(A), positions)
        assert other == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(dother, dF, rtol=0, atol=1e-14)


def test_what_does_not_fit_is_refused():
    F, (A, positions) = features((5, 7, 3)), target("symmetric", 3)
    for wrong in (A[:2], A[:2, :2], A[0], A[None]):
        with pytest.raises(ValueError, match=r"Gram matrices must both be C×C, got \(3, 3\) and"):
            losses.gram(F, wrong, positions)
    for count in (0, -3):
        with pytest.raises(ValueError, match=f"need positive counts of positions, got 35 and {count}"):
            losses.gram(F, A, count)
    with pytest.raises(ValueError, match="normalization must be one of raw, gatys, mean_square, relative, got 'mean'"):
        losses.gram(F, A, positions, "mean")
    with pytest.raises(ValueError, match="the relative Gram loss needs a target that is not zero everywhere"):
        losses.gram(F, np.zeros((3, 3)), positions, "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.gram(F, A.astype("float32"), positions)
    with pytest.raises(TypeError, match="works on float32 or float64 arrays, got int64"):
        losses.gram(F.astype("int64"), A, positions)
