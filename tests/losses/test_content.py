"""The content loss: its formula, its gradient and its parts."""

import numpy as np
import pytest

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")
SHAPES = [(1, 1, 1), (5, 7, 3), (2, 3, 2, 4)]


def pair(shape, dtype="float64", seed=100):
    rng = np.random.default_rng(seed)
    F, P = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    F.flags.writeable = P.flags.writeable = False
    return F, P


def formula(F, P, normalization):
    distance = sum((float(F[index]) - float(P[index])) ** 2 for index in np.ndindex(F.shape))
    if normalization == "mean_square":
        return distance / F.size
    if normalization == "relative":
        return distance / sum(float(p) ** 2 for p in P.flat)
    return distance / 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_value_and_gradient(normalization, shape):
    F, P = pair(shape)
    value, dF = losses.content(F, P, normalization)
    assert value == pytest.approx(formula(F, P, normalization), rel=1e-13)
    assert dF.shape == F.shape
    assert check_gradient(lambda x: losses.content(x, P, normalization), F) < 1e-7


def test_gatys_is_the_default_and_its_gradient_the_difference():
    F, P = pair((5, 7, 3))
    value, dF = losses.content(F, P)
    np.testing.assert_array_equal(dF, F - P)
    assert value == losses.content(F, P, "gatys")[0] == losses.content(F, P, normalization="raw")[0]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_at_the_target_value_and_gradient_are_zero(normalization):
    _, P = pair((5, 7, 3))
    value, dF = losses.content(P, P, normalization)
    assert value == 0 and not dF.any()


def test_relative_is_one_when_everything_is_lost():
    _, P = pair((5, 7, 3))
    assert losses.content(np.zeros_like(P), P, "relative")[0] == pytest.approx(1, rel=1e-14)
    assert losses.content(1000 * P, 500 * P, "relative")[0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_float32_is_close_to_float64(normalization):
    F, P = pair((9, 8, 30), "float32")
    value, dF = losses.content(F, P, normalization)
    expected, dexpected = losses.content(F.astype("float64"), P.astype("float64"), normalization)
    assert dF.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(dF, dexpected, rtol=1e-5, atol=1e-7 * abs(dexpected).max())


def test_a_float32_value_is_summed_in_float64():
    F = np.full((1000, 1000, 2), 0.1, "float32")
    expected = F.size * float(np.float32(0.1)) ** 2 / 2
    assert losses.content(F, np.zeros_like(F))[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_strips_add_up_to_the_whole(normalization):
    F, P = pair((9, 4, 3))
    whole, factor = losses.content_value(losses.content_statistics(F, P), normalization)
    strips = [slice(0, 2), slice(2, 7), slice(7, 9)]
    parts = [losses.content_statistics(F[rows], P[rows]) for rows in strips]
    total = type(parts[0])(*(sum(values) for values in zip(*parts, strict=True)))
    value, same = losses.content_value(total, normalization)
    assert value == pytest.approx(whole, rel=1e-13) and same == pytest.approx(factor, rel=1e-13)
    gradient = np.concatenate([losses.content_cotangent(F[rows], P[rows], factor) for rows in strips])
    np.testing.assert_array_equal(gradient, losses.content(F, P, normalization)[1])


def test_memory_order_does_not_matter():
    F, P = pair((6, 8, 4))
    value, dF = losses.content(F, P)
    for view in (np.asfortranarray(F), np.ascontiguousarray(F[::-1])[::-1]):
        other, dother = losses.content(view, np.asfortranarray(P))
        assert other == pytest.approx(value, rel=1e-14)
        np.testing.assert_array_equal(dother, dF)


def test_what_does_not_fit_is_refused():
    F, P = pair((5, 7, 3))
    with pytest.raises(ValueError, match=r"must agree in shape, got \(5, 7, 3\) and \(4, 7, 3\)"):
        losses.content(F, P[1:])
    with pytest.raises(ValueError, match=r"must agree in shape, got \(5, 7, 3\) and \(1, 7, 3\)"):
        losses.content(F, P[:1])
    with pytest.raises(ValueError, match=r"must be one of raw, gatys, mean_square, relative .* 'mean'"):
        losses.content(F, P, "mean")
    with pytest.raises(ValueError, match="the relative content loss needs a target that is not zero everywhere"):
        losses.content(F, np.zeros_like(F), "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.content(F, P.astype("float32"))
    with pytest.raises(TypeError, match="works on float32 or float64 arrays, got int64"):
        losses.content(F.astype("int64"), P.astype("int64"))
