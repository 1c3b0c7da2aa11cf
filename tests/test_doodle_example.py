"""The doodle as an example's reader paints it; see `example_runs`."""

import re
from pathlib import Path

from example_runs import assert_colourful, run, start

from vggnumpy.paintings import painting_path

SCRIPT = "17_paint_a_doodle.py"


def test_a_doodle_is_painted_in_three_ways(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run(SCRIPT, out, "--weights", "builtin", "--size", "64", "--iterations", "4")
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+) +([\d.]+) +[\d.]+$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == ["both", "patches", "regions"]
    assert all(float(last) < float(first) for _, first, _, last in rows)
    pictures = {f"doodle_{name}.png" for name, *_ in rows}
    assert {path.name for path in out.iterdir()} == pictures | {"paint_a_doodle.png"}
    for name in pictures:
        assert_colourful(out / name, 64)
    assert_colourful(out / "paint_a_doodle.png", 1000)


def test_another_painting_without_its_maps_is_refused(tmp_path: Path) -> None:
    done = start(SCRIPT, tmp_path / "out", "--style", str(painting_path("halftone")))
    assert done.returncode == 2 and "--style-map and --map" in done.stderr and not (tmp_path / "out").exists()
