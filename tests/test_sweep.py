"""Sweeps: which cells there are and where they hang, that they are plain transfers, and what is kept when all ends."""

import json
from pathlib import Path

import numpy as np
import pytest

from vggnumpy import sweep
from vggnumpy.backend import NUMPY
from vggnumpy.cli import main
from vggnumpy.errors import InputError
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.sweep import plan_sweep, run_cells

FOLDER = Path("grid")


def test_what_is_named_last_changes_along_the_rows():
    options = {"size": ["64"], "strength": ["0.1", "1"], "style-scale": ["0.5", "1", "2"], "seed": ["3"]}
    grid = plan_sweep("photo.jpg", ["wave.jpg"], options, FOLDER)
    assert grid.columns == ["style-scale 0.5", "style-scale 1", "style-scale 2"]
    assert grid.rows == ["strength 0.1", "strength 1"]
    cell = grid.cells[1][2]
    assert cell.options == {"style": "wave.jpg", "size": "64", "strength": "1", "style-scale": "2", "seed": "3"}
    assert cell.picture == FOLDER / "06_strength=1,style-scale=2.png"
    assert cell.arguments == [
        *("transfer", "photo.jpg", "wave.jpg", "-o", str(cell.picture)),
        *("--size=64", "--strength=1", "--style-scale=2", "--seed=3"),
    ]


def test_several_styles_are_rows_and_files_have_short_names():
    options = {"weights": ["builtin", "nets/my net.h5"]}
    grid = plan_sweep("photo.jpg", ["a/wave.jpg", "b/night.jpg"], options, FOLDER)
    assert (grid.rows, grid.columns) == (["style wave", "style night"], ["weights builtin", "weights my net"])
    assert grid.cells[0][1].picture == FOLDER / "02_style=wave,weights=my-net.png"
    assert "--weights=nets/my net.h5" in grid.cells[0][1].arguments
    alone = plan_sweep("photo.jpg", ["wave.jpg", "night.jpg"], {}, FOLDER)
    assert (alone.rows, alone.columns) == ([""], ["style wave", "style night"])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": ["64"]}, "nothing is swept"), ({"size": ["64", "64"]}, "size has the same value twice: 64, 64")],
)
def test_a_sweep_of_nothing_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        plan_sweep("photo.jpg", ["wave.jpg"], options, FOLDER)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_weights("net.h5", random_network(architecture("vgg19")[:7], rng=1))
    for name in ("photo", "painting"):
        write_image(f"{name}.png", rng.integers(0, 256, (24, 32, 3)).astype("uint8"))
    return tmp_path


SWEEP = ["sweep", "photo.png", "painting.png", "-o", "grid.png"]
QUICK = ["--weights", "net.h5", "--size", "32", "--content-layers", "relu1_2=0.1"]


def test_cells_are_plain_transfers(folder, capsys):
    assert main([*SWEEP, *QUICK, "--iterations", "1,2", "--jobs", "2"]) == 0
    assert {path.name for path in folder.iterdir()} >= {"grid", "grid.png", "grid.json"}
    record = json.loads((folder / "grid.json").read_text())
    assert [cell["picture"] for cell in record["cells"]] == ["grid/01_iterations=1.png", "grid/02_iterations=2.png"]
    assert not record["interrupted"] and -1 < record["cells"][1]["score"]["style_score"] < 1
    alone = ["transfer", "photo.png", "painting.png", "-o", "alone.png", *QUICK, "--iterations", "2"]
    assert main(alone) == 0
    assert np.array_equal(read_image("alone.png"), read_image(record["cells"][1]["picture"]))
    cell = json.loads((folder / "grid" / "02_iterations=2.json").read_text())
    assert cell["settings"]["iterations"] == 2 and cell["settings"]["content_layers"] == {"relu1_2": 0.1}


