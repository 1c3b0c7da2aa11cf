"""What a run leaves beside its picture: a JSON record and a plot of the loss."""

from __future__ import annotations

import json
import platform
import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.files import atomic_path


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not through pyplot: no global state, no display, safe in threads.
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for scale in sorted({row["scale"] for row in history}):
        rows = [row for row in history if row["scale"] == scale]
        height, width = rows[0]["size"]
        axes.semilogy([row["iteration"] for row in rows], [row["loss"] for row in rows], label=f"{width} × {height}")
    axes.set(xlabel="iteration", ylabel="loss", title=textwrap.fill(title, 70))
    axes.grid(True, which="both", alpha=0.3)
    if history:
        axes.legend(title="size (each has its own loss)")
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file name may hold characters that the font does not have
        figure.savefig(temporary, dpi=120, format="png")


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    right = left.twinx()
    passes = [row["pass"] for row in log]
    (loss,) = left.plot(passes, [row["loss"] for row in log], color="C0", label="loss")
    (error,) = right.plot(passes, [100 * row["error"] for row in log], color="C1", label="wrong while training")
    left.set(xlabel="pass", ylabel="loss", title=title)
    right.set(ylabel="wrong while training, %", ylim=(0, None))
    left.legend(handles=[loss, error])
    left.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
