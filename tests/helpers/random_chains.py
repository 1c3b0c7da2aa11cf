"""Random networks that the engine can compute, with random taps."""

from dataclasses import replace

import numpy as np

from vggnumpy import random_network
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, pool, relu


def random_chain(seed, dtype="float64"):
    """Return a network, an image, the layers with Gram losses and those with content losses."""
    rng = np.random.default_rng(seed)
    layers = [conv("conv0", 3, 1, 0, numbered=False)] if rng.random() < 0.3 else []
    for block in range(rng.integers(1, 4)):
        for i in range(rng.integers(1, 4)):
            layers += [conv(f"conv{block}_{i}", int(rng.integers(1, 20))), relu(f"relu{block}_{i}")]
        if rng.random() < 0.7:
            layers.append(pool(f"pool{block}"))
    net = random_network(chain(layers), rng=seed, dtype=dtype)
    table = [_random_pool(layer, rng) if layer.kind == "pool" else layer for layer in net.table]
    net = replace(net, table=tuple(table), pad_mode=str(rng.choice(["zero", "reflect", "replicate"])))
    height, width = rng.integers(9, 60, 2)
    x = rng.uniform(0, 255, (height, width, 3) if rng.random() < 0.5 else (2, height, width, 3)).astype(dtype)
    taps = [layer.name for layer in layers if layer.name != "conv0"]
    grams, contents = ([name for name in taps if rng.random() < share] for share in (0.4, 0.3))
    return net, x, grams or taps[-1:], contents


def _random_pool(layer, rng):
    return replace(layer, method=str(rng.choice(["max", "average"])), rounding=str(rng.choice(["floor", "ceil"])))
