r"""Regularisers on pixels: size keeps colours within bounds, variation keeps neighbours alike.

Sources: the MatConvNet report, "Regularization Loss"; Mahendran and Vedaldi 2015, equations 3 and 4.
"""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import array_module, check_dtypes, operator, sum64, sum_of_squares


def size(x: Any, power: float = 2, center: Any = 0.0) -> tuple[float, Any]:
    """Return the size regulariser and its gradient.

        L = Σ |x − c|^p,    ∂L/∂x = p · sign(x − c) · |x − c|^(p − 1)

    The papers' x has the mean colour subtracted, so c is the network's mean colour there, not 0.

    Parameters
    ----------
    x : ndarray, …×H×W×3, float32 or float64
        Pixels.
    power : float
        p, at least 1.  At p = 1 the gradient where x = c is 0.
    center : float or sequence of 3 floats
        c, one for all channels or one for each.

    Returns
    -------
    value : float
        In float64.
    dx : ndarray
        In the shape and dtype of `x`.

    Raises
    ------
    ValueError
        If the power is below 1.
    """
    if not power >= 1:
        raise ValueError(f"the power of the size regulariser must be at least 1, got {power!r}")
    check_dtypes("size", x)
    xp = array_module(x)
    away = x - xp.asarray(center, x.dtype)
    if power == 2:
        return sum_of_squares(away), away * 2
    magnitude = abs(away)
    slope = magnitude ** (power - 1)
    return sum64(slope * magnitude), xp.sign(away) * slope * power


@operator(any_array=True)
def variation(x: Any, beta: float | str = 2) -> tuple[float, Any]:
    r"""Return the variation regulariser and its gradient.

        L = Σ_ij (u_ij² + v_ij²)^(β/2),    u_ij = x_{i+1,j} − x_ij,    v_ij = x_{i,j+1} − x_ij

    in every channel, with u = 0 in the last row and v = 0 in the last column.  β = 2 is the sum of squared
    differences, β = 1 total variation; ``"l1"`` is Σ |u| + |v|, which treats the two directions apart.

    Derivation.  1. δL = Σ a u δu + a v δv with a = β (u² + v²)^(β/2 − 1), or δL = Σ sign(u) δu + sign(v) δv for
    ``"l1"``.  2. δu_ij = δx_{i+1,j} − δx_ij, so what belongs to u_ij is added at (i+1, j) and taken off at (i, j);
    likewise for v.  Where u = v = 0 and β < 2 there is no derivative; the subgradient 0 is taken.

    Parameters
    ----------
    x : ndarray, H×W×C or N×H×W×C, float32 or float64
        Pixels.
    beta : float or "l1"
        β, at least 1.

    Returns
    -------
    value : float
        In float64.
    dx : ndarray
        In the shape and dtype of `x`.

    Raises
    ------
    ValueError
        If β is a number below 1 or another word than ``"l1"``, or `x` has fewer than three axes.
    """
    if (isinstance(beta, str) and beta != "l1") or (not isinstance(beta, str) and not beta >= 1):
        raise ValueError(f"beta of the variation regulariser must be a number of at least 1 or 'l1', got {beta!r}")
    if x.ndim < 3:
        raise ValueError(f"variation needs pixels H×W×C or N×H×W×C, got shape {tuple(x.shape)}")
    xp = array_module(x)
    u, v = x[..., 1:, :, :] - x[..., :-1, :, :], x[..., 1:, :] - x[..., :-1, :]
    if beta == 2:
        value = sum_of_squares(u) + sum_of_squares(v)
        du, dv = u * 2, v * 2
    elif isinstance(beta, str):
        value = sum64(abs(u)) + sum64(abs(v))
        du, dv = xp.sign(u), xp.sign(v)
    else:
        squares = xp.zeros_like(x)
        squares[..., :-1, :, :] += u * u
        squares[..., :-1, :] += v * v
        value = sum64(squares ** (beta / 2))
        flat = squares == 0
        a = xp.where(flat, 0, beta * xp.where(flat, 1, squares) ** (beta / 2 - 1)).astype(x.dtype)
        du, dv = a[..., :-1, :, :] * u, a[..., :-1, :] * v
    dx = xp.zeros_like(x)
    dx[..., 1:, :, :] += du
    dx[..., :-1, :, :] -= du
    dx[..., 1:, :] += dv
    dx[..., :-1, :] -= dv
    return value, dx
