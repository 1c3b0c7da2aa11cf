"""Strokes of one painting within the forms of another: which layers, whose Gram matrices, and the option for it."""

import json

import numpy as np
import pytest

import vggnumpy as vn
from vggnumpy.cli import main
from vggnumpy.color_control import color_statistics, pooled
from vggnumpy.feature_size import coarse_and_fine, fine_layers
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import resize, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.plan import plan_transfer
from vggnumpy.regions import Regions
from vggnumpy.scale import objective_at
from vggnumpy.spatial import Placement

NET = random_network(architecture("vgg19")[:12], rng=1)  # to relu3_1: quick
RNG = np.random.default_rng(0)
CONTENT, COARSE, FINE = RNG.integers(0, 256, (3, 40, 40, 3)).astype("float32")
QUICK = {"net": NET, "size": 32, "iterations": 2}
LAYERS = ["relu1_1", "relu2_1", "relu3_1"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["relu2_1", "relu1_1"], ["relu1_1"]),
        (["relu3_1", "relu1_1", "relu2_1"], ["relu1_1"]),
        (["relu3_1", "conv1_1", "relu2_1", "relu1_1"], ["conv1_1", "relu1_1"]),
        ([2, "relu2_1"], ["relu1_1"]),
        (["conv2_1", "relu1_1"], ["relu1_1"]),
    ],
)
def test_the_shallower_half_is_fine_in_any_order(layers, expected):
    assert fine_layers(NET, layers) == expected


def test_every_layer_has_the_gram_matrix_of_its_painting():
    style = coarse_and_fine(NET, COARSE, FINE, LAYERS)
    coarse, fine = vn.style_of(NET, COARSE, LAYERS), vn.style_of(NET, FINE, LAYERS)
    assert set(style) == set(LAYERS)
    for layer, source in (("relu1_1", fine), ("relu2_1", coarse), ("relu3_1", coarse)):
        np.testing.assert_allclose(style[layer].matrix, source[layer].matrix, atol=1e-4 * source[layer].matrix.max())
        assert style[layer].positions == source[layer].positions


def test_the_transfer_compares_each_layer_with_its_painting():
    plan = plan_transfer(CONTENT, COARSE, fine_style=FINE, margin=0, scales=1, **QUICK)
    at = dict(shape=(32, 32), sides=(0, 0, 0, 0))
    objective = objective_at(plan, plan.net, **at)
    for painting, missed in ((plan.fine, {"style relu1_1": 0}), (COARSE, {"style relu2_1": 0, "style relu3_1": 0})):
        objective(resize(painting, (32, 32)))
        losses = {name: term.loss for name, term in objective.terms.items() if name.startswith("style")}
        assert {name for name, loss in losses.items() if loss < 1e-6} == set(missed)


def test_the_same_painting_twice_is_the_painting():
    alone = vn.transfer(CONTENT, COARSE, **QUICK).pixels
    np.testing.assert_allclose(vn.transfer(CONTENT, COARSE, fine_style=COARSE, **QUICK).pixels, alone, atol=1e-3)
    assert np.abs(vn.transfer(CONTENT, COARSE, fine_style=FINE, **QUICK).pixels - alone).max() > 1


def test_the_fine_painting_is_in_the_colours_of_the_coarse_ones():
    plan = plan_transfer(CONTENT, [COARSE, COARSE / 2], fine_style=FINE, style_weights=[1, 3], **QUICK)
    wanted = pooled([color_statistics(COARSE), color_statistics(COARSE / 2)], [0.25, 0.75])
    found = color_statistics(plan.fine)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=0.01)
    np.testing.assert_allclose(found.covariance, wanted.covariance, atol=0.01 * wanted.covariance.max())


def test_colours_of_the_fine_painting_are_controlled_too():
    plan = plan_transfer(CONTENT, COARSE, fine_style=FINE, color="luminance", **QUICK)
    np.testing.assert_allclose(plan.fine, np.repeat(plan.fine[..., :1], 3, axis=2), atol=1e-3)
    assert len(plan.styles) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"style_layers": {"relu1_1": 1.0}}, "two style layers at least, got relu1_1"),
        ({"style_loss": "local"}, "not with the style loss local"),
        ({"color": "recolor"}, "it needs a color other than recolor, which paints nothing"),
    ],
)
def test_what_has_no_fine_half_is_refused(more, said):
    with pytest.raises(vn.InputError, match=said):
        plan_transfer(CONTENT, COARSE, fine_style=FINE, **QUICK, **more)


def test_regions_have_no_fine_half():
    half = np.zeros((40, 40, 1), "float32")
    half[:20] = 1
    regions = Regions(np.concatenate([half, 1 - half], axis=2), np.diag([0.0, 255.0, 0.0])[:2], ("top", "bottom"))
    with pytest.raises(vn.InputError, match="not with regions"):
        plan_transfer(CONTENT, COARSE, fine_style=FINE, placement=Placement(regions, [regions]), **QUICK)


def test_the_command_line_takes_a_fine_style_and_records_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, image in (("content.png", CONTENT), ("coarse.png", COARSE), ("fine.png", FINE)):
        write_image(name, image)
    write_weights("small.h5", NET)
    command = ["transfer", "content.png", "coarse.png", "--size", "32", "--iterations", "2", "--weights", "small.h5"]
    assert main([*command, "-o", "out.png", "--fine-style", "fine.png"]) == 0
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [one["path"] for one in record["inputs"]] == ["content.png", "coarse.png", "fine.png"]
    assert main([*command, "-o", "fine.png", "--fine-style", "fine.png"]) == 2
    assert "fine.png is an input" in capsys.readouterr().err
