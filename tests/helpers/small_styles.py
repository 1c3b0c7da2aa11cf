"""A small network, pictures and their styles, for the tests of styles."""

import numpy as np

from vggnumpy import random_network
from vggnumpy.multiscale import MultiscaleStyle, picture_style
from vggnumpy.nets import chain
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import conv, pool, relu

LAYERS = ("relu1_1", "relu2_1")


def small_chain(seed: int = 8, dtype: str = "float32") -> Network:
    """Return a network of two convolutions with an average pool between."""
    layers = [conv("conv1_1", 4), relu("relu1_1"), pool("pool1"), conv("conv2_1", 6), relu("relu2_1")]
    return random_network(chain(layers), rng=seed, dtype=dtype).with_pooling("average")


def small_pictures(count: int) -> list[np.ndarray]:
    """Return pictures of different sizes and contrasts, large enough to be scaled down."""
    sizes = [(40, 64), (64, 40), (50, 50), (44, 70)]
    return [
        np.random.default_rng(seed).uniform(0, 60 * (seed % 4 + 1), (*sizes[seed % 4], 3)).astype("uint8")
        for seed in range(count)
    ]


def small_styles(count: int, net: Network | None = None, size: int = 256) -> list[MultiscaleStyle]:
    """Return the styles of as many pictures."""
    return [picture_style(net or small_chain(), one, size=size) for one in small_pictures(count)]
