"""The parts of a model in training: convolution, batch normalisation, rectifier and pool together; and all else.

A `Stage` has ``forward(x)``, which keeps what its backward pass needs, and ``backward(dy)``, which returns dx and fills
``gradients``.  The formulas are those of `vggnumpy.ops`, and the tests hold these stages against them; here they run
picture by picture over the cores, and what touches the same numbers is done while they are in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vggnumpy.nets.steps import backward_step, forward_step, weight_derivatives
from vggnumpy.nets.tables import Layer
from vggnumpy.ops.dropout import dropout, dropout_backward
from vggnumpy.ops.workspace import Workspace
from vggnumpy.training.convolutions import Convolution, make_convolution
from vggnumpy.training.lanes import over_lanes

EPSILON = 1e-5
MOMENTUM = 0.1  # weight of a batch in the running moments
_ENTRIES = 1 << 16  # in work at one time

Parts = dict[str, tuple[np.ndarray, ...]]


class ConvStage:
    """Convolution, batch normalisation, rectifier, 2×2 pool; all but the first may be missing.

    With d = conv(x) − c, where c is the running mean of the convolution (subtracted with the bias, for nothing; the
    normalisation takes any constant out again, and the variance loses no digits, however large the mean), a batch of n
    positions a channel has

        m = Σ d / n,   σ² = Σ d² / n − m² + ε,   y = relu(a d + s),   a = gain/σ,   s = bias − a m

    and back, with dy already through pool and rectifier (`vggnumpy.ops.batch_norm`, equation 1, in terms of d):

        dbias = Σ dy,   dgain = (Σ dy d − m Σ dy)/σ,   dd = a dy + b d + e,   b = −a dgain/(n σ),   e = −a dbias/n − b m

    Parameters
    ----------
    conv : Layer
    norm, relu, pool : Layer or None
    first : bool
        Whether it sees the pictures, whose derivative nobody asks for.
    """

    def __init__(self, conv: Layer, norm: Layer | None, relu: Layer | None, pool: Layer | None, first: bool):
        self.conv, self.norm, self.relu, self.pool, self.first = conv, norm, relu, pool, first
        self.convolution: Convolution = make_convolution(conv, first)
        self.names = [conv.name] + ([norm.name] if norm else [])
        self.running: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, weights: Parts, training: bool) -> np.ndarray:
        """Return the stage's output for a batch N×H×W×C."""
        w, bias = weights[self.conv.name]
        if self.norm is not None:
            gain, shift, moments = weights[self.norm.name]
            offset = bias - moments[:, 0]
        else:
            offset = bias
        self._x = x
        self._prepared = self.convolution.prepare(w)
        shape = self.convolution.output_shape(x.shape, w.shape[3])
        self._d = d = np.empty(shape, x.dtype)

        def convolve(begin: int, end: int, work: Workspace) -> tuple[np.ndarray, np.ndarray]:
            first, second = np.zeros((2, shape[-1]))
            for block in self.convolution.forward(x, self._prepared, offset, d, begin, end, work):
                rows = d[block].reshape(-1, shape[-1])
                if self.norm is not None and training:
                    first += np.einsum("pc->c", rows)
                    second += np.einsum("pc,pc->c", rows, rows)
            return first, second

        sums = over_lanes(len(x), convolve)
        if self.norm is not None and training:
            n = d.size // shape[-1]
            self._mean = sum(one[0] for one in sums) / n
            variance = np.maximum(sum(one[1] for one in sums) / n - self._mean**2, 0)
            self._sigma = np.sqrt(variance + EPSILON)
            self._set_affine(gain, shift, x.dtype)
            self._update_running(moments, n, variance)
        elif self.norm is not None:
            self._mean, self._sigma = np.zeros(shape[-1]), moments[:, 1].astype("float64")
            self._set_affine(gain, shift, x.dtype)
        self._y = y = np.empty(self._pooled_shape(shape), x.dtype)

        def finish(begin: int, end: int, work: Workspace) -> None:
            for some in _blocks(begin, end, shape):
                self._pool_into(self._activate(d[some], work), y[some])

        over_lanes(len(x), finish)
        return y

    def _set_affine(self, gain: np.ndarray, shift: np.ndarray, dtype: Any) -> None:
        self._scale = (gain / self._sigma).astype(dtype)
        self._shift = (shift - self._scale * self._mean).astype(dtype)

    def _update_running(self, moments: np.ndarray, n: int, variance: np.ndarray) -> None:
        """Move the running mean and deviation towards the batch's; the variance's estimate is the unbiased one."""
        mean = moments[:, 0] + MOMENTUM * self._mean
        square = moments[:, 1].astype("float64") ** 2 - EPSILON
        square += MOMENTUM * (variance * n / max(n - 1, 1) - square)
        self.running = {self.norm.name: np.stack([mean, np.sqrt(square + EPSILON)], 1).astype(moments.dtype)}  # type: ignore[union-attr]

    def _pooled_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape if self.pool is None else (shape[0], shape[1] // 2, shape[2] // 2, shape[3])

    def _activate(self, d: np.ndarray, work: Workspace) -> np.ndarray:
        """Return relu(a d + s) of some pictures, or relu(d); where it is not d itself, in the buffer ``active``."""
        active = work("active", d.shape, d.dtype)
        if self.norm is not None:
            np.multiply(d, self._scale, out=active)
            active += self._shift
            d = active
        if self.relu is None:
            return d
        np.maximum(d, work.zeros(d.size, d.dtype).reshape(d.shape), out=active)
        return active

    def _pool_into(self, active: np.ndarray, y: np.ndarray) -> None:
        if self.pool is None:
            y[...] = active
            return
        first, *others = _windows(active, y.shape)
        combine = np.maximum if self.pool.method == "max" else np.add
        combine(first, others[0], out=y)
        combine(y, others[1], out=y)
        combine(y, others[2], out=y)
        if self.pool.method != "max":
            y *= 0.25

    def backward(self, dy: np.ndarray, weights: Parts) -> tuple[np.ndarray | None, Parts]:
        """Return the derivatives with respect to the stage's input (None for the first stage) and its weights."""
        x, d, channels = self._x, self._d, self._d.shape[-1]
        dd = np.empty_like(d)

        def through(begin: int, end: int, work: Workspace) -> tuple[np.ndarray, np.ndarray]:
            first, second = np.zeros((2, channels))
            for some in _blocks(begin, end, d.shape):
                self._unpool_into(dy[some], self._y[some], self._activate(d[some], work), dd[some], work)
                rows = dd[some].reshape(-1, channels)
                first += np.einsum("pc->c", rows)
                if self.norm is not None:
                    second += np.einsum("pc,pc->c", rows, d[some].reshape(-1, channels))
            return first, second

        sums = over_lanes(len(x), through)
        dbias, product = sum(one[0] for one in sums), sum(one[1] for one in sums)
        gradients: Parts = {}
        a, b, e = np.ones(channels, d.dtype), np.zeros(channels, d.dtype), np.zeros(channels, d.dtype)
        if self.norm is not None:
            n = d.size // channels
            dgain = (product - self._mean * dbias) / self._sigma
            a = self._scale
            slope = -a * dgain / (n * self._sigma)
            e = (-a * dbias / n - slope * self._mean).astype(d.dtype)
            b = slope.astype(d.dtype)
            gradients[self.norm.name] = dgain.astype(d.dtype), dbias.astype(d.dtype)
            dbias = np.zeros(channels)
        dx = None if self.first else np.empty_like(x)

        def carry(begin: int, end: int, work: Workspace) -> Any:
            if self.norm is not None:
                for some in _blocks(begin, end, d.shape):
                    term = work("active", d[some].shape, d.dtype)
                    np.multiply(d[some], b, out=term)
                    term += e
                    dd[some] *= a
                    dd[some] += term
            return self.convolution.backward(x, dd, self._prepared, dx, begin, end, work)

        shares = over_lanes(len(x), carry)
        gradients[self.conv.name] = self.convolution.filters(shares), dbias.astype(d.dtype)
        return dx, gradients

    def _unpool_into(self, dy: np.ndarray, y: np.ndarray, active: np.ndarray, dd: np.ndarray, work: Workspace) -> None:
        """Carry dy of some pictures back through pool and rectifier; of equal maxima the first, by columns, counts."""
        if self.pool is None:
            np.multiply(dy, self._passed(active, work), out=dd)
            return
        dd[:, 2 * y.shape[1] :] = 0
        dd[:, :, 2 * y.shape[2] :] = 0
        if self.pool.method != "max":
            quarter = work("quarter", dy.shape, dy.dtype)
            np.multiply(dy, 0.25, out=quarter)
            for part in _windows(dd, y.shape):
                part[...] = quarter
            dd *= self._passed(active, work)
            return
        left = work("left", dy.shape, dy.dtype)  # what no entry of the window has taken so far
        np.multiply(dy, self._passed(y, work), out=left)
        hit, share = work("hit", dy.shape, bool), work("share", dy.shape, dy.dtype)
        for seen, part in zip(_windows(active, y.shape), _windows(dd, y.shape), strict=True):
            np.equal(seen, y, out=hit)
            np.multiply(left, hit, out=share)
            part[...] = share
            left -= share

    def _passed(self, active: np.ndarray, work: Workspace) -> np.ndarray:
        """Return where the rectifier let something through, judged by what came out of it."""
        passed = work("passed", active.shape, bool)
        if self.relu is None:
            passed[...] = True
        else:
            np.greater(active, 0, out=passed)
        return passed


def _blocks(begin: int, end: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield some pictures at a time, about what fits into the cache."""
    step = max(1, _ENTRIES // (shape[1] * shape[2] * shape[3]))
    for first in range(begin, end, step):
        yield slice(first, min(first + step, end))


def _windows(a: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return the four entries of all 2×2 windows, in column order."""
    height, width = 2 * shape[-3], 2 * shape[-2]
    return [a[:, i:height:2, j:width:2] for j in (0, 1) for i in (0, 1)]


class DenseStage:
    """A convolution that sees the whole map, a product of matrices for the batch, with its rectifier."""

    def __init__(self, conv: Layer, relu: Layer | None):
        self.conv, self.relu = conv, relu
        self.names, self.running = [conv.name], dict[str, np.ndarray]()

    def forward(self, x: np.ndarray, weights: Parts, training: bool) -> np.ndarray:
        """Return N×1×1×K."""
        w, b = weights[self.conv.name]
        self._x = x
        y = _product(x.reshape(len(x), -1), w.reshape(-1, w.shape[3]))
        y += b
        if self.relu is not None:
            np.maximum(y, 0, out=y)
        self._y = y.reshape(len(x), 1, 1, -1)
        return self._y

    def backward(self, dy: np.ndarray, weights: Parts) -> tuple[np.ndarray | None, Parts]:
        """Return the derivatives with respect to input and weights."""
        w, _ = weights[self.conv.name]
        rows = dy.reshape(len(dy), -1)
        if self.relu is not None:
            rows = rows * (self._y.reshape(rows.shape) > 0)
        dw = _product(self._x.reshape(len(dy), -1).T, rows).reshape(w.shape)
        dx = _product(rows, w.reshape(-1, w.shape[3]).T).reshape(self._x.shape)
        return dx, {self.conv.name: (dw, rows.sum(axis=0))}


def _product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return A @ B, the rows of A shared among the lanes."""
    product = np.empty((len(A), B.shape[1]), A.dtype)
    over_lanes(len(A), lambda begin, end, work: np.matmul(A[begin:end], B, out=product[begin:end]))
    return product


class PlainStage:
    """Any other layer, by its operator."""

    def __init__(self, layer: Layer, pad_mode: str = "zero"):
        self.layer, self.pad_mode = layer, pad_mode
        self.names, self.running = ([layer.name] if layer.kind == "conv" else []), dict[str, np.ndarray]()
        self.rng: np.random.Generator | None = None
        self._cache: Any = None

    def forward(self, x: np.ndarray, weights: Parts, training: bool) -> np.ndarray:
        """Return the layer's output; dropout drops in training only."""
        self._x = x
        result: np.ndarray
        if self.layer.kind == "dropout":
            result, self._cache = dropout(x, self.layer.rate, self.rng) if training else (x, None)
            return result
        result, self._cache = forward_step(self.layer, [x], weights.get(self.layer.name, ()), self.pad_mode)
        return result

    def backward(self, dy: np.ndarray, weights: Parts) -> tuple[np.ndarray | None, Parts]:
        """Return the derivatives with respect to input and weights."""
        if self.layer.kind == "dropout":
            return dropout_backward(dy, self._cache), {}
        gradients: Parts = {}
        if self.names:
            gradients[self.layer.name] = weight_derivatives(self.layer, dy, self._x, self._cache)
        dx: np.ndarray = backward_step(self.layer, dy, self._cache)[0]
        return dx, gradients
