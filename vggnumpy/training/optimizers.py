"""Steps of the weights, in place: stochastic gradient descent with Nesterov's momentum, and Adam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

Gradients = dict[str, np.ndarray]
_BLOCK = 1 << 15  # entries that are stepped at one time: temporaries stay in the cache, however large a layer is


class Optimizer(Protocol):
    """What moves weights; ``state`` is all that it remembers, name → array."""

    state: dict[str, np.ndarray]

    def step(self, weights: dict[str, np.ndarray], gradients: Gradients, rate: float) -> None:
        """Change the weights in place."""
        ...


class SGD:
    """v ← μ v + g,   w ← w − r (g + μ v): Nesterov's momentum as Sutskever et al. (2013) write it, one step on.

    Parameters
    ----------
    momentum : float
        μ.
    """

    def __init__(self, momentum: float = 0.9):
        self.momentum, self.state = momentum, dict[str, np.ndarray]()

    def step(self, weights: dict[str, np.ndarray], gradients: Gradients, rate: float) -> None:
        """Change the weights in place."""
        for name, gradient in gradients.items():
            velocity = _kept(self.state, f"velocity/{name}", gradient)
            for w, g, v in _blocks(weights[name], gradient, velocity):
                v *= self.momentum
                v += g
                w -= (g + v * self.momentum) * rate


class Adam:
    """m ← β₁ m + (1 − β₁) g,   s ← β₂ s + (1 − β₂) g²,   w ← w − r m̂ / (√ŝ + ε) (Kingma and Ba, 2015, algorithm 1).

    Parameters
    ----------
    beta1, beta2, epsilon : float
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8):
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.state: dict[str, np.ndarray] = {"steps": np.zeros((), "int64")}

    def step(self, weights: dict[str, np.ndarray], gradients: Gradients, rate: float) -> None:
        """Change the weights in place."""
        self.state["steps"] += 1
        t = int(self.state["steps"])
        for name, gradient in gradients.items():
            mean = _kept(self.state, f"mean/{name}", gradient)
            square = _kept(self.state, f"square/{name}", gradient)
            for w, g, m, s in _blocks(weights[name], gradient, mean, square):
                m *= self.beta1
                m += g * (1 - self.beta1)
                s *= self.beta2
                s += g * g * (1 - self.beta2)
                size = np.sqrt(s / (1 - self.beta2**t)) + self.epsilon
                w -= m * (rate / (1 - self.beta1**t)) / size


def _kept(state: dict[str, np.ndarray], name: str, like: np.ndarray) -> np.ndarray:
    """Return what is remembered under a name, zeros at first."""
    if name not in state:
        state[name] = np.zeros(like.shape, like.dtype)
    return state[name]


def _blocks(weights: np.ndarray, *others: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same stretch of all arrays, one after the other; views, for `weights` at least."""
    if not weights.flags.c_contiguous:
        raise ValueError("weights must lie in memory in one piece to be changed in place")
    flat = [array.reshape(-1) for array in (weights, *others)]
    for start in range(0, weights.size, _BLOCK):
        yield tuple(array[start : start + _BLOCK] for array in flat)


def make_optimizer(name: str) -> Optimizer:
    """Return a new optimiser: ``sgd`` or ``adam``."""
    return SGD() if name == "sgd" else Adam()
