"""Which networks the engine takes, how it cuts maps, and that no two buffers that live together overlap."""

from dataclasses import replace

import numpy as np
import pytest
from random_chains import random_chain

from vggnumpy import random_network
from vggnumpy.engine import find_chain, plan_for
from vggnumpy.engine.plan import TILE, partition
from vggnumpy.errors import InputError
from vggnumpy.nets import chain
from vggnumpy.nets.tables import Layer, conv, fully_connected, pool, relu


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 8), (9, 33), (512, 512), (131, 260), (1024, 40)], ids=str)
def test_blocks_cover_a_map_once_and_have_two_tiles_at_least(size):
    height, width = size
    covered = np.zeros((2, height + TILE, width + TILE), int)
    for image, top, left, rows, columns in partition(2, height, width, 0):
        covered[image, top : top + TILE * rows, left : left + TILE * columns] += 1
        assert rows >= min(2, -(-height // TILE)) and columns >= min(2, -(-width // TILE))
    assert (covered[:, :height, :width] == 1).all() and covered.max() == 1


@pytest.mark.parametrize("seed", range(30))
def test_buffers_that_live_together_do_not_overlap(seed):
    net, x, grams, contents = random_chain(seed)
    plan = plan_for(net, [*grams, *contents], x.shape)
    buffers = list(plan.buffers.values())
    assert plan.arena == max((one.offset + one.nbytes for one in buffers), default=0)
    for i, one in enumerate(buffers):
        for other in buffers[:i]:
            apart = one.offset + one.nbytes <= other.offset or other.offset + other.nbytes <= one.offset
            assert apart or one.dies < other.born or other.dies < one.born


def test_memory_at_1024_is_counted():
    net = random_network("vgg19", rng=0, pooling="average", dtype="float32")
    plan = plan_for(net, ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"], (1024, 1024, 3), 2)
    assert plan.recomputed and not any(name.endswith(" 0") for name in plan.buffers)
    assert plan.nbytes < 0.45 * 1488e6
    assert sum(one.nbytes for one in plan.buffers.values()) > 1.5 * plan.arena  # what sharing saves


def test_chains_that_are_taken():
    net = random_network("vgg19", rng=0, dtype="float32")
    found = find_chain(net, ["relu4_2", "pool1", "relu1_1"])
    assert [link.conv.name for link in found.links][-1] == "conv4_2" and len(found.links) == 10
    assert found.links[1].pool.name == "pool1" and found.links[-1].pool is None
    assert find_chain(net, ["conv4_2", "pool1"]).links == found.links


TAIL = [conv("conv2", 4), relu("relu2")]


@pytest.mark.parametrize(
    ("layers", "taps"),
    [
        ([conv("conv1", 4)], ["conv1"]),
        ([conv("conv1", 4), relu("relu1", leak=0.1)], ["relu1"]),
        ([conv("conv1", 4, 5, 2), relu("relu1")], ["relu1"]),
        ([conv("conv1", 4, pad=0), relu("relu1")], ["relu1"]),
        ([conv("conv1", 4, stride=(2, 2)), relu("relu1")], ["relu1"]),
        ([conv("conv1", 4, dilate=(2, 2), pad=1), relu("relu1")], ["relu1"]),
        ([conv("conv1", 4), relu("relu1"), conv("conv1x", 4, groups=2), relu("relu1x")], ["relu1x"]),
        ([conv("conv1", 4), relu("relu1"), pool("pool1", 3), *TAIL], ["relu2"]),
        ([conv("conv1", 4), relu("relu1"), pool("pool1", 2, 1), *TAIL], ["relu2"]),
        ([conv("conv1", 4), relu("relu1"), pool("pool1", pad=(1, 0, 1, 0)), *TAIL], ["relu2"]),
        ([conv("conv1", 4), relu("relu1"), pool("pool1"), pool("pool1b"), *TAIL], ["relu2"]),
        ([conv("conv1", 4), *TAIL], ["relu2"]),
        ([conv("conv1", 4), relu("relu1"), Layer("lrn", "lrn", ()), *TAIL], ["relu2"]),
        ([conv("conv1", 4), relu("relu1"), fully_connected("fc", 3, 4), relu("relu_fc")], ["relu_fc"]),
        (
            [conv("conv1", 4), relu("relu1"), conv("side", 2, 1, 0, ("relu1",)), relu("side_relu")],
            ["side_relu", "relu1"],
        ),
    ],
    ids=lambda value: "-".join(one if isinstance(one, str) else one.name for one in value),
)
def test_what_is_no_chain_is_left_to_the_reference(layers, taps):
    table = chain(layers)
    weights = {}
    for layer, depth in zip(table, [3, *(4 for _ in table)], strict=False):
        if layer.kind == "conv":
            size = (*layer.size, depth // layer.groups, layer.channels)
            weights[layer.name] = np.ones(size, "f4"), np.zeros(layer.channels, "f4")
    net = replace(random_network(chain([conv("conv1", 3)])), table=table, weights=weights)
    assert find_chain(net, taps) is None
    assert plan_for(net, taps, (32, 32, 3)) is None


def test_groups_that_only_the_filters_tell_are_noticed():
    table = chain([conv("conv1", 4), relu("relu1"), conv("conv2", 4), relu("relu2")])
    weights = {name: (np.ones((3, 3, 2 + i, 4), "f4"), np.zeros(4, "f4")) for i, name in ((1, "conv1"), (0, "conv2"))}
    net = replace(random_network(chain([conv("conv1", 3)])), table=table, weights=weights)
    assert find_chain(net, ["relu1"]) is not None and find_chain(net, ["relu2"]) is None


def test_an_image_that_is_too_small_is_refused():
    net = random_network("vgg19", rng=0, dtype="float32")
    with pytest.raises(InputError, match=r"layer pool3 of network .*: a pooling window of 2 does not fit"):
        plan_for(net, ["relu4_1"], (7, 64, 3))
