"""The checks of the interpreter over a network's layers, and of whole objectives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import Layer, Network, chain, random_network
from vggnumpy.nets.network import LayerKey
from vggnumpy.objective import Objective
from vggnumpy.style_terms import STYLE_LOSSES, style_terms
from vggnumpy.styles import region_style_of


def network_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of a network or an objective."""
    rng = np.random.default_rng(4)
    net, image = branching_network(), rng.uniform(0, 255, (7, 6, 3))
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
    yield from _every_kind_checks()
    for normalization in ("raw", "gatys", "mean_square", "relative"):
        fun = _small_objective(normalization)
        x = np.random.default_rng(8).uniform(0, 255, (9, 8, 3))
        yield f"Objective, {normalization}", partial(check_gradient, fun, x)
        for term in ("content relu1", "content relu2", "style relu1", "style relu2", "size", "variation"):
            yield f"Objective, {normalization}, term {term}", partial(check_gradient, partial(_term, fun, term), x)
    yield from _placed_style_checks()
    for pooling in ("max", "average"):
        yield f"Objective, VGG-19 at 32×32, {pooling} pooling", partial(_check_objective, pooling)


def every_kind_network() -> Network:
    """Return a small network with a layer of every kind that `branching_network` lacks."""
    rng = np.random.default_rng(11)
    table = chain(
        [
            Layer("conv", "conv", (), (3, 3), 4, pad=(1, 1, 1, 1)),
            Layer("leaky", "relu", (), leak=0.1),
            Layer("lrn", "lrn", (), lrn=(3, 2.0, 0.1, 0.75)),
            Layer("bnorm", "bnorm", ()),
            Layer("prelu", "prelu", ()),
            Layer("convt", "convt", (), (3, 2), 6, (2, 1), (0, 1, 1, 0), groups=2),
            Layer("dropout", "dropout", (), numbered=False),
            Layer("whole", "pool", (), (0, 0), method="average"),
            Layer("softmax", "softmax", ()),
        ]
    )
    weights: dict[str, tuple[np.ndarray, ...]] = {
        "conv": (rng.standard_normal((3, 3, 3, 4)), rng.standard_normal(4)),
        "bnorm": (rng.uniform(0.5, 2, 4), rng.standard_normal(4), rng.uniform(0.5, 2, (4, 2))),
        "prelu": (rng.uniform(0.1, 0.9, 4),),
        "convt": (rng.standard_normal((3, 2, 3, 4)), rng.standard_normal(6)),
    }
    return Network("every kind", table, weights, scale=(0.01, 0.01, 0.01))


def _every_kind_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(12)
    net, image, top = every_kind_network(), rng.uniform(0, 255, (6, 5, 3)), rng.standard_normal((1, 1, 6))

    def value_at(net: Network, x: np.ndarray) -> tuple[float, np.ndarray]:
        features, tape = net.forward(x, ["softmax"])
        return float((features["softmax"] * top).sum()), net.backward(tape, {"softmax": top})

    yield "Network.backward, every kind of layer", partial(check_gradient, partial(value_at, net), image)

    def inspected(name: str, number: int, value: np.ndarray) -> tuple[float, np.ndarray]:
        parts = list(net.weights[name])
        parts[number] = value
        changed = replace(net, weights={**net.weights, name: tuple(parts)})
        record = changed.inspect(image, {"softmax": top}, filters=True)[name]
        return value_at(changed, image)[0], record.dzdb if number else record.dzdw

    for name, parts in net.weights.items():
        for number, part in enumerate(parts[:2]):  # the moments of a normalisation are constants
            what = ("dzdw", "dzdb")[number]
            yield f"Network.inspect, {what} of {name}", partial(check_gradient, partial(inspected, name, number), part)


def branching_network() -> Network:
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


def _placed_style_checks() -> Iterator[NamedMeasure]:
    """Check objectives whose style knows of places: by regions, and by each of the other style losses."""
    rng = np.random.default_rng(13)
    net = branching_network()
    x, content, style = rng.uniform(0, 255, (3, 7, 6, 3))
    layers: dict[LayerKey, float] = {"relu1": 1.0, "join": 0.5}

    def masks() -> dict[LayerKey, np.ndarray]:
        features, _ = net.forward(content, layers)
        return {layer: rng.dirichlet((1, 1, 1), F.shape[:-1]) for layer, F in features.items()}

    for normalization in ("gatys", "relative"):
        targets = region_style_of(net, style, masks())
        fun = Objective(net, content, targets, {"relu1": 1e-3}, layers, normalization, regions=masks())
        yield f"Objective, {normalization}, regions", partial(check_gradient, fun, x)
        fun = Objective(net, content, style, {"relu1": 1e-3}, layers, normalization, margin=(3, 1, 0, 2))
        yield f"Objective, {normalization}, margin", partial(check_gradient, fun, x)
    for kind in STYLE_LOSSES[1:]:
        terms = style_terms(kind, net, layers, [style], [1.0], "relative", content=content, radius=1)
        fun = Objective(net, content, content={"relu1": 1e-3}, normalization="relative", layer_terms=terms)
        yield f"Objective, relative, {kind}", partial(check_gradient, fun, x)


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
