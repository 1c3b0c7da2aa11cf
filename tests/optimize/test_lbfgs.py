"""L-BFGS against its definition, and its behaviour under float32, scaling and functions that break."""

import math

import numpy as np
import pytest

from vggnumpy.optimize import lbfgs, lbfgs_fixed_rate, minimize
from vggnumpy.optimize.evaluation import Evaluations
from vggnumpy.optimize.lbfgs import Pair, two_loop
from vggnumpy.optimize.line_search import C1, C2, MAX_TRIALS
from vggnumpy.optimize.vectors import dot


def rosenbrock(x):
    """Any shape and dtype; the gradient by hand."""
    a, b = x[..., :-1], x[..., 1:]
    r = b - a * a
    grad = np.zeros_like(x)
    grad[..., :-1] = -400 * a * r - 2 * (1 - a)
    grad[..., 1:] += 200 * r
    return float((100 * r * r + (1 - a) ** 2).sum(dtype=np.float64)), grad


def valley(dtype=np.float64):
    return np.tile(np.array([-1.2, 1.0], dtype), (2, 3))


def steps_of(generator, count):
    return [step for _, step in zip(range(count), generator, strict=False)]


def random_pairs(count, size, rng):
    curvature = rng.normal(size=(size, size))
    curvature = curvature @ curvature.T + np.eye(size)
    steps = rng.normal(size=(count, size))
    return [(s, curvature @ s) for s in steps]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_two_loop_is_the_dense_bfgs_matrix(count):
    rng = np.random.default_rng(count)
    pairs = random_pairs(count, 12, rng)
    s, y = pairs[-1]
    inverse = np.eye(12) * (s @ y) / (y @ y)
    for s, y in pairs:
        v = np.eye(12) - np.outer(y, s) / (s @ y)
        inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ y)
    grad = rng.normal(size=12)
    product = two_loop([Pair(s, y, 1 / (s @ y)) for s, y in pairs], grad)
    np.testing.assert_allclose(product, inverse @ grad, rtol=1e-11, atol=1e-12)


def test_two_loop_meets_the_secant_equation_and_leaves_its_input_alone():
    pairs = random_pairs(5, 12, np.random.default_rng(0))
    s, y = pairs[-1]
    before = y.copy()
    np.testing.assert_allclose(two_loop([Pair(a, b, 1 / (a @ b)) for a, b in pairs], y), s, rtol=1e-10)
    np.testing.assert_array_equal(y, before)


def naive_inverse(pairs, size):
    if not pairs:
        return np.eye(size)
    s, y = pairs[-1]
    inverse = np.eye(size) * (s @ y) / (y @ y)
    for s, y in pairs:
        v = np.eye(size) - np.outer(y, s) / (s @ y)
        inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ y)
    return inverse


def naive_search(fun, x, p, t, reach):
    """Search as documented, on a smooth function: strong Wolfe, cubic minima."""
    f0, g0 = fun(x)
    low, high = (0.0, f0, g0 @ p), None
    while True:
        value, grad = fun(x + t * p)
        trial = (t, value, grad @ p)
        if value > f0 + C1 * t * (g0 @ p) or value > low[1]:
            high = trial
        elif abs(trial[2]) <= C2 * abs(g0 @ p):
            return x + t * p, grad
        else:
            before, low, high = low, trial, low if trial[2] * (high[0] - low[0] if high else 1) >= 0 else high
        a, b = (low, high) if high else (before, low)
        # the cubic a₀ + a₁u + a₂u² + a₃u³ through both values and slopes, u = t − tₐ
        w = b[0] - a[0]
        a2, a3 = np.linalg.solve([[w**2, w**3], [2 * w, 3 * w**2]], [b[1] - a[1] - a[2] * w, b[2] - a[2]])
        minima = [r.real for r in np.roots([3 * a3, 2 * a2, a[2]]) if r.imag == 0 and 3 * a3 * r.real + a2 > 0]
        if high:
            t = low[0] + min(max(minima[0] / w, 0.4 / reach), 0.9) * w
        else:
            beyond = [u for u in (*minima, -a[2] * w / (b[2] - a[2])) if u > w]
            t = b[0] + (min(max(beyond[0] - w, w / 10), reach * w) if beyond else reach * w)


