"""``vl_simplenn``: a chain of layers evaluated forward and backward, with MatConvNet's rules of what is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vggnumpy.errors import InputError
from vggnumpy.matconvnet.arrays import is_empty
from vggnumpy.matconvnet.blocks import (
    vl_nnbnorm,
    vl_nndropout,
    vl_nnnormalize,
    vl_nnpool,
    vl_nnrelu,
    vl_nnsoftmax,
    vl_nnsoftmaxloss,
)
from vggnumpy.matconvnet.conv import vl_nnconv, vl_nnconvt
from vggnumpy.matconvnet.tidy import Net, vl_simplenn_tidy

_LOSSES = ("loss", "softmaxloss")


@dataclass
class Result:
    """One entry of ``res``; what is not there, or was freed, is None.

    Attributes
    ----------
    x : ndarray (a float after a loss layer)
        Output of layer i in ``res[i]``, i = 1, 2, …; the network's input in ``res[0]``.
    dzdx : ndarray
        Derivative with respect to it.
    dzdw : list of ndarray
        Derivatives with respect to the weights of the layer that *takes* this x, layer i + 1 in ``res[i]``, as in
        MatConvNet: filters and biases; or gain, bias and the moments of the batch times its number of images.
    aux : object
        What the layer whose output this is has kept: the mask of a dropout.
    """

    x: Any = None
    dzdx: Any = None
    dzdw: list[Any] | None = None
    aux: Any = None


def vl_simplenn(
    net: Net,
    x: Any,
    dzdy: Any = None,
    res: Sequence[Result] | None = None,
    *,
    mode: str = "normal",
    conserveMemory: bool = False,
    backPropDepth: float = math.inf,
    skipForward: bool = False,
    accumulate: bool = False,
) -> list[Result]:
    """Evaluate a chain of layers and, given a derivative at its end, all derivatives.

    Parameters
    ----------
    net : SimpleNet, Network or dict
        As `vl_simplenn_tidy` takes it.  A layer of type "custom" has callables ``forward`` and ``backward``, used as
        ``res[i] = layer["forward"](layer, res[i - 1], res[i])`` and
        ``res[i - 1] = layer["backward"](layer, res[i - 1], res[i])``; a "softmaxloss" has its labels in ``class``.
    x : ndarray, H×W×C×N or H×W×C, of the weights' dtype
        Input, already normalised as ``net.meta["normalization"]`` says.
    dzdy : ndarray, or float after a loss, optional
        Derivative of a scalar z with respect to the last layer's output; with it the backward pass takes place.
    res : list of Result, optional
        From an earlier call, which does not change it.
    mode : {"normal", "test"}
        In "test", dropout does nothing and batch normalisation uses its fixed moments.
    conserveMemory : bool
        Free what is no longer needed: in a forward call every x once used; with `dzdy` every x and dzdx behind the
        layer that was differentiated.  The last layer's x and dzdx stay, those of layers with ``precious``, and in
        the forward pass what a loss layer returned.
    backPropDepth : int
        Only the last so many layers are differentiated; does nothing in a forward call.
    skipForward : bool
        Take every x from `res`.
    accumulate : bool
        Add derivatives with respect to weights to those in `res`, for batches in parts.

    Returns
    -------
    list of Result
        One more than there are layers.  ``res[i].x`` is the output of layer i, counted from 1 as in MATLAB, where it is
        ``res(i+1).x``; ``res[0]`` is the input.

    Raises
    ------
    InputError
        In one sentence that names the layer, if something does not fit; for `skipForward` without `dzdy` or `res` it
        begins with MatConvNet's identifier.

    Notes
    -----
    In mode "test" the derivative of batch normalisation is that of what was computed, with moments that do not depend
    on x.  MatConvNet differentiates as in training there.
    """
    layers, backward = vl_simplenn_tidy(net).layers, not is_empty(dzdy)
    if mode not in ("normal", "test"):
        raise InputError(f"the mode of vl_simplenn must be 'normal' or 'test', got {mode!r}")
    if not backPropDepth >= 1:
        raise InputError(f"backPropDepth must be at least 1, got {backPropDepth!r}")
    if skipForward and not backward:
        raise InputError("simplenn:skipForwardNoBackwPass: skipForward needs a backward pass; give dzdy")
    if skipForward and not res:
        raise InputError("simplenn:skipForwardEmptyRes: skipForward needs the results of a forward pass; give res")
    if res and len(res) != len(layers) + 1:
        raise InputError(f"res must have {len(layers) + 1} entries, one more than the layers, got {len(res)}")
    results = [replace(result) for result in res] if res else [Result() for _ in range(len(layers) + 1)]
    last = len(layers) - backPropDepth if backward else math.inf  # layers[i] is differentiated for i ≥ last
    if not skipForward:
        results[0].x = x
        _forward(layers, results, mode == "test", last if conserveMemory else -1)
    if backward:
        results[-1].dzdx = dzdy
        _backward(layers, results, mode == "test", max(last, 0), conserveMemory, accumulate)
    return results


def _forward(layers: list[dict[str, Any]], results: list[Result], test: bool, free_before: float) -> None:
    """Fill in every x; free those that layers before `free_before` took."""
    for i, layer in enumerate(layers):
        before, after = results[i], results[i + 1]
        if layer["type"] == "custom":
            results[i + 1] = layer["forward"](layer, before, after)
        else:
            try:
                after.x, after.aux = _output(layer, before.x, test)
            except ValueError as error:
                raise InputError(f"layer {i + 1} ({layer['name']}): {error}") from None
        wanted = i > 0 and (layers[i - 1]["precious"] or layers[i - 1]["type"] in _LOSSES)
        if i < free_before and not wanted:
            results[i].x = None


def _backward(
    layers: list[dict[str, Any]], results: list[Result], test: bool, last: float, free: bool, accumulate: bool
) -> None:
    """Fill in every derivative, from the end to layer number `last` (from 0)."""
    count = len(layers)
    for i in range(count - 1, int(last) - 1, -1):
        layer, before, after = layers[i], results[i], results[i + 1]
        if layer["type"] == "custom":
            results[i] = layer["backward"](layer, before, after)
        else:
            if before.x is None and not (layer["type"] == "relu" and after.x is not None):
                raise InputError(f"layer {i + 1} ({layer['name']}): its input res[{i}].x was freed; compute it again")
            try:
                before.dzdx, dzdw = _derivatives(layer, before, after, test)
            except ValueError as error:
                raise InputError(f"layer {i + 1} ({layer['name']}): {error}") from None
            if dzdw is not None:
                before.dzdw = _sum(before.dzdw, dzdw) if accumulate and before.dzdw is not None else dzdw
        if free and i + 1 < count and not layer["precious"]:
            after.x = after.dzdx = None
    if free and last > 0 and not layers[int(last) - 1]["precious"]:
        results[int(last)].x = results[int(last)].dzdx = None


def _sum(before: list[Any], now: list[Any]) -> list[Any]:
    return [b if a is None else a if b is None else a + b for a, b in zip(before, now, strict=True)]


def _output(layer: dict[str, Any], x: Any, test: bool) -> tuple[Any, Any]:
    """Return a layer's output, and what its derivative needs besides x."""
    weights = layer["weights"]
    match layer["type"]:
        case "conv":
            f, b = weights
            return vl_nnconv(x, f, b, **_options(layer, "pad", "stride", "dilate")), None
        case "convt":
            f, b = weights
            return vl_nnconvt(x, f, b, **_options(layer, "upsample", "crop", "numGroups")), None
        case "pool":
            return vl_nnpool(x, layer["pool"], **_options(layer, "pad", "stride", "method")), None
        case "relu":
            return vl_nnrelu(x, leak=layer["leak"]), None
        case "bnorm":
            g, b, moments = weights
            return vl_nnbnorm(x, g, b, epsilon=layer["epsilon"], moments=moments if test else None)[0], None
        case "lrn":
            return vl_nnnormalize(x, layer["param"]), None
        case "dropout":
            return (x, None) if test else vl_nndropout(x, rate=layer["rate"])
        case "softmax":
            return vl_nnsoftmax(x), None
    return vl_nnsoftmaxloss(x, _labels(layer)), None


