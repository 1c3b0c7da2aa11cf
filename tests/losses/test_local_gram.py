"""Local style: the windowed Gram loss against sums over windows, at any radius, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient
from vggnumpy.losses.local_gram import along_axis, window_factors, window_weights

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")


def pair(shape, dtype="float64", seed=320):
    rng = np.random.default_rng(seed)
    return frozen(rng, shape, dtype), frozen(rng, shape, dtype)


def naive_field(F, radius):
    """Equation (1) of the module at every position, H×W×C×C."""
    height, width, channels = F.shape
    out = np.zeros((height, width, channels, channels))
    for y, x, v, u in np.ndindex(height, width, height, width):
        dy, dx = v - y, u - x
        if max(abs(dy), abs(dx)) <= radius:
            out[y, x] += np.outer(F[v, u], F[v, u]) / (1 + dx**2 + dy**2)
    return out


def naive_gradient(F, R, radius, factor):
    """4k Σ_j (w ⋆ R_ij)(p) F_j(p): the form of the paper, with the fields there."""
    height, width, _ = F.shape
    out = np.zeros(F.shape)
    for y, x, v, u in np.ndindex(height, width, height, width):
        dy, dx = v - y, u - x
        if max(abs(dy), abs(dx)) <= radius:
            out[y, x] += 4 * factor * R[v, u] @ F[y, x] / (1 + dx**2 + dy**2)
    return out


# A single position, one row, a map of several tiles with ragged ends, and radii from nothing to beyond the map.
CASES = [
    ((1, 1, 2), 0),
    ((1, 1, 2), 3),
    ((5, 4, 3), 0),
    ((5, 4, 3), 1),
    ((1, 21, 2), 2),
    ((18, 9, 2), 1),
    ((11, 17, 2), 3),
    ((4, 6, 2), 8),
]


@pytest.mark.parametrize(("shape", "radius"), CASES)
def test_value_and_gradient(shape, radius):
    F, S = pair(shape)
    A = naive_field(S, radius)
    R = naive_field(F, radius) - A
    M, C = shape[0] * shape[1], shape[2]
    factors = {
        "raw": 1 / 2,
        "gatys": 1 / (4 * C**2 * M**2),
        "mean_square": 1 / (C**4 * M * window_weights(radius).sum() ** 2),
        "relative": 1 / (A**2).sum(),
    }
    target = losses.local_gram_target(S, radius)
    for normalization, factor in factors.items():
        value, dF = losses.local_gram(F, target, normalization)
        assert value == pytest.approx(factor * (R**2).sum(), rel=1e-11), normalization
        expected = naive_gradient(F, R, radius, factor)
        np.testing.assert_allclose(dF, expected, rtol=0, atol=1e-11 * abs(expected).max())


@pytest.mark.parametrize("radius", [0, 2])
def test_the_gradient_is_the_derivative(radius):
    F, S = pair((9, 10, 3))
    target = losses.local_gram_target(S, radius)
    assert check_gradient(lambda x: losses.local_gram(x, target, "relative"), F) < 1e-7


def test_at_radius_zero_it_is_the_closed_form():
    F, S = pair((6, 5, 4))
    ff, fa, aa = ((a * b).sum(-1) for a, b in ((F, F), (F, S), (S, S)))
    value, dF = losses.local_gram(F, losses.local_gram_target(S, 0), "raw")
    assert value == pytest.approx((ff**2 - 2 * fa**2 + aa**2).sum() / 2, rel=1e-12)
    np.testing.assert_allclose(dF, 2 * (ff[..., None] * F - fa[..., None] * S), rtol=0, atol=1e-12)


def test_the_window_and_its_factors():
    assert window_weights(0).tolist() == [[1.0]]
    assert window_weights(1).tolist() == [[1 / 3, 1 / 2, 1 / 3], [1 / 2, 1.0, 1 / 2], [1 / 3, 1 / 2, 1 / 3]]
    for radius in (0, 1, 8):
        values, factors = window_factors(radius)
        assert len(values) <= radius + 1
        np.testing.assert_allclose((factors.T * values) @ factors, window_weights(radius), rtol=0, atol=2e-15)
    shifted = along_axis(np.array([[1.0, 2.0, 3.0]]), np.arange(4), np.arange(1, 3))
    assert shifted.tolist() == [[[1, 0], [2, 1], [3, 2], [0, 3]]]


@pytest.mark.parametrize("radius", [0, 3])
def test_zero_at_the_style_and_one_without_any(radius):
    for dtype in ("float32", "float64"):
        F, _ = pair((11, 9, 3), dtype)
        target = losses.local_gram_target(F, radius)
        value, dF = losses.local_gram(F, target, "relative")
        assert value == 0 and not dF.any()
        value, dF = losses.local_gram(np.zeros_like(F), target, "relative")
        assert value == pytest.approx(1, rel=1e-6) and not dF.any()


def test_a_wider_window_forgives_a_larger_move():
    S, _ = pair((16, 16, 3))
    moved = np.roll(S, 2, axis=1)
    near, wide = (losses.local_gram(moved, losses.local_gram_target(S, radius), "relative")[0] for radius in (0, 8))
    assert wide < near / 3


@pytest.mark.parametrize("radius", [0, 3])
def test_float32_is_close_to_float64_near_the_style_too(radius):
    S, away = pair((20, 17, 8))
    S = abs(S).astype("float32") * 1000
    F = S + (away * 0.1).astype("float32")  # a ten-thousandth away: squares of Grams agree to eight digits
    value, dF = losses.local_gram(F, losses.local_gram_target(S, radius))
    wide = losses.local_gram_target(S.astype("float64"), radius)
    expected, dexpected = losses.local_gram(F.astype("float64"), wide)
    assert dF.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-4 * abs(dexpected).max())


def test_the_result_is_the_same_for_any_number_of_workers():
    F, S = pair((33, 41, 4), "float32")
    target = losses.local_gram_target(S, 2)
    value, dF = losses.local_gram(F, target)
    for workers in (2, 3):
        other, dother = losses.local_gram(F, target, workers=workers)
        assert other == value
        np.testing.assert_array_equal(dother, dF)


@pytest.mark.parametrize("radius", [0, 2])
def test_memory_order_does_not_matter(radius):
    F, S = pair((9, 12, 3))
    value, dF = losses.local_gram(F, losses.local_gram_target(S, radius))
    for view, style in zip(non_contiguous(F), non_contiguous(S), strict=True):
        other, dother = losses.local_gram(view, losses.local_gram_target(style, radius))
        assert other == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(dother, dF, rtol=0, atol=1e-14)


def test_no_field_of_matrices_is_ever_in_memory():
    F, S = pair((32, 32, 64), "float32")
    target = losses.local_gram_target(S, 1)
    tracemalloc.start()
    losses.local_gram(F, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * F.nbytes < F.nbytes * 64 / 10  # one field of 64×64 matrices takes 64 times the features


def test_what_does_not_fit_is_refused():
    F, S = pair((6, 5, 3))
    target = losses.local_gram_target(S, 1)
    with pytest.raises(ValueError, match=r"the same size: their features are \(6, 4, 3\) and \(6, 5, 3\); resize"):
        losses.local_gram(F[:, :4], target)
    for radius in (-1, 1.0, "2", True):
        with pytest.raises(ValueError, match=f"a whole number of positions, 0 or more, got {radius!r}"):
            losses.local_gram_target(S, radius)
    with pytest.raises(ValueError, match=r"needs features H×W×C of one style image, got shape \(1, 6, 5, 3\)"):
        losses.local_gram_target(S[None], 1)
    with pytest.raises(ValueError, match="must be one of raw, gatys, mean_square, relative, got 'mean'"):
        losses.local_gram(F, target, "mean")
    with pytest.raises(ValueError, match="local style loss needs a target that is not zero everywhere, and finite"):
        losses.local_gram(F, losses.local_gram_target(np.zeros_like(S), 1), "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.local_gram(F.astype("float32"), target)
