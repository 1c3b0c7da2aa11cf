"""MatConvNet's blocks other than convolutions: pooling, rectifier, normalisations, softmax and its loss, dropout.

Each computes y; given dzdy, the derivative of a scalar z with respect to y, it computes the derivatives with respect to
its inputs instead, from x alone, so nothing needs to be kept in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vggnumpy import ops
from vggnumpy.backend import array_module, check_dtypes, to_host
from vggnumpy.matconvnet.arrays import derivative, four_axes, inside, is_empty, outside
from vggnumpy.ops.geometry import Number

_POOLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "max": (ops.max_pool, ops.max_pool_backward),
    "avg": (ops.avg_pool, ops.avg_pool_backward),
}


def vl_nnpool(
    x: Any, pool: Number, dzdy: Any = None, *, pad: Number = 0, stride: Number = 1, method: str = "max"
) -> Any:
    """Pool: `vggnumpy.ops.max_pool` and `avg_pool` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    pool : int or (vertical, horizontal)
        Size of the windows.
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.
    pad : int or (top, bottom, left, right)
        Smaller than the window.  Padding is part of no window: a mean is that of the pixels inside the image.
    stride : int or (vertical, horizontal)
    method : {"max", "avg"}

    Returns
    -------
    ndarray
        y, H'×W'×C×N with H' = ⌊(H + top + bottom − pool) / stride⌋ + 1; or dzdx in the shape of x.  Of equal maxima the
        first in column order receives the derivative, as in MatConvNet.

    Raises
    ------
    ValueError
        If window, stride, padding and size do not fit together, the method is unknown, or dzdy has not the size of y.
    """
    if method not in _POOLS:
        raise ValueError(f"the method of vl_nnpool must be one of {', '.join(_POOLS)}, got {method!r}")
    forward, backward = _POOLS[method]
    return _forward_or_backward(x, dzdy, lambda images: forward(images, pool, stride, pad), backward)


def vl_nnrelu(x: Any, dzdy: Any = None, *, leak: float = 0.0) -> Any:
    """Rectify: `vggnumpy.ops.relu` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
        With `dzdy`, the output y will do as well, as it is positive where x is.
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.
    leak : float
        Slope on the negative side; not negative.

    Returns
    -------
    ndarray
        y = x where x > 0, leak·x elsewhere; or dzdx = dzdy where x > 0, leak·dzdy elsewhere.

    Raises
    ------
    ValueError
        If dzdy has not the size of x.
    """
    return _forward_or_backward(x, dzdy, lambda images: ops.relu(images, leak), ops.relu_backward)


def vl_nnsoftmax(x: Any, dzdy: Any = None) -> Any:
    """Turn scores into probabilities along the channels: `vggnumpy.ops.softmax` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.

    Returns
    -------
    ndarray
        y = exp(x) / Σ_C exp(x); or dzdx = y (dzdy − Σ_C dzdy·y).

    Raises
    ------
    ValueError
        If dzdy has not the size of x.
    """
    return _forward_or_backward(x, dzdy, ops.softmax, ops.softmax_backward)


def vl_nnnormalize(x: Any, param: Sequence[Any], dzdy: Any = None) -> Any:
    """Normalise across channels: `vggnumpy.ops.lrn` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    param : (N, kappa, alpha, beta)
        An integer and three numbers.
        y[…, k] = x[…, k] · (kappa + alpha · Σ x[…, q]²)^(−beta) with the N channels q around k.
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.

    Returns
    -------
    ndarray
        y, or dzdx.  Exact powers: MatConvNet's own on the CPU are approximate, and differ from these by about 1e-3.

    Raises
    ------
    ValueError
        If `param` is not four numbers in range, or dzdy has not the size of x.
    """
    if len(param) != 4:
        raise ValueError(f"the param of vl_nnnormalize must be N, kappa, alpha and beta, got {param!r}")
    size, kappa, alpha, beta = param
    return _forward_or_backward(x, dzdy, lambda images: ops.lrn(images, size, kappa, alpha, beta), ops.lrn_backward)


def vl_nnbnorm(x: Any, g: Any, b: Any, dzdy: Any = None, *, epsilon: float = 1e-4, moments: Any = None) -> Any:
    """Normalise a batch: `vggnumpy.ops.batch_norm` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    g, b : ndarray of C entries in any shape
        What each channel is multiplied by, and what is added, after it was normalised.
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.
    epsilon : float
        Added to the variance.  (``vl_simplenn`` takes a layer's own, which is 1e-5 unless it says otherwise.)
    moments : ndarray, C×2, optional
        Mean and σ, the square root of variance plus epsilon, instead of those of x.

    Returns
    -------
    y, moments : ndarray
        Without `dzdy`; MATLAB's second output is always there.
    dzdx, dzdg, dzdb, moments : ndarray
        If `dzdy` is given: in the shapes of x, g and b, and the moments that were used.

    Raises
    ------
    ValueError
        If g, b or moments do not fit the channels, σ or ε is not positive, or dzdy has not the size of x.

    Notes
    -----
    With `moments` given they are constants, and dzdx = g/σ · dzdy.  MatConvNet uses the formula of training even then,
    as if the moments were those of x, which is not the derivative of its y.
    """
    given = None if is_empty(moments) else moments
    y, cache = ops.batch_norm(inside(x), g.reshape(-1), b.reshape(-1), given, epsilon)
    if is_empty(dzdy):
        return outside(y, x.ndim), cache.moments
    dzdx, dzdg, dzdb = ops.batch_norm_backward(derivative(dzdy, y.shape), cache)
    return outside(dzdx, x.ndim), dzdg.reshape(g.shape), dzdb.reshape(b.shape), cache.moments


def vl_nndropout(
    x: Any, dzdy: Any = None, *, rate: float = 0.5, mask: Any = None, rng: int | np.random.Generator | None = None
) -> Any:
    """Set entries to zero at random: `vggnumpy.ops.dropout` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape; needs the `mask`.
    rate : float
        Probability of an entry to be dropped.
    mask : ndarray in the shape of x, optional
        What each entry is multiplied by, 0 or 1 / (1 − rate); drawn if it is not given.
    rng : int or Generator, optional
        Seed or source of the mask.  (MATLAB's is global.)

    Returns
    -------
    y, mask : ndarray
        Without `dzdy`; MATLAB's second output is always there.
    dzdx : ndarray
        If `dzdy` is given: dzdy · mask.

    Raises
    ------
    ValueError
        If the rate is out of range, the mask or dzdy has not the size of x, or there is a dzdy and no mask.
    """
    if is_empty(mask):
        if not is_empty(dzdy):
            raise ValueError("vl_nndropout needs the mask of the forward pass to carry dzdy back; give it as mask")
        mask = outside(ops.dropout(array_module(x).ones_like(inside(x)), rate, rng)[0], x.ndim)
    for name, array in (("mask", mask), ("dzdy", dzdy)):
        if not is_empty(array) and array.shape != x.shape:
            raise ValueError(f"the {name} of vl_nndropout must have the size of x, {x.shape}, got {array.shape}")
    if is_empty(dzdy):
        check_dtypes("vl_nndropout", x, mask)
        return x * mask, mask
    check_dtypes("vl_nndropout", x, dzdy, mask)
    return dzdy * mask


def vl_nnsoftmaxloss(x: Any, c: Any, dzdy: Any = None) -> Any:
    """Return the log loss of labels under the softmax of scores: `vggnumpy.ops.softmax_loss` in MatConvNet's terms.

        y = 1/N · Σ w (log Σ_k exp(x[i, j, k, n]) − x[i, j, c, n])     over positions i, j and images n with a label c

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
        Scores.
    c : array of N entries, or H×W×1×N or H×W×2×N
        Labels, 1 to C, of the images or of the positions; 0 where there is none.  A second channel holds weights w.  H
        and W may also be 1, for labels and weights of images.
    dzdy : float, optional
        Derivative with respect to y.

    Returns
    -------
    y : float
        In double precision.  Summed over positions and divided by N alone, whatever labels count.
    dzdx : ndarray
        If `dzdy` is given: in the shape of x.

    Raises
    ------
    ValueError
        If c is no such array, or holds a label that is no integer or larger than C.
    """
    images = inside(x)
    labels, weights = _labels_and_weights(to_host(c) if hasattr(c, "shape") else np.asarray(c), images)
    y, cache = ops.softmax_loss(images, labels, weights)
    if is_empty(dzdy):
        return float(y)
    if np.size(dzdy) != 1:
        raise ValueError(f"the dzdy of vl_nnsoftmaxloss must be a number, as y is, got shape {np.shape(dzdy)}")
    return outside(ops.softmax_loss_backward(float(np.reshape(dzdy, ())), cache), x.ndim)


def _forward_or_backward(x: Any, dzdy: Any, forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """Return y, or with `dzdy` the derivative with respect to x."""
    y, cache = forward(inside(x))
    if is_empty(dzdy):
        return outside(y, x.ndim)
    return outside(backward(derivative(dzdy, y.shape), cache), x.ndim)


def _labels_and_weights(c: np.ndarray, images: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels from 0, negative where there is none, and weights, as `ops.softmax_loss` wants them."""
    n, height, width, classes = images.shape
    if c.size == n:
        labels, weights = c.reshape(n), None
    else:
        full = four_axes(c, "c")
        if full.shape[:2] not in ((1, 1), (height, width)) or full.shape[2] not in (1, 2) or full.shape[3] != n:
            raise ValueError(
                f"labels c must be {n} numbers, {height}×{width}×1×{n} or {height}×{width}×2×{n}, got "
                f"{'×'.join(map(str, c.shape))}"
            )
        labels, *more = (full[:, :, channel].transpose(2, 0, 1) for channel in range(full.shape[2]))
        weights = more[0] if more else None
        if full.shape[:2] == (1, 1):
            labels, weights = labels[:, 0, 0], None if weights is None else weights[:, 0, 0]
    if not np.isfinite(labels).all() or (labels != np.floor(labels)).any() or labels.max() > classes:
        raise ValueError(f"labels c must be integers, 1 to {classes} as x has channels, or 0 where there is none")
    return labels.astype("int64") - 1, weights
