"""Receptive fields are where derivatives arrive, at every position, the border included."""

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.nets import ARCHITECTURES, Layer, Network, chain, receptive_fields
from vggnumpy.nets.fields import layer_spans
from vggnumpy.nets.tables import conv, pool, relu

ENLARGING = Layer("up", "convt", (), (4, 3), 3, stride=(2, 3), pad=(1, 1, 0, 1))
TABLES = {
    "vgg": chain([conv("a", 3), conv("b", 3), pool("c", method="average"), conv("d", 3), pool("e", method="average")]),
    "strides": chain(
        [
            conv("a", 4, 5, 2, stride=(2, 1)),
            Layer("b", "pool", (), (3, 2), stride=(2, 2), pad=(0, 1, 1, 0), method="average"),
            conv("c", 3, 2, 0),
        ]
    ),
    "ceil": chain([pool("a", 3, method="average", rounding="ceil"), conv("b", 2), pool("c", 2, 3, rounding="ceil")]),
    "dilated": chain([conv("a", 2, pad=2, dilate=(2, 1)), conv("b", 2, pad=0, dilate=(1, 2))]),
    "enlarging": chain([conv("a", 2, pad=0), ENLARGING, conv("b", 2)]),
    "branches": chain(
        [
            conv("a", 3),
            conv("b", 2, 1, 0, inputs=("a",)),
            conv("c", 2, 5, 2, inputs=("a",)),
            Layer("join", "concat", ("b", "c")),
            conv("d", 2, 2, 0, stride=(2, 2)),
        ]
    ),
    "everything": chain([conv("a", 3), pool("b", 0, 1, method="average"), conv("c", 2, 1, 0)]),
}


def positive(table):
    """Return a network of positive filters and means, whose derivatives are positive wherever there are any."""
    rng, depth, weights = np.random.default_rng(0), {"input": 3}, {}
    for layer in table:
        depth[layer.name] = layer.channels or sum(depth[name] for name in layer.inputs)
        if layer.channels:
            ends = (depth[layer.inputs[0]], layer.channels)[:: -1 if layer.kind == "convt" else 1]
            weights[layer.name] = rng.uniform(1, 2, (*layer.size, *ends)), np.zeros(layer.channels)
    return Network("positive", table, weights).with_pooling("average")


@pytest.mark.parametrize("name", TABLES)
def test_fields_are_where_derivatives_arrive(name):
    net = positive(TABLES[name])
    image = np.random.default_rng(1).uniform(150, 255, (9, 10, 3))
    layers = list(net.layers)
    features, tape = net.forward(image, layers)
    fields = receptive_fields(net.table, 9, 10, layers)
    for layer, F in features.items():
        assert tuple(len(ends.start) for ends in fields[layer]) == F.shape[:2], layer
        for position in np.ndindex(F.shape[:2]):
            dF = np.zeros_like(F)
            dF[position] = 1
            arrived = np.nonzero(net.backward(tape, {layer: dF}).any(axis=2))
            for axis in (0, 1):
                start, stop = (ends[position[axis]] for ends in fields[layer][axis])
                assert (arrived[axis].min(), arrived[axis].max() + 1) == (start, stop), (layer, position)


def test_vgg19_s_fields_are_the_published_ones():
    fields = receptive_fields(ARCHITECTURES["vgg19"], 512, 510, ["conv1_1", "relu3_1", "conv5_1", "pool5"])
    widest = {layer: int((rows.stop - rows.start).max()) for layer, (rows, _) in fields.items()}
    assert widest == {"conv1_1": 3, "relu3_1": 24, "conv5_1": 156, "pool5": 268}
    rows, columns = fields["conv5_1"]
    assert (len(rows.start), len(columns.start)) == (32, 31)
    middle = (rows.start[16] + rows.stop[16] - 1) / 2
    assert middle == 16 * 16 + 7.5
    assert rows.start[0] == 0 and rows.stop[-1] == 512


def test_only_what_is_needed_is_looked_at():
    assert list(receptive_fields(ARCHITECTURES["vgg19"], 5, 7, ["relu1_2"])) == ["relu1_2"]
    assert receptive_fields([], 5, 7, []) == {}


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="layer pool3 of an image of 5×7 pixels: a pooling window of 2 does not fit"):
        receptive_fields(ARCHITECTURES["vgg19"], 5, 7, ["relu4_1"])


def test_a_window_in_the_padding_stands_for_the_nearest_position():
    spans = layer_spans(conv("a", 1, 1, 2), 3, 0)
    assert spans.start.tolist() == [0, 0, 0, 1, 2, 2, 2] and (spans.stop - spans.start == 1).all()
    spans = layer_spans(relu("a", ("input",)), 3, 1)
    assert spans.start.tolist() == [0, 1, 2]
