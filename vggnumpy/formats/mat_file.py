"""Networks as MatConvNet stores them: a chain of layers ("simplenn") in a ``.mat`` file, of any age.

Three layouts were published: with ``filters`` and ``biases`` (to beta10), with ``weights`` (to beta16), and with
``meta`` (since beta17); any of them may lie in one variable ``net``.  Here all become the current one, by the rules of
MatConvNet's own ``vl_simplenn_tidy``.  What the layers mean is not decided here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggnumpy.files import PathLike, open_input
from vggnumpy.formats.hdf5_guard import SIGNATURE
from vggnumpy.formats.mat_v5 import read_v5
from vggnumpy.formats.mat_v73 import read_v73
from vggnumpy.formats.mat_values import Unread
from vggnumpy.formats.reading import RefusedError, one_sentence, quote

_USER_BLOCK = 512
_DAG = (
    "it holds a DagNN model of MatConvNet (a graph), and vggnumpy reads its chains (simplenn) alone; use the Caffe "
    "original (.caffemodel) that such models were imported from"
)
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class SimpleNet:
    """A chain of layers in MatConvNet's own terms, as ``vl_simplenn_tidy`` leaves it.

    Attributes
    ----------
    layers : list of dict
        In order.  All have ``name`` (str), ``type`` (str; ``"normalize"`` is given as ``"lrn"``, its later name),
        ``precious`` (bool) and ``weights`` (list of ndarray, as stored: float32 or float64).  Further by type:

        * ``conv``: ``weights`` [filters H×W×Cin×Cout, biases of Cout (zeros where the file has none)],
          ``pad`` (top, bottom, left, right), ``stride`` and ``dilate`` (y, x);
        * ``convt``: ``weights`` [filters H×W×(Cout/groups)×Cin, biases of Cout], ``crop`` (as ``pad``), ``upsample``
          (y, x), ``numGroups``;
        * ``bnorm``: ``weights`` [gain of C, bias of C, moments C×2 (mean, standard deviation with epsilon)],
          ``epsilon``;
        * ``pool``: ``pool`` (height, width), ``stride``, ``pad``, ``method`` ("max" or "avg");
        * ``relu``: ``leak``; ``dropout``: ``rate``; ``lrn``: ``param`` (size, kappa, alpha, beta).

        Layers of other types have no further keys.
    meta : dict
        What the file has of ``classes`` (a dict of ``name`` and ``description``, lists of str) and ``normalization``: a
        dict of ``averageImage`` (three float64, the mean over positions), ``averageImageVaries`` (bool: whether it was
        not the same everywhere), ``imageSize`` (height, width), ``border`` (y, x), ``cropSize`` (y, x),
        ``keepAspect`` (bool), ``interpolation`` (str); and ``license`` (str), which files of our own have.
    """

    layers: list[dict[str, Any]]
    meta: dict[str, Any]


def read_mat(path: PathLike) -> SimpleNet:
    """Read a MatConvNet network from a ``.mat`` file.

    Parameters
    ----------
    path : str or os.PathLike
        Of version 5, 7 or 7.3, in any of the three layouts.

    Returns
    -------
    SimpleNet
        Its arrays bit for bit as stored.

    Raises
    ------
    InputError
        In one sentence, if the file is missing, no such file, damaged or cut short, holds no network or a graph
        (DagNN), a field is not what it should be, or a weight is not finite.
    """
    with open_input(path) as file, one_sentence(path):
        size = os.fstat(file.fileno()).st_size
        head = file.read(_USER_BLOCK + len(SIGNATURE))
        file.seek(0)
        if SIGNATURE in (head[: len(SIGNATURE)], head[_USER_BLOCK:]):
            variables = read_v73(file, size, _USER_BLOCK if head[_USER_BLOCK:] == SIGNATURE else 0)
        elif head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
            variables = read_v5(file, size)
        else:
            found = "another kind of file, or its beginning is damaged" if size else "an empty file"
            raise RefusedError(f"expected a MAT file of version 5, 7 or 7.3, found {found}")
        return _tidy(variables)


def _tidy(variables: dict[str, Any]) -> SimpleNet:
    """Bring any layout into the current one, as ``vl_simplenn_tidy`` does."""
    net = variables["net"] if "layers" not in variables and "net" in variables else variables
    if isinstance(net, Unread):
        raise RefusedError(f"its variable net is {net.what}, expected a struct with layers; {_objects(net)}")
    layers = net.get("layers") if isinstance(net, dict) else None
    if isinstance(layers, dict) or (isinstance(layers, Unread) and layers.what == "a struct array"):
        raise RefusedError(_DAG)
    if not isinstance(layers, list) or not layers:
        raise RefusedError("it holds no network of MatConvNet: expected a cell array named layers, or net.layers")
    meta = net.get("meta")
    about = dict(meta) if isinstance(meta, dict) else {}
    about |= {name: net[name] for name in ("classes", "normalization") if name in net}
    return SimpleNet([_layer(layer, i) for i, layer in enumerate(layers, start=1)], _meta(about))


def _objects(value: Unread) -> str:
    return "if that is a DagNN model, use its Caffe original" if value.what == "an object" else "save it as a struct"


def _layer(raw: Any, number: int) -> dict[str, Any]:
    """Return layer `number` with every field that its type has, defaults filled in."""
    if not isinstance(raw, dict):
        raise RefusedError(f"layer {number} is not a struct")
    fields = _Fields(raw, f"layer {number}")
    kind = fields.text("type", None)
    name = fields.text("name", f"layer{number}") or f"layer{number}"
    fields.owner = f"layer {number} ({quote(name)})"
    layer: dict[str, Any] = {
        "name": name,
        "type": "lrn" if kind == "normalize" else kind,
        "precious": bool(fields.numbers("precious", 1, [0])[0]),
        "weights": [],
    }
    if kind in _LAYERS:
        layer |= _LAYERS[kind](fields)
    return layer


def _is_empty(value: Any) -> bool:
    return value.size == 0 if isinstance(value, np.ndarray) else value is None or value in ([], "")


class _Fields:
    """A struct's fields, each taken with the type, number and range that it must have.

    As in MATLAB an empty array stands for a field that is not there.
    """

    def __init__(self, raw: dict[str, Any], owner: str):
        self._raw, self.owner = raw, owner

    def get(self, name: str) -> Any:
        value = self._raw.get(name)
        if isinstance(value, Unread):
            raise self.fault(name, f"is {value.what}")
        return None if _is_empty(value) else value

    def fault(self, name: str, found: str) -> RefusedError:
        return RefusedError(f"{self.owner}: its field {name} {found}")

    def text(self, name: str, default: str | None) -> str:
        value = self.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.fault(name, "is missing" if value is None else "is not a text")
        return value

    def numbers(self, name: str, count: int, default: list[float]) -> list[float]:
        """Return `count` finite numbers; a single one is repeated."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, np.ndarray) or value.size not in (1, count):
            found = f"has {value.size} numbers" if isinstance(value, np.ndarray) else "is not numbers"
            raise self.fault(name, f"{found}, expected {count}")
        numbers = [float(number) for number in value.reshape(-1, order="F")]
        if not all(map(math.isfinite, numbers)):
            raise self.fault(name, "is not finite")
        return numbers if len(numbers) == count else numbers * count

    def integers(self, name: str, count: int, least: int, default: int | None) -> tuple[int, ...]:
        """Return `count` integers, none below `least`; a single one is repeated."""
        value = self.numbers(name, count, [] if default is None else [default] * count)
        if not value:
            raise self.fault(name, "is missing")
        if not all(least <= number <= _LARGEST and number == int(number) for number in value):
            raise self.fault(name, f"is {value}, expected integers from {least}")
        return tuple(int(number) for number in value)

    def arrays(self) -> list[np.ndarray | None]:
        """Return the weights of whatever layout, None for an empty one, each finite and of a floating type."""
        weights = self.get("weights") if "weights" in self._raw else [self.get("filters"), self.get("biases")]
        arrays: list[np.ndarray | None] = []
        for value in weights if isinstance(weights, list) else [weights]:
            if _is_empty(value):
                arrays.append(None)
                continue
            if not isinstance(value, np.ndarray):
                raise self.fault("weights", "is not a cell array of numbers")
            if value.dtype.kind != "f":
                raise self.fault("weights", f"holds {value.dtype} numbers, expected single or double")
            bad = value.size - int(np.count_nonzero(np.isfinite(value)))
            if bad:
                raise self.fault("weights", f"holds {bad} numbers that are not finite")
            arrays.append(value)
        return arrays

    def filters_and_biases(self, outputs: Callable[[tuple[int, ...]], int]) -> list[np.ndarray]:
        """Return filters with the four axes that MATLAB drops when the last are 1, and one bias per output."""
        arrays = self.arrays()
        filters, biases = (arrays + [None] * 2)[:2]
        if filters is None:
            raise self.fault("weights", "holds no filters")
        if len(arrays) > 2 or filters.ndim > 4:
            raise self.fault("weights", "holds more than filters of four axes and biases")
        filters = filters.reshape(filters.shape + (1,) * (4 - filters.ndim), order="F")
        count = outputs(filters.shape)
        if biases is None:
            biases = np.zeros(count, filters.dtype)
        if biases.size != count:
            raise self.fault("weights", f"holds {biases.size} biases for filters of shape {filters.shape}")
        return [filters, biases.reshape(-1, order="F")]


