"""Content and style as the report prints them: what they are, and how they differ from the exact forms."""

import numpy as np
import pytest

from vggnumpy import losses, ops
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")


def draw(shape, seed, dtype="float64"):
    F = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    F.flags.writeable = False
    return F


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 3, 2, 4)])
def test_the_content_is_compared_where_the_target_is_positive(shape):
    F, P = draw(shape, 1), draw(shape, 2)
    value, dF = losses.content_printed(F, P)
    expected, dexpected = 0.0, np.zeros(shape)
    for index in np.ndindex(shape):
        if P[index] > 0:
            expected += (F[index] - P[index]) ** 2 / 2
            dexpected[index] = F[index] - P[index]
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_array_equal(dF, dexpected)
    assert 0 < np.count_nonzero(dF) < dF.size


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_contents_value_and_gradient_belong_together(normalization):
    F, P = draw((5, 7, 3), 1), draw((5, 7, 3), 2)
    assert check_gradient(lambda x: losses.content_printed(x, P, normalization), F) < 1e-7
    value, dF = losses.content_printed(F, P, normalization)
    raw, draw_ = losses.content_printed(F, P)
    active = P[P > 0]
    factor = {"mean_square": 2 / P.size, "relative": 2 / (active**2).sum()}.get(normalization, 1.0)
    assert value == pytest.approx(factor * raw, rel=1e-13)
    np.testing.assert_allclose(dF, factor * draw_, rtol=1e-13)


def test_the_content_of_a_target_that_is_active_everywhere_is_the_exact_one():
    F, P = draw((5, 7, 3), 1), abs(draw((5, 7, 3), 2))
    value, dF = losses.content_printed(F, P)
    exact, dexact = losses.content(F, P)
    assert value == exact
    np.testing.assert_array_equal(dF, dexact)


def test_the_mask_is_the_targets_and_not_the_features():
    P, F = np.array([[[2.0, 0.0]]]), np.array([[[0.0, 5.0]]])
    assert losses.content(F, P)[0] == (4 + 25) / 2
    value, dF = losses.content_printed(F, P)
    assert value == 2
    np.testing.assert_array_equal(dF, [[[-2.0, 0.0]]])


def asymmetric(channels):
    return 20 * np.random.default_rng(7).standard_normal((channels, channels)), 24


def symmetric(channels):
    return losses.gram_statistics(draw((4, 9, channels), 8))


