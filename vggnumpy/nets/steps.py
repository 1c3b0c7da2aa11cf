"""One layer of a network, computed forward and backward by its operator."""

from __future__ import annotations

from typing import Any

from vggnumpy import ops
from vggnumpy.nets.tables import Layer


def forward_step(layer: Layer, xs: list[Any], parts: tuple[Any, ...], pad_mode: str) -> tuple[Any, Any]:
    """Return a layer's output and the cache for `backward_step`.

    Parameters
    ----------
    layer : Layer
    xs : list of ndarray
        Its inputs.
    parts : tuple of ndarray
        Its weights, as `Network.weights` holds them.
    pad_mode : str
        What the padding of convolutions holds unless the layer says otherwise.
    """
    x = xs[0]
    match layer.kind:
        case "conv":
            w, b = parts
            return ops.conv(x, w, b, layer.stride, layer.pad, layer.dilate, layer.pad_mode or pad_mode)
        case "convt":
            w, b = parts
            return ops.conv_transpose(x, w, b, layer.stride, layer.pad, layer.groups)
        case "relu":
            return ops.relu(x, layer.leak)
        case "prelu":
            return ops.prelu(x, *parts)
        case "pool":
            pool = ops.max_pool if layer.method == "max" else ops.avg_pool
            return pool(x, layer.size if any(layer.size) else x.shape[-3:-1], layer.stride, layer.pad, layer.rounding)
        case "lrn":
            return ops.lrn(x, *layer.lrn)
        case "bnorm":
            return ops.batch_norm(x, *parts)
        case "softmax":
            return ops.softmax(x)
        case "dropout":
            return x, None
    return ops.concat(xs)


def backward_step(layer: Layer, dy: Any, cache: Any) -> list[Any]:
    """Return the derivatives with respect to a layer's inputs."""
    match layer.kind:
        case "conv":
            return [ops.conv_backward_input(dy, cache)]
        case "convt":
            return [ops.conv_transpose_backward_input(dy, cache)]
        case "relu":
            return [ops.relu_backward(dy, cache)]
        case "prelu":
            return [ops.prelu_backward(dy, cache)]
        case "pool":
            return [ops.max_pool_backward(dy, cache) if layer.method == "max" else ops.avg_pool_backward(dy, cache)]
        case "lrn":
            return [ops.lrn_backward(dy, cache)]
        case "bnorm":
            return [ops.batch_norm_backward(dy, cache)[0]]
        case "softmax":
            return [ops.softmax_backward(dy, cache)]
        case "dropout":
            return [dy]
    return list(ops.concat_backward(dy, cache))


def weight_derivatives(layer: Layer, dy: Any, x: Any, cache: Any) -> tuple[Any, Any]:
    """Return the derivatives with respect to a layer's filters (or gains, or slopes) and bias, None where it has none.

    Parameters
    ----------
    layer : Layer
        Of a kind that has weights.
    dy : ndarray
        Derivative with respect to its output.
    x : ndarray
        Its input.
    cache : object
        From `forward_step`.
    """
    match layer.kind:
        case "conv":
            return ops.conv_backward_filter(dy, x, cache)
        case "convt":
            return ops.conv_transpose_backward_filter(dy, x, cache)
        case "bnorm":
            return ops.batch_norm_backward(dy, cache)[1:]
    return ops.prelu_backward_slope(dy, x, cache), None
