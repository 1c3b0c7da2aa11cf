"""Objectives with known minima: each function returns fun(x) → (value, gradient), and where to start."""

import numpy as np
from scipy.optimize import rosen, rosen_der


def rosenbrock():
    return (lambda x: (rosen(x), rosen_der(x))), np.tile([-1.2, 1.0], 50)


def powell():
    """Build the extended Powell singular function, Moré, Garbow and Hillstrom's number 22."""

    def fun(x):
        a, b, c, d = x.reshape(-1, 4).T
        p, q, r, s = a + 10 * b, c - d, b - 2 * c, a - d
        grad = [2 * p + 40 * s**3, 20 * p + 4 * r**3, 10 * q - 8 * r**3, -10 * q - 40 * s**3]
        return float((p**2 + 5 * q**2 + r**4 + 10 * s**4).sum()), np.stack(grad, axis=1).ravel()

    return fun, np.tile([3.0, -1.0, 0.0, 1.0], 25)


def quadratic():
    curvature = np.geomspace(1, 1e6, 1000)
    return (lambda x: (float((curvature * x * x).sum() / 2), curvature * x)), np.ones(1000)
