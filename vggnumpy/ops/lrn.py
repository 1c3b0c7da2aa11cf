r"""Local response normalisation: every entry is divided by the energy of its neighbours among the channels.

With Q(k) the `size` channels from k − ⌊(size − 1)/2⌋ to k + ⌈(size − 1)/2⌉, cut to those that exist, and at each
position for itself,

    1. s_k = κ + α Σ_{q ∈ Q(k)} x_q²
    2. y_k = x_k · s_k^(−β)

and in reverse, for a scalar L with δL = Σ dy_k δy_k:

    2. δy_k = s_k^(−β) δx_k − β x_k s_k^(−β−1) δs_k
                              gives   dx_k = s_k^(−β) dy_k,   ds_k = −β x_k s_k^(−β−1) dy_k
    1. δs_k = 2α Σ_{q ∈ Q(k)} x_q δx_q
                              gives   dx_q += 2α x_q Σ ds_k over the k whose Q(k) holds q

The last sum is again one over a window, of the k from q − ⌈(size − 1)/2⌉ to q + ⌊(size − 1)/2⌋: the same for odd sizes.

The parameters are MatConvNet's (``vl_nnnormalize``, param [size κ α β]).  Others count differently:

========== =========================================================================================================
Caffe      ``local_size``, ``k``, ``alpha``, ``beta``: its alpha belongs to the mean, so α = alpha / local_size
PyTorch    ``size``, ``k``, ``alpha``, ``beta``: α = alpha / size too; of an even size the longer side comes first
TensorFlow ``depth_radius``, ``bias``, ``alpha``, ``beta``: size = 2·depth_radius + 1, κ = bias, α = alpha
========== =========================================================================================================

With size = 2C, α = 1 and β = ½ every window holds all channels and y is x divided by its length at each position.

Source: Krizhevsky, Sutskever and Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, 2012,
section 3.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vggnumpy.backend import array_module, check_dtypes, operator
from vggnumpy.ops.geometry import check_cotangent


class LrnCache(NamedTuple):
    """The input itself, s, and the parameters that the backward pass needs."""

    x: Any
    s: Any
    size: int
    alpha: float
    beta: float


@operator(any_array=True)
def lrn(x: Any, size: int = 5, kappa: float = 1.0, alpha: float = 2e-5, beta: float = 0.75) -> tuple[Any, LrnCache]:
    """Normalise every entry by the energy of the channels around it: steps 1 and 2 of this module.

    Parameters
    ----------
    x : ndarray, …×C, float32 or float64
        Features.
    size : int
        Channels in a window; of an even number the longer side comes after.
    kappa, alpha, beta : float
        κ > 0, α ≥ 0 and β; the defaults are MatConvNet's.

    Returns
    -------
    y : ndarray
        Same shape and dtype.
    cache : LrnCache
        For `lrn_backward`; it keeps x, which must not be written to until then.

    Raises
    ------
    ValueError
        If `size` is no positive integer, κ not positive or α negative: s must not reach 0.
    """
    if int(size) != size or size < 1:
        raise ValueError(f"the window of lrn must be an integer of at least 1, got {size!r}")
    if not (kappa > 0 and alpha >= 0):
        raise ValueError(f"lrn needs a positive kappa and no negative alpha, got {kappa!r} and {alpha!r}")
    s = _window_sum(x * x, (int(size) - 1) // 2, int(size) // 2)
    s *= float(alpha)
    s += float(kappa)
    return x * s ** -float(beta), LrnCache(x, s, int(size), float(alpha), float(beta))


@operator(any_array=True)
def lrn_backward(dy: Any, cache: LrnCache) -> Any:
    """Carry the derivative back through `lrn`.

        dx_q = s_q^(−β) dy_q − 2αβ x_q Σ_{k: q ∈ Q(k)} x_k s_k^(−β−1) dy_k

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : LrnCache
        From `lrn`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than x.
    """
    x, s, size, alpha, beta = cache
    check_cotangent(dy, x.shape, "lrn_backward")
    check_dtypes("lrn_backward", dy, x)
    dx = dy * s**-beta
    inner = _window_sum(x * dx / s, size // 2, (size - 1) // 2)
    inner *= x
    inner *= 2 * alpha * beta
    dx -= inner
    return dx


def _window_sum(values: Any, before: int, after: int) -> Any:
    """Return for every channel the sum of `before` channels before it, itself and `after` channels after it.

    Sums of 1, 2, 4, 8 … neighbours are made by adding neighbouring sums, and a window is put together from those
    that its length has as binary digits.  That takes log₂ as many additions as there are channels in a window, none
    of which cancels another, as differences of a running sum would: float32 keeps its digits.
    """
    xp, channels = array_module(values), values.shape[-1]
    before, after = min(before, channels - 1), min(after, channels - 1)
    length = before + after + 1
    runs = xp.zeros((*values.shape[:-1], channels + length - 1), values.dtype)
    runs[..., before : before + channels] = values
    total = xp.zeros(values.shape, values.dtype)
    start, run = 0, 1  # runs[…, i] is the sum of `run` channels of the padded values from i on
    while True:
        if length & run:
            total += runs[..., start : start + channels]
            start += run
        if 2 * run > length:
            return total
        runs = runs[..., :-run] + runs[..., run:]
        run *= 2
