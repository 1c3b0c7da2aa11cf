"""A step length along one direction, from values and slopes alone: the vectors stay with the caller."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

C1 = 2.0**-10  # sufficient decrease; as in L-BFGS-B, so small that it only refuses steps that gain nothing
C2 = 0.9  # curvature; quasi-Newton steps are good as they come, and a sharper search costs evaluations
DELTA = 0.1  # the approximate test's c₁, Hager and Zhang's value
MAX_TRIALS = 20


class Point(NamedTuple):
    """φ(t) = f(x + t·p) at one t: value, slope φ′(t) = ∇fᵀp, and what else the caller wants kept with them.

    A value that is not finite marks a point where the objective cannot be used.
    """

    t: float
    value: float
    slope: float
    x: Any = None
    grad: Any = None
    measured: Any = ()


def line_search(
    phi: Callable[[float], Point], start: Point, first: Point, *, noise: float = 0.0, reach: float = 4.0
) -> Point | None:
    """Find a point that satisfies the strong Wolfe conditions, from a first trial on.

    ::

        φ(t) ≤ φ(0) + c₁ t φ′(0)        sufficient decrease
        |φ′(t)| ≤ c₂ |φ′(0)|            curvature

    1. Two points are kept: *low*, the best so far with sufficient decrease (at first the start), and *high*, the
       other end of an interval that must hold acceptable points because φ falls from low towards high, and high
       is too high or φ rises there.  While there is no high, the steps grow.
    2. A trial without sufficient decrease, or above low, becomes high.
    3. Any other trial is returned if its slope is flat enough; else it becomes low, and the old low becomes high
       if φ falls from the trial towards it.
    4. The next trial minimises the cubic through both values and slopes, kept away from the ends.
    5. Where the objective is not finite there is nothing to interpolate: go an eighth of the way.

    **Below the rounding.**  Near a minimum φ(t) − φ(0) drowns in the noise of φ long before the slopes do.  When
    the decrease asked for is itself smaller than ``noise``, the condition is replaced by its form for a parabola,
    in slopes, together with a value that has not risen visibly (Hager and Zhang's approximate Wolfe conditions)::

        φ′(t) ≤ (2δ − 1) φ′(0)   and   φ(t) ≤ φ(0) + noise

    All tests are homogeneous in φ: c·φ with c·noise takes the same steps, bit for bit where c is a power of two.

    Parameters
    ----------
    phi : callable
        ``phi(t) → Point``.
    start : Point
        At t = 0; its slope must be negative.
    first : Point
        The first trial, φ at a positive t.
    noise : float
        A bound on the rounding error of a value.
    reach : float
        How far to trust an interpolation: a growing step moves on by at most this multiple of the last move, a
        shrinking one keeps at least 0.4/reach of the interval (a tenth as it stands).

    Returns
    -------
    Point or None
        The accepted point.  After ``MAX_TRIALS`` trials, or when no smaller step can change the value visibly,
        the lowest point with sufficient decrease if it lies below the start, else None.

    References
    ----------
    J. Nocedal, S. Wright, *Numerical Optimization*, 2nd ed., algorithms 3.5 and 3.6, equation 3.59.
    W. Hager, H. Zhang, SIAM J. Optim. 16 (2005) 170–192, section 4 (approximate conditions).
    """
    low, high, t = start, None, first.t
    for number in range(MAX_TRIALS):
        trial = phi(t) if number else first
        if not _decreases_enough(start, trial, noise) or trial.value > low.value + noise:
            high = trial
        elif abs(trial.slope) <= -C2 * start.slope:
            return trial
        else:
            before, forward = low, 1.0 if high is None else high.t - low.t
            low = trial
            if trial.slope * forward >= 0:
                high = before
        if high is None:
            t = _grow(before, low, reach, noise)
        else:
            t = _shrink(low, high, reach, noise)
            if -start.slope * abs(high.t - low.t) < noise / 64:
                break
    return low if low.value < start.value else None


def _decreases_enough(start: Point, trial: Point, noise: float) -> bool:
    """Sufficient decrease, by values or, where they cannot tell, by slopes; False where φ is not finite."""
    wanted = -C1 * trial.t * start.slope
    if trial.value <= start.value - wanted:
        return True
    return wanted <= noise and trial.value <= start.value + noise and trial.slope <= (2 * DELTA - 1) * start.slope


def _grow(before: Point, low: Point, reach: float, noise: float) -> float:
    """Choose the next trial beyond ``low``: further by a tenth to ``reach`` times the last move."""
    move = low.t - before.t
    t = _minimum(before, low, noise)
    if not t > low.t:
        t = _secant(before, low)
    if not t > low.t:
        return low.t + reach * move
    return min(max(t, low.t + move / 10), low.t + reach * move)


def _shrink(low: Point, high: Point, reach: float, noise: float) -> float:
    """Choose the next trial between ``low`` and ``high``, off low by 0.4/reach and off high by a tenth of the width."""
    width = high.t - low.t
    if not math.isfinite(high.value):
        return low.t + width / 8
    fraction = (_minimum(low, high, noise) - low.t) / width
    if math.isnan(fraction):
        fraction = 0.5
    return low.t + min(max(fraction, 0.4 / reach), 0.9) * width


def _minimum(a: Point, b: Point, noise: float) -> float:
    """Where a curve through both points is lowest: the cubic, or the parabola that has only their slopes."""
    return _cubic_minimum(a, b) if abs(a.value - b.value) > noise else _secant(a, b)


def _cubic_minimum(a: Point, b: Point) -> float:
    """Locate the minimum of the cubic with both values and slopes (N&W 3.59); NaN if it has none."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    d2 = math.copysign(math.sqrt(square), b.t - a.t) if square >= 0 else math.nan
    divisor = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / divisor if divisor else math.nan


def _secant(a: Point, b: Point) -> float:
    """Where the line through the two slopes is zero; NaN if they are equal."""
    change = b.slope - a.slope
    return b.t - b.slope * (b.t - a.t) / change if change else math.nan
