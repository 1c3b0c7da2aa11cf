"""What runs leave beside their pictures: JSON records, plots of losses and scores, sheets and grids of pictures."""

from __future__ import annotations

import io
import json
import math
import platform
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from vggnumpy.errors import InputError
from vggnumpy.files import atomic_path, check_output
from vggnumpy.images import decode_rgb, to_uint8, write_image

if TYPE_CHECKING:
    from vggnumpy.scores import TransferScore


def versions() -> dict[str, str]:
    """Return the versions that a result depends on: vggnumpy, Python and the libraries that compute."""
    from importlib.metadata import version

    import vggnumpy

    libraries = {name: version(name) for name in ("numpy", "scipy", "h5py", "imageio", "pillow")}
    return {"vggnumpy": vggnumpy.__version__, "python": platform.python_version(), **libraries}


def to_json(data: Any) -> str:
    """Return `data` as indented JSON; in ASCII, because file names need not be valid Unicode."""
    return json.dumps(data, indent=2, allow_nan=False, default=_plain)


def write_json(path: str | Path, data: Any) -> None:
    """Write `data` as indented JSON, whole or not at all."""
    text = to_json(data)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="ascii")


def _plain(value: Any) -> Any:
    """Return what JSON has no form for as something it has: NumPy numbers and arrays, paths."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _figure(width: float, height: float) -> Any:
    """Return an empty figure of these inches; not through pyplot: no global state, no display, safe in threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _literal(text: str) -> str:
    """Return a text, such as a file's name, in which matplotlib takes no dollar sign for a formula's."""
    return text.replace("$", r"\$")


def _write_plot(path: str | Path, figure: Any, dpi: int = 120) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file name may hold characters that the font does not have
        figure.savefig(temporary, dpi=dpi, format="png")


def plot_loss(path: str | Path, history: list[dict[str, Any]], title: str) -> None:
    """Plot the loss against the iteration, one curve for each scale, and write the picture whole or not at all.

    Parameters
    ----------
    path : str or Path
        A PNG file.
    history : list of dict
        From `vggnumpy.transfer.TransferResult`.
    title : str
    """
    figure = _figure(7, 4)
    axes = figure.add_subplot()
    for scale in sorted({row["scale"] for row in history}):
        rows = [row for row in history if row["scale"] == scale]
        height, width = rows[0]["size"]
        axes.semilogy([row["iteration"] for row in rows], [row["loss"] for row in rows], label=f"{width} × {height}")
    axes.set(xlabel="iteration", ylabel="loss", title=_literal(textwrap.fill(title, 70)))
    axes.grid(True, which="both", alpha=0.3)
    if history:
        axes.legend(title="size (each has its own loss)")
    _write_plot(path, figure)


def write_contact_sheet(
    path: str | Path,
    frames: Sequence[ArrayLike],
    labels: Sequence[str],
    title: str = "",
    columns: int | None = None,
    side: int = 260,
) -> None:
    """Write pictures side by side in rows, each with its label, as one picture, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Any picture file that `vggnumpy.images.write_image` writes.
    frames : sequence of array_like, H×W×3, RGB 0–255
        At least one; the first one's proportions are those of every place.
    labels : sequence of str
        Of one line or several.
    title : str
    columns : int, optional
        Pictures in a row; by default as many as make the sheet about square.
    side : int
        Pixels that the longer side of a place has.
    """
    height, width = np.shape(frames[0])[:2]
    columns = columns or min(len(frames), max(3, math.ceil(math.sqrt(len(frames) * height / width))))
    rows = math.ceil(len(frames) / columns)
    inches = side / 100 / max(height, width)
    above = 0.13 + 0.17 * max(label.count("\n") + 1 for label in labels)
    figure = _figure(columns * (width * inches + 0.08), rows * (height * inches + above) + 0.5 * bool(title))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    if title:
        figure.suptitle(_literal(title), fontsize=13)
    for number, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if number < len(frames):
            ax.imshow(to_uint8(frames[number]))
            ax.set_title(_literal(labels[number]), fontsize=10, pad=3)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_image(path, decode_rgb(drawn.getvalue()))


def plot_grams(path: str | Path, summaries: Mapping[Any, Any], title: str) -> None:
    """Plot histogram, amplitude and sparsity of Gram matrices, layer by layer, and write the picture whole or not.

    Parameters
    ----------
    path : str or Path
        A PNG file.
    summaries : dict
        Layer → `vggnumpy.synthesis.GramSummary`.
    title : str
    """
    figure = _figure(11, 3.6)
    figure.suptitle(_literal(title), fontsize=13)
    histogram, amplitude, sparsity = figure.subplots(1, 3, width_ratios=(2.2, 1, 1))
    for number, (layer, one) in enumerate(summaries.items()):
        inner = np.sqrt(np.array(one.edges[1:-2]) * np.array(one.edges[2:-1]))
        histogram.semilogx(inner, 100 * np.array(one.counts[1:-1]), color=f"C{number}", label=str(layer))
    histogram.set(xlabel="entry / amplitude of its layer", ylabel="% of the entries", xlim=(1e-4, 1e3))
    histogram.legend(fontsize=9)
    colors = [f"C{number}" for number in range(len(summaries))]
    named = {layer: str(layer).removeprefix("relu") for layer in summaries}
    amplitude.bar(list(named.values()), [one.amplitude for one in summaries.values()], color=colors)
    amplitude.set(title="amplitude", yscale="log")
    sparsity.bar(list(named.values()), [one.sparsity for one in summaries.values()], color=colors)
    sparsity.set(title="sparsity", ylim=(0, 1))
    for ax in (histogram, amplitude, sparsity):
        ax.grid(True, axis="y", alpha=0.3)
    _write_plot(path, figure)


