"""The interface: results, limits, callbacks, messages, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from vggnumpy.errors import InputError
from vggnumpy.optimize import Step, adam, gradient_descent, lbfgs, lbfgs_fixed_rate, minimize, momentum

METHODS = {
    "lbfgs": {},
    "lbfgs-fixed": {},
    "gradient-descent": {"rate": 1e-3},
    "momentum": {"rate": 1e-3},
    "adam": {"rate": 0.01},
}
each_method = pytest.mark.parametrize("method, options", METHODS.items())


def quartic(x):
    weights = np.arange(1.0, x.size + 1).reshape(x.shape).astype(x.dtype)
    return float((weights * x**4 + x * x).sum()), 4 * weights * x**3 + 2 * x


def start(dtype=np.float64):
    return np.linspace(-1, 1, 12, dtype=dtype).reshape(2, 2, 3)


class Counted:
    """An objective that keeps what it was asked."""

    def __init__(self, fun=quartic):
        self.fun, self.seen = fun, []

    def __call__(self, x):
        """Evaluate and keep a copy."""
        value, grad = self.fun(x)
        self.seen.append((float(value), x.copy()))
        return value, grad


@each_method
def test_a_result_has_scipys_fields(method, options):
    fun = Counted()
    result = minimize(fun, start(), method=method, maxiter=7, **options)
    assert isinstance(result, OptimizeResult)
    assert (result.nit, result.status, result.success) == (7, 1, False)
    assert "maxiter" in result.message
    assert result.nfev == result.njev == len(fun.seen)
    value, grad = quartic(result.x)
    assert result.fun == value
    np.testing.assert_array_equal(result.jac, grad)


@each_method
def test_the_lowest_point_met_is_returned(method, options):
    """On a loss with bumps, with first steps far too long: some evaluations are worse than earlier ones."""

    def bumpy(x):
        return float((x * x - np.cos(9 * x)).sum()), 2 * x + 9 * np.sin(9 * x)

    options = {"rate": 0.3} if "rate" in options else {"first_step": 3.0}
    fun = Counted(bumpy)
    result = minimize(fun, start(), method=method, maxiter=25, **options)
    values = [value for value, _ in fun.seen]
    assert values != sorted(values, reverse=True)
    assert result.fun == min(values)
    np.testing.assert_array_equal(result.x, fun.seen[int(np.argmin(values))][1])


@each_method
@pytest.mark.parametrize("maxfun", [1, 2, 5])
def test_maxfun_is_never_exceeded(method, options, maxfun):
    fun = Counted()
    result = minimize(fun, start(), method=method, maxfun=maxfun, **options)
    assert result.nfev == len(fun.seen) == maxfun
    assert result.status == 1 and "maxfun" in result.message
    assert result.fun == min(value for value, _ in fun.seen)


@each_method
def test_no_iterations_evaluate_the_start_only(method, options):
    result = minimize(quartic, start(), method=method, maxiter=0, **options)
    assert (result.nit, result.nfev, result.status) == (0, 1, 1)
    np.testing.assert_array_equal(result.x, start())
    assert result.fun == quartic(start())[0]


def test_the_result_does_not_share_memory_with_the_start():
    x0 = start()
    assert not np.shares_memory(minimize(quartic, x0, maxiter=0).x, x0)


@each_method
def test_a_start_at_the_minimum_has_converged(method, options):
    result = minimize(quartic, 0 * start(), method=method, **options)
    assert (result.success, result.status, result.nit, result.nfev) == (True, 0, 0, 1)
    assert "zero" in result.message


@each_method
def test_a_start_that_is_not_finite_in_value_is_reported(method, options):
    result = minimize(lambda x: (np.nan, x), start(), method=method, **options)
    assert (result.success, result.status, result.nit, result.nfev) == (False, 3, 0, 1)
    np.testing.assert_array_equal(result.x, start())


@each_method
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_start_are_kept(method, options, dtype):
    x0 = start(dtype)
    result = minimize(quartic, x0, method=method, maxiter=5, **options)
    assert result.x.dtype == result.jac.dtype == dtype
    assert result.x.shape == result.jac.shape == x0.shape
    np.testing.assert_array_equal(x0, start(dtype))


@pytest.mark.parametrize("form", [float, np.float64, np.float32, np.array])
def test_any_real_scalar_is_a_value(form):
    result = minimize(lambda x: (form(quartic(x)[0]), quartic(x)[1]), start(np.float32), maxiter=10)
    assert result.nit == 10 and type(result.fun) is float


def test_lists_integers_and_strided_starts_are_taken():
    assert minimize(quartic, [1.0, 2.0], maxiter=3).x.dtype == np.float64
    assert minimize(quartic, np.array([1, 2]), maxiter=3).x.dtype == np.float64
    strided = np.asfortranarray(np.repeat(start(), 2, axis=0))[::2]
    np.testing.assert_array_equal(minimize(quartic, strided).x, minimize(quartic, start()).x)


def test_the_plain_callback_gets_each_iterate():
    seen = []
    result = minimize(quartic, start(), maxiter=6, callback=lambda xk: seen.append(xk))
    steps = [step.x for _, step in zip(range(6), lbfgs(quartic, start()), strict=False)]
    np.testing.assert_array_equal(seen, steps)
    np.testing.assert_array_equal(result.x, seen[-1])


def test_a_callback_without_a_signature_is_called_plainly():
    seen = []
    minimize(quartic, start(), maxiter=3, callback=seen.append)
    assert len(seen) == 3 and seen[0].shape == start().shape


def test_the_callback_by_scipys_name_gets_a_result():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    fun = Counted()
    minimize(fun, start(), maxiter=6, callback=callback)
    assert [state.nit for state in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].nfev == len(fun.seen)
    for state in seen:
        assert isinstance(state, OptimizeResult)
        assert state.fun == quartic(state.x)[0]
        np.testing.assert_array_equal(state.jac, quartic(state.x)[1])


@each_method
def test_stop_iteration_halts(method, options):
    def callback(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    result = minimize(quartic, start(), method=method, callback=callback, **options)
    assert (result.nit, result.status, result.success) == (3, 99, False)
    assert "StopIteration" in result.message


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_other_exceptions_pass_and_the_callback_has_the_best(error):
    kept = []

    def fun(x):
        if len(kept) == 4:
            raise error
        return quartic(x)

    with pytest.raises(error):
        minimize(fun, start(), callback=kept.append)
    assert quartic(kept[-1])[0] < quartic(start())[0]


@each_method
def test_a_generator_yields_frozen_steps_and_returns_its_end(method, options):
    function = {
        "lbfgs": lbfgs,
        "lbfgs-fixed": lbfgs_fixed_rate,
        "gradient-descent": gradient_descent,
        "momentum": momentum,
        "adam": adam,
    }[method]
    steps = function(quartic, start(), maxfun=5, **options)
    for nit in (1, 2, 3):
        step = next(steps)
        assert isinstance(step, Step) and step.nit == nit and step.nfev > nit
        with pytest.raises(AttributeError):
            step.x = None
    with pytest.raises(StopIteration) as stop:
        while True:
            next(steps)
    assert stop.value.value.status == 1


def test_an_unknown_method_lists_the_methods():
    with pytest.raises(InputError, match="lbfgs, lbfgs-fixed, gradient-descent, momentum, adam, not 'bfgs'"):
        minimize(quartic, start(), method="bfgs")


def test_an_unknown_option_lists_the_options():
    with pytest.raises(InputError, match="lbfgs has no option 'rate'; its options are history, first_step"):
        minimize(quartic, start(), rate=1.0)


def test_a_missing_rate_is_named():
    with pytest.raises(InputError, match="adam needs the option 'rate'"):
        minimize(quartic, start(), method="adam")


@pytest.mark.parametrize(
    "options, name",
    [
        ({"maxiter": -1}, "maxiter"),
        ({"maxiter": 1.5}, "maxiter"),
        ({"maxiter": True}, "maxiter"),
        ({"maxfun": 0}, "maxfun"),
        ({"history": 0}, "history"),
        ({"first_step": 0.0}, "first_step"),
        ({"first_step": np.nan}, "first_step"),
        ({"method": "lbfgs-fixed", "rate": -1}, "rate"),
        ({"method": "lbfgs-fixed", "history": 2.5}, "history"),
        ({"method": "gradient-descent", "rate": "fast"}, "rate"),
        ({"method": "momentum", "rate": 1, "decay": 1.0}, "decay"),
        ({"method": "adam", "rate": 1, "beta1": -0.1}, "beta1"),
        ({"method": "adam", "rate": 1, "beta2": 2}, "beta2"),
        ({"method": "adam", "rate": 1, "epsilon": 0}, "epsilon"),
    ],
)
def test_bad_options_are_named_before_any_evaluation(options, name):
    fun = Counted()
    with pytest.raises(InputError, match=f"^{name} must be"):
        minimize(fun, start(), **options)
    assert not fun.seen


@pytest.mark.parametrize(
    "x0", [np.array([1.0, np.nan]), np.array([-np.inf, 0.0]), np.array([]), np.array([1j]), np.ones(2, np.float16)]
)
def test_a_bad_start_is_refused(x0):
    with pytest.raises(InputError, match=r"^x0 must"):
        minimize(quartic, x0)


@pytest.mark.parametrize(
    "returned, message",
    [
        ((1.0, np.ones(3)), r"gradient must have the shape of x, \(2, 2, 3\), not \(3,\)"),
        ((1.0, None), "gradient must have the shape of x, .* not NoneType"),
        ((np.ones(2), start()), r"value must be a scalar, not an array of shape \(2,\)"),
        ((1j, start()), "value must be a real number, not complex"),
    ],
)
def test_a_bad_objective_is_refused(returned, message):
    with pytest.raises(InputError, match=message):
        minimize(lambda x: returned, start())


def test_importing_the_optimisers_does_not_import_scipys():
    code = "import sys, vggnumpy.optimize; sys.exit('scipy.optimize' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
