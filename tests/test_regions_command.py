"""``vggnumpy regions`` and a transfer with its masks, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest

from vggnumpy.cli import main
from vggnumpy.formats import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import architecture, random_network

RNG = np.random.default_rng(0)


def landscape(height, width, sky, ground):
    """Two colours with a little texture, one above the other."""
    painted = np.empty((height, width, 3))
    painted[: height // 2], painted[height // 2 :] = sky, ground
    return (painted + RNG.normal(0, 6, painted.shape)).clip(0, 255)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("content.png", landscape(48, 64, (120, 160, 230), (90, 120, 60)))
    write_image("style.png", landscape(60, 56, (20, 30, 90), (200, 150, 40)))
    write_weights("net.h5", random_network(architecture("vgg19")[:12], rng=0))
    return tmp_path


REGIONS = ["regions", "content.png", "style.png", "-o", "two", "--weights", "net.h5"]
TRANSFER = ["transfer", "content.png", "style.png", "-o", "out.png", "--weights", "net.h5", "--size", "64"]
MASKS = ["--content-mask", "two_content.png", "--style-mask", "two_style.png"]


def test_regions_are_found_paired_shown_and_used(folder, capsys):
    assert main(REGIONS) == 0
    printed = capsys.readouterr().out
    assert "0 blue (50%) from 0 (50%)" in printed and "1 red (50%) from 1 (50%)" in printed
    mask = read_image("two_content.png")
    assert mask.shape == (48, 64, 3) and (mask[:20] == (0, 0, 255)).all() and (mask[28:] == (255, 0, 0)).all()
    assert read_image("two_pairs.png").shape[0] == 384
    assert main([*TRANSFER, *MASKS, "--iterations", "2"]) == 0
    assert "regions: blue (50%) from style.png (50% of it); red (50%) from style.png" in capsys.readouterr().err
    record = json.loads(Path("out.json").read_text())
    assert [Path(one["path"]).name for one in record["inputs"]][2:] == ["two_content.png", "two_style.png"]
    assert record["regions"].startswith("blue")


def test_another_pairing_is_taken(folder, capsys):
    assert main([*REGIONS, "--pairs", "1,0"]) == 0
    assert "0 blue (50%) from 1 (50%)" in capsys.readouterr().out
    mask = read_image("two_style.png")
    assert (mask[:25] == (255, 0, 0)).all() and (mask[35:] == (0, 0, 255)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*REGIONS, "--count", "9"], "2 to 8 regions"),
        ([*REGIONS, "--pairs", "0,0"], "each of the region numbers 0 to 1 once"),
        ([*REGIONS, "--pairs", "a"], "region numbers with commas"),
        ([*REGIONS, "--seed", "-1"], "must not be negative"),
        (["regions", "one.png", *REGIONS[2:]], "one.png: expected"),
        ([*TRANSFER, "--style-mask", "style.png"], "give --content-mask"),
        ([*TRANSFER, "--regions", "2"], "give --content-mask"),
        ([*TRANSFER, "--content-mask", "content.png"], "flat colours"),
        ([*TRANSFER, "--content-mask", "one.png"], "one.png: expected at least two regions, found one colour"),
        ([*TRANSFER, "--content-mask", "wide.png"], "wide.png: expected the proportions of its picture"),
        ([*TRANSFER, "--content-mask", "mask.png"], "each of the 2 regions"),
    ],
)
def test_bad_masks_get_one_sentence(folder, capsys, arguments, message):
    write_image("one.png", np.full((48, 64, 3), 255.0))
    flat = np.zeros((48, 64, 3))
    flat[:20] = 255
    write_image("mask.png", flat)
    write_image("wide.png", np.repeat(flat, 2, axis=1))
    before = {path.name for path in folder.iterdir()}
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    err = capsys.readouterr().err
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1, err
    assert {path.name for path in folder.iterdir()} == before


def write_halves(name, size, above, below):
    """Write a map of two flat colours, one above the other."""
    painted = np.empty((*size, 3))
    painted[: size[0] // 2], painted[size[0] // 2 :] = above, below
    write_image(name, painted)


RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
DOODLE = ["doodle", "style.png", "style_map.png", "map.png", "-o", "out.png", "--size", "64", "--iterations", "12"]


@pytest.mark.parametrize("form", ["both", "patches", "regions"])
def test_a_doodle_is_painted(folder, capsys, form):
    write_halves("map.png", (48, 64), RED, BLUE)
    write_halves("style_map.png", (60, 56), BLUE, RED)
    doodle = [*DOODLE, "--form", form, "--weights", "net.h5"]
    assert main(doodle) == (2 if form == "patches" else 0)
    if form == "patches":  # this network has no relu4_1
        assert "relu4_1" in capsys.readouterr().err
        write_weights("net.h5", random_network(architecture("vgg19")[:21], rng=0))
        assert main(doodle) == 0
    record = json.loads(Path("out.json").read_text())
    assert record["settings"]["content_layers"] == {} and record["settings"]["start"] == "noise"
    assert record["history"][-1]["loss"] < record["history"][0]["loss"]
    kinds = {name.partition(" ")[0] for name in record["terms"]} - {"size", "variation"}
    assert kinds == {"both": {"style", "patches"}, "patches": {"patches"}, "regions": {"style"}}[form]
    result = read_image("out.png")
    assert result[:20, :, 0].mean() > result[:20, :, 2].mean()  # the ground's colours are above now
    assert result[28:, :, 2].mean() > result[28:, :, 0].mean()


def test_a_bad_doodle_gets_one_sentence(folder, capsys):
    def said():
        capsys.readouterr()
        assert main([*DOODLE, "--weights", "net.h5"]) == 2
        assert not list(folder.glob("out*"))
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    write_halves("map.png", (48, 64), RED, BLUE)
    write_halves("style_map.png", (60, 56), BLUE, BLUE)
    assert "style_map.png: expected at least two regions" in said()
    write_halves("style_map.png", (60, 57), BLUE, GREEN)
    assert "map.png has a region in red (255, 0, 0), 50.0 % of it, and style_map.png nothing like it" in said()
    write_halves("style_map.png", (60, 90), BLUE, RED)
    assert "style_map.png: expected the proportions of its picture" in said()
