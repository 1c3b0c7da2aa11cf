"""The checks of the losses that know where things are: spatial style, local style, and style–content covariation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vggnumpy import losses
from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient
from vggnumpy.losses.factors import NORMALIZATIONS


def spatial_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of spatial style, local style and covariation."""
    yield from _self_convolution_checks()
    yield from _local_gram_checks()
    yield from _covariation_checks()


def _self_convolution_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(31)
    F, S = rng.standard_normal((2, 5, 6, 3))
    target = losses.self_convolution_target(S)
    for normalization in NORMALIZATIONS:
        for name, loss in (
            ("self_convolution", losses.self_convolution),
            ("autocorrelation", losses.autocorrelation),
        ):
            fun = partial(loss, target=target, normalization=normalization)
            yield f"{name}, {normalization}", partial(check_gradient, fun, F)


def _local_gram_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(32)
    F, S = rng.standard_normal((2, 19, 11, 3))  # three tiles by two, none of the last ones whole
    for radius in (0, 1, 3, 8):
        target = losses.local_gram_target(S, radius)
        for normalization in NORMALIZATIONS:
            if normalization == "relative" or radius <= 3:  # a window of 17×17 takes half a second
                fun = partial(losses.local_gram, target=target, normalization=normalization)
                yield f"local_gram, {normalization}, radius {radius}", partial(check_gradient, fun, F)


def _covariation_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(33)
    F, S = rng.standard_normal((7, 9, 3)), rng.standard_normal((6, 8, 3))
    for radius in (0, 2):
        for label, shape in (("coarser", (4, 5, 4)), ("as fine", (7, 9, 4)), ("finer", (13, 18, 4))):
            content, content_style = rng.standard_normal(shape), rng.standard_normal(shape)
            V = losses.content_components(content, 2)
            target = losses.covariation_target(S, content_style, V, radius)
            for normalization in NORMALIZATIONS:
                name = f"covariation, {normalization}, radius {radius}, content {label}"
                of_style = partial(_covariation_of_style, content=content, target=target, normalization=normalization)
                yield f"{name}, dF", partial(check_gradient, of_style, F)
                of_content = partial(_covariation_of_content, F=F, target=target, normalization=normalization)
                yield f"{name}, dcontent", partial(check_gradient, of_content, content)
        target = losses.covariation_target(S, S, losses.content_components(F, 2), radius)
        of_both = partial(_covariation_of_one_layer, target=target)
        yield f"covariation, relative, radius {radius}, one layer", partial(check_gradient, of_both, F)


def _covariation_of_style(
    F: np.ndarray, content: np.ndarray, target: losses.CovariationTarget, normalization: str
) -> tuple[float, np.ndarray]:
    value, dF, _ = losses.covariation(F, content, target, normalization)
    return value, dF


def _covariation_of_content(
    content: np.ndarray, F: np.ndarray, target: losses.CovariationTarget, normalization: str
) -> tuple[float, np.ndarray]:
    value, _, dcontent = losses.covariation(F, content, target, normalization)
    return value, dcontent


def _covariation_of_one_layer(F: np.ndarray, target: losses.CovariationTarget) -> tuple[float, np.ndarray]:
    value, dF, dcontent = losses.covariation(F, F, target, "relative")
    return value, dF + dcontent
