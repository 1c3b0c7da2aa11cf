"""``vl_simplenn``: every value and derivative of a chain, and what is kept of them under which option."""

import copy

import numpy as np
import pytest
from mini_networks import write_mini

from vggnumpy import matconvnet as mcn
from vggnumpy.errors import InputError
from vggnumpy.nets import Network, random_network
from vggnumpy.nets.tables import Layer, chain, conv, pool, relu


@pytest.fixture
def net(rng):
    """MatConvNet's test network, narrower: three convolutions, two pools, a rectifier, a convolution, a loss."""

    def convolution(*shape):
        return {"type": "conv", "weights": [rng.standard_normal(shape), rng.standard_normal((1, shape[3]))]}

    pooling = {"type": "pool", "method": "max", "pool": [2, 2], "stride": 2, "pad": 0}
    layers = [convolution(5, 5, 1, 2), pooling, convolution(5, 5, 2, 3), dict(pooling), convolution(4, 4, 3, 5)]
    layers += [{"type": "relu"}, convolution(1, 1, 5, 10), {"type": "softmaxloss", "class": [3, 10, 1, 0]}]
    return {"layers": layers}


@pytest.fixture
def x(rng):
    return rng.standard_normal((32, 32, 1, 4))


def kept(res, field):
    """Return the numbers of the entries that have something in `field`."""
    return [i for i, result in enumerate(res) if getattr(result, field) is not None]


ALL = list(range(9))
CONVS = [0, 2, 4, 6]


def test_without_options_everything_is_kept(net, x):
    res = mcn.vl_simplenn(net, x)
    assert (kept(res, "x"), kept(res, "dzdx"), kept(res, "dzdw")) == (ALL, [], [])
    res = mcn.vl_simplenn(net, x, 1)
    assert (kept(res, "x"), kept(res, "dzdx"), kept(res, "dzdw")) == (ALL, ALL, CONVS)


def test_conserve_memory_keeps_the_ends(net, x):
    assert kept(mcn.vl_simplenn(net, x, conserveMemory=True), "x") == [8]
    res = mcn.vl_simplenn(net, x, 1, conserveMemory=True)
    assert (kept(res, "x"), kept(res, "dzdx"), kept(res, "dzdw")) == ([0, 8], [0, 8], CONVS)


def test_conserve_memory_changes_no_number(net, x):
    whole, part = mcn.vl_simplenn(net, x, 1), mcn.vl_simplenn(net, x, 1, conserveMemory=True)
    np.testing.assert_array_equal(part[0].dzdx, whole[0].dzdx)
    for i in CONVS:
        for one, other in zip(part[i].dzdw, whole[i].dzdw, strict=True):
            np.testing.assert_array_equal(one, other)


def test_precious_layers_are_kept(net, x):
    net["layers"][2]["precious"] = True
    assert kept(mcn.vl_simplenn(net, x, conserveMemory=True), "x") == [3, 8]
    res = mcn.vl_simplenn(net, x, 1, conserveMemory=True)
    assert (kept(res, "x"), kept(res, "dzdx")) == ([0, 3, 8], [0, 3, 8])


def test_what_a_loss_returned_is_kept_in_the_forward_pass(net, x):
    double = {"type": "custom", "forward": lambda layer, before, after: mcn.Result(2 * before.x), "backward": None}
    net["layers"].append(double)
    res = mcn.vl_simplenn(net, x, conserveMemory=True)
    assert kept(res, "x") == [8, 9] and res[9].x == 2 * res[8].x


def test_back_prop_depth(net, x):
    whole = mcn.vl_simplenn(net, x, 1)
    res = mcn.vl_simplenn(net, x, 1, backPropDepth=3)
    assert (kept(res, "x"), kept(res, "dzdx"), kept(res, "dzdw")) == (ALL, [5, 6, 7, 8], [6])
    np.testing.assert_array_equal(res[5].dzdx, whole[5].dzdx)
    np.testing.assert_array_equal(res[6].dzdw[0], whole[6].dzdw[0])
    res = mcn.vl_simplenn(net, x, 1, backPropDepth=3, conserveMemory=True)
    assert (kept(res, "x"), kept(res, "dzdx"), kept(res, "dzdw")) == ([8], [8], [6])
    np.testing.assert_array_equal(res[6].dzdw[0], whole[6].dzdw[0])
    net["layers"][4]["precious"] = True
    res = mcn.vl_simplenn(net, x, 1, backPropDepth=3, conserveMemory=True)
    assert (kept(res, "x"), kept(res, "dzdx")) == ([5, 8], [5, 8])
    assert kept(mcn.vl_simplenn(net, x, backPropDepth=3), "x") == ALL
    assert kept(mcn.vl_simplenn(net, x, 1, backPropDepth=100), "dzdx") == ALL
    for depth in (0, -1, np.nan):
        with pytest.raises(InputError, match="backPropDepth must be at least 1"):
            mcn.vl_simplenn(net, x, 1, backPropDepth=depth)


