"""SciPy's L-BFGS-B is the oracle: it may not be ahead by more than a few evaluations."""

import numpy as np
import pytest
from problems import powell, quadratic, rosenbrock
from scipy.optimize import minimize as scipy_minimize

from vggnumpy.optimize import minimize


def lowest(run, fun, x0, maxfun):
    """Run, and list the lowest value so far after each evaluation."""
    values = []

    def recorded(x):
        value, grad = fun(x)
        values.append(value)
        return value, grad

    run(recorded, x0, maxfun)
    return np.minimum.accumulate(values)


def scipys(fun, x0, maxfun):
    options = {"maxcor": 10, "ftol": 0, "gtol": 0, "maxfun": maxfun, "maxiter": maxfun}
    scipy_minimize(fun, x0, jac=True, method="L-BFGS-B", options=options)


def ours(fun, x0, maxfun):
    minimize(fun, x0, maxiter=maxfun, maxfun=maxfun)


def evaluations(problem):
    """Count, for SciPy's values after 20, 50 and 100 evaluations, how many SciPy and we need to reach them.

    All minima are 0; losses below 1e-10 of the start's are rounding and count as equal.
    """
    fun, x0 = problem()
    theirs, mine = lowest(scipys, fun, x0, 100), lowest(ours, fun, x0, 120)
    targets = [max(theirs[count - 1], 1e-10 * theirs[0]) for count in (20, 50, 100)]
    return [(first(theirs, target), first(mine, target)) for target in targets]


def first(values, target):
    below = np.flatnonzero(values <= target)
    return int(below[0]) + 1 if below.size else np.inf


@pytest.mark.parametrize("problem", [rosenbrock, powell, quadratic])
def test_never_far_behind(problem):
    for theirs, mine in evaluations(problem):
        assert mine <= theirs + max(2, 0.05 * theirs)


def test_ahead_in_at_least_half_of_the_cases():
    pairs = [pair for problem in (rosenbrock, powell, quadratic) for pair in evaluations(problem)]
    assert sum(mine < theirs for theirs, mine in pairs) >= len(pairs) / 2


def test_the_same_minimum():
    fun, x0 = rosenbrock()
    result = minimize(fun, x0, maxiter=2000)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-6)
