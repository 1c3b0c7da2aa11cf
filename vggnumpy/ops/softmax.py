r"""Softmax along the channels, and its log loss.

At every position for itself,

    p_c = exp(x_c) / Σ_k exp(x_k)                                                                           (1)

and the loss of a label l there is −log p_l.  Neither changes if the largest x is subtracted from all of them first;
then no exponential exceeds 1, one of them is 1, and nothing overflows or is divided by zero.

Derivatives.  With E = Σ_k exp(x_k), δ log E = Σ_k p_k δx_k, so from (1)

    δ log p_c = δx_c − Σ_k p_k δx_k                                                                         (2)

and δp_c = p_c δ log p_c gives, for a scalar L with δL = Σ dy_c δp_c,

    dx_c = p_c (dy_c − Σ_k dy_k p_k)                                                                        (3)

The loss of N images sums over their positions and is divided by N, not by the number of positions (MatConvNet's
``vl_nnsoftmaxloss``); w weighs the positions:

    L = (1/N) Σ_{n, i, j} w (log Σ_c exp(x_c) − x_l)                                                        (4)

By (2), a position's loss moves by Σ_k p_k δx_k − δx_l, so with dvalue the derivative of some scalar by L

    dx_c = dvalue · (w/N) (p_c − [c = l])                                                                   (5)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vggnumpy.backend import array_module, check_dtypes, operator
from vggnumpy.ops.geometry import batched, check_cotangent


class SoftmaxCache(NamedTuple):
    """The output itself."""

    y: Any


class SoftmaxLossCache(NamedTuple):
    """Probabilities in the shape of x; label (0 where there is none) and weight (0 there) of each position."""

    probabilities: Any
    labels: Any
    weights: Any


@operator(any_array=True)
def softmax(x: Any) -> tuple[Any, SoftmaxCache]:
    """Turn scores into probabilities along the channels: equation (1) of this module.

    Parameters
    ----------
    x : ndarray, …×C, float32 or float64
        Scores.

    Returns
    -------
    y : ndarray
        Same shape and dtype; not negative, and 1 summed over the channels.
    cache : SoftmaxCache
        For `softmax_backward`; it keeps y, which must not be written to until then.
    """
    y = x - x.max(axis=-1, keepdims=True)
    array_module(x).exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True, dtype="float64").astype(y.dtype)
    return y, SoftmaxCache(y)


@operator(any_array=True)
def softmax_backward(dy: Any, cache: SoftmaxCache) -> Any:
    """Carry the derivative back through `softmax`: equation (3) of this module.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : SoftmaxCache
        From `softmax`.

    Returns
    -------
    dx : ndarray
        y (dy − Σ_c dy y), of the shape of x.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than y.
    """
    y = cache.y
    check_cotangent(dy, y.shape, "softmax_backward")
    check_dtypes("softmax_backward", dy, y)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True, dtype="float64").astype(y.dtype))


@operator(any_array=True, arrays=lambda x, labels=None, weights=None: (x, weights))
def softmax_loss(x: Any, labels: Any, weights: Any = None) -> tuple[float, SoftmaxLossCache]:
    """Return the log loss of labels under the softmax of scores: equation (4) of this module.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Scores.
    labels : array of integers, N×H×W or N (for a single image H×W, or one number)
        Class of each position, or of each image and all its positions: 0 … C − 1.  Negative labels do not count.
    weights : ndarray in the shape of `labels`, optional
        Weight of each; 1 by default.

    Returns
    -------
    value : float
        In float64; divided by N alone, whatever labels count.
    cache : SoftmaxLossCache
        For `softmax_loss_backward`.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If labels or weights do not fit `x`, or a label is C or more.
    """
    xp, images = array_module(x), batched(x, "x").shape[0]
    given = _checked_labels(labels, x)
    classes = _one_a_position(given, x, "labels")
    if weights is None:
        weigh = xp.ones(classes.shape, x.dtype)
    else:
        weigh = xp.asarray(weights, x.dtype)
        if weigh.shape != given.shape:
            raise ValueError(f"weights must have the shape of the labels, {given.shape}, got {weigh.shape}")
        weigh = _one_a_position(weigh, x, "weights")
    weigh, classes = xp.where(classes < 0, x.dtype.type(0), weigh), xp.maximum(classes, 0)
    shifted = x - x.max(axis=-1, keepdims=True)
    probabilities = xp.exp(shifted)
    total = probabilities.sum(axis=-1, dtype="float64")
    probabilities /= total[..., None].astype(x.dtype)
    losses = xp.log(total) - xp.take_along_axis(shifted, classes[..., None], axis=-1)[..., 0]
    counting = xp.where(weigh != 0, losses, 0.0)  # leaves out infinite losses and NaN where nobody asks for them
    value = xp.dot(counting.reshape(-1), weigh.reshape(-1).astype("float64")) / images
    return value, SoftmaxLossCache(probabilities, classes, weigh)


@operator(any_array=True, arrays=lambda dvalue, cache: (cache.probabilities,))
def softmax_loss_backward(dvalue: float, cache: SoftmaxLossCache) -> Any:
    """Carry the derivative back through `softmax_loss`: equation (5) of this module.

    Parameters
    ----------
    dvalue : float
        Derivative with respect to the value; 1 for the gradient of the loss itself.
    cache : SoftmaxLossCache
        From `softmax_loss`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape and dtype; 0 at positions that do not count.
    """
    probabilities, labels, weights = cache
    xp, classes = array_module(probabilities), probabilities.shape[-1]
    scale = (weights * (float(dvalue) / batched(probabilities, "x").shape[0]))[..., None]
    dx = xp.where(scale != 0, probabilities * scale, scale)
    dx -= xp.where(labels[..., None] == xp.arange(classes), scale, xp.zeros_like(scale))
    return dx


def _checked_labels(labels: Any, x: Any) -> Any:
    """Return the labels as an array beside `x`, of integers below its number of channels."""
    given, classes = array_module(x).asarray(labels), x.shape[-1]
    if given.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, 0 to {classes - 1} or negative to be left out, got {given.dtype}")
    if given.size and int(given.max()) >= classes:
        raise ValueError(f"labels must be below {classes}, the number of channels, and count from 0; got {given.max()}")
    return given.astype("int64")


def _one_a_position(values: Any, x: Any, name: str) -> Any:
    """Return one value for every position of `x`, from one for every position or one for every image."""
    positions = x.shape[:-1]
    if values.shape == positions[:-2]:
        values = values[..., None, None]
    elif values.shape != positions:
        raise ValueError(
            f"{name} must have the shape {tuple(positions)}, one a position, or {tuple(positions[:-2])}, one an "
            f"image, got {tuple(values.shape)}"
        )
    return array_module(x).broadcast_to(values, positions)