def test_skip_forward_gives_the_full_pass(net, x):
    res = mcn.vl_simplenn(net, x, 1)
    forward = mcn.vl_simplenn(net, x)
    before = copy.deepcopy(forward)
    forward[5].x = None  # the rectifier's input: its derivative is had from its output
    again = mcn.vl_simplenn(net, None, 1, forward, skipForward=True)
    assert again[5].x is None
    for i in ALL:
        np.testing.assert_array_equal(again[i].dzdx, res[i].dzdx)
    assert kept(forward, "dzdx") == kept(before, "dzdx") == []  # what was given is not written to
    forward[2].x = None
    with pytest.raises(InputError, match=r"^layer 3 \(layer3\): its input res\[2\].x was freed"):
        mcn.vl_simplenn(net, None, 1, forward, skipForward=True)


def test_errors_with_matconvnet_s_identifiers(net, x):
    with pytest.raises(InputError, match="simplenn:skipForwardNoBackwPass"):
        mcn.vl_simplenn(net, x, [], [], skipForward=True)
    with pytest.raises(InputError, match="simplenn:skipForwardEmptyRes"):
        mcn.vl_simplenn(net, x, 1, [], skipForward=True)


def test_what_does_not_fit_is_refused_with_the_layer_s_name(net, x):
    with pytest.raises(InputError, match="the mode of vl_simplenn must be"):
        mcn.vl_simplenn(net, x, mode="Test")
    with pytest.raises(InputError, match="res must have 9 entries, one more than the layers, got 2"):
        mcn.vl_simplenn(net, x, 1, [mcn.Result(), mcn.Result()])
    with pytest.raises(InputError, match=r"^layer 5 \(layer5\): a filter that spans 4 pixels does not fit"):
        mcn.vl_simplenn(net, x[:24, :24])
    with pytest.raises(InputError, match=r"^layer 7 \(layer7\): dzdy must have the size of the output"):
        mcn.vl_simplenn({"layers": net["layers"][:7]}, x, np.ones((2, 2, 3, 4)))
    del net["layers"][7]["class"]
    with pytest.raises(InputError, match=r"layer 8 .*set the layer's field class"):
        mcn.vl_simplenn(net, x)


def test_derivatives_of_every_layer_by_differences(net, x, rng):
    res = mcn.vl_simplenn(net, x, 1)
    for i in CONVS:
        for j, found in enumerate(res[i].dzdw):
            d = rng.standard_normal(found.shape)
            values = []
            for step in (1e-6, -1e-6):
                moved = copy.deepcopy(net)
                moved["layers"][i]["weights"][j] += step * d
                values.append(mcn.vl_simplenn(moved, x)[-1].x)
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(np.sum(found * d), rel=1e-5)
    d = rng.standard_normal(x.shape)
    values = [mcn.vl_simplenn(net, x + step * d)[-1].x for step in (1e-6, -1e-6)]
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(np.sum(res[0].dzdx * d), rel=1e-5)


def test_accumulate_adds_up_the_parts_of_a_batch(net, x):
    net["layers"][7]["class"] = [3, 10]
    parts = [mcn.vl_simplenn(net, half, 1) for half in (x[..., :2], x[..., 2:])]
    res = mcn.vl_simplenn(net, x[..., 2:], 1, parts[0], accumulate=True)
    for i in CONVS:
        for j in range(2):
            np.testing.assert_array_equal(res[i].dzdw[j], parts[0][i].dzdw[j] + parts[1][i].dzdw[j])
    replaced = mcn.vl_simplenn(net, x[..., 2:], 1, parts[0])
    np.testing.assert_array_equal(replaced[0].dzdw[0], parts[1][0].dzdw[0])


