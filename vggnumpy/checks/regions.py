"""The checks of the losses that know of regions and patches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vggnumpy import losses
from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient


def region_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of regions and patches."""
    yield from _region_gram_checks()
    yield from _patch_checks()


def _region_gram_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(21)
    F, S = rng.standard_normal((2, 5, 4, 3)), rng.standard_normal((7, 6, 3))
    style_masks = rng.uniform(0, 1, (7, 6, 3))
    A, target_weights = target = losses.regions_statistics(S, style_masks)
    asymmetric = losses.RegionStatistics(A + 9 * rng.standard_normal(A.shape), target_weights)
    hard = np.eye(3)[rng.permutation(np.arange(40) % 3)].reshape(2, 5, 4, 3)
    soft = rng.dirichlet((1, 1, 1), (2, 5, 4))
    apart = np.where(hard, rng.uniform(0, 2, hard.shape), 0)
    for normalization in ("printed", "raw", "gatys", "mean_square", "relative"):
        for label, masks in (("hard masks", hard), ("soft masks", soft), ("masks of any sum", apart)):
            region = partial(losses.regions, target=target, masks=masks, normalization=normalization)
            yield f"regions, {normalization}, {label}", partial(check_gradient, region, F)
        region = partial(losses.regions, target=asymmetric, masks=soft, normalization=normalization)
        yield f"regions, {normalization}, asymmetric target", partial(check_gradient, region, F)


def _patch_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(22)
    F, S = rng.standard_normal((6, 5, 4)), rng.standard_normal((5, 7, 4))
    maps, style_maps = rng.uniform(0, 1, (6, 5, 2)), rng.uniform(0, 1, (5, 7, 2))
    for label, map_, style_map in (("no maps", None, None), ("maps", maps, style_maps)):
        target = losses.patches_target(S, style_map)
        matches = losses.patches_match(F, target, map_)
        for normalization in ("raw", "mean_square", "relative"):
            held = partial(losses.patches, target=target, matches=matches, normalization=normalization)
            yield f"patches, {normalization}, {label}, matches held", partial(check_gradient, held, F)
            searched = partial(losses.patches, target=target, maps=map_, normalization=normalization)
            yield f"patches, {normalization}, {label}, matches searched", partial(check_gradient, searched, F)
