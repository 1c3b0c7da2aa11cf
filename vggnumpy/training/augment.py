"""Small changes to pictures that do not change what they show."""

from __future__ import annotations

import numpy as np


def augment(x: np.ndarray, shift: int, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Shift pictures by up to `shift` pixels either way, zeros coming in, and mirror half of them.

    Parameters
    ----------
    x : ndarray, N×H×W×C
        Preprocessed, so that 0 is the mean colour.
    shift : int
    flip : bool
    rng : Generator
    """
    height, width = x.shape[1:3]
    rows, columns = rng.integers(0, 2 * shift + 1, (2, len(x)))
    mirrored = rng.random(len(x)) < 0.5
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    out = np.empty_like(x)
    for i, (top, left) in enumerate(zip(rows, columns, strict=True)):
        seen = padded[i, top : top + height, left : left + width]
        out[i] = seen[:, ::-1] if flip and mirrored[i] else seen
    return out
