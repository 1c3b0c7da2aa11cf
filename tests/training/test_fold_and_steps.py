"""Folding is exact, and the optimisers make the steps that their papers print."""

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.training.architectures import TABLES, training_table
from vggnumpy.training.augment import augment
from vggnumpy.training.fold import to_network
from vggnumpy.training.model import Model
from vggnumpy.training.optimizers import SGD, Adam
from vggnumpy.training.schedule import rate_at


def test_a_folded_network_scores_what_the_model_scores():
    rng = np.random.default_rng(0)
    made = Model(training_table("small-vgg"), rng=1, dtype="float64")
    for name, parts in made.weights.items():
        made.weights[name] = tuple(part + 0.2 * rng.uniform(0, 1, part.shape) for part in parts)
    mean, scale = np.array([120.0, 110, 100]), np.array([0.02, 0.01, 0.015])
    pixels = rng.uniform(0, 255, (3, 32, 32, 3))
    net = to_network("small", made.table, made.weights, mean, scale, (), {"source": "test"})
    features, _ = net.forward(pixels, ["fc1"])
    np.testing.assert_allclose(features["fc1"].reshape(3, -1), made.scores((pixels - mean) * scale), rtol=1e-10)
    assert not any(layer.kind == "bnorm" for layer in net.table) and net.table[-1].kind == "softmax"


@pytest.mark.parametrize(("name", "positions"), [("small-vgg", 1), ("paper", 4), ("paper-deep", 6)])
def test_the_architectures_have_the_papers_sizes(name, positions):
    made = Model(training_table(name, dropout=0.5 if name != "small-vgg" else 0))
    assert made.weights["fc1"][0].shape[:2] == (positions, positions)
    assert made.weights[sorted(made.weights)[-1]][0].shape[-1] == 10 or name == "small-vgg"
    assert made.scores(np.zeros((1, 32, 32, 3), "float32")).shape == (1, 10)
    assert name in TABLES


def test_an_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="no architecture 'huge' to train; known are small-vgg"):
        training_table("huge")


def test_sgd_takes_nesterovs_steps():
    w, optimizer = {"w": np.array([1.0])}, SGD(0.5)
    optimizer.step(w, {"w": np.array([1.0])}, 0.1)  # v = 1, g + μv = 1.5
    assert w["w"][0] == pytest.approx(0.85)
    optimizer.step(w, {"w": np.array([2.0])}, 0.1)  # v = 2.5, g + μv = 3.25
    assert w["w"][0] == pytest.approx(0.525)


def test_adam_takes_its_papers_steps():
    w, optimizer = {"w": np.array([1.0])}, Adam(0.9, 0.99, 1e-8)
    optimizer.step(w, {"w": np.array([3.0])}, 0.1)  # the first step is the rate, whatever the gradient
    assert w["w"][0] == pytest.approx(0.9)
    optimizer.step(w, {"w": np.array([-1.0])}, 0.1)
    m, s = (0.9 * 0.3 - 0.1) / (1 - 0.81), (0.99 * 0.09 + 0.01) / (1 - 0.9801)
    assert w["w"][0] == pytest.approx(0.9 - 0.1 * m / np.sqrt(s))


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_every_stretch_of_a_large_layer_is_stepped_alike(optimizer):
    g = np.random.default_rng(0).standard_normal((300, 331), dtype="float32")
    large, small = {"w": np.zeros_like(g)}, {str(i): np.zeros_like(row) for i, row in enumerate(g)}
    whole, rows = optimizer(), optimizer()
    for _ in range(2):
        whole.step(large, {"w": g}, 0.1)
        rows.step(small, {str(i): row for i, row in enumerate(g)}, 0.1)
    assert np.array_equal(large["w"], np.stack(list(small.values())))
    with pytest.raises(ValueError, match="one piece"):
        whole.step({"w": g.T}, {"w": g.T}, 0.1)


def test_the_one_cycle_rises_and_falls_to_nothing():
    rates = [rate_at("one-cycle", 0.2, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == rates[20] == pytest.approx(0.2) and rates[100] == 0
    assert (np.diff(rates[:21]) > 0).all() and (np.diff(rates[20:]) < 0).all()
    assert rate_at("constant", 0.2, 7, 100) == 0.2


def test_pictures_are_shifted_and_mirrored_and_nothing_else():
    x = np.arange(1, 1 + 40 * 6 * 5 * 1, dtype="float32").reshape(40, 6, 5, 1)
    out = augment(x, 2, True, 0, np.random.default_rng(0))
    seen = set()
    for before, after in zip(x[..., 0], out[..., 0], strict=True):
        padded = np.pad(before, 2)
        fits = {
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if np.array_equal(padded[top : top + 6, left : left + 5][:, :: -1 if mirrored else 1], after)
        }
        assert len(fits) == 1
        seen |= fits
    assert len(seen) > 20 and {mirrored for *_, mirrored in seen} == {False, True}
    assert np.array_equal(augment(x, 0, False, 0, np.random.default_rng(0)), x)


def test_a_square_is_hidden_wherever_its_centre_falls():
    x = np.ones((200, 9, 9, 3))
    out = augment(x, 0, False, 4, np.random.default_rng(0))
    hidden = (out == 0).all(axis=3)
    assert np.array_equal(hidden, (out == 0).any(axis=3))
    sizes = {(int(one.any(axis=1).sum()), int(one.any(axis=0).sum())) for one in hidden}
    assert sizes == {(height, width) for height in (2, 3, 4) for width in (2, 3, 4)}
    assert all(one.sum() == one.any(axis=1).sum() * one.any(axis=0).sum() for one in hidden)  # rectangles
    assert hidden.any(axis=0).all()
