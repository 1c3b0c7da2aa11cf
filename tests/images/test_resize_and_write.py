"""Resampling in floating point, rounding to 8 bits, and writing whole files or none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import GREY, RGB
from PIL import Image

import vggnumpy
from vggnumpy.errors import InputError
from vggnumpy.images import (
    check_writable_image,
    fit_size,
    keeps_alpha,
    read_image,
    resize,
    to_uint8,
    write_image,
)


def test_the_aspect_is_kept() -> None:
    assert fit_size(600, 800, 400) == (300, 400)
    assert fit_size(800, 600, 1600) == (1600, 1200)
    assert fit_size(500, 333, 100) == (100, 67)
    assert fit_size(16, 16, 16) == (16, 16)


def test_a_side_under_16_pixels() -> None:
    assert fit_size(100, 1000, 155) == (16, 155)
    with pytest.raises(InputError, match="would become 154×15, and each side needs at least 16"):
        fit_size(100, 1000, 154)


def test_resizing_keeps_constants_channels_and_type() -> None:
    image = np.broadcast_to(np.array([-20.0, 128.0, 300.0, 1e6], np.float32), (30, 40, 4))
    for size in [(15, 20), (60, 80), (17, 90), (1, 1), (30, 40)]:
        got = resize(image, size)
        assert got.shape == (*size, 4)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, np.broadcast_to(image[0, 0], got.shape), rtol=1e-6)


def test_resizing_types() -> None:
    assert resize(GREY, (5, 6)).shape == (5, 6)
    assert resize(GREY, (5, 6)).dtype == np.float32
    double = resize(GREY.astype(np.float64), (5, 6))
    assert double.dtype == np.float64
    np.testing.assert_array_equal(double, resize(GREY, (5, 6)))
    turned = resize(RGB.transpose(1, 0, 2), (6, 5))  # not contiguous
    np.testing.assert_allclose(turned.transpose(1, 0, 2), resize(RGB, (5, 6)), rtol=1e-4)


def test_the_same_size_is_a_copy() -> None:
    image = RGB.astype(np.float32)
    got = resize(image, (24, 17))
    np.testing.assert_array_equal(got, image)
    assert not np.shares_memory(got, image)


def test_shrinking_averages_fine_patterns_away() -> None:
    stripes = np.zeros((64, 64), np.float32)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(resize(stripes, (16, 16))[2:-2, 2:-2], 127.5, atol=2)


def test_growing_reproduces_a_ramp() -> None:
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32), (20, 20))
    got = resize(ramp, (40, 40))
    np.testing.assert_allclose(got[0, 8:-8], (np.arange(40)[8:-8] + 0.5) / 2 - 0.5, atol=1e-5)


def test_resizing_does_not_round_or_clip() -> None:
    step = np.zeros((32, 32), np.float32)
    step[:, 16:] = 255
    got = resize(step, (24, 24))
    assert got.min() < -1
    assert got.max() > 256
    assert not np.array_equal(got, np.rint(got))


@pytest.mark.parametrize(("shape", "size"), [((20,), (5, 5)), ((0, 20), (5, 5)), ((20, 20), (0, 5)), ((9, 9), (5, -1))])
def test_sizes_that_make_no_sense(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        resize(np.zeros(shape), size)


def test_rounding_to_8_bits() -> None:
    values = [-1e9, -0.6, 0.4, 0.5, 1.5, 2.5, 254.5, 255.4, 1e9, np.inf, -np.inf]
    assert to_uint8(values).tolist() == [0, 0, 0, 0, 2, 2, 254, 255, 255, 255, 0]
    np.testing.assert_array_equal(to_uint8(RGB), RGB)
    with pytest.raises(InputError, match="found 2 of 6 values that are not"):
        to_uint8([[1, np.nan, 2], [np.nan, 3, 4]])


# Writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_written_pictures_are_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    check_writable_image(path)
    assert os.listdir(tmp_path) == []
    write_image(path, RGB + 0.3)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg_is_written_in_good_quality(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"p{suffix}", RGB)
    with Image.open(tmp_path / f"p{suffix}") as picture:
        assert picture.format == "JPEG"
        assert [layer[1:3] for layer in picture.layer] == [(1, 1)] * 3  # sampling 4:4:4
        assert picture.quantization[0][0] == 2  # the table of quality 95
    assert np.abs(read_image(tmp_path / f"p{suffix}") - RGB).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_attached(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    assert keeps_alpha(path)
    write_image(path, RGB, alpha=GREY)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.dstack([RGB, GREY]))


def test_a_format_without_alpha_gets_the_colours(tmp_path: Path) -> None:
    assert not keeps_alpha("p.jpg")
    write_image(tmp_path / "p.jpg", RGB, alpha=GREY)
    write_image(tmp_path / "q.jpg", RGB)
    assert (tmp_path / "p.jpg").read_bytes() == (tmp_path / "q.jpg").read_bytes()


@pytest.mark.parametrize("name", ["p", "p.xyz", "p.pdf", "p.ico", "p.mp4", "p.npz", "p.h5", ".png"])
def test_suffixes_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    for act in (check_writable_image, lambda path: write_image(path, RGB)):
        with pytest.raises(InputError, match=r"use \.png, \.jpg") as caught:
            act(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for act in (check_writable_image, lambda path: write_image(path, RGB)):
        with pytest.raises(InputError, match="create it first"):
            act(tmp_path / "nowhere" / "p.png")
        with pytest.raises(InputError, match="a folder of that name"):
            act(tmp_path / "folder.png")


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 4), (20, 20, 1), (1, 20, 20, 3), (0, 20, 3)])
def test_shapes_that_cannot_be_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected an RGB array"):
        write_image(tmp_path / "p.png", np.zeros(shape))
    with pytest.raises(InputError, match="alpha: expected"):
        write_image(tmp_path / "p.png", RGB, alpha=GREY[1:])
    assert os.listdir(tmp_path) == []


def test_a_picture_too_long_for_its_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written in this format") as caught:
        write_image(tmp_path / "p.jpg", np.zeros((16, 70_000, 3)))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    path = tmp_path / "p.png"
    write_image(path, RGB)
    original = Path.write_bytes

    def interrupted(target: Path, content: bytes) -> int:
        original(target, content[:100])
        raise interruption

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(interruption):
        write_image(path, 255 - RGB)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert os.listdir(tmp_path) == ["p.png"]


def test_image_libraries_are_imported_only_when_used() -> None:
    program = "import sys, vggnumpy.images; print([m for m in ('PIL', 'imageio') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(vggnumpy.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
