"""``vggnumpy style`` as a person types it, and a transfer from what it writes."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import vggnumpy as vn
from vggnumpy.cli import main
from vggnumpy.formats.style_file import read_style
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.multiscale import picture_style
from vggnumpy.nets import architecture, random_network
from vggnumpy.style_mixing import mean_multiscale, mix_multiscale

PICTURES = [f"p{number}.png" for number in range(11)]
NET = ["--weights", "net.h5"]
QUICK = ["--size", "32", "--iterations", "2"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with a content, eleven paintings, a network, and style files of one, of ten, and a mixture."""
    folder = tmp_path_factory.mktemp("studio")
    rng = np.random.default_rng(0)
    for number, name in enumerate(PICTURES):
        write_image(folder / name, rng.integers(0, 60 + 19 * number, (30 + number, 48, 3)))
    write_image(folder / "content.png", rng.integers(0, 256, (40, 56, 3)))
    write_weights(folder / "net.h5", random_network(architecture("vgg19")[:7], rng=0))  # to relu2_1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["style", "compute", *PICTURES[:10], "-o", "ten.h5", "--size", "32", *NET]) == 0
        assert main(["style", "compute", PICTURES[10], "-o", "one.h5", "--size", "32", *NET]) == 0
        assert main(["style", "mix", "ten.h5", "one.h5", "-o", "mixed.h5", "--weights", "1,1"]) == 0
    return folder


@pytest.fixture
def folder(studio, monkeypatch, tmp_path):
    """The same in a folder of this test's own."""
    for path in studio.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *arguments):
    """Run a command that must be refused, and return its sentence."""
    before = sorted(Path().iterdir())
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse
        code = stop.code
    sentence = capsys.readouterr().err
    assert code == 2 and sentence.count("\n") == 1 and "Traceback" not in sentence
    assert sorted(Path().iterdir()) == before
    return sentence


def test_ten_paintings_mixed_with_another_give_the_same_picture_from_files_and_from_the_images(folder):
    for picture in PICTURES:  # no style picture is opened any more
        Path(picture).rename(f"away_{picture}")
    assert main(["transfer", "content.png", "mixed.h5", "-o", "out.png", *QUICK, *NET]) == 0
    net = vn.load_network("net.h5", pooling="average")
    of_pictures = [picture_style(net, read_image(f"away_{picture}"), size=32) for picture in PICTURES]
    mixture = mix_multiscale([mean_multiscale(of_pictures[:10]), of_pictures[10]], [0.5, 0.5])
    from_images = vn.transfer("content.png", mixture, net="net.h5", size=32, iterations=2)
    np.testing.assert_array_equal(read_image("out.png"), from_images.image)
    from_file = vn.transfer("content.png", "mixed.h5", net="net.h5", size=32, iterations=2)
    assert from_file.pixels.tobytes() == from_images.pixels.tobytes()
    record = json.loads(Path("out.json").read_text())
    assert [row["path"] for row in record["inputs"]] == ["content.png", "mixed.h5"]
    assert record["history"][-1]["loss"] == from_images.history[-1]["loss"]


@pytest.mark.parametrize("changes", [{}, {"style_scale": 0.5, "scales": 1}, {"style_weights": [1, 3]}])
def test_a_file_stands_for_its_picture_to_the_bit(folder, changes):
    several = "style_weights" in changes
    size = 16 if "style_scale" in changes else 32
    for number in (0, 1):
        assert main(["style", "compute", PICTURES[number], "-o", f"s{number}.h5", "--size", str(size), *NET]) == 0
    styles = [PICTURES[:2], ["s0.h5", "s1.h5"]] if several else [PICTURES[0], "s0.h5"]
    a, b = (vn.transfer("content.png", one, net="net.h5", size=32, iterations=3, **changes) for one in styles)
    assert a.pixels.tobytes() == b.pixels.tobytes()


def test_the_layers_of_a_style_file_are_those_that_a_transfer_takes(folder):
    assert main(["style", "edit", "one.h5", "--drop", "relu1_1", "-o", "deep.h5"]) == 0
    result = vn.transfer("content.png", "deep.h5", net="net.h5", size=32, iterations=1)
    assert result.settings["style_layers"] == {"relu2_1": 1.0}


