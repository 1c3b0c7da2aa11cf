"""``vggnumpy sweep``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggnumpy.cli.common import command
from vggnumpy.cli.transfer import add_transfer_options

if TYPE_CHECKING:
    from vggnumpy.plan import Plan
    from vggnumpy.sweep import Cell, Grid

_WITH_COMMAS = ("content-layers", "style-layers", "style-weights")  # whose one value may have commas in it


def add_sweep(commands: Any) -> None:
    """Add ``sweep``."""
    parser = command(
        commands,
        "sweep",
        _sweep,
        "paint with every combination of several values, and hang the pictures in a labelled grid",
        "\n\nAll options of vggnumpy transfer that have a value take several, with commas between; those whose value"
        "\nhas commas itself are given several times.  What is named last changes along the rows of the grid.  Each"
        "\nSTYLE is painted from alone.  The pictures and their records are kept in a folder of OUT's name without its"
        "\nsuffix, OUT's name with .json lists them with their scores (see vggnumpy score transfer).  Ctrl-C keeps"
        "\nwhat is done."
        "\n\nexamples:"
        "\n  vggnumpy sweep portrait.jpg starry_night.jpg -o grid.png --strength 0.1,1,10 --style-scale 0.5,1"
        "\n  vggnumpy sweep town.jpg wave.jpg night.jpg -o styles.png --size 256 --init content,noise"
        "\n  vggnumpy sweep town.jpg wave.jpg -o nets.png --weights builtin,vgg16,vgg19 --strength 1",
    )
    parser.add_argument("content", metavar="CONTENT", help="the picture to repaint")
    parser.add_argument(
        "style", metavar="STYLE", nargs="+", help="pictures to take the style from, or style files, each alone"
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the grid to write, a PNG file")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="transfers at a time (default: as many as cores, if memory allows; 1 on a GPU)",
    )
    parser.set_defaults(swept={})
    known = argparse.ArgumentParser(add_help=False)
    add_transfer_options(known)
    for option in known._actions:
        if option.nargs is None:  # with one value
            values = option.metavar or "|".join(map(str, option.choices or ()))
            parser.add_argument(
                *option.option_strings, action=_Values, default=argparse.SUPPRESS, metavar=values, help=option.help
            )


class _Values(argparse.Action):
    """Collects the values of all swept options in ``swept``, in the order that they are given in."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name, text = self.option_strings[-1].removeprefix("--"), str(values)
        given = [text] if name in _WITH_COMMAS else [part.strip() for part in text.split(",")]
        namespace.swept = {**namespace.swept, name: [*namespace.swept.get(name, []), *given]}


