"""Padding of images and features: zero, reflect and replicate, with their exact adjoints."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import array_module, operator
from vggnumpy.ops.geometry import Number, Sides, batched, check_cotangent, four_sides

PAD_MODES = {"zero": "constant", "reflect": "reflect", "replicate": "edge"}


class PadCache(NamedTuple):
    """What `pad` keeps for `pad_backward`: no array at all."""

    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    sides: Sides
    mode: str


@operator(any_array=True)
def pad(x: Any, sides: Number, mode: str = "zero") -> tuple[Any, PadCache]:
    r"""Add a border around every image.

    Along each axis padding is a selection: with the source index m,

        y[i] = x[m(i)],   i = −before, …, size − 1 + after

    where, for ``reflect``, m mirrors at the outermost pixels without repeating them (…2 1 | 0 1 2 … on the left
    side), for ``replicate`` m(i) is the nearest pixel inside, and for ``zero`` y[i] = 0 where i lies outside.
    An axis of one pixel has nothing to mirror; there ``reflect`` repeats that pixel.

    Parameters
    ----------
    x : ndarray, N×H×W×C or H×W×C, float32 or float64
        Images or features.
    sides : int or (top, bottom, left, right)
        Pixels to add.
    mode : {"zero", "reflect", "replicate"}
        What the border holds.

    Returns
    -------
    y : ndarray, N×(top+H+bottom)×(left+W+right)×C
        The padded images, in the dtype of `x`; `x` itself if nothing is added.
    cache : PadCache
        For `pad_backward`.

    Raises
    ------
    ValueError
        If the mode is unknown, a side negative or the shape of `x` not that of images.
    """
    if mode not in PAD_MODES:
        raise ValueError(f"pad mode must be one of {', '.join(PAD_MODES)}, got {mode!r}")
    four = four_sides(sides)
    batch = batched(x, "x")
    if any(four):
        widths = ((0, 0), (four.top, four.bottom), (four.left, four.right), (0, 0))
        batch = array_module(x).pad(batch, widths, mode=PAD_MODES[mode])
    y = batch if x.ndim == 4 else batch[0]
    return y, PadCache(x.shape, y.shape, four, mode)


@operator(any_array=True)
def pad_backward(dy: Any, cache: PadCache) -> Any:
    """Carry the derivative back through `pad`: its adjoint.

    From y[i] = x[m(i)] follows dx[j] = Σ dy[i] over all i with m(i) = j: the middle of dy, to which each row (and
    then each column) of the border is added at the row it was copied from.  For ``zero`` only the middle remains.

    Parameters
    ----------
    dy : ndarray
        Derivative with respect to the padded images, of their shape.
    cache : PadCache
        From `pad`.

    Returns
    -------
    dx : ndarray
        Derivative with respect to `x`, of its shape; a view of `dy` for ``zero``, of a new array otherwise.

    Raises
    ------
    ValueError
        If `dy` has another shape than the padded images.
    """
    check_cotangent(dy, cache.y_shape, "pad_backward")
    (top, bottom, left, right), mode = cache.sides, cache.mode
    height, width = cache.x_shape[-3:-1]
    rows, columns = slice(top, top + height), slice(left, left + width)
    if mode == "zero" or not any(cache.sides):
        return dy[..., rows, columns, :]
    # Rows first, at full width, so that a corner goes to its row's border and from there on to its pixel.
    middle = dy[..., rows, :, :].copy()
    source = np.pad(np.arange(height), (top, bottom), mode=PAD_MODES[mode])  # type: ignore[call-overload]
    for i in (*range(top), *range(rows.stop, rows.stop + bottom)):
        middle[..., source[i], :, :] += dy[..., i, :, :]
    dx = middle[..., columns, :]
    source = np.pad(np.arange(width), (left, right), mode=PAD_MODES[mode])  # type: ignore[call-overload]
    for j in (*range(left), *range(columns.stop, columns.stop + right)):
        dx[..., source[j], :] += middle[..., j, :]
    return dx
