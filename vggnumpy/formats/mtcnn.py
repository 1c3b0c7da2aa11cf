"""The face detector MTCNN as its TensorFlow port stores it, in the form that other originals have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vggnumpy.errors import InputError


def from_mtcnn(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of MTCNN's output net under the names and axes of other originals; other arrays as they are.

    The port names its parts ``weights``, ``biases`` and ``alpha`` (slopes), keeps filters as H×W×I×O and fully
    connected layers as (H·W·C)×O, and was trained on pictures with height and width exchanged.  Exchanging the filters'
    own height and width gives the same numbers for upright pictures.

    Raises
    ------
    InputError
        If these are MTCNN's other nets, whose results are not one score for one picture.
    """
    if "conv6_1.weights" not in arrays:
        if any(name.lower() == "prelu1.alpha" for name in arrays):
            raise InputError("these are MTCNN's proposal or refinement net; of MTCNN the output net alone is known")
        return dict(arrays)
    found = {}
    for name, array in arrays.items():
        layer, _, part = name.rpartition(".")
        if part == "weights":
            if layer == "conv5" and array.ndim == 2 and array.shape[0] % 9 == 0:  # sees the map of 3×3 positions
                array = array.reshape(3, 3, -1, array.shape[1])
            array = array.transpose(3, 2, 1, 0) if array.ndim == 4 else array.T
        found[f"{layer}.{'bias' if part == 'biases' else 'weight'}"] = array
    return found
