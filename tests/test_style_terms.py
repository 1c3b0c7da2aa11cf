"""Styles that know of places or patches, in objectives and transfers."""

import numpy as np
import pytest

from vggnumpy import InputError, Objective, random_network, transfer
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import architecture
from vggnumpy.regions import hard_regions
from vggnumpy.spatial import Placement
from vggnumpy.style_terms import ALIGNED, STYLE_LOSSES, HeldPatches, cropped, style_terms

NET = random_network(architecture("vgg19")[:7], rng=1)  # to relu2_1
RNG = np.random.default_rng(0)
LAYERS = {"relu1_1": 0.4, "relu2_1": 0.6}
CONTENT = RNG.uniform(0, 255, (32, 40, 3)).astype("float32")
STYLE = RNG.uniform(0, 255, (36, 30, 3)).astype("float32")


@pytest.mark.parametrize("kind", STYLE_LOSSES[1:])
def test_the_objective_has_the_gradient_of_every_kind(kind):
    net = NET.astype("float64").with_pooling("average")
    x, p, a = (RNG.uniform(0, 255, shape) for shape in ((16, 18, 3), (16, 18, 3), (16, 18, 3)))
    given = {"content": p, "radius": 2}
    terms = style_terms(kind, net, LAYERS, [a, p], [0.3, 0.7], "relative", **given)
    assert len(terms) == 4 and {term.name.split()[0] for term in terms} == {kind}
    fun = Objective(net, p, content={"relu2_1": 0.1}, layer_terms=terms, normalization="relative")
    assert fun(x)[0] > 0
    assert check_gradient(fun, x, steps=(1e-5, 1e-6, 1e-7)) < 1e-6
    at_style = style_terms(kind, net, LAYERS, [a], [1.0], "relative", content=a, radius=2)
    assert sum(Objective(net, layer_terms=[term])(a)[0] for term in at_style) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_a_transfer_with_every_kind_comes_nearer(kind):
    windows = {"radius": 2} if kind in ("local", "covariation") else {}
    result = transfer(
        CONTENT, STYLE, net=NET, size=40, iterations=4, style_loss=kind, style_layers=LAYERS, scales=1,
        content_layers={"relu2_1": 0.01}, **windows,
    )  # fmt: skip
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.settings["style_loss"] == kind
    assert any(name.startswith("style" if kind == "gram" else kind) for name in result.terms)


def test_matches_are_held_for_a_round_and_searched_anew():
    F = RNG.standard_normal((8, 9, 4))
    (term,) = style_terms("patches", NET, {"relu1_1": 1.0}, [STYLE], [1.0], "relative")
    held = HeldPatches(term.loss.target._replace(), None, "relative")
    features = NET.forward(CONTENT, ["relu1_1"])[0]["relu1_1"]
    first = held(features)[0]
    index = held.matches.index
    held(features + 1)
    assert held.matches.index is index
    held.release()
    assert held(features)[0] == first and held.matches.index is not index
    assert F.shape == (8, 9, 4)


def test_evaluations_are_counted_over_the_rounds_of_held_matches():
    result = transfer(
        CONTENT, STYLE, net=NET, size=24, iterations=14, style_loss="patches", style_layers={"relu1_1": 1.0},
        content_layers={}, scales=1,
    )  # fmt: skip
    counts = [row["evaluations"] for row in result.history]
    assert len(counts) == 14 and counts == sorted(set(counts))


@pytest.mark.parametrize(("shape", "expected"), [((10, 20), (15, 30)), ((20, 10), (36, 18)), ((36, 30), (36, 30))])
def test_the_middle_is_cropped_to_the_proportions(shape, expected):
    middle = cropped(STYLE, shape)
    assert middle.shape[:2] == expected
    top, left = (36 - expected[0]) // 2, (30 - expected[1]) // 2
    np.testing.assert_array_equal(middle, STYLE[top : top + expected[0], left : left + expected[1]])


def test_patches_stay_in_their_regions():
    """A map that is worth enough keeps every patch of the left to patches of the style's left."""
    halves = [hard_regions((np.arange(w) >= w // 2) + np.zeros((h, 1), int), [(255, 0, 0), (0, 0, 255)])
              for h, w in ((32, 40), (36, 30))]  # fmt: skip
    painting = STYLE * 0.1
    painting[:, :15] += (200, 0, 0)
    painting[:, 15:] += (0, 0, 200)
    result = transfer(
        CONTENT, painting, net=NET, size=40, iterations=25, style_loss="patches", style_layers=LAYERS, scales=1,
        content_layers={}, variation=0.0, margin=0, placement=Placement(halves[0], (halves[1],)),
    )  # fmt: skip
    left, right = result.pixels[:, :15].mean((0, 1)), result.pixels[:, 25:].mean((0, 1))
    assert left[0] > left[2] + 40 and right[2] > right[0] + 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style_loss": "gramm"}, "the style loss must be one of gram, self"),
        ({"style_loss": "local", "radius": -1}, "the radius must not be negative"),
        ({"style_loss": "autocorrelation", "style_scale": 0.5}, "with a style scale of 1 alone, got 0.5"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        transfer(CONTENT, STYLE, net=NET, size=40, **arguments)
    assert set(ALIGNED) < set(STYLE_LOSSES)


def test_covariation_takes_its_content_from_the_deepest_layer_that_sees_the_photograph():
    given = {"content": CONTENT, "radius": 0}
    terms = style_terms("covariation", NET, LAYERS, [CONTENT], [1.0], "relative", **given)
    features = NET.forward(CONTENT, list(LAYERS))[0]
    assert [term.layers for term in terms] == [("relu1_1",), ("relu2_1",)]
    assert all(term.loss(features[term.layers[0]])[0] == 0 for term in terms)
    assert all(term.loss(features[term.layers[0]][:, ::-1])[0] > 1e-5 for term in terms)
    (same,) = style_terms("covariation", NET, {"relu1_1": 0.4}, [STYLE], [1.0], "relative", **given)
    (deeper,) = style_terms(
        "covariation", NET, {"relu1_1": 0.4}, [STYLE], [1.0], "relative", content_layers=("relu2_1", "relu1_2"), **given
    )
    values = [term.loss(features["relu1_1"])[0] for term in (same, deeper)]
    assert values[0] != values[1]
    (first, _) = style_terms("covariation", NET, LAYERS, [STYLE], [1.0], "relative", **given)
    assert values[1] == first.loss(features["relu1_1"])[0]
    with pytest.raises(InputError, match="needs a content picture"):
        style_terms("covariation", NET, LAYERS, [STYLE], [1.0], "relative")
