"""What ``vggnumpy gradcheck`` checks: every operator, loss and regulariser, and a whole objective.

Each line names one gradient.  It passes if its relative error is at most `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from vggnumpy import losses, ops
from vggnumpy.gradcheck import check_adjoint, check_gradient, check_vjp, distinct
from vggnumpy.nets import Layer, Network, chain, random_network
from vggnumpy.objective import Objective

TOLERANCE = 1e-6

Measure = Callable[[], float]


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        The gradient that was checked.
    error : float
        Its relative error.
    """

    name: str
    error: float

    @property
    def passed(self) -> bool:
        """Whether the error is within `TOLERANCE`."""
        return self.error <= TOLERANCE


def run_checks() -> Iterator[Check]:
    """Yield the outcome of every check, in order, as it becomes known."""
    for name, measure in all_checks():
        yield Check(name, measure())


def all_checks() -> Iterator[tuple[str, Measure]]:
    """Yield the name of every check and the function that returns its relative error."""
    yield from _pad_checks()
    yield from _conv_checks()
    yield from _pool_checks()
    yield from _small_op_checks()
    yield from _loss_checks()
    yield from _regularizer_checks()
    yield from _network_checks()


def _linear(name: str, forward: Any, backward: Any, x: np.ndarray) -> Iterator[tuple[str, Measure]]:
    """Check a linear operator both ways."""
    yield f"{name}: difference", partial(check_vjp, forward, backward, x)
    yield f"{name}: adjoint", partial(check_adjoint, forward, backward, x)


def _pad_checks() -> Iterator[tuple[str, Measure]]:
    x = distinct((2, 5, 4, 3))
    for mode in ops.PAD_MODES:
        pad = partial(ops.pad, sides=(1, 2, 0, 3), mode=mode)
        yield from _linear(f"pad_backward, {mode}", pad, ops.pad_backward, x)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3×3": ((1, 6, 5, 4), (3, 3, 4, 3), {}),
    "3×3 reflect": ((1, 6, 5, 4), (3, 3, 4, 3), {"pad_mode": "reflect"}),
    "3×3 replicate": ((1, 6, 5, 4), (3, 3, 4, 3), {"pad_mode": "replicate"}),
    "2×4 stride 2, 3, four sides": ((2, 9, 8, 3), (2, 4, 3, 5), {"stride": (2, 3), "pad": (1, 0, 2, 1)}),
    "3×2 dilated 2, 3": ((2, 9, 8, 3), (3, 2, 3, 5), {"dilate": (2, 3), "pad": 2}),
    "3×3 in 2 groups": ((2, 5, 6, 4), (3, 3, 2, 6), {}),
    "1×1": ((1, 4, 3, 5), (1, 1, 5, 2), {"pad": 0}),
}


