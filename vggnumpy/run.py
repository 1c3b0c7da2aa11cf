"""A transfer as the command line runs it: checks first, progress while it runs, a picture and its record after."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vggnumpy import report
from vggnumpy.backend import NUMPY, select_device
from vggnumpy.errors import InputError
from vggnumpy.estimate import EVALUATIONS, evaluation_seconds
from vggnumpy.files import check_output, sha256
from vggnumpy.film import Film, check_animation, write_animation
from vggnumpy.formats.load import stand_in_network
from vggnumpy.formats.style_file import ready_styles
from vggnumpy.images import check_writable_image, keeps_alpha, read_image, read_picture, resize, write_image
from vggnumpy.plan import Plan, free_memory, memory_needed, plan_transfer
from vggnumpy.presets import STARTS
from vggnumpy.regions import Regions
from vggnumpy.spatial import Placement, placement_of_masks
from vggnumpy.strength import balancing_seconds
from vggnumpy.transfer import Progress, paint

Path_ = str | Path


def demo_portrait() -> Path:
    """Return the path of the photograph of Grace Hopper that matplotlib ships among its sample data.

    Raises
    ------
    InputError
        If this installation of matplotlib came without it.
    """
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    if not path.is_file():
        raise InputError(
            f"the demo portrait {path} is missing from this installation of matplotlib; "
            "use vggnumpy transfer with a photograph of your own"
        )
    return path


def run_transfer(
    content: Path_,
    styles: Sequence[Path_],
    output: Path_,
    *,
    weights: str | None = None,
    preset: str = "default",
    size: int | None = None,
    seed: int = 0,
    style_weights: Sequence[float] | None = None,
    content_mask: Path_ | None = None,
    style_masks: Sequence[Path_] = (),
    fine_style: Path_ | None = None,
    regions: int | None = None,
    device: str = "auto",
    save_every: int | None = None,
    animate: Path_ | None = None,
    contact_sheet: Path_ | None = None,
    estimate: bool = False,
    check: Callable[[Plan], None] | None = None,
    as_json: bool = False,
    overrides: dict[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> int:
    """Run a transfer from files to files and return the exit code.

    Parameters
    ----------
    content, styles, output : path
    weights : str, optional
        A network's name or weights file, ``"random"``, or None for the best there is.
    preset : str
        Name of a preset.
    size, seed, style_weights
        As for `vggnumpy.transfer.transfer`.
    content_mask, style_masks, regions
        Masks in colour files, and how many regions they have, as for `vggnumpy.spatial.placement_of_masks`.
    fine_style : path, optional
        A picture of finer strokes, as for `vggnumpy.transfer.transfer`.
    device : str
        As for `vggnumpy.backend.select_device`.
    save_every : int, optional
        Also write the picture every so many iterations.
    animate, contact_sheet : path, optional
        Write pictures on the way as an animation and side by side, at the end: one every `save_every` iterations, by
        default `vggnumpy.film.FRAMES` in all.
    estimate : bool
        Only print what memory and time it would take.
    check : callable, optional
        Only find out whether it could be run, say nothing, and hand the plan to this.
    as_json : bool
        Whether to print the record.
    overrides : dict, optional
        Settings in place of the preset's.
    arguments : sequence of str
        The command line, for the record.

    Raises
    ------
    InputError
        For whatever cannot be used; nothing has been written then.
    """
    backend = select_device(device)
    out = Path(output)
    check_output(out)
    check_writable_image(out)
    record_path, plot_path = out.with_suffix(".json"), out.with_suffix(".loss.png")
    start = (overrides or {}).get("start", "content")
    masks = [*([] if content_mask is None else [content_mask]), *style_masks]
    others = [one for one in (fine_style, None if start in STARTS else start) if one is not None]
    sources = [content, *styles, *masks, *others]
    written = [out, record_path, plot_path]
    if animate is not None:
        check_animation(animate)
        written.append(Path(animate))
    if contact_sheet is not None:
        check_writable_image(contact_sheet)
        written.append(Path(contact_sheet))
    for path in written:
        check_output(path)
    _check_not_overwritten(sources, written, save_every)
    if save_every is not None and save_every < 1:
        raise InputError(f"--save-every must be at least 1, got {save_every}")
    picture = read_picture(content)
    inputs = [{"path": str(path), "sha256": sha256(path)} for path in sources]
    ready = ready_styles(styles)
    pixels = [] if ready else [read_image(path) for path in styles]
    placement = _placement([picture.rgb, *pixels], content_mask, style_masks, regions)
    plan = plan_transfer(
        picture.rgb,
        [*ready, *pixels],
        net=stand_in_network(seed) if weights == "random" else weights,
        settings=preset,
        size=size,
        seed=seed,
        style_weights=style_weights,
        placement=placement,
        fine_style=fine_style,
        backend=backend,
        or_cpu=device == "auto",
        **(overrides or {}),
    )
    if check is not None:
        check(plan)
        return 0
    if plan.backend is not backend:
        _say("device: the CPU, which alone computes this style loss")
    elif backend is not NUMPY:
        _say("device: a GPU, whose code has not run on hardware yet; if a result looks wrong, use --device cpu")
    _say(f"network: {plan.net.name} ({plan.net.provenance.get('source', 'unknown source')})")
    if not plan.net.provenance.get("trained", True):
        _say("random filters know no pictures: convert real weights for far better results (see weights/README.md)")
    if ready:
        _say_how_large(plan, styles)
    if placement is not None:
        _say(f"regions: {_described(placement, styles)}")
    if estimate:
        print(_estimate(plan))
        return 0
    if plan.settings.strength is not None:
        _say(f"balancing content and style for strength {plan.settings.strength:g} by painting small pictures")
    alpha = picture.alpha if keeps_alpha(out) else None
    film = Film(plan.sizes[-1], save_every) if animate is not None or contact_sheet is not None else None
    with _Bar(out, alpha, save_every, film) as bar:
        result = paint(plan, bar)
    record = {
        "command": shlex.join(["vggnumpy", *arguments]),
        "versions": report.versions(),
        "inputs": inputs,
        "network": result.network,
        "preset": preset,
        "regions": None if placement is None else _described(placement, styles),
        "settings": result.settings,
        "device": plan.backend.name,
        "message": result.message,
        "interrupted": result.interrupted,
        "terms": result.terms,
        "history": result.history,
    }
    with _uninterrupted():
        _write_picture(out, result.image, alpha)
        report.write_json(record_path, record)
        report.plot_loss(plot_path, result.history, f"{Path(content).name} in the style of {_names(styles)}")
        if film is not None:
            _write_film(film, len(result.history), result.pixels, animate, contact_sheet)
    if as_json:
        print(report.to_json(record))
    height, width = result.image.shape[:2]
    ended = "interrupted, best so far: " if result.interrupted else ""
    _say(f"{ended}wrote {out} ({width} × {height}), {record_path.name} and {plot_path.name}")
    return 130 if result.interrupted else 0


def _placement(
    pictures: Sequence[Any], content_mask: Path_ | None, style_masks: Sequence[Path_], regions: int | None
) -> Placement | None:
    """Return what the masks describe, or None if there are none."""
    if content_mask is None:
        if style_masks or regions is not None:
            raise InputError("a style's mask and a number of regions need the content's mask too: give --content-mask")
        return None
    if len(pictures) == 1:
        raise InputError("masks need style pictures: a style file holds Gram matrices alone")
    masks, names = [read_image(path) for path in style_masks], [str(path) for path in (content_mask, *style_masks)]
    return placement_of_masks(read_image(content_mask), masks, [one.shape[:2] for one in pictures], regions, names)


def _say_how_large(plan: Plan, styles: Sequence[Path_]) -> None:
    """Say which styles were computed smaller than they are wanted: their strokes will be smaller."""
    wanted = round(plan.settings.style_scale * max(plan.sizes[-1]))
    for path, one in zip(styles, plan.ready, strict=True):
        if one.sizes[-1] < wanted:
            _say(
                f"{Path(path).name} was computed up to {one.sizes[-1]} pixels: its strokes are smaller than at the "
                f"{wanted} wanted here; compute it with --size {wanted}"
            )


def _described(placement: Placement, styles: Sequence[Path_]) -> str:
    """Say how large the regions are and where each takes its style from."""
    parts = []
    for number, (name, share) in enumerate(zip(placement.content.names, placement.content.shares, strict=True)):
        sources = [
            f"{Path(path).name} ({one.shares[number]:.0%} of it)" if isinstance(one, Regions) else Path(path).name
            for path, one in zip(styles, placement.styles, strict=True)
            if isinstance(one, Regions) or one == number
        ]
        parts.append(f"{name} ({share:.0%}) from {' and '.join(sources)}")
    return "; ".join(parts)


def _estimate(plan: Plan) -> str:
    """Say what memory the last scale takes, and what time all of them: eleven evaluations for ten iterations."""
    settings = plan.settings
    weights = {**(settings.content_layers or {}), **(settings.style_layers or {})}
    layers = {plan.net.layer_name(layer) for layer in weights}
    last = plan.sizes[-1]
    available = free_memory(plan.backend)
    memory = f"{memory_needed(plan) / 1e9:.2f} GB" + (f" of {available / 1e9:.1f} GB free" if available else "")
    kind = "patches" if settings.patch_layers else settings.style_loss
    if kind != "gram":
        return f"memory: roughly {memory}\ntime: unknown for the style loss {kind}"
    memory = f"memory: {memory}"
    if plan.backend is not NUMPY:
        return f"{memory}\ntime: unknown on a GPU"
    once = evaluation_seconds(plan.net, layers, last)
    if once is None:
        return f"{memory}\ntime: unknown for a network that the engine cannot compute"
    pixels = sum(count * height * width for count, (height, width) in zip(plan.iterations, plan.sizes, strict=True))
    seconds = EVALUATIONS * once * pixels / (last[0] * last[1])
    balancing = balancing_seconds(plan) or 0.0
    time = f"{memory}\ntime: {seconds + balancing:.0f} s, {once:.2f} s for an evaluation of {last[1]}×{last[0]} pixels"
    return time + (f"; up to {balancing:.0f} s of it for the strength" if balancing else "")


def _check_not_overwritten(sources: Sequence[Path_], written: Sequence[Path], save_every: int | None) -> None:
    """Refuse to write over any picture that is read, the ones saved on the way included, or to write one file twice."""
    out = written[0]
    for number, path in enumerate(written):
        if path.resolve() in [other.resolve() for other in written[:number]]:
            raise InputError(f"{path} would be written twice: name another")
    on_the_way = re.compile(re.escape(out.stem) + r"\.\d{4,}" + re.escape(out.suffix))
    for source in map(Path, sources):
        for path in written:
            if source.resolve() == path.resolve():
                raise InputError(f"{path} is an input and would be overwritten: name another output")
        if save_every and source.resolve().parent == out.resolve().parent and on_the_way.fullmatch(source.name):
            raise InputError(f"{source} is an input and --save-every could overwrite it: name another output")


def _write_film(film: Film, iterations: int, last: Any, animate: Path_ | None, contact_sheet: Path_ | None) -> None:
    """Write the frames of a run; the last one is its result, however soon it came."""
    if film.labels[-1:] != [iterations]:
        film.add(iterations, last)
    if animate is not None:
        write_animation(animate, film.frames)
    if contact_sheet is not None:
        report.write_contact_sheet(contact_sheet, film.frames, [f"{label} iterations" for label in film.labels])


def _write_picture(path: Path, pixels: Any, alpha: Any) -> None:
    """Write a picture with the content's alpha channel, resampled to its size."""
    write_image(path, pixels, None if alpha is None else resize(alpha, pixels.shape[:2]))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the second or two that writing takes; elsewhere than in the main thread it cannot come."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _names(paths: Sequence[Path_]) -> str:
    return ", ".join(Path(path).name for path in paths)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Bar:
    """A progress bar on standard error, and pictures on the way."""

    def __init__(self, out: Path, alpha: Any, save_every: int | None, film: Film | None):
        self._out, self._alpha, self._save_every, self._film = out, alpha, save_every, film
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar = tqdm(unit="it", dynamic_ncols=True, file=sys.stderr, disable=None)  # no bar in a log file
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def __call__(self, progress: Progress) -> None:
        self._bar.total = progress.iterations
        height, width = progress.size
        self._bar.set_description(f"{width}×{height}", refresh=False)
        self._bar.set_postfix_str(f"loss {progress.loss:.4g}", refresh=False)
        self._bar.update(progress.iteration - self._bar.n)
        if self._film is not None and self._film.wants(progress.iteration, progress.iterations):
            self._film.add(progress.iteration, progress.pixels)
        if self._save_every and progress.iteration % self._save_every == 0:
            path = self._out.with_stem(f"{self._out.stem}.{progress.iteration:04d}")
            try:
                _write_picture(path, progress.pixels, self._alpha)
            except InputError as error:  # such as a full disk: no reason to lose the picture in work
                _say(f"{error}; going on without it")
