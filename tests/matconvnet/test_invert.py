"""The published momentum descent: step by step as its own program, and its regulariser by the definition."""

import numpy as np
import pytest
from mini_networks import write_mini

from vggnumpy import losses
from vggnumpy import matconvnet as mcn
from vggnumpy.errors import InputError


@pytest.fixture(scope="module")
def reference(shared):
    with np.load(shared / "fixtures" / "matconvnet" / "inversion_reference.npz") as archive:
        return {key: archive[key].transpose(2, 3, 1, 0) if archive[key].ndim == 4 else archive[key] for key in archive}


@pytest.mark.parametrize(("beta", "weight"), [(1, 100), (2, 1)])
def test_every_step_and_energy(shared, reference, beta, weight):
    net = mcn.read_mat(shared / "fixtures" / "matconvnet" / "mini_vgg_face_meta.mat")
    stored = {key.removeprefix(f"tvbeta{beta}_"): a for key, a in reference.items() if key.startswith(f"tvbeta{beta}_")}
    chain = {"layers": net.layers[:13]}
    descent = mcn.invert_nn(
        chain, reference["target"], stored["x0"], stored["lr"], lambdaTV=weight, TVbeta=beta, lambdaAlpha=8e-10
    )
    steps = list(descent)
    assert len(steps) == 14
    for t in (1, 2, 8, 9, 14):
        theirs = stored[f"x{t}"]
        assert steps[t - 1].x.dtype == "float32"
        assert abs(steps[t - 1].x - theirs).max() <= 1e-4 * abs(theirs).max(), t
    energies = np.array([step.energy for step in steps]).T
    np.testing.assert_allclose(energies, stored["energy"], rtol=1e-3)
    final = mcn.vl_simplenn(chain, steps[-1].x)[-1].x
    error = np.sum((final - reference["target"]) ** 2) / np.sum(reference["target"] ** 2)
    assert error == pytest.approx(stored["err"], rel=1e-3)


@pytest.mark.parametrize("beta", [1, 2, 3, 6])
def test_the_variation_alone(reference, beta):
    value, dx = mcn.tv(reference["tv_x"].astype("float64"), beta)
    theirs = reference[f"tv_beta{beta}_grad"]
    assert value == pytest.approx(reference[f"tv_beta{beta}_value"], rel=1e-6)
    assert abs(dx - theirs).max() <= 1e-6 * abs(theirs).max()


@pytest.mark.parametrize("beta", [1, 1.5, 2, 3])
def test_the_variation_is_ours_where_the_image_is_nowhere_flat(rng, beta):
    x = 10 * rng.standard_normal((5, 6, 3, 2))
    value, dx = mcn.tv(x, beta)
    ours, gradient = losses.variation(x.transpose(3, 0, 1, 2), beta)
    assert value == pytest.approx(ours, rel=1e-13)
    np.testing.assert_allclose(dx[:-1, :-1], gradient.transpose(1, 2, 3, 0)[:-1, :-1], rtol=0, atol=1e-10)


def test_the_variation_s_derivative_is_smooth_where_the_image_is_flat():
    step = np.zeros((1, 3))
    step[0, 1] = 1e-6  # v = 1e-6 < 1e-5 twice: the slope is v · 1e5 instead of 1, at β = 1
    value, dx = mcn.tv(step, 1)
    assert value == pytest.approx(2e-6)
    np.testing.assert_allclose(dx, [[-0.1, 0.2, -0.1]], rtol=1e-12)
    np.testing.assert_allclose(losses.variation(step[..., None], 1)[1][..., 0], [[-1, 2, -1]])


@pytest.fixture
def task(tmp_path, rng):
    """A network cut after layer 13, the features of an image, and a start."""
    net = mcn.read_mat(write_mini(tmp_path, "mini_vgg_face_meta.mat"))
    chain = {"layers": net.layers[:13]}
    image = (40 * rng.standard_normal((24, 20, 3))).astype("float32")
    start = (40 * rng.standard_normal((24, 20, 3))).astype("float32")
    return chain, mcn.vl_simplenn(chain, image)[-1].x, start


def test_a_step_is_down_the_gradient_of_the_energy(task, rng):
    chain, y0, x0 = task
    chain = {
        "layers": [dict(layer, weights=[w.astype("float64") for w in layer["weights"]]) for layer in chain["layers"]]
    }
    y0, x0, options = y0.astype("float64"), x0.astype("float64"), {"lambdaTV": 2.0, "TVbeta": 2, "lambdaAlpha": 1e-8}

    def energy(x):
        features, (tv, _), size = mcn.vl_simplenn(chain, x)[-1].x, mcn.tv(x, 2), np.sum(x0**2)
        return np.sum((features - y0) ** 2) / np.sum(y0**2) + (2.0 * tv + 1e-8 * np.sum(x**6)) / 2 / size

    (first,) = mcn.invert_nn(chain, y0, x0, [1e-3], **options)
    assert first.energy[3] == pytest.approx(energy(x0)) == pytest.approx(sum(first.energy[:3]))
    gradient = (x0 - first.x) / (1e-3 * np.sum(x0**2))
    d = rng.standard_normal(x0.shape)
    slope = (energy(x0 + 1e-6 * d) - energy(x0 - 1e-6 * d)) / 2e-6
    assert np.sum(gradient * d) == pytest.approx(slope, rel=1e-6)


def test_momentum_starts_anew_when_the_rate_changes(task):
    chain, y0, x0 = task

    def plain_step(x, rate):
        """Return x after a step without momentum; rates are scaled by the length of the start, x0."""
        scaled = rate * np.sum(x0.astype("float64") ** 2) / np.sum(x.astype("float64") ** 2)
        (step,) = mcn.invert_nn(chain, y0, x, [scaled], lambdaTV=0, lambdaAlpha=0)
        return step.x

    one, two, three = mcn.invert_nn(chain, y0, x0, [1e-3, 1e-3, 1e-4], lambdaTV=0, lambdaAlpha=0)
    np.testing.assert_allclose(two.x, plain_step(one.x, 1e-3) + 0.9 * (one.x - x0), rtol=0, atol=1e-3)
    np.testing.assert_allclose(three.x, plain_step(two.x, 1e-4), rtol=0, atol=1e-3)
    assert abs(one.x - x0).max() > 0.1


def test_the_energy_falls(task):
    chain, y0, x0 = task
    energies = [step.energy[3] for step in mcn.invert_nn(chain, y0, x0, [1e-3] * 30, lambdaTV=1.0)]
    assert energies[-1] < 0.5 * energies[0]


def test_a_rate_too_large_and_features_of_another_size_are_refused(task):
    chain, y0, x0 = task
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"no longer finite before step \d"):
        list(mcn.invert_nn(chain, y0, x0, [1.0] * 40))
    with pytest.raises(InputError, match=r"the features y0 must have the network's size \(6, 5, 6\), got \(5, 5, 6\)"):
        list(mcn.invert_nn(chain, y0[1:], x0, [1e-3]))
