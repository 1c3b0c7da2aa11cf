"""Planning a transfer: reading and checking everything before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.backend import NUMPY, Backend
from vggnumpy.color_control import controlled, recolored
from vggnumpy.errors import InputError
from vggnumpy.estimate import transfer_bytes
from vggnumpy.feature_size import check_fine
from vggnumpy.formats.load import best_network, load_network
from vggnumpy.formats.style_file import ready_styles, style_network
from vggnumpy.images import MIN_SIDE, fit_size, read_image
from vggnumpy.multiscale import MultiscaleStyle
from vggnumpy.nets import Network
from vggnumpy.ops.geometry import Sides
from vggnumpy.overrides import check_used, overridden
from vggnumpy.presets import Settings, choose_layers, preset
from vggnumpy.regions import Regions
from vggnumpy.scores import STANDARD_SIZE, judge_bytes_per_pixel
from vggnumpy.spatial import Placement, content_masks, recolored_content, style_masks
from vggnumpy.style_terms import loss_without_gpu
from vggnumpy.system import available_memory

Image = str | Path | np.ndarray
StyleSource = Image | MultiscaleStyle
DEFAULT_SIZE = 512


@dataclass(frozen=True)
class Plan:
    """A transfer that has been checked and can be painted.

    Attributes
    ----------
    net : Network
        With the settings' pooling and padding.
    settings : Settings
        With every layer named.
    content : ndarray, H×W×3, float32
    styles : list of ndarray, H×W×3, float32
        These two after colour control: what is painted from.
    colored : ndarray, H×W×3, float32
        The content in its own colours.
    style_weights : list of float
        Adding up to 1.
    start : ndarray
        What to begin with; it is resampled to the first scale.
    sizes : list of (int, int)
        Height and width of each scale.
    iterations : list of int
        For each scale.
    seed : int
    backend : Backend
        Where the objective and the optimiser run; the arrays here are the host's.
    placement : Placement or None
        Which region of the content takes its style from where.
    fine : ndarray, H×W×3, float32, or None
        Where the shallower half of the style layers comes from, in the styles' colours: `vggnumpy.feature_size`.
    ready : list of MultiscaleStyle
        What stands in place of style pictures; `styles` is empty then.
    """

    net: Network
    settings: Settings
    content: np.ndarray = field(repr=False)
    colored: np.ndarray = field(repr=False)
    styles: list[np.ndarray] = field(repr=False)
    style_weights: list[float]
    start: np.ndarray = field(repr=False)
    sizes: list[tuple[int, int]]
    iterations: list[int]
    seed: int
    backend: Backend = NUMPY
    placement: Placement | None = None
    ready: list[MultiscaleStyle] = field(default_factory=list, repr=False)
    fine: np.ndarray | None = field(default=None, repr=False)


def plan_transfer(
    content: Image,
    style: StyleSource | list[StyleSource] | tuple[StyleSource, ...],
    *,
    net: Network | str | Path | None = None,
    settings: Settings | str = "default",
    size: int | None = None,
    seed: int = 0,
    style_weights: Sequence[float] | None = None,
    placement: Placement | None = None,
    fine_style: Image | None = None,
    backend: Backend = NUMPY,
    or_cpu: bool = False,
    **overrides: Any,
) -> Plan:
    """Read and check everything that a transfer needs; the parameters are those of `transfer`, and the backend.

    With `or_cpu` the CPU takes over where the style loss is none that a GPU computes; the plan says so.

    Raises
    ------
    InputError
        If a picture, network, layer, preset or setting cannot be used.
    """
    chosen = overridden(preset(settings) if isinstance(settings, str) else settings, overrides)
    if seed < 0:
        raise InputError(f"the seed must not be negative, got {seed}")
    given = list(style) if isinstance(style, (list, tuple)) else [style]
    ready = ready_styles(given)
    best = style_network(ready[0]) if ready and net is None else None
    network = best or (net if isinstance(net, Network) else best_network() if net is None else load_network(net))
    if chosen.pooling is not None:
        network = network.with_pooling(chosen.pooling)
    if chosen.pad_mode is not None:
        network = replace(network, pad_mode=chosen.pad_mode)
    shared = [layer for layer in ready[0].layers if all(layer in one.layers for one in ready)] if ready else None
    chosen = choose_layers(chosen, network, shared)
    given_too = {"strength": chosen.strength, "fine_style": fine_style}
    check_used({**overrides, **given_too}, chosen, placement is not None)
    wanted = (*(chosen.content_layers or {}), *(chosen.style_layers or {}), *(chosen.patch_layers or {}))
    layers = {network.layer_name(layer) for layer in wanted}
    lean = network.without_classifier()
    if layers <= set(lean.layers):
        network = lean  # a VGG's classifier takes six times the memory of its convolutions
    content_pixels = _pixels(content)
    styles = [] if ready else [_pixels(one) for one in given if not isinstance(one, MultiscaleStyle)]
    fine = [] if fine_style is None else [_pixels(fine_style)]
    _check_ready(ready, network, chosen, placement, bool(fine))
    if fine:
        check_fine(network, chosen, placement is not None)
    colored = content_pixels
    content_pixels, prepared = controlled(chosen.color, content_pixels, [*styles, *fine])
    styles, fine = prepared[: len(styles)], prepared[len(styles) :]
    fine = [recolored(one, styles, _shares(style_weights, len(styles))) for one in fine]
    sizes = scale_sizes(content_pixels.shape[0], content_pixels.shape[1], size, chosen.scales, chosen.coarsest)
    sizes = sizes[-chosen.iterations :]  # fewer iterations than scales: the coarsest are left out
    kind = loss_without_gpu(chosen.style_loss, bool(chosen.patch_layers))
    if kind and backend is not NUMPY:
        if chosen.precision != "fp32" or not or_cpu:
            raise InputError(f"the style loss {kind} is computed on the CPU only, in fp32: use device cpu")
        backend = NUMPY
    _check_memory(network, chosen, styles, sizes[-1], backend, placement is not None)
    if chosen.precision != "fp32" and backend is NUMPY:
        raise InputError(f"precision {chosen.precision} needs a CUDA GPU: use precision fp32, or device cuda")
    if placement is not None and chosen.color == "recolor":
        raise InputError("recolor gives the whole picture the style's colours: leave the masks out")
    if placement is not None:
        _check_placement(placement, network, chosen, styles, sizes, style_weights)
    if chosen.color == "regions":
        if placement is None:
            raise InputError("the color regions moves colours region by region: give masks, or another color")
        content_pixels = recolored_content(content_pixels, placement, styles, _shares(style_weights, len(styles)))
    return Plan(
        network,
        chosen,
        content_pixels,
        colored,
        styles,
        _shares(style_weights, len(given)),
        _start(chosen, content_pixels, styles, sizes[0], seed),
        sizes,
        _split(chosen.iterations, len(sizes)),
        seed,
        backend,
        placement,
        ready,
        fine[0] if fine else None,
    )


def _check_ready(
    ready: list[MultiscaleStyle], net: Network, settings: Settings, placement: Placement | None, fine: bool
) -> None:
    """Refuse styles of another network or of other layers, and what needs style pictures."""
    for number, one in enumerate(ready, start=1):
        one.check(net, settings.style_layers or {}, "the style" if len(ready) == 1 else f"style {number}")
    pictures = {
        f"the style loss {settings.style_loss}": settings.style_loss != "gram",
        "masks": placement is not None,
        "a fine style": fine,
        "the start style": settings.start == "style",
        f"the color {settings.color}": settings.color != "style",
    }
    for what, needed in pictures.items():
        if ready and needed:
            raise InputError(f"{what} needs style pictures: a style file holds Gram matrices alone")


def scale_sizes(
    height: int, width: int, size: int | None, scales: int | None, coarsest: int = 128
) -> list[tuple[int, int]]:
    """Return the height and width of every scale, coarse to fine, each with twice the long side of the one before.

    Parameters
    ----------
    height, width : int
        Of the content picture.
    size : int or None
        Long side of the last scale; None means 512, or the content's own long side if that is smaller.
    scales : int or None
        How many; None means as many as keep the first one's long side at `coarsest` or more.
    coarsest : int
        In pixels.

    Raises
    ------
    InputError
        If a scale's short side would fall below 16 pixels, or a number is not positive.
    """
    long_side = min(DEFAULT_SIZE, max(height, width)) if size is None else size
    if not isinstance(long_side, int):
        raise InputError(f"the size must be a whole number of pixels, got {long_side!r}")
    if long_side < MIN_SIDE:
        raise InputError(f"the size must be a long side of at least {MIN_SIDE} pixels, got {long_side}")
    if scales is not None and scales < 1:
        raise InputError(f"the number of scales must be at least 1, got {scales}")
    last = fit_size(height, width, long_side)
    sizes = [last]
    while scales is None or len(sizes) < scales:
        smaller = long_side >> len(sizes)
        too_small = min(last) >> len(sizes) < MIN_SIDE
        if scales is None and (smaller < coarsest or too_small):
            break
        if too_small:
            raise InputError(
                f"{scales} scales of a {last[0]}×{last[1]} picture begin below {MIN_SIDE} pixels; use fewer scales"
            )
        sizes.append(fit_size(height, width, smaller))
    return sizes[::-1]


def _pixels(image: Image) -> np.ndarray:
    """Return a picture as float32 pixels, reading it if a path is given."""
    if not isinstance(image, np.ndarray):
        return read_image(image)
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < MIN_SIDE:
        raise InputError(f"an image must be H×W×3 with {MIN_SIDE} pixels a side or more, got shape {image.shape}")
    if str(image.dtype) not in ("uint8", "float32", "float64") or not np.isfinite(image).all():
        raise InputError(f"an image must be of uint8 or finite floating-point numbers, 0–255, got {image.dtype}")
    return image.astype(np.float32, copy=False)


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the styles' weights scaled to add up to 1, so that more pictures do not mean a stronger style."""
    if count == 0:
        raise InputError("a transfer needs one style picture at least")
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count:
        raise InputError(f"{count} style pictures need as many weights, got {len(given)}")
    if min(given) < 0 or not 0 < sum(given) < np.inf:
        raise InputError(f"style weights must not be negative and add up to more than 0, got {given}")
    return [weight / sum(given) for weight in given]


