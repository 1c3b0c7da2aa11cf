"""Style–content covariation against the paper's tensor of local Grams, its parts, and its bad inputs."""

import sys

import numpy as np
import pytest
from arrays import frozen, non_contiguous

from vggnumpy import losses
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")


def problem(shape=(5, 7, 3), content_shape=(5, 7, 4), radius=1, count=2, dtype="float64"):
    """Return F, content, target and what the target was made of."""
    rng = np.random.default_rng(330)
    F, content = frozen(rng, shape, dtype), frozen(rng, content_shape, dtype)
    S, content_style = frozen(rng, (4, 6, shape[2]), dtype), frozen(rng, (3, 5, content_shape[2]), dtype)
    V = losses.content_components(content, count)
    return F, content, losses.covariation_target(S, content_style, V, radius), (S, content_style, V)


def hat(size, content_size):
    """The responses around a place, weighted by a triangle as wide as the coarser grid's spacing."""
    spacing = max(1 / size, 1 / content_size)
    weights = [
        [max(0.0, 1 - abs((y + 0.5) / size - (q + 0.5) / content_size) / spacing) for q in range(content_size)]
        for y in range(size)
    ]
    return np.array([np.array(row) / sum(row) for row in weights])


def naive_tensor(F, content, V, radius):
    """Equation (1): Σ_p F^c_k(p) G_ij(p) with the local Gram matrices G(p), K×C×C."""
    height, width, channels = F.shape
    rows, columns = hat(height, content.shape[0]), hat(width, content.shape[1])
    responses = np.einsum("yq,xr,qrc,ck->yxk", rows, columns, content, V)
    out = np.zeros((V.shape[1], channels, channels))
    for y, x, v, u in np.ndindex(height, width, height, width):
        dy, dx = v - y, u - x
        if max(abs(dy), abs(dx)) <= radius:
            out += responses[y, x][:, None, None] * np.outer(F[v, u], F[v, u]) / (1 + dx**2 + dy**2)
    return out


CONTENT_SHAPES = [(5, 7, 4), (3, 4, 4), (1, 1, 4), (9, 13, 4), (10, 14, 4)]


@pytest.mark.parametrize("content_shape", CONTENT_SHAPES)
@pytest.mark.parametrize("radius", [0, 1, 9])
def test_value(radius, content_shape):
    F, content, target, (S, content_style, V) = problem(content_shape=content_shape, radius=radius)
    T, T_style = naive_tensor(F, content, V, radius), naive_tensor(S, content_style, V, radius)
    np.testing.assert_allclose(target.tensor, T_style, rtol=0, atol=1e-12)
    M, M_a, C, K = 35, 24, 3, 2
    squares = ((T / M - T_style / M_a) ** 2).sum()
    factors = {
        "raw": M**2 / 2,
        "gatys": 1 / (4 * C**2),
        "mean_square": 1 / (C**4 * K),
        "relative": M_a**2 / (T_style**2).sum(),
    }
    for normalization, factor in factors.items():
        value, dF, dcontent = losses.covariation(F, content, target, normalization)
        assert value == pytest.approx(factor * squares, rel=1e-11), normalization
        assert dF.shape == F.shape and dcontent.shape == content.shape


@pytest.mark.parametrize("content_shape", CONTENT_SHAPES)
def test_both_gradients_are_the_derivatives(content_shape):
    F, content, target, _ = problem(content_shape=content_shape)
    assert check_gradient(lambda x: losses.covariation(x, content, target)[:2], F) < 1e-7
    assert check_gradient(lambda x: losses.covariation(F, x, target)[::2], content) < 1e-7


def test_asymmetric_targets():
    F, content, target, _ = problem()
    target = target._replace(tensor=target.tensor + 9 * np.random.default_rng(1).standard_normal(target.tensor.shape))
    assert check_gradient(lambda x: losses.covariation(x, content, target)[:2], F) < 1e-7
    assert check_gradient(lambda x: losses.covariation(F, x, target)[::2], content) < 1e-7


def test_with_a_content_of_ones_it_is_the_gram_loss():
    F, _, _, (S, _, _) = problem()
    ones = np.ones((1, 1, 1))
    target = losses.covariation_target(S, ones, ones[0])
    A, positions = losses.gram_statistics(S)
    for normalization in NORMALIZATIONS:
        value, dF, _ = losses.covariation(F, ones, target, normalization)
        expected, dexpected = losses.gram(F, A, positions, normalization)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-13 * abs(dexpected).max())


