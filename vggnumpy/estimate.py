"""What a transfer will take, before it runs: memory from the engine's plan, time from one small evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np

from vggnumpy.backend import NUMPY, Backend
from vggnumpy.cuda.launch import current_device
from vggnumpy.engine import engine_for, plan_for
from vggnumpy.engine.cuda import cuda_plan_for
from vggnumpy.nets import Network
from vggnumpy.nets.tables import INPUT

# L-BFGS holds ten pairs of vectors and eight more, three float32 numbers for a pixel in each.
OPTIMIZER_BYTES = 28 * 12
EVALUATIONS = 1.1
"""Of the objective, for an iteration."""
_PLANNED = 1 << 24  # pixels up to which a plan is made; it has a list of all blocks
_WHOLE = 5  # arrays of a style layer's size: target, derivative and what a loss of whole feature maps has in work
_TIMED = 256  # side of the image that is evaluated to see how fast the machine is


def evaluation_bytes(
    net: Network,
    content: Iterable[str],
    style: Iterable[str],
    shape: Sequence[int],
    backend: Backend = NUMPY,
    precision: str = "fp32",
    regions: bool = False,
) -> float:
    """Return how many bytes one evaluation of an objective takes beside the network's own weights.

    Parameters
    ----------
    net : Network
    content, style : iterable of str
        Layers with losses; those of content keep their target.
    shape : (height, width)
    backend : Backend
        Where it is computed, by the engine there if it can.
    precision : str
        Of the engine on a GPU.
    regions : bool
        Whether the style is compared region by region, which the engine on a GPU leaves to the operators.
    """
    height, width = shape
    content, style = set(content), set(style)
    taps = content | style
    if backend is not NUMPY:
        device = current_device(backend.xp)
        there = None if regions else cuda_plan_for(net, style, content, (height, width, 3), precision, device)
        if there is None:
            return height * width * reference_bytes_per_pixel(net, taps)
        return float(there.nbytes + sum(there.buffers[there.taps[layer].features].nbytes for layer in content))
    shrink = max(1.0, (height * width / _PLANNED) ** 0.5)
    small = int(height / shrink), int(width / shrink), 3
    plan = plan_for(net, taps, small) if net.dtype == np.float32 else None
    if plan is None:
        return height * width * reference_bytes_per_pixel(net, taps)
    targets = sum(np.prod(plan.features_shape(layer)) * net.dtype.itemsize for layer in content)
    return float(plan.fixed_bytes + shrink**2 * (plan.nbytes - plan.fixed_bytes + targets))


def transfer_bytes(
    net: Network,
    content: Iterable[str],
    style: Iterable[str],
    canvas: Sequence[int],
    styles: Sequence[Sequence[int]],
    backend: Backend = NUMPY,
    precision: str = "fp32",
    regions: bool = False,
    whole: bool = False,
) -> float:
    """Return how many bytes a transfer takes at a canvas size, its style images having sizes of their own.

    Where the style is compared by `whole` feature maps and not by Gram matrices this is a rough guess: about five
    arrays of the size of each style layer more, as measured for all of `vggnumpy.style_terms` at 192 pixels.
    """
    where, style = (backend, precision, regions), list(style)
    painting = evaluation_bytes(net, content, style, canvas, *where) + canvas[0] * canvas[1] * OPTIMIZER_BYTES
    if whole:
        features = _features_bytes_per_pixel(net)
        painting += canvas[0] * canvas[1] * _WHOLE * sum(features[layer] for layer in style)
    return max([painting, *(evaluation_bytes(net, (), style, shape, *where) for shape in styles)])


def evaluation_seconds(net: Network, taps: Iterable[str], shape: Sequence[int]) -> float | None:
    """Return how long one evaluation takes: one of 256×256 pixels at most is timed, and scaled by the area.

    None if the engine cannot compute these layers.
    """
    taps = set(taps)
    height, width = (min(side, _TIMED) for side in shape)
    engine = engine_for(net, taps, (height, width, 3)) if net.dtype == np.float32 else None
    if engine is None:
        return None
    image = np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(net.dtype)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        grams, _ = engine.forward(image, taps)
        engine.backward({layer: np.zeros_like(gram[0]) for layer, gram in grams.items()})
        seconds.append(time.perf_counter() - begin)
    return min(seconds) * shape[0] * shape[1] / (height * width)


def reference_bytes_per_pixel(net: Network, layers: set[str]) -> float:
    """Return roughly how many bytes a pixel takes in the network's own passes, as measured on VGG-19 in float32.

    Five times the largest layer's features are in work at one time, and every loss layer keeps its features, target
    and derivative.
    """
    features = _features_bytes_per_pixel(net)
    return 5 * max(features.values()) + 3 * sum(features[layer] for layer in layers)


def _features_bytes_per_pixel(net: Network) -> dict[str, float]:
    """Return layer → bytes of its features for every pixel of the image."""
    area, depth = {INPUT: 1.0}, {INPUT: 3}
    for layer in net.table:
        area[layer.name] = min(area[name] for name in layer.inputs) / (layer.stride[0] * layer.stride[1])
        depth[layer.name] = layer.channels or sum(depth[name] for name in layer.inputs)
    return {name: area[name] * depth[name] * net.dtype.itemsize for name in area}
