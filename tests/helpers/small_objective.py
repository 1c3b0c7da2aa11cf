"""A small network and pictures for the tests of objectives."""

import numpy as np

from vggnumpy import random_network
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, pool, relu

SIZE = (14, 17, 3)
CONTENT = {"relu2_1": 2.0, "conv1_1": 0.5}
STYLE = {"relu1_1": 0.3, "relu2_1": 0.7, "pool2": 1.5}
PIXELS = {"size": 0.01, "variation": 0.02}


def small_network():
    layers = [conv("conv1_1", 4), relu("relu1_1"), pool("pool1"), conv("conv2_1", 6), relu("relu2_1"), pool("pool2")]
    return random_network(chain(layers), rng=8, dtype="float64")


def picture(seed, *shape, dtype="float64"):
    image = np.random.default_rng(seed).uniform(0, 255, shape or SIZE).astype(dtype)
    image.flags.writeable = False
    return image


def small_images():
    """Return the image, the content image and two style images of other sizes."""
    return picture(1), picture(2), [picture(3, 11, 19, 3), picture(4, 20, 9, 3)]