def test_all_components_give_the_paper_s_tensor_of_every_content_channel():
    F, content, target, (S, content_style, _) = problem(count=4)
    plain = losses.covariation_target(S, content_style, np.eye(4), radius=1)
    value, dF, dcontent = losses.covariation(F, content, target)
    expected, dF_expected, dcontent_expected = losses.covariation(F, content, plain)
    assert value == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(dF, dF_expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dcontent, dcontent_expected, rtol=0, atol=1e-12)


def test_it_follows_the_content_and_not_the_place():
    rng = np.random.default_rng(331)
    sky, snow, meadow = (np.abs(rng.standard_normal(3)) for _ in range(3))
    upper = np.zeros((8, 6, 2))
    upper[:4, :, 0] = upper[4:, :, 1] = 1  # sky above ground
    style = np.where(upper[..., :1], sky, snow)
    target = losses.covariation_target(style, upper, np.eye(2))
    turned = upper[::-1]  # this image has its ground above
    right, wrong = np.where(turned[..., :1], sky, snow), np.where(turned[..., :1], snow, sky)
    assert losses.covariation(right, turned, target, "relative")[0] < 1e-24
    assert losses.covariation(wrong, turned, target, "relative")[0] > 0.1
    assert losses.gram(wrong, losses.gram_statistics(style).matrix, normalization="relative")[0] < 1e-24
    assert losses.covariation(np.where(turned[..., :1], sky, meadow), turned, target, "relative")[0] > 1e-3


def test_components_are_the_largest_directions():
    rng = np.random.default_rng(332)
    P = abs(rng.standard_normal((6, 5, 4))) * (1, 10, 3, 0.1)
    V = losses.content_components(P, 3)
    np.testing.assert_allclose(V.T @ V, np.eye(3), rtol=0, atol=1e-12)
    _, sizes, axes = np.linalg.svd(P.reshape(-1, 4), full_matrices=False)
    np.testing.assert_allclose(abs(axes[:3] @ V), np.eye(3), rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(P.reshape(-1, 4) @ V, axis=0), sizes[:3], rtol=1e-12)
    assert (P.reshape(-1, 4).sum(0) @ V > 0).all()
    assert losses.content_components(P.astype("float32"), 1).dtype == "float32"


@pytest.mark.parametrize("radius", [0, 2])
@pytest.mark.parametrize("content_shape", CONTENT_SHAPES)
def test_maps_and_their_transpose(content_shape, radius):
    _, content, _, (_, _, V) = problem(content_shape=content_shape)
    phi = losses.covariation_maps(content, V, (5, 7), radius)
    u = np.random.default_rng(2).standard_normal(phi.shape)
    back = losses.covariation_maps_cotangent(u, V, content_shape, radius)
    assert (phi * u).sum() == pytest.approx((content * back).sum(), rel=1e-12)
    if content_shape[:2] == (5, 7) and radius == 0:
        np.testing.assert_allclose(phi, content @ V, rtol=0, atol=1e-14)


