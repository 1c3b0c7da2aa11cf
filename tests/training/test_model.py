"""Every gradient of a model in training, against finite differences and against the operators."""

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.checks.training import SIZE, TABLES, small_batch, small_model, training_checks
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets.tables import Layer, chain, fully_connected
from vggnumpy.training import Model
from vggnumpy.training.loss import smoothed_log_loss


@pytest.mark.parametrize("table", TABLES)
def test_every_weight_has_its_gradient(table):
    """Each is held against differences by `vggnumpy.checks`; here, that none is missing, and those that must be 0."""
    made, (x, labels) = small_model(table), small_batch()
    _, _, gradients = made.gradients(x, labels, 0.1)
    checked = {name for name, _ in training_checks() if f"training, {table} network" in name}
    for name, parts in gradients.items():
        absorbed = f"bn{name[-1]}" in made.weights and name.startswith("conv")
        first = "gain" if name.startswith("bn") else "filters"
        assert f"training, {table} network, {first} of {name}" in checked
        assert (f"training, {table} network, bias of {name}" in checked) != absorbed
        assert not absorbed or not parts[1].any()
    assert set(gradients) == set(made.weights)


def test_a_normalised_stage_is_its_operators():
    made, (x, labels) = small_model("normalised"), small_batch()
    w = dict(made.weights)
    y1, cache1 = ops.conv(x, *w["conv1"])
    n1, norm1 = ops.batch_norm(y1, *w["bn1"][:2], epsilon=1e-5)
    r1, bits1 = ops.relu(n1)
    y2, cache2 = ops.conv(r1, *w["conv2"])
    n2, norm2 = ops.batch_norm(y2, *w["bn2"][:2], epsilon=1e-5)
    r2, bits2 = ops.relu(n2)
    p2, taken = ops.max_pool(r2)
    mean = p2.mean(axis=(1, 2))
    z = mean @ w["fc"][0][0, 0] + w["fc"][1]
    value, dz = smoothed_log_loss(z, labels, 0.1)
    loss, wrong, gradients = made.gradients(x, labels, 0.1)
    assert loss == pytest.approx(value, rel=1e-12) and wrong == (z.argmax(1) != labels).sum()
    dp = np.broadcast_to((dz @ w["fc"][0][0, 0].T)[:, None, None] / 36, p2.shape).copy()
    dn2 = ops.relu_backward(ops.max_pool_backward(dp, taken), bits2)
    dy2, dgain2, dbias2 = ops.batch_norm_backward(dn2, norm2)
    np.testing.assert_allclose(gradients["bn2"][0], dgain2, atol=1e-13)
    np.testing.assert_allclose(gradients["bn2"][1], dbias2, atol=1e-13)
    np.testing.assert_allclose(gradients["conv2"][0], ops.conv_backward_filter(dy2, r1, cache2)[0], atol=1e-13)
    dn1 = ops.relu_backward(ops.conv_backward_input(dy2, cache2), bits1)
    dy1, dgain1, _ = ops.batch_norm_backward(dn1, norm1)
    np.testing.assert_allclose(gradients["bn1"][0], dgain1, atol=1e-13)
    np.testing.assert_allclose(gradients["conv1"][0], ops.conv_backward_filter(dy1, x, cache1)[0], atol=1e-13)


def test_running_moments_move_towards_the_batch_s():
    made, (x, labels) = small_model("normalised"), small_batch()
    before = made.weights["bn1"][2]
    y, _ = ops.conv(x, *made.weights["conv1"])
    made.gradients(x, labels)
    after = made.weights["bn1"][2]
    np.testing.assert_allclose(after[:, 0], 0.9 * before[:, 0] + 0.1 * y.mean((0, 1, 2)), rtol=1e-10)
    variance = 0.9 * (before[:, 1] ** 2 - 1e-5) + 0.1 * y.reshape(-1, 5).var(axis=0, ddof=1)
    np.testing.assert_allclose(after[:, 1], np.sqrt(variance + 1e-5), rtol=1e-10)


@pytest.mark.parametrize("table", TABLES)
def test_the_number_of_threads_changes_no_bit(table, monkeypatch):
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("vggnumpy.training.lanes.cores", lambda threads=threads: threads)
        _, _, gradients = small_model(table, "float32").gradients(*small_batch(dtype="float32"), 0.1)
        results.append([part.tobytes() for name in sorted(gradients) for part in gradients[name]])
    assert results[0] == results[1] == results[2]


def test_in_float32_gradients_are_those_of_float64_but_for_rounding():
    exact = small_model("normalised").gradients(*small_batch(), 0.1)
    single = small_model("normalised", "float32").gradients(*small_batch(dtype="float32"), 0.1)
    assert single[0] == pytest.approx(exact[0], rel=1e-5)
    for name, parts in exact[2].items():
        for k, part in enumerate(parts):
            assert single[2][name][k].dtype == "float32"
            assert np.linalg.norm(single[2][name][k] - part) <= 1e-4 * np.linalg.norm(part) + 1e-6


def test_a_large_mean_costs_the_variance_no_digits():
    """The convolution's running mean is taken off before anything is squared."""
    made = Model(chain([*TABLES["normalised"], Layer("prob", "softmax", ())]), 13, 0, "float32")
    x, labels = small_batch(dtype="float32")
    x += 1000
    for _ in range(150):
        made.gradients(x, labels)
    y, _ = ops.conv(x.astype("float64"), made.weights["conv1"][0].astype("float64"))
    deviation = y.reshape(-1, 5).std(axis=0, ddof=1)
    np.testing.assert_allclose(made.weights["bn1"][2][:, 1], deviation, rtol=1e-3)


def test_dropout_is_drawn_from_the_generator_and_absent_outside_training():
    table = [*TABLES["plain"][:-1], Layer("drop", "dropout", (), rate=0.5), fully_connected("fc2", 3)]
    made = Model(chain([*table, Layer("prob", "softmax", ())]), SIZE, 0, "float64")
    x, labels = small_batch()
    losses = [made.gradients(x, labels, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert np.array_equal(made.scores(x), made.scores(x))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_has_its_gradient(smoothing):
    rng = np.random.default_rng(0)
    z, labels = 5 * rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    assert check_gradient(lambda z: smoothed_log_loss(z, labels, smoothing), z) < 1e-8
    expected, _ = ops.softmax_loss(z[:, None, None], labels[:, None, None])
    if not smoothing:
        assert smoothed_log_loss(z, labels)[0] == pytest.approx(expected)