def _conv(fields: _Fields) -> dict[str, Any]:
    return {
        "weights": fields.filters_and_biases(lambda shape: shape[3]),
        "pad": fields.integers("pad", 4, 0, 0),
        "stride": fields.integers("stride", 2, 1, 1),
        "dilate": fields.integers("dilate", 2, 1, 1),
    }


def _convt(fields: _Fields) -> dict[str, Any]:
    (groups,) = fields.integers("numGroups", 1, 1, 1)
    return {
        "weights": fields.filters_and_biases(lambda shape: shape[2] * groups),
        "crop": fields.integers("crop", 4, 0, 0),
        "upsample": fields.integers("upsample", 2, 1, 1),
        "numGroups": groups,
    }


def _bnorm(fields: _Fields) -> dict[str, Any]:
    arrays = fields.arrays()
    gain, bias, moments = (arrays + [None] * 3)[:3]
    if gain is None or bias is None or len(arrays) > 3:
        raise fields.fault("weights", "is not gain, bias and moments")
    if moments is None:
        moments = np.zeros((gain.size, 2), gain.dtype)
    if bias.size != gain.size or moments.shape != (gain.size, 2):
        raise fields.fault(
            "weights", f"holds {gain.size} gains, {bias.size} biases and moments of shape {moments.shape}"
        )
    weights = [gain.reshape(-1, order="F"), bias.reshape(-1, order="F"), moments]
    return {"weights": weights, "epsilon": fields.numbers("epsilon", 1, [1e-5])[0]}


