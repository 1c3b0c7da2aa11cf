r"""Spatial style: distance between the self-convolutions of features, channel by channel.

Nikulin and Novak 2016, section 7.  F_i is the X×Y map of channel i, zero outside, and

    𝒢_i(z) = (F_i * F_i)(z) = Σ_u F_i(u) F_i(z − u),      z over (2X−1)×(2Y−1)                                     (1)

A is the same of the style image's features S, which have the same size.  Unlike a Gram matrix, 𝒢 knows where things
are: moving F_i by t moves 𝒢_i by 2t.  The autocorrelation is another statistic, which is easily mistaken for it:

    𝒜_i(z) = Σ_u F_i(u) F_i(u + z),      z from −(X−1, Y−1) to (X−1, Y−1)                                           (2)

It stays the same when F_i is moved (within its frame), so it holds distances, directions and repetition, but no layout.
Both losses are, with R_i the difference between image and style and M = XY positions, C channels,

    E = k Σ_i Σ_z R_i(z)²                                                                                           (3)

=============== ========================= =====================================================================
normalization   k                         source
=============== ========================= =====================================================================
``raw``         1/2                       as the other losses
``gatys``       1/(4C²M²)                 the paper
``mean_square`` 1/(C (2X−1) (2Y−1) M²)    mean over all entries of (R/M)²
``relative``    1 / Σ A²                  ours: 0 for the style, 1 for no style at all
=============== ========================= =====================================================================

Derivation.  1. Convolution: δ𝒢_i = 2 F_i * δF_i, so δE = 4k Σ_z R_i(z) Σ_u F_i(z − u) δF_i(u) and, with v = z − u,

    ∂E/∂F_i(u) = 4k Σ_v R_i(u + v) F_i(v)                                                                           (4)

the valid correlation of R_i with F_i, for v over the map; under ``gatys`` 4k = 1/(C²M²), as the paper prints it.
2. Autocorrelation: δ𝒜_i(z) = Σ_u δF_i(u) F_i(u + z) + F_i(u) δF_i(u + z), so with R_i both ways round

    ∂E/∂F_i(u) = 2k Σ_z [R_i(z) + R_i(−z)] F_i(u + z) = 4k Σ_v R_i(u − v) F_i(v)                                    (5)

as R_i(−z) = R_i(z) for every autocorrelation: the valid *convolution* of R_i with F_i.

By Fourier transforms of P×Q ≥ (2X−1)×(2Y−1) samples nothing wraps around.  With hats for transforms, N = PQ:

    𝒢̂ = F̂²,      𝒜̂ = |F̂|²,      Σ R² = Σ |R̂|² / N,      (4): conj(F̂) R̂,      (5): F̂ R̂                        (6)

R̂ is not taken as a difference of squares: with D = F − S, F̂² − Ŝ² = D̂ (2F̂ − D̂) and |F̂|² − |Ŝ|² = Re D̂ conj(2F̂ − D̂),
whose rounding errors are of the size of the difference.  Three transforms per channel; 𝒢 itself is never formed.

Memory: the style's features and the gradient, and a block of channels whose transforms take 8 MiB each, about five at a
time (one channel at least: 8 MiB at 1000×1000 positions in float32).  NumPy arrays only: SciPy transforms them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from vggnumpy.backend import operator, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.losses.factors import map_factor

BLOCK_BYTES = 8 << 20


class SelfConvolutionTarget(NamedTuple):
    """The style's features X×Y×C, a quarter of what A or its transform would take, and Σ A² over all entries.

    Σ A² is Σ |Ŝ|⁴ / N whether A is the self-convolution or the autocorrelation, so one target serves both losses.
    """

    features: Any
    total: float


@operator
def self_convolution_map(F: Any, workers: int = 1) -> Any:
    """Return 𝒢, the full convolution of every channel with itself, equation (1), (2X−1)×(2Y−1)×C.

    The losses do not need it; it is for looking at.

    Parameters
    ----------
    F : ndarray, X×Y×C, float32 or float64
    workers : int
        Threads of the transforms.
    """
    return _map(F, "self-convolution", workers)


@operator
def autocorrelation_map(F: Any, workers: int = 1) -> Any:
    """Return 𝒜, the autocorrelation of every channel, equation (2), (2X−1)×(2Y−1)×C, z = 0 at index (X−1, Y−1).

    Parameters
    ----------
    F : ndarray, X×Y×C, float32 or float64
    workers : int
        Threads of the transforms.
    """
    return _map(F, "autocorrelation", workers)


@operator
def self_convolution_target(F_style: Any, workers: int = 1) -> SelfConvolutionTarget:
    """Return the target of `self_convolution` and of `autocorrelation`.

    Parameters
    ----------
    F_style : ndarray, X×Y×C, float32 or float64
        Features of the style image, at the size of the image that will be compared.
    workers : int
        Threads of the transforms.

    Raises
    ------
    InputError
        If the features are not X×Y×C.
    """
    _check_map(F_style)
    total = 0.0
    for block, samples in _blocks(F_style):
        s_hat = _transform(F_style[..., block], samples, workers)
        s_hat *= s_hat
        total += _energy(s_hat, samples)
    return SelfConvolutionTarget(F_style, total)


@operator(arrays=lambda F, target, *_, **__: (F, target.features))
def self_convolution(
    F: Any, target: SelfConvolutionTarget, normalization: str = "gatys", workers: int = 1
) -> tuple[float, Any]:
    """Return the spatial style loss and its gradient.

        E = 1/(4C²M²) Σ (𝒢 − A)²,    ∂E/∂F_i(u) = 1/(C²M²) Σ_v (𝒢 − A)_i(u + v) F_i(v)    (``gatys``; see this module)

    The loss does not know F_i from −F_i, and so not a channel that is negative everywhere from one that is positive.

    Parameters
    ----------
    F : ndarray, X×Y×C, float32 or float64
        Features of the image.
    target : SelfConvolutionTarget
        Of a style whose features have the shape and dtype of `F`: see `self_convolution_target`.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        The factor k.
    workers : int
        Threads of the transforms.

    Returns
    -------
    value : float
        In float64; exactly 0, as is the gradient, where `F` is the style's.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    InputError
        If image and style differ in size, or the normalisation is ``relative`` and the style zero everywhere.
    ValueError
        If the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    return _loss(F, target, "self-convolution", normalization, workers)


