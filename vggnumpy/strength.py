r"""One number for how strongly a picture is painted: content and style balanced by trial, at a small size.

What a content weight does depends on the network, the layers, the normalisation, the start and the painting.  A
strength s says what comes out instead: a picture that has gone the share

    style score = s^p / (s^p + 3/7),        p = 0.8,  s > 0                                                         (1)

of the way from the photograph to the style, as `vggnumpy.scores` measures it: 0.27 for s = 0.1, 0.7 for s = 1, 0.94 for
s = 10.  The way gone is then 7/3 · s^p times the way that is left.

The content weights that do this are found by trial.  The picture is painted with a long side of 128 pixels, in 40
iterations, with all content weights multiplied by one factor.  The score falls as the factor grows, and a few trials
come near enough, the logarithm of the factor being interpolated between them.  A picture of 1024 pixels has 64 times as
many, so that all trials together take as long as two or three of its evaluations.

That weight is right at 128 pixels and too large at 1024, where layers see less of the picture at a time and the content
holds more of it: measured on the demo, a picture that scores 0.74 at 256 pixels scores 0.56 at 512.  So the weight is
corrected on the way.  Each scale is painted in up to four rounds, and after each the judge looks at the picture; if it
has gone d farther than it should have, the weights are multiplied by exp(d / 0.1), because around the middle of the
curve the score falls by 0.1 to 0.15 when they grow e-fold.  At its end it is flat (on the demo at 256 pixels the score
rises from 0.91 to 0.93 while the weights fall to a thirtieth), and strengths that ask for more than 0.86 are painted in
one go.

What cannot be shown to the judge of the scores is measured by the transfer itself, on its own style terms S: where the
style is a file of Gram matrices, or regions or layers take theirs from different places, the share is

    1 − √(S(result) / S(content))                                                                                   (2)

at 128 pixels, and the weights are not corrected later.

Not every share can be had.  Where no weight is small enough, as with a network that sees another style than the judge,
with several styles that contradict each other, or in 40 iterations from noise, the nearest is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.estimate import EVALUATIONS, evaluation_seconds
from vggnumpy.images import MIN_SIDE, fit_size, to_uint8
from vggnumpy.nets.placement import network_on
from vggnumpy.plan import Plan, canvas_sides
from vggnumpy.scale import canvas_at, objective_at
from vggnumpy.scores import STANDARD_SIZE, Judge

TRIAL_SIZE = 128
"""Long side of the trials, in pixels."""

TRIAL_ITERATIONS = 40
TRIALS = 8
"""At most; usually four or five come near enough."""

TOLERANCE = 0.01
"""By how much the share that a trial leaves behind may miss the strength's."""

_POWER, _HALF = 0.8, 3 / 7  # p of (1), and the other number there
_GUESS = 10.0  # factor to begin with at a strength of 1: the presets' own weights leave the style more than that
_KNOWN = 1e-3, 1e3  # strengths beyond which the guess is not followed
_STRIDE = 10.0  # from one factor to the next while the share that is sought lies outside those tried
_STALE = 0.01  # a content weight a tenth as large that gains less than this gives the content away for nothing
_SLOPE = 0.1  # by how much the score falls when the content weights grow e-fold; less where it flattens
_LEAP = 4.0  # what the weights are multiplied or divided by at most, after a round
_DRIFT = 10.0  # the same for all rounds together
_FLAT = 0.86  # a share from which on weights move the score by less than what an optimiser loses that begins anew
_ROUNDS, _ROUND = 4, 8  # rounds at a scale at most, and iterations of a round at least

Steer = Callable[[Plan, np.ndarray], Plan]
"""What corrects a plan after each round, seeing the picture."""


def share_of(strength: float) -> float:
    """Return the style score that a strength stands for, equation (1).

    Parameters
    ----------
    strength : float
        Positive.
    """
    power = float(strength**_POWER)
    return power / (power + _HALF)


