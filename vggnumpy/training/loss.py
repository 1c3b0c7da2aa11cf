"""The log loss of a softmax against labels that are a little unsure."""

from __future__ import annotations

import numpy as np


def smoothed_log_loss(z: np.ndarray, labels: np.ndarray, smoothing: float = 0.0) -> tuple[float, np.ndarray]:
    """Return the mean log loss and its derivative with respect to the scores.

    With p = softmax(z) and the target t, 1 − ε at the label and ε/K more everywhere,

        L = −1/N Σ t log p,    log p = z − log Σ exp z,    ∂L/∂z = (p − t)/N

    because Σ t = 1 and ∂ log Σ exp z / ∂z = p.

    Parameters
    ----------
    z : ndarray, N×K
    labels : ndarray of N
        0 … K − 1.
    smoothing : float
        ε, from 0 to 1 (Szegedy et al., *Rethinking the Inception Architecture*, 2016, section 7).

    Returns
    -------
    value : float
    dz : ndarray, N×K
    """
    count, classes = z.shape
    target = np.full(z.shape, smoothing / classes)
    target[np.arange(count), labels] += 1 - smoothing
    shifted = z.astype("float64") - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    value = -float((target * log_p).sum()) / count
    return value, ((np.exp(log_p) - target) / count).astype(z.dtype)
