r"""Max and average pooling.

Output position (i, j) looks at the window of rows s·i − top … s·i − top + kh − 1 and the columns likewise, cut to
the image: positions in the padding are not part of any window.  With rounding ``"ceil"`` the last windows may hang
over the edge; they are cut in the same way.

Both passes walk over the kh·kw *taps* of the window, each tap a strided view of the whole image, so there is no
loop over pixels.  The backward pass walks over the same views, which makes it the transpose by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import operator
from vggnumpy.ops.geometry import Number, batched, check_cotangent, four_sides, pair, pool_size


class PoolGeometry(NamedTuple):
    """Window, stride, padding before, and the sizes on both sides of a pooling."""

    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    window: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]


class MaxPoolCache(NamedTuple):
    """Which tap of its window each maximum came from, one byte each, and the geometry."""

    tap: Any
    geometry: PoolGeometry


@operator
def max_pool(
    x: Any, window: Number = 2, stride: Number = 2, pad: Number = 0, rounding: str = "floor"
) -> tuple[Any, MaxPoolCache]:
    """Take the largest entry of every window, channel by channel.

        y[n, i, j, c] = max_{u, v} x[n, s·i + u − top, s·j + v − left, c]    over positions inside the image

    Of equal maxima the first in column order counts (down the first column, then the next), as in MatConvNet.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Features.
    window, stride : int or (vertical, horizontal)
        Size of a window and step between windows.
    pad : int or (top, bottom, left, right)
        Positions added on each side; smaller than the window.
    rounding : {"floor", "ceil"}
        Whether an incomplete last window is dropped or counts.

    Returns
    -------
    y : ndarray, N×H'×W'×C (H'×W'×C for a single image)
        NaN in a window gives NaN.
    cache : MaxPoolCache
        For `max_pool_backward`.

    Raises
    ------
    ValueError
        If window, stride, padding and size do not fit together.
    """
    geometry = pool_geometry(x, window, stride, pad, rounding)
    outside = -np.inf
    images, y = _padded(x, geometry, outside), np.full(_batch_shape(geometry.y_shape), outside, x.dtype)
    tap = np.empty(y.shape, np.min_scalar_type(geometry.window[0] * geometry.window[1] - 1))
    tap[...] = _first_inside(geometry)  # stands where all of a window is −∞, which no comparison notices
    for number, view in _taps(images, geometry):
        tap[view > y] = number
        np.maximum(y, view, out=y)
    return (y if x.ndim == 4 else y[0]), MaxPoolCache(tap, geometry)


@operator
def max_pool_backward(dy: Any, cache: MaxPoolCache) -> Any:
    """Carry the derivative back through `max_pool`.

    Forward, tap t of a window was chosen: y = x[tap].  Backward, that entry of x receives dy and the others
    nothing; where windows overlap, contributions add up.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : MaxPoolCache
        From `max_pool`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.geometry.y_shape, "max_pool_backward")
    dys = batched(dy, "dy")
    zero = dy.dtype.type(0)
    return _scatter(dys, cache.geometry, lambda number: np.where(cache.tap == number, dys, zero))


@operator
def avg_pool(
    x: Any, window: Number = 2, stride: Number = 2, pad: Number = 0, rounding: str = "floor"
) -> tuple[Any, PoolGeometry]:
    """Take the mean of every window, channel by channel.

        y[n, i, j, c] = 1/m(i, j) · Σ_{u, v} x[n, s·i + u − top, s·j + v − left, c]

    where the sum runs over positions inside the image and m(i, j) is their number, so that padding does not
    darken the border (MatConvNet's rule).

    Parameters
    ----------
    x, window, stride, pad, rounding
        As for `max_pool`.

    Returns
    -------
    y : ndarray, N×H'×W'×C (H'×W'×C for a single image)
    cache : PoolGeometry
        For `avg_pool_backward`; it holds no array.

    Raises
    ------
    ValueError
        If window, stride, padding and size do not fit together.
    """
    geometry = pool_geometry(x, window, stride, pad, rounding)
    y = np.zeros(_batch_shape(geometry.y_shape), x.dtype)
    for _, view in _taps(_padded(x, geometry, 0), geometry):
        y += view
    y /= _counts(geometry, x.dtype)
    return (y if x.ndim == 4 else y[0]), geometry


@operator
def avg_pool_backward(dy: Any, cache: PoolGeometry) -> Any:
    """Carry the derivative back through `avg_pool`: every position of a window receives dy / m.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : PoolGeometry
        From `avg_pool`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    """
    check_cotangent(dy, cache.y_shape, "avg_pool_backward")
    dys = batched(dy, "dy")
    share = dys / _counts(cache, dy.dtype)
    return _scatter(dys, cache, lambda number: share)


