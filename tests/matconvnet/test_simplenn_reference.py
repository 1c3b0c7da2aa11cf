"""``vl_simplenn`` on MatConvNet's files gives the numbers of MatConvNet's own, in single precision as there."""

import numpy as np
import pytest

from vggnumpy import matconvnet as mcn

TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "matconvnet"


@pytest.fixture(scope="module")
def reference(folder):
    """Every array in MATLAB's order: H×W×C×N, filters H×W×C×K."""
    with np.load(folder / "simplenn_reference.npz") as archive:
        return {key: archive[key].transpose(2, 3, 1, 0) if archive[key].ndim == 4 else archive[key] for key in archive}


def normalized(net, image):
    """Return what the demo scripts of MatConvNet make of an image."""
    return image.astype("float32") - net.meta["normalization"]["averageImage"].astype("float32")


def agree(ours, theirs, label):
    assert ours.dtype == "float32" and theirs.dtype == "float32", label
    assert ours.shape in (theirs.shape, theirs.shape[:3]), label
    error = abs(ours.reshape(theirs.shape) - theirs).max() / abs(theirs).max()
    assert error <= TOLERANCE, f"{label} is off by {error:.1e}"


def compare(res, reference, prefix, field):
    """Compare all entries of `res` that the reference has under ``<prefix><i>``, and return their numbers."""
    numbers = sorted(int(key.removeprefix(prefix)) for key in reference if key.removeprefix(prefix).isdigit())
    for i in numbers:
        agree(getattr(res[i], field), reference[f"{prefix}{i}"], f"{prefix}{i}")
    return numbers


@pytest.mark.parametrize(
    ("file", "prefix", "mode", "count"),
    [("mini_vgg19_meta", "vgg19", "normal", 19), ("mini_vgg_face_meta", "face", "test", 20)],
)
def test_every_activation(folder, reference, file, prefix, mode, count):
    net = mcn.read_mat(folder / f"{file}.mat")
    res = mcn.vl_simplenn(net, normalized(net, reference[f"{prefix}_image"]), mode=mode)
    numbers = compare(res, reference, f"{prefix}_x", "x")
    assert len(numbers) == count and numbers[-1] == len(net.layers)


def test_the_oxford_file_with_dropout_layers_in_test_mode(folder, reference):
    net = mcn.read_mat(folder / "mini_vgg_face_net.mat")
    res = mcn.vl_simplenn(net, normalized(net, reference["face_image"]), mode="test", conserveMemory=True)
    assert len(res) == 40
    agree(res[-1].x, reference["face_x37"], "face_x37")


def test_derivatives_through_pools_that_round_up(folder, reference):
    net = mcn.read_mat(folder / "mini_vgg19_meta.mat")
    x = normalized(net, reference["vgg19_odd_image"])[..., None]
    res = mcn.vl_simplenn({"layers": net.layers[:37]}, x, reference["vgg19_odd_dzdy"])
    assert compare(res, reference, "vgg19_odd_x", "x") == [0, 5, 10, 19, 28, 36, 37]
    assert compare(res, reference, "vgg19_odd_dzdx", "dzdx") == [0, 5, 10, 19, 28, 36]


@pytest.mark.parametrize(("cut", "convolutions"), [(13, 6), (27, 12)])
def test_derivatives_of_the_report_s_layers(folder, reference, cut, convolutions):
    net = mcn.read_mat(folder / "mini_vgg_face_meta.mat")
    x = normalized(net, reference["face_image"])[..., None]
    prefix = f"face_L{cut}_"
    res = mcn.vl_simplenn({"layers": net.layers[:cut]}, x, reference[f"{prefix}dzdy"])
    agree(res[0].dzdx, reference[f"{prefix}dzdx"], f"{prefix}dzdx")
    layers = [i for i, layer in enumerate(net.layers[:cut], start=1) if layer["type"] == "conv"]
    assert len(layers) == convolutions
    for i in layers:
        dzdf, dzdb = res[i - 1].dzdw
        agree(dzdf, reference[f"{prefix}dzdf{i}"], f"{prefix}dzdf{i}")
        agree(dzdb, reference[f"{prefix}dzdb{i}"], f"{prefix}dzdb{i}")
