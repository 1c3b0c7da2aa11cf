"""One number for how strongly a picture is painted: what it means, how its weights are found, what it leaves alone."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.images import resize
from vggnumpy.nets import architecture, random_network
from vggnumpy.plan import plan_transfer
from vggnumpy.presets import Settings, preset
from vggnumpy.scores import Judge
from vggnumpy.strength import TOLERANCE, TRIALS, balanced, factor_for, share_of, steered
from vggnumpy.transfer import TransferResult, paint, transfer

NET = random_network(architecture("vgg19")[:12], rng=1)  # to relu3_1: quick
RNG = np.random.default_rng(0)


def smooth() -> np.ndarray:
    return resize(RNG.uniform(0, 255, (6, 8, 3)).astype("float32"), (48, 64)).clip(0, 255)


CONTENT, STYLE = smooth(), smooth()
LAYERS = {"content_layers": {"relu1_1": 0.01, "relu2_2": 0.03}, "style_layers": {"relu1_1": 0.5, "relu2_1": 0.5}}


@pytest.fixture
def quick(monkeypatch):
    """Trials of two iterations at 24 pixels, three at most."""
    monkeypatch.setattr("vggnumpy.strength.TRIAL_ITERATIONS", 2)
    monkeypatch.setattr("vggnumpy.strength.TRIAL_SIZE", 24)
    monkeypatch.setattr("vggnumpy.strength.TRIALS", 3)


def plan(**more):
    return plan_transfer(CONTENT, STYLE, net=NET, size=48, iterations=6, **LAYERS, **more)


def test_a_strength_stands_for_a_style_score():
    assert [round(share_of(s), 2) for s in (0.1, 1, 10)] == [0.27, 0.7, 0.94]


@pytest.mark.parametrize("target", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("half", [1e-3, 1.0, 300.0])
def test_the_factor_of_a_falling_function_is_found_in_a_few_trials(half, target):
    tried = []

    def share(factor):
        tried.append(factor)
        return 0.9 / (1 + (factor / half) ** 0.7)

    found = factor_for(share, target, 1.0)
    assert found in tried and len(tried) <= TRIALS
    assert 0.9 / (1 + (found / half) ** 0.7) == pytest.approx(target, abs=TOLERANCE)


def test_where_a_share_cannot_be_had_the_nearest_is_taken_soon():
    tried = []

    def share(factor):
        tried.append(factor)
        return 0.5 / (1 + factor)

    # From 0.01 to 0.001 nothing is gained any more that would be worth a content that is a tenth as heavy.
    assert factor_for(share, 0.8, 1.0) == pytest.approx(0.01) and min(tried) == pytest.approx(0.001)
    assert len(tried) < TRIALS
    assert factor_for(lambda factor: 0.9, 0.2, 1.0) > 0  # nothing helps: some factor all the same


def blend_with(weight: float, settings: dict):
    """Return a stand-in for painting: the nearer to the style the smaller the content's weights are."""

    def paint(trial):
        factor = trial.settings.content_layers["relu1_1"] / LAYERS["content_layers"]["relu1_1"]
        part = 1 / (1 + weight * factor)
        settings.update(vars(trial.settings), sizes=trial.sizes, iterations=sum(trial.iterations))
        image = (CONTENT + part * (STYLE - CONTENT)).round().astype("uint8")
        return TransferResult(image, image, [], {}, {}, {}, "", False)

    return paint


@pytest.mark.parametrize(("strength", "weight"), [(0.3, 30), (1, 0.02), (5, 1)])
def test_the_score_of_the_last_trial_is_the_strength_s(strength, weight):
    seen = {}
    paint = blend_with(weight, seen)
    found = balanced(plan(strength=strength), paint)
    assert found.settings.strength is None and seen["strength"] is None
    assert (seen["sizes"], seen["iterations"]) == ([(36, 48)], 40)
    weights = found.settings.content_layers
    assert weights["relu2_2"] == pytest.approx(3 * weights["relu1_1"])
    score = Judge(CONTENT, STYLE, size=48).score(paint(found).image).style_score
    assert score == pytest.approx(share_of(strength), abs=2 * TOLERANCE)
    assert (found.sizes, found.iterations) == (plan().sizes, plan().iterations)


def test_the_colours_that_are_put_back_at_the_end_are_not_balanced(quick):
    seen = {}
    balanced(plan(strength=1, color="luminance"), blend_with(1, seen))
    assert seen["color"] == "style"


def test_a_stronger_picture_has_smaller_content_weights_and_repeats_to_the_bit(quick):
    options = {"net": NET, "size": 32, "iterations": 2, **LAYERS}
    weak, strong, again = (transfer(CONTENT, STYLE, strength=s, **options) for s in (0.1, 10, 10))
    assert weak.settings["content_layers"]["relu1_1"] > 2 * strong.settings["content_layers"]["relu1_1"]
    assert strong.settings["strength"] == 10
    assert np.array_equal(strong.image, again.image)