@operator(arrays=lambda F, target, *_, **__: (F, target.features))
def autocorrelation(
    F: Any, target: SelfConvolutionTarget, normalization: str = "gatys", workers: int = 1
) -> tuple[float, Any]:
    """Return the distance between autocorrelations and its gradient: spatial style without the layout.

        E = 1/(4C²M²) Σ (𝒜 − A)²,    ∂E/∂F_i(u) = 1/(C²M²) Σ_v (𝒜 − A)_i(u − v) F_i(v)    (``gatys``; see this module)

    Neither a shift (within the frame) nor a half turn of a map changes it.  Ours, not the paper's; arguments, results
    and errors as of `self_convolution`.
    """
    return _loss(F, target, "autocorrelation", normalization, workers)


def _loss(F: Any, target: SelfConvolutionTarget, statistic: str, normalization: str, workers: int) -> tuple[float, Any]:
    S = target.features
    if F.shape != S.shape:
        raise InputError(
            f"spatial style ({statistic}) needs image and style at the same size: their features are "
            f"{tuple(F.shape)} and {tuple(S.shape)}; resize the style image to the size of the content image"
        )
    height, width, channels = F.shape
    positions = height * width
    mean_square = 1 / (channels * (2 * height - 1) * (2 * width - 1) * positions**2)
    factor = map_factor(channels, positions, normalization, mean_square, target.total, "spatial style loss")
    distance, gradient = 0.0, np.empty(F.shape, F.dtype)
    for block, samples in _blocks(F):
        f_hat = _transform(F[..., block], samples, workers)
        r_hat = _transform(F[..., block] - S[..., block], samples, workers)
        if statistic == "autocorrelation":
            r_hat = (r_hat * np.conj(2 * f_hat - r_hat)).real
            distance += _energy(r_hat, samples)
            f_hat *= r_hat
        else:
            r_hat *= 2 * f_hat - r_hat
            distance += _energy(r_hat, samples)
            np.conj(f_hat, out=f_hat)
            f_hat *= r_hat
        back = fft.irfft2(f_hat, samples, overwrite_x=True, workers=workers)
        gradient[..., block] = back[:, : F.shape[0], : F.shape[1]].transpose(1, 2, 0)
        gradient[..., block] *= 4 * factor
    return factor * distance, gradient


def _check_map(F: Any) -> None:
    if F.ndim != 3:
        raise InputError(f"spatial style needs features X×Y×C of one image, got shape {tuple(F.shape)}")


def _map(F: Any, statistic: str, workers: int) -> Any:
    _check_map(F)
    height, width, channels = F.shape
    out = np.empty((2 * height - 1, 2 * width - 1, channels), F.dtype)
    for block, samples in _blocks(F):
        f_hat = _transform(F[..., block], samples, workers)
        f_hat *= np.conj(f_hat) if statistic == "autocorrelation" else f_hat
        back = fft.irfft2(f_hat, samples, overwrite_x=True, workers=workers)
        if statistic == "autocorrelation":
            back = np.roll(back, (height - 1, width - 1), axis=(1, 2))
        out[..., block] = back[:, : 2 * height - 1, : 2 * width - 1].transpose(1, 2, 0)
    return out


def _blocks(F: Any) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Yield blocks of channels and the size P×Q of their transforms."""
    height, width, channels = F.shape
    samples = fft.next_fast_len(2 * height - 1), fft.next_fast_len(2 * width - 1, real=True)
    count = max(1, BLOCK_BYTES // (samples[0] * (samples[1] // 2 + 1) * 2 * F.itemsize))
    for start in range(0, channels, count):
        yield slice(start, min(channels, start + count)), samples


def _transform(F: Any, samples: tuple[int, int], workers: int) -> Any:
    """Return F̂, channels first, half of its columns."""
    return fft.rfft2(np.ascontiguousarray(F.transpose(2, 0, 1)), samples, workers=workers)


def _energy(r_hat: Any, samples: tuple[int, int]) -> float:
    """Return Σ R² = Σ |R̂|² / N, in float64, from half of R̂.

    The columns that are left out repeat those that are not, but for the first and, with Q even, the last.
    """
    repeated = 2 * _squares(r_hat) - _squares(r_hat[..., :1])
    if samples[1] % 2 == 0:
        repeated -= _squares(r_hat[..., -1:])
    return repeated / (samples[0] * samples[1])


def _squares(values: Any) -> float:
    """Return Σ |v|² of real or complex numbers."""
    return float(sum_of_squares(np.ascontiguousarray(values).view(values.real.dtype)))