def naive_lbfgs(fun, x, first_step, history, iterations):
    fun_flat = lambda v: (fun(v.reshape(x.shape))[0], fun(v.reshape(x.shape))[1].ravel())  # noqa: E731
    point, pairs, path = x.ravel(), [], []
    grad = fun_flat(point)[1]
    for _ in range(iterations):
        p = -naive_inverse(pairs[-history:], x.size) @ grad
        t = 1.0 if pairs else first_step / np.mean(np.abs(grad))
        new, new_grad = naive_search(fun_flat, point, p, t, 4.0 if pairs else 64.0)
        pairs.append((new - point, new_grad - grad))
        point, grad = new, new_grad
        path.append(point.reshape(x.shape))
    return path


@pytest.mark.parametrize("first_step", [1e-3, 0.3])
@pytest.mark.parametrize("history", [1, 4, 10])
def test_the_run_is_the_naive_run(history, first_step):
    naive = naive_lbfgs(rosenbrock, valley(), first_step, history, 15)
    steps = steps_of(lbfgs(rosenbrock, valley(), first_step=first_step, history=history), 15)
    np.testing.assert_allclose([step.x for step in steps], naive, rtol=1e-6)


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_the_fixed_rate_run_is_algorithm_1(rate):
    def bowl(x):
        weights = np.arange(1.0, 13.0).reshape(x.shape)
        return float((weights * x * x).sum() / 2), weights * x

    x, pairs = valley(), []
    _, grad = bowl(x)
    steps = steps_of(lbfgs_fixed_rate(bowl, x, rate=rate, history=3, first_step=0.1), 12)
    for step in steps:
        z = naive_inverse(pairs[-3:], 12) @ grad.ravel()
        t = rate if pairs else 0.1 / np.mean(np.abs(grad))
        new = x - t * z.reshape(x.shape)
        pairs.append(((new - x).ravel(), (bowl(new)[1] - grad).ravel()))
        x, (_, grad) = new, bowl(new)
        np.testing.assert_allclose(step.x, x, rtol=1e-7, atol=1e-9)
    assert [step.nfev for step in steps] == list(range(2, 14))


@pytest.mark.parametrize("first_step", [1e-6, 0.01, 100.0])
def test_accepted_steps_satisfy_the_strong_wolfe_conditions(first_step):
    x = valley()
    value, grad = rosenbrock(x)
    for step in lbfgs(rosenbrock, x, first_step=first_step):
        direction = (step.x - x) / step.step_size
        slope = np.vdot(grad, direction)
        assert step.fun <= value + C1 * step.step_size * slope
        assert abs(np.vdot(step.grad, direction)) <= C2 * abs(slope) * (1 + 1e-9)
        x, value, grad = step.x, step.fun, step.grad
        if value < 1e-9:
            break
    assert 10 < step.nit < 120


@pytest.mark.parametrize("generator", [lbfgs, lbfgs_fixed_rate])
def test_the_first_trial_is_a_mean_change(generator):
    seen = []
    fun = lambda x: seen.append(x) or rosenbrock(x)  # noqa: E731
    next(generator(fun, valley(), first_step=0.02))
    assert np.mean(np.abs(seen[1] - seen[0])) == pytest.approx(0.02)
    seen.clear()
    next(generator(fun, valley()))
    assert np.mean(np.abs(seen[1] - seen[0])) == pytest.approx(0.0055)
    seen.clear()
    next(generator(fun, 0 * valley()))
    assert np.mean(np.abs(seen[1] - seen[0])) == pytest.approx(0.005)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("generator", [lbfgs, lbfgs_fixed_rate])
def test_dtype_and_shape_are_kept(generator, dtype):
    seen = []
    fun = lambda x: seen.append(x) or rosenbrock(x)  # noqa: E731
    for step in steps_of(generator(fun, valley(dtype), first_step=1e-3), 8):
        assert step.x.dtype == step.grad.dtype == dtype
        assert step.x.shape == step.grad.shape == (2, 6)
        assert type(step.fun) is float
    assert {(x.dtype, x.shape) for x in seen} == {(np.dtype(dtype), (2, 6))}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("generator", [lbfgs, lbfgs_fixed_rate])
