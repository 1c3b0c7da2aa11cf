"""The operators once more as plain loops over single numbers: slow, and simple enough to be read as the definition.

Everything is N×H×W×C.  Nothing here imports the package.
"""

from collections.abc import Iterator

import numpy as np


def source_index(i: int, size: int, mode: str) -> int | None:
    """Return the row inside 0 … size − 1 that row `i` of a padded image was copied from; None for a zero."""
    if 0 <= i < size:
        return i
    if mode == "zero":
        return None
    if mode == "replicate":
        return 0 if i < 0 else size - 1
    if size == 1:
        return 0
    while not 0 <= i < size:  # mirrored at the first and last row, as often as it takes
        i = -i if i < 0 else 2 * (size - 1) - i
    return i


def padded_pairs(x_shape, sides, mode) -> Iterator[tuple]:
    """Yield (index into the padded images, index into the images) of every entry that is a copy."""
    top, bottom, left, right = sides
    n, height, width, channels = x_shape
    for m, i, j, c in np.ndindex(n, top + height + bottom, left + width + right, channels):
        a, e = source_index(i - top, height, mode), source_index(j - left, width, mode)
        if a is not None and e is not None:
            yield (m, i, j, c), (m, a, e, c)


def pad(x, sides, mode):
    top, bottom, left, right = sides
    y = np.zeros((x.shape[0], top + x.shape[1] + bottom, left + x.shape[2] + right, x.shape[3]), x.dtype)
    for to, of in padded_pairs(x.shape, sides, mode):
        y[to] = x[of]
    return y


def pad_backward(dy, x_shape, sides, mode):
    dx = np.zeros(x_shape, dy.dtype)
    for to, of in padded_pairs(x_shape, sides, mode):
        dx[of] += dy[to]
    return dx


def conv_products(x_shape, w_shape, stride, sides, dilate, mode) -> Iterator[tuple]:
    """Yield (index into y, index into x, index into w) of every product of which a convolution is the sum."""
    top, bottom, left, right = sides
    n, height, width, channels = x_shape
    kh, kw, depth, filters = w_shape
    rows = conv_size(height, kh, top, bottom, stride[0], dilate[0])
    columns = conv_size(width, kw, left, right, stride[1], dilate[1])
    share = filters // (channels // depth)
    for m, i, j, k, u, v, c in np.ndindex(n, rows, columns, filters, kh, kw, depth):
        a = source_index(i * stride[0] + u * dilate[0] - top, height, mode)
        e = source_index(j * stride[1] + v * dilate[1] - left, width, mode)
        if a is not None and e is not None:
            yield (m, i, j, k), (m, a, e, k // share * depth + c), (u, v, c, k)


def conv_size(size, kernel, before, after, stride, dilate):
    """Return how many windows fit, by trying them."""
    starts = range(0, size + before + after, stride)
    return sum(start + (kernel - 1) * dilate < size + before + after for start in starts)


def conv(x, w, b, stride=(1, 1), sides=(1, 1, 1, 1), dilate=(1, 1), mode="zero"):
    rows = conv_size(x.shape[1], w.shape[0], *sides[:2], stride[0], dilate[0])
    columns = conv_size(x.shape[2], w.shape[1], *sides[2:], stride[1], dilate[1])
    y = np.zeros((x.shape[0], rows, columns, w.shape[3]))
    if b is not None:
        y += b
    for o, p, f in conv_products(x.shape, w.shape, stride, sides, dilate, mode):
        y[o] += float(x[p]) * float(w[f])
    return y


def conv_backward(dy, x, w, stride=(1, 1), sides=(1, 1, 1, 1), dilate=(1, 1), mode="zero"):
    """Return dx, dw, db: the product x·w in y passes dy on to either factor."""
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[3])
    for o, p, f in conv_products(x.shape, w.shape, stride, sides, dilate, mode):
        dx[p] += float(dy[o]) * float(w[f])
        dw[f] += float(dy[o]) * float(x[p])
    for o in np.ndindex(dy.shape):
        db[o[3]] += float(dy[o])
    return dx, dw, db


def pool_starts(size, window, before, after, stride, rounding) -> list[int]:
    """Return the row at which each window starts, by walking until the next one does not count."""
    starts = [-before]
    while True:
        start = starts[-1] + stride
        if rounding == "floor" and start + window > size + after:
            return starts
        if rounding == "ceil" and (starts[-1] + window >= size + after or start >= size):
            return starts
        starts.append(start)


def pool_windows(x_shape, window, stride, sides, rounding) -> Iterator[tuple]:
    """Yield (index into y, indices into x of its window inside the image, in column order)."""
    top, bottom, left, right = sides
    n, height, width, channels = x_shape
    rows = pool_starts(height, window[0], top, bottom, stride[0], rounding)
    columns = pool_starts(width, window[1], left, right, stride[1], rounding)
    for m, (i, start), (j, begin), c in (
        (m, row, column, c)
        for m in range(n)
        for row in enumerate(rows)
        for column in enumerate(columns)
        for c in range(channels)
    ):
        inside = [
            (m, a, e, c)
            for e in range(begin, begin + window[1])
            for a in range(start, start + window[0])
            if 0 <= a < height and 0 <= e < width
        ]
        yield (m, i, j, c), inside


def _first_maximum(x, inside):
    best = inside[0]
    for index in inside[1:]:
        if x[index] > x[best]:
            best = index
    return best


def pool(method, x, window, stride, sides, rounding):
    found = {}
    for o, inside in pool_windows(x.shape, window, stride, sides, rounding):
        if method == "max":
            found[o] = x[_first_maximum(x, inside)]
        else:
            found[o] = sum(float(x[index]) for index in inside) / len(inside)
    shape = [1 + max(o[axis] for o in found) for axis in range(4)]
    y = np.zeros(shape)
    for o, value in found.items():
        y[o] = value
    return y


def pool_backward(method, dy, x, window, stride, sides, rounding):
    dx = np.zeros(x.shape)
    for o, inside in pool_windows(x.shape, window, stride, sides, rounding):
        if method == "max":
            dx[_first_maximum(x, inside)] += dy[o]
        else:
            for index in inside:
                dx[index] += dy[o] / len(inside)
    return dx
