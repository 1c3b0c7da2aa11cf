"""Limited-memory BFGS with a line search; the product with the inverse Hessian."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vggnumpy.optimize.evaluation import (
    CONVERGED,
    FROZEN,
    NOT_FINITE,
    End,
    Evaluations,
    Objective,
    Step,
    Steps,
    check_integer,
    check_positive,
    ending,
)
from vggnumpy.optimize.line_search import Point, line_search
from vggnumpy.optimize.vectors import Array, Scalar, dot, mean_magnitude, scaled, to_floats

FIRST_STEP = 0.005  # of the mean |x0|
REACH = 4.0
FIRST_REACH = 64.0  # along the gradient nothing is known about the scale yet, so a step may grow faster
IDLE = 10  # accepted steps in a row without a new lowest value that count as frozen
ROUNDING_ERRORS = 4.0  # the loss is taken to be known to this many times ε relative to its size


class Pair(NamedTuple):
    """A step, the change of the gradient over it, and ρ = 1/(yᵀs)."""

    s: Array
    y: Array
    rho: float


def two_loop(pairs: Sequence[Pair], grad: Array) -> Array:
    """H·g: the inverse Hessian that the pairs describe, applied to the gradient, in a new array.

    BFGS updates an inverse Hessian H with each pair s = x₊ − x, y = g₊ − g so that H₊y = s::

        H₊ = Vᵀ H V + ρ s sᵀ,    V = I − ρ y sᵀ,    ρ = 1/(yᵀs)

    With the pairs 1 … m (newest last) and H₀ = γI this is a product of thin factors, and only products with
    vectors are needed:

    1. q = g.  For i = m … 1: q ← V_i q.  As ρ y (sᵀq) = α y with α_i = ρ_i s_iᵀq, this is q ← q − α_i y_i.
    2. z = γ q with γ = s_mᵀy_m / y_mᵀy_m, which is the size of the inverse curvature along the last step, so
       that a step of length 1 is of the right order.
    3. For i = 1 … m: z ← V_iᵀ z + ρ_i s_i s_iᵀ(q before its V_i).  The first is z − ρ_i s_i (y_iᵀz) and the
       second α_i s_i; with β_i = ρ_i y_iᵀz together z ← z + (α_i − β_i) s_i.

    Parameters
    ----------
    pairs : sequence of Pair
        Oldest first, at least one; all with yᵀs > 0, which keeps H positive definite.
    grad : array
        g, any shape.

    Returns
    -------
    array
        z = H g, in the shape and dtype of ``grad``.  4m scalar factors are float64, the vectors stay as they are.

    References
    ----------
    J. Nocedal, Math. Comp. 35 (1980) 773–782.  Nocedal and Wright, *Numerical Optimization*, algorithm 7.4,
    γ in equation 7.20.
    """
    q = grad.copy()
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * dot(s, q)
        q -= scaled(alpha, y)
        alphas.append(alpha)
    _, y, rho = pairs[-1]
    z = scaled(1 / (rho * dot(y, y)), q)
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        beta = rho * dot(y, z)
        z += scaled(alpha - beta, s)
    return z


def products(x: Array, grad: Array, new_x: Array, new_grad: Array) -> tuple[Scalar, Scalar, Scalar]:
    """sᵀy, sᵀs and yᵀy of the step s = x₊ − x and the change y = g₊ − g: what `remember` wants to know."""
    s, y = new_x - x, new_grad - grad
    return dot(s, y), dot(s, s), dot(y, y)


def remember(pairs: deque[Pair], s: Array, y: Array, measured: Sequence[float], rounding: float) -> None:
    """Append the pair unless its curvature could be rounding: only with sᵀy > ε‖s‖‖y‖, a test without a scale."""
    sy, ss, yy = measured
    if sy > rounding * math.sqrt(ss * yy):
        pairs.append(Pair(s, y, 1 / sy))


def lbfgs(
    fun: Objective,
    x0: Array,
    *,
    history: int = 10,
    first_step: float | None = None,
    maxfun: int | None = None,
) -> Steps:
    """Iterate L-BFGS with a strong-Wolfe line search; a generator of steps without an end of its own making.

    One iteration:

    1. p = −H g by `two_loop`; without pairs p = −g.
    2. t by `line_search`, tried first at 1; without pairs at the t that changes an unknown by ``first_step`` on
       average.  (The usual 1/‖g‖ changes each of n unknowns by 1/√n, for a large float32 image less than the
       spacing of its numbers, and the loss never moves.)
    3. The pair s = x₊ − x, y = g₊ − g is kept if its curvature is more than rounding; the oldest falls out.

    **Trouble.**  A search that finds nothing lower, or ten accepted steps without a new lowest value, drops the
    pairs and starts again down the gradient, once; if that does not lower the loss either, it ends.  Where the
    loss or its gradient is not finite, the search shortens the step.

    All tests are relative: multiplying the loss by a power of two changes no iterate by a single bit.

    Parameters
    ----------
    fun : callable
        ``fun(x) → (value, gradient)``; x of any shape, the gradient in that shape.
    x0 : array
        The start, float32 or float64, finite.  All vectors keep its dtype; scalar products are float64.
    history : int
        Pairs kept; memory is 2·history + 8 vectors, counting temporary ones.
    first_step : float or None
        Mean absolute change per unknown of the first trial, in the unknowns' units (grey levels).  None: 0.005
        times x0's mean absolute value (half a grey level or so), or 0.005 where x0 is all zero.
    maxfun : int or None
        Largest number of evaluations.

    Yields
    ------
    Step
        Each accepted step.

    Returns
    -------
    End
        Converged (zero gradient), limit, frozen or not finite: the value of the generator's ``StopIteration``.

    Raises
    ------
    InputError
        At once for a bad option or start; at an evaluation for a value or gradient that cannot be used.
    """
    check_integer("history", history, least=1)
    evaluate = Evaluations.of(fun, x0, maxfun)
    return ending(_lbfgs(evaluate, history, starting_change(first_step, evaluate.x0)))


def _lbfgs(evaluate: Evaluations, history: int, first_step: float) -> Steps:
    x = evaluate.x0
    value, grad, (steepness,) = evaluate(x, lambda grad: (mean_magnitude(grad),))
    if math.isnan(value):
        return End(NOT_FINITE, "the loss or its gradient is not finite at the start")
    pairs: deque[Pair] = deque(maxlen=history)
    lowest, idle, fresh, nit = value, 0, True, 0
    while True:
        if steepness == 0:
            return End(CONVERGED, "the gradient is zero")
        noise = ROUNDING_ERRORS * evaluate.rounding * abs(value)
        direction = two_loop(pairs, grad) if pairs else grad.copy()
        direction *= -1.0
        t, reach = (1.0, REACH) if pairs else (first_step / steepness, FIRST_REACH)
        broken = evaluate.not_finite
        phi = _along(evaluate, x, grad, direction)
        first = phi(t)
        start = Point(0.0, value, first.measured[0], x, grad)
        found = None
        if start.slope < 0:  # always, but for rounding in an ill-conditioned product
            found = line_search(phi, start, first, noise=noise, reach=reach)
        if found is not None:
            _, steepness, *curvature = found.measured
            remember(pairs, found.x - x, found.grad - grad, curvature, evaluate.rounding)
            x, value, grad = found.x, found.value, found.grad
            nit += 1
            idle = 0 if value < lowest else idle + 1
            fresh = fresh or value < lowest - noise
            lowest = min(lowest, value)
            yield Step(nit, evaluate.count, x, value, grad, found.t)
        if found is None or idle == IDLE:
            if not pairs or not fresh:
                return _stuck(evaluate.not_finite > broken)
            pairs.clear()
            x, value, grad = evaluate.best
            (steepness,) = to_floats(mean_magnitude(grad))
            idle, fresh = 0, False


def _along(evaluate: Evaluations, x: Array, grad: Array, direction: Array) -> Callable[[float], Point]:
    """φ(t) = f(x + t·direction), with φ′(0), the steepness and the curvature's products among what is measured.

    φ′(0) = gᵀ·direction is known before the trial, but a device would have to be asked for it once more.
    """

    def phi(t: float) -> Point:
        trial = t * direction
        trial += x
        value, new_grad, (slope, *measured) = evaluate(trial, lambda new_grad: measures(trial, new_grad))
        return Point(t, value, slope, trial, new_grad, tuple(measured))

    def measures(trial: Array, new_grad: Array) -> tuple[Scalar, ...]:
        slopes = dot(new_grad, direction), dot(grad, direction)
        return *slopes, mean_magnitude(new_grad), *products(x, grad, trial, new_grad)

    return phi


def _stuck(not_finite: bool) -> End:
    if not_finite:
        return End(NOT_FINITE, "the loss or its gradient is not finite, and no short enough step lowers it")
    return End(FROZEN, "no step lowers the loss: it is down to its rounding, or the gradient is not its own")


def starting_change(first_step: float | None, x0: Array) -> float:
    """Check ``first_step``, and put its default in the place of None."""
    if first_step is None:
        return FIRST_STEP * (to_floats(mean_magnitude(x0))[0] or 1.0)
    check_positive("first_step", first_step)
    return first_step