def _split(iterations: int, scales: int) -> list[int]:
    """Share iterations evenly among the scales; what is left over goes to the first, where it is cheapest."""
    share, rest = divmod(iterations, scales)
    return [share + (i < rest) for i in range(scales)]


def _start(
    settings: Settings, content: np.ndarray, styles: list[np.ndarray], shape: tuple[int, int], seed: int
) -> np.ndarray:
    """Return the image to begin with; it is resampled to the first scale."""
    if settings.start == "content":
        return content
    if settings.start == "style":
        return styles[0]
    if settings.start == "noise":
        # Around the content's mean colour, wide enough to reach black and white: all of the style's range is near.  A
        # content of which nothing is kept may be a map in any colours.
        mean = (content if settings.content_layers or not styles else styles[0]).mean(axis=(0, 1))
        start: np.ndarray = (mean + np.random.default_rng(seed).standard_normal((*shape, 3)) * 50).astype(np.float32)
        return start
    return read_image(settings.start)


def memory_needed(plan: Plan) -> float:
    """Return how many bytes the last scale of a transfer takes, which is the most, the judge of a strength included."""
    regions = plan.placement is not None
    return _bytes_at(plan.net, plan.settings, plan.styles, plan.sizes[-1], plan.backend, regions)


def _bytes_at(
    net: Network, settings: Settings, styles: list[np.ndarray], shape: tuple[int, int], backend: Backend, regions: bool
) -> float:
    sides = canvas_sides(settings, shape)
    canvas = shape[0] + sides.top + sides.bottom, shape[1] + sides.left + sides.right
    content, style = (
        [net.layer_name(layer) for layer in layers or {}] for layers in (settings.content_layers, settings.style_layers)
    )
    sizes = [style_size(settings, one, shape) for one in styles]
    style = [*dict.fromkeys([*style, *(net.layer_name(layer) for layer in settings.patch_layers or {})])]
    whole = settings.style_loss != "gram" or bool(settings.patch_layers)
    painting = transfer_bytes(net, content, style, canvas, sizes, backend, settings.precision, regions, whole)
    if settings.strength is None or backend is not NUMPY:
        return painting
    judged = min(STANDARD_SIZE, max(shape)) * max(1, settings.style_scale)  # on the host, while the objective is there
    return painting + judged**2 * judge_bytes_per_pixel()


