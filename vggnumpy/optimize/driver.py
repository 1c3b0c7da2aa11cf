"""`minimize`: the generators behind SciPy's interface."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vggnumpy.errors import InputError
from vggnumpy.optimize.evaluation import CONVERGED, HALTED, LIMIT, End, Evaluations, Objective, Steps, check_integer
from vggnumpy.optimize.first_order import adam, gradient_descent, momentum
from vggnumpy.optimize.fixed_rate import lbfgs_fixed_rate
from vggnumpy.optimize.lbfgs import lbfgs
from vggnumpy.optimize.vectors import Array

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

METHODS: dict[str, Callable[..., Steps]] = {
    "lbfgs": lbfgs,
    "lbfgs-fixed": lbfgs_fixed_rate,
    "gradient-descent": gradient_descent,
    "momentum": momentum,
    "adam": adam,
}


def minimize(
    fun: Objective,
    x0: Array,
    *,
    method: str = "lbfgs",
    maxiter: int = 500,
    maxfun: int | None = None,
    callback: Callable[..., object] | None = None,
    **options: Any,
) -> "OptimizeResult":
    """Minimise a function of an array, given its value and gradient.

    Parameters
    ----------
    fun : callable
        ``fun(x) → (value, gradient)``: a real scalar (Python, NumPy or 0-d array) and an array of x's shape.
    x0 : array
        The start, of any shape, float32 or float64; it is not written to.
    method : str
        ``"lbfgs"``, ``"lbfgs-fixed"``, ``"gradient-descent"``, ``"momentum"`` or ``"adam"``.
    maxiter : int
        Largest number of accepted iterations.
    maxfun : int or None
        Largest number of evaluations, never exceeded.
    callback : callable or None
        Called after each accepted iteration: ``callback(intermediate_result)`` by keyword, with an
        ``OptimizeResult`` (x, fun, jac, nit, nfev), if that is its only parameter's name, else ``callback(xk)``.
        It halts the run by raising ``StopIteration``.  The arrays it gets stay valid and must not be written to.
    **options
        The keyword options of the method: see `lbfgs`, `lbfgs_fixed_rate`, `gradient_descent`, `momentum`,
        `adam`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x, fun, jac`` of the lowest value met at any evaluation, ``nit, nfev, njev``, ``success`` (status 0), a
        ``message``, and ``status``: 0 the gradient is zero, 1 ``maxiter`` or ``maxfun`` reached, 2 frozen (no
        step lowers the loss any more: for want of precision, or because the gradient is wrong), 3 the loss is
        not finite or explodes, 99 halted by the callback.

    Raises
    ------
    InputError
        For an unknown method or option, a missing or bad option, a start or an objective that cannot be used.

    Notes
    -----
    An exception from ``fun`` or ``callback``, ``KeyboardInterrupt`` included, passes through, and no result is
    returned.  Whoever wants to keep the best so far then keeps it in the callback, or loops over the method's
    generator and keeps the step with the lowest ``fun``; steps may be held as they are, without a copy.

    Examples
    --------
    >>> import numpy as np
    >>> result = minimize(lambda x: (float((x**4).sum()), 4 * x**3), np.ones((2, 3)), maxiter=20)
    >>> result.nit, bool(result.fun < 1e-6)
    (20, True)
    """
    from scipy.optimize import OptimizeResult

    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    check_integer("maxiter", maxiter, least=0)
    _check_options(method, options)
    evaluate = Evaluations(fun, x0, maxfun)
    steps = METHODS[method](evaluate, evaluate.x0, **options)
    report = _reporter(callback, OptimizeResult)
    nit = 0
    if maxiter == 0:
        evaluate(evaluate.x0)
    end = End(LIMIT, "reached maxiter, the largest number of iterations")
    while nit < maxiter:
        try:
            step = next(steps)
        except StopIteration as stop:
            end = stop.value
            break
        nit = step.nit
        try:
            report(step)
        except StopIteration:
            end = End(HALTED, "the callback raised StopIteration")
            break
    steps.close()
    x, value, grad = evaluate.best
    return OptimizeResult(
        x=x,
        fun=value,
        jac=grad,
        nit=nit,
        nfev=evaluate.count,
        njev=evaluate.count,
        status=end.status,
        success=end.status == CONVERGED,
        message=end.message,
    )


def _check_options(method: str, options: dict[str, Any]) -> None:
    """Hold the options against the method's signature."""
    known = {
        name: parameter
        for name, parameter in inspect.signature(METHODS[method]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "maxfun"
    }
    for name in options:
        if name not in known:
            raise InputError(f"{method} has no option {name!r}; its options are {', '.join(known)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise InputError(f"{method} needs the option {name!r}")


def _reporter(callback: Callable[..., object] | None, result: type) -> Callable[..., object]:
    """``report(step)``, which calls the callback in the form its parameters ask for, as SciPy does."""
    if callback is None:
        return lambda step: None
    try:
        names = list(inspect.signature(callback).parameters)
    except ValueError:  # some functions written in C have no signature
        names = []
    if names != ["intermediate_result"]:
        return lambda step: callback(step.x)
    return lambda step: callback(
        intermediate_result=result(x=step.x, fun=step.fun, jac=step.grad, nit=step.nit, nfev=step.nfev)
    )