@pytest.mark.parametrize("power", [-20, 20, 40])
def test_scaling_the_loss_changes_no_bit(generator, dtype, power):
    def scaled(x):
        value, grad = rosenbrock(x)
        return value * 2.0**power, grad * 2.0**power

    # until well below float32's rounding, so that the noise rules take part
    plain = steps_of(generator(rosenbrock, valley(dtype)), 80)
    other = steps_of(generator(scaled, valley(dtype)), 80)
    assert len(plain) == len(other) > 20
    for a, b in zip(plain, other, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        assert a.nfev == b.nfev


@pytest.mark.parametrize("size", [1_000, 6_750_000])
def test_a_large_float32_quadratic_falls(size):
    rng = np.random.default_rng(0)
    curvature = np.exp(rng.uniform(np.log(0.1), np.log(10), size)).astype(np.float32)
    x0 = rng.normal(0, 60, size).astype(np.float32)

    def bowl(x):
        grad = curvature * x
        return dot(grad, x) / 2, grad

    target = 1e-3 * bowl(x0)[0]
    step = next(step for step in lbfgs(bowl, x0, maxfun=40) if step.fun < target)
    assert step.x.dtype == np.float32


def test_float32_noise_does_not_stop_the_descent():
    """A loss with a large constant, its values rounded to float32: the slopes still lead to the minimum."""
    curvature = np.geomspace(1, 100, 300).astype(np.float32)

    def bowl(x):
        return np.float32(1e6) + np.float32((curvature * x * x).sum() / 2), curvature * x

    x0 = np.ones(300, np.float32)
    last = steps_of(lbfgs(bowl, x0), 60)[-1]
    assert np.linalg.norm(last.grad) < 1e-3 * np.linalg.norm(curvature)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_beyond_the_rounding_ends_and_says_so(dtype):
    fun = lambda x: (rosenbrock(x)[0] + 1, rosenbrock(x)[1])  # noqa: E731
    result = minimize(fun, valley(dtype), maxiter=2000)
    assert result.status in (0, 2)
    assert result.fun - 1 < 1e-6
    assert result.nfev < 400


def test_a_constant_loss_with_a_gradient_is_reported_as_frozen():
    result = minimize(lambda x: (1.0, np.ones_like(x)), valley(np.float32), maxiter=100)
    assert (result.status, result.success, result.nit) == (2, False, 0)
    assert "no step lowers the loss" in result.message
    assert result.nfev < 50


def test_a_gradient_of_the_wrong_sign_is_reported_as_frozen():
    result = minimize(lambda x: (rosenbrock(x)[0], -rosenbrock(x)[1]), valley(), maxiter=100)
    assert result.status == 2
    np.testing.assert_array_equal(result.x, valley())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["value", "gradient", "both"])
def test_a_region_that_is_not_finite_is_walked_around(bad, where):
    """Beyond a sphere through which the first trials go, nothing is finite; the minimum is inside."""

    def fun(x):
        value, grad = float((x * x).sum() / 2), x.copy()
        if np.abs(x).max() > 1.5:
            value = bad if where != "gradient" else value
            grad[0] = bad if where != "value" else grad[0]
        return value, grad

    seen = []
    result = minimize(lambda x: seen.append(x) or fun(x), np.array([1.0, -1.0, 0.5]), first_step=50.0, maxiter=50)
    assert np.abs(seen[1]).max() > 1.5
    assert result.fun < 1e-12 and np.isfinite(result.jac).all()


def test_a_loss_that_is_not_finite_anywhere_else_is_reported():
    fun = lambda x: (1.0 if (x == 1).all() else math.nan, np.ones_like(x))  # noqa: E731
    result = minimize(fun, np.ones(3), maxiter=10)
    assert (result.status, result.nit, result.fun) == (3, 0, 1.0)
    assert "not finite" in result.message
    assert minimize(lambda x: (math.inf, x), np.ones(3)).status == 3


@pytest.mark.parametrize("searches", [1, 2])
def test_a_failed_search_is_followed_by_one_restart_down_the_gradient(searches):
    """The loss is not finite for as many searches; one is survived, a second in a row is not."""
    seen = []
    broken = range(10, 10 + MAX_TRIALS * searches)

    def fun(x):
        seen.append(x)
        return (math.nan if len(seen) in broken else float((x**4 + x * x).sum()), 4 * x**3 + 2 * x)

    x0 = np.linspace(0.5, 1, 6)
    steps, end = [], None
    generator = lbfgs(fun, x0, first_step=1e-3)
    while end is None:
        try:
            steps.append(next(generator))
        except StopIteration as stop:
            end = stop.value
    if searches == 1:
        assert steps[-1].fun < 1e-15
    else:
        assert end.status == 3 and steps[-1].nfev < broken[0]
    before = [step for step in steps if step.nfev < 10][-1]
    trial = seen[broken[0] + MAX_TRIALS - 1]
    np.testing.assert_allclose(np.mean(np.abs(trial - before.x)), 1e-3)
    cosine = np.vdot(before.x - trial, before.grad) / np.linalg.norm(trial - before.x) / np.linalg.norm(before.grad)
    assert cosine == pytest.approx(1.0)


