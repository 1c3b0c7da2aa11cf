"""The examples of colour, feature size, reconstruction, starts and weights, as a reader runs them, and small."""

import re
from pathlib import Path

import pytest
from example_runs import assert_colourful, run, small_network, start
from PIL import Image

SMALL = ("--size", "32", "--iterations", "2")


def test_colours_are_chosen_in_seven_ways_and_kept_where_it_is_said(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("23_choose_the_colors.py", out, "--weights", net, *SMALL)
    assert all(float(off) < 0.01 for off in re.findall(r"covariance right to (\S+),", printed))
    rows = re.findall(r"^([\w-]+) +[\d.]+ +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    kinds = ["style", "luminance", "luminance-lab", "cholesky", "principal-axes", "histogram", "recolor"]
    assert [row[0] for row in rows] == kinds
    assert float(rows[1][2]) < 1 and float(rows[2][4]) < 1  # I and Q, a* and b*, within a grey level
    assert float(rows[6][2]) > 10
    pictures = {f"colors_{kind.replace('-', '_')}.png" for kind in kinds}
    assert {path.name for path in out.iterdir()} == pictures | {"choose_the_colors.png"}
    assert_colourful(out / "choose_the_colors.png", 800)


def test_strokes_and_forms_come_from_two_paintings(tmp_path: Path) -> None:
    out = tmp_path / "out"  # by the trained network: layers of random filters do not tell strokes from forms
    printed = run("24_mix_coarse_and_fine.py", out, "--weights", "builtin", "--size", "64", "--iterations", "12")
    rows = re.findall(r"^  missed of the (forms|strokes) +relu1_1 ([\d.]+)  relu2_1 ([\d.]+)  ", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["forms", "strokes"] * 4
    for pair in (1, 2):  # those of two paintings: the fine layers are near to the one that gives the strokes
        forms, strokes = rows[2 * pair : 2 * pair + 2]
        assert 3 * float(strokes[1]) < float(forms[1]) and 3 * float(strokes[2]) < float(forms[2])
    assert len(list(out.iterdir())) == 5
    assert_colourful(out / "mix_coarse_and_fine.png", 800)


def test_every_layer_gives_something_back_and_a_film_of_it(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("25_reconstruct_every_layer.py", out, "--weights", net, "--size", "32", "--iterations", "25")
    rows = re.findall(r"^(content|style up to) (\w+) +[\d.]+ +([\d.]+) → ([\d.]+)$", printed, re.MULTILINE)
    assert [row[:2] for row in rows] == [
        (kind, layer) for kind in ("content", "style up to") for layer in ("relu1_1", "relu2_1")
    ]
    assert all(float(last) < 0.5 * float(first) for *_, first, last in rows)
    assert {path.suffix for path in out.iterdir()} == {".png", ".gif"}
    assert_colourful(out / "reconstruct_every_layer.png", 500)
    with Image.open(out / "reconstruct_every_layer.gif") as film:
        assert film.n_frames >= 4
        assert film.size == (2 * 36, 2 * 36)


def test_one_objective_is_descended_from_three_starts(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("26_start_elsewhere.py", out, "--weights", net, "--size", "32", "--iterations", "12")
    rows = re.findall(r"^(\w+) +[\d.]+ +([\d.]+) +([\d.]+) +([\d.]+)  ", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["style", "content", "noise"]
    assert all(float(row[-1]) < float(row[1]) for row in rows)
    assert all(float(apart) > 1 for apart in re.findall(r"and from \w+: ([\d.]+)$", printed, re.MULTILINE))
    assert len(list(out.iterdir())) == 4
    assert_colourful(out / "start_elsewhere.png", 800)


def test_the_content_is_weighed_and_every_term_printed(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("27_weigh_the_content.py", out, "--weights", net, "--alpha", "1", "1e-3", "1e-8", *SMALL)
    assert re.findall(r"^α = (\S+), (\w+)", printed, re.MULTILINE) == [
        *(("1", "flow_field"), ("0.001", "flow_field"), ("1e-08", "flow_field")),
        *(("0.001", "marbled"), ("0.001", "stained_glass")),
    ]
    content = [float(value) for value in re.findall(r"content relu2_2 +(\S+)", printed)]
    assert content[0] > 100 * content[1] > 0 and content[1] > 100 * content[2]
    assert len(re.findall(r"^ +(?:style relu[12]_1|variation) ", printed, re.MULTILINE)) == 5 * 3
    assert len(list(out.iterdir())) == 6
    assert_colourful(out / "weigh_the_content.png", 800)


def test_the_style_is_raised_for_every_painting(tmp_path: Path) -> None:
    out, net = tmp_path / "out", str(small_network(tmp_path / "small.h5"))
    printed = run("28_raise_the_style.py", out, "--weights", net, *SMALL)
    rows = re.findall(r"^(\w+) +(20|100) +(\S+) +[\d.]+ +[\d.]+ +[\d.]+$", printed, re.MULTILINE)
    assert len(rows) == 8
    for faint, strong in zip(rows[::2], rows[1::2], strict=True):
        assert faint[0] == strong[0]
        assert float(strong[2]) == pytest.approx(5 * float(faint[2]), rel=0.01)
    assert len(list(out.iterdir())) == 9
    assert_colourful(out / "raise_the_style.png", 800)


def test_layers_are_given_to_one_or_the_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("31_transfer_in_part.py", out, *SMALL)  # with the built-in network: it takes relu3_1 and relu4_1
    assert "in part: content relu1_1, relu2_1, relu4_1, style relu3_1" in printed
    names = re.findall(r"^(full|style × 0.03|in part) +[\d.]+ s: (.*)$", printed, re.MULTILINE)
    assert [name for name, _ in names] == ["full", "style × 0.03", "in part"]
    assert re.findall(r"(content|style) (\w+)", names[2][1]) == [
        *(("content", f"relu{n}_1") for n in (1, 2, 4)),
        ("style", "relu3_1"),
    ]
    assert len(list(out.iterdir())) == 4
    assert_colourful(out / "transfer_in_part.png", 800)


@pytest.mark.parametrize(
    "script",
    [
        "23_choose_the_colors.py",
        "24_mix_coarse_and_fine.py",
        "25_reconstruct_every_layer.py",
        "26_start_elsewhere.py",
        "27_weigh_the_content.py",
        "28_raise_the_style.py",
        "31_transfer_in_part.py",
    ],
)
def test_a_size_that_is_too_small_is_refused_in_one_line(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--size", "3")
    assert done.returncode == 2
    assert re.search(r"error: .*--size.* at least", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
