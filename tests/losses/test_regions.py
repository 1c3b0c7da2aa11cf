"""The Gram loss region by region: its formula against loops, its gradient for any masks, and what is refused."""

import sys

import numpy as np
import pytest
from arrays import non_contiguous
from planted import wrong

from vggnumpy import losses
from vggnumpy.checks import TOLERANCE
from vggnumpy.checks.regions import region_checks
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("printed", "raw", "gatys", "mean_square", "relative")
REGIONS = sys.modules["vggnumpy.losses.regions"]


def example(dtype="float64", shape=(5, 7), regions=3, channels=4):
    """Return features, soft masks and a target of another size."""
    rng = np.random.default_rng(31)
    F, S = rng.standard_normal((*shape, channels)), rng.standard_normal((9, 4, channels))
    masks, style_masks = rng.uniform(0, 1, (*shape, regions)), rng.uniform(0, 2, (9, 4, regions))
    masks[rng.uniform(size=masks.shape) < 0.3] = 0
    arrays = [array.astype(dtype) for array in (F, masks, S, style_masks)]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def naive(F, masks, S, style_masks, normalization):
    """Equation (1) of the module, number by number."""

    def mean_gram(F, m):
        positions = [(y, x) for y in range(F.shape[0]) for x in range(F.shape[1])]
        N = sum(m[p] for p in positions)
        C = F.shape[2]
        return N, [[sum(m[p] * F[p][i] * F[p][j] for p in positions) / N for j in range(C)] for i in range(C)]

    total, C = 0.0, F.shape[2]
    for k in range(masks.shape[2]):
        N, G = mean_gram(F, masks[..., k])
        _, A = mean_gram(S, style_masks[..., k])
        entries = [(i, j) for i in range(C) for j in range(C)]
        factor = {
            "printed": 1,
            "raw": N**2 / 2,
            "gatys": 1 / (4 * C**2),
            "mean_square": 1 / C**4,
            "relative": 1 / sum(A[i][j] ** 2 for i, j in entries),
        }[normalization]
        share = N / masks.sum() if normalization == "relative" else 1 / masks.shape[2]
        total += share * factor * sum((G[i][j] - A[i][j]) ** 2 for i, j in entries)
    return total


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("shape", "regions", "channels"), [((5, 7), 3, 4), ((1, 3), 1, 2), ((3, 1), 2, 1)])
def test_value_and_gradient(normalization, shape, regions, channels):
    F, masks, S, style_masks = example("float64", shape, regions, channels)
    if shape != (5, 7):
        masks = masks + 0.1
    target = losses.regions_statistics(S, style_masks)
    value, dF = losses.regions(F, target, masks, normalization)
    assert value == pytest.approx(naive(F, masks, S, style_masks, normalization), rel=1e-12)
    assert dF.shape == F.shape and isinstance(value, float)
    assert check_gradient(lambda x: losses.regions(x, target, masks, normalization), F) < 1e-7


@pytest.mark.parametrize("normalization", NORMALIZATIONS[1:])
def test_one_region_that_is_everything_is_the_gram_loss(normalization):
    F, _, S, _ = example()
    ones = np.ones((*F.shape[:2], 1))
    value, dF = losses.regions(F, losses.regions_statistics(S, np.ones((9, 4, 1))), ones, normalization)
    expected, dexpected = losses.gram(F, *losses.gram_statistics(S), normalization)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-13 * abs(dexpected).max())


def test_as_printed_is_gatys_form_without_its_constant():
    F, masks, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    printed, gatys = (losses.regions(F, target, masks, name) for name in ("printed", "gatys"))
    assert printed[0] == pytest.approx(4 * 4**2 * gatys[0], rel=1e-13)
    np.testing.assert_allclose(printed[1], 4 * 4**2 * gatys[1], rtol=1e-12)


def test_style_pulls_at_positions_of_small_and_large_regions_alike():
    rng = np.random.default_rng(5)
    tile = rng.standard_normal((2, 4, 3))
    F, masks = np.concatenate([tile] * 6), np.zeros((12, 4, 2))
    masks[:2, :, 0], masks[2:, :, 1] = 1, 1
    target = losses.regions_statistics(rng.standard_normal((9, 4, 3)), np.ones((9, 4, 2)))
    _, dF = losses.regions(F, target, masks, "relative")
    np.testing.assert_allclose(dF[2:4], dF[:2], rtol=1e-12)
    ones = np.ones((12, 4, 1))
    whole = losses.RegionStatistics(target.matrices[:1], target.weights[:1])
    np.testing.assert_allclose(dF, losses.regions(F, whole, ones, "relative")[1], rtol=1e-12)


def test_a_hard_region_is_its_positions_alone():
    F, _, S, _ = example()
    masks = np.zeros((5, 7, 2))
    masks[:2, :, 0], masks[2:, :, 1] = 1, 1
    found = losses.regions_statistics(F, masks)
    for k, part in enumerate((F[:2], F[2:])):
        G, M = losses.gram_statistics(part)
        np.testing.assert_allclose(found.matrices[k], G, rtol=0, atol=1e-13)
        assert found.weights[k] == M
    target = losses.regions_statistics(S, np.ones((9, 4, 2)))
    changed = F.copy()
    changed[3, 3] += 1
    assert (losses.regions(F, target, masks)[1] != losses.regions(changed, target, masks)[1])[:2].sum() == 0


