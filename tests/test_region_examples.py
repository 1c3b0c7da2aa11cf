"""The examples that paint region by region, small: what they print of regions and borders, and what they write."""

import re
from pathlib import Path

import numpy as np
import pytest
from example_runs import assert_colourful, run, small_network, start
from PIL import Image

from vggnumpy.images import write_image
from vggnumpy.paintings import painting_path

DISTANCE = r"(\w+) ΔE ([\d.]+)"


def test_sky_and_ground_come_closer_to_their_own_when_masked(tmp_path: Path) -> None:
    net = small_network(tmp_path / "small.h5")
    arguments = ("--weights", str(net), "--size", "64", "--iterations", "3")
    printed = run("15_paint_sky_and_ground.py", tmp_path / "out", *arguments)
    names = ("without masks", "with masks", "blended masks", "and colours first")
    found = {}
    for name in names:
        part = printed.split(f"\n{name}, ")[1]
        found[name] = {region: float(value) for region, value in re.findall(DISTANCE, part)[:2]}
        assert re.search(r"between sky and ground: +saturation \d\.\d\d, contrast \d\.\d\d", part)
    assert set(found["without masks"]) == {"sky", "ground"}
    for region, before in found["without masks"].items():
        assert found["and colours first"][region] < before / 2
    pictures = {f"sky_and_ground_{name.replace(' ', '_')}.png" for name in names}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*pictures, "paint_sky_and_ground.png"}
    assert_colourful(tmp_path / "out" / "paint_sky_and_ground.png", 1200)


def test_other_pictures_are_painted_with_their_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("content", (48, 64)), ("style", (60, 56))):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype("uint8")).save(tmp_path / f"{name}.png")
        mask = np.zeros((*size, 3), "uint8")
        mask[: size[0] // 2] = (0, 255, 0)
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
    pictures = [str(tmp_path / f"{name}.png") for name in ("content", "style")]
    masks = [str(tmp_path / f"{name}_mask.png") for name in ("content", "style")]
    net = small_network(tmp_path / "small.h5")
    small = ("--weights", str(net), "--size", "64", "--iterations", "1")
    printed = run("15_paint_sky_and_ground.py", tmp_path / "out", "--pictures", *pictures, "--masks", *masks, *small)
    assert "green ΔE" in printed and "black ΔE" in printed
    done = start("15_paint_sky_and_ground.py", tmp_path / "none", "--pictures", *pictures, *small)
    assert done.returncode == 2 and "pictures need masks" in done.stderr and "Traceback" not in done.stderr
    done = start(
        "15_paint_sky_and_ground.py", tmp_path / "none", "--pictures", *pictures, "--masks", *masks[::-1], *small
    )
    assert done.returncode == 2 and "the content's mask: expected the proportions of its picture" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_portrait_is_painted_with_no_two_and_five_regions(tmp_path: Path) -> None:
    arguments = ("--size", "80", "--iterations", "1")
    printed = run("16_paint_a_portrait_in_regions.py", tmp_path / "out", *arguments)
    for name in ("as a whole", "figure and background", "five regions"):
        assert re.search(rf"^{name}, \d+ s$", printed, re.MULTILINE)
    last = printed.split("five regions, ")[-1]
    whole = printed.split("as a whole, ")[1]
    distances = [
        [float(value) for value in re.findall(r" ([\d.]+)(?:,|$)", part.splitlines()[1])] for part in (whole, last)
    ]
    assert len(distances[0]) == len(distances[1]) == 5
    assert sum(distances[1]) < sum(distances[0]) / 2
    names = {f"portrait_{name}.png" for name in ("as_a_whole", "figure_and_background", "five_regions")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "paint_a_portrait_in_regions.png"}
    assert_colourful(tmp_path / "out" / "paint_a_portrait_in_regions.png", 1200)


@pytest.mark.parametrize("script", ["15_paint_sky_and_ground.py", "16_paint_a_portrait_in_regions.py"])
def test_a_size_that_is_too_small_is_refused_in_one_line(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--size", "20")
    assert done.returncode == 2 and "expected --size 64" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_figure_drawn_over_another_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", np.full((40, 90, 3), 255.0) * (np.arange(90) < 45)[:, None])
    given = ("--content", str(painting_path("marbled")), "--mask", str(tmp_path / "wide.png"))
    done = start("16_paint_a_portrait_in_regions.py", tmp_path / "out", *given)
    assert done.returncode == 2 and "wide.png: expected the proportions of its picture" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
