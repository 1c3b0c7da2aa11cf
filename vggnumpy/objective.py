r"""The objective of style transfer: a weighted sum of losses at layers and regularisers on pixels.

    L(x) = Σ_l α_l · content(F_l(x), P_l)  +  Σ_l β_l Σ_s γ_s · gram(F_l(x), A_ls)  +  λ · size(x)  +  μ · variation(x)
           +  Σ_t w_t · loss_t(F_l(x), …)

Its gradient is the sum of the terms' gradients: the derivatives with respect to the features enter the backward pass
of the network at their layers, and those of the regularisers are added to the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from vggnumpy import losses
from vggnumpy.backend import NUMPY, sum_of_squares
from vggnumpy.cuda.precision import PRECISIONS
from vggnumpy.engine import Engine, engine_for, find_chain, one_blas_thread
from vggnumpy.engine.cuda import CudaEngine, content_losses, cuda_engine_for, find_cuda_chain, gram_losses
from vggnumpy.errors import InputError
from vggnumpy.losses.factors import NORMALIZATIONS, pixel_factor
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.nets.placement import network_backend
from vggnumpy.ops import pad
from vggnumpy.ops.geometry import Number, Window, four_sides, window_at
from vggnumpy.styles import Style, as_pixels, by_name, check_style, style_of
from vggnumpy.terms import LayerTerm, Term, add_layer_terms

FORMS = ("exact", "printed")
EXECUTORS = ("auto", "reference", "fused")


class Objective:
    """A function of an image that returns its value and its gradient.

    Parameters
    ----------
    net : Network
    content_image : ndarray, H×W×3, RGB 0–255, uint8 or of the network's dtype, optional
        Needed if `content` names a layer.
    style_images : ndarray or style, or a sequence of them, optional
        Needed if `style` names a layer.  A style is a dictionary layer → (Gram matrix summed over its positions, number
        of positions), as `vggnumpy.styles.style_of` returns and as one may make up: the matrix need not be symmetric.
        Their sizes are free.
    content, style : dict, optional
        Layer (name or MatConvNet's number) → weight α or β.
    normalization : {"gatys", "raw", "mean_square", "relative"}
        Of both kinds of losses, see `vggnumpy.losses.content` and `vggnumpy.losses.gram`.  The regularisers are sums
        under ``gatys`` and ``raw``, means over all entries under ``mean_square``, and under ``relative`` means with
        pixels counted from 0 to 1, so that under the last two weights mean the same at every image size.
    size, variation : float
        Weights λ and μ.
    size_power : float
        p of the size regulariser Σ |x − c|^p, with c the network's mean colour.
    variation_beta : float or "l1"
        β of the variation regulariser.
    style_weights : sequence of float, optional
        γ, one for each style.  By default 1 each: mixed gradient descent, the sum of the styles' losses.
    margin : int or (top, bottom, left, right)
        Pixels of the image at its sides that will be cut off: Gram matrices are summed over what is inside of them.
        (Those of regions are summed by their weights alone.)
    regions : dict, optional
        Layer → weights of the image's positions in each of K regions, H×W×K of the network's dtype, for every style
        layer.  The style losses are then those of `vggnumpy.losses.regions`, and styles are given as layer →
        `RegionStatistics`, see `vggnumpy.styles.region_style_of`.
    layer_terms : sequence of LayerTerm
        Losses of whole feature maps, such as those of `vggnumpy.losses` that know of places.
    form : {"exact", "printed"}
        ``printed`` takes content and style as the MatConvNet report prints them, to compare, see
        `vggnumpy.losses.printed`.  The content's value and gradient are those of the masked loss.  The style's value is
        the exact one and **its gradient is not the derivative of it**, but half of that (at layers after a rectifier;
        at others of nothing).  So the objective's value and gradient do not fit together: use an optimiser of fixed
        rate; a line search may fail.
    executor : {"auto", "reference", "fused"}
        Who computes the network.  ``reference`` is its layers' operators one after the other, `Network.forward` and
        `Network.backward`.  ``fused`` is the engine (`vggnumpy.engine`), several times faster and in a fraction of the
        memory; its convolutions are Winograd's, on a GPU the tensor cores' (`vggnumpy.engine.cuda`), without regions
        and layer terms.  ``auto`` takes the engine for float32, form ``exact`` and what it can compute, the reference
        for all else: float64 is for checking.
    precision : {"fp32", "tf32", "bf16"}
        Of the engine on a GPU, see `vggnumpy.engine.cuda` for what they cost; elsewhere everything is ``fp32``.

    Attributes
    ----------
    terms : dict
        Name → `Term`, of the last evaluation; empty before the first.
    layer_terms : list of LayerTerm
        As given.

    Raises
    ------
    InputError
        If layers, weights, images or the normalisation do not fit together.
    """

    def __init__(
        self,
        net: Network,
        content_image: Any = None,
        style_images: Any = None,
        content: Mapping[LayerKey, float] | None = None,
        style: Mapping[LayerKey, float] | None = None,
        normalization: str = "gatys",
        size: float = 0.0,
        variation: float = 0.0,
        *,
        size_power: float = 2,
        variation_beta: float | str = 2,
        style_weights: Sequence[float] | None = None,
        margin: Number = 0,
        regions: Mapping[LayerKey, Any] | None = None,
        layer_terms: Sequence[LayerTerm] = (),
        form: str = "exact",
        executor: str = "auto",
        precision: str = "fp32",
    ):
        for name, given, known in (
            ("executor", executor, EXECUTORS),
            ("precision", precision, PRECISIONS),
            ("form", form, FORMS),
            ("normalization", normalization, NORMALIZATIONS),
        ):
            if given not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, got {given!r}")
        self.net, self._precision = net, precision
        self._backend = network_backend(net)
        self.content = by_name(net, content or {})
        self.style = by_name(net, style or {})
        self.normalization = normalization
        self.form = form
        self._content_loss = losses.content_printed if form == "printed" else losses.content
        self._gram_cotangent = losses.gram_printed_cotangent if form == "printed" else losses.gram_cotangent
        self._margin = four_sides(margin, "margin")
        self.size, self.size_power = float(size), size_power
        self.variation, self.variation_beta = float(variation), variation_beta
        self._regions = {net.layer_name(key): masks for key, masks in (regions or {}).items()}
        self.layer_terms = list(layer_terms)
        self.terms: dict[str, Term] = {}
        if not self._names():
            raise InputError("an objective needs one term at least: content, style, size or variation")
        if len(set(self._names())) < len(self._names()):
            raise InputError(f"every term needs a name of its own, got {', '.join(self._names())}")
        if self._regions and (form == "printed" or set(self._regions) != set(self.style)):
            raise InputError(
                "regions need the exact form and masks for every style layer and no other: style at "
                f"{', '.join(self.style) or 'none'}, masks at {', '.join(self._regions)}"
            )
        # Several styles become one target on a GPU, which needs weights that cannot cancel.
        self._cancelling = any(weight < 0 for weight in ([] if style_weights is None else style_weights))
        self._fused = self._choose(executor)
        self._engine: Engine | CudaEngine | None = None
        self._styles = self._style_targets(style_images)
        self._targets = self._content_targets(content_image)
        # Sums that do not change: on a device an evaluation waits for none of them.
        self._content_squares = {layer: self._square_of(P) for layer, P in self._targets.items()}
        self._style_squares = [
            {layer: float(sum_of_squares(style[layer][0])) for layer in self.style} for style in self._styles
        ]
        self._center = net.mean_color if self.size else None
        self._style_weights = [1.0] * len(self._styles) if style_weights is None else [float(w) for w in style_weights]
        if len(self._style_weights) != len(self._styles):
            raise InputError(f"{len(self._styles)} styles need as many weights, got {len(self._style_weights)}")

    def _square_of(self, P: Any) -> float:
        """Return Σ P² of a content target, over its active part in the printed form."""
        return float(sum_of_squares(losses.active_part(P, P) if self.form == "printed" else P))

    def _choose(self, executor: str) -> bool:
        """Return whether the engine computes the network."""
        find = find_chain if self._backend is NUMPY else find_cuda_chain
        plain = self._backend is NUMPY or not (self._regions or self.layer_terms or self._cancelling)
        fits = self.form == "exact" and plain and find(self.net, self._layers()) is not None
        if executor == "fused" and not fits:
            where = f"these layers of network {self.net.name} in the {self.form} form"
            raise InputError(f"the engine cannot compute {where}; use executor 'auto'")
        fused = fits and (executor == "fused" or (executor == "auto" and self.net.dtype == np.float32))
        if self._precision != "fp32" and (self._backend is NUMPY or not fused):
            needed = "a CUDA GPU and an objective that its engine can compute"
            raise InputError(f"precision {self._precision!r} needs {needed}; use precision 'fp32'")
        return fused

    def _layers(self) -> set[str]:
        return {
            *self.content,
            *self.style,
            *(self.net.layer_name(layer) for one in self.layer_terms for layer in one.layers),
        }

    def _engine_at(self, image: Any) -> Engine | CudaEngine | None:
        """Return the engine for images of this shape if there is one, made when the shape changes."""
        if not self._usable(image):
            return None  # the reference says what is wrong with the image
        if self._engine is None or not self._engine.fits(image.shape):
            self._engine = None  # its memory is free before the next one's is taken
            self._engine = self._new_engine(image.shape, whole=True)
        return self._engine

    def _usable(self, image: Any) -> bool:
        """Whether an engine can take an array as an image."""
        known = self._fused and issubclass(type(image), self._backend.array_type) and image.dtype == self.net.dtype
        return known and image.ndim in (3, 4) and image.shape[-1] == 3 and 0 not in image.shape

    def _new_engine(self, shape: tuple[int, ...], whole: bool) -> Engine | CudaEngine | None:
        """Return an engine for the whole objective, or for its style layers alone."""
        if self._backend is NUMPY:
            return engine_for(self.net, self._layers() if whole else self.style, shape)
        return cuda_engine_for(self.net, self.style, self.content if whole else (), shape, self._precision)

    def _content_targets(self, image: Any) -> dict[str, Any]:
        if not self.content:
            return {}
        if image is None:
            raise InputError("content layers were given without a content image")
        pixels = as_pixels(image, self.net, "content image")
        engine = self._engine_at(pixels)
        if engine is None:
            features = self.net.forward(pixels, self.content)[0]
            return {layer: features[layer] for layer in self.content}
        engine.forward(pixels)
        return {layer: engine.features(layer) for layer in self.content}

    def _style_targets(self, images: Any) -> list[Style]:
        if not self.style:
            return []
        if images is None or (isinstance(images, (list, tuple)) and not images):
            raise InputError("style layers were given without a style image")
        styles: list[Style] = []
        for given in images if isinstance(images, (list, tuple)) else [images]:
            if isinstance(given, Mapping):
                named: Style = {self.net.layer_name(key): gram for key, gram in given.items()}
                check_style(named, self.style)
            elif self._regions:
                raise InputError("with regions a style is given as layer → RegionStatistics, not as a picture")
            else:
                named = self._style_of(given)
            styles.append(named)
        return styles

    def _style_of(self, image: Any) -> Style:
        """Return a style image's Gram matrices, by the engine if it is used: in its memory, which is less."""
        pixels = as_pixels(image, self.net, "style image")
        engine = self._new_engine(pixels.shape, whole=False) if self._usable(pixels) else None
        if engine is None:
            return style_of(self.net, pixels, self.style)
        return {layer: gram for layer, gram in engine.forward(pixels, self.style)[0].items()}

    def __call__(self, image: Any) -> tuple[float, Any]:
        """Return the objective's value and its gradient at an image.

        Parameters
        ----------
        image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, of the network's dtype

        Returns
        -------
        value : float
            In float64.
        dimage : ndarray
            In the shape and dtype of `image`.

        Raises
        ------
        ValueError
            If the image's size is not the content image's, or it is too small for a layer.
        TypeError
            If its dtype is not the network's.
        """
        with one_blas_thread() if self._fused and self._backend is NUMPY else nullcontext():
            terms, dimage = self._evaluate(image, self._names())
        kept = image.copy()
        self.terms = {name: Term(name, weight, loss, self._gradient_of, kept) for name, (weight, loss) in terms.items()}
        return sum(term.value for term in self.terms.values()), dimage

    def _names(self) -> list[str]:
        names = [f"content {layer}" for layer in self.content] + [f"style {layer}" for layer in self.style]
        names += ["size"] * bool(self.size) + ["variation"] * bool(self.variation)
        return names + [one.name for one in self.layer_terms]

    def _gradient_of(self, name: str, image: Any) -> Any:
        return self._evaluate(image, [name])[1]

    def _evaluate(self, image: Any, names: Sequence[str]) -> tuple[dict[str, tuple[float, float]], Any]:
        """Return name → (weight, loss) of the named terms, and the gradient of their weighted sum."""
        terms: dict[str, tuple[float, float]] = {}
        content = [layer for layer in self.content if f"content {layer}" in names]
        style = [layer for layer in self.style if f"style {layer}" in names]
        others = [one for one in self.layer_terms if one.name in names]
        dimage = None
        if content or style or others:
            # A term on its own is asked for rarely, and then by who wants to inspect it.
            engine = self._engine_at(image) if set(names) == set(self._names()) else None
            if engine is None:
                dimage = self._network_terms(image, content, style, others, terms)
            else:
                dimage = self._fused_terms(engine, image, terms)
        for name, weight, loss, dx, power in self._on_pixels(image, names):
            factor = pixel_factor(dx.size, power, self.normalization)
            terms[name] = weight, loss * factor
            dx = dx * (weight * factor)
            dimage = dx if dimage is None else dimage + dx
        return terms, dimage

    def _network_terms(
        self,
        image: Any,
        content: list[str],
        style: list[str],
        others: list[LayerTerm],
        terms: dict[str, tuple[float, float]],
    ) -> Any:
        """Compute the terms at layers by the network's own passes; return the gradient image of their sum."""
        layers = {*content, *style, *(layer for one in others for layer in one.layers)}
        features, tape = self.net.forward(image, layers)
        dfeatures: dict[Any, Any] = add_layer_terms(others, features, terms)
        for layer in content:
            target, squares = self._targets[layer], self._content_squares[layer]
            loss, dF = self._content_loss(features[layer], target, self.normalization, squares)
            terms[f"content {layer}"] = self.content[layer], loss
            dF = dF * self.content[layer]
            dfeatures[layer] = dfeatures[layer] + dF if layer in dfeatures else dF
        for layer in style:
            F = features.pop(layer)
            masks, inside = self._regions.get(layer), self._window(F.shape, image)
            statistics = losses.gram_statistics(inside.of(F)) if masks is None else losses.regions_statistics(F, masks)
            loss, S = self._style_loss(statistics, layer)
            terms[f"style {layer}"] = self.style[layer], loss
            S = S * self.style[layer]
            if masks is None:
                dF, _ = pad(self._gram_cotangent(inside.of(F), S), inside.outside(F.shape))
            else:
                dF = losses.regions_cotangent(F, masks, S)
            dfeatures[layer] = dfeatures[layer] + dF if layer in dfeatures else dF
        return self.net.backward(tape, dfeatures)

    def _fused_terms(self, engine: Engine | CudaEngine, image: Any, terms: dict[str, tuple[float, float]]) -> Any:
        """Compute the terms at layers by the engine; return the gradient image of their sum."""
        if isinstance(engine, CudaEngine):
            return self._cuda_terms(engine, image, terms)
        windows = self._windows(engine, image)
        grams, contents = engine.forward(image, self.style, self._targets, self._regions, windows)
        factors, derivatives = {}, {}
        for layer, statistics in contents.items():
            loss, factor = losses.content_value(statistics, self.normalization)
            terms[f"content {layer}"] = self.content[layer], loss
            factors[layer] = factor * self.content[layer]
        for layer, found in grams.items():
            loss, S = self._style_loss(found, layer)
            terms[f"style {layer}"] = self.style[layer], loss
            derivatives[layer] = S * self.style[layer]
        layers = {layer for one in self.layer_terms for layer in one.layers}
        cotangents = add_layer_terms(self.layer_terms, {layer: engine.features(layer) for layer in layers}, terms)
        return engine.backward(derivatives, factors, cotangents)

    def _cuda_terms(self, engine: CudaEngine, image: Any, terms: dict[str, tuple[float, float]]) -> Any:
        """Do the same on a GPU, where the losses between the two passes are the engine's too."""
        if not engine.has_losses:
            styles = self._styles, self._style_weights, self._style_squares
            engine.set_losses(
                gram_losses(engine.plan, self.style, self._windows(engine, image), *styles, self.normalization),
                content_losses(self.content, self._targets, self._content_squares, self.normalization),
            )
        grams, contents, dimage = engine.evaluate(image)
        terms.update({f"content {layer}": (self.content[layer], loss) for layer, loss in contents.items()})
        terms.update({f"style {layer}": (self.style[layer], loss) for layer, loss in grams.items()})
        return dimage

    def _window(self, shape: tuple[int, ...], image: Any) -> Window:
        """Return the part of features of this shape, …×H×W×C, that Gram matrices are summed over."""
        return window_at((shape[-3], shape[-2]), (image.shape[-3], image.shape[-2]), self._margin)

    def _windows(self, engine: Engine | CudaEngine, image: Any) -> dict[str, Window]:
        return {layer: self._window(engine.plan.features_shape(layer), image) for layer in self.style}

    def _style_loss(self, statistics: tuple[Any, Any], layer: str) -> tuple[float, Any]:
        """Return Σ_s γ_s gram(F, A_s) and its derivative with respect to G, or to the regions' matrices.

        The features enter through G only, so the derivatives with respect to G add up and one product carries them to
        the features, however many styles there are.
        """
        total, S, (G, M) = 0.0, 0.0, statistics
        for style, squares, weight in zip(self._styles, self._style_squares, self._style_weights, strict=True):
            A, positions = style[layer]
            if self._regions:
                value, dG = losses.regions_value(G, A, M, positions, self.normalization)
            else:
                value, dG = losses.gram_value(G, A, M, positions, self.normalization, squares[layer])
            total, S = total + weight * value, S + dG * weight
        return total, S

    def _on_pixels(self, image: Any, names: Sequence[str]) -> Iterator[tuple[str, float, float, Any, float]]:
        """Yield name, weight, loss, its derivative and the power of each regulariser."""
        if "size" in names:
            yield "size", self.size, *losses.size(image, self.size_power, self._center), self.size_power
        if "variation" in names:
            power = 1 if isinstance(self.variation_beta, str) else self.variation_beta
            yield "variation", self.variation, *losses.variation(image, self.variation_beta), power
