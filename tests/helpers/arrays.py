"""Arrays as operators may be given them: not to be written to, and in any order in memory."""

import numpy as np


def frozen(rng, shape, dtype="float64"):
    """Return standard normal numbers in an array that raises if it is written to."""
    array = rng.standard_normal(shape).astype(dtype)
    array.flags.writeable = False
    return array


def non_contiguous(array):
    """Return equal arrays with other strides: transposed in memory, every second entry, backwards."""
    wide = np.zeros([2 * size for size in array.shape], array.dtype)
    sparse = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    sparse[...] = array
    backwards = np.ascontiguousarray(array[:, ::-1, ::-1])[:, ::-1, ::-1]
    return np.asfortranarray(array), sparse, backwards
