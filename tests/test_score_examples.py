"""The examples of networks compared and of strength, as a reader runs them, and small."""

import json
import re
from pathlib import Path

from example_runs import assert_colourful, run, small_network, start


def test_networks_paint_with_one_strength_and_random_ones_are_named_so(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    small = ("--size", "32", "--iterations", "2", "--networks", net, "alexnet")
    printed = run("29_compare_networks.py", out, *small)
    assert "small " in printed and re.search(r"alexnet, random .* content relu2 ×", printed)
    rows = re.findall(r"^(.+?)  +(-?\d\.\d{3})  +(\d\.\d{3})  ", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["the photograph", "small", "alexnet, random"]
    assert rows[0][1:] == ("0.000", "0.000") and all(float(row[2]) > 0 for row in rows[1:])
    pictures = {"network_small.png", "network_alexnet.png", "compare_networks.png"}
    assert {path.name for path in out.iterdir()} == pictures
    assert_colourful(out / "compare_networks.png", 1000)


def test_a_network_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    done = start("29_compare_networks.py", tmp_path / "out", "--networks", "missing.h5")
    assert done.returncode == 2 and "Traceback" not in done.stderr and not (tmp_path / "out").exists()
    assert re.search(r"error: .*missing\.h5", done.stderr)


def test_strengths_are_swept_and_their_scores_drawn(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    small = ("--weights", net, "--sizes", "32", "--strengths", "0.1,2", "--iterations", "3")
    printed = run("30_set_the_strength.py", out, *small)
    scores = re.search(r"^ +32   (-?\d\.\d{3}) +(-?\d\.\d{3})", printed, re.MULTILINE)
    cells = json.loads((out / "set_the_strength.json").read_text())["cells"]
    assert [round(cell["score"]["style_score"], 3) for cell in cells] == [float(score) for score in scores.groups()]
    assert re.search(r"^asked for0\.270 +0\.802", printed, re.MULTILINE)
    assert {path.name for path in out.iterdir()} == {
        "set_the_strength", "set_the_strength.png", "set_the_strength.json", "set_the_strength_curves.png"
    }  # fmt: skip
    assert_colourful(out / "set_the_strength.png", 500)
