r"""Masks of an image carried to the positions of a layer, in five ways.

A mask gives every pixel a weight in each of K regions.  A position of a layer is not a pixel: it has a place in the
image and it sees a whole rectangle of pixels, its receptive field (`vggnumpy.nets.fields`).  So there is more than one
answer to what its weight is:

``area``          the mean of the mask over the position's own rectangle, the image being cut into as many equal ones
                  as the layer has positions.  Weights that add up to 1 still do, and no region is ever lost.
``inside``        the smallest weight in the receptive field: for a hard mask, 1 where the whole field, as far as it is
                  inside the image, lies in the region.  No position mixes two regions, but there is a gap between
                  them that is as wide as the field, and small regions are lost in deep layers.
``all``           the largest weight in the receptive field: 1 where any part of the field lies in the region.
                  Regions overlap by the width of the field.
``twin_average``  the mask is sent through the network with a mean over the same window in place of each convolution
                  (3×3 with stride 1 in VGG) and the network's own pools, padding left out of every mean: weights become
                  as soft as the features are blurred, and still add up to 1 if the pools are means.
``twin_max``      the same with the largest weight in place of the mean.

The names of the first three are those of Gatys' and others' programs ("simple", "inside", "all"), which approximate
receptive fields by a few pixels of erosion or dilation; here they are exact.  Where branches join, a twin takes their
mean, or their largest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggnumpy.area import area_average
from vggnumpy.errors import InputError
from vggnumpy.nets.fields import Spans, layer_spans, needed_layers, over_spans, receptive_fields
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.nets.tables import INPUT, Layer

WAYS = ("area", "inside", "all", "twin_average", "twin_max")

Array = NDArray[Any]


def check_masks(
    masks: Any, size: tuple[int, int], names: Sequence[str] | None = None, picture: str = "picture"
) -> tuple[str, ...]:
    """Check the masks of a picture, and return the regions' names.

    Parameters
    ----------
    masks : ndarray, H×W×K
        Weights of the pixels in each region.
    size : (height, width)
        Of the picture that they belong to.
    names : sequence of K str, optional
        What messages call the regions; by default their numbers from 1.
    picture : str
        What messages call the picture, such as "style picture".

    Raises
    ------
    InputError
        If the masks are not such an array or have another size than the picture, a weight is negative or not finite, or
        a region has no pixel; in one sentence that says what to do.
    """
    array = np.asarray(masks)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "bf":
        raise InputError(
            f"the masks of the {picture} must be H×W×K weights, one channel for each region, got {array.dtype} of "
            f"shape {array.shape}"
        )
    if array.shape[:2] != tuple(size):
        raise InputError(
            f"the masks of the {picture} are {array.shape[0]}×{array.shape[1]} pixels (height × width) and the picture "
            f"is {size[0]}×{size[1]}: make them the same size"
        )
    named = tuple(names) if names is not None else tuple(str(k + 1) for k in range(array.shape[2]))
    if len(named) != array.shape[2]:
        raise InputError(f"the masks of the {picture} have {array.shape[2]} regions and {len(named)} names were given")
    if not (np.isfinite(array).all() and array.min() >= 0):
        raise InputError(f"the masks of the {picture} must hold finite weights of at least 0")
    missing = [name for name, used in zip(named, np.any(array, axis=(0, 1)).tolist(), strict=True) if not used]
    if missing:
        raise InputError(
            f"region {missing[0]} has no pixel in the masks of the {picture}: paint it there, or leave it out of the "
            "masks of all pictures"
        )
    return named


def carry_masks(
    net: Network,
    masks: Any,
    layers: Iterable[LayerKey],
    way: str = "area",
    names: Sequence[str] | None = None,
    picture: str = "picture",
) -> dict[LayerKey, Array]:
    """Carry the masks of a picture to the positions of some layers.

    Parameters
    ----------
    net : Network
    masks : ndarray, H×W×K
        Weights of the picture's pixels in each of K regions, at least 0; they need not add up to 1.
    layers : iterable of str or int
        Layer names or MatConvNet's layer numbers.
    way : {"area", "inside", "all", "twin_average", "twin_max"}
        See this module.
    names, picture
        As for `check_masks`.

    Returns
    -------
    dict
        Each layer, as it was given → its weights, H'×W'×K of the network's dtype, a NumPy array.

    Raises
    ------
    InputError
        As `check_masks`, if a region is empty at a layer, the picture is too small for a layer, the network has no such
        layer, or the way is unknown.
    """
    if way not in WAYS:
        raise InputError(f"masks are carried to layers by one of {', '.join(WAYS)}, got {way!r}")
    named = check_masks(masks, np.shape(masks)[:2], names, picture)
    keys = {key: net.layer_name(key) for key in layers}
    array = np.asarray(masks, net.dtype)
    fields = receptive_fields(net.table, array.shape[0], array.shape[1], keys.values())
    if way.startswith("twin"):
        carried = _twin(net.table, array, keys.values(), _mean if way == "twin_average" else _largest)
    elif way == "area":
        sizes = {layer: (len(rows.start), len(columns.start)) for layer, (rows, columns) in fields.items()}
        each = {size: area_average(array, size) for size in set(sizes.values())}
        carried = {layer: each[size] for layer, size in sizes.items()}
    else:
        reduce = _smallest if way == "inside" else _largest
        carried = {layer: _both_axes(array, spans, reduce) for layer, spans in fields.items()}
    for layer in keys.values():
        _check_none_empty(
            carried[layer], named, f"region {{}} of the {picture} is empty at layer {layer}", fields[layer]
        )
    return {key: carried[name] for key, name in keys.items()}


def _check_none_empty(weights: Array, names: Sequence[str], what: str, fields: tuple[Spans, Spans]) -> None:
    for name, used in zip(names, np.any(weights, axis=(0, 1)).tolist(), strict=True):
        if not used:
            height, width = (int((spans.stop - spans.start).max()) for spans in fields)
            raise InputError(
                f"{what.format(name)}, where a position sees {height}×{width} pixels and none has any weight in it: "
                "enlarge the region or the picture, use the way 'area', or leave the layer out"
            )


def _mean(array: Array, spans: Spans) -> Array:
    counts = (spans.stop - spans.start).astype(array.dtype)
    means: Array = over_spans(np.add, array, spans) / counts.reshape(-1, *[1] * (array.ndim - 1))
    return means


def _largest(array: Array, spans: Spans) -> Array:
    return over_spans(np.maximum, array, spans)


def _smallest(array: Array, spans: Spans) -> Array:
    return over_spans(np.minimum, array, spans)


def _both_axes(array: Array, fields: tuple[Spans, Spans], reduce: Any) -> Array:
    rows = reduce(array, fields[0])
    return np.ascontiguousarray(reduce(rows.swapaxes(0, 1), fields[1]).swapaxes(0, 1))


def _twin(table: Iterable[Layer], array: Array, layers: Iterable[str], convolve: Any) -> dict[str, Array]:
    """Send masks through the network with pools in place of its convolutions."""
    wanted, outputs = set(layers), {INPUT: array}
    needed = needed_layers(table, wanted)
    last_use = {name: layer.name for layer in needed for name in layer.inputs}
    for layer in needed:
        inputs = [outputs[name] for name in layer.inputs]
        x = (
            inputs[0]
            if len(inputs) == 1
            else convolve(np.stack(inputs), Spans(np.array([0]), np.array([len(inputs)])))[0]
        )
        if layer.kind in ("conv", "convt", "pool"):
            spans = layer_spans(layer, x.shape[0], 0), layer_spans(layer, x.shape[1], 1)
            reduce = convolve if layer.kind != "pool" else _mean if layer.method == "average" else _largest
            x = _both_axes(x, spans, reduce)
        outputs[layer.name] = x
        for name in layer.inputs:
            if last_use[name] == layer.name and name not in wanted:
                outputs.pop(name, None)
    return {name: outputs[name] for name in wanted}