def test_what_a_style_file_cannot_do_in_a_transfer_is_said(folder, capsys):
    say = ["transfer", "content.png", "one.h5", "-o", "out.png", *QUICK, *NET]
    mask = ["--content-mask", "p0.png"]
    for more, message in (
        (["--style-loss", "local"], "the style loss local needs style pictures"),
        (["--init", "style"], "the start style needs style pictures"),
        (["--color", "luminance"], "the color luminance needs style pictures"),
        (["--fine-style", "p0.png"], "a fine style needs style pictures"),
        (mask, "masks need style pictures"),
        (["--pooling", "max"], "and this is random network (net.h5) with max pooling"),
        (["--style-layers", "relu1_2"], "no Gram matrix for layer relu1_2"),
        (["--style-weights", "1,2"], "as many weights"),
    ):
        assert message in refused(capsys, *say, *more)
    assert "do not go together" in refused(capsys, *say[:3], "p0.png", *say[3:])
    assert "the style was computed with the network" in refused(capsys, *say[:-1], "builtin")
    assert "found the format" in refused(capsys, *say[:2], "net.h5", *say[3:])


def test_a_strength_is_balanced_against_a_style_file(folder, monkeypatch):
    monkeypatch.setattr("vggnumpy.strength.TRIALS", 2)
    say = ["transfer", "content.png", "mixed.h5", "-o", "out.png", *QUICK, *NET, "--content-layers", "relu1_1=0.02"]
    assert main([*say, "--strength", "1"]) == 0
    settings = json.loads(Path("out.json").read_text())["settings"]
    assert settings["strength"] == 1 and settings["content_layers"]["relu1_1"] != 0.02


def test_larger_than_computed_is_said(folder, capsys):
    assert main(["transfer", "content.png", "one.h5", "-o", "out.png", "--size", "48", "--iterations", "1", *NET]) == 0
    assert "one.h5 was computed up to 32 pixels: its strokes are smaller than at the 48" in capsys.readouterr().err


def test_edits_from_the_command_line(folder):
    command = ["style", "edit", "one.h5", "-o", "b.h5", "--layers", "relu1_1=2", "--channels", "relu2_1:3,7=0"]
    assert main(command) == 0
    before, after = read_style("one.h5").grams[32], read_style("b.h5").grams[32]
    np.testing.assert_array_equal(after["relu1_1"].matrix, 2 * before["relu1_1"].matrix)
    gone = after["relu2_1"].matrix
    assert before["relu2_1"].matrix[3].any() and not gone[[3, 7]].any() and not gone[:, [3, 7]].any()


def test_the_eigengram_of_several(folder):
    assert main(["style", "compute", *PICTURES[:3], "--eigengram", "-o", "e.h5", "--size", "32", *NET]) == 0
    assert read_style("e.h5").recipe["made"] == "eigengram"


def test_a_style_is_made_up_painted_and_redrawn(folder, capsys):
    make = ["style", "synthesise", "--like", "one.h5", *NET]
    assert main([*make, "--layers", "relu2_1", "--sparsity", "0.9", "--seed", "2", "-o", "s.h5"]) == 0
    assert main([*make, "--kind", "entry", "--layers", "relu1_1", "--entry", "5,9", "-o", "e.h5"]) == 0
    sparse, entry = read_style("s.h5").grams[32]["relu2_1"].matrix, read_style("e.h5").grams[32]["relu1_1"].matrix
    assert 0.85 < (sparse == 0).mean() < 0.95
    assert np.argwhere(entry).tolist() == [[5, 9]]
    for more in ([], ["--redraw"]):
        assert main(["style", "paint", "s.h5", "-o", "s.png", "--size", "32", "--iterations", "2", *NET, *more]) == 0
        assert read_image("s.png").shape == (32, 32, 3)
    capsys.readouterr()
    paint = ["style", "paint", "-o", "t.png", *NET]
    assert "only a style that vggnumpy style synthesise made" in refused(capsys, *paint, "one.h5", "--redraw")
    assert "expected a size of 16 at least" in refused(capsys, *paint, "one.h5", "--size", "3")
    assert "seed must not be negative" in refused(capsys, *paint, "one.h5", "--seed", "-1")