def _pool(fields: _Fields) -> dict[str, Any]:
    return {
        "pool": fields.integers("pool", 2, 1, None),
        "stride": fields.integers("stride", 2, 1, 1),
        "pad": fields.integers("pad", 4, 0, 0),
        "method": fields.text("method", None),
    }


def _lrn(fields: _Fields) -> dict[str, Any]:
    return {"param": tuple(fields.numbers("param", 4, [5, 1, 1e-4 / 5, 0.75]))}


_LAYERS: dict[str, Callable[[_Fields], dict[str, Any]]] = {
    "conv": _conv,
    "convt": _convt,
    "bnorm": _bnorm,
    "pool": _pool,
    "relu": lambda fields: {"leak": fields.numbers("leak", 1, [0.0])[0]},
    "dropout": lambda fields: {"rate": fields.numbers("rate", 1, [0.5])[0]},
    "lrn": _lrn,
    "normalize": _lrn,
}


def _meta(about: dict[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if isinstance(about.get("classes"), dict):
        fields = _Fields(about["classes"], "classes")
        meta["classes"] = {
            name: _texts(fields, name) for name in ("name", "description") if fields.get(name) is not None
        }
    if isinstance(about.get("normalization"), dict):
        meta["normalization"] = _normalization(_Fields(about["normalization"], "normalization"))
    if isinstance(about.get("license"), str):
        meta["license"] = about["license"]
    return meta


def _texts(fields: _Fields, name: str) -> list[str]:
    """Return a cell array of texts, or a matrix of characters with one text a row."""
    value = fields.get(name)
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) or (isinstance(item, np.ndarray) and not item.size) for item in items):
        raise fields.fault(name, "is not a cell array of texts")
    return [item if isinstance(item, str) else "" for item in items]


def _normalization(fields: _Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    average = fields.get("averageImage")
    if average is not None:
        found["averageImage"], found["averageImageVaries"] = _average_color(fields, average)
    size = fields.get("imageSize")
    if size is not None:  # [height width], [height width depth] or that and a fourth number
        sides = size.reshape(-1, order="F")[:2] if isinstance(size, np.ndarray) else size
        found["imageSize"] = _Fields({"imageSize": sides}, fields.owner).integers("imageSize", 2, 1, None)
    if fields.get("border") is not None:
        found["border"] = fields.integers("border", 2, 0, None)
    if fields.get("keepAspect") is not None:
        found["keepAspect"] = bool(fields.numbers("keepAspect", 1, [])[0])
    if fields.get("interpolation") is not None:
        found["interpolation"] = fields.text("interpolation", None)
    if fields.get("cropSize") is not None:
        found["cropSize"] = tuple(fields.numbers("cropSize", 2, []))
    elif {"imageSize", "border"} <= set(found):
        found["cropSize"] = tuple(n / (n + b) for n, b in zip(found["imageSize"], found["border"], strict=True))
    return found


def _average_color(fields: _Fields, average: Any) -> tuple[np.ndarray, bool]:
    """Return the mean of an average image over its positions, and whether it varied; three numbers are a colour."""
    if not isinstance(average, np.ndarray) or average.dtype.kind not in "fiu":
        raise fields.fault("averageImage", "is not numbers")
    if average.size == 3 or (average.ndim == 3 and average.shape[2] == 3):
        colors = average.reshape((-1, 3), order="F").astype("float64")
        if not np.isfinite(colors).all():
            raise fields.fault("averageImage", "is not finite")
        varies = bool((colors != colors[0]).any())
        # The mean of equal numbers may differ from them by rounding.
        return colors.mean(axis=0) if varies else colors[0].copy(), varies
    raise fields.fault("averageImage", f"has shape {average.shape}, expected height × width × 3")
