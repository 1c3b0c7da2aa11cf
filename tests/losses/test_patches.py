"""Patches: the search against all pairs by loops, the loss against its sum over patches, and what is refused."""

import sys

import numpy as np
import pytest
from arrays import non_contiguous

from vggnumpy import losses
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient

NORMALIZATIONS = ("raw", "mean_square", "relative")
PATCHES = sys.modules["vggnumpy.losses.patches"]


def example(dtype="float64", shape=(6, 5), style=(4, 7), channels=3, seed=41):
    """Return features and maps of image and style, as they come from a rectifier or not."""
    rng = np.random.default_rng(seed)
    F, S = rng.standard_normal((*shape, channels)), rng.standard_normal((*style, channels))
    maps, style_maps = rng.uniform(0, 1, (*shape, 2)), rng.uniform(0, 1, (*style, 2))
    arrays = [array.astype(dtype) for array in (F, maps, S, style_maps)]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def patches_of(array):
    height, width = array.shape[0] - 2, array.shape[1] - 2
    return {(y, x): array[y : y + 3, x : x + 3].reshape(-1) for y in range(height) for x in range(width)}


def naive_index(F, maps, S, style_maps, map_weight):
    """Every patch with every patch, equation (1)."""
    if maps is not None:
        factor = np.sqrt(map_weight * (S**2).sum() / (style_maps**2).sum())
        F, S = np.concatenate([F, factor * maps], axis=2), np.concatenate([S, factor * style_maps], axis=2)
    style = patches_of(S)
    index = np.zeros((F.shape[0] - 2, F.shape[1] - 2), int)
    for at, patch in patches_of(F).items():
        y, x = max(style, key=lambda j: patch @ style[j] / np.linalg.norm(style[j]))
        index[at] = y * S.shape[1] + x
    return index


def naive_value(F, S, index):
    """The sum over patches, equation (2)."""
    style = patches_of(S)
    return sum(((p - style[divmod(index[i], S.shape[1])]) ** 2).sum() for i, p in patches_of(F).items())


@pytest.mark.parametrize("weight", [None, 0, 0.5, 10])
@pytest.mark.parametrize("blocks", [(1 << 12, 1 << 19), (1, 1)], ids=["one block", "many blocks"])
@pytest.mark.parametrize(
    ("shape", "style"), [((6, 5), (4, 7)), ((3, 3), (3, 3)), ((3, 37), (25, 3)), ((4, 40), (37, 5))]
)
def test_the_nearest_patch_of_all(shape, style, blocks, weight, monkeypatch):
    monkeypatch.setattr(PATCHES, "_STRIP", blocks[0])
    monkeypatch.setattr(PATCHES, "_BLOCK", blocks[1])
    F, maps, S, style_maps = example("float64", shape, style)
    if weight is None:
        found = losses.patches_match(F, losses.patches_target(S))
        expected = naive_index(F, None, S, None, 0)
    else:
        found = losses.patches_match(F, losses.patches_target(S, style_maps, weight), maps)
        expected = naive_index(F, maps, S, style_maps, weight)
    np.testing.assert_array_equal(found.index, expected)


def test_of_equals_the_first_counts_and_rows_do_not_run_on(monkeypatch):
    S = np.zeros((40, 5, 1))
    S[20, 3], S[1, 1], S[30, 1] = 1, 1, 1
    found = losses.patches_match(-np.ones((3, 3, 1)), losses.patches_target(S))
    assert found.index[0, 0] == 2  # the first patch of zeros: others correlate negatively, and rows have three patches
    monkeypatch.setattr(PATCHES, "_STRIP", 1)
    found = losses.patches_match(np.ones((3, 3, 1)), losses.patches_target(np.ones((40, 6, 1))))
    assert found.index[0, 0] == 0


def test_strips_with_two_rows_more_are_searched_apart():
    F, maps, S, style_maps = example(shape=(9, 5))
    target = losses.patches_target(S, style_maps)
    whole = losses.patches_match(F, target, maps).index
    strips = [slice(0, 3), slice(3, 7)]
    parts = [losses.patches_match(F[s.start : s.stop + 2], target, maps[s.start : s.stop + 2]).index for s in strips]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("shape", [(6, 5), (3, 3), (3, 8), (4, 4)])
def test_value_and_gradient(shape, normalization):
    F, _, S, _ = example(shape=shape)
    target = losses.patches_target(S)
    matches = losses.patches_match(F, target)
    value, dF = losses.patches(F, target, matches=matches, normalization=normalization)
    count = (shape[0] - 2) * (shape[1] - 2)
    energy = np.mean([(patch**2).sum() for patch in patches_of(S).values()])
    factor = {"raw": 1, "mean_square": 1 / (count * 27), "relative": 1 / (count * energy)}[normalization]
    assert value == pytest.approx(factor * naive_value(F, S, matches.index), rel=1e-12) and isinstance(value, float)
    assert dF.shape == F.shape
    other = F + 0.3  # the matches stay
    assert losses.patches(other, target, matches=matches, normalization=normalization)[0] == pytest.approx(
        factor * naive_value(other, S, matches.index), rel=1e-12
    )
    assert check_gradient(lambda x: losses.patches(x, target, None, matches, normalization), F) < 1e-8
    searched = losses.patches(F, target, normalization=normalization)
    assert searched[0] == value
    np.testing.assert_array_equal(searched[1], dF)


def test_the_style_itself_costs_nothing():
    S = example()[2]
    target = losses.patches_target(S)
    value, dF = losses.patches(S, target, normalization="relative")
    assert value == pytest.approx(0, abs=1e-30) and abs(dF).max() < 1e-15
    big = np.tile(S, (2, 1, 1))[:6]
    found = losses.patches_match(big, target)
    np.testing.assert_array_equal(found.index[:2, :5].ravel(), [0, 1, 2, 3, 4, 7, 8, 9, 10, 11])


