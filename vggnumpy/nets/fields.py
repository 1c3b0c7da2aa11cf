r"""Sizes and receptive fields: what each position of each layer sees of the image.  Pure functions of a layer table.

Along one axis, output i of a layer depends on the inputs

* s·i − before … s·i − before + d (k − 1), in steps of d, of a convolution or pool (window k, stride s, dilation d);
* ⌈(i + before − k + 1)/u⌉ … ⌊(i + before)/u⌋ of a transposed convolution with upsampling u;
* i alone of all others,

as far as there are such inputs: padding is not part of the image.  The field of i reaches from the earliest beginning
to the latest end of its inputs' own fields, and layer after layer that is the exact span of pixels that a position can
depend on, at the border too.  Where branches join it is the smallest rectangle around theirs.

In the middle of an image these are the receptive fields of `vggnumpy.matconvnet.vl_simplenn_display`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggnumpy.errors import InputError
from vggnumpy.nets.tables import INPUT, Layer
from vggnumpy.ops.geometry import conv_size, pool_size


class Spans(NamedTuple):
    """For each position along an axis, what it sees of another axis: from `start` up to, not including, `stop`."""

    start: NDArray[np.intp]
    stop: NDArray[np.intp]


def layer_spans(layer: Layer, size: int, axis: int) -> Spans:
    """Return what each output position of a layer sees of its input, along one axis.

    Parameters
    ----------
    layer : Layer
    size : int
        Of the input, along this axis.
    axis : {0, 1}
        Vertical or horizontal.

    Returns
    -------
    Spans
        As long as the output.  A window that lies in the padding altogether stands for the nearest position.

    Raises
    ------
    ValueError
        If the input is too small for the layer.
    """
    before, after = layer.pad[2 * axis : 2 * axis + 2]
    window, stride, dilate = layer.size[axis] or size, layer.stride[axis], layer.dilate[axis]
    if layer.kind == "convt":
        i = np.arange(stride * (size - 1) + window - before - after)
        first, last = -((window - 1 - before - i) // stride), (i + before) // stride
    elif layer.kind in ("conv", "pool"):
        if layer.kind == "conv":
            count = conv_size(size, window, before, after, stride, dilate)
        else:
            count = pool_size(size, window, before, after, stride, layer.rounding)
        begin = stride * np.arange(count) - before
        end = begin + dilate * (window - 1)
        first = np.where(begin < 0, begin % dilate, begin)
        last = np.where(end >= size, end - dilate * -((size - 1 - end) // dilate), end)
    else:
        first = last = np.arange(size)
    first = first.clip(0, size - 1)
    return Spans(first, last.clip(first, size - 1) + 1)


def over_spans(operation: np.ufunc, array: NDArray[Any], spans: Spans) -> NDArray[Any]:
    """Reduce spans of an array's first axis, which may overlap, by a ufunc such as ``np.maximum``: one row each."""
    longer = np.concatenate([array, array[-1:]])  # reduceat takes no bound at the end
    reduced: NDArray[Any] = operation.reduceat(longer, np.stack(spans, axis=1).reshape(-1))[::2]
    return reduced


def receptive_fields(
    table: Iterable[Layer], height: int, width: int, layers: Iterable[str]
) -> dict[str, tuple[Spans, Spans]]:
    """Return the rows and the columns of the image that each position of some layers depends on.

    Parameters
    ----------
    table : iterable of Layer
    height, width : int
        Of the image.
    layers : iterable of str
        Names of layers.

    Returns
    -------
    dict
        Each layer's name → (rows, columns): position (i, j) depends on the pixels of rows ``rows.start[i]`` to
        ``rows.stop[i] − 1`` and columns ``columns.start[j]`` to ``columns.stop[j] − 1``, and on no others.

    Raises
    ------
    InputError
        If the image is too small for a layer.
    """
    wanted = set(layers)
    rows, columns = (Spans(np.arange(side), np.arange(side) + 1) for side in (height, width))
    fields = {INPUT: (rows, columns)}
    for layer in needed_layers(table, wanted):
        axes = []
        for axis in (0, 1):
            inputs = [fields[name][axis] for name in layer.inputs]
            before = Spans(
                np.min([spans.start for spans in inputs], axis=0), np.max([spans.stop for spans in inputs], axis=0)
            )
            try:
                seen = layer_spans(layer, len(before.start), axis)
            except ValueError as error:
                raise InputError(f"layer {layer.name} of an image of {height}×{width} pixels: {error}") from None
            axes.append(Spans(over_spans(np.minimum, before.start, seen), over_spans(np.maximum, before.stop, seen)))
        fields[layer.name] = axes[0], axes[1]
    return {name: fields[name] for name in wanted}


def needed_layers(table: Iterable[Layer], names: Iterable[str]) -> list[Layer]:
    """Return the layers that the named ones depend on, themselves included, in the order of computation."""
    needed, found = set(names), []
    for layer in reversed(tuple(table)):
        if layer.name in needed:
            needed.update(layer.inputs)
            found.append(layer)
    return found[::-1]
