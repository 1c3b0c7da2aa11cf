"""Trained networks, converted and computed, give the activations that were computed elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from vggnumpy.evaluate import class_probabilities
from vggnumpy.formats import read_weights
from vggnumpy.formats.convert import convert
from vggnumpy.images import read_image

# The references are float64 results stored as float32; float32 arithmetic stays well below this.
TOLERANCE = 1e-4


class Real(NamedTuple):
    """A network's folder and file, and what its reference activations are called."""

    folder: str
    file: str
    architecture: str | None
    layers: tuple[str, ...]


PREFIX = ("conv0", "relu1_1", "relu1_2", "pool1", "relu2_1", "relu2_2", "pool2", "relu3_1")
NETWORKS = {
    "prefix .pth": Real("data/vgg19_prefix", "vgg_normalised_conv3_1.pth", "vgg19", PREFIX),
    "prefix .npz": Real("data/vgg19_prefix", "vgg19_normalised_conv3_1.npz", None, PREFIX),
    "narrow": Real(
        "data/pretrained_other/vgg19_narrow16x",
        "encoder5.npz",
        None,
        tuple(
            "conv0 relu1_1 relu1_1_aux relu1_2 pool1 relu2_1 relu2_1_aux relu2_2 pool2 relu3_1 relu3_1_aux relu3_2 "
            "relu3_3 relu3_4 pool3 relu4_1 relu4_1_aux relu4_2 relu4_3 relu4_4 pool4 relu5_1 relu5_1_aux".split()
        ),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("real", NETWORKS.values(), ids=NETWORKS)
def test_every_activation_is_the_reference_s(shared: Path, tmp_path: Path, real: Real, dtype: str) -> None:
    convert(shared / real.folder / real.file, tmp_path / "net.h5", architecture=real.architecture)
    net = read_weights(tmp_path / "net.h5", dtype)
    with np.load(shared / real.folder / "test_vectors.npz") as archive:
        references = {name: archive[name][0].transpose(1, 2, 0) for name in real.layers}
        image = archive["image_rgb_uint8"].astype(dtype)
        assert set(archive.files) - set(real.layers) == {
            name for name in archive.files if name.startswith(("im", "de"))
        }
    features, _ = net.forward(image, real.layers)
    for name, reference in references.items():
        assert features[name].dtype == dtype
        np.testing.assert_allclose(
            features[name], reference, rtol=0, atol=TOLERANCE * abs(reference).max(), err_msg=name
        )


# Folder → layer of the test vectors' output, and the input convention (1.1's file does not tell).
SQUEEZENETS = {"squeezenet1_0": ("prob", None), "squeezenet1_1": ("pool10", "torchvision")}


@pytest.mark.parametrize("name", SQUEEZENETS)
def test_squeezenet_s_classifier_gives_the_test_vectors(shared: Path, tmp_path: Path, name: str) -> None:
    folder, (layer, convention) = shared / "data/pretrained_other" / name, SQUEEZENETS[name]
    report = convert(folder / "weights.npz", tmp_path / "net.h5", input_convention=convention)
    assert report.architecture == name + "-tflite" * (name == "squeezenet1_0")
    # The vectors' inputs are what the first layer sees.
    net = replace(read_weights(tmp_path / "net.h5"), mean=(0.0,) * 3, scale=(1.0,) * 3)
    with np.load(folder / "test_vectors.npz") as archive:
        assert len(archive.files) == 6
        for i in range(3):
            image = np.ascontiguousarray(archive[f"input_{i}"].transpose(0, 2, 3, 1))
            features, _ = net.forward(image, [layer])
            expected = archive[f"output_{i}"]
            error = abs(features[layer].reshape(expected.shape) - expected).max()
            assert error <= TOLERANCE * max(abs(expected).max(), 1)


def test_the_face_detector_sees_the_face_and_nothing_else(shared: Path, tmp_path: Path) -> None:
    convert(shared / "data/pretrained_other/mtcnn_face/onet.npz", tmp_path / "net.h5")
    net = read_weights(tmp_path / "net.h5")
    assert net.classes == ("no face", "face") and net.image_size == (48, 48)
    image = read_image(shared / "data/images/content_portrait_astronaut.png")
    assert class_probabilities(net, image, (160, 60, 150, 150))[1] > 0.999
    for box in ((0, 0, 150, 150), (300, 300, 100, 100), (350, 20, 150, 150)):
        assert class_probabilities(net, image, box)[1] < 0.01


def test_conv0_and_side_layers_do_not_shift_the_numbers(shared: Path, tmp_path: Path) -> None:
    convert(shared / NETWORKS["narrow"].folder / "encoder5.npz", tmp_path / "net.h5")
    numbers = read_weights(tmp_path / "net.h5").numbers
    assert {i: numbers[i] for i in (1, 13, 27)} == {1: "conv1_1", 13: "conv3_2", 27: "relu4_4"}
    assert list(numbers.values())[-1] == "relu5_1"


def test_the_narrow_encoders_of_every_depth_convert(shared: Path, tmp_path: Path) -> None:
    for depth in range(1, 6):
        report = convert(shared / NETWORKS["narrow"].folder / f"encoder{depth}.npz", tmp_path / "net.h5")
        assert f"conv{depth}_1" in report.layers
        assert report.layers[-1].endswith("_aux")
        assert report.left_out == ()
