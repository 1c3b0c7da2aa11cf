r"""Batch normalisation: every channel is brought to mean 0 and variance 1, then scaled and shifted.

For each channel, over its n = N·H·W entries,

    1. μ = Σ x / n
    2. d = x − μ
    3. σ = √(Σ d² / n + ε)
    4. x̂ = d / σ
    5. y = gain · x̂ + bias

and in reverse, for a scalar L with δL = Σ dy δy:

    5. dgain = Σ x̂ dy,   dbias = Σ dy,   dx̂ = gain · dy
    4. dd = dx̂ / σ,   dσ = −Σ dx̂ d / σ² = −Σ dx̂ x̂ / σ
    3. σ² = Σ d² / n + ε gives δσ = Σ d δd / (nσ), so   dd += dσ · d / (nσ) = dσ · x̂ / n
    2. dx = dd,   dμ = −Σ dd = −Σ dx̂ / σ                                   because Σ x̂ = 0
    1. dx += dμ / n

Put together, with step 5's sums,

    dx = gain/σ · (dy − dbias/n − x̂ · dgain/n)                                                              (1)

Step 3 is one sum over differences from the mean, never Σ x²/n − μ², which loses all digits where the mean is large
against the deviation.  All sums are float64.

With the moments given, steps 1 and 3 do not take place: μ and σ are constants, as in a trained network that is put to
use, and

    dx = gain/σ · dy                                                                                        (2)

MatConvNet's ``vl_nnbnorm`` uses (1) even then, with the given μ and σ in it: that is not the gradient of its forward
pass.

Sources: Ioffe and Szegedy, *Batch Normalization*, 2015; the moments [μ, σ] are MatConvNet's, whose σ includes ε.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vggnumpy.backend import array_module, check_dtypes, operator
from vggnumpy.ops.geometry import batched, check_cotangent


class BatchNormCache(NamedTuple):
    """x̂, the gain, the moments C×2 = [μ, σ], and whether they were given."""

    normalized: Any
    gain: Any
    moments: Any
    given: bool


@operator(any_array=True)
def batch_norm(x: Any, gain: Any, bias: Any, moments: Any = None, epsilon: float = 1e-4) -> tuple[Any, BatchNormCache]:
    """Normalise every channel over positions and images: steps 1 to 5 of this module.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Features.
    gain, bias : ndarray of C
        What every channel is multiplied by, and what is added, after it was normalised.
    moments : ndarray, C×2, optional
        Columns μ and σ; the second is the square root of variance plus ε, MatConvNet's convention.  They are taken
        as constants.  By default those of `x`.
    epsilon : float
        ε > 0; not used where `moments` are given, whose σ includes it.

    Returns
    -------
    y : ndarray
        In the shape and dtype of `x`.
    cache : BatchNormCache
        For `batch_norm_backward`; ``cache.moments`` are the moments that were used.

    Raises
    ------
    ValueError
        If gain, bias or moments do not fit the channels, or σ or ε is not positive.
    """
    channels = batched(x, "x").shape[-1]
    for name, array, shape in (("gain", gain, (channels,)), ("bias", bias, (channels,))):
        if array.shape != shape:
            raise ValueError(f"the {name} of batch_norm must have {channels} entries, got shape {tuple(array.shape)}")
    if moments is None:
        normalized, used = _normalize(x, epsilon)
    else:
        if moments.shape != (channels, 2):
            raise ValueError(f"the moments of batch_norm must be {channels}×2, got shape {tuple(moments.shape)}")
        if not (moments[:, 1] > 0).all():
            raise ValueError("the second column of the moments, σ, must be positive; σ² is variance plus epsilon")
        normalized, used = (x - moments[:, 0]) / moments[:, 1], moments
    return normalized * gain + bias, BatchNormCache(normalized, gain, used, moments is not None)


@operator(any_array=True)
def batch_norm_backward(dy: Any, cache: BatchNormCache) -> tuple[Any, Any, Any]:
    """Carry the derivative back through `batch_norm`: equation (1) of this module, or (2) if moments were given.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : BatchNormCache
        From `batch_norm`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.
    dgain, dbias : ndarray of C

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than x.
    """
    normalized, gain, moments, given = cache
    check_cotangent(dy, normalized.shape, "batch_norm_backward")
    check_dtypes("batch_norm_backward", dy, normalized)
    dbias, dgain = _sums(dy), _sums(dy, normalized)
    scale = gain / moments[:, 1]
    if given:
        dx = dy * scale
    else:
        count = dy.size // dy.shape[-1]
        dx = normalized * (dgain / -count).astype(dy.dtype)
        dx += dy
        dx -= (dbias / count).astype(dy.dtype)
        dx *= scale
    return dx, dgain.astype(dy.dtype), dbias.astype(dy.dtype)


def _normalize(x: Any, epsilon: float) -> tuple[Any, Any]:
    """Return x̂ and the moments of `x`: steps 1 to 4.

    A mean rounded to float32 leaves differences d whose own mean is not quite 0; it is measured too, and taken out of
    d and of σ.
    """
    if not epsilon > 0:
        raise ValueError(f"the epsilon of batch_norm must be positive, got {epsilon!r}")
    xp, count = array_module(x), x.size // x.shape[-1]
    mean = (_sums(x) / count).astype(x.dtype)
    d = x - mean
    rest = _sums(d) / count
    sigma = xp.sqrt(xp.maximum(_sums(d, d) / count - rest**2, 0) + epsilon)
    d -= rest.astype(x.dtype)
    d /= sigma.astype(x.dtype)
    return d, xp.stack([mean, sigma], axis=1).astype(x.dtype)


def _sums(a: Any, b: Any = None) -> Any:
    """Return for every channel Σ a, or Σ a·b, over all else, in float64."""
    rows = a.reshape(-1, a.shape[-1])
    if b is None:
        return rows.sum(axis=0, dtype="float64")
    return array_module(a).einsum("pc,pc->c", rows, b.reshape(rows.shape), dtype="float64")
