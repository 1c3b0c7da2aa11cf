"""``vl_nnconv`` and ``vl_nnconvt``: convolution and transposed convolution in MatConvNet's terms."""

from __future__ import annotations

from typing import Any

from vggnumpy import ops
from vggnumpy.backend import array_module, check_dtypes
from vggnumpy.matconvnet.arrays import derivative, four_axes, inside, is_empty, outside
from vggnumpy.ops.conv import ConvCache
from vggnumpy.ops.geometry import Number, conv_size, four_sides, pair
from vggnumpy.ops.pad import PadCache


def vl_nnconv(
    x: Any,
    f: Any,
    b: Any,
    dzdy: Any = None,
    *,
    pad: Number = 0,
    stride: Number = 1,
    dilate: Number = 1,
    NoDerData: bool = False,
    NoDerFilters: bool = False,
    NoDerBiases: bool = False,
) -> Any:
    """Convolve, or carry a derivative back through the convolution: `vggnumpy.ops.conv` in MatConvNet's terms.

        y[i, j, k, n] = b[k] + Σ_{u, v, c} x̂[s·i + d·u, s·j + d·v, c, n] · f[u, v, c, k]

    with the stride s, the dilation d and x padded with zeros to x̂; a correlation, as all networks have it.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
        Images or features.
    f : ndarray, kh×kw×(C/G)×K, or empty
        Filters; the number of groups G is what C and the third axis make it.  Empty (None or of size 0), every channel
        is its own filter of one pixel: x is padded, subsampled and b added.
    b : ndarray of K entries in any shape, or empty
        Bias; empty adds nothing.
    dzdy : ndarray, optional
        Derivative of a scalar z with respect to y, of y's shape.  With it, derivatives are returned instead of y.
    pad : int or (top, bottom, left, right)
    stride, dilate : int or (vertical, horizontal)
    NoDerData, NoDerFilters, NoDerBiases : bool
        Leave out a derivative; None takes its place.

    Returns
    -------
    y : ndarray, H'×W'×K×N
        H' = ⌊(H + top + bottom − ((kh − 1)·dilate + 1)) / stride⌋ + 1, W' likewise.
    dzdx, dzdf, dzdb : ndarray or None
        If `dzdy` is given: in the shapes of x, f and b, None for what is empty.

    Raises
    ------
    ValueError
        If the padding is negative, a stride or dilation below 1, the filters larger than the padded image, their depth
        does not divide the channels, the groups do not divide the filters, b has not one entry for each filter, or dzdy
        has not the size of y.
    TypeError
        If the arrays are not all single or all double.

    Notes
    -----
    Of a 1×1 image without padding and with empty filters MatConvNet leaves the result uninitialised; here it is x + b.
    """
    images, bias = inside(x), None if is_empty(b) else b.reshape(-1)
    if is_empty(f):
        return _subsample(images, bias, b, dzdy, (pad, stride, dilate), (NoDerData, NoDerBiases), x.ndim)
    w = four_axes(f, "f")
    cache = _cache(images, w, bias, pad, stride, dilate)
    if is_empty(dzdy):
        return outside(ops.conv(images, w, bias, stride, pad, dilate)[0], x.ndim)
    dy = derivative(dzdy, cache.y_shape)
    check_dtypes("vl_nnconv", images, w, dy)
    dzdx = None if NoDerData else outside(ops.conv_backward_input(dy, cache), x.ndim)
    dzdf = None if NoDerFilters else ops.conv_backward_filter(dy, images, cache)[0].reshape(f.shape)
    return dzdx, dzdf, None if bias is None or NoDerBiases else _channel_sums(dy).reshape(b.shape)