def _conv_checks() -> Iterator[tuple[str, Measure]]:
    rng = np.random.default_rng(1)
    for label, (x_shape, w_shape, options) in CONVOLUTIONS.items():
        x, w, b = rng.standard_normal(x_shape), rng.standard_normal(w_shape), rng.standard_normal(w_shape[3])

        def to_w(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_backward_filter(dy, x, cache)[0]

        def to_b(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_backward_filter(dy, x, cache)[1]

        by_x = partial(ops.conv, w=w, **options)
        by_w = partial(_conv_by_w, x, options)
        by_b = partial(_conv_by_b, x, w, options)
        yield from _linear(f"conv_backward_input, {label}", by_x, ops.conv_backward_input, x)
        yield from _linear(f"conv_backward_filter dw, {label}", by_w, to_w, w)
        yield f"conv_backward_filter db, {label}: difference", partial(check_vjp, by_b, to_b, b)


def _conv_by_w(x: np.ndarray, options: dict[str, Any], w: np.ndarray) -> Any:
    return ops.conv(x, w, **options)


def _conv_by_b(x: np.ndarray, w: np.ndarray, options: dict[str, Any], b: np.ndarray) -> Any:
    return ops.conv(x, w, b, **options)


POOLS: dict[str, dict[str, Any]] = {
    "2×2": {},
    "2×2 ceil": {"rounding": "ceil"},
    "3×3 stride 2, overlapping": {"window": 3, "stride": 2},
    "3×2 stride 2, 1, four sides": {"window": (3, 2), "stride": (2, 1), "pad": (1, 2, 0, 1)},
}


def _pool_checks() -> Iterator[tuple[str, Measure]]:
    x = distinct((2, 7, 5, 3))
    for label, options in POOLS.items():
        yield (
            f"max_pool_backward, {label}: difference",
            partial(check_vjp, partial(ops.max_pool, **options), ops.max_pool_backward, x),
        )
        yield from _linear(f"avg_pool_backward, {label}", partial(ops.avg_pool, **options), ops.avg_pool_backward, x)


def _small_op_checks() -> Iterator[tuple[str, Measure]]:
    x = distinct((2, 4, 3, 5))
    yield "relu_backward: difference", partial(check_vjp, ops.relu, ops.relu_backward, x)
    yield from _linear(
        "concat_backward",
        lambda x: ops.concat([x[..., :2], x[..., 2:]]),
        lambda dy, cache: np.concatenate(ops.concat_backward(dy, cache), axis=-1),
        x,
    )


def _loss_checks() -> Iterator[tuple[str, Measure]]:
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


def _regularizer_checks() -> Iterator[tuple[str, Measure]]:
    x = distinct((2, 6, 5, 3))
    for power in (1, 1.5, 2, 6):
        size = partial(losses.size, power=power, center=(0.1, -0.2, 0.3))
        yield f"size, power {power}", partial(check_gradient, size, x)
    for beta in (1, 1.25, 2, 3, "l1"):
        yield f"variation, beta {beta}", partial(check_gradient, partial(losses.variation, beta=beta), x)


def _branching() -> Network:
    """Return a small network with two branches that are joined, in BGR with mean and scale."""
    layers = chain(
        [
            Layer("conv1", "conv", (), (3, 3), 4, pad=(1, 1, 1, 1)),
            Layer("relu1", "relu", ()),
            Layer("left", "conv", ("relu1",), (1, 1), 3),
            Layer("right", "conv", ("relu1",), (3, 3), 2, pad=(1, 1, 1, 1), pad_mode="reflect"),
            Layer("join", "concat", ("left", "right")),
            Layer("relu2", "relu", ("join",)),
            Layer("pool", "pool", (), (2, 2), stride=(2, 2), method="average", rounding="ceil"),
        ]
    )
    plain = random_network(layers, rng=3, dtype="float64", pooling="average")
    return Network(
        "branching", plain.table, plain.weights, "BGR", (103.9, 116.8, 123.7), (0.017, 0.018, 0.016), "replicate"
    )


def _network_checks() -> Iterator[tuple[str, Measure]]:
    rng = np.random.default_rng(4)
    net, image = _branching(), rng.uniform(0, 255, (7, 6, 3))
    top = rng.standard_normal((4, 3, 5))

    def branching(x: np.ndarray) -> tuple[float, np.ndarray]:
        features, tape = net.forward(x, ["pool", "relu1"])
        value = float((features["pool"] * top).sum() + (features["relu1"] ** 2).sum())
        half = features["relu1"]  # of the derivative, under the layer's name and once more under its number
        return value, net.backward(tape, {"pool": top, "relu1": half, 2: half})

    yield "Network.backward, branches", partial(check_gradient, branching, image)

    def inspected(name: str, part: str, value: np.ndarray) -> tuple[float, np.ndarray]:
        """Return ⟨top, output⟩ as a function of one layer's filters or bias, and what inspect says of it."""
        w, b = net.weights[name]
        changed = replace(net, weights={**net.weights, name: (value, b) if part == "dzdw" else (w, value)})
        records = changed.inspect(image, {"pool": top}, filters=True)
        record = records[name]
        # A bias is added at every position, so its derivative is the sum of the derivative of the layer's output.
        gradient = record.dzdx.sum(axis=(0, 1)) if part == "dzdx" else getattr(record, part)
        return float((records["pool"].x * top).sum()), gradient

    for name in ("conv1", "right"):
        w, b = net.weights[name]
        for part, at in (("dzdw", w), ("dzdb", b), ("dzdx", b)):
            yield f"Network.inspect, {part} of {name}", partial(check_gradient, partial(inspected, name, part), at)
    for normalization in ("raw", "gatys", "mean_square", "relative"):
        fun = _small_objective(normalization)
        x = np.random.default_rng(8).uniform(0, 255, (9, 8, 3))
        yield f"Objective, {normalization}", partial(check_gradient, fun, x)
        for term in ("content relu1", "content relu2", "style relu1", "style relu2", "size", "variation"):
            yield f"Objective, {normalization}, term {term}", partial(check_gradient, partial(_term, fun, term), x)
    for pooling in ("max", "average"):
        yield f"Objective, VGG-19 at 32×32, {pooling} pooling", partial(_check_objective, pooling)


def _term(fun: Objective, name: str, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return one term's value and gradient image."""
    fun(x)
    return fun.terms[name].value, fun.terms[name].gradient()


def _small_objective(normalization: str) -> Objective:
    """Return an objective with every kind of term, two weighted styles, and content and style at the same layers.

    The weights bring all terms to the same order, so that an error of 1 % in any of them shows in the whole.
    """
    rng = np.random.default_rng(7)
    table = chain(
        [
            Layer("conv1", "conv", (), (3, 3), 4, pad=(1, 1, 1, 1)),
            Layer("relu1", "relu", ()),
            Layer("pool1", "pool", (), (2, 2), stride=(2, 2), method="average", rounding="ceil"),
            Layer("conv2", "conv", (), (3, 3), 5, pad=(1, 1, 1, 1)),
            Layer("relu2", "relu", ()),
        ]
    )
    net = random_network(table, rng=9, dtype="float64")
    content, style = rng.uniform(0, 255, (9, 8, 3)), rng.uniform(0, 255, (12, 7, 3))
    invented = {"relu1": (rng.standard_normal((4, 4)) * 1e5, 50), "relu2": (rng.standard_normal((5, 5)) * 1e5, 20)}
    layers = {"relu1": 1.0, "relu2": 1.0}
    x = rng.uniform(0, 255, content.shape)

    def build(weights: dict[str, float]) -> Objective:
        return Objective(
            net,
            content,
            [style, invented],
            {layer: weights[f"content {layer}"] for layer in layers},
            {layer: weights[f"style {layer}"] for layer in layers},
            normalization,
            weights["size"],
            weights["variation"],
            size_power=3,
            variation_beta=1.5,
            style_weights=(0.3, 2.0),
        )

    names = [f"{kind} {layer}" for kind in ("content", "style") for layer in layers] + ["size", "variation"]
    plain = build(dict.fromkeys(names, 1.0))
    plain(x)
    return build({name: 1 / term.gradient_norm for name, term in plain.terms.items()})


def _check_objective(pooling: str) -> float:
    """Check an objective with every kind of term, a real-sized style image and an asymmetric Gram target."""
    rng = np.random.default_rng(5)
    net = random_network("vgg19", rng=6, pooling=pooling, dtype="float64")
    content, style = rng.uniform(0, 255, (32, 32, 3)), rng.uniform(0, 255, (40, 37, 3))
    layers = [f"relu{block}_1" for block in range(1, 6)]
    width = {layer: net.weights[f"conv{layer[4:]}"][0].shape[3] for layer in layers}
    invented = {layer: (rng.standard_normal((width[layer],) * 2) * 1e5, 50) for layer in layers}
    fun = Objective(
        net,
        content,
        [style, invented],
        content={"relu4_2": 1e-5},
        style=dict.fromkeys(layers, 1e-4),
        size=1e-5,
        variation=1e-4,
        variation_beta=1.5,
    )
    return check_gradient(fun, rng.uniform(0, 255, content.shape), rng)
