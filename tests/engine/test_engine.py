"""The engine computes what the network's own passes and the losses compute, in whatever order it likes."""

import numpy as np
import pytest
from random_chains import random_chain

from vggnumpy import losses, random_network
from vggnumpy.engine import engine_for
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.ops.geometry import Window


def reference(net, x, grams, contents, windows=None):
    """Return targets, statistics, derivatives to go back with and the gradient image, by the reference."""
    windows = windows or {}
    rng = np.random.default_rng(1)
    features, tape = net.forward(x, [*grams, *contents])
    targets = {k: features[k] * rng.uniform(0.5, 1.5, features[k].shape).astype(x.dtype) for k in contents}
    inside = {k: windows[k].of(features[k]) if k in windows else features[k] for k in grams}
    gram_statistics = {k: losses.gram_statistics(inside[k]) for k in grams}
    content_statistics = {k: losses.content_statistics(features[k], targets[k]) for k in contents}
    S = {k: rng.standard_normal(g.matrix.shape).astype(x.dtype) for k, g in gram_statistics.items()}
    S = {k: S[k] / np.linalg.norm(gram_statistics[k].matrix + 1) for k in S}
    factors = {k: 10.0 / (1 + np.linalg.norm(features[k]) ** 2) for k in contents}
    dfeatures = {k: np.zeros_like(features[k]) for k in grams}
    for k in grams:
        part = windows[k].of(dfeatures[k]) if k in windows else dfeatures[k]
        part += losses.gram_cotangent(inside[k], S[k])
    for k in contents:
        de = losses.content_cotangent(features[k], targets[k], factors[k])
        dfeatures[k] = dfeatures[k] + de if k in dfeatures else de
    given = {k: 1e-3 * rng.standard_normal(features[k].shape).astype(x.dtype) for k in [*grams, *contents][::2]}
    for k, dF in given.items():
        dfeatures[k] = dfeatures[k] + dF
    backward = S, factors, given
    return features, targets, gram_statistics, content_statistics, backward, net.backward(tape, dfeatures)


def random_windows(net, x, layers, seed):
    """Return a part of the map for every second layer: a position, a row, or some rows and columns."""
    rng, features = np.random.default_rng(seed), net.forward(x, layers)[0]
    ends = {k: [np.sort(rng.choice(size + 1, 2, replace=False)) for size in features[k].shape[-3:-1]] for k in layers}
    return {k: Window(*ends[k][0], *ends[k][1]) for k in layers[::2]}


def close(a, b, bound):
    return np.linalg.norm(np.asarray(a) - b) <= bound * np.linalg.norm(b) + 1e-30


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_reference(seed):
    net, x, grams, contents = random_chain(seed)
    windows = random_windows(net, x, list(grams), seed) if seed % 2 else {}
    features, targets, G, D, backward, dimage = reference(net, x, grams, contents, windows)
    engine = engine_for(net, {*grams, *contents}, x.shape, threads=1 + seed % 3)
    for _ in range(2):  # what the first evaluation left in the buffers must not matter to the second
        fast_G, fast_D = engine.forward(x, grams, targets, windows=windows)
        for layer, F in features.items():
            assert close(engine.features(layer), F, 1e-12) and engine.features(layer).shape == F.shape
        for layer in grams:
            assert close(fast_G[layer].matrix, G[layer].matrix, 1e-12)
            assert fast_G[layer].positions == G[layer].positions
        for layer in contents:
            np.testing.assert_allclose(fast_D[layer], D[layer], rtol=1e-11)
        assert close(engine.backward(*backward), dimage, 1e-11)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("seed", range(4))
def test_in_float32_it_is_the_reference_but_for_rounding(seed, pooling):
    layers = [conv("conv1", 8), relu("relu1"), conv("conv2", 9), relu("relu2"), pool("pool"), conv("conv3", 30)]
    net = random_network(chain([*layers, relu("relu3")]), rng=seed, dtype="float32").with_pooling(pooling)
    x = np.random.default_rng(seed).uniform(0, 255, (41, 38, 3)).astype("float32")
    _, targets, G, _, backward, dimage = reference(net, x, ["relu1", "relu3"], ["relu2"])
    engine = engine_for(net, ["relu1", "relu2", "relu3"], x.shape)
    fast_G, _ = engine.forward(x, ["relu1", "relu3"], targets)
    fast = engine.backward(*backward)
    assert fast.dtype == "float32" and close(fast, dimage, 1e-2 if pooling == "max" else 1e-3)
    assert all(
        fast_G[layer].matrix.dtype == "float32" and close(fast_G[layer].matrix, G[layer].matrix, 1e-5) for layer in G
    )


def test_the_number_of_threads_changes_no_bit():
    layers = [conv("conv1", 8), relu("relu1"), conv("conv2", 16), relu("relu2"), pool("pool"), conv("conv3", 16)]
    net = random_network(chain([*layers, relu("relu3")]), rng=0, dtype="float32")
    x = np.random.default_rng(0).uniform(0, 255, (130, 301, 3)).astype("float32")
    results = []
    for threads in (1, 2, 3, 2):
        engine = engine_for(net, ["relu1", "relu2", "relu3"], x.shape, threads)
        assert len(engine.plan.stages[1].forward) > 6
        grams, _ = engine.forward(x, ["relu1", "relu2", "relu3"])
        dimage = engine.backward({layer: G.matrix * np.float32(1e-9) for layer, G in grams.items()})
        results.append([*(G.matrix.tobytes() for G in grams.values()), dimage.tobytes()])
    assert all(result == results[0] for result in results)


def test_a_target_of_another_shape_is_refused():
    net, x, *_ = random_chain(3)
    layer = next(one.name for one in net.table if one.kind == "relu")
    with pytest.raises(ValueError, match="content features and target must agree in shape"):
        engine_for(net, [layer], x.shape).forward(x, targets={layer: np.zeros((2, 3, 4))})