def test_progress_between_two_failures_allows_a_second_restart():
    calls = 0

    def fun(x):
        nonlocal calls
        calls += 1
        broken = 10 <= calls < 10 + MAX_TRIALS or 40 <= calls < 40 + MAX_TRIALS
        return (math.nan if broken else float((x**4 + x * x).sum()), 4 * x**3 + 2 * x)

    result = minimize(fun, np.geomspace(1e-3, 1, 100), first_step=1e-6)
    assert calls > 60 and result.fun < 1e-15


def test_ten_steps_without_a_new_lowest_value_restart_once_from_the_lowest():
    """The values have drowned altogether; the slopes keep finding acceptable steps."""
    curvature = np.geomspace(1, 1e4, 300)
    steps, seen = [], []
    result = minimize(
        lambda x: seen.append(x) or (1e30, curvature * x), np.ones(300), callback=steps.append, maxiter=100
    )
    assert (result.status, result.nit) == (2, 20)
    np.testing.assert_array_equal(steps[10], steps[0])
    np.testing.assert_array_equal(result.x, np.ones(300))


def test_a_fixed_rate_that_explodes_restarts_once_from_the_best_point_and_ends():
    fun = lambda x: (float((x**4).sum()), 4 * x**3)  # noqa: E731
    result = minimize(fun, np.ones(5), method="lbfgs-fixed", rate=1e3, maxiter=100)
    assert result.status == 3 and "explode" in result.message
    assert 0 < result.fun <= 5.0


def test_a_fixed_rates_restart_is_an_eighth_of_the_first_step_from_the_best_point():
    seen = []

    def fun(x):
        seen.append(x)
        return (math.inf if len(seen) == 3 else float((x * x).sum()), 2 * x)

    steps = list(lbfgs_fixed_rate(fun, np.ones(5), first_step=8.0))
    np.testing.assert_allclose(steps[0].x, 1 - 8.0)  # accepted, and worse than the start
    np.testing.assert_allclose(steps[1].x, 1 - 1.0)
    assert len(steps) == 2 and len(seen) == 4


def test_a_fixed_rate_below_the_spacing_is_frozen():
    result = minimize(rosenbrock, valley(np.float32), method="lbfgs-fixed", first_step=1e-12)
    assert (result.status, result.nit) == (2, 0)


def test_a_pair_without_curvature_is_skipped():
    """On a linear loss y = 0: nothing may be remembered, and nothing divided by zero."""
    steps = steps_of(lbfgs_fixed_rate(lambda x: (float(x.sum()), np.ones_like(x)), valley(), first_step=0.5), 4)
    np.testing.assert_allclose([step.x for step in steps], [valley() - 0.5 * k for k in range(1, 5)])


def test_steps_are_never_written_to_again():
    buffer = np.empty((2, 6))

    def fun(x):
        value, grad = rosenbrock(x)
        buffer[...] = grad  # an objective that reuses its memory
        return value, buffer

    steps, copies = [], []
    for step in steps_of(lbfgs(fun, valley()), 30):
        steps.append(step)
        copies.append((step.x.copy(), step.grad.copy()))
    plain = steps_of(lbfgs(rosenbrock, valley()), 30)
    for step, (x, grad), same in zip(steps, copies, plain, strict=True):
        np.testing.assert_array_equal(step.x, x)
        np.testing.assert_array_equal(step.grad, grad)
        np.testing.assert_array_equal(step.x, same.x)


def test_evaluations_count_and_remember_the_lowest():
    evaluate = Evaluations(rosenbrock, valley(), None)
    values = [evaluate(valley() * factor)[0] for factor in (1.0, 0.5, 2.0)]
    assert evaluate.count == 3 and evaluate.best[1] == min(values) == values[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_point_whose_gradient_is_not_finite_is_not_the_lowest(bad):
    evaluate = Evaluations(lambda x: (float(x.sum()), np.where(x < 1, bad, 1.0)), np.ones(3), None)
    assert evaluate(np.ones(3))[0] == 3.0
    assert math.isnan(evaluate(np.zeros(3))[0])
    assert evaluate.best[1] == 3.0 and evaluate.not_finite == 1


@pytest.mark.parametrize("n", [1, 7, 8191, 8193, 100_001])
def test_dot_is_a_float64_sum(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0, 60, (2, n)).astype(np.float32)
    exact = math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    assert dot(a, b) == pytest.approx(exact, rel=1e-12, abs=1e-9)
    assert dot(a[::-1], b[::-1]) == pytest.approx(exact, rel=1e-12, abs=1e-9)
