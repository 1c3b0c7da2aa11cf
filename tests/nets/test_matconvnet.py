"""Whole networks give the activations and derivatives that MatConvNet's own operators gave."""

import numpy as np
import pytest

from vggnumpy.formats.originals import Given, read_original

# Ours is computed in double, the references were in single precision, whose own rounding grows to 1.2e-5 by layer 42.
TOLERANCE = 2e-5


def miniature(shared, name):
    """Return a miniature network as its file is read, in float64."""
    path = shared / "fixtures" / "matconvnet" / f"mini_{name}_meta.mat"
    return read_original(path, Given()).net.astype("float64")


@pytest.fixture(scope="module")
def reference(shared):
    with np.load(shared / "fixtures" / "matconvnet" / "simplenn_reference.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def vgg19(shared):
    return miniature(shared, "vgg19")


@pytest.fixture(scope="module")
def face(shared):
    return miniature(shared, "vgg_face")


def agree(ours, theirs, label):
    """Compare N×H×W×C features or filters kh×kw×C×K with N×C×H×W or K×C×kh×kw, on the scale of the reference."""
    if theirs.ndim == 4:
        theirs = theirs.transpose(2, 3, 1, 0) if "dzdf" in label else theirs.transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape, label
    error = abs(ours - theirs).max() / abs(theirs).max()
    assert error <= TOLERANCE, f"{label} is off by {error:.1e}"


def numbers(reference, prefix):
    """Return the numbers i for which the reference holds ``<prefix><i>``."""
    tails = [key.removeprefix(prefix) for key in reference if key.startswith(prefix)]
    return sorted(int(tail) for tail in tails if tail.isdigit())


@pytest.mark.parametrize(
    ("name", "prefix", "count"), [("vgg19", "vgg19", 19), ("vgg19", "vgg19_odd", 7), ("face", "face", 20)]
)
def test_every_activation(request, reference, name, prefix, count):
    net = request.getfixturevalue(name)
    image = reference[f"{prefix}_image"][None].astype("float64")
    layers = [number for number in numbers(reference, f"{prefix}_x") if 0 < number <= len(net.layers)]
    agree(net.preprocess(image), reference[f"{prefix}_x0"], f"{prefix}_x0")
    features, _ = net.forward(image, layers)
    for number, feature in features.items():
        agree(feature, reference[f"{prefix}_x{number}"], f"{prefix}_x{number}")
    assert len(layers) + 1 == count


def test_derivatives_through_pools_that_round_up(vgg19, reference):
    image = reference["vgg19_odd_image"][None].astype("float64")
    start = reference["vgg19_odd_dzdy"].transpose(0, 2, 3, 1).astype("float64")
    records = vgg19.inspect(image, {37: start})
    layers = numbers(reference, "vgg19_odd_dzdx")
    for number in layers:
        agree(records[number].dzdx, reference[f"vgg19_odd_dzdx{number}"], f"vgg19_odd_dzdx{number}")
    assert layers == [0, 5, 10, 19, 28, 36]
    _, tape = vgg19.forward(image, ["pool5"])
    agree(vgg19.backward(tape, {"pool5": start}), reference["vgg19_odd_dzdx0"], "dimage")


@pytest.mark.parametrize(("layer", "parameters"), [(13, 6), (27, 12)])
def test_derivatives_of_the_report_s_layers(face, reference, layer, parameters):
    prefix = f"face_L{layer}_"
    start = reference[f"{prefix}dzdy"].transpose(0, 2, 3, 1).astype("float64")
    records = face.inspect(reference["face_image"][None].astype("float64"), {layer: start}, filters=True)
    agree(records[0].dzdx, reference[f"{prefix}dzdx"], f"{prefix}dzdx")
    layers = numbers(reference, f"{prefix}dzdf")
    for number in layers:
        agree(records[number].dzdw, reference[f"{prefix}dzdf{number}"], f"{prefix}dzdf{number}")
        agree(records[number].dzdb, reference[f"{prefix}dzdb{number}"], f"{prefix}dzdb{number}")
    assert len(layers) == len([layer for layer in face.table if layer.name in records and layer.kind == "conv"])
    assert len(layers) == parameters