@pytest.fixture
def trained(rng):
    """A chain of all the other layers, with moments that are not those of any batch."""
    moments = np.array([[0.1, 2.0], [-0.2, 1.5]])
    return {
        "layers": [
            {"type": "bnorm", "weights": [np.array([1.5, 0.5]), np.array([0.1, 0.2]), moments]},
            {"type": "relu", "leak": 0.1},
            {"type": "dropout", "rate": 0.4},
            {"type": "convt", "weights": [rng.standard_normal((3, 3, 2, 2)), rng.standard_normal(2)], "upsample": 2},
            {"type": "normalize", "param": [2, 1, 0.1, 0.5]},
            {"type": "pool", "pool": 2, "stride": 2, "method": "avg"},
            {"type": "softmax"},
        ]
    }


def test_mode_test_leaves_dropout_out_and_fixes_moments(trained, rng):
    x, layers = rng.standard_normal((4, 5, 2, 3)), trained["layers"]
    res = mcn.vl_simplenn(trained, x, mode="test")
    np.testing.assert_array_equal(
        res[1].x, mcn.vl_nnbnorm(x, *layers[0]["weights"][:2], moments=layers[0]["weights"][2])[0]
    )
    assert res[3].x is res[2].x
    dzdy, d = rng.standard_normal(res[-1].x.shape), rng.standard_normal(x.shape)
    res = mcn.vl_simplenn(trained, x, dzdy, mode="test")
    values = [np.sum(mcn.vl_simplenn(trained, x + h * d, mode="test")[-1].x * dzdy) for h in (1e-6, -1e-6)]
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(np.sum(res[0].dzdx * d), rel=1e-6)
    np.testing.assert_array_equal(res[0].dzdw[2], 3 * layers[0]["weights"][2])
    assert kept(res, "dzdw") == [0, 3] and [len(res[i].dzdw) for i in (0, 3)] == [3, 2]


def test_mode_normal_draws_a_mask_and_takes_the_batch_s_moments(trained, rng):
    x = rng.standard_normal((4, 5, 2, 3))
    forward = mcn.vl_simplenn(trained, x)
    weights = trained["layers"][0]["weights"]
    y, moments = mcn.vl_nnbnorm(x, *weights[:2], epsilon=1e-5)  # the layer's default, not the function's
    np.testing.assert_array_equal(forward[1].x, y)
    mask = forward[3].aux
    assert set(np.unique(mask)) == {0, 1 / 0.6}
    np.testing.assert_array_equal(forward[3].x, forward[2].x * mask)
    dzdy = rng.standard_normal(forward[-1].x.shape)
    res = mcn.vl_simplenn(trained, x, dzdy, forward, skipForward=True)
    np.testing.assert_array_equal(res[2].dzdx, res[3].dzdx * mask)
    np.testing.assert_array_equal(res[0].dzdw[2], 3 * moments)
    expected = mcn.vl_nnbnorm(x, *weights[:2], res[1].dzdx, epsilon=1e-5)
    np.testing.assert_array_equal(res[0].dzdx, expected[0])


def test_custom_layers_get_their_fields_and_the_records_on_both_sides(rng):
    def forward(layer, before, after):
        after.x, after.aux = float(np.sum(layer["w"] * before.x)), "kept"
        return after

    def backward(layer, before, after):
        assert after.aux == "kept"
        before.dzdx = after.dzdx * layer["w"]
        return before

    w, x = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 4, 2))
    net = {"layers": [{"type": "relu"}, {"type": "custom", "w": w, "forward": forward, "backward": backward}]}
    res = mcn.vl_simplenn(net, x, 2.0)
    assert res[2].x == np.sum(w * np.maximum(x, 0))
    np.testing.assert_array_equal(res[0].dzdx, np.where(x > 0, 2 * w, 0))


def test_a_network_of_ours_gives_the_same(rng):
    net = random_network("vgg16", rng=0, pooling="average").with_pool_rounding("ceil")
    image = rng.random((21, 35, 3)).astype("float32") * 255
    features, _ = net.forward(image, ["relu3_3"])
    derivative = rng.standard_normal(features["relu3_3"].shape).astype("float32")
    records = net.inspect(image, {"relu3_3": derivative}, filters=True)
    chain = mcn.simplenn(net)
    res = mcn.vl_simplenn({"layers": chain.layers[:16]}, net.preprocess(image), derivative, mode="test")
    for i in range(17):
        np.testing.assert_array_equal(res[i].x, records[i].x)
        np.testing.assert_allclose(res[i].dzdx, records[i].dzdx, atol=1e-5 * abs(records[i].dzdx).max())
    np.testing.assert_allclose(res[0].dzdw[0], records[1].dzdw, atol=1e-5 * abs(records[1].dzdw).max())
    np.testing.assert_allclose(res[0].dzdw[1], records[1].dzdb, atol=1e-5 * abs(records[1].dzdb).max())
    np.testing.assert_array_equal(mcn.vl_simplenn(net, net.preprocess(image), mode="test")[16].x, res[16].x)


