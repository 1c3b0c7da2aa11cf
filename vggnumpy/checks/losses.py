"""The checks of every loss and regulariser."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vggnumpy import losses
from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient, distinct


def loss_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of a loss or a regulariser."""
    yield from _feature_loss_checks()
    yield from _regularizer_checks()


def _feature_loss_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(2)
    F, P = rng.standard_normal((2, 4, 3, 5)), rng.standard_normal((2, 4, 3, 5))
    other = rng.standard_normal((7, 9, 5))
    A, positions = losses.gram_statistics(other)
    single = np.zeros((5, 5))
    single[1, 3] = 40.0
    for normalization in ("raw", "gatys", "mean_square", "relative"):
        yield (
            f"content, {normalization}",
            partial(check_gradient, partial(losses.content, P=P, normalization=normalization), F),
        )
        for label, target, count in (
            ("symmetric target", A, positions),
            ("asymmetric target", rng.standard_normal((5, 5)) * 20, 24),
            ("single-entry target", single, 10),
        ):
            yield (
                f"gram, {normalization}, {label}",
                partial(
                    check_gradient,
                    partial(losses.gram, A=target, positions=count, normalization=normalization),
                    F,
                ),
            )


def _regularizer_checks() -> Iterator[NamedMeasure]:
    x = distinct((2, 6, 5, 3))
    for power in (1, 1.5, 2, 6):
        size = partial(losses.size, power=power, center=(0.1, -0.2, 0.3))
        yield f"size, power {power}", partial(check_gradient, size, x)
    for beta in (1, 1.25, 2, 3, "l1"):
        yield f"variation, beta {beta}", partial(check_gradient, partial(losses.variation, beta=beta), x)