def test_relative_is_about_one_where_nothing_is():
    rng = np.random.default_rng(42)
    S = rng.exponential(1, (30, 30, 4))
    value, dF = losses.patches(np.zeros((20, 20, 4)), losses.patches_target(S), normalization="relative")
    assert value == pytest.approx(1, rel=0.5) and (dF <= 0).all()


def test_maps_keep_regions_apart():
    F, _, S, _ = example(shape=(8, 8), style=(9, 12))
    maps, style_maps = np.zeros((8, 8, 2)), np.zeros((9, 12, 2))
    maps[:, :4, 0], maps[:, 4:, 1] = 1, 1
    style_maps[:, :6, 0], style_maps[:, 6:, 1] = 1, 1
    heavy = losses.patches_match(F, losses.patches_target(S, style_maps, 1000), maps).index % 12
    assert (heavy[:, :2] <= 3).all() and (heavy[:, 4:] >= 6).all()
    light = losses.patches_match(F, losses.patches_target(S, style_maps, 0), maps)
    np.testing.assert_array_equal(light.index, losses.patches_match(F, losses.patches_target(S)).index)


def test_the_maps_share_is_the_same_at_every_scale_of_the_features():
    F, maps, S, style_maps = example()
    expected = losses.patches_match(F, losses.patches_target(S, style_maps), maps).index
    scaled = losses.patches_match(100 * F, losses.patches_target(100 * S, style_maps * 7), maps * 7)
    np.testing.assert_array_equal(scaled.index, expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_float32_is_close_to_float64(normalization):
    def run(dtype):
        F, maps, S, style_maps = example(dtype, (11, 9), (12, 10))
        target = losses.patches_target(S, style_maps)
        return losses.patches_match(F, target, maps), losses.patches(F, target, maps, normalization=normalization)

    (matches, (value, dF)), (expected_matches, (expected, dexpected)) = run("float32"), run("float64")
    np.testing.assert_array_equal(matches.index, expected_matches.index)
    assert dF.dtype == matches.mean.dtype == "float32" and isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(dF, dexpected, rtol=0, atol=1e-5 * abs(dexpected).max())


def test_memory_order_does_not_matter():
    F, maps, S, style_maps = example()
    value, dF = losses.patches(F, losses.patches_target(S, style_maps), maps)
    for views in zip(*(non_contiguous(array) for array in (F, maps, S, style_maps)), strict=True):
        other, dother = losses.patches(views[0], losses.patches_target(views[2], views[3]), views[1])
        assert other == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(dother, dF, rtol=0, atol=1e-13)


def test_a_patch_of_zeros_is_matched_by_nothing_but_breaks_nothing():
    F, _, S, _ = example()
    S = S.copy()
    S[:3, :3] = 0
    found = losses.patches_match(F, losses.patches_target(S))
    assert np.isfinite(found.mean).all() and found.index.min() >= 0
    value, dF = losses.patches(F, losses.patches_target(np.zeros_like(S)))
    assert value == pytest.approx((F**2 * losses.patches_match(F, losses.patches_target(S)).count).sum())
    assert np.isfinite(dF).all()


def test_what_does_not_fit_is_refused():
    F, maps, S, style_maps = example()
    target, mapped = losses.patches_target(S), losses.patches_target(S, style_maps)
    with pytest.raises(
        InputError, match=r"at least 3×3 positions, got \(2, 5, 3\) for the image: use a shallower layer"
    ):
        losses.patches(F[:2], target)
    with pytest.raises(InputError, match=r"at least 3×3 positions, got \(4, 2, 3\) for the style"):
        losses.patches_target(S[:, :2])
    with pytest.raises(
        InputError, match="semantic map of the image must be H×W×D at the size of its features, 6×5, got"
    ):
        losses.patches(F, mapped, maps[1:])
    with pytest.raises(
        InputError, match="semantic map of the style must be H×W×D at the size of its features, 4×7, got"
    ):
        losses.patches_target(S, maps)
    with pytest.raises(InputError, match="same channels, one for each region, got 0 for the image and 2 for the style"):
        losses.patches(F, mapped)
    with pytest.raises(InputError, match="got 2 for the image and 0 for the style"):
        losses.patches(F, target, maps)
    with pytest.raises(InputError, match="the style's semantic maps must hold something"):
        losses.patches_target(S, 0 * style_maps)
    for weight in (-1, float("inf"), float("nan")):
        with pytest.raises(InputError, match="weight of the semantic maps must be a number of at least 0"):
            losses.patches_target(S, style_maps, weight)
    with pytest.raises(InputError, match="the relative patch loss needs a target that is not zero everywhere"):
        losses.patches(F, losses.patches_target(0 * S), normalization="relative")
    with pytest.raises(ValueError, match="the image has 2 channels and the style 3"):
        losses.patches(F[..., :2], target)
    with pytest.raises(ValueError, match=r"the matches are those of features \(6, 5, 3\), got \(5, 5, 3\)"):
        losses.patches(F[1:], target, matches=losses.patches_match(F, target))
    with pytest.raises(ValueError, match="normalization must be one of raw, mean_square, relative, got 'gatys'"):
        losses.patches(F, target, normalization="gatys")
    for call in (losses.patches, losses.patches_match):
        with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
            call(F.astype("float32"), target)
    with pytest.raises(TypeError, match="got a mixture of float32 and float64"):
        losses.patches_target(S, style_maps.astype("float32"))
