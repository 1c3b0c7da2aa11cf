"""The table of a network: sizes against the network itself, receptive fields by where derivatives arrive."""

import math

import numpy as np
import pytest
from mini_networks import write_mini

from vggnumpy import matconvnet as mcn
from vggnumpy.errors import InputError
from vggnumpy.nets import architecture


def conv(k, channels, depth, **options):
    kh, kw = k
    return {"type": "conv", "weights": [np.ones((kh, kw, depth, channels)), np.zeros(channels)], **options}


def published(name):
    """Return a published network in MatConvNet's terms, with arrays that take no memory."""
    layers, depth = [], 3
    for layer in architecture(name, classifier=True):
        if layer.kind == "conv":
            shape = (*layer.size, depth, layer.channels)
            depth = layer.channels
            weights = [np.broadcast_to(np.float32(0), shape), np.broadcast_to(np.float32(0), (depth,))]
            layers.append({"type": "conv", "name": layer.name, "weights": weights, "pad": layer.pad})
        elif layer.kind == "pool":
            layers.append({"type": "pool", "name": layer.name, "pool": 2, "stride": 2, "method": "max"})
        else:
            layers.append({"type": layer.kind, "name": layer.name})
    return {"layers": layers, "meta": {"normalization": {"imageSize": (224, 224)}}}