def test_blocks_and_strips_add_up(monkeypatch):
    F, content, target, (_, _, V) = problem()
    value, dF, dcontent = losses.covariation(F, content, target)
    monkeypatch.setattr(sys.modules["vggnumpy.losses.covariation"], "_BLOCK", 4)
    for a, b in zip(losses.covariation(F, content, target), (value, dF, dcontent), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    phi = losses.covariation_maps(content, V, F.shape[:2], 1)
    parts = [losses.covariation_statistics(F[rows], phi[rows]) for rows in (slice(0, 2), slice(2, 5))]
    T, M = sum(part.tensor for part in parts), sum(part.positions for part in parts)
    other, S = losses.covariation_value(T, target.tensor, M, target.positions)
    assert other == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(losses.covariation_cotangent(F[2:], phi[2:], S)[0], dF[2:], rtol=0, atol=1e-12)


def test_zero_at_the_style_and_one_without_any():
    F, content, _, (_, _, V) = problem()
    target = losses.covariation_target(F, content, V, 1)
    value, dF, dcontent = losses.covariation(F, content, target, "relative")
    assert value == 0 and not dF.any() and not dcontent.any()
    assert losses.covariation(np.zeros_like(F), content, target, "relative")[0] == pytest.approx(1, rel=1e-12)
    assert losses.covariation(F, np.zeros_like(content), target, "relative")[0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_float32_is_close_to_float64(normalization):
    F, content, target, _ = problem((12, 11, 8), (6, 6, 4), 2, dtype="float32")
    value, *gradients = losses.covariation(F, content, target, normalization)
    wide = target._replace(tensor=target.tensor.astype("float64"), components=target.components.astype("float64"))
    expected, *others = losses.covariation(F.astype("float64"), content.astype("float64"), wide, normalization)
    assert isinstance(value, float) and value == pytest.approx(expected, rel=1e-5)
    for gradient, other in zip(gradients, others, strict=True):
        assert gradient.dtype == "float32"
        np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-5 * abs(other).max())


def test_memory_order_does_not_matter():
    F, content, target, _ = problem()
    expected = losses.covariation(F, content, target)
    for view, content_view in zip(non_contiguous(F), non_contiguous(content), strict=True):
        for a, b in zip(losses.covariation(view, content_view, target), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_what_does_not_fit_is_refused():
    F, content, target, (S, content_style, V) = problem()
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"from 1 to 4 content components can be made of 4 channels, got {count}"):
            losses.content_components(content, count)
    with pytest.raises(ValueError, match=r"were made of 4 channels and need features H×W×4 .* got shape \(5, 7, 3\)"):
        losses.covariation(F, content[..., :3], target)
    with pytest.raises(ValueError, match="made of 3 style channels, the image's features have 2; take both from"):
        losses.covariation(F[..., :2], content, target)
    for make in (lambda F: losses.covariation(F, content, target), lambda F: losses.covariation_target(F, content, V)):
        with pytest.raises(ValueError, match=r"needs style features H×W×C of one image, got shape \(1, 5, 7, 3\)"):
            make(F[None])
    with pytest.raises(ValueError, match="a whole number of positions, 0 or more, got -1"):
        losses.covariation_target(S, content_style, V, -1)
    with pytest.raises(ValueError, match=r"\(5, 7, 3\) and content maps \(5, 6, 2\) differ in positions"):
        losses.covariation_statistics(F, np.zeros((5, 6, 2)))
    with pytest.raises(ValueError, match=r"must both be K×C×C, got \(2, 3, 3\) and \(1, 3, 3\)"):
        losses.covariation_value(target.tensor, target.tensor[:1], 1, 1)
    with pytest.raises(ValueError, match="must be one of raw, gatys, mean_square, relative, got 'mean'"):
        losses.covariation(F, content, target, "mean")
    nothing = losses.covariation_target(np.zeros_like(S), content_style, V)
    with pytest.raises(ValueError, match="covariation loss needs a target that is not zero everywhere, and finite"):
        losses.covariation(F, content, nothing, "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.covariation(F.astype("float32"), content, target)


def test_standardised_content_has_a_constant_and_does_not_know_how_loud_a_channel_is():
    rng = np.random.default_rng(340)
    X = frozen(rng, (6, 8, 5), "float64")
    standard = losses.standardised_content(X)
    assert standard.shape == (6, 8, 6) and np.array_equal(standard[..., 5], np.ones((6, 8)))
    np.testing.assert_allclose(standard[..., :5].mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose((standard[..., :5] ** 2).mean((0, 1)), 1 / 5)
    louder = X * rng.uniform(0.5, 2, 5) + rng.uniform(-3, 3, 5)
    np.testing.assert_allclose(losses.standardised_content(louder), standard, atol=1e-12)
    np.testing.assert_allclose(losses.standardised_content(X.astype("float32")), standard, atol=1e-6)
    dead = X * (1, 0, 1, 1, 1e-5)
    np.testing.assert_array_equal(losses.standardised_content(dead)[..., [1, 4]], 0)
    assert np.array_equal(losses.standardised_content(np.ones((2, 3, 1)))[..., 0], np.zeros((2, 3)))


def test_the_first_component_of_standardised_content_is_the_gram_matrix():
    F, X, _, _ = problem()
    standard = losses.standardised_content(X)
    V = losses.content_components(standard, 3)
    np.testing.assert_allclose(V[:, 0], (0, 0, 0, 0, 1), atol=1e-12)
    target = losses.covariation_target(F, standard, V)
    np.testing.assert_allclose(target.tensor[0], losses.gram_statistics(F).matrix, rtol=1e-12)
    assert all(abs(part).sum() < abs(target.tensor[0]).sum() for part in target.tensor[1:])


def test_standardised_content_is_of_one_image():
    with pytest.raises(ValueError, match=r"content features H×W×C of one image, got shape \(4, 5\)"):
        losses.standardised_content(np.ones((4, 5)))
