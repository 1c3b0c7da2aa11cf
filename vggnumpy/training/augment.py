"""Small changes to pictures that do not change what they show."""

from __future__ import annotations

import numpy as np


def augment(x: np.ndarray, shift: int, flip: bool, cutout: int, rng: np.random.Generator) -> np.ndarray:
    """Shift pictures by up to `shift` pixels either way, zeros coming in, mirror half of them, and hide a square.

    A network that knows its training pictures by heart must look elsewhere when a part of them is missing (DeVries and
    Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017).

    Parameters
    ----------
    x : ndarray, N×H×W×C
        Preprocessed, so that 0 is the mean colour.
    shift : int
    flip : bool
    cutout : int
        Side of the square, whose centre is anywhere in the picture; 0 hides nothing.
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
    if cutout:
        centres = rng.integers(0, (height, width), (len(x), 2))
        for picture, (y, x0) in zip(out, centres - cutout // 2, strict=True):
            picture[max(y, 0) : max(y + cutout, 0), max(x0, 0) : max(x0 + cutout, 0)] = 0
    return out
