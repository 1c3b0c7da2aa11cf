"""An evaluation put together from the tensor-core launchers as an engine does it, against the operators in float64.

Five convolutions with what VGG has: Gram losses at two rectifiers, one of them before a max pool; a content loss before
a rectifier; masks of one bit, windows of three; features kept only where a loss sits, derivatives written in place.
"""

import itertools

import numpy as np
import pytest
from tensor_cores import GPU, device

from vggnumpy import ops
from vggnumpy.cuda.launch import Device
from vggnumpy.losses.gram import gram
from vggnumpy.losses.gram_cuda import GramTarget, gram_derivative, gram_matrix, plan_gram
from vggnumpy.ops.conv_first_cuda import first_backward, first_forward
from vggnumpy.ops.conv_tensor_cuda import (
    BackwardMaps,
    ForwardMaps,
    conv_backward,
    conv_forward,
    mask_shape,
    prepare_filters,
    windows_shape,
)

DEVICE = Device(80, 163 << 10, 4)
CHANNELS = (3, 16, 32, 48, 64, 16)
SIZES = ((13, 21), (13, 21), (6, 10), (6, 10), (3, 5))  # max pool after layer 2 (floor), average after 4
FACTOR = 0.5


def reference(x, weights, styles, content):
    """Return the losses and the gradient, by the operators."""
    caches, taps, y = [], {}, x
    for number, (w, b) in enumerate(weights, start=1):
        a, conv_cache = ops.conv(y, w, b, pad=1)
        y, relu_cache = ops.relu(a)
        taps[number] = a, y
        pool_cache = None
        if number == 2:
            y, pool_cache = ops.max_pool(y)
        if number == 4:
            y, pool_cache = ops.avg_pool(y)
        caches.append((conv_cache, relu_cache, pool_cache))
    value, dy = 0.0, np.zeros_like(y)
    for number in (5, 4, 3, 2, 1):
        conv_cache, relu_cache, pool_cache = caches[number - 1]
        if number == 2:
            dy = ops.max_pool_backward(dy, pool_cache)
        if number == 4:
            dy = ops.avg_pool_backward(dy, pool_cache)
        if number in styles:
            style, dF = gram(taps[number][1], styles[number], normalization="mean_square")
            value, dy = value + style, dy + dF
        da = ops.relu_backward(dy, relu_cache)
        if number == 5:
            difference = taps[5][0] - content
            value, da = value + FACTOR * (difference**2).sum(), da + 2 * FACTOR * difference
        dy = ops.conv_backward_input(da, conv_cache)
    return value, dy


@pytest.mark.parametrize("where", ["forward", GPU])
def test_an_evaluation_in_fp32(where):
    rng = np.random.default_rng(11)
    x = rng.standard_normal((1, 13, 21, 3)).astype("float32")
    weights = []
    for depth, channels in itertools.pairwise(CHANNELS):
        w = (rng.standard_normal((3, 3, depth, channels)) / np.sqrt(4.5 * depth)).astype("float32")
        weights.append((w, rng.standard_normal(channels).astype("float32") / 8))
    styles = {n: np.abs(rng.standard_normal((CHANNELS[n],) * 2)).astype("float32") * 50 for n in (2, 3)}
    content = rng.standard_normal((1, 3, 5, 16)).astype("float32")
    doubled = [(w.astype("float64"), b.astype("float64")) for w, b in weights]
    value64, dx64 = reference(
        x.astype("float64"), doubled, {n: A.astype("float64") for n, A in styles.items()}, content.astype("float64")
    )
    with device(where) as cuda:
        value, dx = evaluate(cuda.xp, x, weights, styles, content)
    assert value == pytest.approx(value64, rel=1e-6)
    assert np.linalg.norm(dx - dx64) <= 1e-5 * np.linalg.norm(dx64)


def evaluate(xp, x, weights, styles, content):
    """Return the losses and the gradient, by the launchers."""

    def new(number, pooled=False):
        height, width = SIZES[number] if pooled else SIZES[number - 1]
        return xp.empty((1, height, width, CHANNELS[number]), "float32")

    w1, b1 = (xp.asarray(array) for array in weights[0])
    filters = {n: prepare_filters(*map(xp.asarray, weights[n - 1]), "fp32") for n in (2, 3, 4, 5)}
    masks = {n: xp.empty(mask_shape(1, *SIZES[n - 1], CHANNELS[n]), "uint32") for n in (1, 2, 3, 4)}
    windows = xp.empty(windows_shape(1, *SIZES[2], CHANNELS[2]), "uint32")
    y1, F2, p2, F3, p4, a5 = new(1), new(2), new(2, pooled=True), new(3), new(4, pooled=True), new(5)

    first_forward(xp.asarray(x), w1, b1, ForwardMaps(out=y1, mask=masks[1]), "fp32")
    maps = ForwardMaps(out=F2, mask=masks[2], pooled=p2, windows=windows)
    conv_forward(y1, filters[2], maps, DEVICE, pool="max")
    conv_forward(p2, filters[3], ForwardMaps(out=F3, mask=masks[3]), DEVICE)
    conv_forward(F3, filters[4], ForwardMaps(mask=masks[4], pooled=p4), DEVICE, pool="average")
    conv_forward(p4, filters[5], ForwardMaps(before=a5), DEVICE)

    value, d = 0.0, {}
    for number, F in ((2, F2), (3, F3)):
        positions, channels = F.size // F.shape[-1], F.shape[-1]
        plan = plan_gram(positions, channels, DEVICE)
        square = xp.empty((channels, channels), "float32")
        target = GramTarget(
            xp.asarray(styles[number] / np.float32(positions)), channels**-4, square, xp.empty(plan.squares_shape)
        )
        gram_matrix(F, plan, xp.empty(plan.partial_shape, "float32"), "fp32", target=target)
        value += target.squares.get().sum() * target.factor
        d[number] = xp.empty(F.shape, "float32")
        gram_derivative(F, target.Z, d[number], "fp32")
    difference = a5 - xp.asarray(content)
    value += FACTOR * float((difference.get().astype("float64") ** 2).sum())

    dz5 = 2 * FACTOR * difference  # no other loss comes from behind
    dz4 = new(4)
    conv_backward(dz5, filters[5], BackwardMaps(mask=masks[4]), dz4, DEVICE, pool="average")
    conv_backward(dz4, filters[4], BackwardMaps(mask=masks[3], added=d[3]), d[3], DEVICE)
    maps = BackwardMaps(mask=masks[2], windows=windows, added=d[2])
    conv_backward(d[3], filters[3], maps, d[2], DEVICE, pool="max")
    conv_backward(d[2], filters[2], BackwardMaps(mask=masks[1]), y1, DEVICE)
    dx = xp.empty(x.shape, "float32")
    first_backward(y1, w1, dx, "fp32")
    return value, dx.get()
