"""A network forward and backward: what is computed, what comes back, and what is refused."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets import Layer, Network, chain, random_network
from vggnumpy.nets.tables import conv, pool, relu

RNG_SEED = 90


def branching():
    """Return a small network with a branch, a join, groups and every kind of layer."""
    table = chain(
        [
            conv("conv1", 4),
            relu("relu1"),
            pool("pool1"),
            conv("left", 6, size=1, pad=0, inputs=("pool1",)),
            conv("right", 2, inputs=("pool1",), pad_mode="reflect"),
            Layer("join", "concat", ("left", "right", "pool1")),
            relu("relu2"),
            pool("pool2", size=3, method="average", rounding="ceil"),
            conv("conv3", 5, stride=(2, 1)),
        ]
    )
    plain = random_network(table, rng=3, dtype="float64")
    rng = np.random.default_rng(RNG_SEED)
    weights = {name: (w, rng.standard_normal(b.shape)) for name, (w, b) in plain.weights.items()}
    return Network("branching", table, weights, "BGR", (103.9, 116.8, 123.7), (0.017, 0.018, 0.019), "replicate")


def picture(*shape, dtype="float64"):
    image = np.random.default_rng(RNG_SEED).uniform(0, 255, shape).astype(dtype)
    image.flags.writeable = False
    return image


def some_derivatives(features):
    rng = np.random.default_rng(RNG_SEED + 1)
    return {key: rng.standard_normal(feature.shape) for key, feature in features.items()}


def test_a_forward_pass_is_the_operators_in_order():
    net, image = branching(), picture(9, 11, 3)
    z = (image[..., ::-1] - np.array(net.mean)) * np.array(net.scale)
    x1 = np.maximum(ops.conv(z, *net.weights["conv1"], pad_mode="replicate")[0], 0)
    p = ops.max_pool(x1)[0]
    left = ops.conv(p, *net.weights["left"], pad=0)[0]
    right = ops.conv(p, *net.weights["right"], pad_mode="reflect")[0]
    join = np.concatenate([left, right, p], axis=-1)
    top = ops.avg_pool(np.maximum(join, 0), 3, 2, rounding="ceil")[0]
    last = ops.conv(top, *net.weights["conv3"], stride=(2, 1), pad_mode="replicate")[0]
    features, _ = net.forward(image, net.layers)
    for name, expected in {"relu1": x1, "pool1": p, "join": join, "pool2": top, "conv3": last}.items():
        np.testing.assert_allclose(features[name], expected, rtol=1e-13, atol=1e-13)


def test_backward_agrees_with_differences_at_every_layer():
    net, image = branching(), picture(9, 11, 3)
    for layers in [[name] for name in net.layers] + [list(net.layers), ["relu1", "pool2"]]:
        features, _ = net.forward(image, layers)
        weights = some_derivatives(features)

        def fun(x, layers=layers, weights=weights):
            features, tape = net.forward(x, layers)
            return sum(float((features[name] * weights[name]).sum()) for name in layers), net.backward(tape, weights)

        assert check_gradient(fun, image) < 1e-7, layers


def test_derivatives_at_several_layers_add_up():
    net, image = branching(), picture(2, 9, 11, 3)
    layers = ["relu1", "left", 6, "conv3"]
    features, tape = net.forward(image, layers)
    dfeatures = some_derivatives(features)
    assert list(features) == layers
    together = net.backward(tape, dfeatures)
    single = [net.backward(tape, {layer: dfeature}) for layer, dfeature in dfeatures.items()]
    np.testing.assert_allclose(together, sum(single), rtol=1e-12, atol=1e-15)
    assert together.shape == image.shape
    twice = net.backward(tape, {"join": dfeatures[6], 6: dfeatures[6]})
    np.testing.assert_allclose(twice, 2 * single[2], rtol=1e-12, atol=1e-15)


def test_a_tape_can_be_used_again_and_nothing_given_is_written_to():
    net, image = branching(), picture(9, 11, 3)
    features, tape = net.forward(image, ["relu1", "conv3"])
    dfeatures = some_derivatives(features)
    for dfeature in dfeatures.values():
        dfeature.flags.writeable = False
    first = net.backward(tape, dfeatures)
    np.testing.assert_array_equal(net.backward(tape, dfeatures), first)


@pytest.mark.parametrize(("layers", "convs"), [(["relu1_1"], 1), (["conv1_2", 1], 2), ([10], 4), (["pool1", 6], 3)])
def test_the_pass_stops_at_the_deepest_layer(monkeypatch, layers, convs):
    net = random_network("vgg16", dtype="float32")
    calls = []
    original = ops.conv
    monkeypatch.setattr(ops, "conv", lambda *args: calls.append(1) or original(*args))
    _, tape = net.forward(picture(16, 16, 3, dtype="float32"), layers)
    assert len(calls) == convs
    names = [layer.name for layer, _ in tape.steps]
    assert names == list(net.layers[: len(names)]) and names[-1] in {net.layer_name(key) for key in layers}


def test_only_what_a_layer_depends_on_is_computed(monkeypatch):
    net, image = branching(), picture(8, 8, 3)
    called = []
    original = ops.conv
    monkeypatch.setattr(ops, "conv", lambda *args: called.append(args[1]) or original(*args))
    net.forward(image, ["left"])
    assert [id(w) for w in called] == [id(net.weights["conv1"][0]), id(net.weights["left"][0])]


def test_features_keep_the_axes_of_the_image():
    net, image = branching(), picture(3, 9, 11, 3)
    features, tape = net.forward(image, ["relu1", "conv3"])
    dfeatures = some_derivatives(features)
    dimage = net.backward(tape, dfeatures)
    for n in range(3):
        single, single_tape = net.forward(image[n], ["relu1", "conv3"])
        for name in single:
            assert single[name].ndim == 3
            np.testing.assert_allclose(single[name], features[name][n], rtol=1e-12, atol=1e-14)
        back = net.backward(single_tape, {name: dfeatures[name][n] for name in single})
        np.testing.assert_allclose(back, dimage[n], rtol=1e-12, atol=1e-14)


def test_float32_is_close_to_float64_and_stays_float32():
    net, image = branching(), picture(9, 11, 3)
    single = net.astype("float32")
    assert (net.dtype, single.dtype) == ("float64", "float32")
    features, tape = net.forward(image, ["conv3"])
    rough, rough_tape = single.forward(image.astype("float32"), ["conv3"])
    back = net.backward(tape, features)
    rough_back = single.backward(rough_tape, rough)
    assert rough["conv3"].dtype == rough_back.dtype == "float32"
    np.testing.assert_allclose(rough["conv3"], features["conv3"], rtol=0, atol=2e-6 * abs(features["conv3"]).max())
    np.testing.assert_allclose(rough_back, back, rtol=0, atol=2e-6 * abs(back).max())


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_preprocessing_is_its_formula(order):
    mean, scale = (1.0, 2.0, 3.0), (0.5, 0.25, 2.0)
    net = replace(branching(), channel_order=order, mean=mean, scale=scale)
    image = picture(2, 3, 4, 3)
    z = net.preprocess(image)
    for n, i, j, c in np.ndindex(image.shape):
        source = c if order == "RGB" else 2 - c
        assert z[n, i, j, c] == (image[n, i, j, source] - mean[c]) * scale[c]
    dz = np.random.default_rng(0).standard_normal(image.shape)
    dp = net.preprocess_backward(dz)
    assert (dp * image).sum() == pytest.approx(((z - net.preprocess(np.zeros_like(image))) * dz).sum(), rel=1e-12)
    np.testing.assert_array_equal(net.preprocess(image[0]), z[0])


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("first", [False, True])
def test_the_mean_colour_is_what_the_first_layer_sees_as_zero(order, first):
    layers = [conv("conv0", 3, size=1, pad=0)] * first + [conv("conv1_1", 2)]
    net = random_network(chain(layers), dtype="float64")
    weights = {name: (w, np.random.default_rng(2).standard_normal(b.shape)) for name, (w, b) in net.weights.items()}
    net = replace(net, weights=weights, channel_order=order, mean=(100.0, 110.0, 130.0), scale=(0.5, 0.25, 2.0))
    seen = net.preprocess(np.broadcast_to(net.mean_color, (1, 1, 3)))
    if first:
        seen = net.forward(np.broadcast_to(net.mean_color, (1, 1, 3)), ["conv0"])[0]["conv0"]
    np.testing.assert_allclose(seen, 0, atol=1e-12)
    if not first:
        assert list(net.mean_color) == ([100, 110, 130] if order == "RGB" else [130, 110, 100])


def test_exchanging_the_pools():
    net, image = branching(), picture(9, 11, 3)
    average, largest = net.with_pooling("average"), net.with_pooling("max")
    assert [layer.method for layer in net.table if layer.kind == "pool"] == ["max", "average"]
    assert {layer.method for layer in average.table if layer.kind == "pool"} == {"average"}
    assert {layer.method for layer in largest.table if layer.kind == "pool"} == {"max"}
    features, _ = average.forward(image, ["relu1", "pool1"])
    np.testing.assert_array_equal(features["pool1"], ops.avg_pool(features["relu1"])[0])
    assert average.weights["conv1"][0] is net.weights["conv1"][0]
    with pytest.raises(InputError, match="pooling must be one of max, average, got 'avg'"):
        net.with_pooling("avg")


def test_exchanging_the_rounding():
    net, image = branching(), picture(9, 11, 3)
    assert net.with_pool_rounding("floor").forward(image, ["pool1"])[0]["pool1"].shape == (4, 5, 4)
    assert net.with_pool_rounding("ceil").forward(image, ["pool1"])[0]["pool1"].shape == (5, 6, 4)
    with pytest.raises(InputError, match="pool rounding must be floor or ceil, got 'up'"):
        net.with_pool_rounding("up")


def test_rectifiers_and_their_neighbours_are_layers_of_their_own():
    net = random_network("vgg16", dtype="float64")
    features, _ = net.forward(picture(6, 7, 3), ["conv1_2", "relu1_2", 4])
    assert features["conv1_2"].min() < 0
    np.testing.assert_array_equal(features["relu1_2"], np.maximum(features["conv1_2"], 0))
    np.testing.assert_array_equal(features[4], features["relu1_2"])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 4, 3), "float32"), TypeError, "the image is float32 and network branching float64: convert one"),
        (np.zeros((4, 4, 3), "uint8"), TypeError, "the image is uint8 and network branching float64"),
        (np.zeros((4, 4, 4)), ValueError, r"an image must be H×W×3 or N×H×W×3, got shape \(4, 4, 4\)"),
        (np.zeros((4, 4)), ValueError, "an image must be"),
        (np.zeros((3, 4, 4)), ValueError, "an image must be"),
        (np.zeros((0, 4, 3)), ValueError, "without an empty axis"),
        (np.zeros((1, 1, 3)), InputError, "layer pool1 of network branching: a pooling window of 2 does not fit"),
    ],
)
def test_images_that_do_not_fit_are_refused(image, error, message):
    with pytest.raises(error, match=message):
        branching().forward(image, ["conv3"])


def test_derivatives_that_do_not_fit_are_refused():
    net = branching()
    features, tape = net.forward(picture(8, 8, 3), ["relu1"])
    with pytest.raises(InputError, match="layer pool1 was not requested from forward"):
        net.backward(tape, {"pool1": features["relu1"]})
    with pytest.raises(InputError, match="has no layer 'relu9'"):
        net.backward(tape, {"relu9": features["relu1"]})
    with pytest.raises(ValueError, match=r"the derivative at relu1 must have shape \(8, 8, 4\), got \(8, 8, 3\)"):
        net.backward(tape, {"relu1": features["relu1"][..., :3]})
    with pytest.raises(InputError, match="backward needs the derivative at one layer at least"):
        net.backward(tape, {})


def test_a_derivative_of_another_dtype_is_refused():
    net = branching().astype("float32")
    features, tape = net.forward(picture(8, 8, 3, dtype="float32"), ["relu1"])
    with pytest.raises(TypeError, match="float64"):
        net.backward(tape, {"relu1": features["relu1"].astype("float64")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_order": "GBR"}, "channel order must be RGB or BGR, got 'GBR'"),
        ({"pad_mode": "wrap"}, "pad mode must be one of zero, reflect, replicate, got 'wrap'"),
        ({"weights": {}}, "the weights of layer conv1 are missing"),
    ],
)
def test_networks_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(branching(), **changes)


def test_weights_of_two_dtypes_are_refused():
    net = branching()
    w, b = net.weights["left"]
    for pair in ((w.astype("float32"), b), (w, b.astype("float32"))):
        with pytest.raises(InputError, match="the weights of network branching must all have one dtype"):
            replace(net, weights={**net.weights, "left": pair})
    with pytest.raises(InputError, match="dtype must be float32 or float64, got 'float16'"):
        net.astype("float16")


@pytest.mark.parametrize("shape", [(5,), (6, 1), ()])
def test_a_bias_that_does_not_fit_its_filters_is_refused(shape):
    net = branching()
    weights = {**net.weights, "left": (net.weights["left"][0], np.zeros(shape))}
    with pytest.raises(InputError, match="the bias of layer left has shape"):
        replace(net, weights=weights)


def test_a_network_does_not_reach_around_the_operators():
    """Replacing an operator in `vggnumpy.ops` replaces it in the network: the tests above rely on it."""
    assert sys.modules["vggnumpy.nets.network"].ops is ops