CHAINS = {
    "strides and pads": [
        conv((3, 2), 2, 1, pad=[1, 0, 2, 1], stride=[2, 1]),
        {"type": "relu"},
        {"type": "pool", "pool": [3, 2], "stride": [1, 2], "pad": [1, 1, 0, 1], "method": "avg"},
        conv((2, 3), 1, 2, pad=1),
    ],
    "dilated": [conv((3, 3), 2, 1, dilate=[2, 3], pad=2), conv((2, 2), 1, 2, stride=2)],
    "enlarging": [
        {"type": "convt", "weights": [np.ones((4, 3, 3, 1)), np.zeros(3)], "upsample": [2, 3], "crop": [1, 1, 0, 1]},
        conv((3, 3), 1, 3, pad=1),
    ],
    "transposed": [
        conv((3, 3), 2, 1, stride=2, pad=1),
        {
            "type": "convt",
            "weights": [np.ones((4, 3, 1, 2)), np.zeros(2)],
            "numGroups": 2,
            "upsample": [2, 3],
            "crop": [1, 1, 0, 1],
        },
        conv((3, 3), 1, 2, pad=1),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_sizes_are_those_of_the_data(name, rng):
    net = {"layers": CHAINS[name]}
    infos = mcn.simplenn_info(net, (17, 19, 1), batchSize=2)
    res = mcn.vl_simplenn(net, rng.random((17, 19, 1, 2)))
    for info, result in zip(infos, res, strict=True):
        assert info.data_size == result.x.shape
        assert info.data_bytes == result.x.nbytes


@pytest.mark.parametrize("name", CHAINS)
def test_receptive_fields_are_where_derivatives_arrive(name, rng):
    layers = CHAINS[name]
    x = 1 + rng.random((17, 19, 1))
    for count in range(1, len(layers) + 1):
        net = {"layers": layers[:count]}
        info = mcn.simplenn_info(net, x.shape)[-1]
        y = mcn.vl_simplenn(net, x)[-1].x
        spare = []  # how many pixels at its two ends a field has that no derivative reaches
        for position in np.ndindex(y.shape[:2]):
            ends = [field_of(info, axis, position[axis]) for axis in (0, 1)]
            if any(first <= 0 or last >= side - 1 for (first, last), side in zip(ends, x.shape[:2], strict=True)):
                continue  # cut off by a border
            dzdy = np.zeros_like(y)
            dzdy[position] = 1
            seen = np.nonzero(mcn.vl_simplenn(net, x, dzdy)[0].dzdx)
            spare += [(seen[axis].min() - ends[axis][0], ends[axis][1] - seen[axis].max()) for axis in (0, 1)]
        assert len(spare) > 20
        # Behind a transposed convolution outputs differ in what they see, and the field is that of the widest.
        assert np.min(spare) == 0 and np.max(spare) <= (2 if name == "transposed" else 0), count


def field_of(info, axis, position):
    """Return the first and last pixel of an output's receptive field, counted from 0."""
    centre = info.rf_offset[axis] + position * info.rf_stride[axis] - 1
    radius = (info.rf_size[axis] - 1) / 2
    return math.ceil(centre - radius - 1e-9), math.floor(centre + radius + 1e-9)


def test_vgg16_has_the_published_receptive_fields_and_parameters():
    infos = mcn.simplenn_info(published("vgg16"))
    pools = {info.name: info for info in infos if info.type == "mpool"}
    assert [pools[f"pool{i}"].rf_size[0] for i in range(1, 6)] == [6, 16, 44, 100, 212]
    assert [pools[f"pool{i}"].rf_stride[0] for i in range(1, 6)] == [2, 4, 8, 16, 32]
    assert [pools[f"pool{i}"].rf_offset[0] for i in range(1, 6)] == [1.5, 2.5, 4.5, 8.5, 16.5]
    assert next(info for info in infos if info.name == "fc6").rf_size == (404, 404)
    assert sum(info.parameters for info in infos) == 138_357_544


def test_vgg19_s_table(capsys):
    text = mcn.vl_simplenn_display(published("vgg19"), batchSize=2)
    assert capsys.readouterr().out == text + "\n"
    lines = text.splitlines()
    assert len(lines) == 2 + 1 + 43 + 2
    assert lines[0].split("  ")[0] == "layer" and set(lines[1]) == {"-", " "}
    assert len({len(line) for line in lines[:-2]}) == 1
    assert lines[2].split() == "0 input n/a n/a n/a n/a n/a n/a n/a n/a 224 3 2 1MB n/a".split()
    assert lines[3].split() == "1 conv conv1_1 3 3 64 1 1 3 1 1 224 64 2 24MB 7KB".split()
    assert lines[7].split() == "5 mpool pool1 2 n/a n/a 2 0 6 1.5 2 112 64 2 6MB 0B".split()
    assert lines[40].split() == "38 conv fc6 7 512 4096 1 0 460 112.5 32 1 4096 2 32KB 392MB".split()
    assert lines[45].split() == "43 softmx prob 1 n/a n/a 1 0 460 112.5 32 1 1000 2 8KB 0B".split()
    assert lines[46] == "parameter memory: 548MB (143,667,240 parameters)"
    assert lines[47].startswith("data memory: ") and lines[47].endswith("MB (for batch size 2)")


def test_pads_that_round_up_and_other_layers_are_shown(tmp_path, capsys):
    net = mcn.read_mat(write_mini(tmp_path, "mini_vgg19_meta.mat"))
    assert mcn.simplenn_info(net)[0].data_size == (64, 64, 3, 1)
    odd = mcn.simplenn_info(net, (67, 61))
    assert [odd[i].data_size[:2] for i in (5, 10, 19, 28, 37)] == [(34, 31), (17, 16), (9, 8), (5, 4), (3, 2)]
    text = mcn.vl_simplenn_display(
        {
            "layers": [
                {"type": "bnorm", "weights": [np.ones(3), np.ones(3)]},
                {"type": "normalize"},
                {"type": "pool", "pool": [2, 3], "pad": [0, 1, 0, 1], "method": "avg"},
                {"type": "softmaxloss"},
                {"type": "custom", "forward": None, "backward": None},
            ]
        },
        (5, 6, 3),
    )
    rows = [line.split() for line in text.splitlines()[2:]]
    assert rows[1] == "1 bnorm layer1 1 n/a n/a 1 0 1 1 1 5x6 3 1 720B 96B".split()
    assert rows[3] == "3 apool layer3 2x3 n/a n/a 1 0x1x0x1 2x3 1.5x2 1 5 3 1 600B 0B".split()
    assert rows[2][1] == "norm" and rows[4][1] == "softmxl" and rows[4][11:14] == ["1", "1", "1"]
    assert rows[5][11:15] == ["NaN", "NaN", "1", "NaN"]


def test_without_a_size_there_are_receptive_fields_all_the_same():
    infos = mcn.simplenn_info({"layers": CHAINS["strides and pads"]})
    assert all(math.isnan(value) for info in infos for value in info.data_size[:2])
    assert infos[-1].rf_size == mcn.simplenn_info({"layers": CHAINS["strides and pads"]}, (30, 30))[-1].rf_size


def test_sizes_that_cannot_be_are_refused():
    net = {"layers": CHAINS["dilated"]}
    with pytest.raises(InputError, match=r"too small for layer 2 \(layer2\)"):
        mcn.simplenn_info(net, (1, 4, 1))
    for size in ((5,), (5, 0), (5, 5, 3, 2)):
        with pytest.raises(InputError, match="inputSize must be height, width and maybe channels"):
            mcn.simplenn_info(net, size)
