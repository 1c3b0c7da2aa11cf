"""A Caffe file's own layers against the architecture that its names suggest."""

from dataclasses import replace

import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats.caffe_check import check_caffe_layers
from vggnumpy.formats.caffe_file import CaffeLayer
from vggnumpy.nets import architecture
from vggnumpy.nets.tables import INPUT, Layer


def caffe_layers(table: tuple[Layer, ...]) -> list[CaffeLayer]:
    """Return a table as Caffe's files have it: rectifiers in place, a branching blob through a Split layer."""
    made = {INPUT: "data"}
    layers = [CaffeLayer("data", "Data", (), ("data",), {})]
    for layer in table:
        bottoms = tuple(made[name] for name in layer.inputs)
        top = layer.name
        if layer.kind == "conv":
            kind, params = "Convolution", {"stride": layer.stride, "dilation": (1, 1), "pad": layer.pad[::2]}
        elif layer.kind == "pool":
            kind = "Pooling"
            params = {
                "method": {"max": "max", "average": "ave"}[layer.method],
                "kernel_size": layer.size,
                "stride": layer.stride,
                "pad": layer.pad[::2],
                "global_pooling": not any(layer.size),
            }
        elif layer.kind == "lrn":
            size, k, alpha, beta = layer.lrn
            # As a float32 has it.
            params = {"local_size": size, "alpha": alpha * size * (1 + 2e-8), "beta": beta, "k": k}
            kind, params = "LRN", {**params, "region": "across_channels"}
        else:
            kind, params = {"relu": "ReLU", "concat": "Concat", "softmax": "Softmax"}[layer.kind], {}
            top = bottoms[0] if layer.kind == "relu" else layer.name
        layers.append(CaffeLayer(layer.name, kind, bottoms, (top,), params))
        made[layer.name] = top
        if sum(layer.name in other.inputs for other in table) > 1:
            layers.append(CaffeLayer(f"{top}_split", "Split", (top,), (f"{top}_split_0",), {}))
            made[layer.name] = f"{top}_split_0"
    return layers


NAMES = ["vgg19", "alexnet", "googlenet", "squeezenet1_0", "squeezenet1_1"]


@pytest.mark.parametrize("name", NAMES)
def test_the_right_networks_pass(name):
    table = architecture(name, classifier=True)
    check_caffe_layers(caffe_layers(table), table)


def test_arrays_without_a_network_pass():
    table = architecture("vgg19")
    check_caffe_layers([layer for layer in caffe_layers(table) if layer.type == "Convolution"], table)


def test_caffenet_is_not_alexnet():
    table = list(architecture("alexnet"))
    norm, pool = (next(i for i, layer in enumerate(table) if layer.name == name) for name in ("norm1", "pool1"))
    swapped = table.copy()
    swapped[norm], swapped[pool] = (
        replace(table[pool], inputs=table[norm].inputs),
        replace(table[norm], inputs=("pool1",)),
    )
    swapped = [replace(layer, inputs=("norm1",)) if layer.name == "conv2" else layer for layer in swapped]
    with pytest.raises(InputError, match=r"layer norm1 follows pool1 in the file, where this architecture has conv1"):
        check_caffe_layers(caffe_layers(tuple(swapped)), table)


@pytest.mark.parametrize(
    ("layer", "change", "words"),
    [
        ("conv1", {"stride": (2, 2)}, r"layer conv1 has the stride \(2, 2\) in the file"),
        ("conv2", {"pad": (1, 1, 1, 1)}, r"layer conv2 has the padding \(1, 1, 1, 1\)"),
        ("pool2", {"method": "average"}, "layer pool2 has the method average"),
        ("pool2", {"size": (2, 2)}, r"layer pool2 has the window \(2, 2\)"),
        ("norm1", {"lrn": (5, 1.0, 1e-4, 0.75)}, "layer norm1 has the constants"),
        ("norm1", {"lrn": (3, 1.0, 2e-5, 0.75)}, "layer norm1 has the constants"),
    ],
)
def test_what_differs_is_named(layer, change, words):
    table = architecture("alexnet")
    changed = tuple(replace(one, **change) if one.name == layer else one for one in table)
    with pytest.raises(InputError, match=words):
        check_caffe_layers(caffe_layers(changed), table)


def test_a_missing_layer_is_named():
    table = architecture("alexnet")
    layers = [layer for layer in caffe_layers(table) if layer.name != "pool5"]
    with pytest.raises(InputError, match="the file has no layer pool5"):
        check_caffe_layers(layers, table)