def test_weights_that_add_up_to_one_share_every_position_fully():
    F = example()[0]
    soft = np.random.default_rng(32).dirichlet((1, 1, 1), (5, 7))
    found = losses.regions_statistics(F, soft)
    np.testing.assert_allclose(found.matrices.sum(axis=0), losses.gram_statistics(F).matrix, rtol=0, atol=1e-12)
    assert found.weights.sum() == pytest.approx(35)
    np.testing.assert_array_equal(found.matrices, found.matrices.transpose(0, 2, 1))


def test_relative_is_zero_for_the_style_and_one_without_any():
    _, _, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    value, dF = losses.regions(S, target, style_masks, "relative")
    assert value == pytest.approx(0, abs=1e-28) and abs(dF).max() < 1e-14
    value, dF = losses.regions(np.zeros_like(S), target, style_masks, "relative")
    assert value == pytest.approx(1, rel=1e-13) and not dF.any()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_strips_add_up_to_the_whole(normalization, monkeypatch):
    F, masks, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    expected, dexpected = losses.regions(F, target, masks, normalization)
    monkeypatch.setattr(REGIONS, "_BLOCK", 3)
    strips = [slice(0, 1), slice(1, 4), slice(4, 5)]
    parts = [losses.regions_statistics(F[rows], masks[rows]) for rows in strips]
    G, N = (sum(part[i] for part in parts) for i in (0, 1))
    value, dG = losses.regions_value(G, target.matrices, N, target.weights, normalization)
    assert value == pytest.approx(expected, rel=1e-12)
    dF = np.concatenate([losses.regions_cotangent(F[rows], masks[rows], dG) for rows in strips])
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-13 * abs(dexpected).max())
    assert check_gradient(lambda x: losses.regions_value(x, target[0], N, target[1], normalization), G) < 1e-7


def test_a_batch_is_one_map_of_all_its_positions():
    F, masks, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    pair, pair_masks = np.stack([F, F + 1]), np.stack([masks, masks[::-1]])
    value, dF = losses.regions(pair, target, pair_masks)
    expected, dexpected = losses.regions(np.concatenate(pair), target, np.concatenate(pair_masks))
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(dF, dexpected.reshape(pair.shape), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_float32_is_close_to_float64(normalization):
    def run(dtype):
        F, masks, S, style_masks = example(dtype, (12, 11))
        return losses.regions(F, losses.regions_statistics(S, style_masks), masks, normalization)

    (value, dF), (expected, dexpected) = run("float32"), run("float64")
    assert dF.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-5 * abs(dexpected).max())


def test_memory_order_does_not_matter():
    F, masks, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    value, dF = losses.regions(F, target, masks)
    for view, mask_view in zip(non_contiguous(F), non_contiguous(masks), strict=True):
        other, dother = losses.regions(view, target, mask_view)
        assert other == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(dother, dF, rtol=0, atol=1e-14)


def test_what_does_not_fit_is_refused():
    F, masks, S, style_masks = example()
    target = losses.regions_statistics(S, style_masks)
    for misfit in (masks[:4], masks[0], masks[..., :0], masks[None]):
        with pytest.raises(ValueError, match=r"masks must be …×K with the positions of the features, \(5, 7\), got"):
            losses.regions(F, target, misfit)
    with pytest.raises(ValueError, match="must have the same regions and channels"):
        losses.regions(F, target, masks[..., :2])
    with pytest.raises(ValueError, match="normalization must be one of printed, raw, gatys, mean_square, relative"):
        losses.regions(F, target, masks, "mean")
    empty = masks.copy()
    empty[..., 1] = 0
    with pytest.raises(InputError, match="region 2 of 3 has the weight 0 in the features of the image"):
        losses.regions(F, target, empty)
    with pytest.raises(InputError, match="region 3 of 3 has the weight 0 in the features of the target"):
        losses.regions(F, target._replace(weights=np.array([1.0, 2.0, 0.0])), masks)
    with pytest.raises(InputError, match="loss of region 1 needs a target that is not zero everywhere"):
        losses.regions(F, target._replace(matrices=0 * target.matrices), masks, "relative")
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.regions(F, target, masks.astype("float32"))
    with pytest.raises(TypeError, match="works on float32 or float64 arrays, got bool"):
        losses.regions(F, target, masks > 0)


def failed():
    return [name for name, measure in region_checks() if not measure() <= TOLERANCE]


def test_every_check_passes():
    assert failed() == []


@pytest.mark.parametrize(
    ("module", "name", "component", "start"),
    [
        (REGIONS, "regions_value", 1, "regions"),
        (REGIONS, "regions_cotangent", None, "regions"),
        (REGIONS, "regions_value", 0, "regions"),
        (losses, "patches", 1, "patches"),
        (losses, "patches", 0, "patches"),
    ],
)
def test_one_per_cent_in_any_piece_fails_every_check_of_it(monkeypatch, module, name, component, start):
    monkeypatch.setattr(module, name, wrong(getattr(module, name), component))
    assert failed() == [name for name, _ in region_checks() if name.startswith(start)]


def test_the_gradient_of_a_symmetric_target_fails_for_another(monkeypatch):
    def twice(F, masks, S):
        return 2 * np.einsum("...k,...c,kcd->...d", masks, F, S)

    monkeypatch.setattr(REGIONS, "regions_cotangent", twice)
    assert failed() == [name for name, _ in region_checks() if "regions" in name and "asymmetric" in name]
