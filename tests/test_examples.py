"""The examples as a reader runs them: each in a process of its own, small, and judged by what it prints and writes.

04_paint_the_styles.py is run by test_paintings.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggnumpy.paintings import PAINTINGS

CHECKOUT = Path(__file__).parents[1]


def start(script: str, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own, with an output folder that does not exist yet."""
    # Without weights of the user's own, and with Python's warnings shown.
    environment = {name: value for name, value in os.environ.items() if name != "VGGNUMPY_WEIGHTS"}
    environment |= {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(CHECKOUT / "examples" / script), "-o", str(out), *arguments]
    return subprocess.run(command, env=environment, cwd=out.parent, capture_output=True, encoding="utf-8", check=False)


def run(script: str, out: Path, *arguments: str) -> str:
    """Run an example that must succeed without a warning, and return what it printed."""
    done = start(script, out, *arguments)
    assert done.returncode == 0, done.stderr
    assert not re.search("Traceback|Warning", done.stderr), done.stderr
    return done.stdout


def assert_colourful(path: Path, width: int) -> None:
    """Check that a picture is there, not narrower than `width` and not blank."""
    with Image.open(path) as picture:
        assert picture.width >= width
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_a_gradient_is_walked_from_the_features_to_the_pixels_and_checked_at_every_layer(tmp_path: Path) -> None:
    printed = run("01_walk_a_gradient.py", tmp_path / "out", "--size", "32")
    rows = re.findall(r"^ *\d* (\w+) +[\d×]+ .* (\de[-+]\d\d)$", printed, re.MULTILINE)
    assert rows[0][0].startswith("relu")
    assert [name for name, _ in rows[-3:]] == ["relu1_1", "conv1_1", "input"] or rows[-2][0] == "conv0"
    assert max(float(error) for _, error in rows) <= 1e-4
    assert "every derivative agrees with finite differences" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["walk_a_gradient.png"]
    assert_colourful(tmp_path / "out" / "walk_a_gradient.png", 800)


def test_every_operator_is_checked_four_ways_and_a_planted_error_shows(tmp_path: Path) -> None:
    printed = run("02_derive_and_check_every_op.py", tmp_path / "out", "--size", "5")
    rows = dict(re.findall(r"^([\w, %]+?)  +(\S+ +\S+ +\S+ +\S+)$", printed, re.MULTILINE))
    convs = [f"conv, {what}" for what in ("input", "filters", "bias")]
    pads = [f"pad, {mode}" for mode in ("zero", "reflect", "replicate")]
    others = ["relu", "max pool", "average pool", "concat", "Gram loss"]
    assert [name for name in rows if "large" not in name and "derivative" not in name] == [*convs, *pads, *others]
    assert rows["relu, 1 % too large"].split() == ["0e+00", "1e-02", "1e-02", "–"]
    assert_colourful(tmp_path / "out" / "derive_and_check_every_op.png", 800)


def test_a_portrait_is_styled_four_times_and_every_loss_falls(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("03_style_a_portrait.py", out, "--size", "32", "--iterations", "3")
    assert float(re.search(r"agrees with central differences to (\S+)", printed)[1]) < 1e-4
    falls = re.findall(r"^(\w+) .* ([\d.]+) → ([\d.]+) ", printed, re.MULTILINE)
    assert [name for name, *_ in falls] == list(PAINTINGS)
    assert all(float(last) < float(first) for _, first, last in falls)
    pictures = {f"portrait_{name}.png" for name in PAINTINGS}
    assert {path.name for path in out.iterdir()} == pictures | {"style_a_portrait.png", "style_a_portrait.json"}
    for name in pictures:
        assert_colourful(out / name, 27)
    assert_colourful(out / "style_a_portrait.png", 800)
    record = json.loads((out / "style_a_portrait.json").read_text(encoding="utf-8"))
    assert list(record["pictures"]) == list(PAINTINGS)
    assert all(len(picture["history"]) == 3 for picture in record["pictures"].values())


@pytest.mark.parametrize(
    "script", ["01_walk_a_gradient.py", "02_derive_and_check_every_op.py", "03_style_a_portrait.py"]
)
def test_a_size_that_is_too_small_is_refused_in_one_line(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--size", "3")
    assert done.returncode == 2
    assert re.search(r"error: .*--size.* at least", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_table_names_every_example() -> None:
    table = (CHECKOUT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in sorted((CHECKOUT / "examples").glob("[0-9][0-9]_*.py")):
        assert f"`python examples/{path.name}`" in table