def _derivatives(layer: dict[str, Any], before: Result, after: Result, test: bool) -> tuple[Any, list[Any] | None]:
    """Return the derivatives with respect to a layer's input and, if it has any, to its weights."""
    x, dzdy, weights = before.x, after.dzdx, layer["weights"]
    match layer["type"]:
        case "conv":
            f, b = weights
            dzdx, *dzdw = vl_nnconv(x, f, b, dzdy, **_options(layer, "pad", "stride", "dilate"))
            return dzdx, dzdw
        case "convt":
            f, b = weights
            dzdx, *dzdw = vl_nnconvt(x, f, b, dzdy, **_options(layer, "upsample", "crop", "numGroups"))
            return dzdx, dzdw
        case "pool":
            return vl_nnpool(x, layer["pool"], dzdy, **_options(layer, "pad", "stride", "method")), None
        case "relu":
            return vl_nnrelu(after.x if x is None else x, dzdy, leak=layer["leak"]), None
        case "bnorm":
            g, b, moments = weights
            fixed = moments if test else None
            dzdx, dzdg, dzdb, used = vl_nnbnorm(x, g, b, dzdy, epsilon=layer["epsilon"], moments=fixed)
            return dzdx, [dzdg, dzdb, used * (x.shape[3] if x.ndim == 4 else 1)]
        case "lrn":
            return vl_nnnormalize(x, layer["param"], dzdy), None
        case "dropout":
            return (dzdy if test else vl_nndropout(x, dzdy, mask=after.aux)), None
        case "softmax":
            return vl_nnsoftmax(x, dzdy), None
    return vl_nnsoftmaxloss(x, _labels(layer), dzdy), None


def _options(layer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: layer[name] for name in names}


def _labels(layer: dict[str, Any]) -> Any:
    if "class" not in layer:
        raise ValueError("a softmaxloss needs its labels; set the layer's field class")
    return layer["class"]
