"""Running a plan on a GPU: one kernel after the other, none of which the host waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from vggnumpy.backend import backend_of
from vggnumpy.cuda.graph import Recording
from vggnumpy.cuda.launch import THREADS, blocks
from vggnumpy.cuda.precision import round_bf16, round_tf32, widen_bf16
from vggnumpy.engine.cuda.filters import shared_filters
from vggnumpy.engine.cuda.losses import ContentLoss, GramLoss
from vggnumpy.engine.cuda.plan import CudaPlan, CudaStage, Tap
from vggnumpy.losses.content import ContentStatistics
from vggnumpy.losses.content_cuda import content_difference
from vggnumpy.losses.gram import GramStatistics
from vggnumpy.losses.gram_cuda import GramTarget, gram_derivative, gram_matrix
from vggnumpy.nets.network import Network
from vggnumpy.ops.conv_first_cuda import first_backward, first_forward
from vggnumpy.ops.conv_tensor_cuda import BackwardMaps, ForwardMaps, conv_backward, conv_forward
from vggnumpy.ops.conv_top_cuda import top_backward


class CudaEngine:
    """A chain with taps at one size on one GPU, ready to be evaluated again and again.

    Parameters
    ----------
    net : Network
        On the device.
    plan : CudaPlan
        From `make_cuda_plan`, of this network.
    """

    def __init__(self, net: Network, plan: CudaPlan):
        self.net, self.plan = net, plan
        self._w, self._b = net.weights[plan.stages[0].link.conv.name]
        backend = backend_of(self._w)
        self._xp, self._compile = backend.xp, backend.kernel
        self._filters = shared_filters(net.weights, plan.precision)
        arena = self._xp.empty(plan.arena, "uint8")
        self._maps = {name: one.array_in(arena) for name, one in plan.buffers.items()}
        self._grams: dict[str, GramTarget | None] = {}
        self._contents: dict[str, tuple[Any, float]] = {}
        self._evaluation: Recording | None = None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether the plan is one for images of this shape."""
        first = self.plan.stages[0]
        images = 1 if len(shape) == 3 else shape[0]
        return (images, *shape[-3:-1]) == (first.images, first.height, first.width)

    # An evaluation as a whole

    @property
    def has_losses(self) -> bool:
        """Whether `set_losses` was called."""
        return self._evaluation is not None

    def set_losses(self, grams: Mapping[str, GramLoss], contents: Mapping[str, ContentLoss]) -> None:
        """Say what `evaluate` computes, once for all evaluations.

        Parameters
        ----------
        grams, contents : dict
            Layer → loss, all layers among the plan's.

        Raises
        ------
        ValueError
            If a target has another shape than the features.
        """
        squares, maps, xp = self._maps["squares"], self._maps, self._xp
        taps = self.plan.taps
        self._grams = {
            layer: GramTarget(
                loss.matrix,
                loss.weight * loss.factor,
                maps[taps[layer].Z],
                squares[self._part("gram", layer)],
                loss.window,
            )
            for layer, loss in grams.items()
        }
        self._contents = {
            layer: (self._target(layer, loss.target), loss.weight * loss.factor) for layer, loss in contents.items()
        }
        self._terms = [*(("gram", layer) for layer in grams), *(("content", layer) for layer in contents)]
        parts = [self._part(*term) for term in self._terms]
        self._ranges = xp.asarray(np.array([[part.start, part.stop] for part in parts], np.int64))
        factors = [*(one.factor for one in grams.values()), *(one.factor for one in contents.values())]
        self._factors = xp.asarray(np.array(factors, np.float64))
        self._constants = xp.asarray(np.array([*(one.constant for one in grams.values()), *[0.0] * len(contents)]))
        self._values = xp.empty(len(parts), "float64")
        self._evaluation = Recording(xp)

    def evaluate(self, image: Any) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Return every loss, and the gradient of their weighted sum.

        Parameters
        ----------
        image : array, H×W×3 or N×H×W×3, float32, RGB 0–255, of the plan's size

        Returns
        -------
        grams, contents : dict
            Layer → loss without its weight, float64: arrays without axes on the device, which nothing has waited for.
        dimage : array
            In the image's shape.
        """
        assert self._evaluation is not None, "set_losses comes first"
        self._take(image)
        self._evaluation(self._evaluate)
        values = self._values.copy()  # the next evaluation writes there again
        losses = {term: values[i] for i, term in enumerate(self._terms)}
        grams, contents = (
            {layer: value for (kind, layer), value in losses.items() if kind == wanted}
            for wanted in ("gram", "content")
        )
        return grams, contents, self._gradient(image)

    def _evaluate(self) -> None:
        """Launch all kernels from the preprocessed image to its derivative; allocates nothing."""
        for stage in self.plan.stages:
            self._forward(stage)
            for tap in stage.taps:
                if tap.layer in self._grams:
                    self._gram(tap, target=self._grams[tap.layer])
                if tap.layer in self._contents:
                    squares = self._maps["squares"][self._part("content", tap.layer)]
                    self._content(tap, squares=squares)
        arguments = (self._maps["squares"], self._ranges, self._factors, self._constants, self._values)
        self._kernel("total")((len(self._terms),), (THREADS,), arguments)
        self._backward()

    # The same in two steps, with the statistics' losses computed by who asks

    def forward(
        self, image: Any, grams: Iterable[str] = (), targets: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, GramStatistics], dict[str, ContentStatistics]]:
        """Compute what losses at the taps need; parameters and results are those of `vggnumpy.engine.Engine.forward`.

        Layers of `grams` and `targets` are among the plan's layers with such losses.
        """
        grams, xp = set(grams), self._xp
        self._contents = {layer: (self._target(layer, P), 0.0) for layer, P in (targets or {}).items()}
        self._evaluation = None
        self._shape = image.shape
        self._take(image)
        found: dict[str, GramStatistics] = {}
        distances: dict[str, Any] = {}
        for stage in self.plan.stages:
            self._forward(stage)
            for tap in stage.taps:
                if tap.layer in grams and tap.gram is not None:
                    G = xp.empty((stage.channels, stage.channels), "float32")
                    self._gram(tap, G=G)
                    found[tap.layer] = GramStatistics(G, tap.gram.positions)
                if tap.layer in self._contents:
                    squares = self._maps["squares"][self._part("content", tap.layer)]
                    self._content(tap, squares=squares)
                    distances[tap.layer] = squares.sum()
        contents = {}
        for layer, distance in distances.items():
            P = self._widened(self._contents[layer][0]).astype("float64")
            contents[layer] = ContentStatistics(distance, (P * P).sum(), int(P.size))
        return found, contents

    def features(self, layer: str) -> Any:
        """Return a copy of the features at a tapped layer after `forward` and before `backward`; N is the image's."""
        tap = self.plan.taps[layer]
        F = self._xp.empty_like(self._maps[tap.features]) if tap.again else self._maps[tap.features].copy()
        if tap.again:
            self._first_features(F)
        whole = self._widened(F)
        return whole[0] if len(self._shape) == 3 else whole

    def backward(self, gram_derivatives: Mapping[str, Any], content_factors: Mapping[str, float] | None = None) -> Any:
        """Carry the derivative of the losses back to the image; once for each `forward`.

        Parameters
        ----------
        gram_derivatives : dict
            Layer → S, the derivative with respect to its Gram matrix.
        content_factors : dict, optional
            Layer → factor k of its content loss k Σ (F − P)².

        Returns
        -------
        dimage : array
            In the image's shape.
        """
        rounded = {"fp32": lambda x: x, "tf32": round_tf32, "bf16": round_bf16}[self.plan.precision]
        for layer, S in gram_derivatives.items():
            self._maps[self.plan.taps[layer].Z][...] = rounded(S + S.T)
        self._grams = dict.fromkeys(gram_derivatives)
        self._contents = {
            layer: (self._contents[layer][0], float(factor)) for layer, factor in (content_factors or {}).items()
        }
        self._backward()
        return self._gradient(self._maps["image"].reshape(self._shape))

    # Kernels

    def _kernel(self, name: str) -> Callable[..., None]:
        assert self._compile is not None  # the arrays are CUDA's
        return self._compile("engine/cuda/ends.cu", name)

    def _part(self, kind: str, layer: str) -> slice:
        return self.plan.squares[kind, layer]

    def _colour(self) -> np.ndarray:
        """Return ends.cu's Colour."""
        fields = [("mean", "f4", 3), ("scale", "f4", 3), ("reversed", "i4")]
        return np.array([(self.net.mean, self.net.scale, self.net.channel_order == "BGR")], fields)

    def _take(self, image: Any) -> None:
        """Preprocess an image into its buffer."""
        z = self._maps["image"]
        if str(image.dtype) != "float32" or image.size != z.size:
            raise ValueError(f"the image must be float32 of {z.size} entries, got {image.dtype} {tuple(image.shape)}")
        x = self._xp.ascontiguousarray(image)
        self._kernel("pixels_in")((blocks(x.size),), (THREADS,), (x, self._colour(), np.int64(x.size), z))

    def _gradient(self, image: Any) -> Any:
        """Return the derivative with respect to the pixels, a new array like `image`."""
        dx = self._xp.empty(image.shape, "float32")
        arguments = (self._maps["dimage"], self._colour(), np.int64(dx.size), dx)
        self._kernel("pixels_out")((blocks(dx.size),), (THREADS,), arguments)
        return dx

    def _target(self, layer: str, target: Any) -> Any:
        """Return a content target as the maps are kept, with the axis of images."""
        shape = self.plan.features_shape(layer)
        if tuple(target.shape) not in (shape, shape[1:] if shape[0] == 1 else shape):
            raise ValueError(f"content features and target must agree in shape, got {shape} and {target.shape}")
        target = self._xp.ascontiguousarray(target.reshape(shape))
        return round_bf16(target) if self.plan.precision == "bf16" else target

    def _widened(self, F: Any) -> Any:
        return widen_bf16(F) if self.plan.precision == "bf16" else F

    def _gram(self, tap: Tap, **results: Any) -> None:
        assert tap.gram is not None  # the layer is one of the plan's Gram losses
        gram_matrix(self._maps[tap.features], tap.gram, self._maps[tap.parts], self.plan.precision, **results)

    def _content(self, tap: Tap, **results: Any) -> None:
        content_difference(self._maps[tap.features], self._contents[tap.layer][0], self.plan.precision, **results)

    def _forward(self, stage: CudaStage) -> None:
        """Compute a stage: all that later stages, losses and the way back need of it."""
        maps, s = self._maps, stage.number
        written = ForwardMaps(
            before=maps[stage.conv_tap.features] if stage.conv_tap else None,
            out=maps[f"relu {s}"] if stage.has_features else None,
            mask=maps[f"mask {s}"] if stage.has_mask else None,
            pooled=maps[f"pool {s}"] if stage.pool else None,
            windows=maps[f"windows {s}"] if stage.pool == "max" else None,
        )
        precision, device, pool, rounding = self.plan.precision, self.plan.device, stage.pool, stage.rounding
        if s == 0:
            first_forward(maps["image"], self._w, self._b, written, precision, pool=pool, rounding=rounding)
            return
        x, filters = maps[self.plan.stages[s - 1].output], self._filters(stage.link.conv.name)
        conv_forward(x, filters, written, device, pool=pool, rounding=rounding)

    def _first_features(self, F: Any) -> None:
        """Compute the first rectifier's output anew."""
        first_forward(self._maps["image"], self._w, self._b, ForwardMaps(out=F), self.plan.precision)

    def _backward(self) -> None:
        """Carry the losses' derivatives from the last stage to the image's buffer."""
        above = None
        for stage in reversed(self.plan.stages):
            self._arrive(stage, above)
            above = stage
        self._leave()

    def _arrive(self, stage: CudaStage, above: CudaStage | None) -> None:
        """Write the derivative with respect to a stage's convolution, from that of the stage above and its losses."""
        maps, s, out, pool, rounding = (
            self._maps,
            stage.number,
            self._maps[stage.derivative],
            stage.pool,
            stage.rounding,
        )
        read = BackwardMaps(
            mask=maps[f"mask {s}"] if stage.has_mask else None,
            windows=maps[f"windows {s}"] if stage.pool == "max" else None,
            pool_added=self._cotangent(stage.pool_tap),
            added=self._cotangent(stage.relu_tap),
            added_before=self._cotangent(stage.conv_tap),
        )
        if above is None:
            top_backward(read, out, self.plan.precision, pool=pool, rounding=rounding)
            return
        dy, filters = maps[above.derivative], self._filters(above.link.conv.name)
        conv_backward(dy, filters, read, out, self.plan.device, pool=pool, rounding=rounding)

    def _leave(self) -> None:
        """Write the derivative with respect to the preprocessed image."""
        dy = self._maps[self.plan.stages[0].derivative]
        first_backward(dy, self._w, self._maps["dimage"], self.plan.precision)

    def _cotangent(self, tap: Tap | None) -> Any:
        """Return the losses' derivative with respect to the features at a tap, in its buffer, or None without any."""
        if tap is None or (tap.layer not in self._grams and tap.layer not in self._contents):
            return None
        F, dF, added = self._maps[tap.features], self._maps[tap.derivative], None
        if tap.again:
            self._first_features(dF)
            F = dF
        if tap.layer in self._contents:
            self._content(tap, factor=self._contents[tap.layer][1], out=dF)
            added = dF
        if tap.layer in self._grams:
            target = self._grams[tap.layer]
            window = None if target is None else target.window
            gram_derivative(F, self._maps[tap.Z], dF, self.plan.precision, added, window)
        return dF
