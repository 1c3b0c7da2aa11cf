"""Spatial style: self-convolution and autocorrelation against sums, what each knows of places, and their bad inputs."""

import sys

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")
LOSSES = {"self_convolution": losses.self_convolution, "autocorrelation": losses.autocorrelation}
MAPS = {"self_convolution": losses.self_convolution_map, "autocorrelation": losses.autocorrelation_map}


def pair(shape, dtype="float64", seed=310):
    rng = np.random.default_rng(seed)
    return frozen(rng, shape, dtype), frozen(rng, shape, dtype)


def naive_map(name, F):
    """Equations (1) and (2) of the module, product by product."""
    height, width, channels = F.shape
    out = np.zeros((2 * height - 1, 2 * width - 1, channels))
    for y, x, v, u in np.ndindex(height, width, height, width):
        at = (y + v, x + u) if name == "self_convolution" else (v - y + height - 1, u - x + width - 1)
        out[at] += F[y, x] * F[v, u]
    return out


def naive_gradient(name, F, R, factor):
    """Equations (4) and (5): valid correlation, and valid convolution, of R with F."""
    height, width, _ = F.shape
    out = np.zeros(F.shape)
    for y, x, v, u in np.ndindex(height, width, height, width):
        at = (y + v, x + u) if name == "self_convolution" else (y - v + height - 1, x - u + width - 1)
        out[y, x] += 4 * factor * R[at] * F[v, u]
    return out


SHAPES = [(1, 1, 2), (4, 7, 3), (6, 1, 2), (5, 5, 1), (3, 4, 2)]  # transforms of 15, 1, 9 and 8 columns


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
def test_the_maps_are_the_sums(name, shape):
    F, _ = pair(shape)
    np.testing.assert_allclose(MAPS[name](F), naive_map(name, F), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_value_and_gradient(normalization, name, shape):
    F, S = pair(shape)
    A = naive_map(name, S)
    R = naive_map(name, F) - A
    C, M = shape[2], shape[0] * shape[1]
    factor = {
        "raw": 1 / 2,
        "gatys": 1 / (4 * C**2 * M**2),
        "mean_square": 1 / (A.size * M**2),
        "relative": 1 / (A**2).sum(),
    }[normalization]
    value, dF = LOSSES[name](F, losses.self_convolution_target(S), normalization)
    assert value == pytest.approx(factor * (R**2).sum(), rel=1e-11)
    expected = naive_gradient(name, F, R, factor)
    np.testing.assert_allclose(dF, expected, rtol=0, atol=1e-11 * abs(expected).max())


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_the_derivative(name):
    F, S = pair((6, 5, 3))
    target = losses.self_convolution_target(S)
    assert check_gradient(lambda x: LOSSES[name](x, target, "relative"), F) < 1e-7


@pytest.mark.parametrize("name", LOSSES)
def test_zero_at_the_style_and_one_without_any(name):
    for dtype in ("float32", "float64"):
        F, _ = pair((6, 5, 3), dtype)
        target = losses.self_convolution_target(F)
        value, dF = LOSSES[name](F, target, "relative")
        assert value == 0 and not dF.any()
        value, dF = LOSSES[name](np.zeros_like(F), target, "relative")
        assert value == pytest.approx(1, rel=1e-6) and not dF.any()


def framed(blob, top, left):
    image = np.zeros((12, 11, 2))
    image[top : top + blob.shape[0], left : left + blob.shape[1]] = blob
    return image


def test_self_convolution_knows_the_place_and_autocorrelation_does_not():
    blob, _ = pair((4, 3, 2))
    target = losses.self_convolution_target(framed(blob, 1, 1))
    moved = framed(blob, 7, 6)
    assert losses.autocorrelation(moved, target, "relative")[0] < 1e-24
    assert losses.self_convolution(moved, target, "relative")[0] > 1
    turned = framed(blob, 1, 1)[::-1, ::-1]
    assert losses.autocorrelation(turned, target, "relative")[0] < 1e-24
    assert losses.self_convolution(turned, target, "relative")[0] > 1


def test_no_gram_matrix_tells_a_picture_from_its_shuffled_positions_but_both_of_these_do():
    S, _ = pair((6, 5, 3))
    shuffled = np.random.default_rng(1).permutation(S.reshape(-1, 3)).reshape(S.shape)
    assert losses.gram(shuffled, losses.gram_statistics(S).matrix)[0] < 1e-24
    for loss in LOSSES.values():
        assert loss(shuffled, losses.self_convolution_target(S), "relative")[0] > 0.1


@pytest.mark.parametrize("name", LOSSES)
def test_float32_is_close_to_float64_near_the_style_too(name):
    S, away = pair((24, 17, 4))
    S = abs(S).astype("float32") * 1000  # as large as features become, and of one sign as after a rectifier
    F = S + (away * 0.1).astype("float32")  # a ten-thousandth away
    value, dF = LOSSES[name](F, losses.self_convolution_target(S))
    wide = losses.self_convolution_target(S.astype("float64"))
    expected, dexpected = LOSSES[name](F.astype("float64"), wide)
    assert dF.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-3 * abs(dexpected).max())


@pytest.mark.parametrize("name", LOSSES)
def test_blocks_of_channels_and_workers_change_nothing(monkeypatch, name):
    F, S = pair((6, 5, 7))
    whole = LOSSES[name](F, losses.self_convolution_target(S))
    out = MAPS[name](F)
    monkeypatch.setattr(sys.modules["vggnumpy.losses.self_convolution"], "BLOCK_BYTES", 2500)  # two channels
    target = losses.self_convolution_target(S, workers=2)
    value, dF = LOSSES[name](F, target, workers=2)
    assert value == pytest.approx(whole[0], rel=1e-14)
    np.testing.assert_array_equal(dF, whole[1])
    np.testing.assert_array_equal(MAPS[name](F, workers=2), out)


@pytest.mark.parametrize("name", LOSSES)
def test_memory_order_does_not_matter(name):
    F, S = pair((6, 8, 3))
    value, dF = LOSSES[name](F, losses.self_convolution_target(S))
    for view, style in zip(non_contiguous(F), non_contiguous(S), strict=True):
        other, dother = LOSSES[name](view, losses.self_convolution_target(style))
        assert other == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(dother, dF, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_fit_is_refused(name):
    F, S = pair((6, 5, 3))
    target = losses.self_convolution_target(S)
    with pytest.raises(ValueError, match=r"the same size: their features are \(6, 4, 3\) and \(6, 5, 3\); resize"):
        LOSSES[name](F[:, :4], target)
    for reader in (losses.self_convolution_target, MAPS[name]):
        with pytest.raises(ValueError, match=r"needs features X×Y×C of one image, got shape \(2, 6, 5, 3\)"):
            reader(np.stack([F, F]))
    with pytest.raises(ValueError, match="must be one of raw, gatys, mean_square, relative, got 'mean'"):
        LOSSES[name](F, target, "mean")
    with pytest.raises(ValueError, match="spatial style loss needs a target that is not zero everywhere, and finite"):
        LOSSES[name](F, losses.self_convolution_target(np.zeros_like(S)), "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        LOSSES[name](F.astype("float32"), target)