@pytest.mark.parametrize("target", [symmetric, asymmetric])
def test_the_style_is_the_reports_formula_entry_by_entry(target):
    F = draw((5, 7, 3), 3)
    A, _ = target(3)
    rows = F.reshape(-1, 3)
    G = rows.T @ rows
    expected = np.zeros_like(rows)
    for position, channel in np.ndindex(rows.shape):
        if rows[position, channel] > 0:
            expected[position, channel] = sum(rows[position, k] * (G[k, channel] - A[k, channel]) for k in range(3))
    np.testing.assert_allclose(losses.gram_printed_gradient(F, A).reshape(-1, 3), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_for_a_symmetric_target_it_is_half_the_gradient_under_the_mask(normalization):
    F = draw((5, 7, 3), 3)
    A, positions = symmetric(3)
    exact = losses.gram(F, A, positions, normalization)[1]
    printed = losses.gram_printed_gradient(F, A, positions, normalization)
    np.testing.assert_allclose(printed, 0.5 * (F > 0) * exact, rtol=0, atol=1e-14 * abs(exact).max())
    assert np.count_nonzero(printed) == np.count_nonzero(F > 0) < F.size


def test_for_an_asymmetric_target_it_is_not_proportional_to_the_gradient():
    F = abs(draw((5, 7, 3), 3))
    A, positions = asymmetric(3)
    exact = losses.gram(F, A, positions, "raw")[1].ravel()
    printed = losses.gram_printed_gradient(F, A, positions).ravel()
    cosine = printed @ exact / np.linalg.norm(printed) / np.linalg.norm(exact)
    assert cosine < 0.99


@pytest.mark.parametrize("pool", [None, ops.max_pool, ops.avg_pool])
def test_before_the_rectifier_it_is_half_the_gradient(pool):
    y, cache = ops.relu(draw((8, 9, 5), 4))
    backward = {None: lambda dy, _: dy, ops.max_pool: ops.max_pool_backward, ops.avg_pool: ops.avg_pool_backward}[pool]
    F, pooled = pool(y) if pool else (y, None)
    assert (F == 0).any()
    A, positions = symmetric(5)
    exact = losses.gram(F, A, positions)[1]
    printed = losses.gram_printed_gradient(F, A, positions, "gatys")
    assert abs(printed - exact / 2).max() > 0.01 * abs(exact).max()  # the mask is there, and the rectifier has it too
    dx, dexact = (ops.relu_backward(backward(dF, pooled), cache) for dF in (printed, exact))
    np.testing.assert_allclose(dx, dexact / 2, rtol=0, atol=1e-14 * abs(dexact).max())


def test_it_is_not_the_gradient_of_the_style_loss():
    F = draw((5, 7, 3), 3)
    A, positions = symmetric(3)

    def pretended(x):
        return losses.gram(x, A, positions)[0], losses.gram_printed_gradient(x, A, positions, "gatys")

    assert check_gradient(pretended, F) > 0.1
    assert check_gradient(pretended, abs(F)) == pytest.approx(0.5, abs=1e-6)


def test_the_count_is_the_features_own_by_default():
    F, (A, _) = draw((5, 7, 3), 3), symmetric(3)
    own, other = (losses.gram_printed_gradient(F, A, positions) for positions in (35, 34))
    np.testing.assert_array_equal(losses.gram_printed_gradient(F, A), own)
    assert not np.array_equal(own, other)


def test_float32_stays_float32_and_nothing_is_written_to():
    F, P = draw((6, 8, 4), 3, "float32"), draw((6, 8, 4), 5, "float32")
    A = losses.gram_statistics(P).matrix
    value, dF = losses.content_printed(F, P)
    assert isinstance(value, float) and dF.dtype == losses.gram_printed_gradient(F, A).dtype == "float32"
    assert losses.active_part(F, P).dtype == "float32"


def test_strips_add_up_to_the_whole():
    F, P = draw((9, 4, 3), 1), draw((9, 4, 3), 2)
    parts = []
    for rows in (slice(0, 2), slice(2, 7), slice(7, 9)):
        active = losses.active_part(P[rows], P[rows])
        parts.append(losses.content_statistics(losses.active_part(F[rows], P[rows]), active))
    total = type(parts[0])(*(sum(values) for values in zip(*parts, strict=True)))
    assert losses.content_value(total, "relative")[0] == pytest.approx(
        losses.content_printed(F, P, "relative")[0], rel=1e-13
    )


def test_what_does_not_fit_is_refused():
    F, P, (A, positions) = draw((5, 7, 3), 1), draw((5, 7, 3), 2), symmetric(3)
    with pytest.raises(ValueError, match=r"must agree in shape, got \(5, 7, 3\) and \(1, 7, 3\)"):
        losses.content_printed(F, P[:1])
    with pytest.raises(ValueError, match=r"must agree in shape, got \(5, 7, 3\) and \(1, 7, 3\)"):
        losses.active_part(F, P[:1])
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.content_printed(F, P.astype("float32"))
    with pytest.raises(ValueError, match="the relative content loss needs a target that is not zero everywhere"):
        losses.content_printed(F, -abs(P), "relative")
    with pytest.raises(ValueError, match=r"Gram matrices must both be C×C, got \(3, 3\) and"):
        losses.gram_printed_gradient(F, A[:2], positions)
    with pytest.raises(ValueError, match="normalization must be one of raw, gatys, mean_square, relative, got 'l2'"):
        losses.gram_printed_gradient(F, A, positions, "l2")
