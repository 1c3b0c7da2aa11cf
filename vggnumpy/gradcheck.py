r"""Checking gradients: finite differences and the adjoint identity, for any callables on arrays.

A derivative is checked along a direction d.  With φ(h) = f(x + h d),

    (φ(h) − φ(−h)) / 2h  =  ⟨∇f(x), d⟩ + O(h²)

so one number on the left, from two evaluations, is compared with one on the right, whatever the size of x.  A random
d has no entry near zero, so that no part of the gradient escapes.  Too large a step leaves the O(h²), too small a
step divides the rounding of f by h: several are tried and the smallest error counts.  Everything is float64.

A linear operator A is checked without any step: its backward pass must be its transpose, ⟨A x, u⟩ = ⟨x, Aᵀ u⟩.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STEPS = (1e-4, 1e-5, 1e-6, 1e-7)


def check_gradient(
    fun: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    rng: int | np.random.Generator = 0,
    directions: int = 3,
    steps: Sequence[float] = STEPS,
) -> float:
    """Return how far a function's gradient is from finite differences.

    Parameters
    ----------
    fun : callable
        x → (value, gradient).
    x : ndarray, float64
        Where to check.  Kinks should be farther away than the largest step, see `distinct`.
    rng : int or Generator
        Seed of the directions.
    directions : int
        How many are tried.
    steps : sequence of float
        Step sizes; the one with the smallest error counts, for each direction.

    Returns
    -------
    float
        The largest over the directions of |difference − analytic| / max(|difference|, |analytic|).
    """
    generator = np.random.default_rng(rng)
    gradient = fun(x)[1]
    errors = []
    for _ in range(directions):
        d = random_direction(x.shape, generator)
        analytic = float((gradient * d).sum())
        differences = [float(fun(x + h * d)[0] - fun(x - h * d)[0]) / (2 * h) for h in steps]
        errors.append(min(relative_error(difference, analytic) for difference in differences))
    return max(errors)


def check_vjp(
    forward: Callable[[np.ndarray], tuple[np.ndarray, Any]],
    backward: Callable[[np.ndarray, Any], np.ndarray],
    x: np.ndarray,
    rng: int | np.random.Generator = 0,
) -> float:
    """Return how far an operator's backward pass is from finite differences of its forward pass.

    The operator is turned into the function f(x) = ⟨u, y(x)⟩ with a random u, whose gradient is backward(u).

    Parameters
    ----------
    forward : callable
        x → (y, cache).
    backward : callable
        (dy, cache) → dx.
    x : ndarray, float64
    rng : int or Generator

    Returns
    -------
    float
        As `check_gradient`.
    """
    generator = np.random.default_rng(rng)
    u = generator.standard_normal(forward(x)[0].shape)

    def fun(at: np.ndarray) -> tuple[float, np.ndarray]:
        y, cache = forward(at)
        return float((u * y).sum()), backward(u, cache)

    return check_gradient(fun, x, generator)


def check_adjoint(
    forward: Callable[[np.ndarray], tuple[np.ndarray, Any]],
    backward: Callable[[np.ndarray, Any], np.ndarray],
    x: np.ndarray,
    rng: int | np.random.Generator = 0,
) -> float:
    """Return how far ⟨A x, u⟩ and ⟨x, Aᵀ u⟩ of a linear operator differ, relative to ‖A x‖ ‖u‖.

    Parameters
    ----------
    forward, backward, x, rng
        As for `check_vjp`; `x` is only read for its shape.
    """
    generator = np.random.default_rng(rng)
    x = generator.standard_normal(x.shape)
    y, cache = forward(x)
    u = generator.standard_normal(y.shape)
    left, right = float((y * u).sum()), float((x * backward(u, cache)).sum())
    return abs(left - right) / float(np.linalg.norm(y) * np.linalg.norm(u))


def random_direction(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Return a direction with entries of either sign and magnitude 0.5 to 1.5, none near zero."""
    signs: np.ndarray = generator.choice([-1.0, 1.0], shape)
    return signs * generator.uniform(0.5, 1.5, shape)


def distinct(shape: tuple[int, ...], rng: int | np.random.Generator = 0, gap: float = 1e-2) -> np.ndarray:
    """Return an array of distinct values, `gap` apart and half a gap from zero, in random order.

    A step below half the gap never changes which of two values is larger, nor a sign: rectifiers, maxima and absolute
    values are smooth around such a point.
    """
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2 + 0.5) * gap
    return np.random.default_rng(rng).permutation(values).reshape(shape)


def relative_error(a: float, b: float) -> float:
    """Return |a − b| / max(|a|, |b|), 0 if both are zero and infinity if one is not finite."""
    if not (np.isfinite(a) and np.isfinite(b)):
        return float("inf")
    scale = max(abs(a), abs(b))
    return abs(a - b) / scale if scale else 0.0
