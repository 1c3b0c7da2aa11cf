"""A classifier in training: its stages, their weights, and the loss's gradient with respect to every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vggnumpy.engine import one_blas_thread
from vggnumpy.errors import InputError
from vggnumpy.nets.tables import INPUT, Layer
from vggnumpy.training.loss import smoothed_log_loss
from vggnumpy.training.stages import EPSILON, ConvStage, DenseStage, Parts, PlainStage

Stage = ConvStage | DenseStage | PlainStage


class Model:
    """A chain of layers with its weights.

    Parameters
    ----------
    table : sequence of Layer
        A chain; a softmax at its end belongs to the loss.
    size : int
        Height and width of the pictures.
    rng : int or Generator
        He's initialisation; gains 1, all else 0.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weights : dict
        Layer → (filters kh×kw×C×K, bias) or (gain, bias, running moments).
    """

    def __init__(
        self, table: Sequence[Layer], size: int = 32, rng: int | np.random.Generator = 0, dtype: str = "float32"
    ):
        self.table, self.dtype = tuple(table), dtype
        self.weights: Parts = {}
        generator = np.random.default_rng(rng)
        self.stages: list[Stage] = []
        layers = list(self.table)
        if layers and layers[-1].kind == "softmax":
            layers.pop()
        shape: tuple[int, ...] = (size, size, 3)
        before = INPUT
        while layers:
            taken = self._stage(layers, shape)
            for layer in taken:
                if layer.inputs != (before,):
                    raise InputError(f"layer {layer.name} does not follow the one before it; only chains are trained")
                before = layer.name
                shape = self._add_weights(layer, shape, generator)
            del layers[: len(taken)]

    def _stage(self, layers: list[Layer], shape: tuple[int, ...]) -> list[Layer]:
        """Append the next stage and return the layers that it consists of."""
        layer = layers[0]
        if layer.kind != "conv":
            self.stages.append(PlainStage(layer))
            return [layer]
        taken, found = [layer], dict[str, Layer]()
        dense = not any(layer.pad) and layer.size == shape[:2]
        for kind in ("relu",) if dense else ("bnorm", "relu", "pool"):
            following = layers[len(taken) : len(taken) + 1]
            if following and following[0].kind == kind and (kind != "pool" or _is_halving(following[0])):
                found[kind] = following[0]
                taken.append(following[0])
        if dense:
            self.stages.append(DenseStage(layer, found.get("relu")))
        else:
            norm, relu, pool = (found.get(kind) for kind in ("bnorm", "relu", "pool"))
            self.stages.append(ConvStage(layer, norm, relu, pool, first=not self.stages))
        return taken

    def _add_weights(self, layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
        """Draw a layer's weights; return the shape of its output."""
        height, width, channels = shape
        if layer.kind == "conv":
            w = rng.standard_normal((*layer.size, channels, layer.channels))
            w *= np.sqrt(2 / (layer.size[0] * layer.size[1] * channels))
            self.weights[layer.name] = w.astype(self.dtype), np.zeros(layer.channels, self.dtype)
            channels = layer.channels
        elif layer.kind == "bnorm":
            ones, zeros = np.ones(channels, self.dtype), np.zeros(channels, self.dtype)
            moments = np.stack([zeros, np.full(channels, np.sqrt(1 + EPSILON))], 1).astype(self.dtype)
            self.weights[layer.name] = ones, zeros, moments
        if layer.kind in ("conv", "pool"):
            if layer.kind == "pool" and layer.size == (0, 0):
                return 1, 1, channels
            top, bottom, left, right = layer.pad
            height = (height + top + bottom - layer.size[0]) // layer.stride[0] + 1
            width = (width + left + right - layer.size[1]) // layer.stride[1] + 1
            if min(height, width) < 1:
                raise InputError(f"the pictures are too small for layer {layer.name}")
        return height, width, channels

    def scores(self, x: np.ndarray, training: bool = False, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the scores of all classes, N×K, for preprocessed pictures N×H×W×3."""
        with one_blas_thread():
            for stage in self.stages:
                if isinstance(stage, PlainStage):
                    stage.rng = rng
                x = stage.forward(x, self.weights, training)
        return x.reshape(len(x), -1)

    def gradients(
        self, x: np.ndarray, labels: np.ndarray, smoothing: float = 0.0, rng: np.random.Generator | None = None
    ) -> tuple[float, int, Parts]:
        """Return loss, number of wrong answers, and the gradient of the loss for every weight; move the moments.

        Parameters
        ----------
        x : ndarray, N×H×W×3
            Preprocessed pictures, of the model's dtype.
        labels : ndarray of N
        smoothing : float
            See `smoothed_log_loss`.
        rng : Generator, optional
            For dropout.
        """
        with one_blas_thread():
            z = self.scores(x, training=True, rng=rng)
            loss, dz = smoothed_log_loss(z, labels, smoothing)
            wrong = int((z.argmax(axis=1) != labels).sum())
            gradients: Parts = {}
            dy: Any = dz.reshape(len(x), 1, 1, -1)
            for stage in self.stages[::-1]:
                dy, found = stage.backward(dy, self.weights)
                gradients.update(found)
        for stage in self.stages:
            for name, moments in stage.running.items():
                self.weights[name] = (*self.weights[name][:2], moments)
        return loss, wrong, gradients


def _is_halving(layer: Layer) -> bool:
    return (layer.size, layer.stride, layer.pad) == ((2, 2), (2, 2), (0, 0, 0, 0)) and layer.rounding == "floor"
