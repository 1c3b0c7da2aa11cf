"""2×2 pooling with stride 2 of a block after its rectifier: the operators `max_pool` and `avg_pool`, fused with `relu`.

A block begins at even rows and columns.  Where a last row or column is alone, ``floor`` drops it; under ``ceil`` it is
repeated, which gives the mean and the maximum of what is inside, and its share of the derivative is folded back.

Kept for the backward pass:

* average: one bit for each entry before the pool, whether the rectifier let it through;
* max: three bits for each entry after it: whether the maximum is positive (if not, the rectifier lets nothing through),
  whether it came from the right column, and whether from the lower row.  Of equal ones the first in column order
  counts, as in `max_pool`.
"""

from __future__ import annotations

import numpy as np

from vggnumpy.engine.bits import factors, is_positive, pack
from vggnumpy.ops.workspace import Workspace


def pool_average(y: np.ndarray, out: np.ndarray) -> None:
    """Write the means of the windows of `y` to `out`, h×w×C."""
    first, *others = _windows(y, out.shape[:2])
    np.add(first, others[0], out=out)
    out += others[1]
    out += others[2]
    out *= 0.25


def pool_max(y: np.ndarray, out: np.ndarray, bits: np.ndarray, work: Workspace) -> None:
    """Write the maxima of the windows of `y` to `out`, h×w×C, and to `bits`, 3×h×w×⌈C/8⌉, where they came from."""
    top_left, bottom_left, top_right, bottom_right = _windows(y, out.shape[:2])
    shape = out.shape
    lower, lower_right, right = (work(name, shape, bool) for name in ("yes", "yes 2", "yes 3"))
    maximum = work("maximum", shape, y.dtype)
    np.greater(bottom_left, top_left, out=lower)
    np.greater(bottom_right, top_right, out=lower_right)
    left = work("maximum left", shape, y.dtype)
    np.maximum(bottom_left, top_left, out=left)
    np.maximum(bottom_right, top_right, out=maximum)
    np.greater(maximum, left, out=right)
    np.maximum(left, maximum, out=maximum)
    np.copyto(lower, lower_right, where=right)
    bits[1] = pack(right)
    bits[2] = pack(lower)
    bits[0] = is_positive(maximum, work)
    out[...] = maximum


def unpool_average(dy: np.ndarray, dx: np.ndarray) -> None:
    """Write the derivative with respect to the pool's input, 2h×2w×C: a quarter of `dy` to each of a window."""
    for view in _windows(dx, dy.shape[:2]):
        np.multiply(dy, 0.25, out=view)


def unpool_max(dy: np.ndarray, bits: np.ndarray, dx: np.ndarray, work: Workspace) -> None:
    """Write the derivative with respect to the *rectifier's* input, 2h×2w×C: `dy` to where the maximum came from."""
    channels = dy.shape[-1]
    passed = work("passed", dy.shape, dy.dtype)
    np.multiply(dy, factors(bits[0], channels, dy.dtype, work), out=passed)
    right = work("right", dy.shape, dy.dtype)
    np.multiply(passed, factors(bits[1], channels, dy.dtype, work), out=right)
    passed -= right  # the left column's
    low = factors(bits[2], channels, dy.dtype, work)
    top_left, bottom_left, top_right, bottom_right = _windows(dx, dy.shape[:2])
    for column, top, bottom in ((passed, top_left, bottom_left), (right, top_right, bottom_right)):
        np.multiply(column, low, out=bottom)
        np.subtract(column, bottom, out=top)


def _windows(x: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the four taps of all windows, in column order; a row or column that is missing is the one before it."""
    height, width = x.shape[:2]
    if 2 * size[0] > height or 2 * size[1] > width:
        x = np.pad(x, ((0, max(0, 2 * size[0] - height)), (0, max(0, 2 * size[1] - width)), (0, 0)), mode="edge")
    return [x[u : 2 * size[0] : 2, v : 2 * size[1] : 2] for v in (0, 1) for u in (0, 1)]
