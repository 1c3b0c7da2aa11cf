r"""Transposed convolution, which enlarges: the adjoint of a convolution with a stride, and its two derivatives.

Let conv take an H'×W' image with K channels to an H×W one with C channels, with filters w (kh×kw×K×C), stride s and
zero padding.  It is linear in its image: there is a matrix A with conv(z) = A z, and `conv_backward_input` is Aᵀ.  The
transposed convolution is that same Aᵀ as a forward pass,

    y = Aᵀ x + b        y[n, s·i + u − top, s·j + v − left, k] += Σ_c x[n, i, j, c] · w[u, v, k, c]         (1)

so every pixel of x is spread over a kh×kw patch of y, and the patches are s apart.  What was padding for the
convolution is what the patches write outside y, where it is cut off (*cropped*).

Derivatives.  Let δL = ⟨dy, δy⟩ for a scalar L.  From (1)

    δy = Aᵀ δx + δAᵀ x + δb
    ⟨dy, Aᵀ δx⟩ = ⟨A dy, δx⟩            gives   dx = A dy: the convolution of dy
    ⟨dy, δAᵀ x⟩ = ⟨δA dy, x⟩            gives   dw: the filter derivative of the convolution of dy, when x is the
                                                derivative of its output
                                        and     db[k] = Σ of dy over the positions of channel k

so nothing here has a loop of its own: the three functions are those of `vggnumpy.ops.conv` with their parts exchanged.

Source: MatConvNet's manual (Vedaldi and Lenc 2015, section 4.2), whose layout of filters this is (``vl_nnconvt``).
"""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import check_dtypes, operator
from vggnumpy.ops.conv import ConvCache, conv, conv_backward_filter, conv_backward_input
from vggnumpy.ops.geometry import Number, batched, check_cotangent, four_sides, pair
from vggnumpy.ops.pad import PadCache


@operator(any_array=True)
def conv_transpose(
    x: Any, w: Any, b: Any = None, upsample: Number = 1, crop: Number = 0, groups: int = 1
) -> tuple[Any, ConvCache]:
    """Spread every pixel over a patch: equation (1) of this module.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Images or features.
    w : ndarray, kh×kw×K×C
        Filters, as the convolution has them whose adjoint this is: its input channels, K, stand before its filters,
        of which there is one for each channel of `x`.
    b : ndarray of groups·K, optional
        Bias; none adds nothing.
    upsample : int or (vertical, horizontal)
        Distance s between patches.  Where it is larger than the filter, rows and columns between hold the bias alone.
    crop : int or (top, bottom, left, right)
        Rows and columns to cut off.
    groups : int
        G: each run of C/G channels of `x` makes a run of K channels of y.

    Returns
    -------
    y : ndarray, N×H'×W'×(G·K) (H'×W'×(G·K) for a single image)
        H' = upsample·(H − 1) + kh − top − bottom, W' likewise.
    cache : ConvCache
        For `conv_transpose_backward_input` and `conv_transpose_backward_filter`: that of the convolution from y to x.

    Raises
    ------
    ValueError
        If shapes, groups, upsampling and crop do not fit together.
    TypeError
        If the arrays differ in dtype or kind.
    """
    step, sides = pair(upsample, "upsample"), four_sides(crop, "crop")
    channels = _check_filters(x, w, b, groups)
    heights = step[0] * (x.shape[-3] - 1) + w.shape[0]
    widths = step[1] * (x.shape[-2] - 1) + w.shape[1]
    rows, columns = heights - sides.top - sides.bottom, widths - sides.left - sides.right
    if rows < 1 or columns < 1:
        raise ValueError(f"nothing is left of {heights}×{widths} pixels after a crop of {tuple(sides)}")
    batch = x.shape[:-3]
    padding = PadCache((*batch, rows, columns, channels), (*batch, heights, widths, channels), sides, "zero")
    cache = ConvCache(w, padding, step, (1, 1), x.shape)
    y = conv_backward_input(x, cache)
    if b is not None:
        y += b
    return y, cache


@operator(any_array=True)
def conv_transpose_backward_input(dy: Any, cache: ConvCache) -> Any:
    """Carry the derivative back to the input of `conv_transpose`: a convolution.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    cache : ConvCache
        From `conv_transpose`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to x, of its shape.

    Raises
    ------
    ValueError
        If `dy` has another shape than y.
    TypeError
        If `dy` has another dtype than the filters.
    """
    check_cotangent(dy, cache.padding.x_shape, "conv_transpose_backward_input")
    check_dtypes("conv_transpose_backward_input", dy, cache.w)
    return conv(dy, cache.w, None, cache.stride, cache.padding.sides)[0]


@operator(any_array=True)
def conv_transpose_backward_filter(dy: Any, x: Any, cache: ConvCache) -> tuple[Any, Any]:
    """Return the derivatives with respect to the filters and the bias of `conv_transpose`.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to y, of its shape.
    x : ndarray
        The input that `conv_transpose` was given; the cache does not keep it.
    cache : ConvCache
        From `conv_transpose`.

    Returns
    -------
    dw : ndarray, kh×kw×K×C
    db : ndarray of groups·K

    Raises
    ------
    ValueError
        If `dy` or `x` has another shape than in the forward pass.
    TypeError
        If they have another dtype than the filters.
    """
    check_cotangent(dy, cache.padding.x_shape, "conv_transpose_backward_filter")
    check_dtypes("conv_transpose_backward_filter", dy, cache.w)
    if x.shape != cache.y_shape:
        raise ValueError(
            f"conv_transpose_backward_filter: x must be the forward pass's, of shape {cache.y_shape}, got {x.shape}"
        )
    dw, _ = conv_backward_filter(x, dy, cache)
    return dw, dy.reshape(-1, dy.shape[-1]).sum(axis=0, dtype="float64").astype(dy.dtype)


def _check_filters(x: Any, w: Any, b: Any, groups: int) -> int:
    """Return the number of channels of y, or raise ``ValueError`` unless filters, groups and bias fit `x`."""
    batched(x, "x")
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(f"filters must be kh×kw×K×C without an empty axis, got shape {tuple(w.shape)}")
    if w.shape[3] != x.shape[-1]:
        raise ValueError(
            f"transposed filters must have the channels of x, {x.shape[-1]}, on their last axis, got shape "
            f"{tuple(w.shape)}"
        )
    if int(groups) != groups or groups < 1 or x.shape[-1] % groups:
        raise ValueError(f"groups must be a positive integer that divides the {x.shape[-1]} channels, got {groups!r}")
    channels = int(w.shape[2] * groups)
    if b is not None and tuple(b.shape) != (channels,):
        raise ValueError(f"the bias must have {channels} entries, one a channel of y, got shape {tuple(b.shape)}")
    return channels
