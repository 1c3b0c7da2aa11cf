"""The step length: Wolfe conditions, noise, walls and dead ends, all on functions of one number."""

import math

import pytest

from vggnumpy.optimize.line_search import C1, C2, MAX_TRIALS, Point, line_search


def more_thuente_1(t, beta=2.0):
    return -t / (t * t + beta), (t * t - beta) / (t * t + beta) ** 2


def more_thuente_2(t, beta=0.004):
    return (t + beta) ** 5 - 2 * (t + beta) ** 4, 5 * (t + beta) ** 4 - 8 * (t + beta) ** 3


def yanai(t, beta1=0.001, beta2=0.01):
    def gamma(beta):
        return math.sqrt(1 + beta * beta) - beta

    left, right = math.hypot(1 - t, beta2), math.hypot(t, beta1)
    value = gamma(beta1) * left + gamma(beta2) * right
    return value, -gamma(beta1) * (1 - t) / left + gamma(beta2) * t / right


def parabola(t):
    return (t - 3.0) ** 2, 2 * (t - 3.0)


class Counted:
    """φ as `line_search` wants it, with its points kept."""

    def __init__(self, function):
        self.function, self.trials = function, []

    def __call__(self, t):
        """Evaluate and keep the point."""
        self.trials.append(Point(t, *self.function(t)))
        return self.trials[-1]

    def search(self, t, **options):
        """Search from 0 with the first trial t."""
        return line_search(self, Point(0.0, *self.function(0.0)), self(t), **options)


@pytest.mark.parametrize("function", [more_thuente_1, more_thuente_2, yanai, parabola])
@pytest.mark.parametrize("first", [1e-3, 1e-1, 1.0, 10.0, 1e3])
def test_the_strong_wolfe_conditions_hold(function, first):
    value, slope = function(0.0)
    found = Counted(function).search(first)
    assert found.value <= value + C1 * found.t * slope
    assert abs(found.slope) <= C2 * abs(slope)


def test_a_good_first_trial_costs_one_evaluation():
    phi = Counted(parabola)
    assert phi.search(2.9).t == 2.9
    assert len(phi.trials) == 1


def test_a_parabola_is_solved_by_the_second_trial():
    phi = Counted(parabola)
    assert phi.search(0.01, reach=1e4).t == pytest.approx(3.0)
    assert len(phi.trials) == 2


def test_a_far_first_trial_is_brought_back_as_far_as_reach_allows():
    phi = Counted(parabola)
    assert phi.search(300.0, reach=64.0).t == pytest.approx(3.0)
    assert Counted(parabola).search(300.0, reach=4.0).t == pytest.approx(3.0)
    assert [trial.t for trial in phi.trials] == pytest.approx([300.0, 3.0])


class Scripted:
    """φ(0) = 0 with slope −1, then the given values and slopes wherever they are asked for."""

    def __init__(self, *answers):
        self.answers, self.trials = iter(answers), []

    def __call__(self, t):
        """Give the next answer."""
        self.trials.append(Point(t, *next(self.answers)))
        return self.trials[-1]

    def search(self, **options):
        """Search from 0 with the first trial 1."""
        return line_search(self, Point(0.0, 0.0, -1.0), self(1.0), **options)


def test_a_trial_above_low_bounds_the_interval_though_it_is_flat_enough():
    phi = Scripted((-2.0, -2.0), (-1.5, -0.5), (-2.5, 0.0))
    found = phi.search()
    assert found is phi.trials[2]
    assert phi.trials[0].t < found.t < phi.trials[1].t


def test_noise_does_not_add_up_within_a_search():
    """Each trial is within the noise of the last one, but the second is not within the noise of the start."""
    phi = Scripted((0.9, -2.0), (1.8, 0.0), (-0.1, 0.0))
    assert phi.search(noise=1.0) is phi.trials[2]


def test_a_growing_step_stays_within_reach():
    phi = Counted(parabola)
    phi.search(0.01, reach=4.0)
    first, second, third = (trial.t for trial in phi.trials[:3])
    assert second == pytest.approx(first + 4 * first)
    assert third == pytest.approx(second + 4 * (second - first))


@pytest.mark.parametrize("wall", [1e-3, 0.5, 2.0])
@pytest.mark.parametrize("beyond", [math.nan, math.inf])
def test_a_wall_of_values_that_are_not_finite_is_stepped_back_from(wall, beyond):
    phi = Counted(lambda t: parabola(t) if t < wall else (beyond, math.nan))
    found = phi.search(1.0, reach=64.0)
    assert found is not None and 0 < found.t < wall and found.value < 9.0


def test_nothing_finite_ends_with_none():
    phi = Counted(lambda t: (1.0, -1.0) if t == 0 else (math.nan, math.nan))
    assert phi.search(1.0) is None
    assert len(phi.trials) <= MAX_TRIALS


def test_a_gradient_of_the_wrong_sign_ends_with_none():
    phi = Counted(lambda t: (1.0 + t, -1.0))
    assert phi.search(1.0, noise=1e-7) is None
    assert len(phi.trials) < MAX_TRIALS  # given up as soon as a shorter step could not be seen


def test_a_constant_value_ends_with_none_and_without_running_away():
    phi = Counted(lambda t: (1.0, -1.0))
    assert phi.search(1.0, noise=1e-7) is None
    assert max(trial.t for trial in phi.trials) < 10.0


def test_slopes_decide_where_values_drown():
    """1 + 1e-10 (t − 3)² with values rounded to 1e-7: only the slopes see the minimum."""

    def function(t):
        return round(1 + 1e-10 * (t - 3.0) ** 2, 7), 2e-10 * (t - 3.0)

    for first in (0.1, 2.0, 50.0):
        found = Counted(function).search(first, noise=4e-7)
        assert 0.3 <= found.t <= 5.4
        assert Counted(function).search(first) is None


def test_drowned_values_are_not_interpolated():
    """The values at 0 and 20 are equal after rounding; the slopes alone are those of a parabola around 3."""
    phi = Counted(lambda t: (1.0, 2e-10 * (t - 3.0)))
    assert phi.search(20.0, noise=4e-7).t == pytest.approx(3.0)
    assert len(phi.trials) == 2


def test_a_visible_rise_is_refused_though_slopes_agree():
    """The approximate conditions must not excuse a rise larger than the noise."""
    phi = Counted(lambda t: (1.0 + (1e-5 if t > 0.5 else -1e-9 * t), -1e-9 * (1 - t)))
    found = phi.search(1.0, noise=1e-7)
    assert found is None or found.t <= 0.5


@pytest.mark.parametrize("function, first", [(more_thuente_1, 1e-3), (more_thuente_2, 1.6), (yanai, 1.5)])
@pytest.mark.parametrize("power", [-20, 20, 40])
def test_scaling_changes_no_bit(function, first, power):
    def scaled(t):
        value, slope = function(t)
        return value * 2.0**power, slope * 2.0**power

    plain, other = Counted(function), Counted(scaled)
    plain.search(first, noise=2.0**-30)
    other.search(first, noise=2.0**-30 * 2.0**power)
    assert [trial.t for trial in plain.trials] == [trial.t for trial in other.trials]
    assert len(plain.trials) > 1