def test_a_network_of_every_kind_of_layer_gives_the_same(rng):
    table = chain(
        [
            conv("conv1", 4, 3, 1, stride=(2, 1), dilate=(1, 2)),
            Layer("bn", "bnorm", ()),
            relu("relu1", leak=0.2),
            pool("pool1", 3, 2, rounding="ceil", pad=(1, 0, 1, 0)),
            Layer("norm", "lrn", (), lrn=(3, 2.0, 0.1, 0.5)),
            Layer("drop", "dropout", (), rate=0.3, numbered=False),
            Layer("up", "convt", (), (2, 2), 6, stride=(2, 2), pad=(0, 1, 1, 1), groups=2),
            pool("pool2", 2, 3, rounding="ceil", method="average"),
            Layer("prob", "softmax", ()),
        ]
    )
    weights = {
        "conv1": (rng.standard_normal((3, 3, 3, 4)), rng.standard_normal(4)),
        "bn": (*rng.standard_normal((2, 4)), np.array([[0.5, 2.0]] * 4)),
        "up": (rng.standard_normal((2, 2, 3, 4)), rng.standard_normal(6)),
    }
    net = Network("every", table, weights, mean=(1.0, 2.0, 3.0), image_size=(12, 13), classes=tuple("abcdef"))
    image = rng.random((2, 12, 13, 3))
    features, _ = net.forward(image, net.layers)
    simple = mcn.vl_simplenn_tidy(net)
    assert [layer["name"] for layer in simple.layers] == list(net.layers)
    assert simple.meta["classes"] == {"description": list("abcdef")}
    x = (image - simple.meta["normalization"]["averageImage"]).transpose(1, 2, 3, 0)
    res = mcn.vl_simplenn(simple, x, mode="test")
    for i, name in enumerate(net.layers, start=1):
        np.testing.assert_allclose(res[i].x, features[name].transpose(1, 2, 3, 0), atol=1e-13, err_msg=name)
    assert [info.data_size for info in mcn.simplenn_info(net, batchSize=2)] == [result.x.shape for result in res]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pad_mode": "reflect"}, "has reflect padding, and MatConvNet's is zero"),
        ({"table": (Layer("all", "pool", ("input",), (0, 0)),), "weights": {}}, "pools a map of whatever size"),
        ({"table": (Layer("a", "prelu", ("input",)),), "weights": {"a": (np.ones(3),)}}, "a slope for each channel"),
        (
            {"table": (relu("a", ("input",)), relu("b", ("input",))), "weights": {}},
            "layer b takes its input from input, so the network is no chain",
        ),
        (
            {"table": (relu("a", ("input",)), Layer("c", "concat", ("a", "a"))), "weights": {}},
            "layer c takes its input from a and a, so the network is no chain",
        ),
        ({"table": (Layer("c", "concat", ("input",)),), "weights": {}}, "joins branches"),
    ],
)
def test_what_matconvnet_s_chains_cannot_express_is_refused(change, words):
    weights = {"c1": (np.ones((3, 3, 3, 2)), np.ones(2))}
    arguments = {"name": "odd", "table": chain([conv("c1", 2)]), "weights": weights} | change
    with pytest.raises(InputError, match=words):
        mcn.simplenn(Network(**arguments))


def test_a_file_is_run_as_it_is_read(tmp_path, rng):
    net = mcn.load(write_mini(tmp_path, "mini_vgg19_meta.mat"))
    x = rng.standard_normal((67, 61, 3, 1)).astype("float32")
    res = mcn.vl_simplenn(net, x, mode="test")
    assert len(res) == 44 and all(result.x.dtype == "float32" for result in res)
    assert res[5].x.shape == (34, 31, 4, 1)  # its pools are padded at the bottom and right
    np.testing.assert_allclose(res[43].x.sum(axis=2), 1, atol=1e-6)
