"""Structs written by hand get the fields that MatConvNet's ``vl_simplenn_tidy`` gives them."""

import numpy as np
import pytest
from mini_networks import write_mini

from vggnumpy import matconvnet as mcn
from vggnumpy.errors import InputError

F, B = np.ones((3, 3, 2, 4)), np.ones(4)


def only(layer):
    return mcn.vl_simplenn_tidy({"layers": [layer]}).layers[0]


def test_every_type_s_defaults():
    head = {"name": "layer1", "precious": False}
    none = {**head, "weights": []}
    assert only({"type": "relu"}) == {**none, "type": "relu", "leak": 0}
    assert only({"type": "dropout"}) == {**none, "type": "dropout", "rate": 0.5}
    assert only({"type": "normalize"}) == {**none, "type": "lrn", "param": (5, 1, 2e-5, 0.75)}
    assert only({"type": "softmax", "weights": {}, "opts": []}) == {**none, "type": "softmax"} | {"weights": {}}
    found = only({"type": "pool", "pool": 2, "method": "avg", "name": "p", "stride": []})
    assert found == {**none, "type": "pool", "name": "p", "pool": 2, "method": "avg", "pad": 0, "stride": 1}
    found = only({"type": "conv", "weights": [F]})
    assert found == {**head, "type": "conv", "weights": [F, None], "pad": 0, "stride": 1, "dilate": 1}
    found = only({"type": "convt", "weights": [F, B]})
    assert found == {**head, "type": "convt", "weights": [F, B], "crop": 0, "upsample": 1, "numGroups": 1}
    found = only({"type": "bnorm", "weights": [B, B]})
    np.testing.assert_array_equal(found["weights"].pop(), np.zeros((4, 2)))
    assert found == {**head, "type": "bnorm", "weights": [B, B], "epsilon": 1e-5}


def test_old_fields_become_weights_and_nothing_given_is_changed():
    old = {"type": "conv", "filters": F, "biases": B, "pad": 1}
    found = only(old)
    assert found["weights"][0] is F and found["weights"][1] is B and "filters" not in found
    assert old == {"type": "conv", "filters": F, "biases": B, "pad": 1}
    assert only({"type": "conv", "filters": F})["weights"][1] is None


def test_custom_layers_keep_all_their_fields():
    layer = {"type": "custom", "forward": print, "backward": None, "empty": []}
    assert only(layer) == {**layer, "name": "layer1", "precious": False, "weights": []}


def test_what_was_read_from_a_file_is_tidy_already(tmp_path):
    net = mcn.read_mat(write_mini(tmp_path, "mini_vgg_face_net.mat"))
    tidy = mcn.vl_simplenn_tidy(net)
    assert tidy.meta is net.meta
    for one, other in zip(tidy.layers, net.layers, strict=True):
        assert {k: v for k, v in one.items() if k != "weights"} == {k: v for k, v in other.items() if k != "weights"}
        assert all(a is b for a, b in zip(one["weights"], other["weights"], strict=True))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ({}, "a network must have layers"),
        ({"layers": []}, "a network must have layers"),
        ({"layers": [{"type": "pdist"}]}, "layer 1 is of the unknown type 'pdist'; known are conv, convt"),
        ({"layers": [{}]}, "layer 1 is of the unknown type None"),
        (
            {"layers": [{"type": "relu"}, {"type": "pool", "pool": 2}]},
            r"layer 2 \(layer2\) of type 'pool' lacks method",
        ),
        ({"layers": [{"type": "conv", "weights": []}]}, "lacks weights"),
        ({"layers": [{"type": "conv", "weights": [F, B, B]}]}, "must be filters and biases, got 3 arrays"),
        ({"layers": [{"type": "bnorm", "weights": [B]}]}, "must be gain, bias and moments, got 1 arrays"),
        ({"layers": [{"type": "custom", "forward": print}]}, "lacks backward"),
    ],
)
def test_what_cannot_be_run_is_refused(net, words):
    with pytest.raises(InputError, match=words):
        mcn.vl_simplenn_tidy(net)
