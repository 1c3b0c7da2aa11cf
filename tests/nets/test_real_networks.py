"""Trained networks, converted and computed, give the activations that were computed elsewhere."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from vggnumpy.formats import read_weights
from vggnumpy.formats.convert import convert

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
