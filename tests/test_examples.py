"""The examples as a reader runs them: each in a process of its own, small, and judged by what it prints and writes.

04_paint_the_styles.py is run by test_paintings.py.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_runs import CHECKOUT, assert_colourful, run, small_network, start
from PIL import Image

from vggnumpy.formats.weights import write_weights
from vggnumpy.nets import architecture, random_network
from vggnumpy.paintings import PAINTINGS, painting_path


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


def test_a_face_comes_back_from_layer_13_of_random_filters_but_not_from_layer_27(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("05_reconstruct_the_content.py", out, "--size", "32", "--iterations", "25")
    rows = re.findall(r"^(\d+ \w+) +[\d.]+ +([\d.]+) → ([\d.]+) .* ([\d.]+) grey levels$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == ["13 conv3_2", "27 relu4_4"]
    assert all(float(last) < 0.5 * float(first) for _, first, last, _ in rows)
    wrong = [float(number) for *_, number in rows]
    assert wrong[0] < 60 < wrong[1]
    assert "These filters are random" in printed
    pictures = {"content_13.png", "content_27.png"}
    assert {path.name for path in out.iterdir()} == pictures | {"reconstruct_the_content.png"}
    assert_colourful(out / "reconstruct_the_content.png", 800)


def test_a_painting_is_reconstructed_from_one_layer_more_each_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    painting = str(painting_path("halftone"))
    printed = run("06_reconstruct_the_style.py", out, "--style", painting, "--size", "32", "--iterations", "3")
    rows = re.findall(r"^halftone +… (\w+) +[\d.]+ +([\d.]+) → ([\d.]+)$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == [f"relu{n}_1" for n in range(1, 6)]
    assert all(float(last) < float(first) for _, first, last in rows)
    pictures = {f"style_halftone_{n}.png" for n in range(1, 6)}
    assert {path.name for path in out.iterdir()} == pictures | {"reconstruct_the_style.png"}
    assert_colourful(out / "reconstruct_the_style.png", 800)


def test_regularised_pixels_are_clipped_less(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ("--size", "32", "--iterations", "5", "--penalties", "5", "5")
    printed = run("07_keep_pixels_in_bounds.py", out, *small)
    assert all(float(error) < 1e-9 for error in re.findall(r"^∂.* to (\S+)$", printed, re.MULTILINE))
    rows = re.findall(r"^(\w+)(?:, . = 5)? +[\d.]+ +([\d.]+)% ", printed, re.MULTILINE)
    assert [name for name, _ in rows] == ["neither", "size", "variation", "both"]
    shares = {name: float(share) for name, share in rows}
    assert shares["both"] < shares["neither"]
    pictures = {f"bounds_{name}.png" for name in shares}
    assert {path.name for path in out.iterdir()} == pictures | {"keep_pixels_in_bounds.png"}
    assert_colourful(out / "keep_pixels_in_bounds.png", 800)


def test_a_face_its_content_and_four_styles_hang_in_a_row(tmp_path: Path) -> None:
    printed = run("08_hang_the_appendix_row.py", tmp_path / "out", "--size", "32", "--iterations", "2")
    rows = re.findall(r"^(\w+) +[\d.]+ s, objective [\d.]+$", printed, re.MULTILINE)
    assert rows == ["content", *PAINTINGS]
    names = ["portrait", "content", *PAINTINGS]
    pictures = {f"row_{i}_{name}.png" for i, name in enumerate(names)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == pictures | {"hang_the_appendix_row.png"}
    assert_colourful(tmp_path / "out" / "hang_the_appendix_row.png", 1200)


def test_two_styles_are_joined_along_the_mask(tmp_path: Path) -> None:
    net = small_network(tmp_path / "small.h5")
    arguments = ("--weights", str(net), "--size", "64", "--iterations", "3")
    run("09_paint_face_and_background.py", tmp_path / "out", *arguments)
    names = {"face_and_background.png", "paint_face_and_background.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert_colourful(tmp_path / "out" / "paint_face_and_background.png", 1200)
    # A mask that is white everywhere leaves the first style alone, one that is black the second.
    joined = {}
    for color in (0, 255):
        Image.new("L", (24, 28), color).save(tmp_path / f"mask{color}.png")
        out = tmp_path / f"out{color}"
        run("09_paint_face_and_background.py", out, *arguments, "--mask", str(tmp_path / f"mask{color}.png"))
        joined[color] = np.asarray(Image.open(out / "face_and_background.png")).astype(float)
    both = np.asarray(Image.open(tmp_path / "out" / "face_and_background.png")).astype(float)
    assert abs(joined[0] - joined[255]).mean() > 1
    height, width = both.shape[:2]
    face, corner = (slice(height // 3, height // 2), slice(2 * width // 5, 3 * width // 5)), (slice(3), slice(-3, None))
    assert abs(both - joined[255])[face].max() <= 1 and abs(both - joined[0])[corner].max() <= 1


def test_several_styles_are_averaged_and_the_sum_of_losses_is_the_mean_gram(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("10_average_several_styles.py", out, "--size", "32", "--iterations", "3")
    assert max(float(error) for error in re.findall(r"\(to (\S+)\)", printed)) < 1e-4
    rows = dict(re.findall(r"^  (\w[\w, ]+?)  +([\d. ]+)$", printed, re.MULTILINE))
    numbers = {name: [float(number) for number in row.split()] for name, row in rows.items()}
    assert all(0 < sum(numbers[name]) <= 1.001 for name in ("relu1_1", "relu4_1", "all layers"))
    for name in ("sum of losses", "mean Gram", "eigengram, stacked"):
        assert sum(numbers[name]) < sum(numbers["the portrait"])
    assert numbers["mean Gram"] == pytest.approx(numbers["sum of losses"], rel=0.01)
    pictures = {f"average_{name}.png" for name in ("sum_of_losses", "mean_Gram", "eigengram", "eigengram_stacked")}
    assert {path.name for path in out.iterdir()} == pictures | {"average_several_styles.png"}
    assert_colourful(out / "average_several_styles.png", 800)


def test_every_optimizer_of_the_race_lowers_the_objective(tmp_path: Path) -> None:
    net = small_network(tmp_path / "small.h5")
    arguments = ("--weights", str(net), "--size", "32", "--evaluations", "10", "--newton", "4")
    printed = run("11_race_the_optimizers.py", tmp_path / "out", *arguments)
    large, small = printed.split("Newton's method on 192 unknowns")
    methods = ["lbfgs", "lbfgs-fixed", "adam", "momentum", "gradient-descent"]
    for part, expected in ((large.split("L at the end")[0], methods), (small, ["newton", "lbfgs", *methods[2:]])):
        start = float(re.search(r"L = ([\d.]+) at the start", part)[1])
        table = part[part.rindex("evaluations ") :]
        rows = re.findall(r"^([a-z-]+) +(?:none|[\d.]+)((?: +\d\.\d{4})+) ", table, re.MULTILINE)
        assert [name for name, _ in rows] == expected
        assert all(float(values.split()[-1]) < 0.9 * start for _, values in rows)
    assert_colourful(tmp_path / "out" / "race_the_optimizers.png", 800)


def test_styled_faces_are_scored_where_there_is_a_classifier(tmp_path: Path) -> None:
    judge = replace(
        random_network(architecture("onet", classifier=True)), image_size=(48, 48), classes=("no face", "face")
    )
    write_weights(tmp_path / "judge.h5", judge)
    small = ("--weights", str(small_network(tmp_path / "small.h5")), "--size", "32", "--iterations", "2")
    scored = ("--classifier", str(tmp_path / "judge.h5"), "--box", "180", "80", "170", "200")
    printed = run("12_score_the_styled_faces.py", tmp_path / "scored", *small, *scored)
    rows = re.findall(r"^(\S.*?)  +(\d\.\d{4})  (yes|no)   +(?:no )?face \((\d\.\d{4})\)$", printed, re.MULTILINE)
    assert [name for name, *_ in rows[:2]] == ["original", "original, small"]
    assert [name for name, *_ in rows[2:6]] == [f"{name} ×1" for name in PAINTINGS]
    assert len(rows) == 2 + 12
    assert all((float(score) == float(own)) == (kept == "yes") for _, score, kept, own in rows)

    printed = run("12_score_the_styled_faces.py", tmp_path / "alone", *small)
    assert "vggnumpy weights fetch" in printed
    assert "vggnumpy score class" in printed
    for folder in ("scored", "alone"):
        pictures = {f"scored_{name}_{factor}.png" for name in PAINTINGS for factor in (1, 30, 1000)}
        assert {path.name for path in (tmp_path / folder).iterdir()} == pictures | {"score_the_styled_faces.png"}
        assert_colourful(tmp_path / folder / "score_the_styled_faces.png", 800)


@pytest.mark.parametrize(
    "script",
    [
        "01_walk_a_gradient.py",
        "02_derive_and_check_every_op.py",
        "03_style_a_portrait.py",
        "08_hang_the_appendix_row.py",
        "09_paint_face_and_background.py",
        "10_average_several_styles.py",
        "11_race_the_optimizers.py",
        "12_score_the_styled_faces.py",
    ],
)
def test_a_size_that_is_too_small_is_refused_in_one_line(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--size", "3")
    assert done.returncode == 2
    assert re.search(r"error: .*--size.* at least", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "script", ["05_reconstruct_the_content.py", "06_reconstruct_the_style.py", "07_keep_pixels_in_bounds.py"]
)
def test_weights_that_are_not_there_are_refused_in_one_line(script: str, tmp_path: Path) -> None:
    done = start(script, tmp_path / "out", "--weights", "missing.h5")
    assert done.returncode == 2
    assert re.search(r"error: .*missing\.h5", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_table_names_every_example() -> None:
    table = (CHECKOUT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in sorted((CHECKOUT / "examples").glob("[0-9][0-9]_*.py")):
        assert f"`python examples/{path.name}" in table


def test_the_layers_are_shown_and_counted(tmp_path: Path) -> None:
    printed = run("13_look_into_the_layers.py", tmp_path / "out", "--size", "64")
    assert printed.startswith("small-vgg\n")
    rows = re.findall(r"^ +(\d)  (conv\d_1) +(\d+) × +(\d+) +(\d+) +(\d+)% +([\d.]+)$", printed, re.MULTILINE)
    assert [row[1] for row in rows] == 2 * ["conv1_1", "conv2_1", "conv3_1", "conv4_1"]
    assert [int(row[4]) for row in rows[:4]] == [64, 128, 256, 512]
    assert all(1 <= float(row[6]) <= int(row[4]) and 0 < int(row[5]) < 100 for row in rows)
    assert_colourful(tmp_path / "out" / "look_into_the_layers.png", 1000)


def test_a_network_is_trained_and_paints_better_than_it_did(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "cifar").mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows = rng.integers(0, 256, (60, 3073)).astype("uint8")
        rows[:, 0] %= 10
        (tmp_path / "cifar" / f"{name}.bin").write_bytes(rows.tobytes())
    small = ("--pictures", "20", "--passes", "2", "--size", "64", "--iterations", "3")
    printed = run("14_train_and_paint.py", tmp_path / "out", str(tmp_path / "cifar"), *small)
    assert "2 steps of 256 pictures" in printed
    rows = re.findall(r"^(before training|after 2 steps) +(\d+) +\d+ +([\d.]+) → ([\d.]+)$", printed, re.MULTILINE)
    assert [(row[0], row[1]) for row in rows] == [
        (name, size) for name in ("before training", "after 2 steps") for size in ("32", "64")
    ]
    assert all(float(last) < float(first) for *_, first, last in rows)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "train_and_paint.png", "painted_before_training.png", "painted_after_training.png"
    }  # fmt: skip
    assert_colourful(tmp_path / "out" / "train_and_paint.png", 1000)


def test_training_on_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cifar.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    done = start("14_train_and_paint.py", tmp_path / "out", str(tmp_path / "cifar.tar.gz"))
    assert done.returncode == 2 and "Traceback" not in done.stderr and not (tmp_path / "out").exists()
