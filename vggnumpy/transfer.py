"""Style transfer from coarse to fine: the driver that turns two pictures into one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vggnumpy.backend import select_device, to_host
from vggnumpy.borders import WIDTH, evened
from vggnumpy.color_control import PAINTED_GREY, finished, recolored
from vggnumpy.errors import InputError
from vggnumpy.images import resize, to_uint8
from vggnumpy.nets import Network
from vggnumpy.nets.placement import network_on
from vggnumpy.objective import Objective
from vggnumpy.optimize import linear, minimize
from vggnumpy.plan import Image, Plan, StyleSource, canvas_sides, plan_transfer
from vggnumpy.presets import Settings
from vggnumpy.scale import canvas_at, objective_at
from vggnumpy.spatial import Placement, recolored_content
from vggnumpy.strength import Steer, balanced, steered
from vggnumpy.style_terms import HeldPatches

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

_HELD = 10  # iterations for which the matches of patches are held


@dataclass(frozen=True)
class Progress:
    """Where a transfer stands after an accepted iteration.

    Attributes
    ----------
    scale, scales : int
        Number of the current scale, from 1, and of all.
    size : (int, int)
        Height and width of the current scale.
    iteration, iterations : int
        Accepted iterations over all scales, from 1, and how many there will be at most.
    evaluations : int
        Evaluations of the objective at this scale.
    loss : float
        The objective at the current scale; scales are not comparable.
    seconds : float
        Since the start of the transfer.
    """

    scale: int
    scales: int
    size: tuple[int, int]
    iteration: int
    iterations: int
    evaluations: int
    loss: float
    seconds: float
    _pixels: Any = field(repr=False)
    _finish: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    @property
    def pixels(self) -> np.ndarray:
        """The current image, H×W×3, unclamped, brought over from its device.  Not to be written to."""
        return self._finish(to_host(self._pixels))


@dataclass(frozen=True)
class TransferResult:
    """What `transfer` returns.

    Attributes
    ----------
    image : ndarray, H×W×3, uint8
        The picture.
    pixels : ndarray, H×W×3, float32
        The same before clamping and rounding.
    history : list of dict
        For each iteration: scale, size, iteration, evaluations, loss, seconds.
    terms : dict
        Name of each term of the objective → its value at the end; empty if interrupted.
    settings : dict
        Every setting, with layers and sizes as used.  What of it `Settings` has is enough to repeat the run: with a
        strength the content's weights are those that were found for it, and `balanced` says so.
    network : dict
        Name and provenance of the network.
    message : str
        How the last scale ended.
    interrupted : bool
        Whether Ctrl-C ended it early; the image is then the best so far, at the scale it had reached.
    """

    image: np.ndarray
    pixels: np.ndarray
    history: list[dict[str, Any]]
    terms: dict[str, float]
    settings: dict[str, Any]
    network: dict[str, Any]
    message: str
    interrupted: bool


def transfer(
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
    device: str = "auto",
    callback: Callable[[Progress], None] | None = None,
    **overrides: Any,
) -> TransferResult:
    """Paint one picture in the style of others.

    The image is optimised at a small size first and enlarged step by step.  At each scale the content and the style
    pictures are resampled anew, the targets computed anew and the optimiser started without memory of the scale before.
    Pixels are floating-point numbers throughout and clamped to 0–255 only in the result.

    Parameters
    ----------
    content : path or ndarray, H×W×3, RGB 0–255
        The picture to repaint.
    style : path or ndarray, or a list of them
        The pictures to take the style from: mixed gradient descent, the weighted sum of their losses.  Or, in their
        place, style files (paths that end in .h5) or styles (`vggnumpy.multiscale.MultiscaleStyle`): no picture is
        opened then, and the result is, bit for bit, the one that the pictures give that a style was computed from.
    net : Network, str or Path, optional
        A network, or the name or path of its weights file, see `vggnumpy.load_network`; by default the best there is,
        see `vggnumpy.formats.best_network`.
    settings : Settings or str
        Or the name of a preset.
    size : int, optional
        Long side of the result in pixels; by default 512, or the content's own if that is smaller.
    seed : int
        Of the noise that ``start="noise"`` begins with.
    style_weights : sequence of float, optional
        One for each style picture; they are scaled to add up to 1.  By default all equal.
    placement : Placement, optional
        Which region of the content takes its style from where, see `vggnumpy.spatial`.
    fine_style : path or ndarray, optional
        A picture that the shallower half of the style layers, grain and strokes, comes from in place of `style`; its
        colours are matched to those of `style` first.  See `vggnumpy.feature_size`.
    device : str
        Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"auto"``, see `vggnumpy.backend.select_device`;
        ``"auto"`` leaves style losses other than Gram matrices to the CPU.
    callback : callable, optional
        Called with a `Progress` after each accepted iteration.
    **overrides
        Any field of `Settings`, in place of the preset's.

    Returns
    -------
    TransferResult

    Raises
    ------
    InputError
        If a picture, network, layer, preset, setting or device cannot be used.

    Notes
    -----
    Ctrl-C during the optimisation does not raise: the best image so far is returned with ``interrupted`` set.  While a
    `strength` is still being balanced there is none, and KeyboardInterrupt is raised.
    """
    plan = plan_transfer(
        content,
        style,
        net=net,
        settings=settings,
        size=size,
        seed=seed,
        style_weights=style_weights,
        placement=placement,
        fine_style=fine_style,
        backend=select_device(device),
        or_cpu=device == "auto",
        **overrides,
    )
    return paint(plan, callback)


def paint(plan: Plan, callback: Callable[[Progress], None] | None = None, steer: Steer | None = None) -> TransferResult:
    """Carry out a planned transfer; see `transfer`.

    Parameters
    ----------
    plan : Plan
        Its sizes may repeat: then the optimiser begins anew at the same scale.
    callback : callable, optional
        As for `transfer`.
    steer : callable, optional
        Given the plan and the picture after each size but the last, returns the plan to go on with.
    """
    if plan.settings.strength is not None:
        chosen = balanced(plan, paint)
        rounds, steer = steered(plan, chosen)
        result = paint(rounds, callback, steer)
        # What the trials have found, and not what it was corrected to later: from there all of it can be repeated.
        settings = replace(chosen.settings, strength=plan.settings.strength, balanced=True)
        return replace(result, settings={**result.settings, **settings.to_dict()})
    settings, pixels = plan.settings, plan.start
    net = network_on(plan.net, plan.backend)

    def finish(painted: np.ndarray) -> np.ndarray:
        if settings.color == "regions" and plan.placement is not None:
            even = evened(painted.clip(0, 255), plan.placement.content, WIDTH * max(painted.shape))
            return recolored_content(even, plan.placement, plan.styles, plan.style_weights, 1.0)
        if settings.color not in PAINTED_GREY:
            return painted
        return finished(settings.color, painted, resize(plan.colored, painted.shape[:2]))

    sizes = list(dict.fromkeys(plan.sizes))
    log = _Log(pixels, len(sizes), sum(plan.iterations), callback, finish)
    interrupted, message = False, "recoloured, nothing painted"
    terms: dict[str, float] = {}
    steps = list(zip(plan.sizes, plan.iterations, strict=True))
    if settings.color == "recolor":
        pixels, steps = recolored(resize(plan.colored, plan.sizes[-1]), plan.styles, plan.style_weights), []
    for number, (shape, count) in enumerate(steps, start=1):
        sides = canvas_sides(settings, shape)
        inside = slice(sides.top, sides.top + shape[0]), slice(sides.left, sides.left + shape[1])
        objective = None  # its memory is free before the next one's is taken
        try:
            canvas = canvas_at(plan, pixels, shape, sides)
            log.begin_scale(canvas, inside)
            pixels = to_host(log.best)
            options = _options(settings, count)
            with np.errstate(over="ignore", invalid="ignore"):  # the optimiser notices, and steps back or says so
                objective = objective_at(plan, net, shape, sides)
                result = _descend(objective, canvas, settings.optimizer, count, log, options)
            if result.nit == 0 and not np.isfinite(result.fun):
                raise InputError("the loss or its gradient is not finite at the start: use smaller weights")
            pixels, message = to_host(result.x[inside]), str(result.message)
            objective(result.x)  # its last evaluation may have been a trial of the line search
            terms = {name: float(term.value) for name, term in objective.terms.items()}
            objective.terms = {}  # they know their objective, and its memory is to be free at once
            if steer is not None and number < len(steps):
                plan = steer(plan, pixels)
        except KeyboardInterrupt:
            pixels, terms, message, interrupted = to_host(log.best), {}, "interrupted", True
            break
    pixels = finish(pixels)
    return TransferResult(
        image=to_uint8(pixels),
        pixels=pixels,
        history=log.history,
        terms=terms,
        settings={
            **plan.settings.to_dict(),
            "sizes": sizes,
            "seed": plan.seed,
            "style_weights": plan.style_weights,
        },
        network={"name": net.name, **net.provenance},
        message=message,
        interrupted=interrupted,
    )


class _Log:
    """The optimiser's callback: writes the history, keeps the best image of a scale, tells the caller."""

    def __init__(
        self,
        start: Any,
        scales: int,
        iterations: int,
        callback: Callable[[Progress], None] | None,
        finish: Callable[[np.ndarray], np.ndarray],
    ):
        self.best = start
        self.history: list[dict[str, Any]] = []
        self._scale, self._scales, self._iterations = 0, scales, iterations
        self._callback, self._finish = callback, finish
        self._inside: tuple[slice, slice] | None = None
        self._began = time.perf_counter()

    def begin_scale(self, canvas: Any, inside: tuple[slice, slice]) -> None:
        """Begin a scale, or once more at the same."""
        if self._inside != inside:
            self._scale, self._inside, self._evaluations = self._scale + 1, inside, 0
        self.best, self._best_loss = canvas[inside], np.inf

    def end_round(self, evaluations: int) -> None:
        """Remember the evaluations of a run of the optimiser; the next one at this scale counts from 0 again."""
        self._evaluations += evaluations

    def __call__(self, intermediate_result: Any) -> None:
        canvas, loss = intermediate_result.x, float(intermediate_result.fun)
        pixels = canvas[self._inside]
        if loss < self._best_loss:
            self.best, self._best_loss = pixels, loss
        progress = Progress(
            scale=self._scale,
            scales=self._scales,
            size=(pixels.shape[0], pixels.shape[1]),
            iteration=len(self.history) + 1,
            iterations=self._iterations,
            evaluations=self._evaluations + int(intermediate_result.nfev),
            loss=loss,
            seconds=time.perf_counter() - self._began,
            _pixels=pixels,
            _finish=self._finish,
        )
        self.history.append({key: value for key, value in vars(progress).items() if not key.startswith("_")})
        if self._callback is not None:
            self._callback(progress)


def _descend(
    objective: Objective, canvas: Any, method: str, iterations: int, log: _Log, options: dict[str, Any]
) -> OptimizeResult:
    """Minimise an objective; where patches are matched, in rounds, each with matches that are held."""
    held = [one.loss for one in objective.layer_terms if isinstance(one.loss, HeldPatches)]
    left = iterations
    while True:
        count = min(left, _HELD) if held else left
        result = minimize(objective, canvas, method=method, maxiter=count, callback=log, **options)
        log.end_round(result.nfev)
        left -= count
        if left <= 0 or not result.nit:
            return result
        canvas = result.x
        for one in held:
            one.release()


def _options(settings: Settings, iterations: int) -> dict[str, Any]:
    """Return the optimiser's options for one scale."""
    options = dict(settings.optimizer_options)
    if settings.optimizer.startswith("lbfgs"):
        options["first_step"] = settings.first_step
    if isinstance(options.get("rate"), Sequence):
        first, last = options["rate"]
        options["rate"] = linear(first, last, iterations)
    return options
