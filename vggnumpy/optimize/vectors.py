"""The few reductions of large vectors that every optimiser needs, for NumPy arrays and arrays that act like them.

A vector is an array of any shape; a reduction runs over all of its entries and is accumulated in float64.  The
rest of the optimisers' arithmetic is written with operators, which NumPy and CuPy arrays share; factors are
Python floats, so that a float32 vector stays float32.
"""

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # a numpy.ndarray, or an array with the same operators and methods

_BLOCK = 1 << 20  # entries converted at a time where einsum is not NumPy's: two blocks in float64 are 16 MB


def dot(a: Array, b: Array) -> float:
    """Σ aᵢbᵢ, products and sum in float64.

    A float32 sum over six million unknowns is good to a few digits only, and the line search and the curvature
    test live on differences of such sums.  ``einsum`` converts its operands in small buffers, so a float64 copy
    of a vector never exists (6.75 million float32 entries: 8 ms, a float32 ``a @ b`` 4 ms).
    """
    a, b = a.reshape(-1), b.reshape(-1)
    if isinstance(a, np.ndarray):
        return float(np.einsum("i,i->", a, b, dtype=np.float64))
    blocks = (slice(first, first + _BLOCK) for first in range(0, a.size, _BLOCK))
    return sum(float((a[block].astype("float64") * b[block]).sum()) for block in blocks)


def mean_magnitude(a: Array) -> float:
    """(1/n) Σ |aᵢ|, summed in float64."""
    return float(abs(a).sum(dtype="float64")) / int(a.size)


def all_finite(a: Array) -> bool:
    """Whether every entry is a finite number."""
    return bool((abs(a) < float("inf")).all())
