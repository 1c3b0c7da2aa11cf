"""Value and gradient of the objective are the ones PyTorch computed and make_numbers.py stored."""

import numpy as np
import pytest

from vggnumpy import Network, Objective, random_network
from vggnumpy.nets import chain
from vggnumpy.nets.initialize import IMAGENET_MEAN
from vggnumpy.nets.tables import conv, pool, relu

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def stored(numbers):
    with np.load(numbers.STORED) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def vgg19():
    return random_network("vgg19", rng=0, dtype="float64")


def test_the_file_is_small(numbers):
    assert numbers.STORED.stat().st_size < 100_000


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_vgg19(numbers, stored, vgg19, pooling):
    image, content, style = numbers.images(64, 48)
    value, gradient = Objective(vgg19.with_pooling(pooling), content, style, **numbers.WEIGHTS)(image)
    largest = stored[f"vgg19_{pooling}_largest"]
    assert value == pytest.approx(stored[f"vgg19_{pooling}_value"], rel=TOLERANCE)
    assert np.linalg.norm(gradient) == pytest.approx(stored[f"vgg19_{pooling}_norm"], rel=TOLERANCE)
    assert abs(gradient).max() == pytest.approx(largest, rel=TOLERANCE)
    chosen = gradient.ravel()[stored[f"vgg19_{pooling}_where"]]
    np.testing.assert_allclose(chosen, stored[f"vgg19_{pooling}_gradient"], rtol=0, atol=TOLERANCE * largest)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_small_network_entry_by_entry(numbers, stored, pooling):
    table = chain(
        [conv("conv1_1", 4), relu("relu1_1"), pool("pool1"), conv("conv2_1", 5), relu("relu2_1"), pool("pool2")]
    )
    weights = {name: (stored[f"small_{name}_weight"], stored[f"small_{name}_bias"]) for name in ("conv1_1", "conv2_1")}
    net = Network("small", table, weights, mean=IMAGENET_MEAN).with_pooling(pooling)
    fun = Objective(net, stored["small_content"], stored["small_style"], **numbers.SMALL_WEIGHTS)
    value, gradient = fun(stored["small_image"])
    expected = stored[f"small_{pooling}_gradient"]
    assert value == pytest.approx(stored[f"small_{pooling}_value"], rel=TOLERANCE)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=TOLERANCE * abs(expected).max())
