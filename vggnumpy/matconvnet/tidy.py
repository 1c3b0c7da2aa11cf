"""Chains of layers in MatConvNet's terms ("simplenn"), from a struct written by hand or any other form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet
from vggnumpy.formats.simplenn import simplenn
from vggnumpy.matconvnet.arrays import is_empty
from vggnumpy.nets import Network

Net = SimpleNet | Network | Mapping[str, Any]

# Type of layer → the fields that have a default, as `vl_simplenn_tidy` fills them in.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "conv": {"pad": 0, "stride": 1, "dilate": 1},
    "convt": {"crop": 0, "upsample": 1, "numGroups": 1},
    "pool": {"pad": 0, "stride": 1},
    "relu": {"leak": 0.0},
    "dropout": {"rate": 0.5},
    "lrn": {"param": (5, 1, 2e-5, 0.75)},
    "bnorm": {"epsilon": 1e-5},
    "softmax": {},
    "softmaxloss": {},
    "custom": {},
}
# What a layer cannot do without.
_NEEDED = {
    "conv": ("weights",),
    "convt": ("weights",),
    "bnorm": ("weights",),
    "pool": ("pool", "method"),
    "custom": ("forward", "backward"),
}


def vl_simplenn_tidy(net: Net) -> SimpleNet:
    """Return a chain of layers with all their fields.

    Parameters
    ----------
    net : SimpleNet, Network or dict
        From `read_mat`; a chain of ours, which `simplenn` converts; or a dict with ``"layers"``, a list of dicts with
        the fields of MatConvNet's structs, and maybe ``"meta"``.

    Returns
    -------
    SimpleNet
        Every layer has ``name`` ("layer1" … if it had none), ``type`` ("lrn" for "normalize"), ``precious`` and
        ``weights``, and what its type needs (see `SimpleNet`).  Old layers' ``filters`` and ``biases`` become
        ``weights``; batch normalisation without moments gets zeros.  The dicts are new, their arrays are not.

    Raises
    ------
    InputError
        If a layer is of an unknown type or lacks what its type needs, or a Network is no chain.
    """
    if isinstance(net, Network):
        return simplenn(net)
    layers, meta = (net.layers, net.meta) if isinstance(net, SimpleNet) else (net.get("layers"), net.get("meta", {}))
    if not isinstance(layers, (list, tuple)) or not layers:
        raise InputError("a network must have layers, a list of dicts as MatConvNet's structs are, got none")
    return SimpleNet([_tidy(layer, i) for i, layer in enumerate(layers, start=1)], meta)


def _tidy(raw: Mapping[str, Any], number: int) -> dict[str, Any]:
    kind = {"normalize": "lrn"}.get(raw.get("type", ""), raw.get("type"))
    if kind not in _DEFAULTS:
        raise InputError(f"layer {number} is of the unknown type {kind!r}; known are {', '.join(_DEFAULTS)}")
    layer = {"name": f"layer{number}", "precious": False, **_DEFAULTS[kind]}
    layer |= {key: value for key, value in raw.items() if kind == "custom" or not is_empty(value)}
    layer["type"] = kind
    if "filters" in layer and "weights" not in layer:
        layer["weights"] = [layer.pop("filters"), layer.pop("biases", None)]
    missing = [field for field in _NEEDED.get(kind, ()) if field not in layer]
    if missing:
        raise InputError(f"layer {number} ({layer['name']}) of type {kind!r} lacks {' and '.join(missing)}")
    if kind in ("conv", "convt", "bnorm"):
        layer["weights"] = _weights(kind, list(layer["weights"]), f"layer {number} ({layer['name']})")
    return {"weights": [], **layer}


def _weights(kind: str, weights: list[Any], owner: str) -> list[Any]:
    """Return filters and biases, or gain, bias and moments."""
    if kind == "bnorm":
        if len(weights) not in (2, 3):
            raise InputError(f"the weights of {owner} must be gain, bias and moments, got {len(weights)} arrays")
        gain = weights[0]
        return weights if len(weights) == 3 else [*weights, np.zeros((gain.size, 2), gain.dtype)]
    if len(weights) > 2:
        raise InputError(f"the weights of {owner} must be filters and biases, got {len(weights)} arrays")
    return [*weights, None][:2]
