"""The examples that make styles up, as a reader runs them, and small."""

import re
from pathlib import Path

from example_runs import assert_colourful, run, small_network, start

SMALL = ("--size", "32", "--iterations", "6")


def test_single_entries_are_painted_and_channels_that_are_not_asked_for_are_quieter(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("21_paint_a_single_entry.py", out, "--weights", net, *SMALL)
    rows = re.findall(r"^(relu\d_1)   entry (.), f = +(\d+) +(\d+), +(\d+) +[\d.]+ +([\d.]+)   (\d+)%$", printed, re.M)
    assert [row[:3] for row in rows] == [
        (layer, *one) for layer in ("relu1_1", "relu2_1") for one in (("a", "3"), ("a", "30"), ("b", "30"))
    ]
    assert all(i != j and 0 <= float(share) < 0.26 for _, _, _, i, j, share, _ in rows)
    assert printed.count("redrawn, f = 30") == 2
    pictures = {f"entry_relu{block}_1_{number}.png" for block in (1, 2) for number in range(1, 5)}
    assert {path.name for path in out.iterdir()} == pictures | {"paint_a_single_entry.png"}
    assert_colourful(out / "paint_a_single_entry.png", 1000)


def test_styles_are_drawn_by_lot_with_a_paintings_numbers(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("22_draw_a_style_by_lot.py", out, "--weights", net, *SMALL)
    rows = re.findall(r"^(relu\d_1) +8 +([\d.e+]+) +([\d.e+]+) +([\d.e+]+) +([\d.e+-]+) +([\d.e+]+)$", printed, re.M)
    assert [row[0] for row in rows] == ["relu1_1", "relu2_1"]
    for _, mean, amplitude, largest, sparsity, sigma in rows:
        assert 0 < float(mean) <= float(amplitude) <= float(largest) and 0 <= float(sparsity) < 1
        density = 1 - float(sparsity)
        assert abs(float(amplitude) ** 2 / (density * float(sigma) ** 2) - 1) < 0.05
    pictures = {f"lot_relu{block}_1__{how}.png" for block in (1, 2) for how in ("drawn_once", "redrawn")}
    plots = {"lot_1__2.png", "gram_statistics.png", "draw_a_style_by_lot.png"}
    assert {path.name for path in out.iterdir()} == pictures | plots
    assert_colourful(out / "draw_a_style_by_lot.png", 500)


def test_what_cannot_be_painted_is_refused_in_one_line(tmp_path: Path) -> None:
    for script in ("21_paint_a_single_entry.py", "22_draw_a_style_by_lot.py"):
        for arguments, message in ((("--size", "3"), "--size 32"), (("--weights", "missing.h5"), r"missing\.h5")):
            done = start(script, tmp_path / "out", *arguments)
            assert done.returncode == 2 and re.search(rf"error: .*{message}", done.stderr)
            assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
