"""L-BFGS with the fixed rate of the MatConvNet report, its Algorithm 1."""

import math
from collections import deque
from collections.abc import Callable

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
from vggnumpy.optimize.lbfgs import Pair, products, remember, starting_change, two_loop
from vggnumpy.optimize.vectors import Array, Scalar, mean_magnitude, to_floats

EXPLOSION = 2.0**10  # a value beyond this multiple of |f(x0)| has exploded


def lbfgs_fixed_rate(
    fun: Objective,
    x0: Array,
    *,
    rate: float = 1.0,
    history: int = 10,
    first_step: float | None = None,
    maxfun: int | None = None,
) -> Steps:
    """Iterate the report's Algorithm 1, L-BFGS with a fixed rate λ: x₊ = x − λ H g, one evaluation per step.

    1. The first step is the scaled gradient: x₊ = x − t g with t such that an unknown changes by ``first_step``
       on average.
    2. After it z = H g by `two_loop` and x₊ = x − λ z.
    3. The pair of each step is kept if its curvature is more than rounding.

    Nothing makes the loss fall.  Where it is not finite or exceeds 2¹⁰ times its size at the start, the pairs
    are dropped and the iteration starts again from the best point with an eighth of the first step, once; then
    it ends.

    Parameters
    ----------
    fun, x0, history, first_step, maxfun
        As in `lbfgs`.
    rate : float
        λ; 1 takes the quasi-Newton step as it is.

    Yields
    ------
    Step
        Each step; its ``step_size`` is the factor on the gradient in step 1, then λ.

    Returns
    -------
    End
        Converged (zero gradient), limit, frozen (x no longer changes) or not finite.

    Raises
    ------
    InputError
        As `lbfgs`.
    """
    check_positive("rate", rate)
    check_integer("history", history, least=1)
    evaluate = Evaluations.of(fun, x0, maxfun)
    return ending(_lbfgs_fixed_rate(evaluate, rate, history, starting_change(first_step, evaluate.x0)))


def _lbfgs_fixed_rate(evaluate: Evaluations, rate: float, history: int, first_step: float) -> Steps:
    x = evaluate.x0
    value, grad, (steepness,) = evaluate(x, lambda grad: (mean_magnitude(grad),))
    if math.isnan(value):
        return End(NOT_FINITE, "the loss or its gradient is not finite at the start")
    limit = EXPLOSION * abs(value)
    pairs: deque[Pair] = deque(maxlen=history)
    restarted, nit = False, 0
    while True:
        if steepness == 0:
            return End(CONVERGED, "the gradient is zero")
        t, direction = (rate, two_loop(pairs, grad)) if pairs else (first_step / steepness, grad)
        new_x = x - t * direction
        new_value, new_grad, (moved, new_steepness, *curvature) = evaluate(new_x, _measures(x, grad, new_x))
        if not moved:
            return End(FROZEN, "the step is smaller than the spacing of the unknowns")
        if not new_value <= limit:
            if restarted:
                return End(NOT_FINITE, "the loss exploded again after a restart; try a smaller rate")
            pairs.clear()
            x, value, grad = evaluate.best
            (steepness,) = to_floats(mean_magnitude(grad))
            first_step, restarted = first_step / 8, True
            continue
        remember(pairs, new_x - x, new_grad - grad, curvature, evaluate.rounding)
        x, value, grad, steepness = new_x, new_value, new_grad, new_steepness
        nit += 1
        yield Step(nit, evaluate.count, x, value, grad, t)


def _measures(x: Array, grad: Array, new_x: Array) -> Callable[[Array], tuple[Scalar, ...]]:
    """Whether x moved, how steep it is there, and the curvature of the step."""
    return lambda new_grad: ((new_x != x).any(), mean_magnitude(new_grad), *products(x, grad, new_x, new_grad))