def test_a_run_s_settings_repeat_it_to_the_bit_and_without_trials(quick, monkeypatch):
    monkeypatch.setattr("vggnumpy.strength._ROUND", 1)  # rounds, and corrections between them
    first = transfer(CONTENT, STYLE, net=NET, size=32, iterations=4, strength=0.3, **LAYERS)
    assert first.settings["balanced"] and first.settings["content_layers"] != LAYERS["content_layers"]
    record = json.loads(json.dumps(first.settings))
    settings = Settings(**{key: value for key, value in record.items() if key in vars(preset("default"))})
    monkeypatch.setattr("vggnumpy.strength.factor_for", lambda *given: pytest.fail("a trial was painted"))
    again = transfer(CONTENT, STYLE, net=NET, size=32, settings=settings)
    assert np.array_equal(again.pixels, first.pixels)
    assert json.loads(json.dumps(again.settings)) == record


def test_what_a_judge_cannot_see_is_measured_by_the_transfer_s_own_terms(quick):
    seen = []

    def paint(trial):
        seen.append(trial.settings.content_layers["relu1_1"])
        # A judge would see the photograph, and ask for smaller weights.  The terms say that all of the style is there.
        return TransferResult(CONTENT, CONTENT, [], {"style relu1_1": 1e-9, "content relu1_1": 1e9}, {}, {}, "", False)

    balanced(replace(plan(strength=1), fine=STYLE), paint)
    assert len(seen) == 3 and seen[0] < seen[1] < seen[2]


def test_each_scale_has_rounds_and_no_iteration_is_lost():
    chosen = replace(plan(), sizes=[(12, 16), (24, 32)], iterations=[101, 15])
    rounds, _ = steered(plan(strength=1), chosen)
    assert (rounds.sizes, rounds.iterations) == ([(12, 16)] * 4 + [(24, 32)], [25, 25, 25, 26, 15])
    assert steered(replace(plan(strength=1), fine=STYLE), chosen) == (chosen, None)
    assert steered(plan(strength=10), chosen) == (chosen, None)  # where weights hardly matter


def test_between_rounds_the_weights_are_corrected_within_bounds():
    chosen = plan()
    _, steer = steered(plan(strength=1), chosen)

    def weight(now):
        return now.settings.content_layers["relu2_2"]

    weaker = steer(chosen, CONTENT)  # no style at all yet
    assert weight(weaker) == pytest.approx(weight(chosen) / 4)
    assert weight(steer(weaker, CONTENT)) == pytest.approx(weight(chosen) / 10)  # and not another 4
    _, steer = steered(plan(strength=0.1), chosen)
    assert weight(steer(chosen, STYLE)) == pytest.approx(4 * weight(chosen))


def test_rounds_are_one_scale_to_who_looks_on(quick, monkeypatch):
    monkeypatch.setattr("vggnumpy.strength._ROUND", 1)
    result = transfer(CONTENT, STYLE, net=NET, size=64, scales=2, iterations=5, strength=1, **LAYERS)
    assert result.settings["sizes"] == [(24, 32), (48, 64)]
    assert [row["iteration"] for row in result.history] == [1, 2, 3, 4, 5]
    assert [row["scale"] for row in result.history] == [1, 1, 1, 2, 2]
    for scale in (1, 2):
        evaluations = [row["evaluations"] for row in result.history if row["scale"] == scale]
        assert evaluations == sorted(set(evaluations))


def test_an_interrupted_trial_interrupts():
    def paint(trial):
        return TransferResult(STYLE, STYLE, [], {}, {}, {}, "", True)

    with pytest.raises(KeyboardInterrupt):
        balanced(plan(strength=1), paint)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strength": 0}, "the strength must be a positive number"),
        ({"strength": float("inf")}, "the strength must be a positive number"),
        ({"strength": 1, "content_layers": {}}, "a strength balances content and style"),
        ({"strength": 1, "style_layers": {"relu1_1": 0}}, "a strength balances content and style"),
        ({"strength": 1, "color": "recolor"}, "the strength has no effect here, it needs a color other than recolor"),
    ],
)
def test_what_cannot_be_balanced_is_refused(settings, words):
    with pytest.raises(InputError, match=words):  # while it is planned, so that a sweep is refused before it begins
        plan_transfer(CONTENT, STYLE, net=NET, size=48, iterations=2, **{**LAYERS, **settings})


def test_without_a_strength_nothing_is_tried():
    chosen = plan()
    assert balanced(chosen, lambda trial: pytest.fail("a trial was painted")) is chosen


@pytest.mark.parametrize("strength", [5e-324, 1e308])
def test_strengths_beyond_all_measure_are_tried_too(quick, strength):
    (weight, _) = balanced(plan(strength=strength), paint).settings.content_layers.values()
    assert 0 < weight < 1e30


def test_a_narrow_picture_is_tried_as_large_as_its_short_side_needs(quick):
    narrow = resize(CONTENT, (20, 120))  # at 24 pixels it would be 4 wide
    wanted = plan_transfer(narrow, STYLE, net=NET, size=120, iterations=6, strength=1, **LAYERS)
    tried = []
    balanced(wanted, lambda trial: tried.append(trial.sizes) or paint(trial))
    assert tried[0] == [(16, 96)]
