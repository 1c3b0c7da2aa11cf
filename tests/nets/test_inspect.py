"""Every intermediate value and derivative on request, and a tape that holds no features."""

from collections.abc import Iterator

import numpy as np
import pytest

from vggnumpy import random_network
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import Layer, Network, chain
from vggnumpy.nets.steps import forward_step
from vggnumpy.nets.tables import conv, pool, relu


@pytest.fixture(scope="module")
def net():
    table = chain(
        [
            conv("conv1", 4),
            relu("relu1"),
            pool("pool1"),
            conv("left", 3, inputs=("pool1",)),
            conv("right", 2, size=1, pad=0, inputs=("pool1",)),
            Layer("join", "concat", ("left", "right")),
            relu("relu2"),
            pool("pool2", method="average", rounding="ceil"),
        ]
    )
    plain = random_network(table, rng=5, dtype="float64")
    return Network("small", table, plain.weights, "BGR", plain.mean, (0.1, 0.2, 0.3))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(91).uniform(0, 255, (2, 7, 6, 3))


@pytest.fixture(scope="module")
def dfeatures(net, image):
    rng = np.random.default_rng(92)
    features, _ = net.forward(image, ["pool2", "relu1"])
    return {name: rng.standard_normal(feature.shape) for name, feature in features.items()}


def test_outputs_are_the_forward_pass_s(net, image, dfeatures):
    records = net.inspect(image, dfeatures)
    features, _ = net.forward(image, net.layers)
    assert list(records) == ["input", *net.layers]
    for name, feature in features.items():
        np.testing.assert_array_equal(records[name].x, feature)
    np.testing.assert_array_equal(records["input"].x, net.preprocess(image))


def test_layers_are_found_by_name_and_by_matconvnet_s_number(net, image, dfeatures):
    records = net.inspect(image, dfeatures)
    assert records[0] is records["input"]
    for number, name in enumerate(net.layers, start=1):
        assert records[number] is records[name]
    for key in (-1, len(net.layers) + 1, "conv9", None):
        with pytest.raises(KeyError):
            records[key]


def test_the_deepest_layer_is_the_last_and_derivatives_start_there(net, image):
    dpool = np.random.default_rng(93).standard_normal((2, 3, 3, 4))
    records = net.inspect(image, {3: dpool}, filters=True)
    assert list(records) == ["input", "conv1", "relu1", "pool1"]
    assert records[3].dzdx is dpool
    with pytest.raises(KeyError):
        records[4]


def test_layers_that_no_derivative_reaches_have_none(net, image):
    features, _ = net.forward(image, ["left", "right"])
    records = net.inspect(image, {"left": features["left"], "right": 0 * features["right"]})
    assert "join" not in records
    assert records["left"].dzdw is None and records["left"].dzdb is None
    assert records["relu1"].dzdw is None


def test_the_derivative_at_the_input_is_what_backward_carries_to_the_pixels(net, image, dfeatures):
    records = net.inspect(image, dfeatures)
    _, tape = net.forward(image, list(dfeatures))
    np.testing.assert_array_equal(net.preprocess_backward(records[0].dzdx), net.backward(tape, dfeatures))
    np.testing.assert_array_equal(records["pool2"].dzdx, dfeatures["pool2"])


def test_one_layer_under_its_name_and_its_number_counts_twice_as_in_backward(net, image, dfeatures):
    _, tape = net.forward(image, ["relu1"])
    both = {"relu1": dfeatures["relu1"], 2: dfeatures["relu1"]}
    records = net.inspect(image, both)
    np.testing.assert_allclose(net.preprocess_backward(records[0].dzdx), net.backward(tape, both), rtol=1e-13)


def objective(net, features, dfeatures):
    return sum(float((features[name] * dfeature).sum()) for name, dfeature in dfeatures.items())


@pytest.mark.parametrize("layer", ["conv1", "left", "right"])
def test_filter_derivatives_agree_with_differences(net, image, dfeatures, layer):
    records = net.inspect(image, dfeatures, filters=True)

    def at(w, b):
        changed = Network("changed", net.table, {**net.weights, layer: (w, b)}, "BGR", net.mean, net.scale)
        return objective(net, changed.forward(image, list(dfeatures))[0], dfeatures)

    w, b = net.weights[layer]
    assert check_gradient(lambda value: (at(value, b), records[layer].dzdw), w) < 1e-7
    assert check_gradient(lambda value: (at(w, value), records[layer].dzdb), b) < 1e-7


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "left", "right", "join", "relu2"])
def test_every_derivative_agrees_with_differences_of_the_rest_of_the_network(net, image, dfeatures, layer):
    records = net.inspect(image, dfeatures)

    x0 = records[layer].x

    def rest(t):
        """Put x0·(1 + t) in the place of the layer's output and compute on; zeros stay zeros, and so do ties."""
        value = {name: record.x for name, record in records.items()} | {layer: x0 * (1 + t)}
        changed = {layer}
        for later in net.table[net.layers.index(layer) + 1 :]:
            if changed & set(later.inputs):
                value[later.name], _ = forward_step(
                    later, [value[name] for name in later.inputs], net.weights.get(later.name, ()), net.pad_mode
                )
                changed.add(later.name)
        return objective(net, value, dfeatures), x0 * records[layer].dzdx

    assert check_gradient(rest, np.zeros(x0.shape)) < 1e-7


def test_derivatives_that_do_not_fit_are_refused(net, image):
    with pytest.raises(ValueError, match="the derivative at pool1 must have shape"):
        net.inspect(image, {"pool1": np.zeros((1, 1, 1))})
    with pytest.raises(InputError, match="has no layer 'pool7'"):
        net.inspect(image, {"pool7": np.zeros((1, 1, 1))})


def arrays(value) -> Iterator[np.ndarray]:
    """Yield every array inside nested tuples, lists, dictionaries and objects."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays(part)
    elif hasattr(value, "__dict__"):
        yield from arrays(vars(value))


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_tape_holds_bits_for_rectifiers_and_bytes_for_maxima_and_no_features(pooling):
    net = random_network("vgg19", pooling=pooling)
    image = np.random.default_rng(94).uniform(0, 255, (48, 64, 3)).astype("float32")
    features, tape = net.forward(image, net.layers)
    weights = {id(w) for w, _ in net.weights.values()}
    held = {id(array): array for array in arrays(tape)}
    own = [array for key, array in held.items() if key not in weights]
    assert weights <= set(held)
    assert {str(array.dtype) for array in own} == {"uint8"}
    bits = sum(features[name].size for name in net.layers if name.startswith("relu"))
    maxima = sum(features[name].size for name in net.layers if name.startswith("pool"))
    assert sum(array.nbytes for array in own) == bits // 8 + maxima * (pooling == "max")
    assert all(array.base is None or array.base.nbytes <= array.nbytes for array in own)
