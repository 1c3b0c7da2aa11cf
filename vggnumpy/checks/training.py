"""The checks of training: the loss's gradient with respect to every weight of small classifiers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets.tables import Layer, chain, conv, fully_connected, pool, relu
from vggnumpy.training import Model
from vggnumpy.training.loss import smoothed_log_loss

SIZE, CLASSES = 13, 3
TABLES = {
    "normalised": [
        conv("conv1", 5), Layer("bn1", "bnorm", ()), relu("relu1"),
        conv("conv2", 6), Layer("bn2", "bnorm", ()), relu("relu2"), pool("pool2"),
        Layer("mean", "pool", (), (0, 0), method="average"), fully_connected("fc", CLASSES),
    ],
    "plain": [
        conv("conv1", 4), relu("relu1"), pool("pool1", method="average"), conv("conv2", 5, 5, 2), relu("relu2"),
        fully_connected("fc1", 6, 6), relu("relu3"), fully_connected("fc2", CLASSES),
    ],
    "unpadded": [
        conv("conv1", 4, pad=0), relu("relu1"), pool("pool1", 2, 1, pad=(0, 1, 0, 1)),
        conv("conv2", 5, pad=0), Layer("bn2", "bnorm", ()), pool("pool2"), fully_connected("fc", CLASSES, 4),
    ],
}  # fmt: skip


def training_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of a weight's gradient in training."""
    x, labels = small_batch()
    z = np.random.default_rng(3).standard_normal((9, CLASSES))
    yield "smoothed_log_loss", partial(check_gradient, lambda at: smoothed_log_loss(at, labels, 0.1), z)
    for table in TABLES:
        model = small_model(table)
        absorbed = {layer.inputs[0] for layer in model.table if layer.kind == "bnorm"}
        for name, parts in model.weights.items():
            kind = next(layer.kind for layer in model.table if layer.name == name)
            for k, part in enumerate(("filters", "bias") if kind == "conv" else ("gain", "bias")):
                if part == "bias" and name in absorbed:
                    continue  # the normalisation takes a constant out again: the gradient is 0, differences are noise

                def loss(
                    at: np.ndarray, model: Model = model, name: str = name, k: int = k
                ) -> tuple[float, np.ndarray]:
                    before = model.weights
                    parts = list(before[name])
                    parts[k] = at
                    model.weights = {**before, name: tuple(parts)}
                    value, _, gradients = model.gradients(x, labels, 0.1)
                    model.weights = before
                    return value, gradients[name][k]

                yield f"training, {table} network, {part} of {name}", partial(check_gradient, loss, parts[k])


def small_model(table: str, dtype: str = "float64") -> Model:
    """Return a model of one of `TABLES` whose weights are all different from what they begin with."""
    rng = np.random.default_rng(1)
    model = Model(chain([*TABLES[table], Layer("prob", "softmax", ())]), SIZE, 0, dtype)
    for name, parts in model.weights.items():
        model.weights[name] = tuple((part + 0.1 * rng.uniform(0, 1, part.shape)).astype(dtype) for part in parts)
    return model


def small_batch(dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Return nine pictures and their classes."""
    rng = np.random.default_rng(2)
    return rng.standard_normal((9, SIZE, SIZE, 3)).astype(dtype), rng.integers(0, CLASSES, 9)