def _sweep(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from vggnumpy import report
    from vggnumpy.errors import InputError
    from vggnumpy.files import check_output
    from vggnumpy.images import read_image
    from vggnumpy.sweep import plan_sweep, run_cells

    out = Path(arguments.output)
    report.check_plot(out, [arguments.content, *arguments.style])
    folder, record = out.with_suffix(""), out.with_suffix(".json")
    check_output(record)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {arguments.jobs}")
    grid = plan_sweep(arguments.content, arguments.style, arguments.swept, folder)
    cells = [cell for row in grid.cells for cell in row]
    made = _make_folder(folder)
    try:
        jobs = _check(cells, arguments.jobs)
    except BaseException:
        if made:
            folder.rmdir()
        raise
    for cell in cells:
        cell.picture.unlink(missing_ok=True)  # of an older sweep: it could be taken for one of this
    with tqdm(total=len(cells), unit="picture", dynamic_ncols=True, disable=None) as bar:
        failed, interrupted = run_cells(cells, jobs, lambda cell: bar.update())
    size, scores = _scores(arguments.content, [cell for cell in cells if cell.picture.is_file()])
    rows = [[read_image(cell.picture) if cell.picture.is_file() else None for cell in row] for row in grid.cells]
    captions = [[_caption(cell, scores, failed) for cell in row] for row in grid.cells]
    report.plot_grid(out, rows, grid.rows, grid.columns, captions, _title(arguments, grid))
    report.write_json(
        record,
        {
            "command": shlex.join(["vggnumpy", *arguments.given]),
            "versions": report.versions(),
            "interrupted": interrupted,
            "scored": {"network": "builtin", "size": size},
            "cells": [
                {
                    "options": cell.options,
                    "picture": cell.picture.relative_to(out.parent) if cell.picture.is_file() else None,
                    "command": shlex.join(["vggnumpy", *cell.arguments]),
                    "failed": failed.get(cell.picture),
                    "score": scores.get(cell.picture),
                }
                for cell in cells
            ],
        },
    )
    if failed:
        raise InputError(f"{len(failed)} of {len(cells)} pictures failed, the first: {next(iter(failed.values()))}")
    return 130 if interrupted else 0


def _make_folder(folder: Path) -> bool:
    """Make the folder of the cells' pictures, and return whether it was not there."""
    from vggnumpy.errors import InputError

    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: no folder for the pictures can be made there: {error.strerror}") from None
    return made


def _check(cells: Sequence[Cell], wanted: int | None) -> int:
    """Find out whether every cell could be painted, before any is, and return how many at a time."""
    from vggnumpy.cli import build_parser
    from vggnumpy.cli.transfer import run_parsed
    from vggnumpy.errors import InputError
    from vggnumpy.plan import free_memory
    from vggnumpy.sweep import bytes_of_process, default_jobs, jobs_that_fit

    parser, needed, free = build_parser(), dict[str, list[float]](), dict[str, float | None]()

    def measure(plan: Plan) -> None:
        device = plan.backend.name
        needed.setdefault(device, []).append(bytes_of_process(plan))
        free.setdefault(device, free_memory(plan.backend))

    for cell in cells:
        arguments = parser.parse_args(cell.arguments)
        arguments.given = cell.arguments
        run_parsed(arguments, measure)
    jobs = min(wanted, len(cells)) if wanted else default_jobs(cells)
    fitting = min(jobs_that_fit(needed[device], free[device], jobs) for device in needed)
    if wanted and fitting < jobs:
        raise InputError(
            f"{jobs} transfers at a time do not fit into memory together, {fitting} would: use --jobs {fitting}, or a "
            "smaller --size"
        )
    return fitting


def _scores(content: str, painted: Sequence[Cell]) -> tuple[int, dict[Path, dict[str, Any]]]:
    """Return a size that no cell is below, and the scores at it of those whose style is a picture."""
    from vggnumpy.errors import InputError
    from vggnumpy.formats.style_file import SUFFIXES
    from vggnumpy.images import read_image
    from vggnumpy.scores import STANDARD_SIZE, Judge

    photo, judges, scores = read_image(content), dict[tuple[str, float], Judge](), {}
    pictures = {cell.picture: read_image(cell.picture) for cell in painted}
    size = min([STANDARD_SIZE, *(max(picture.shape[:2]) for picture in pictures.values())])
    for cell in painted:
        style, scale = cell.options["style"], float(cell.options.get("style-scale", 1))
        if Path(style).suffix.lower() in SUFFIXES:
            continue
        try:
            if (style, scale) not in judges:
                judges[style, scale] = Judge(photo, read_image(style), size=size, style_scale=scale)
            scores[cell.picture] = judges[style, scale].score(pictures[cell.picture]).to_dict()
        except InputError as error:  # such as of a picture too narrow for the standard size: it hangs without a score
            print(f"{cell.picture.name} has no score: {error}", file=sys.stderr)
    return size, scores


def _caption(cell: Cell, scores: dict[Path, dict[str, Any]], failed: dict[Path, str]) -> str:
    if cell.picture in scores:
        score = scores[cell.picture]
        return f"style {score['style_score']:.2f}, structure {score['structure']:.2f}"
    return "failed" if cell.picture in failed else "" if cell.picture.is_file() else "not painted"


def _title(arguments: argparse.Namespace, grid: Grid) -> str:
    title = Path(arguments.content).stem
    return title if len(arguments.style) > 1 else f"{title} in the style of {Path(arguments.style[0]).stem}"
