"""A network, its losses and the objective on CUDA arrays: the same numbers, and gradients that are derivatives."""

from dataclasses import replace

import numpy as np
import pytest

from vggnumpy.backend import array_module, to_host
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import random_network
from vggnumpy.nets.tables import Layer, chain, conv, pool, relu
from vggnumpy.objective import Objective

RNG = np.random.default_rng(610)
IMAGE, CONTENT, STYLE = (RNG.uniform(0, 255, shape) for shape in ((13, 11, 3), (13, 11, 3), (9, 14, 3)))
TERMS = {
    "content": {"relu2_1": 1.0, "join": 0.2},
    "style": {"relu1_1": 0.5, "relu2_1": 1.0, "join": 0.1},
    "size": 1e-3,
    "variation": 1e-2,
}


def network(dtype="float64", method="max"):
    """Return a network with strides, groups, pads, branches and most kinds of layers."""
    layers = [
        conv("conv1_1", 6),
        relu("relu1_1"),
        pool("pool1", method=method, size=3, stride=2, rounding="ceil"),
        Layer("lrn1", "lrn", ("pool1",), lrn=(3, 1.0, 1e-4, 0.75)),
        conv("conv2_1", 8, groups=2),
        relu("relu2_1", leak=0.1),
        conv("left", 5, inputs=("relu2_1",)),
        conv("right", 4, size=1, pad=0, inputs=("relu2_1",)),
        Layer("join", "concat", ("left", "right")),
    ]
    return random_network(chain(layers), dtype=dtype)


def there(net, like):
    """Return the network with its weights beside an array."""
    xp = array_module(like)
    return replace(net, weights={name: tuple(map(xp.asarray, parts)) for name, parts in net.weights.items()})


@pytest.mark.parametrize("pad_mode", ["zero", "reflect"])
def test_a_network(on_device, pad_mode):
    net = replace(network(), pad_mode=pad_mode)
    layers = ["relu1_1", "relu2_1", "join"]

    def run(image):
        features, tape = there(net, image).forward(image, layers)
        return [*features.values(), there(net, image).backward(tape, features)]

    images = np.stack([IMAGE, CONTENT])
    for one, other in zip(on_device(run, images), run(images), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * abs(other).max())


def test_the_derivatives_of_all_weights(on_device):
    net = network()
    dy = RNG.standard_normal((6, 5, 9))

    def run(image, dy):
        records = there(net, image).inspect(image, {"join": dy}, filters=True)
        return [part for record in records.values() for part in (record.dzdw, record.dzdb) if part is not None]

    actual, expected = on_device(run, IMAGE, dy), run(IMAGE, dy)
    assert len(actual) == 8
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * abs(other).max())


@pytest.mark.parametrize("normalization, form", [("gatys", "exact"), ("relative", "exact"), ("raw", "printed")])
def test_the_objective(on_device, normalization, form):
    net = network()

    def run(image, content, style):
        options = {"normalization": normalization, "form": form, "executor": "reference", "variation_beta": 1.5}
        fun = Objective(there(net, image), content, [style, style[:8]], **TERMS, **options)
        value, gradient = fun(image)
        assert type(gradient) is type(image)
        return [gradient, float(value), *(float(term.value) for term in fun.terms.values())]

    actual, expected = on_device(run, IMAGE, CONTENT, STYLE), run(IMAGE, CONTENT, STYLE)
    np.testing.assert_allclose(actual[0], expected[0], rtol=0, atol=1e-12 * abs(expected[0]).max())
    np.testing.assert_allclose(actual[1:], expected[1:], rtol=1e-12)


def test_float32_is_as_exact_as_on_the_cpu(on_device):
    exact = Objective(network(), CONTENT, STYLE, **TERMS, executor="reference")(IMAGE)[1]

    def run(*images):
        image, content, style = (image.astype("float32") for image in images)
        return [Objective(there(network("float32"), image), content, style, **TERMS, executor="reference")(image)[1]]

    for (gradient,) in (on_device(run, IMAGE, CONTENT, STYLE), run(IMAGE, CONTENT, STYLE)):
        assert np.linalg.norm(gradient - exact) < 1e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("method", ["max", "average"])
def test_the_gradient_is_the_derivative(on_device, method):
    net = network(method=method)

    def run(image, content, style):
        fun = Objective(there(net, image), content, style, **TERMS, normalization="relative")

        def on_host(pixels):
            value, gradient = fun(array_module(image).asarray(pixels))
            return float(value), to_host(gradient)

        return [check_gradient(on_host, to_host(image), steps=(1e-4, 1e-5))]

    (error,) = on_device(run, IMAGE, CONTENT, STYLE)
    assert error < 1e-7
