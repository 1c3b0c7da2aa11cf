"""Steps of the weights, in place: stochastic gradient descent with Nesterov's momentum, and Adam."""

from __future__ import annotations

from typing import Protocol

import numpy as np

Gradients = dict[str, np.ndarray]


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
        for name, g in gradients.items():
            v = self.state.setdefault(f"velocity/{name}", np.zeros_like(g))
            v *= self.momentum
            v += g
            weights[name] -= (g + v * self.momentum) * rate


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
        for name, g in gradients.items():
            m = self.state.setdefault(f"mean/{name}", np.zeros_like(g))
            s = self.state.setdefault(f"square/{name}", np.zeros_like(g))
            m *= self.beta1
            m += g * (1 - self.beta1)
            s *= self.beta2
            s += g * g * (1 - self.beta2)
            size = np.sqrt(s / (1 - self.beta2**t)) + self.epsilon
            weights[name] -= m * (rate / (1 - self.beta1**t)) / size


def make_optimizer(name: str) -> Optimizer:
    """Return a new optimiser: ``sgd`` or ``adam``."""
    return SGD() if name == "sgd" else Adam()
