"""A network: filters, a layer table, and a short interpreter over the operators' forward and backward passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from vggnumpy import ops
from vggnumpy.backend import FLOAT_TYPES, array_module, backend_of, to_host
from vggnumpy.errors import InputError
from vggnumpy.nets.architectures import CLASSIFIERS
from vggnumpy.nets.steps import backward_step, forward_step, weight_derivatives
from vggnumpy.nets.tables import INPUT, PARTS, Layer, check_parts, check_table

LayerKey = str | int
POOLINGS = ("max", "average")
CHANNEL_ORDERS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0)}


class Tape(NamedTuple):
    """What a forward pass keeps for the backward pass: each layer's cache, in order."""

    steps: tuple[tuple[Layer, Any], ...]
    shapes: dict[str, tuple[int, ...]]
    image_shape: tuple[int, ...]


@dataclass
class Record:
    """What `Network.inspect` gives for one layer.

    Attributes
    ----------
    x : ndarray
        The layer's output (``res(i+1).x`` in MatConvNet for layer i).
    dzdx : ndarray or None
        Derivative with respect to that output (``res(i+1).dzdx``); None where no derivative arrives.
    dzdw, dzdb : ndarray or None
        Derivatives with respect to the layer's own filters (or gains, or slopes) and bias, on request.
    """

    x: Any
    dzdx: Any = None
    dzdw: Any = None
    dzdb: Any = None


class Inspection(dict[str, Record]):
    """Records by layer name, and by MatConvNet's layer number: ``[0]`` is the input, ``[13]`` layer 13's output."""

    def __init__(self, records: Mapping[str, Record], numbers: Mapping[int, str]):
        super().__init__(records)
        self._numbers = {0: INPUT, **numbers}

    def __missing__(self, key: Any) -> Record:
        if key in self._numbers and self._numbers[key] in self:
            return self[self._numbers[key]]
        raise KeyError(key)


