"""The published networks: parameters, sizes and names are those of the originals, and all of them compute."""

import math

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.nets import ARCHITECTURES, CLASSIFIERS, IMAGE_SIZES, architecture, random_network
from vggnumpy.nets.tables import INPUT, PARTS, check_table
from vggnumpy.ops.geometry import conv_size, pool_size

# With biases (and slopes), classifier included: the originals' own figures.
PARAMETERS = {
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg-face": 145_002_878,
    "alexnet": 60_965_224,
    "googlenet": 6_998_552,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "squeezenet1_0-torchvision": 1_248_424,
    "squeezenet1_0-tflite": 1_248_937,
    "onet": 389_040,
}
# Height and width at some layers for a picture of the network's own size.
SIZES = {
    "vgg19": {"pool1": 112, "pool5": 7, "fc6": 1},
    "alexnet": {"conv1": 55, "pool1": 27, "pool2": 13, "pool5": 6, "fc6": 1},
    "googlenet": {"conv1_7x7_s2": 112, "pool1_3x3_s2": 56, "inception_3a_output": 28, "inception_4e_pool": 14},
    "squeezenet1_0": {"conv1": 111, "pool1": 55, "pool4": 27, "pool8": 13, "conv10": 15, "pool10": 1},
    "squeezenet1_1": {"conv1": 113, "pool1": 56, "pool3": 28, "pool5": 14, "conv10": 14, "pool10": 1},
    "squeezenet1_0-torchvision": {"conv1": 109, "pool1": 54, "conv10": 13, "pool10": 1},
    "squeezenet1_0-tflite": {"conv1": 112, "pool1": 55},
    "onet": {"pool1": 23, "pool2": 10, "pool3": 4, "conv4": 3, "conv5": 1},
}


def shapes_of(table):
    """Return layer name → shape of its filters or slopes."""
    depth, shapes = {INPUT: 3}, {}
    for layer in table:
        incoming = sum(depth[name] for name in layer.inputs)
        if layer.kind == "conv":
            shapes[layer.name] = (*layer.size, incoming // layer.groups, layer.channels)
        elif layer.kind == "prelu":
            shapes[layer.name] = (incoming,)
        depth[layer.name] = layer.channels or incoming
    return shapes


def test_every_architecture_has_its_classifier_and_its_size():
    assert set(ARCHITECTURES) == set(CLASSIFIERS) == set(IMAGE_SIZES) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_original_s(name):
    table = architecture(name, classifier=True)
    shapes = shapes_of(table)
    check_table(table, 3, shapes)
    biases = sum(layer.channels for layer in table if layer.kind == "conv")
    assert sum(map(math.prod, shapes.values())) + biases == PARAMETERS[name]
    assert table[-1].kind == "softmax" and table[-1].name == "prob"


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_are_the_original_s(name):
    size = {INPUT: IMAGE_SIZES[name]}
    for layer in architecture(name, classifier=True):
        sides = {size[source] for source in layer.inputs}
        assert len(sides) == 1, layer.name  # branches that are joined agree
        (before,) = sides
        window = layer.size if any(layer.size) else before
        size[layer.name] = tuple(
            conv_size(n, k, *pad, s, 1)
            if layer.kind == "conv"
            else pool_size(n, k, *pad, s, layer.rounding)
            if layer.kind == "pool"
            else n
            for n, k, s, pad in zip(before, window, layer.stride, (layer.pad[:2], layer.pad[2:]), strict=True)
        )
    assert size["prob"] == (1, 1)
    assert {layer: size[layer] for layer in SIZES.get(name, {})} == {
        layer: (side, side) for layer, side in SIZES.get(name, {}).items()
    }


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "squeezenet1_0-tflite", "onet", "googlenet"])
def test_the_smaller_ones_compute_to_their_end(name):
    net = random_network(architecture(name, classifier=True), rng=2)
    assert {layer.name for layer in net.table if layer.kind in PARTS} == set(net.weights)
    image = np.random.default_rng(3).uniform(0, 255, (*IMAGE_SIZES[name], 3)).astype("float32")
    features, tape = net.forward(image, ["prob"])
    assert features["prob"].shape[:2] == (1, 1)
    assert features["prob"].sum() == pytest.approx(1, rel=1e-5)
    dimage = net.backward(tape, {"prob": np.random.default_rng(4).random(features["prob"].shape).astype("float32")})
    assert dimage.shape == image.shape and np.isfinite(dimage).all()


def test_alexnet_works_in_two_groups():
    net = random_network("alexnet")
    assert {name: parts[0].shape[2] for name, parts in net.weights.items()} == {
        "conv1": 3,
        "conv2": 48,
        "conv3": 256,
        "conv4": 192,
        "conv5": 192,
    }


def test_without_classifier_the_same_features_come_out():
    whole = random_network(architecture("squeezenet1_1", classifier=True))
    named = type(whole)("squeezenet1_1", whole.table, whole.weights)
    cut = named.without_classifier()
    assert cut.layers == tuple(layer.name for layer in ARCHITECTURES["squeezenet1_1"])
    image = np.full((40, 50, 3), 99, "float32")
    expected = named.forward(image, ["fire9_concat"])[0]["fire9_concat"]
    np.testing.assert_array_equal(cut.forward(image, ["fire9_concat"])[0]["fire9_concat"], expected)
    assert whole.without_classifier().layers == whole.layers  # of another name: nothing is known of it


def test_random_networks_refuse_kinds_that_randomness_does_not_make():
    layers = (architecture("vgg19")[0], type(architecture("vgg19")[0])("b", "bnorm", ("conv1_1",)))
    with pytest.raises(InputError, match="layer b: random networks have no layers of the kind bnorm"):
        random_network(layers)
