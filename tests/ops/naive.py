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


def rectifier(x, dy, slopes):
    """Return y, dx and dslopes of the rectifier with one slope a channel."""
    y, dx, dslopes = np.zeros(x.shape), np.zeros(x.shape), np.zeros(len(slopes))
    for i in np.ndindex(x.shape):
        factor = 1.0 if x[i] > 0 else float(slopes[i[-1]])
        y[i], dx[i] = factor * float(x[i]), factor * float(dy[i])
        if not x[i] > 0:
            dslopes[i[-1]] += float(dy[i]) * float(x[i])
    return y, dx, dslopes


def lrn_window(k, size, channels) -> list[int]:
    """Return the channels that the normalisation of channel `k` looks at."""
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    return [q for q in range(k - before, k + after + 1) if 0 <= q < channels]


def lrn(x, dy, size, kappa, alpha, beta):
    """Return y and dx; every derivative ∂y_k/∂x_q of the product x_k · s_k^(−β) by the product rule."""
    y, dx, channels = np.zeros(x.shape), np.zeros(x.shape), x.shape[-1]
    for i in np.ndindex(x.shape[:-1]):
        for k in range(channels):
            window = lrn_window(k, size, channels)
            s = kappa + alpha * sum(float(x[(*i, q)]) ** 2 for q in window)
            y[(*i, k)] = float(x[(*i, k)]) * s**-beta
            dx[(*i, k)] += float(dy[(*i, k)]) * s**-beta
            for q in window:
                ds = 2 * alpha * float(x[(*i, q)])
                dx[(*i, q)] += float(dy[(*i, k)]) * float(x[(*i, k)]) * -beta * s ** (-beta - 1) * ds
    return y, dx


def batch_norm(x, gain, bias, epsilon):
    """Return y and the moments."""
    y, moments = np.zeros(x.shape), np.zeros((x.shape[3], 2))
    for c in range(x.shape[3]):
        entries = [float(x[(*i, c)]) for i in np.ndindex(x.shape[:3])]
        mean = sum(entries) / len(entries)
        sigma = (sum((entry - mean) ** 2 for entry in entries) / len(entries) + epsilon) ** 0.5
        moments[c] = mean, sigma
        for i in np.ndindex(x.shape[:3]):
            y[(*i, c)] = float(gain[c]) * (float(x[(*i, c)]) - mean) / sigma + float(bias[c])
    return y, moments


def softmax(x, dy):
    """Return y and dx; the Jacobian is ∂y_c/∂x_k = y_c ([c = k] − y_k)."""
    y, dx, channels = np.zeros(x.shape), np.zeros(x.shape), x.shape[-1]
    for i in np.ndindex(x.shape[:-1]):
        powers = [np.exp(float(x[(*i, c)])) for c in range(channels)]
        for c in range(channels):
            y[(*i, c)] = powers[c] / sum(powers)
        for c, k in np.ndindex(channels, channels):
            dx[(*i, k)] += float(dy[(*i, c)]) * y[(*i, c)] * ((c == k) - y[(*i, k)])
    return y, dx


def softmax_loss(x, labels, weights):
    """Return the value, for a label and a weight at each position."""
    y, total = softmax(x, np.zeros(x.shape))[0], 0.0
    for i in np.ndindex(x.shape[:3]):
        if labels[i] >= 0:
            total -= float(weights[i]) * np.log(y[(*i, labels[i])])
    return total / x.shape[0]


def conv_transpose_products(x_shape, w_shape, upsample, crop, groups) -> Iterator[tuple]:
    """Yield (index into y, index into x, index into w) of every product of which a transposed convolution is the sum.

    What falls outside y is left out.
    """
    n, height, width, channels = x_shape
    kh, kw, share, _ = w_shape
    rows, columns = conv_transpose_size(x_shape, w_shape, upsample, crop)
    for m, i, j, c, u, v, k in np.ndindex(n, height, width, channels, kh, kw, share):
        a, e = upsample[0] * i + u - crop[0], upsample[1] * j + v - crop[2]
        if 0 <= a < rows and 0 <= e < columns:
            yield (m, a, e, c // (channels // groups) * share + k), (m, i, j, c), (u, v, k, c)


def conv_transpose_size(x_shape, w_shape, upsample, crop):
    rows = upsample[0] * (x_shape[1] - 1) + w_shape[0] - crop[0] - crop[1]
    return rows, upsample[1] * (x_shape[2] - 1) + w_shape[1] - crop[2] - crop[3]


def conv_transpose(x, w, b, upsample=(1, 1), crop=(0, 0, 0, 0), groups=1):
    y = np.zeros((x.shape[0], *conv_transpose_size(x.shape, w.shape, upsample, crop), w.shape[2] * groups))
    if b is not None:
        y += b
    for o, p, f in conv_transpose_products(x.shape, w.shape, upsample, crop, groups):
        y[o] += float(x[p]) * float(w[f])
    return y


def conv_transpose_backward(dy, x, w, upsample=(1, 1), crop=(0, 0, 0, 0), groups=1):
    """Return dx, dw, db."""
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(dy.shape[3])
    for o, p, f in conv_transpose_products(x.shape, w.shape, upsample, crop, groups):
        dx[p] += float(dy[o]) * float(w[f])
        dw[f] += float(dy[o]) * float(x[p])
    for o in np.ndindex(dy.shape):
        db[o[3]] += float(dy[o])
    return dx, dw, db
