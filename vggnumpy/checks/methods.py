"""The checks of the report's methods: its printed forms, and targets made of several styles."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vggnumpy import losses, ops
from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient, distinct
from vggnumpy.losses.factors import NORMALIZATIONS
from vggnumpy.nets import Network, chain, random_network
from vggnumpy.nets.network import LayerKey
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.objective import Objective
from vggnumpy.styles import Style, eigengram, mean_style, style_of

LAYERS: dict[LayerKey, float] = {"relu1": 1.0, "pool1": 1.0, "relu2": 1.0}


def method_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of a method of the report."""
    rng = np.random.default_rng(11)
    F, P = distinct((2, 4, 3, 5), rng=12), rng.standard_normal((2, 4, 3, 5))
    styles: list[Style] = [{"layer": losses.gram_statistics(rng.exponential(1, (4, 6, 5)))} for _ in range(3)]
    for normalization in NORMALIZATIONS:
        content = partial(losses.content_printed, P=P, normalization=normalization)
        yield f"content_printed, {normalization}", partial(check_gradient, content, F)
        for label, (A, positions) in (
            ("mean_style", mean_style(styles)["layer"]),
            ("eigengram", eigengram(styles)["layer"]),
        ):
            gram = partial(losses.gram, A=A, positions=positions, normalization=normalization)
            yield f"{label} as target, {normalization}", partial(check_gradient, gram, F)
            printed = partial(_printed_before_the_rectifier, A=A, positions=positions, normalization=normalization)
            yield (
                f"gram_printed_gradient before relu, twice, {label} target, {normalization}",
                partial(check_gradient, printed, F),
            )
    yield from _objective_checks()


def _printed_before_the_rectifier(
    x: np.ndarray, A: np.ndarray, positions: int, normalization: str
) -> tuple[float, np.ndarray]:
    """Return the style loss of relu(x), and twice what becomes of the printed gradient on its way to x."""
    F, cache = ops.relu(x)
    value, _ = losses.gram(F, A, positions, normalization)
    return value, 2 * ops.relu_backward(losses.gram_printed_gradient(F, A, positions, normalization), cache)


def _objective_checks() -> Iterator[NamedMeasure]:
    table = [conv("conv1", 4), relu("relu1"), pool("pool1"), conv("conv2", 5), relu("relu2")]
    net = random_network(chain(table), rng=13, dtype="float64")
    rng = np.random.default_rng(14)
    x, photo = rng.uniform(0, 255, (2, 9, 8, 3))
    paintings = [rng.uniform(0, 80 * (i + 1), (12 - i, 7 + i, 3)) for i in range(3)]
    styles = [style_of(net, painting, LAYERS) for painting in paintings]
    content = Objective(net, photo, content=LAYERS, form="printed")
    yield "Objective as printed, content", partial(check_gradient, content, x)
    yield "Objective as printed, style, twice", partial(check_gradient, partial(_twice, net, paintings), x)
    for label, target in (
        ("mean_style", mean_style(styles)),
        ("eigengram", eigengram(styles)),
        ("eigengram stacked", eigengram(styles, stacked=True)),
    ):
        yield f"Objective of {label}", partial(check_gradient, Objective(net, style_images=target, style=LAYERS), x)


def _twice(net: Network, paintings: list[np.ndarray], x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the style's value and twice its printed gradient, which fit together where layers follow rectifiers."""
    value, dx = Objective(net, style_images=paintings, style=LAYERS, form="printed")(x)
    return value, 2 * dx