def balanced(plan: Plan, paint: Callable[[Plan], Any]) -> Plan:
    """Return a plan with the content weights that its strength asks for, and without a strength.

    Parameters
    ----------
    plan : Plan
        With a strength; if it is `balanced` already, its weights are kept.
    paint : callable
        Carries out a plan; `vggnumpy.transfer.paint`.

    Raises
    ------
    InputError
        If the content has the whole style already.
    KeyboardInterrupt
        If a trial is interrupted: there is no picture worth keeping yet.
    """
    settings = plan.settings
    if settings.strength is None:
        return plan
    if settings.balanced:
        return _weighed(plan, 1.0)
    trial = _trial(plan)
    measure = _by_judge(trial) if _one_style(plan) else _by_terms(trial)

    def share(factor: float) -> float:
        result = paint(_weighed(trial, factor))
        if result.interrupted:
            raise KeyboardInterrupt
        return measure(result)

    guess = _GUESS * min(max(settings.strength, _KNOWN[0]), _KNOWN[1]) ** -1.5
    return _weighed(plan, factor_for(share, share_of(settings.strength), guess))


def steered(plan: Plan, chosen: Plan) -> tuple[Plan, Steer | None]:
    """Return a plan in rounds, and what corrects its content weights after each.

    Parameters
    ----------
    plan : Plan
        With a strength.
    chosen : Plan
        The same as `balanced` returns it.

    Returns
    -------
    rounds : Plan
        `chosen` with every size as often as it has rounds.
    steer : callable or None
        Given a plan and the picture, returns the plan with corrected content weights; None where no judge can see how
        far the picture has come, or the weights hardly matter any more.
    """
    if plan.settings.strength is None or share_of(plan.settings.strength) > _FLAT or not _one_style(plan):
        return chosen, None
    target, judges, total = share_of(plan.settings.strength), dict[int, Judge](), 0.0

    def steer(now: Plan, pixels: np.ndarray) -> Plan:
        nonlocal total
        size = min(STANDARD_SIZE, max(pixels.shape[:2]))
        if size not in judges:
            judges[size] = _judge(plan, size)
        farther = (judges[size].score(to_uint8(pixels)).style_score - target) / _SLOPE
        leap = min(max(farther, -math.log(_LEAP)), math.log(_LEAP))
        before, total = total, min(max(total + leap, -math.log(_DRIFT)), math.log(_DRIFT))
        return _weighed(now, math.exp(total - before))

    parts = [
        (size, count * (i + 1) // rounds - count * i // rounds)
        for size, count in zip(chosen.sizes, chosen.iterations, strict=True)
        for rounds in [min(_ROUNDS, max(1, count // _ROUND))]
        for i in range(rounds)
    ]
    return replace(chosen, sizes=[size for size, _ in parts], iterations=[count for _, count in parts]), steer


def factor_for(share: Callable[[float], float], target: float, guess: float) -> float:
    """Return a factor for which a falling function is near a target, in `TRIALS` calls at most.

    Parameters
    ----------
    share : callable
        Factor → share.
    target : float
    guess : float
        A factor to begin with.

    Returns
    -------
    float
        The best of those tried: within `TOLERANCE` of the target if that can be had.
    """
    tried: dict[float, float] = {}
    exponent = math.log(guess)
    while len(tried) < TRIALS:
        tried[exponent] = share(math.exp(exponent))
        high = [x for x, found in tried.items() if found > target]
        low = [x for x, found in tried.items() if found <= target]
        if abs(tried[exponent] - target) <= TOLERANCE:
            break
        if high and low:
            left, right = max(high), min(low)
            part = (tried[left] - target) / (tried[left] - tried[right])
            exponent = left + (right - left) * min(max(part, 0.1), 0.9)
        elif high:
            exponent += math.log(_STRIDE)
        elif len(low) > 1 and tried[exponent] > target / 2 and tried[exponent] - tried[min(low[:-1])] < _STALE:
            del tried[exponent]
            break
        else:
            exponent -= math.log(_STRIDE)
    return math.exp(min(tried, key=lambda x: abs(tried[x] - target)))


def balancing_seconds(plan: Plan) -> float | None:
    """Return how long a strength takes besides the painting, at most: its trials, and the looks of the judge.

    An evaluation of a trial and a look are timed.  0 without a strength; None where the engine cannot compute the
    network.
    """
    if plan.settings.strength is None or plan.settings.balanced:
        return 0.0
    trial, (rounds, steer) = _trial(plan), steered(plan, plan)
    sides = canvas_sides(plan.settings, trial.sizes[0])
    canvas = trial.sizes[0][0] + sides.top + sides.bottom, trial.sizes[0][1] + sides.left + sides.right
    layers = {**(plan.settings.content_layers or {}), **(plan.settings.style_layers or {})}
    once = evaluation_seconds(plan.net, map(plan.net.layer_name, layers), canvas)
    if once is None:
        return None
    seconds = TRIALS * TRIAL_ITERATIONS * EVALUATIONS * once
    looks = [(max(trial.sizes[0]), TRIALS)] if _one_style(plan) else []
    if steer is not None:
        looks.append((min(STANDARD_SIZE, max(plan.sizes[-1])), len(rounds.sizes) - 1))
    for size, count in looks:
        judge = _judge(plan, size)
        began = time.perf_counter()
        judge.score(plan.content)
        seconds += count * (time.perf_counter() - began)
    return seconds


def _trial(plan: Plan) -> Plan:
    """Return the small transfer that factors are tried with."""
    height, width = plan.content.shape[:2]
    smallest = -(-MIN_SIDE * max(height, width) // min(height, width))  # so that the short side has 16 pixels
    shape = fit_size(height, width, min(max(TRIAL_SIZE, smallest), max(plan.sizes[-1])))
    # The colours that are put back at the end are no part of what is balanced.
    settings = replace(plan.settings, color="style")
    return replace(plan, settings=settings, sizes=[shape], iterations=[TRIAL_ITERATIONS])


def _weighed(plan: Plan, factor: float) -> Plan:
    """Return a plan with all content weights multiplied by a factor, to be painted as it is."""
    weights = {layer: weight * factor for layer, weight in (plan.settings.content_layers or {}).items()}
    return replace(plan, settings=replace(plan.settings, content_layers=weights, strength=None))


def _one_style(plan: Plan) -> bool:
    """Whether the whole picture takes its style from whole paintings, so that a judge can be shown them."""
    return not plan.ready and plan.placement is None and plan.fine is None


def _judge(plan: Plan, size: int) -> Judge:
    return Judge(
        plan.content, plan.styles, size=size, style_scale=plan.settings.style_scale, weights=plan.style_weights
    )


def _by_judge(trial: Plan) -> Callable[[Any], float]:
    """Return what measures the style score of a trial's result, equation (1)."""
    judge = _judge(trial, max(trial.sizes[0]))
    return lambda result: judge.score(result.image).style_score


def _by_terms(trial: Plan) -> Callable[[Any], float]:
    """Return what measures the share (2) of a trial's result."""
    shape = trial.sizes[0]
    sides = canvas_sides(trial.settings, shape)
    objective = objective_at(trial, network_on(trial.net, trial.backend), shape, sides)
    objective(canvas_at(trial, trial.content, shape, sides))
    whole = _style({name: float(term.value) for name, term in objective.terms.items()})
    if not whole > 0:
        raise InputError("a strength needs a style that the content does not have already")
    return lambda result: 1 - math.sqrt(_style(result.terms) / whole)


def _style(terms: Mapping[str, float]) -> float:
    """Return the weighted sum of the terms that are neither content nor a regulariser."""
    return sum(value for name, value in terms.items() if name.split()[0] not in ("content", "size", "variation"))
