"""Sweeps: the same transfer with every combination of several values of its options, as a labelled grid of pictures.

Each cell is a transfer of its own, in a process of its own, by a command line that can be repeated: ``vggnumpy
transfer`` with one value of each option.  Several run at a time, each on its share of the cores; what they paint does
not depend on how many there are.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vggnumpy.backend import NUMPY, select_device
from vggnumpy.engine.threads import cores
from vggnumpy.errors import InputError
from vggnumpy.plan import Plan, memory_needed

STYLE = "style"
_PROCESS_BYTES = 1e8  # of Python with the libraries, as measured: 90 MB


@dataclass(frozen=True)
class Cell:
    """One transfer of a sweep.

    Attributes
    ----------
    options : dict
        Option (``"strength"``, without dashes; ``"style"`` is the painting) → value, of all that the sweep names.
    label : dict
        The same for what takes several values, in short.
    picture : Path
        Where it is painted.
    arguments : list of str
        The command line after ``vggnumpy``.
    """

    options: dict[str, str]
    label: dict[str, str]
    picture: Path
    arguments: list[str]


@dataclass(frozen=True)
class Grid:
    """The cells of a sweep, row by row.

    Attributes
    ----------
    cells : list of list of Cell
    rows, columns : list of str
        Labels.
    """

    cells: list[list[Cell]]
    rows: list[str]
    columns: list[str]


def plan_sweep(content: str, styles: Sequence[str], options: Mapping[str, Sequence[str]], folder: Path) -> Grid:
    """Return every combination of values as a grid of transfers.

    What is named last of all that has several values changes from column to column; all else makes rows.

    Parameters
    ----------
    content : str
        The photograph's path.
    styles : sequence of str
        Paths of paintings, each of which is painted from alone.
    options : dict
        Option without dashes → its values, in the order that they were given in.
    folder : Path
        Where the cells' pictures go.

    Raises
    ------
    InputError
        If nothing has several values, or a value comes twice.
    """
    values = {STYLE: list(styles), **{name: list(given) for name, given in options.items()}}
    for name, given in values.items():
        if len(set(given)) < len(given):
            raise InputError(f"{name} has the same value twice: {', '.join(given)}")
    swept = [name for name, given in values.items() if len(given) > 1]
    if not swept:
        raise InputError("nothing is swept: give several STYLEs, or an option several values, as --strength 0.1,1,10")
    across = swept[-1]
    cells = []
    for number, combination in enumerate(itertools.product(*values.values()), start=1):
        chosen = dict(zip(values, combination, strict=True))
        label = {name: _short(name, chosen[name]) for name in swept}
        name = re.sub(r"[^\w.=,+-]+", "-", ",".join(f"{key}={value}" for key, value in label.items()))[:80]
        picture = folder / f"{number:02d}_{name}.png"
        given = [part for key, value in chosen.items() if key != STYLE for part in (f"--{key}={value}",)]
        cells.append(Cell(chosen, label, picture, ["transfer", content, chosen[STYLE], "-o", str(picture), *given]))
    columns = [f"{across} {_short(across, value)}" for value in values[across]]
    # The product runs through what comes after `across` (single values) and `across` itself fastest.
    rows = [cells[begin : begin + len(columns)] for begin in range(0, len(cells), len(columns))]
    heads = [", ".join(f"{key} {value}" for key, value in row[0].label.items() if key != across) for row in rows]
    return Grid(rows, heads, columns)


def default_jobs(cells: Sequence[Cell]) -> int:
    """Return how many transfers run at a time: as many as there are cores, but on a GPU one, which fills it alone.

    Parameters
    ----------
    cells : sequence of Cell

    Raises
    ------
    InputError
        If one of their devices cannot be used.
    """
    devices = {cell.options.get("device", "auto") for cell in cells}
    on_gpu = any(select_device(device) is not NUMPY for device in devices)
    return 1 if on_gpu else min(cores(), len(cells))


def bytes_of_process(plan: Plan) -> float:
    """Return roughly how many bytes a process takes that carries out a plan."""
    weights: int = sum(part.nbytes for parts in plan.net.weights.values() for part in parts)
    return _PROCESS_BYTES + weights + memory_needed(plan)


def jobs_that_fit(needed: Sequence[float], free: float | None, jobs: int) -> int:
    """Return how many transfers fit into memory at a time, one at least, whichever of them meet.

    Parameters
    ----------
    needed : sequence of float
        Bytes of each transfer.
    free : float or None
        Bytes; None where that is not known.
    jobs : int
        How many are wanted.
    """
    largest = itertools.accumulate(sorted(needed, reverse=True)[:jobs])
    return jobs if free is None else max(1, sum(total <= free for total in largest))


def run_cells(
    cells: Sequence[Cell], jobs: int, done: Callable[[Cell], None] = lambda cell: None
) -> tuple[dict[Path, str], bool]:
    """Paint cells, several at a time.

    Parameters
    ----------
    cells : sequence of Cell
    jobs : int
        How many processes at a time, each with its share of the cores.
    done : callable
        Called with each cell that has ended.

    Returns
    -------
    failed : dict
        Picture → the sentence with which its transfer ended.
    interrupted : bool
        Whether Ctrl-C came: then those at work have kept their best pictures, and no others were begun.
    """
    free = _shares_of_cores(jobs)
    running: dict[Path, subprocess.Popen[str]] = {}
    stop, lock = threading.Event(), threading.Lock()

    def work(cell: Cell) -> str:
        with lock:
            if stop.is_set():
                return ""
            own = free.pop()
            running[cell.picture] = process = _start(cell, own)
        words = process.communicate()[1]
        with lock:
            del running[cell.picture]
            free.append(own)
        return "" if process.returncode in (0, 130) else _last_sentence(words, process.returncode)

    failed = {}
    with ThreadPoolExecutor(jobs, "sweep") as pool:
        futures = {pool.submit(work, cell): cell for cell in cells}
        try:
            for future in as_completed(futures):
                if future.result():
                    failed[futures[future].picture] = future.result()
                done(futures[future])
        except KeyboardInterrupt:
            with lock:
                stop.set()
                for process in running.values():
                    process.send_signal(signal.SIGINT)  # each writes the best picture that it has
    return failed, stop.is_set()


def _shares_of_cores(jobs: int) -> list[list[int]]:
    """Return the cores for each of the processes that run at a time, as numbers of the system."""
    numbers = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(cores()))
    each = max(1, len(numbers) // jobs)
    return [[numbers[i % len(numbers)] for i in range(job * each, (job + 1) * each)] for job in range(jobs)]


def _start(cell: Cell, own: Sequence[int]) -> subprocess.Popen[str]:
    """Start a cell's transfer on cores of its own, and out of the reach of the terminal's Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vggnumpy", *cell.arguments],
        env={**os.environ, "OPENBLAS_NUM_THREADS": str(len(own))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # it has ended already
            os.sched_setaffinity(process.pid, own)
    return process


def _short(name: str, value: str) -> str:
    """Return a value as a label: of a file its name."""
    is_file = name == STYLE or name.endswith("mask") or "/" in value or os.sep in value
    return Path(value).stem if is_file else value


def _last_sentence(words: str, code: int) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    said = lines[-1].removeprefix("vggnumpy: error: ") if lines else ""
    return said or f"its process ended with code {code}"
