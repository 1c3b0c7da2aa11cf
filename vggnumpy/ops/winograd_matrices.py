"""The matrices of Winograd's minimal filtering, as `vggnumpy.ops.winograd` derives them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

_INFINITY = float("inf")
POINTS = {4: (0.0, 1.0, -1.0, 0.5, -2.0, _INFINITY), 6: (0.0, 1.0, -1.0, 2.0, -0.5, -2.0, 0.5, _INFINITY)}
ONE = 1  # where the point 1 stands in POINTS


class Algorithm(NamedTuple):
    """The matrices Bᵀ, t×t, and Aᵀ, m×t, of one direction."""

    BT: np.ndarray
    AT: np.ndarray


class Transforms(NamedTuple):
    """All of F(m×m, 3×3): G, t×3, and the algorithms for the filters as they are and turned by 180°."""

    G: np.ndarray
    straight: Algorithm
    turned: Algorithm


def _evaluation(points: tuple[float, ...], coefficients: int) -> np.ndarray:
    """Return E: row for row a polynomial's value at each point, and its leading coefficient for ∞."""
    rows = [[float(k == coefficients - 1) if a == _INFINITY else a**k for k in range(coefficients)] for a in points]
    return np.array(rows)


def _denominators(points: tuple[float, ...]) -> np.ndarray:
    """Return Lagrange's Π_{b≠a} (a − b) over the finite points, and 1 for ∞."""
    finite = [b for b in points if b != _INFINITY]
    return np.array([1.0 if a == _INFINITY else np.prod([a - b for b in finite if b != a]) for a in points])


def _reciprocal(a: float) -> float:
    """Return −1/a, with 0 and ∞ for each other."""
    return {0.0: _INFINITY, _INFINITY: 0.0}.get(a) if a in (0.0, _INFINITY) else -1 / a  # type: ignore[return-value]


@functools.cache
def transforms(tile: int, dtype: str = "float64") -> Transforms:
    """Return the matrices of F(m×m, 3×3), m = `tile` being 4 or 6, as derived in this module."""
    points = POINTS[tile]
    t, D = tile + 2, _denominators(points)
    # Every entry of BT is a fraction with a power of two below; rounding takes away what the inversion added.
    straight = Algorithm(_binary(D[:, None] * np.linalg.inv(_evaluation(points, t)).T), _evaluation(points, tile).T)
    negated = tuple(a if a in (0.0, _INFINITY) else -a for a in points)
    order = [points.index(_reciprocal(a)) for a in points]  # U[order[i]] belongs to the i-th negated point
    factor = np.array([1.0 if a in (0.0, _INFINITY) else a * a for a in points]) * D[order]
    turned = Algorithm(np.empty((t, t)), np.empty((tile, t)))
    turned.BT[order] = _binary(factor[:, None] * np.linalg.inv(_evaluation(negated, t)).T)
    turned.AT[:, order] = _evaluation(negated, tile).T
    G = _evaluation(points, 3) / D[:, None]
    return Transforms(G, *(Algorithm(*(np.ascontiguousarray(a, dtype) for a in one)) for one in (straight, turned)))


def _binary(matrix: np.ndarray) -> np.ndarray:
    return np.round(matrix * 4096) / 4096