def test_a_style_is_shown_in_numbers_in_json_and_as_pictures(folder, capsys):
    assert main(["style", "show", "mixed.h5", "--plot", "plot.png", "--preview", "preview.png"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("0.5 × (the mean of p0.png, p1.png")
    assert "relu2_1" in printed and "average pooling" in printed and printed.count("sha256") == 11
    assert read_image("plot.png").std() > 10 and read_image("preview.png").shape[0] >= 16
    assert main(["style", "show", "mixed.h5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert list(record["sizes"]) == ["32"] and record["recipe"]["weights"] == [0.5, 0.5]
    assert record["sizes"]["32"]["relu1_1"]["channels"] == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compute", "p0.png", "-o", "s.png"], "a style file's name ends in .h5 or .hdf5"),
        (["compute", "p0.png", "-o", "none/s.h5"], "folder"),
        (["compute", "p0.png", "-o", "s.h5", "--size", "3", *NET], "at least 16 pixels, got 3"),
        (["compute", "p0.png", "-o", "s.h5", "--layers", "relu9_1", *NET], "no layer 'relu9_1'"),
        (["compute", "p0.png", "-o", "s.h5", "--layers", ",", *NET], "expected names with commas between"),
        (["compute", "none.png", "-o", "s.h5", *NET], "none.png: there is no such file"),
        (["compute", "net.h5", "-o", "s.h5", *NET], "net.h5: expected a picture"),
        (["mix", "one.h5", "ten.h5", "-o", "one.h5"], "one.h5 is an input and would be overwritten"),
        (["mix", "one.h5", "ten.h5", "-o", "s.h5", "--weights", "1"], "2 styles need as many weights"),
        (["mix", "one.h5", "ten.h5", "-o", "s.h5", "--weights", "1,x"], "expected numbers with commas between"),
        (["mix", "one.h5", "net.h5", "-o", "s.h5"], "net.h5: expected a style file"),
        (["mix", "one.h5", "p0.png", "-o", "s.h5"], "p0.png: expected a style file of vggnumpy"),
        (["edit", "one.h5", "-o", "s.h5"], "there is nothing to edit"),
        (["edit", "one.h5", "-o", "s.h5", "--layers", "relu1_1"], "expected layers and factors as"),
        (["edit", "one.h5", "-o", "s.h5", "--channels", "relu1_1=0"], "expected a layer, channels and a factor as"),
        (["edit", "one.h5", "-o", "s.h5", "--channels", "relu1_1:99=0"], "channels 0 to 63, got 99"),
        (["edit", "one.h5", "-o", "s.h5", "--channels", "relu1_1:1,1=2"], "expected a layer, channels and a factor as"),
        (
            ["edit", "one.h5", "-o", "s.h5", "--channels", "relu1_1:1,2=2", "--channels", "relu1_1:2=0"],
            "channel 2 of relu1_1 is given two factors",
        ),
        (["edit", "one.h5", "-o", "s.h5", "--layers", "relu1_1=2", "--drop", "relu1_1"], "relu1_1 is dropped, and"),
        (["synthesise", "--like", "one.h5", "-o", "s.h5", "--sparsity", "2", *NET], "sparsity from 0 to 1"),
        (["synthesise", "--like", "one.h5", "-o", "s.h5", "--entry", "1,2", *NET], "entry belongs to the kind entry"),
        (["synthesise", "--like", "one.h5", "-o", "s.h5", "--entry", "5"], "expected two channels as 5,9"),
        (["synthesise", "--like", "one.h5", "-o", "s.h5"], "the style was computed with the network"),
        (["paint", "one.h5", "-o", "s.xyz", *NET], "s.xyz"),
        (["show", "p0.png"], "p0.png: expected a style file"),
        (["show", "one.h5", "--preview", "s.xyz"], "s.xyz"),
        (["show", "one.h5", "--plot", "one.h5"], "one.h5: plots are written as PNG files"),
        (["show", "one.h5", "--plot", "s.png", "--preview", "s.png"], "s.png would be written twice"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, arguments, message):
    assert message in refused(capsys, "style", *arguments)


def test_an_interrupted_painting_is_kept_and_said(folder, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("vggnumpy.transfer"), "minimize", interrupted)
    assert main(["style", "paint", "one.h5", "-o", "s.png", "--size", "32", "--iterations", "2", *NET]) == 130
    assert capsys.readouterr().out == "interrupted, best so far: wrote s.png (32 × 32)\n"
    assert read_image("s.png").shape == (32, 32, 3)


def test_names_with_dollars_are_no_formulas(folder):
    Path("cost$^$.h5").write_bytes(Path("one.h5").read_bytes())
    Path("$_$.png").write_bytes(Path("p0.png").read_bytes())
    assert main(["style", "show", "cost$^$.h5", "--plot", "plot.png"]) == 0
    assert main(["transfer", "content.png", "$_$.png", "-o", "out.png", *QUICK, *NET]) == 0