@dataclass(frozen=True)
class Network:
    """Filters and the order in which they are applied.

    Attributes
    ----------
    name : str
        What the network is called, such as ``"vgg19"``.
    table : tuple of Layer
        The layers in the order of computation.
    weights : dict
        Layer name → parts, float32 or float64: (filters kh×kw×C×K, bias of K) of a convolution, (filters kh×kw×K×C,
        bias of K) of a transposed one, (slopes of C,) of a per-channel leaky rectifier, and (gains of C, biases of C,
        moments C×2, mean and deviation) of a batch normalisation.
    channel_order : {"RGB", "BGR"}
        Order of the channels that the first layer expects.
    mean : tuple of 3 floats
        Subtracted from the pixels (0–255), in `channel_order`.
    scale : tuple of 3 floats
        Then multiplied with, in `channel_order`.
    pad_mode : {"zero", "reflect", "replicate"}
        What the padding of the convolutions holds.
    provenance : dict
        Source, licence, digest and the like, for the record of a run.
    image_size : (height, width) or None
        Of the pictures that its classifier was trained on.
    classes : tuple of str
        What the channels of its classifier stand for; empty where unknown.
    """

    name: str
    table: tuple[Layer, ...]
    weights: dict[str, tuple[Any, ...]]
    channel_order: str = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    pad_mode: str = "zero"
    provenance: dict[str, Any] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.channel_order not in CHANNEL_ORDERS:
            raise InputError(f"channel order must be RGB or BGR, got {self.channel_order!r}")
        if self.pad_mode not in ops.PAD_MODES:
            raise InputError(f"pad mode must be one of {', '.join(ops.PAD_MODES)}, got {self.pad_mode!r}")
        if len({str(array.dtype) for pair in self.weights.values() for array in pair}) > 1:
            raise InputError(f"the weights of network {self.name} must all have one dtype")
        check_table(self.table, 3, {name: tuple(parts[0].shape) for name, parts in self.weights.items() if parts})
        for layer in self.table:
            check_parts(layer, tuple(tuple(part.shape) for part in self.weights.get(layer.name, ())))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the order of computation."""
        return tuple(layer.name for layer in self.table)

    @property
    def numbers(self) -> dict[int, str]:
        """MatConvNet's number of each layer that it counts, from 1, → the layer's name."""
        return dict(enumerate((layer.name for layer in self.table if layer.numbered), start=1))

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, the dtype of weights, images and features."""
        dtype: np.dtype[Any] = next(iter(self.weights.values()))[0].dtype
        return dtype

    @property
    def mean_color(self) -> np.ndarray:
        """The RGB colour (0–255) that the first 3×3 layer sees as zero: what the pixels are centred on."""
        color = np.array(self.mean, "float64")
        if "conv0" in self.weights:  # z = (p − mean)·scale·W + b is zero at p = mean − b W⁻¹ / scale
            w, b = (to_host(array).astype("float64") for array in self.weights["conv0"])
            color = color - np.linalg.solve(w[0, 0].T, b) / np.array(self.scale)
        return color[list(CHANNEL_ORDERS[self.channel_order])]

    def layer_name(self, key: LayerKey) -> str:
        """Return the name of a layer given by name or by MatConvNet's number.

        Raises
        ------
        InputError
            If the network has no such layer; the message says which it has.
        """
        if isinstance(key, str) and key in self.layers:
            return key
        if isinstance(key, int) and key in self.numbers:
            return self.numbers[key]
        raise InputError(
            f"network {self.name} has no layer {key!r}; it has {', '.join(self.layers)}, "
            f"or by number 1 to {len(self.numbers)}"
        )

    def with_pooling(self, pooling: str) -> Network:
        """Return the same network with every pool computing ``"max"`` or ``"average"``.

        Raises
        ------
        InputError
            If `pooling` is neither.
        """
        if pooling not in POOLINGS:
            raise InputError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        return self._with_pools(method=pooling)

    def with_pool_rounding(self, rounding: str) -> Network:
        """Return the same network with every pool dropping (``"floor"``) or keeping (``"ceil"``) a cut last window.

        Raises
        ------
        InputError
            If `rounding` is neither.
        """
        if rounding not in ("floor", "ceil"):
            raise InputError(f"pool rounding must be floor or ceil, got {rounding!r}")
        return self._with_pools(rounding=rounding)

    def _with_pools(self, **changes: str) -> Network:
        # A classifier's mean over the whole map stays what it is.
        chosen = {layer.name for layer in self.table if layer.kind == "pool"} - self._classifier()
        table = tuple(replace(layer, **changes) if layer.name in chosen else layer for layer in self.table)  # type: ignore[arg-type]
        return replace(self, table=table)

    def without_classifier(self) -> Network:
        """Return the same network without the layers that only name a picture's class, if its architecture is known."""
        top = self._classifier()
        table = tuple(layer for layer in self.table if layer.name not in top)
        weights = {name: parts for name, parts in self.weights.items() if name not in top}
        return replace(self, table=table, weights=weights)

    def _classifier(self) -> set[str]:
        """Return the layers of the architecture's classifier and whatever else follows them."""
        top = {layer.name for layer in CLASSIFIERS.get(self.name, ())}
        for layer in self.table:
            if not top.isdisjoint(layer.inputs):
                top.add(layer.name)
        return top

    def astype(self, dtype: str) -> Network:
        """Return the same network with weights of `dtype` (float32 or float64).

        Raises
        ------
        InputError
            If `dtype` is neither.
        """
        if dtype not in FLOAT_TYPES:
            raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
        weights = {name: tuple(a.astype(dtype, copy=False) for a in pair) for name, pair in self.weights.items()}
        return replace(self, weights=weights)

    def preprocess(self, image: Any) -> Any:
        """Turn RGB pixels 0–255 into what the first layer sees.

            z = (p[order] − mean) · scale

        Parameters
        ----------
        image : ndarray, H×W×3 or N×H×W×3, RGB, of the network's dtype

        Returns
        -------
        ndarray
            Same shape and dtype.

        Raises
        ------
        TypeError
            If the image has another dtype than the network.
        ValueError
            If its shape is not that of RGB images.
        """
        xp = array_module(image)
        if image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise ValueError(f"an image must be H×W×3 or N×H×W×3, got shape {tuple(image.shape)}")
        if image.dtype != self.dtype:
            raise TypeError(f"the image is {image.dtype} and network {self.name} {self.dtype}: convert one of them")
        centred = image[..., list(CHANNEL_ORDERS[self.channel_order])] - xp.asarray(self.mean, self.dtype)
        return centred * xp.asarray(self.scale, self.dtype)

    def preprocess_backward(self, dz: Any) -> Any:
        """Carry the derivative back through `preprocess`: dp = (dz · scale)[order], as an order is its own inverse."""
        scaled = dz * array_module(dz).asarray(self.scale, self.dtype)
        return scaled[..., list(CHANNEL_ORDERS[self.channel_order])]

    def forward(self, image: Any, layers: Iterable[LayerKey]) -> tuple[dict[LayerKey, Any], Tape]:
        """Compute the features of an image at some layers.

        Only layers that a requested one depends on are computed: the pass stops at the deepest.

        Parameters
        ----------
        image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, of the network's dtype
        layers : iterable of str or int
            Layer names or MatConvNet's layer numbers.

        Returns
        -------
        features : dict
            Requested layer, as it was given → features, H'×W'×C or N×H'×W'×C as the image was.
        tape : Tape
            For `backward`: one bit per rectified entry, one byte per maximum, no features.

        Raises
        ------
        InputError
            If the network has no such layer.
        ValueError
            If the image is too small for a layer, or not an RGB image.
        TypeError
            If the image has another dtype than the network.
        """
        if isinstance(layers, (str, int)):
            raise InputError(f"layers must be a list of names or numbers, got {layers!r}")
        wanted = {key: self.layer_name(key) for key in layers}
        outputs, steps = self._run(image, self._needed(wanted.values()), keep=set(wanted.values()))
        features = {key: outputs[name] for key, name in wanted.items()}
        shapes = {name: outputs[name].shape for name in wanted.values()}
        return features, Tape(tuple(steps), shapes, tuple(image.shape))

    def backward(self, tape: Tape, dfeatures: Mapping[LayerKey, Any]) -> Any:
        """Carry derivatives with respect to features back to the image.

        Parameters
        ----------
        tape : Tape
            From `forward`.
        dfeatures : dict
            Layer → derivative of some scalar with respect to its features; any of the layers that `forward` was
            asked for.  Their contributions add up.

        Returns
        -------
        dimage : ndarray
            Derivative with respect to the pixels, of the image's shape.

        Raises
        ------
        InputError
            If a layer was not requested from `forward`.
        ValueError
            If a derivative has another shape than the features.
        """
        arriving = self._arrivals(dfeatures, tape.shapes)
        for layer, cache in reversed(tape.steps):
            if layer.name in arriving:
                _add_back(layer, cache, arriving, arriving.pop(layer.name))
        return self.preprocess_backward(arriving[INPUT])

    def inspect(self, image: Any, dfeatures: Mapping[LayerKey, Any], filters: bool = False) -> Inspection:
        """Return every layer's output and derivative, as MatConvNet's ``vl_simplenn`` returns ``res``.

        Parameters
        ----------
        image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, of the network's dtype
        dfeatures : dict
            Layer → derivative of some scalar with respect to its features.
        filters : bool
            Whether to compute the derivatives with respect to filters and biases as well.

        Returns
        -------
        Inspection
            ``"input"`` (the preprocessed image) and every layer's name or number → `Record`, up to the deepest
            layer of `dfeatures`.

        Raises
        ------
        InputError, ValueError, TypeError
            As `forward` and `backward`.
        """
        needed = self._needed(self.layer_name(key) for key in dfeatures)
        outputs, steps = self._run(image, needed, keep={INPUT, *needed})
        records = {name: Record(x) for name, x in outputs.items()}
        arriving = self._arrivals(dfeatures, {name: x.shape for name, x in outputs.items()})
        for layer, cache in reversed(steps):
            if layer.name not in arriving:
                continue
            record, dy = records[layer.name], arriving.pop(layer.name)
            record.dzdx = dy
            if filters and layer.kind in PARTS:
                record.dzdw, record.dzdb = weight_derivatives(layer, dy, outputs[layer.inputs[0]], cache)
            _add_back(layer, cache, arriving, dy)
        records[INPUT].dzdx = arriving.get(INPUT)
        return Inspection(records, self.numbers)

    def _arrivals(self, dfeatures: Mapping[LayerKey, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Return the derivatives that a backward pass starts with, by name, checked against the features' shapes."""
        arriving: dict[str, Any] = {}
        for key, dfeature in dfeatures.items():
            name, _ = self.layer_name(key), backend_of(dfeature)
            if name not in shapes:
                raise InputError(f"layer {name} was not requested from forward, so it has no derivative to go back")
            if tuple(dfeature.shape) != tuple(shapes[name]):
                raise ValueError(
                    f"the derivative at {name} must have shape {tuple(shapes[name])}, got {tuple(dfeature.shape)}"
                )
            if dfeature.dtype != self.dtype:
                raise TypeError(f"the derivative at {name} is {dfeature.dtype} and network {self.name} {self.dtype}")
            arriving[name] = arriving[name] + dfeature if name in arriving else dfeature
        if not arriving:
            raise InputError("backward needs the derivative at one layer at least")
        return arriving

    def _needed(self, names: Iterable[str]) -> set[str]:
        """Return the layers that the named ones depend on, themselves included."""
        needed = set(names)
        for layer in reversed(self.table):
            if layer.name in needed:
                needed.update(layer.inputs)
        return needed - {INPUT}

    def _run(self, image: Any, needed: set[str], keep: set[str]) -> tuple[dict[str, Any], list[tuple[Layer, Any]]]:
        """Compute the needed layers; forget each output after its last use unless it is to be kept."""
        outputs = {INPUT: self.preprocess(image)}
        steps: list[tuple[Layer, Any]] = []
        table = [layer for layer in self.table if layer.name in needed]
        last_use = {name: i for i, layer in enumerate(table) for name in layer.inputs}
        for i, layer in enumerate(table):
            try:
                xs, parts = [outputs[name] for name in layer.inputs], self.weights.get(layer.name, ())
                outputs[layer.name], cache = forward_step(layer, xs, parts, self.pad_mode)
            except ValueError as error:
                raise InputError(f"layer {layer.name} of network {self.name}: {error}") from None
            steps.append((layer, cache))
            for name in set(layer.inputs):
                if last_use[name] == i and name not in keep:
                    del outputs[name]
        return outputs, steps


def _add_back(layer: Layer, cache: Any, arriving: dict[str, Any], dy: Any) -> None:
    """Carry `dy` through one layer and add what comes out to what has arrived at its inputs."""
    for name, dx in zip(layer.inputs, backward_step(layer, dy, cache), strict=True):
        arriving[name] = arriving[name] + dx if name in arriving else dx
