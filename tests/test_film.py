"""Pictures on the way, as animations and contact sheets, and the options that ask for them."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vggnumpy.cli import main
from vggnumpy.errors import InputError
from vggnumpy.film import ANIMATED, Film, write_animation
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.report import write_contact_sheet
from vggnumpy.transfer import _descend

RNG = np.random.default_rng(0)


def frames(count=4, height=24, width=32):
    return [np.full((height, width, 3), (20 + 50 * i, 60, 200 - 40 * i), np.uint8) for i in range(count)]


@pytest.mark.parametrize("suffix", ANIMATED)
def test_an_animation_has_all_frames_repeats_and_stays_on_the_last(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    write_animation(path, frames(), seconds=0.2)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (4, (32, 24), 0)
        shown = [
            (np.asarray(one.convert("RGB"), int), one.info.get("duration")) for one in ImageSequence.Iterator(film)
        ]
    for (pixels, _), frame in zip(shown, frames(), strict=True):
        assert np.abs(pixels - frame).max() <= 3  # WebP's loss; 256 colours hold these
    if suffix != ".webp":  # of which Pillow does not tell
        assert [duration for _, duration in shown] == [200, 200, 200, 2000]


@pytest.mark.parametrize(
    ("name", "pictures", "said"),
    [
        ("film.mp4", frames(), "suffix of an animation, .gif, .webp, .apng, found .mp4"),
        ("film", frames(), "found no suffix"),
        ("film.gif", [], "frames of one shape"),
        ("film.gif", frames() + frames(1, 30), "frames of one shape"),
        ("missing/film.gif", frames(), "does not exist"),
    ],
)
def test_what_cannot_be_animated_is_refused_and_nothing_written(tmp_path, name, pictures, said):
    with pytest.raises(InputError, match=said):
        write_animation(tmp_path / name, pictures)
    assert list(tmp_path.iterdir()) == []


def test_frames_come_every_so_many_iterations_and_at_the_end():
    film = Film((300, 400), every=10)
    assert [i for i in range(1, 36) if film.wants(i, 35)] == [10, 20, 30, 35]
    film = Film((300, 400))
    assert len([i for i in range(1, 301) if film.wants(i, 300)]) == 24
    assert [i for i in range(1, 6) if film.wants(i, 5)] == [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="at least 1 iteration"):
        Film((300, 400), every=0)


def test_frames_are_brought_to_one_size_and_are_small():
    film = Film((960, 1280))
    for iteration, shape in ((1, (240, 320)), (2, (960, 1280))):
        film.add(iteration, RNG.uniform(-20, 300, (*shape, 3)).astype("float32"))
    assert [one.shape for one in film.frames] == [(480, 640, 3)] * 2
    assert film.labels == [1, 2]


def test_a_contact_sheet_shows_every_picture(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (250, 0, 250)]
    pictures = [np.full((60, 80, 3), colour, np.uint8) for colour in colours]
    write_contact_sheet(tmp_path / "sheet.png", pictures, [f"{i} iterations" for i in range(5)], "a title")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
        assert sheet.width > 3 * 200
    for colour in colours:
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) < 8).sum() > 0.05 * len(pixels)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("content.png", RNG.integers(0, 256, (40, 48, 3)))
    write_image("style.gif", RNG.integers(0, 256, (40, 40, 3)))
    write_weights("small.h5", random_network(architecture("vgg19")[:7], rng=1))
    return tmp_path


QUICK = ["transfer", "content.png", "style.gif", "-o", "out.png", "--size", "32", "--weights", "small.h5"]


def test_the_command_line_writes_both_at_the_end(folder):
    film = ["--animate", "film.gif", "--contact-sheet", "sheet.jpg"]
    assert main([*QUICK, "--iterations", "5", *film, "--save-every", "2"]) == 0
    with Image.open("film.gif") as animation, Image.open("sheet.jpg") as sheet:
        assert (animation.n_frames, animation.size) == (3, (32, 27))
        assert sheet.width > 600
    assert {path.name for path in Path().glob("out.0*")} == {"out.0002.png", "out.0004.png"}


@pytest.mark.parametrize("suffix", ANIMATED)
def test_colours_that_are_not_painted_make_a_film_of_one_frame(folder, suffix):
    assert main([*QUICK, "--iterations", "5", "--color", "recolor", "--animate", f"film{suffix}"]) == 0
    with Image.open(f"film{suffix}") as animation:
        assert (getattr(animation, "n_frames", 1), animation.size) == (1, (32, 27))
    assert not list(Path().glob("out.0*"))  # pictures of their own are written for --save-every only


def test_a_run_that_ends_early_is_seen_to_its_end(folder, monkeypatch):
    made = []
    monkeypatch.setattr("vggnumpy.run.write_animation", lambda path, frames: made.extend(frames))
    monkeypatch.setattr(import_module("vggnumpy.transfer"), "_descend", shortened(_descend, 5))
    assert main([*QUICK, "--iterations", "40", "--animate", "film.gif", "--save-every", "4"]) == 0
    assert len(made) == 2  # after 4 iterations, and the result after 5
    np.testing.assert_array_equal(made[-1], read_image("out.png").astype("uint8"))


def shortened(descend, most):
    return lambda objective, canvas, method, count, *more: descend(objective, canvas, method, min(count, most), *more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--animate", "film.mp4"], "suffix of an animation"),
        (["--animate", "style.gif"], "style.gif is an input and would be overwritten"),
        (["--contact-sheet", "out.png"], "out.png would be written twice"),
        (["--contact-sheet", "sheet.txt"], "suffix of a format to write"),
        (["--contact-sheet", "content.png"], "content.png is an input"),
    ],
)
def test_films_that_cannot_be_are_refused_before_any_work(folder, capsys, more, said):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main([*QUICK, *more]) == 2
    assert said in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
