"""A transfer as the command line runs it: checks first, progress while it runs, a picture and its record after."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggnumpy import report
from vggnumpy.backend import select_device
from vggnumpy.errors import InputError
from vggnumpy.files import check_output, sha256
from vggnumpy.formats.load import find_weights, load_network
from vggnumpy.images import check_writable_image, keeps_alpha, read_picture, resize, write_image
from vggnumpy.nets import Network, architecture, centre_filters, random_network
from vggnumpy.plan import plan_transfer
from vggnumpy.transfer import Progress, TransferResult, paint

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


def best_network(seed: int = 0) -> Network:
    """Return the best network there is: VGG-19 if its weights are here, else the built-in one, else a random one."""
    for name in ("vgg19", "builtin"):
        if find_weights(name) is not None:
            return load_network(name)
    return demo_network(seed)


def demo_network(seed: int) -> Network:
    """Return what stands in for a trained network: VGG-19 as far as relu4_1, with random, centred filters."""
    table = architecture("vgg19")
    end = [layer.name for layer in table].index("relu4_1") + 1
    net = random_network(table[:end], rng=seed)
    return centre_filters(replace(net, name="random VGG-19 to relu4_1"))


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
    device: str = "auto",
    save_every: int | None = None,
    as_json: bool = False,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Run a transfer from files to files and return the exit code.

    Parameters
    ----------
    content, styles, output : path
    weights : str, optional
        A network's name or weights file, ``"random"``, or None for `best_network`.
    preset : str
        Name of a preset.
    size, seed, style_weights
        As for `vggnumpy.transfer.transfer`.
    device : str
        As for `vggnumpy.backend.select_device`.
    save_every : int, optional
        Also write the picture every so many iterations.
    as_json : bool
        Whether to print the record.
    overrides : dict, optional
        Settings in place of the preset's.

    Raises
    ------
    InputError
        For whatever cannot be used; nothing has been written then.
    """
    select_device(device)
    out = Path(output)
    check_output(out)
    check_writable_image(out)
    record_path, plot_path = out.with_suffix(".json"), out.with_suffix(".loss.png")
    for path in (out, record_path, plot_path):
        check_output(path)
        if any(Path(source).resolve() == path.resolve() for source in (content, *styles)):
            raise InputError(f"{path} is an input and would be overwritten: name another output")
    if save_every is not None and save_every < 1:
        raise InputError(f"--save-every must be at least 1, got {save_every}")
    picture = read_picture(content)
    inputs = [{"path": str(path), "sha256": sha256(path)} for path in (content, *styles)]
    plan = plan_transfer(
        picture.rgb,
        list(styles),
        net=_network(weights, seed),
        settings=preset,
        size=size,
        seed=seed,
        style_weights=style_weights,
        **(overrides or {}),
    )
    _say(f"network: {plan.net.name} ({plan.net.provenance.get('source', 'unknown source')})")
    if not plan.net.provenance.get("trained", True):
        _say("random filters know no pictures: convert real weights for far better results (see weights/README.md)")
    with _Bar(out, save_every) as bar:
        result = paint(plan, bar)
    alpha = None
    if picture.alpha is not None and keeps_alpha(out):
        alpha = resize(picture.alpha, result.image.shape[:2])
    record = _record(result, inputs, preset, device)
    write_image(out, result.image, alpha)
    report.write_json(record_path, record)
    report.plot_loss(plot_path, result.history, f"{Path(content).name} in the style of {_names(styles)}")
    if as_json:
        print(json.dumps(record, indent=2, default=str))
    height, width = result.image.shape[:2]
    ended = "interrupted, best so far: " if result.interrupted else ""
    _say(f"{ended}wrote {out} ({width} × {height}), {record_path.name} and {plot_path.name}")
    return 130 if result.interrupted else 0


def _network(weights: str | None, seed: int) -> Network:
    if weights is None:
        return best_network(seed)
    return demo_network(seed) if weights == "random" else load_network(weights)


def _names(paths: Sequence[Path_]) -> str:
    return ", ".join(Path(path).name for path in paths)


def _record(result: TransferResult, inputs: list[dict[str, str]], preset: str, device: str) -> dict[str, Any]:
    """Return what is needed to repeat a run and to judge it."""
    return {
        "command": shlex.join(["vggnumpy", *sys.argv[1:]]),
        "versions": report.versions(),
        "inputs": inputs,
        "network": result.network,
        "preset": preset,
        "settings": result.settings,
        "device": device,
        "message": result.message,
        "interrupted": result.interrupted,
        "terms": result.terms,
        "history": result.history,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Bar:
    """A progress bar on standard error, and pictures on the way."""

    def __init__(self, out: Path, save_every: int | None):
        self._out, self._save_every = out, save_every
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
        if self._save_every and progress.iteration % self._save_every == 0:
            write_image(self._out.with_stem(f"{self._out.stem}.{progress.iteration:04d}"), progress.pixels)
