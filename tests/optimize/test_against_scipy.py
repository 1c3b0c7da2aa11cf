"""SciPy's L-BFGS-B is the oracle: it may not be ahead by more than a few evaluations."""

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import rosen, rosen_der

from vggnumpy.optimize import minimize


def rosenbrock():
    return (lambda x: (rosen(x), rosen_der(x))), np.tile([-1.2, 1.0], 50)


def powell():
    """Build the extended Powell singular function, Moré, Garbow and Hillstrom's number 22."""

    def fun(x):
        a, b, c, d = x.reshape(-1, 4).T
        p, q, r, s = a + 10 * b, c - d, b - 2 * c, a - d
        grad = [2 * p + 40 * s**3, 20 * p + 4 * r**3, 10 * q - 8 * r**3, -10 * q - 40 * s**3]
        return float((p**2 + 5 * q**2 + r**4 + 10 * s**4).sum()), np.stack(grad, axis=1).ravel()

    return fun, np.tile([3.0, -1.0, 0.0, 1.0], 25)


def quadratic():
    curvature = np.geomspace(1, 1e6, 1000)
    return (lambda x: (float((curvature * x * x).sum() / 2), curvature * x)), np.ones(1000)


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