def free_memory(backend: Backend) -> int | None:
    """Return the bytes that a transfer may take where it runs, or None where that is not known."""
    return available_memory() if backend.free_memory is None else backend.free_memory()


def _check_memory(
    net: Network, settings: Settings, styles: list[np.ndarray], shape: tuple[int, int], backend: Backend, regions: bool
) -> None:
    """Refuse, before any work, a transfer whose last scale needs more memory than there is."""
    needed, available = _bytes_at(net, settings, styles, shape, backend, regions), free_memory(backend)
    if available is None or needed <= available:
        return
    smallest = -(-MIN_SIDE * max(shape) // min(shape))  # so that the short side has 16 pixels
    fitting = int(max(shape) * (available / needed) ** 0.5)
    while fitting >= smallest and (
        _bytes_at(net, settings, styles, fit_size(*shape, fitting), backend, regions) > available
    ):
        fitting = fitting * 31 // 32
    fits = fitting >= smallest
    advice = f"use a size of {fitting} or less" if fits else "no size fits: use a smaller network or style scale"
    raise InputError(
        f"a picture of {shape[1]}×{shape[0]} pixels needs about {needed / 1e9:.1f} GB of memory, and "
        f"{available / 1e9:.1f} GB are free; {advice}"
    )


def _check_placement(
    placement: Placement,
    net: Network,
    settings: Settings,
    styles: list[np.ndarray],
    sizes: list[tuple[int, int]],
    style_weights: Sequence[float] | None,
) -> None:
    """Refuse, before any work, regions that are empty at some layer of some scale, or do not fit the styles."""
    if settings.style_loss not in ("gram", "patches"):
        raise InputError(f"regions go with the style losses gram and patches, not with {settings.style_loss}")
    patches = settings.style_loss == "patches" or settings.patch_layers
    if patches and not isinstance(placement.styles[0], Regions):
        raise InputError("patches need a mask for every style picture")
    if len(placement.styles) != len(styles):
        raise InputError(f"{len(styles)} style pictures need regions for each; there are {len(placement.styles)}")
    if style_weights is not None and not isinstance(placement.styles[0], Regions):
        raise InputError("style weights have no meaning where every style picture is for a region of its own")
    layers = [*{**(settings.style_layers or {}), **(settings.patch_layers or {})}]
    for shape in sizes:
        sides = canvas_sides(settings, shape)
        content_masks(placement.content, net, layers, shape, sides, settings.feather, settings.mask_way)
        sizes_of_styles = [style_size(settings, one, shape) for one in styles]
        style_masks(placement, net, sizes_of_styles, layers, settings.mask_way)


def canvas_sides(settings: Settings, shape: tuple[int, int]) -> Sides:
    """Return by how much a picture is extended on each side while it is painted: see `Settings.margin`."""
    if settings.margin == 0:
        return Sides(0, 0, 0, 0)
    height, width = (-(side + 2 * settings.margin) % 16 + 2 * settings.margin for side in shape)
    return Sides(height // 2, height - height // 2, width // 2, width - width // 2)


def style_size(settings: Settings, style: np.ndarray, shape: tuple[int, int]) -> tuple[int, int]:
    """Return a style picture's size at one scale: its long side is `style_scale` times the result's.

    A narrow style picture may be larger than that, because its short side needs 16 pixels too.
    """
    height, width = style.shape[:2]
    smallest = -(-MIN_SIDE * max(height, width) // min(height, width))
    return fit_size(height, width, max(round(settings.style_scale * max(shape)), smallest))