def vl_nnconvt(
    x: Any, f: Any, b: Any, dzdy: Any = None, *, upsample: Number = 1, crop: Number = 0, numGroups: int = 1
) -> Any:
    """Convolve with the transposed operator, which enlarges: `vggnumpy.ops.conv_transpose` in MatConvNet's terms.

    Parameters
    ----------
    x : ndarray, H×W×C×N or H×W×C, float32 or float64
    f : ndarray, kh×kw×K×C
        Filters, with the channels of x last.
    b : ndarray of numGroups·K entries in any shape, or empty
    dzdy : ndarray, optional
        Derivative with respect to y, of its shape.
    upsample : int or (vertical, horizontal)
    crop : int or (top, bottom, left, right)
    numGroups : int

    Returns
    -------
    y : ndarray, H'×W'×(numGroups·K)×N
        H' = upsample·(H − 1) + kh − top − bottom, W' likewise.
    dzdx, dzdf, dzdb : ndarray or None
        If `dzdy` is given: in the shapes of x, f and b, None for an empty b.

    Raises
    ------
    ValueError
        If shapes, groups, upsampling and crop do not fit together, or dzdy has not the size of y.
    TypeError
        If the arrays are not all single or all double.
    """
    images, w, bias = inside(x), four_axes(f, "f"), None if is_empty(b) else b.reshape(-1)
    y, cache = ops.conv_transpose(images, w, bias, upsample, crop, numGroups)
    if is_empty(dzdy):
        return outside(y, x.ndim)
    dy = derivative(dzdy, y.shape)
    dzdx = outside(ops.conv_transpose_backward_input(dy, cache), x.ndim)
    dzdf, dzdb = ops.conv_transpose_backward_filter(dy, images, cache)
    return dzdx, dzdf.reshape(f.shape), None if bias is None else dzdb.reshape(b.shape)


def _cache(images: Any, w: Any, bias: Any, pad: Number, stride: Number, dilate: Number) -> ConvCache:
    """Return what `ops.conv` would keep, without convolving: MatConvNet's backward pass is a call of its own."""
    depth, filters, channels = w.shape[2], w.shape[3], images.shape[3]
    if channels % depth:
        raise ValueError(f"filters f of depth {depth} do not divide the {channels} channels of x into groups")
    groups = channels // depth
    if filters % groups:
        raise ValueError(f"{groups} groups, as x and f make them, do not divide the {filters} filters of f")
    if bias is not None and bias.size != filters:
        raise ValueError(f"b must have {filters} entries, one for each filter of f, got {bias.size}")
    sides, step, spread = four_sides(pad), pair(stride, "stride"), pair(dilate, "dilate")
    n, height, width, _ = images.shape
    shape = (
        n,
        conv_size(height, w.shape[0], sides.top, sides.bottom, step[0], spread[0]),
        conv_size(width, w.shape[1], sides.left, sides.right, step[1], spread[1]),
        filters,
    )
    padded = (n, height + sides.top + sides.bottom, width + sides.left + sides.right, channels)
    return ConvCache(w, PadCache(images.shape, padded, sides, "zero"), step, spread, shape)


def _subsample(
    images: Any,
    bias: Any,
    b: Any,
    dzdy: Any,
    geometry: tuple[Number, Number, Number],
    skip: tuple[bool, bool],
    axes: int,
) -> Any:
    """Do what `vl_nnconv` does with empty filters: y[i, j] = x̂[s·i, s·j] + b, each channel for itself."""
    pad, stride, dilate = geometry
    channels = images.shape[3]
    if pair(dilate, "dilate") != (1, 1):
        raise ValueError(f"dilate must be 1 if the filters f are empty, got {dilate!r}")
    if bias is not None and bias.size != channels:
        raise ValueError(f"b must have {channels} entries, one for each channel of x as f is empty, got {bias.size}")
    check_dtypes("vl_nnconv", images, *(() if bias is None else (bias,)))
    step = pair(stride, "stride")
    padded, cache = ops.pad(images, pad)
    kept = (slice(None), slice(None, None, step[0]), slice(None, None, step[1]))
    if is_empty(dzdy):
        return outside(padded[kept].copy() if bias is None else padded[kept] + bias, axes)
    dy = derivative(dzdy, padded[kept].shape)
    check_dtypes("vl_nnconv", images, dy)
    dpadded = array_module(dy).zeros(padded.shape, dy.dtype)
    dpadded[kept] = dy
    dzdx = None if skip[0] else outside(ops.pad_backward(dpadded, cache), axes)
    return dzdx, None, None if bias is None or skip[1] else _channel_sums(dy).reshape(b.shape)


def _channel_sums(dy: Any) -> Any:
    """Return for every channel the sum over positions and images: the derivative with respect to a bias."""
    return dy.reshape(-1, dy.shape[-1]).sum(axis=0, dtype="float64").astype(dy.dtype)
