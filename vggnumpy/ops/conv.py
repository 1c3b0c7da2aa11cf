r"""Convolution, as neural networks mean it (a correlation), and its two derivatives.

Notation: x is N×H×W×C, the filters w are kh×kw×C/G×K, the bias b has K entries, y is N×H'×W'×K.  With stride s,
dilation d, G groups and x̂ the padded input,

    y[n, i, j, k] = b[k] + Σ_{u, v, c} x̂[n, s·i + d·u, s·j + d·v, c] · w[u, v, c, k]                    (1)

where c runs over the channels of k's group.  For one image, write the window that belongs to output position
p = (i, j) as row p of a matrix X with kh·kw·C columns (*im2col*), and w as a matrix W with as many rows.  The
forward pass is then three steps:

    1. x̂ = pad(x)
    2. X = im2col(x̂)          X[(i, j), (u, v, c)] = x̂[s·i + d·u, s·j + d·v, c]
    3. Y = X W + b

and every derivative follows from the same steps in reverse.  Let dY be the derivative of some scalar L with
respect to Y, that is dL = Σ dY[p, k] δY[p, k]:

    3. δY = δX W + X δW + δb    gives   dX = dY Wᵀ,   dW = Xᵀ dY,   db = Σ_p dY[p, :]
    2. im2col only copies        gives   dx̂[a, e, c] = Σ of all dX[(i, j), (u, v, c)]
                                                         with s·i + d·u = a and s·j + d·v = e
    1. pad_backward

dX needs the filters but not x: a network that is only differentiated with respect to its image keeps no input
of any convolution.  X is never held for a whole image: strips of output rows pass through one buffer of a few
megabytes, and each product goes to BLAS.

Sources: the three identities are those of MatConvNet's manual (Vedaldi and Lenc 2015, section 6.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from vggnumpy.backend import check_dtypes, operator
from vggnumpy.ops.geometry import Number, batched, check_cotangent, conv_size, four_sides, pair
from vggnumpy.ops.pad import PadCache, pad, pad_backward

# Bytes of X in work at one time. Measured on two cores: 1 MB loses a third in the products, 16 MB a quarter to
# the cache.
_STRIP_BYTES = 4 << 20


class ConvCache(NamedTuple):
    """What `conv` keeps for its derivatives: the filters and the geometry, but not x."""

    w: Any
    padding: PadCache
    stride: tuple[int, int]
    dilate: tuple[int, int]
    y_shape: tuple[int, ...]


@operator
def conv(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Number = 1,
    pad: Number = 1,
    dilate: Number = 1,
    pad_mode: str = "zero",
) -> tuple[Any, ConvCache]:
    """Convolve images with a bank of filters: equation (1) of this module.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Images or features.
    w : ndarray, kh×kw×(C/G)×K
        Filters.  The number of groups G is what C / w.shape[2] makes it; filter k sees the channels of group
        ⌊k·G/K⌋ only.
    b : ndarray of K, optional
        Bias; none adds nothing.
    stride, dilate : int or (vertical, horizontal)
        Step between windows, and between the pixels of one window.
    pad : int or (top, bottom, left, right)
        Pixels added on each side.  The default, 1, keeps the size under a 3×3 filter.
    pad_mode : {"zero", "reflect", "replicate"}
        What they hold; see `vggnumpy.ops.pad`.

    Returns
    -------
    y : ndarray, N×H'×W'×K (H'×W'×K for a single image)
        H' = ⌊(H + top + bottom − ((kh − 1)·dilate + 1)) / stride⌋ + 1, W' likewise.
    cache : ConvCache
        For `conv_backward_input` and `conv_backward_filter`.

    Raises
    ------
    ValueError
        If shapes, stride, padding or dilation do not fit together.
    TypeError
        If the arrays differ in dtype or kind.
    """
    step, spread = pair(stride, "stride"), pair(dilate, "dilate")
    check_filters(x, w, b)
    sides = four_sides(pad)
    heights = conv_size(x.shape[-3], w.shape[0], sides.top, sides.bottom, step[0], spread[0])
    widths = conv_size(x.shape[-2], w.shape[1], sides.left, sides.right, step[1], spread[1])
    padded, padding = _pad(x, sides, pad_mode)
    images = batched(padded, "x")
    filters = w.shape[3]
    y = np.empty((images.shape[0], heights, widths, filters), x.dtype)
    for n, rows, windows in _strips(images, w.shape, heights, widths, step, spread):
        product = y[n, rows].reshape(-1, filters)
        for channels, outputs in _groups(x.shape[-1], w.shape):
            matrix = windows[..., channels].reshape(product.shape[0], -1)
            np.matmul(matrix, w[..., outputs].reshape(matrix.shape[1], -1), out=product[:, outputs])
        if b is not None:
            product += b
    if x.ndim == 3:
        y = y[0]
    return y, ConvCache(w, padding, step, spread, y.shape)


@operator
def conv_backward_input(dy: Any, cache: ConvCache) -> Any:
    """Carry the derivative back to the input of `conv`.

    Steps 3, 2, 1 of the module in reverse: dX = dY Wᵀ strip by strip and column (u, v) by column, each of which is
    added to the pixels of dx̂ it was copied from; then the border is folded back by `pad_backward`.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : ConvCache
        From `conv`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than the filters.
    """
    check_cotangent(dy, cache.y_shape, "conv_backward_input")
    check_dtypes("conv_backward_input", dy, cache.w)
    w, (sy, sx), (ey, ex) = cache.w, cache.stride, cache.dilate
    kh, kw = w.shape[:2]
    dpadded = np.zeros(cache.padding.y_shape, dy.dtype)
    dimages, dys = batched(dpadded, "x"), batched(dy, "dy")
    heights, widths = dys.shape[1:3]
    for n, rows, windows in _strips(dimages, w.shape, heights, widths, cache.stride, cache.dilate):
        strip = dys[n, rows].reshape(-1, w.shape[3])
        for u in range(kh):
            top = rows.start * sy + u * ey
            for v in range(kw):
                left = v * ex
                seen = dimages[
                    n, top : top + (len(windows) - 1) * sy + 1 : sy, left : left + (widths - 1) * sx + 1 : sx
                ]
                for channels, outputs in _groups(windows.shape[-1], w.shape):
                    column = strip[:, outputs] @ w[u, v, :, outputs].T
                    seen[..., channels] += column.reshape(*windows.shape[:2], -1)
    return pad_backward(dpadded, cache.padding)


@operator
def conv_backward_filter(dy: Any, x: Any, cache: ConvCache) -> tuple[Any, Any]:
    """Return the derivatives with respect to the filters and the bias of `conv`.

        dW = Σ_n Xᵀ dY,    db = Σ_{n, p} dY[p, :]

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    x : ndarray
        The input that `conv` was given; the cache does not keep it.
    cache : ConvCache
        From `conv`.

    Returns
    -------
    dw : ndarray, kh×kw×(C/G)×K
    db : ndarray of K

    Raises
    ------
    ValueError
        If `dy` or `x` has another shape than in the forward pass.
    """
    check_cotangent(dy, cache.y_shape, "conv_backward_filter")
    check_dtypes("conv_backward_filter", dy, cache.w)
    check_input(x, cache)
    w = cache.w
    images = batched(_pad(x, cache.padding.sides, cache.padding.mode)[0], "x")
    dys = batched(dy, "dy")
    dw = np.zeros_like(w)
    for n, rows, windows in _strips(images, w.shape, dys.shape[1], dys.shape[2], cache.stride, cache.dilate):
        strip = dys[n, rows].reshape(-1, w.shape[3])
        for channels, outputs in _groups(x.shape[-1], w.shape):
            matrix = windows[..., channels].reshape(strip.shape[0], -1)
            dw[..., outputs] += (matrix.T @ strip[:, outputs]).reshape(*w.shape[:3], -1)
    return dw, dys.sum(axis=(0, 1, 2), dtype="float64").astype(dy.dtype)


_pad = pad  # `pad` is also the field's name for an argument of `conv`


def check_filters(x: Any, w: Any, b: Any) -> None:
    """Raise ``ValueError`` unless filters and bias fit the channels of `x`."""
    batched(x, "x")
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(f"filters must be kh×kw×C×K without an empty axis, got shape {tuple(w.shape)}")
    channels, depth, filters = x.shape[-1], w.shape[2], w.shape[3]
    if channels % depth or filters % (channels // depth):
        raise ValueError(
            f"filters of depth {depth}, {filters} of them, do not fit {channels} channels: the depth must divide "
            "the channels, and the number of groups the number of filters"
        )
    if b is not None and tuple(b.shape) != (filters,):
        raise ValueError(f"the bias must have {filters} entries, one a filter, got shape {tuple(b.shape)}")


def check_input(x: Any, cache: ConvCache) -> None:
    """Raise ``ValueError`` unless `x` has the shape of what `conv` was given."""
    if x.shape != cache.padding.x_shape:
        raise ValueError(
            f"conv_backward_filter: x must be the forward pass's, of shape {cache.padding.x_shape}, got {x.shape}"
        )


def _groups(channels: int, w_shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield for each group the channels it reads and the filters it feeds."""
    depth, filters = w_shape[2:]
    groups = channels // depth
    share = filters // groups
    for g in range(groups):
        yield slice(g * depth, (g + 1) * depth), slice(g * share, (g + 1) * share)


def _strips(
    images: Any,
    w_shape: tuple[int, ...],
    heights: int,
    widths: int,
    stride: tuple[int, int],
    dilate: tuple[int, int],
) -> Iterator[tuple[int, slice, Any]]:
    """Yield (image number, output rows, windows) so that the windows of one strip fill `_STRIP_BYTES` at most.

    The windows are a view of shape rows×W'×kh×kw×C into the padded image; reshaping it to a matrix is im2col.
    The last pixel it reads, s·(H' − 1) + d·(kh − 1), is inside because `conv_size` rounded down.
    """
    kh, kw = w_shape[:2]
    channels = images.shape[3]
    row_bytes = widths * kh * kw * channels * images.itemsize
    height = max(1, _STRIP_BYTES // row_bytes)
    _, sh, sw, sc = images.strides
    strides = (sh * stride[0], sw * stride[1], sh * dilate[0], sw * dilate[1], sc)
    for n in range(images.shape[0]):
        for first in range(0, heights, height):
            rows = slice(first, min(first + height, heights))
            shape = (rows.stop - first, widths, kh, kw, channels)
            yield n, rows, as_strided(images[n, first * stride[0] :], shape, strides, writeable=False)
