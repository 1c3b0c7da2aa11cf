"""Names in published files find the architectures' layers: Caffe's, torchvision's, Keras's, bare numbers."""

import re

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats.naming import match_names
from vggnumpy.nets import ARCHITECTURES, architecture
from vggnumpy.nets.tables import PARTS

SMALL = np.zeros((1, 1, 1, 1), "float32")


def owners(name: str, classifier: bool = True) -> list[str]:
    return [layer.name for layer in architecture(name, classifier) if layer.kind in PARTS]


def arrays_of(prefixes, shapes=None):
    """Return arrays of the given names; their numbers do not matter here."""
    shapes = shapes or {}
    return {
        f"{prefix}.{part}": np.zeros(shapes.get(prefix, (1, 1, 1, 1)) if part == "weight" else 1)
        for prefix in prefixes
        for part in ("weight", "bias")
    }


def caffe_name(layer: str) -> str:
    """Return the name in bvlc_googlenet and in SqueezeNet's files, which group layers by a slash."""
    return re.sub(r"^(inception_\d\w|fire\d|loss3|conv1(?=_7)|conv2(?=_3))_", r"\1/", layer)


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "alexnet", "googlenet", "onet"])
@pytest.mark.parametrize("classifier", [True, False])
def test_caffe_s_names(name, classifier):
    layers = owners(name, classifier)
    prefixes = {layer: caffe_name(layer) for layer in layers}
    assert name != "googlenet" or "inception_4b/5x5_reduce" in prefixes.values()
    naming = match_names(arrays_of(prefixes.values()))
    assert (naming.scheme, naming.architecture) == ("named", name)
    assert naming.layers == prefixes and naming.left_out == ()


def test_googlenet_s_side_classifiers_are_left_out():
    side = arrays_of(["loss1/conv", "loss1/fc", "loss2/classifier"])
    naming = match_names(arrays_of(map(caffe_name, owners("googlenet"))) | side)
    assert set(naming.left_out) == set(side)
    with pytest.raises(InputError, match=r"known networks do not have: loss4/fc\.weight"):
        match_names(arrays_of(map(caffe_name, owners("googlenet"))) | arrays_of(["loss4/fc"]))


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ((96, 3, 7, 7), (1000, 512, 1, 1), "squeezenet1_0"),
        ((64, 3, 3, 3), (1000, 512, 1, 1), "squeezenet1_1"),
        ((96, 3, 7, 7), (1001, 512, 1, 1), "squeezenet1_0-tflite"),
    ],
)
@pytest.mark.parametrize("spelling", [caffe_name, lambda layer: layer.replace("squeeze1x1", "squeeze")])
def test_squeezenets_differ_in_the_shapes_of_their_first_and_last_filters(first, last, name, spelling):
    prefixes = {layer: spelling(layer) for layer in owners("squeezenet1_0")}
    naming = match_names(arrays_of(prefixes.values(), {"conv1": first, "conv10": last}))
    assert (naming.architecture, naming.layers) == (name, prefixes)


def test_vgg_face_is_told_by_its_classes():
    for classes, name in {2622: "vgg-face", 1000: "vgg16", 10: "vgg16"}.items():
        assert match_names(arrays_of(owners("vgg16"), {"fc8": (classes, 4096)})).architecture == name


FIRST = {"squeezenet1_0-torchvision": (96, 3, 7, 7), "squeezenet1_1": (64, 3, 3, 3)}
# Number of torchvision's module → fire module.
FIRES = {
    "squeezenet1_0-torchvision": {3: 2, 4: 3, 5: 4, 7: 5, 8: 6, 9: 7, 10: 8, 12: 9},
    "squeezenet1_1": {3: 2, 4: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8, 12: 9},
}


@pytest.mark.parametrize("name", FIRES)
def test_torchvision_s_squeezenets(name):
    expected = {"conv1": "features.0", "conv10": "classifier.1"}
    for module, fire in FIRES[name].items():
        for part, theirs in {"squeeze1x1": "squeeze", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}.items():
            expected[f"fire{fire}_{part}"] = f"features.{module}.{theirs}"
    naming = match_names(arrays_of(expected.values(), {"features.0": FIRST[name]}))
    assert (naming.scheme, naming.architecture) == ("features", name)
    assert naming.layers == expected


@pytest.mark.parametrize("classifier", [(0, 3, 6), (1, 4, 6)])
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_torchvision_s_vgg_and_johnson_s(name, classifier):
    convs = {layer.name: f"features.{i}" for i, layer in enumerate(ARCHITECTURES[name]) if layer.kind == "conv"}
    expected = convs | {f"fc{6 + i}": f"classifier.{number}" for i, number in enumerate(classifier)}
    naming = match_names(arrays_of(expected.values()))
    assert (naming.architecture, naming.layers) == (name, expected)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_keras_s_vgg(name):
    expected = {layer: re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", layer) for layer in owners(name, classifier=False)}
    expected |= {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    naming = match_names(arrays_of(expected.values()))
    assert (naming.scheme, naming.architecture, naming.layers) == ("keras", name, expected)


def test_numbers_of_matrices_reach_the_classifier():
    layers = owners("vgg16")
    prefixes = [str(2 * i) for i in range(len(layers))]
    shapes = {prefix: (4, 4) for prefix in prefixes[-3:]}
    naming = match_names(arrays_of(prefixes, shapes), "vgg16")
    assert naming.layers == dict(zip(layers, prefixes, strict=True))


def test_two_names_of_one_layer_are_refused():
    prefixes = ["features.0", "classifier.0", "classifier.1"]
    with pytest.raises(InputError, match="two layers of the file are the same layer of vgg"):
        match_names(arrays_of(prefixes))


def test_the_nets_before_the_output_net_of_mtcnn_are_refused(tmp_path):
    from vggnumpy.formats.convert import convert

    np.savez(tmp_path / "pnet.npz", **{"conv1.weights": SMALL, "PReLU1.alpha": SMALL})
    with pytest.raises(InputError, match=r"pnet\.npz: .*proposal or refinement net"):
        convert(tmp_path / "pnet.npz", tmp_path / "net.h5")
