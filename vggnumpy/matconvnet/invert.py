"""Images reconstructed from features by momentum descent, as Mahendran and Vedaldi's program does it.

For the features y₀ of an image, an x is sought that makes

    E = ‖Φ(x) − y₀‖² / ‖y₀‖²  +  λ_TV/(2 s²) Σ v^β  +  λ_α/(2 s²) Σ x^α                                     (1)

small, where Φ is the network, s the length ‖x₀‖ of the start, and v = √(u² + w²) the length of the differences to the
next pixel below and to the right.  With a rate η each step is

    m ← μ m − η s² ∂E/∂x,      x ← x + m                                                                    (2)

and m starts anew from 0 whenever the rate changes.

Source: Mahendran and Vedaldi, *Understanding Deep Image Representations by Inverting Them*, 2015, and its program.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import sum64, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.matconvnet.evaluate import Result, vl_simplenn
from vggnumpy.matconvnet.tidy import Net, vl_simplenn_tidy


class Inversion(NamedTuple):
    """After one step: x, and of the x before it the energy's data, variation and size terms and their sum."""

    x: Any
    energy: tuple[float, float, float, float]


def invert_nn(
    net: Net,
    y0: Any,
    x0: Any,
    learningRate: Sequence[float],
    *,
    lambdaTV: float = 10.0,
    TVbeta: float = 2.0,
    lambdaAlpha: float = 8e-10,
    alpha: int = 6,
    momentum: float = 0.9,
) -> Iterator[Inversion]:
    """Reconstruct an image from its features at the end of a network: equations (1) and (2) of this module.

    Parameters
    ----------
    net : SimpleNet, Network or dict
        Cut behind the layer whose features are given: ``{"layers": net.layers[:13]}``.
    y0 : ndarray, H'×W'×K×N or H'×W'×K
        Features.
    x0 : ndarray, H×W×C×N or H×W×C
        Start, of the length that the image is expected to have: the published program draws normal noise and scales it
        to ‖x₀‖ = 27098 for 227×227 pixels, 69 for each number.
    learningRate : sequence of float
        The rate of each step, and with it their number.
    lambdaTV, TVbeta, lambdaAlpha, alpha, momentum : float
        λ_TV, β, λ_α, α (even) and μ.

    Yields
    ------
    Inversion
        After every step.

    Raises
    ------
    InputError
        If the features do not fit the network, or the energy is no longer finite: the rate is too large.
    """
    distance = {"type": "custom", "y0": y0, "forward": _distance, "backward": _distance_backward}
    chain = {"layers": [*vl_simplenn_tidy(net).layers, distance]}
    size, target = float(sum_of_squares(x0)), float(sum_of_squares(y0))
    x, m, before = x0, np.zeros_like(x0), None
    for t, rate in enumerate(learningRate, start=1):
        res = vl_simplenn(chain, x, 1.0, mode="test", conserveMemory=True)
        varied, dvaried = tv(x, TVbeta)
        size_term = lambdaAlpha / 2 * float(sum64(x**alpha)) / size
        terms = (res[-1].x / target, lambdaTV / 2 * varied / size, size_term)
        if not math.isfinite(sum(terms)):
            raise InputError(f"the energy is no longer finite before step {t}; take a smaller learningRate or x0")
        regularizers = lambdaTV / 2 * dvaried + lambdaAlpha / 2 * alpha * x ** (alpha - 1)
        m = (momentum * m if rate == before else 0) - float(rate) * (regularizers + size / target * res[0].dzdx)
        x, before = x + m, rate
        yield Inversion(x, (*terms, sum(terms)))


def tv(x: Any, beta: float) -> tuple[float, Any]:
    """Return the variation Σ v^β of an image, and its derivative made smooth.

        ∂/∂u = β max(v^β, 1e-5)^((β − 2)/β) u          and likewise for w

    Parameters
    ----------
    x : ndarray, H×W×…
    beta : float
        β > 0.

    Returns
    -------
    value : float
    dx : ndarray
        For β = 2 the exact derivative, that of `vggnumpy.losses.variation`.  For other β it differs from that where
        v^β < 1e-5: below β = 2 it does not jump where an image is flat.
    """
    u, w = np.zeros_like(x), np.zeros_like(x)
    u[:-1], w[:, :-1] = x[1:] - x[:-1], x[:, 1:] - x[:, :-1]
    v = np.sqrt(u * u + w * w) ** beta
    slope = np.maximum(v, 1e-5) ** ((beta - 2) / beta)
    u *= slope
    w *= slope
    dx = -u - w
    dx[1:] += u[:-1]
    dx[:, 1:] += w[:, :-1]
    return float(sum64(v)), beta * dx


def _distance(layer: dict[str, Any], before: Result, after: Result) -> Result:
    """Return ‖x − y₀‖² as a layer of a network."""
    if before.x.shape != layer["y0"].shape:
        raise InputError(f"the features y0 must have the network's size {before.x.shape}, got {layer['y0'].shape}")
    after.x = float(sum_of_squares(before.x - layer["y0"]))
    return after


def _distance_backward(layer: dict[str, Any], before: Result, after: Result) -> Result:
    before.dzdx = 2 * after.dzdx * (before.x - layer["y0"])
    return before
