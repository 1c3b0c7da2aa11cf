"""First-order methods: gradient descent, momentum and Adam, with learning rates that may follow a schedule."""

import math
from collections.abc import Callable
from itertools import count
from typing import TypeAlias

from vggnumpy.errors import InputError
from vggnumpy.optimize.evaluation import (
    CONVERGED,
    FROZEN,
    NOT_FINITE,
    End,
    Evaluations,
    Objective,
    Step,
    Steps,
    check_positive,
    ending,
)
from vggnumpy.optimize.vectors import Array, Scalar

Schedule: TypeAlias = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """``rate`` at every iteration."""
    return lambda k: rate


def linear(start: float, stop: float, iterations: int) -> Schedule:
    """From ``start`` at k = 0 in a straight line to ``stop`` at k = ``iterations``, and ``stop`` from there.

    ``linear(10, 1, 1000)`` is the CS229 report's.
    """
    return lambda k: start + (stop - start) * min(k / iterations, 1.0)


def exponential(start: float, factor: float) -> Schedule:
    """``start · factor^k``."""
    return lambda k: start * factor**k


def stepwise(start: float, factor: float, every: int) -> Schedule:
    """``start``, multiplied by ``factor`` after each ``every`` iterations."""
    return lambda k: start * factor ** (k // every)


def gradient_descent(fun: Objective, x0: Array, *, rate: float | Schedule, maxfun: int | None = None) -> Steps:
    """Iterate x₊ = x − r g, one evaluation per step.

    Parameters
    ----------
    fun, x0, maxfun
        As in `lbfgs`.
    rate : float or callable
        r, or a schedule ``rate(k)`` for k = 0, 1, ….

    Yields
    ------
    Step
        Each step; its ``step_size`` is r.

    Returns
    -------
    End
        Converged (zero gradient), limit, frozen (x no longer changes) or not finite.  Nothing is tried again: a
        rate too large for the loss is the caller's to lower.

    Raises
    ------
    InputError
        For a bad option or start, and for a value or gradient that cannot be used.
    """
    evaluate = Evaluations.of(fun, x0, maxfun)
    return ending(_descend(evaluate, _schedule(rate), lambda k, r, grad: -r * grad))


def momentum(
    fun: Objective,
    x0: Array,
    *,
    rate: float | Schedule,
    decay: float = 0.9,
    reset_on_rate_change: bool = False,
    maxfun: int | None = None,
) -> Steps:
    """Iterate m₊ = μ m − r g, x₊ = x + m₊ (heavy ball), from m = 0.

    Parameters
    ----------
    fun, x0, rate, maxfun
        As in `gradient_descent`.
    decay : float
        μ, at least 0 and below 1.
    reset_on_rate_change : bool
        Set m = 0 before a step whose rate differs from the step before, as deep-goggle does (Mahendran and
        Vedaldi, "Understanding deep image representations by inverting them").

    Yields
    ------
    Step
        Each step; its ``step_size`` is r.

    Returns
    -------
    End
        As `gradient_descent`.

    Raises
    ------
    InputError
        As `gradient_descent`.

    References
    ----------
    B. Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1–17.
    """
    _check_fraction("decay", decay)
    evaluate = Evaluations.of(fun, x0, maxfun)
    m, last = evaluate.x0 * 0.0, math.nan

    def change(k: int, r: float, grad: Array) -> Array:
        nonlocal m, last
        m *= 0.0 if reset_on_rate_change and r != last else decay
        m -= r * grad
        last = r
        return m

    return ending(_descend(evaluate, _schedule(rate), change))


def adam(
    fun: Objective,
    x0: Array,
    *,
    rate: float | Schedule,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    maxfun: int | None = None,
) -> Steps:
    """Iterate Adam: a mean gradient over the root of a mean square, entry by entry.

    With k counted from 0::

        m ← β₁ m + (1 − β₁) g               v ← β₂ v + (1 − β₂) g²
        x₊ = x − r · m/(1 − β₁^(k+1)) / (√(v/(1 − β₂^(k+1))) + ε)

    Parameters
    ----------
    fun, x0, rate, maxfun
        As in `gradient_descent`; an unknown moves by about r per step, whatever the loss's scale.
    beta1, beta2 : float
        Decay of the means of g and g², at least 0 and below 1.
    epsilon : float
        ε, positive, in the gradient's units, as published: the one place here where the loss's scale matters.

    Yields
    ------
    Step
        Each step; its ``step_size`` is r.

    Returns
    -------
    End
        As `gradient_descent`.

    Raises
    ------
    InputError
        As `gradient_descent`.

    References
    ----------
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """
    _check_fraction("beta1", beta1)
    _check_fraction("beta2", beta2)
    check_positive("epsilon", epsilon)
    evaluate = Evaluations.of(fun, x0, maxfun)
    m, v = evaluate.x0 * 0.0, evaluate.x0 * 0.0

    def change(k: int, r: float, grad: Array) -> Array:
        nonlocal m, v
        m *= beta1
        m += (1 - beta1) * grad
        v *= beta2
        v += (1 - beta2) * grad * grad
        root = (v / (1 - beta2 ** (k + 1))) ** 0.5
        root += epsilon
        return (-r / (1 - beta1 ** (k + 1))) * m / root

    return ending(_descend(evaluate, _schedule(rate), change))


def _descend(evaluate: Evaluations, rate: Schedule, change: Callable[[int, float, Array], Array]) -> Steps:
    """Iterate x ← x + change(k, rate(k), g)."""
    x = evaluate.x0
    value, grad, (steep,) = evaluate(x, lambda grad: ((grad != 0).any(),))
    for k in count():
        if math.isnan(value):
            return End(NOT_FINITE, "the loss or its gradient is not finite; try a smaller rate")
        if not steep:
            return End(CONVERGED, "the gradient is zero")
        r = float(rate(k))
        new_x = x + change(k, r, grad)
        value, grad, (steep, moved) = evaluate(new_x, _measures(x, new_x))
        if not moved:
            return End(FROZEN, "the step is smaller than the spacing of the unknowns")
        x = new_x
        if not math.isnan(value):
            yield Step(k + 1, evaluate.count, x, value, grad, r)
    raise AssertionError("unreachable")


def _measures(x: Array, new_x: Array) -> Callable[[Array], tuple[Scalar, Scalar]]:
    """Whether the gradient is anywhere other than zero, and whether x moved."""
    return lambda grad: ((grad != 0).any(), (new_x != x).any())


def _schedule(rate: float | Schedule) -> Schedule:
    if callable(rate):
        return rate
    check_positive("rate", rate)
    return constant(rate)


def _check_fraction(name: str, value: float) -> None:
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{name} must be at least 0 and below 1, not {value!r}")