def pool_geometry(x: Any, window: Number, stride: Number, pad: Number, rounding: str) -> PoolGeometry:
    """Return the geometry of a pooling of `x`, checked; the parameters are those of `max_pool`."""
    size, step, sides = pair(window, "window"), pair(stride, "stride"), four_sides(pad)
    n, height, width, channels = batched(x, "x").shape
    y_shape = (
        n,
        pool_size(height, size[0], sides.top, sides.bottom, step[0], rounding),
        pool_size(width, size[1], sides.left, sides.right, step[1], rounding),
        channels,
    )
    return PoolGeometry(x.shape, y_shape[4 - x.ndim :], size, step, (sides.top, sides.left))


def _batch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (4 - len(shape)) + tuple(shape)


def _extent(geometry: PoolGeometry) -> tuple[int, int]:
    """Rows and columns that the windows span, from the first's start to the last's end."""
    rows, columns = geometry.y_shape[-3:-1]
    (kh, kw), (sy, sx) = geometry.window, geometry.stride
    return (rows - 1) * sy + kh, (columns - 1) * sx + kw


def _placement(geometry: PoolGeometry) -> tuple[slice, slice, slice, slice]:
    """Where the image lies in the span of the windows, and which part of the image that is."""
    (top, left), (rows, columns) = geometry.before, _extent(geometry)
    height = min(geometry.x_shape[-3], rows - top)
    width = min(geometry.x_shape[-2], columns - left)
    return slice(top, top + height), slice(left, left + width), slice(0, height), slice(0, width)


def _padded(x: Any, geometry: PoolGeometry, outside: float) -> Any:
    """Return the images cut or extended to the span of the windows; positions outside hold `outside`."""
    images = batched(x, "x")
    span_rows, span_columns, rows, columns = _placement(geometry)
    if (rows.stop, columns.stop) == _extent(geometry):
        return images[:, rows, columns]
    padded = np.full((images.shape[0], *_extent(geometry), images.shape[3]), outside, x.dtype)
    padded[:, span_rows, span_columns] = images[:, rows, columns]
    return padded


def _taps(images: Any, geometry: PoolGeometry) -> Iterator[tuple[int, Any]]:
    """Yield the taps of the window in column order, each with the view of the images it sees."""
    (kh, kw), (sy, sx) = geometry.window, geometry.stride
    rows, columns = geometry.y_shape[-3:-1]
    for v in range(kw):
        for u in range(kh):
            view = images[:, u : u + (rows - 1) * sy + 1 : sy, v : v + (columns - 1) * sx + 1 : sx]
            yield v * kh + u, view


def _first_inside(geometry: PoolGeometry) -> Any:
    """Return H'×W'×1: the number of each window's first tap that lies inside the image."""
    (top, left), (sy, sx) = geometry.before, geometry.stride
    u = np.maximum(top - sy * np.arange(geometry.y_shape[-3]), 0)
    v = np.maximum(left - sx * np.arange(geometry.y_shape[-2]), 0)
    return (v[None, :] * geometry.window[0] + u[:, None])[..., None]


def _counts(geometry: PoolGeometry, dtype: Any) -> Any:
    """Return H'×W'×1: how many positions of each window lie inside the image."""
    inside = []
    for axis in (0, 1):
        start = np.arange(geometry.y_shape[axis - 3]) * geometry.stride[axis] - geometry.before[axis]
        end = np.minimum(start + geometry.window[axis], geometry.x_shape[axis - 3])
        inside.append(end - np.maximum(start, 0))
    return np.outer(*inside).astype(dtype)[..., None]


def _scatter(dys: Any, geometry: PoolGeometry, part: Any) -> Any:
    """Add ``part(tap number)`` to the pixels each tap sees; what fell outside the image is dropped."""
    spanned = np.zeros((dys.shape[0], *_extent(geometry), dys.shape[3]), dys.dtype)
    for number, view in _taps(spanned, geometry):
        view += part(number)
    span_rows, span_columns, rows, columns = _placement(geometry)
    shape = _batch_shape(geometry.x_shape)
    if (rows.stop, columns.stop) == shape[1:3] and (span_rows.stop, span_columns.stop) == spanned.shape[1:3]:
        dx = spanned[:, span_rows, span_columns]
    else:
        dx = np.zeros(shape, dys.dtype)
        dx[:, rows, columns] = spanned[:, span_rows, span_columns]
    return dx if len(geometry.x_shape) == 4 else dx[0]
