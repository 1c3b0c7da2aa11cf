"""Reading pictures: every format and kind of pixel in, and one sentence for everything else."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from picture_files import DEEP, GREY, RGB, chunk, png, refusal, save, tiff16
from PIL import Image, ImageFile, ImageOps

import vggnumpy
from vggnumpy import images
from vggnumpy.errors import InputError
from vggnumpy.images import (
    read_image,
    read_picture,
    resize,
)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm", ".tga", ".pcx"])
def test_lossless_colours_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    picture = read_picture(save(tmp_path / f"p{suffix}", Image.fromarray(RGB)))
    assert picture.rgb.dtype == np.float32
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.rgb, RGB)
    picture.rgb[0, 0, 0] = 1  # writable


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 100, "subsampling": 0}), (".webp", {})])
def test_lossy_colours_are_read_nearly(tmp_path: Path, suffix: str, options: dict[str, int]) -> None:
    smooth = resize(RGB[:3, :3], (40, 50)).clip(0, 255).astype(np.uint8)
    got = read_image(save(tmp_path / f"p{suffix}", Image.fromarray(smooth), **options))
    assert np.abs(got - smooth).mean() < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    converted = Image.fromarray(RGB).convert(mode)
    got = read_picture(save(tmp_path / "p.tif", converted))
    assert got.alpha is None
    np.testing.assert_array_equal(got.rgb, np.asarray(converted.convert("RGB")))


def test_a_picture_taller_than_a_band(tmp_path: Path) -> None:
    tall = np.random.default_rng(1).integers(0, 256, (2 * images._BAND + 5, 16, 4), np.uint8)
    got = read_picture(save(tmp_path / "p.png", Image.fromarray(tall)))
    assert got.alpha is not None
    np.testing.assert_array_equal(got.alpha, tall[..., 3])
    share = tall[..., 3:] / 255
    np.testing.assert_allclose(got.rgb, tall[..., :3] * share + 255 * (1 - share), atol=1e-4)


def test_alpha_is_composited_over_white_and_kept(tmp_path: Path) -> None:
    alpha = np.zeros(GREY.shape, np.uint8)
    alpha[:8], alpha[8:16] = 255, 51
    got = read_picture(save(tmp_path / "p.png", Image.fromarray(np.dstack([RGB, alpha]))))
    assert got.alpha is not None
    assert got.alpha.dtype == np.float32
    np.testing.assert_array_equal(got.alpha, alpha)
    np.testing.assert_array_equal(got.rgb[:8], RGB[:8])
    np.testing.assert_allclose(got.rgb[8:16], 0.2 * RGB[8:16] + 0.8 * 255, atol=1e-4)
    np.testing.assert_array_equal(got.rgb[16:], 255)


def test_grey_with_alpha(tmp_path: Path) -> None:
    got = read_picture(save(tmp_path / "p.png", Image.fromarray(np.dstack([GREY, GREY]))))
    np.testing.assert_array_equal(got.alpha, GREY)
    share = GREY / 255
    np.testing.assert_allclose(got.rgb[..., 1], GREY * share + 255 * (1 - share), atol=1e-4)


def test_a_transparent_palette_colour(tmp_path: Path) -> None:
    indices = (GREY > 128).astype(np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    for suffix in (".png", ".gif"):
        got = read_picture(save(tmp_path / f"p{suffix}", picture, transparency=1))
        np.testing.assert_array_equal(got.alpha, 255 - 255 * indices)
        np.testing.assert_array_equal(got.rgb[indices == 0], [[10, 20, 30]] * np.sum(indices == 0))
        np.testing.assert_array_equal(got.rgb[indices == 1], 255)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 18), colour) for colour in ("red", "lime")]
    for suffix in (".gif", ".tif", ".png", ".webp"):
        options = {"lossless": True} if suffix == ".webp" else {}
        path = save(tmp_path / f"p{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(read_image(path), np.broadcast_to([255, 0, 0], (18, 20, 3)))


# Reading: 16 bits


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1)])
def test_small_pictures_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    sentence = refusal(save(tmp_path / "p.png", Image.new("RGB", size)))
    assert f"expected at least 16×16 pixels, found {size[0]}×{size[1]}" in sentence


def test_16_pixels_are_enough(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "p.png", Image.new("RGB", (16, 16)))).shape == (16, 16, 3)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("This is not a picture.\n" * 20)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "nothing any reader knows" in refusal(tmp_path / "text.jpg")
    assert "nothing any reader knows" in refusal(tmp_path / "empty.png")
    assert "no such file" in refusal(tmp_path / "missing.png")
    assert "found a folder" in refusal(tmp_path)


def test_a_file_of_arrays_is_no_picture(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.zeros((20, 20)))
    refusal(tmp_path / "arrays.npz")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".jpg", {}),
        (".jpg", {"progressive": True}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".bmp", {}),
        (".gif", {}),
        (".webp", {}),
        (".ppm", {}),
    ],
)
def test_no_part_of_a_picture_passes_for_the_whole(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    whole = save(tmp_path / f"whole{suffix}", Image.fromarray(RGB), **options)
    expected, content = read_image(whole), whole.read_bytes()
    part = tmp_path / f"part{suffix}"
    refused, lengths = 0, range(len(content) - 1, -1, -7)
    for length in lengths:
        part.write_bytes(content[:length])
        try:
            got = read_image(part)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(got, expected)  # only what follows the pixels was missing
    assert refused > 0.8 * len(lengths)


def test_damaged_pictures_give_a_picture_or_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "damaged"
    pictures = [png(DEEP, 16), tiff16(DEEP[..., :3])]
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, kind)
        pictures.append(buffer.getvalue())
    outcomes = set()
    for content in pictures:
        for _ in range(60):
            damaged = np.frombuffer(content, np.uint8).copy()
            where = rng.integers(0, min(len(damaged), 200), 3)
            damaged[where] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                got = read_image(path)
            except InputError as error:
                assert "\n" not in str(error)
                outcomes.add("sentence")
            else:
                assert got.dtype == np.float32
                outcomes.add("picture")
    assert outcomes == {"sentence", "picture"}


def test_a_huge_header_without_data(tmp_path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header)
    refusal(tmp_path / "p.png")
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 999)))
    refusal(tmp_path / "p.png")


def test_more_memory_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "p.png", Image.new("RGB", (1000, 2000)))
    monkeypatch.setattr(images, "available_memory", lambda: 47_999_999)
    assert "reading its 1000×2000 pixels needs about 0.0 GB" in refusal(path)
    monkeypatch.setattr(images, "available_memory", lambda: 48_000_000)
    assert read_image(path).shape == (2000, 1000, 3)
    monkeypatch.setattr(images, "available_memory", lambda: None)
    assert read_image(path).shape == (2000, 1000, 3)


def test_memory_running_out_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "p.png", Image.new("RGB", (1000, 2000)))

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    assert "1000×2000 pixels" in refusal(path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are tested on Linux")
@pytest.mark.parametrize("known", [True, False])
def test_a_legal_picture_beyond_a_limit_on_memory(tmp_path: Path, known: bool) -> None:
    side = 13_000
    rows = zlib.compressobj(1)
    data = b"".join(rows.compress(bytes(1 + side)) for _ in range(side)) + rows.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
from vggnumpy import images
if not {known}:
    images.available_memory = lambda: None
try:
    images.read_image({str(tmp_path / "p.png")!r})
except images.InputError as error:
    print(error)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(vggnumpy.__file__).parents[1]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "reading its 13000×13000 pixels needs about 4.1 GB of memory" in done.stdout


@pytest.mark.parametrize("limit", [100, 300])
def test_pillows_own_limits_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = save(tmp_path / "p.png", Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # Pillow warns from here, raises from twice this
    np.testing.assert_array_equal(read_image(path), RGB)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillow_told_to_fill_up_truncated_files_is_overruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "p.jpg", Image.fromarray(RGB))
    path.write_bytes(path.read_bytes()[:-60])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "cut short" in refusal(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("shape", [(24, 17), (24, 17, 1), (24, 17, 2), (24, 17, 3), (24, 17, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_readers_beyond_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    (tmp_path / "p.xyz").write_bytes(b"some other format")
    pixels = np.full(shape, np.iinfo(dtype).max // 5, dtype)
    monkeypatch.setattr(iio, "imread", lambda *_, **__: pixels)
    got = read_picture(tmp_path / "p.xyz")
    assert got.rgb.shape == (24, 17, 3)
    assert got.rgb.dtype == np.float32
    transparent = len(shape) == 3 and shape[2] in (2, 4)
    assert (got.alpha is not None) == transparent
    np.testing.assert_allclose(got.rgb, 51 * 0.2 + 255 * 0.8 if transparent else 51, rtol=1e-6)


@pytest.mark.parametrize(
    "pixels", [np.zeros((5, 20, 20, 3), np.uint8), np.zeros((20, 20, 5), np.uint8), np.zeros((20, 20))]
)
def test_other_readers_arrays_that_are_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray
) -> None:
    (tmp_path / "p.xyz").write_bytes(b"some other format")
    monkeypatch.setattr(iio, "imread", lambda *_, **__: pixels)
    assert "expected 8- or 16-bit pixels" in refusal(tmp_path / "p.xyz")


# Sizes
