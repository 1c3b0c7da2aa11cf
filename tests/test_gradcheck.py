"""The gradient checker passes what is right and catches what is one per cent wrong, wherever it is wrong."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from planted import wrong

from vggnumpy import checks, losses, ops
from vggnumpy.checks import networks
from vggnumpy.gradcheck import (
    check_adjoint,
    check_gradient,
    check_vjp,
    distinct,
    random_direction,
    relative_error,
)
from vggnumpy.nets import ARCHITECTURES, Network, fit_table, random_network
from vggnumpy.objective import Objective
from vggnumpy.training import Model


def names(start):
    """Return the names of all checks that start so; there must be one."""
    found = [name for name, _ in checks.all_checks() if name.startswith(start)]
    assert found, start
    return found


def failed(start):
    """Run the checks whose name starts so, and return the names of those that fail."""
    wanted = names(start)
    found = [checks.Check(name, measure()) for name, measure in checks.all_checks() if name in wanted]
    return [check.name for check in found if not check.passed]


def test_every_check_passes():
    found = list(checks.run_checks())
    assert [check.name for check in found if not check.passed] == []
    assert len({check.name for check in found}) == len(found) > 150


def test_every_operator_and_loss_has_a_check():
    for backward in (name for name in ops.__all__ if "backward" in name):
        assert {name[len(backward)] for name in names(backward)} & set(":, ")  # and not only a longer name
    for loss in ("content, gatys", "gram, gatys", "size, power", "variation, beta", "Objective", "Network.backward"):
        assert names(loss)


# Module, function, which part of its result, and how the names of the checks start that must fail, and they alone.
PLANTED = [
    (ops, "pad_backward", None, "pad_backward"),
    (ops, "conv_backward_input", None, "conv_backward_input"),
    (ops, "conv_backward_filter", 0, "conv_backward_filter dw"),
    (ops, "conv_backward_filter", 1, "conv_backward_filter db"),
    (ops, "max_pool_backward", None, "max_pool_backward"),
    (ops, "avg_pool_backward", None, "avg_pool_backward"),
    (ops, "conv_transpose_backward_input", None, "conv_transpose_backward_input"),
    (ops, "conv_transpose_backward_filter", 0, "conv_transpose_backward_filter dw"),
    (ops, "conv_transpose_backward_filter", 1, "conv_transpose_backward_filter db"),
    (ops, "relu_backward", None, "relu_backward"),
    (ops, "prelu_backward", None, "prelu_backward:"),
    (ops, "prelu_backward_slope", None, "prelu_backward_slope"),
    (ops, "lrn_backward", None, "lrn_backward"),
    (ops, "batch_norm_backward", 0, "batch_norm_backward dx"),
    (ops, "batch_norm_backward", 1, "batch_norm_backward dgain"),
    (ops, "batch_norm_backward", 2, "batch_norm_backward dbias"),
    (ops, "softmax_backward", None, "softmax_backward"),
    (ops, "softmax_loss_backward", None, "softmax_loss_backward"),
    (ops, "dropout_backward", None, "dropout_backward"),
    (ops, "concat_backward", 0, "concat_backward"),
    (ops, "concat_backward", 1, "concat_backward"),
    (losses, "content", 1, "content, "),
    (losses, "gram", 1, "gram, "),
    (losses, "size", 1, "size, "),
    (losses, "variation", 1, "variation, "),
    (losses, "regions_cotangent", None, "Objective, relative, regions"),
    (losses, "patches", 1, "Objective, relative, patches"),
    (losses, "local_gram", 1, "Objective, relative, local"),
    (losses, "covariation", 1, "Objective, relative, covariation"),
    (losses, "autocorrelation", 1, "Objective, relative, autocorrelation"),
    (losses, "self_convolution", 1, "Objective, relative, self-convolution"),
]


def test_an_error_is_planted_in_every_backward_pass():
    assert {name for module, name, _, _ in PLANTED if module is ops} == {n for n in ops.__all__ if "backward" in n}


@pytest.mark.parametrize(("module", "name", "component", "start"), PLANTED, ids=[f"{p[3]}{p[2]}" for p in PLANTED])
def test_one_per_cent_in_any_gradient_fails_every_check_of_it(monkeypatch, module, name, component, start):
    monkeypatch.setattr(module, name, wrong(getattr(module, name), component))
    assert failed(start) == names(start)


def test_the_training_formula_is_no_derivative_where_moments_are_given(monkeypatch):
    original = ops.batch_norm_backward
    monkeypatch.setattr(ops, "batch_norm_backward", lambda dy, cache: original(dy, cache._replace(given=False)))
    assert failed("batch_norm_backward") == ["batch_norm_backward dx, given moments: difference"]


def test_the_window_of_an_even_size_is_mirrored_backward(monkeypatch):
    module = sys.modules["vggnumpy.ops.lrn"]
    original = module._window_sum
    monkeypatch.setattr(module, "_window_sum", lambda values, before, after: original(values, *sorted((before, after))))
    assert failed("lrn_backward") == ["lrn_backward, size 4: difference"]


def test_one_per_cent_in_a_weight_s_gradient_fails_every_check_of_training(monkeypatch):
    original = Model.gradients

    def planted(self, *args):
        loss, errors, gradients = original(self, *args)
        return loss, errors, {name: tuple(1.01 * part for part in parts) for name, parts in gradients.items()}

    monkeypatch.setattr(Model, "gradients", planted)
    assert failed("training, ") == names("training, ")


PARTS_OF_LOSSES = [
    ("vggnumpy.losses.content", "content_cotangent", "content, "),
    ("vggnumpy.losses.gram", "gram_cotangent", "gram, "),
]


@pytest.mark.parametrize(("module", "name", "start"), PARTS_OF_LOSSES)
def test_one_per_cent_inside_a_loss_fails_every_check_of_it(monkeypatch, module, name, start):
    monkeypatch.setattr(sys.modules[module], name, wrong(getattr(losses, name)))
    assert failed(start) == names(start)


def test_one_per_cent_in_the_derivative_with_respect_to_the_gram_matrix_fails(monkeypatch):
    monkeypatch.setattr(sys.modules["vggnumpy.losses.gram"], "gram_value", wrong(losses.gram_value, 1))
    assert failed("gram, ") == names("gram, ")


def test_the_form_for_symmetric_targets_is_caught_by_the_targets_that_are_not(monkeypatch):
    def symmetric_only(F, S):
        return (F.reshape(-1, F.shape[-1]) @ (2 * S)).reshape(F.shape)

    monkeypatch.setattr(sys.modules["vggnumpy.losses.gram"], "gram_cotangent", symmetric_only)
    caught = failed("gram, ")
    assert len(caught) == 8
    assert all("asymmetric target" in name or "single-entry target" in name for name in caught)


BRANCHES, EVERY_KIND = "Network.backward, branches", "Network.backward, every kind of layer"
# Function → the networks whose derivative passes through it.
INSIDE = {
    "conv_backward_input": (BRANCHES, EVERY_KIND),
    "relu_backward": (BRANCHES, EVERY_KIND),
    "avg_pool_backward": (BRANCHES, EVERY_KIND),
    "concat_backward": (BRANCHES,),
    "preprocess_backward": (BRANCHES, EVERY_KIND),
    "backward": (BRANCHES, EVERY_KIND),
    "lrn_backward": (EVERY_KIND,),
    "batch_norm_backward": (EVERY_KIND,),
    "prelu_backward": (EVERY_KIND,),
    "conv_transpose_backward_input": (EVERY_KIND,),
    "softmax_backward": (EVERY_KIND,),
}


@pytest.mark.parametrize("name", INSIDE)
def test_one_per_cent_inside_a_network_fails_its_check(monkeypatch, name):
    owner = Network if hasattr(Network, name) else ops
    component = {"concat_backward": 1, "batch_norm_backward": 0}.get(name)
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name), component))
    assert failed("Network.backward") == list(INSIDE[name])


@pytest.mark.parametrize(
    ("name", "component", "caught"),
    [
        ("batch_norm_backward", 1, "dzdw of bnorm"),
        ("batch_norm_backward", 2, "dzdb of bnorm"),
        ("prelu_backward_slope", None, "dzdw of prelu"),
        ("conv_transpose_backward_filter", 0, "dzdw of convt"),
        ("conv_transpose_backward_filter", 1, "dzdb of convt"),
    ],
)
def test_one_per_cent_in_a_layer_s_own_derivative_fails_its_check(monkeypatch, name, component, caught):
    monkeypatch.setattr(ops, name, wrong(getattr(ops, name), component))
    assert failed("Network.inspect") == [f"Network.inspect, {caught}"]


@pytest.fixture
def narrow(monkeypatch):
    """Let the check of the objective use a VGG-19 of 6 channels, so that it takes no time."""
    table, before = ARCHITECTURES["vgg19"], 3
    shapes = {}
    for layer in table:
        if layer.kind == "conv":
            shapes[layer.name], before = (3, 3, before, 6), 6
    table = fit_table(table, shapes)
    monkeypatch.setattr(
        networks, "random_network", lambda of, **options: random_network(table if of == "vgg19" else of, **options)
    )
    # Few channels make for small features; a larger weight keeps the content's share of the gradient.
    heavy = {"content": {"relu4_2": 0.1}}

    def objective(net, *images, **terms):
        return Objective(net, *images, **(terms | heavy if "relu4_2" in net.layers else terms))

    monkeypatch.setattr(networks, "Objective", objective)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_check_of_a_narrow_objective_passes(narrow, pooling):
    assert failed(f"Objective, VGG-19 at 32×32, {pooling}") == []


@pytest.mark.parametrize(
    ("owner", "name", "component", "pooling"),
    [
        (ops, "conv_backward_input", None, "max"),
        (ops, "relu_backward", None, "max"),
        (ops, "max_pool_backward", None, "max"),
        (ops, "avg_pool_backward", None, "average"),
        (Network, "preprocess_backward", None, "max"),
        (Network, "backward", None, "max"),
        (losses, "content", 1, "max"),
        (losses, "gram_value", 1, "max"),
        (losses, "gram_cotangent", None, "max"),
        (losses, "size", 1, "max"),
        (losses, "variation", 1, "max"),
    ],
)
def test_one_per_cent_in_any_piece_fails_the_check_of_the_objective(
    monkeypatch, narrow, owner, name, component, pooling
):
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name), component))
    assert failed(f"Objective, VGG-19 at 32×32, {pooling}") == [f"Objective, VGG-19 at 32×32, {pooling} pooling"]


def test_one_per_cent_in_a_single_term_of_an_objective_is_caught(monkeypatch):
    net = networks.branching_network()
    rng = np.random.default_rng(1)
    image, p, s = (rng.uniform(0, 255, (7, 6, 3)) for _ in range(3))
    weights = {"content": {"pool": 1.0}, "style": {"relu1": 1.0, "join": 1.0}, "size": 1e-4, "variation": 1e-4}
    fun = Objective(net, p, s, **weights)
    assert check_gradient(fun, image) < checks.TOLERANCE
    for name in list(fun.terms):
        gradient = fun(image)[1] + 0.01 * fun.terms[name].gradient()
        assert check_gradient(lambda x, g=gradient: (fun(x)[0], g), image) > checks.TOLERANCE, name


def test_a_check_passes_up_to_the_tolerance():
    assert checks.Check("a", checks.TOLERANCE).passed
    assert not checks.Check("a", 1.1 * checks.TOLERANCE).passed
    assert not replace(checks.Check("a", 0.0), error=float("nan")).passed
    assert not checks.Check("a", float("inf")).passed


def test_a_gradient_that_is_right_passes_and_one_per_cent_is_measured_as_such():
    x = distinct((4, 5))

    def cubes(x, factor=1.0):
        return float((x**3).sum()), factor * 3 * x**2

    assert check_gradient(cubes, x) < 1e-8
    assert check_gradient(lambda x: cubes(x, 1.01), x) == pytest.approx(0.01 / 1.01, rel=1e-4)


def test_an_error_in_a_single_entry_is_caught():
    x = distinct((4, 5))

    def squares(x):
        gradient = 2 * x
        gradient[2, 3] *= 1.01
        return float((x**2).sum()), gradient

    assert check_gradient(squares, x) > 1e-6


def test_a_function_that_is_not_finite_never_passes():
    x = np.ones((2, 2))
    assert check_gradient(lambda x: (float("nan"), x), x) == float("inf")
    assert check_gradient(lambda x: (1.0, np.full_like(x, np.nan)), x) == float("inf")
    assert check_gradient(lambda x: (1.0, np.zeros_like(x)), x) == 0


def test_operators_and_transposes():
    matrix = np.random.default_rng(2).standard_normal((6, 4))
    x = distinct((4,))
    assert check_vjp(lambda x: (matrix @ x, None), lambda dy, _: matrix.T @ dy, x) < 1e-8
    assert check_adjoint(lambda x: (matrix @ x, None), lambda dy, _: matrix.T @ dy, x) < 1e-15
    assert check_vjp(lambda x: (matrix @ x, None), lambda dy, _: 1.01 * matrix.T @ dy, x) > 1e-3
    assert check_adjoint(lambda x: (matrix @ x, None), lambda dy, _: 1.01 * matrix.T @ dy, x) > 1e-4
    assert check_vjp(lambda x: (x**2, x), lambda dy, x: 2 * x * dy, x) < 1e-7


def test_distinct_values_keep_their_distance():
    x = distinct((3, 4, 5), rng=1, gap=0.1)
    values = np.sort(x.ravel())
    np.testing.assert_allclose(np.diff(values), 0.1, rtol=1e-9)
    assert abs(values).min() == pytest.approx(0.05)
    np.testing.assert_array_equal(x, distinct((3, 4, 5), rng=1, gap=0.1))
    assert not np.array_equal(x, distinct((3, 4, 5), rng=2, gap=0.1))


def test_directions_have_no_entry_near_zero():
    d = random_direction((1000,), np.random.default_rng(0))
    assert abs(d).min() >= 0.5 and abs(d).max() <= 1.5 and 400 < (d > 0).sum() < 600


def test_relative_error():
    assert relative_error(1.0, 1.0) == relative_error(0.0, 0.0) == 0
    assert relative_error(0.0, 2.0) == 1 and relative_error(1.0, -1.0) == 2
    assert relative_error(99.0, 100.0) == relative_error(-100.0, -99.0) == 0.01
    for bad in (float("nan"), float("inf"), -float("inf")):
        assert relative_error(bad, 1.0) == relative_error(1.0, bad) == relative_error(bad, bad) == float("inf")
