"""Random networks: reproducible, of one dtype, and keeping the scale of what passes through."""

import numpy as np
import pytest

from vggnumpy import random_network
from vggnumpy.errors import InputError
from vggnumpy.nets import ARCHITECTURES, chain
from vggnumpy.nets.tables import conv, relu

SMALL = chain([conv("conv1_1", 8), relu("relu1_1"), conv("conv1_2", 8, size=1, pad=0)])


def test_the_same_seed_gives_the_same_bits():
    first, again, other = (random_network("vgg16", rng=seed) for seed in (7, 7, 8))
    for name, (w, b) in first.weights.items():
        np.testing.assert_array_equal(w, again.weights[name][0])
        assert not np.array_equal(w, other.weights[name][0])
        assert not b.any()


def test_a_seed_means_the_same_numbers_on_every_machine():
    w, _ = random_network(SMALL, rng=0, dtype="float64").weights["conv1_1"]
    normal = np.array([0.12573022, -0.13210486, 0.64042265])  # the first of NumPy's default generator with seed 0
    np.testing.assert_allclose(w[0, 0, 0, :3], normal * np.sqrt(2 / 27), rtol=1e-7)


def test_a_generator_goes_on_and_none_is_always_new():
    generator = np.random.default_rng(3)
    first, second = (random_network(SMALL, rng=generator).weights["conv1_1"][0] for _ in range(2))
    np.testing.assert_array_equal(first, random_network(SMALL, rng=3).weights["conv1_1"][0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(*(random_network(SMALL, rng=None).weights["conv1_1"][0] for _ in range(2)))


def test_float32_is_float64_rounded():
    single, double = (random_network(SMALL, rng=1, dtype=dtype) for dtype in ("float32", "float64"))
    assert (single.dtype, double.dtype) == ("float32", "float64")
    for name, (w, b) in double.weights.items():
        np.testing.assert_array_equal(single.weights[name][0], w.astype("float32"))
        assert single.weights[name][1].dtype == "float32" and b.dtype == "float64"


def test_filters_have_the_variance_of_he_and_others():
    net = random_network("vgg19", dtype="float64")
    for name, (w, _) in net.weights.items():
        fan_in = np.prod(w.shape[:3])
        # The standard error of a variance from n draws is √(2/n); five of them are allowed.
        assert w.var() * fan_in == pytest.approx(2, rel=5 * np.sqrt(2 / w.size)), name


def test_features_keep_their_scale_from_layer_to_layer():
    net = random_network("vgg19", pooling="average", dtype="float32")
    image = np.random.default_rng(1).uniform(0, 255, (64, 64, 3)).astype("float32")
    layers = [layer.name for layer in net.table if layer.kind == "relu"]
    features, _ = net.forward(image, layers)
    size = [float((feature**2).mean() ** 0.5) for feature in features.values()]
    assert max(size) / min(size) < 30
    assert 1 < min(size) and max(size) < 1000


def test_names_pooling_and_provenance():
    net = random_network("vgg16", rng=4, pooling="average")
    assert net.name == "random vgg16" and net.table != ARCHITECTURES["vgg16"]
    assert {layer.method for layer in net.table if layer.kind == "pool"} == {"average"}
    assert net.provenance["source"] == "He initialisation, seed 4"
    assert net.channel_order == "RGB" and net.mean == (123.68, 116.779, 103.939) and net.scale == (1, 1, 1)


def test_what_is_unknown_is_refused():
    with pytest.raises(InputError, match="architecture 'vgg' is unknown"):
        random_network("vgg")
    with pytest.raises(InputError, match="pooling must be one of max, average, got 'min'"):
        random_network(SMALL, pooling="min")