def test_what_cannot_be_scored_hangs_in_the_grid_all_the_same(folder, capsys):
    write_image("photo.png", np.random.default_rng(1).integers(0, 256, (16, 400, 3)).astype("uint8"))
    quick = [*QUICK[:2], "--size", "400", *QUICK[4:], "--scales", "1"]
    assert main([*SWEEP, *quick, "--iterations", "1,2", "--jobs", "2"]) == 0
    record = json.loads((folder / "grid.json").read_text())
    assert record["scored"] == {"network": "builtin", "size": 256}
    assert [cell["score"] for cell in record["cells"]] == [None, None] and (folder / "grid.png").is_file()
    assert "02_iterations=2.png has no score: long side 256" in capsys.readouterr().err


@pytest.mark.parametrize(("devices", "jobs"), [(None, 1), ("cpu", 3), ("cpu,cuda:1", 1)])
def test_a_gpu_paints_one_cell_at_a_time(monkeypatch, devices, jobs):
    gpu = object()
    monkeypatch.setattr(sweep, "select_device", lambda device: NUMPY if device == "cpu" else gpu)
    monkeypatch.setattr(sweep, "cores", lambda: 3)
    options = {"iterations": ["1", "2"], "seed": ["1", "2"], **({"device": devices.split(",")} if devices else {})}
    grid = plan_sweep("photo.png", ["painting.png"], options, Path("cells"))
    assert sweep.default_jobs([cell for row in grid.cells for cell in row]) == jobs


def test_all_that_run_at_a_time_must_fit_into_memory_together(folder, monkeypatch, capsys):
    from vggnumpy.plan import memory_needed, plan_transfer

    small = memory_needed(plan_transfer("photo.png", "painting.png", net="net.h5", content_layers={}, size=32))
    assert sweep.jobs_that_fit([3, 5, 4], 9, 3) == 2 and sweep.jobs_that_fit([3, 5, 4], 12, 3) == 3
    assert sweep.jobs_that_fit([3, 5, 4], 2, 3) == 1 and sweep.jobs_that_fit([3, 5, 4], None, 3) == 3
    monkeypatch.setattr("vggnumpy.plan.available_memory", lambda: 3 * small)  # of one transfer, and of no process
    monkeypatch.setattr(sweep, "cores", lambda: 2)
    seen = []
    monkeypatch.setattr(sweep, "run_cells", lambda cells, jobs, done: (seen.append(jobs), ({}, True))[1])
    command = [*SWEEP, *QUICK, "--iterations", "1,2"]
    assert main([*command, "--jobs", "2"]) == 2
    assert "2 transfers at a time do not fit into memory together, 1 would: use --jobs 1" in capsys.readouterr().err
    assert not seen and not (folder / "grid").exists()
    assert main(command) == 130 and seen == [1]  # by default as many as fit


def test_a_failure_and_ctrl_c_leave_the_other_cells(folder):
    options = {"weights": ["net.h5"], "size": ["32"], "iterations": ["1", "nonsense", "2"]}
    (first, wrong, last), = plan_sweep("photo.png", ["painting.png"], options, folder / "cells").cells  # fmt: skip
    first.picture.parent.mkdir()

    def interrupt(cell):
        if cell is wrong:
            raise KeyboardInterrupt

    failed, interrupted = run_cells([wrong, first, last], 1)
    assert failed == {wrong.picture: failed[wrong.picture]} and not interrupted
    assert "argument --iterations: invalid int value: 'nonsense'" in failed[wrong.picture]
    assert first.picture.is_file() and last.picture.is_file()
    for cell in (first, last):
        cell.picture.unlink()
    failed, interrupted = run_cells([wrong, first, last, last], 1, interrupt)
    assert interrupted and not last.picture.is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--size", "64"], "nothing is swept"),
        (["--size", "64,65", "--style-loss", "nonsense"], "the style loss must be one of"),
        (["--size", "64,many"], "argument --size: invalid int value: 'many'"),
        (["--size", "64,65", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--strength", "1,2", "--weights", "missing.h5"], "missing.h5: there is no such file"),
        (["--size", "64,65", "-o", "grid.jpg"], "choose a name that ends in .png"),
        (["--size", "64,65", "-o", "photo.png"], "is an input and would be overwritten"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(folder, capsys, more, words):
    before = sorted(folder.iterdir())
    try:
        code = main([*SWEEP, *more])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    assert captured.err.count("\n") == 1 and words in captured.err
    assert sorted(folder.iterdir()) == before
