"""The examples of styles that know of places, each in a process of its own, small, with a network of random filters."""

import re
from pathlib import Path

import pytest
from example_runs import assert_colourful, run, small_network, start

from vggnumpy.formats.weights import write_weights
from vggnumpy.nets import chain, random_network
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.paintings import painting_path


def test_self_convolution_finds_the_layout_in_noise_and_gram_matrices_do_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ("--weights", str(small_network(tmp_path / "small.h5")), "--size", "48", "--iterations", "30")
    printed = run("18_keep_the_layout.py", out, *small)
    rows = re.findall(r"^(from noise|painted) +(.*?) +[\d.]+ +([\d.]+) → ([\d.]+) +(-?[\d.]+)$", printed, re.MULTILINE)
    names = ["Gram matrices", "self-convolution", "autocorrelation"]
    assert [row[:2] for row in rows] == [(task, name) for task in ("from noise", "painted") for name in names]
    assert all(float(last) < float(first) for _, _, first, last, _ in rows)
    layouts = [float(row[-1]) for row in rows]
    assert layouts[1] > 0.5 > layouts[0]
    kinds = ("gram", "self-convolution", "autocorrelation")
    pictures = {f"layout_{task}_{kind}.png" for task in ("from_noise", "painted") for kind in kinds}
    assert {path.name for path in out.iterdir()} == pictures | {"keep_the_layout.png"}
    assert_colourful(out / "keep_the_layout.png", 1000)


def test_four_ways_to_another_season_are_measured_against_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ("--weights", str(small_network(tmp_path / "small.h5")), "--size", "40", "--iterations", "8")
    printed = run("19_change_the_season.py", out, *small)
    rows = re.findall(r"^.{19} (\S.*?) +(?:[\d.]+ +)?([\d.]+) +(-?[\d.]+)$", printed, re.MULTILINE)
    ways = ["not at all", "Gram matrices", "local, s = 0", "local, s = 8", "covariation"]
    assert [row[0] for row in rows] == 3 * ways
    for aligned in (rows[:5], rows[5:10]):
        assert float(aligned[2][1]) < float(aligned[1][1])
    _, gram, local, _, covariation = (float(row[2]) for row in rows[10:])
    assert local < gram - 0.05 and local < covariation - 0.05  # mirrored: the wrong ridges are painted over
    assert len([*out.iterdir()]) == 12 + 1
    assert_colourful(out / "change_the_season.png", 1000)


def test_the_wider_the_window_the_less_of_the_style_picture_is_painted_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ("--weights", str(small_network(tmp_path / "small.h5")), "--size", "40", "--iterations", "8")
    printed = run("20_widen_the_window.py", out, *small)
    rows = re.findall(r"^.{17} (\S.*?) +[\d.]+ +(-?[\d.]+) +(-?[\d.]+)$", printed, re.MULTILINE)
    assert [row[0] for row in rows] == 2 * ["s = 0", "s = 2", "s = 8", "Gram matrices"]
    for case in (rows[:4], rows[4:]):
        assert float(case[0][2]) > float(case[-1][2])
        assert float(case[0][1]) < float(case[-1][1])
    assert len([*out.iterdir()]) == 8 + 1
    assert_colourful(out / "widen_the_window.png", 1000)


@pytest.mark.parametrize("script", ["19_change_the_season.py", "20_widen_the_window.py"])
def test_a_photograph_without_its_other_season_is_refused(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--content", str(painting_path("marbled")))
    assert done.returncode == 2 and "give both --content and --style" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", ["18_keep_the_layout.py", "19_change_the_season.py", "20_widen_the_window.py"])
def test_networks_of_other_families_have_their_own_layers(script: str, tmp_path: Path) -> None:
    table = [conv("conv1", 4), relu("relu_conv1"), pool("pool1"), conv("fire2", 4), relu("fire2_concat")]
    write_weights(tmp_path / "squeezed.h5", random_network(chain(table), rng=0))
    small = ("--weights", str(tmp_path / "squeezed.h5"), "--size", "32", "--iterations", "1")
    assert "style at relu_conv1, fire2_concat" in run(script, tmp_path / "out", *small)


@pytest.mark.parametrize("script", ["18_keep_the_layout.py", "19_change_the_season.py", "20_widen_the_window.py"])
def test_a_network_without_the_usual_layers_is_refused_in_one_line(script: str, tmp_path: Path) -> None:
    write_weights(tmp_path / "odd.h5", random_network(chain([conv("one", 4), relu("two")]), rng=0))
    done = start(script, tmp_path / "out", "--weights", str(tmp_path / "odd.h5"))
    assert done.returncode == 2 and "none of the usual layers" in done.stderr and "Traceback" not in done.stderr
