"""Gradient descent, momentum and Adam against their formulas written out, and the schedules."""

import numpy as np
import pytest

from vggnumpy.optimize import (
    adam,
    constant,
    exponential,
    gradient_descent,
    linear,
    minimize,
    momentum,
    stepwise,
)

WEIGHTS = np.array([1.0, 3.0, 10.0])
X0 = np.array([1.0, -2.0, 0.5])


def bowl(x):
    weights = WEIGHTS.astype(x.dtype)
    return float((weights * x * x).sum() / 2), weights * x


def path(steps, count=8):
    return [step for _, step in zip(range(count), steps, strict=False)]


def test_gradient_descent_is_its_formula():
    steps = path(gradient_descent(bowl, X0, rate=0.05))
    np.testing.assert_allclose([s.x for s in steps], [X0 * (1 - 0.05 * WEIGHTS) ** k for k in range(1, 9)])
    assert [s.step_size for s in steps] == [0.05] * 8
    assert [s.fun for s in steps] == [bowl(s.x)[0] for s in steps]


@pytest.mark.parametrize("reset", [False, True])
def test_momentum_is_its_formula(reset):
    rates = [0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02, 0.01]
    x, m, expected = X0, np.zeros(3), []
    for k, rate in enumerate(rates):
        if reset and k and rate != rates[k - 1]:
            m = np.zeros(3)
        m = 0.8 * m - rate * bowl(x)[1]
        x = x + m
        expected.append(x)
    steps = path(momentum(bowl, X0, rate=lambda k: rates[k], decay=0.8, reset_on_rate_change=reset))
    np.testing.assert_allclose([s.x for s in steps], expected, rtol=1e-13)
    assert [s.step_size for s in steps] == rates


def test_adam_is_its_formula():
    x, m, v, expected = X0, 0.0, 0.0, []
    for k in range(1, 9):
        grad = bowl(x)[1]
        m = 0.7 * m + 0.3 * grad
        v = 0.9 * v + 0.1 * grad**2
        x = x - 0.1 * (m / (1 - 0.7**k)) / (np.sqrt(v / (1 - 0.9**k)) + 1e-3)
        expected.append(x)
    steps = path(adam(bowl, X0, rate=0.1, beta1=0.7, beta2=0.9, epsilon=1e-3))
    np.testing.assert_allclose([s.x for s in steps], expected, rtol=1e-12)


def test_adams_first_step_is_the_rate_whatever_the_scale():
    for power in (0, 20, 40):
        step = next(adam(lambda x, p=power: (bowl(x)[0] * 2.0**p, bowl(x)[1] * 2.0**p), X0, rate=10.0))
        np.testing.assert_allclose(step.x, X0 - 10 * np.sign(X0), rtol=1e-6)


def test_schedules():
    assert [constant(3.0)(k) for k in (0, 5)] == [3.0, 3.0]
    assert [linear(10, 1, 1000)(k) for k in (0, 500, 1000, 2000)] == [10, 5.5, 1, 1]
    assert [exponential(8, 0.5)(k) for k in (0, 1, 3)] == [8, 4, 1]
    assert [stepwise(8, 0.5, 10)(k) for k in (0, 9, 10, 25)] == [8, 8, 4, 2]


@pytest.mark.parametrize("method", ["gradient-descent", "momentum", "adam"])
def test_a_schedule_is_followed(method):
    rates = []
    minimize(bowl, X0, method=method, rate=lambda k: rates.append(k) or 0.01, maxiter=5)
    assert rates == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", ["gradient-descent", "momentum", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_descend(method, dtype):
    rate = linear(0.1, 0.001, 300) if method == "adam" else 0.05
    result = minimize(bowl, X0.astype(dtype), method=method, rate=rate, maxiter=400)
    assert result.fun < 1e-6 * bowl(X0)[0]
    assert result.x.dtype == dtype


@pytest.mark.parametrize("method", ["gradient-descent", "momentum"])
def test_an_exploding_loss_is_reported_with_the_best_point(method):
    quartic = lambda x: (float((x**4).sum()), 4 * x**3)  # noqa: E731
    with np.errstate(over="ignore", invalid="ignore"):
        result = minimize(quartic, X0, method=method, rate=10.0)
    assert result.status == 3 and "rate" in result.message
    assert result.fun == quartic(X0)[0]
    np.testing.assert_array_equal(result.x, X0)


@pytest.mark.parametrize("method", ["gradient-descent", "momentum", "adam"])
def test_steps_below_the_spacing_are_reported_as_frozen(method):
    result = minimize(bowl, X0.astype(np.float32), method=method, rate=1e-12)
    assert (result.status, result.nit) == (2, 0)
    assert "spacing" in result.message


@pytest.mark.parametrize("method", [gradient_descent, momentum, adam])
def test_steps_are_never_written_to_again(method):
    steps, copies = [], []
    for step in path(method(bowl, X0, rate=0.01)):
        steps.append(step)
        copies.append((step.x.copy(), step.grad.copy()))
    for step, (x, grad) in zip(steps, copies, strict=True):
        np.testing.assert_array_equal(step.x, x)
        np.testing.assert_array_equal(step.grad, grad)