def plot_training(path: str | Path, log: list[dict[str, Any]], title: str) -> None:
    """Plot loss and share of wrong answers against the pass, and write the picture whole or not at all.

    Parameters
    ----------
    path : str or Path
        A PNG file.
    log : list of dict
        From `vggnumpy.training.loop.Trainer`.
    title : str
    """
    figure = _figure(7, 4)
    left = figure.subplots()
    right = left.twinx()
    passes = [row["pass"] for row in log]
    (loss,) = left.plot(passes, [row["loss"] for row in log], color="C0", label="loss")
    (error,) = right.plot(passes, [100 * row["error"] for row in log], color="C1", label="wrong while training")
    left.set(xlabel="pass", ylabel="loss", title=_literal(title))
    right.set(ylabel="wrong while training, %", ylim=(0, None))
    left.legend(handles=[loss, error])
    left.grid(alpha=0.3)
    _write_plot(path, figure)


def check_plot(path: str | Path, sources: Sequence[str | Path]) -> None:
    """Check, before any long work, that a plot can be written at this path.

    Raises
    ------
    InputError
        If it does not end in .png, is one of the files that are read, or cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: plots are written as PNG files; choose a name that ends in .png")
    if Path(path).resolve() in {Path(source).resolve() for source in sources}:
        raise InputError(f"{path} is an input and would be overwritten: name another output")
    check_output(path)


def plot_scores(path: str | Path, names: Sequence[str], scores: Sequence[TransferScore], title: str) -> None:
    """Plot style won against structure kept, and the distance to the style layer by layer, whole or not at all.

    Parameters
    ----------
    path : str or Path
        A PNG file.
    names : sequence of str
    scores : sequence of TransferScore
        The photograph's first.
    title : str
    """
    figure = _figure(11, 4.6)
    figure.suptitle(_literal(title))
    left, right = figure.subplots(1, 2)
    layers = list(scores[0].style)
    for number, (name, score) in enumerate(zip(names, scores, strict=True)):
        look = {"color": "0.6" if number == 0 else f"C{(number - 1) % 10}", "marker": "so^Dv"[number // 11 % 5]}
        left.plot(score.style_score, score.structure, ls="", label=_literal(name), **look)
        right.plot(layers, [score.style[layer] for layer in layers], **look)
    left.set(xlabel="style score: share of the way to the style", ylabel="structure kept (SSIM)")
    left.set(xlim=(min(0, *(score.style_score for score in scores)) - 0.05, 1.05), ylim=(0, 1.05))
    right.set(ylabel="distance to the style, in parts of its length", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9)
    _write_plot(path, figure)


def plot_grid(
    path: str | Path,
    cells: Sequence[Sequence[np.ndarray | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str = "",
) -> None:
    """Hang pictures in a grid with a label for each row and column, and write it whole or not at all.

    Parameters
    ----------
    path : str or Path
        A PNG file.
    cells : sequence of rows of ndarray, H×W×3, RGB 0–255
        None leaves a place empty.  Each becomes about 320 pixels wide or high.
    rows, columns : sequence of str
        Labels; rows may be empty strings.
    captions : sequence of rows of str
        What is written below each picture.
    title : str
    """
    shapes = [cell.shape for row in cells for cell in row if cell is not None] or [(1, 1)]
    height, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    inches = 3.2 / max(height, width)
    heights = len(rows) * (height * inches + 0.3) + 0.35 + 0.4 * bool(title)
    figure = _figure(len(columns) * (width * inches + 0.1) + 0.4, heights)
    figure.suptitle(_literal(title))
    for place, ax in np.ndenumerate(figure.subplots(len(rows), len(columns), squeeze=False)):
        row, column = place
        cell = cells[row][column]
        ax.imshow(np.full((height, width, 3), 255, np.uint8) if cell is None else to_uint8(cell))
        ax.set(xticks=[], yticks=[], frame_on=False)
        ax.set_xlabel(_literal(captions[row][column]), fontsize=9)
        if row == 0:
            ax.set_title(_literal(columns[column]), fontsize=11)
        if column == 0:
            ax.set_ylabel(_literal(rows[row]), fontsize=11)
    _write_plot(path, figure, dpi=100)
