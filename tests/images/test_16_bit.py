"""Pictures of 16 bits keep their precision, and EXIF orientation is applied once."""

import struct
from pathlib import Path

import numpy as np
import pytest
from picture_files import DEEP, chunk, png, refusal, save, tiff16
from PIL import Image

from vggnumpy.images import (
    read_image,
    read_picture,
)


def test_16_bit_grey_keeps_its_precision(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        got = read_picture(save(tmp_path / f"p{suffix}", Image.fromarray(DEEP[..., 0])))
        assert got.alpha is None
        np.testing.assert_array_equal(got.rgb, np.repeat(DEEP[..., :1] / np.float32(257), 3, axis=2))
        assert got.rgb[0, :3, 0].tolist() == [0.0, 255.0, 1.0]


def test_16_bit_pgm(tmp_path: Path) -> None:
    (tmp_path / "p.pgm").write_bytes(b"P5 17 24 65535\n" + DEEP[..., 0].astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "p.pgm")[..., 2], DEEP[..., 0] / np.float32(257))


def test_16_bit_rgb_png_keeps_its_precision(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(DEEP[..., :3], 16))
    got = read_picture(tmp_path / "p.png")
    assert got.alpha is None
    np.testing.assert_array_equal(got.rgb, DEEP[..., :3] / np.float32(257))


def test_16_bit_rgba_png_keeps_its_precision(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(DEEP, 16))
    got = read_picture(tmp_path / "p.png")
    np.testing.assert_array_equal(got.alpha, DEEP[..., 3] / np.float32(257))
    share = DEEP[..., 3:] / 65535
    np.testing.assert_allclose(got.rgb, DEEP[..., :3] / 257 * share + 255 * (1 - share), atol=1e-4)


def test_16_bit_grey_with_alpha_is_read_in_8(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(DEEP[..., :2], 16))
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").alpha, DEEP[..., 1] // 256)


def test_16_bit_transparent_colour(tmp_path: Path) -> None:
    near = DEEP[..., :3].copy()
    near[1, 0], near[1, 1] = (1000, 2000, 3000), (1000, 2000, 3001)
    (tmp_path / "rgb.png").write_bytes(png(near, 16, chunk(b"tRNS", struct.pack(">3H", 1000, 2000, 3000))))
    got = read_picture(tmp_path / "rgb.png")
    assert got.alpha is not None
    assert np.argwhere(got.alpha == 0).tolist() == [[1, 0]]
    np.testing.assert_array_equal(got.rgb[1, 0], 255)
    (tmp_path / "grey.png").write_bytes(png(near[..., 2:], 16, chunk(b"tRNS", struct.pack(">H", 3001))))
    got = read_picture(tmp_path / "grey.png")
    assert got.alpha is not None
    assert np.argwhere(got.alpha == 0).tolist() == [[1, 1]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("rows_per_strip", [24, 7])
@pytest.mark.parametrize("compressed", [False, True])
def test_16_bit_rgb_tiff_keeps_its_precision(tmp_path: Path, order: str, rows_per_strip: int, compressed: bool) -> None:
    (tmp_path / "p.tif").write_bytes(tiff16(DEEP[..., :3], order, rows_per_strip, compressed=compressed))
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), DEEP[..., :3] / np.float32(257))


@pytest.mark.parametrize("compressed", [False, True])
def test_16_bit_tiff_that_pillow_misreads_is_refused(tmp_path: Path, compressed: bool) -> None:
    (tmp_path / "p.tif").write_bytes(tiff16(DEEP[..., :3], planar=True, compressed=compressed))
    assert "separate colour planes" in refusal(tmp_path / "p.tif")


def test_kinds_of_pixels_without_a_known_white_are_refused(tmp_path: Path) -> None:
    assert "floating-point" in refusal(save(tmp_path / "f.tif", Image.fromarray(np.ones((20, 20), np.float32))))
    assert "32-bit" in refusal(save(tmp_path / "i.tif", Image.fromarray(np.ones((20, 20), np.int32))))


# Reading: orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_applied_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = np.full((32, 48, 3), 128, np.uint8)
    stored[:16, :16], stored[:16, 32:] = (255, 0, 0), (0, 0, 255)  # top left red, top right blue
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    got = read_image(save(tmp_path / f"p{suffix}", Image.fromarray(stored), exif=exif, **options))
    # EXIF names the visual place of the stored row 0 and column 0: 6 is "row 0 at the right, column 0 at the top".
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: stored.swapaxes(0, 1)[:, ::-1],
        7: stored.swapaxes(0, 1)[::-1, ::-1],
        8: stored.swapaxes(0, 1)[::-1],
    }[orientation]
    assert got.shape == upright.shape
    np.testing.assert_allclose(got, upright, atol=3)


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_orientation_of_16_bit_pictures(tmp_path: Path, orientation: int) -> None:
    upright = DEEP[..., :3]
    upright = {1: upright, 2: upright[:, ::-1], 6: upright.swapaxes(0, 1)[:, ::-1]}[orientation]
    (tmp_path / "p.tif").write_bytes(tiff16(DEEP[..., :3], orientation=orientation))
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), upright / np.float32(257))
    exif = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    (tmp_path / "p.png").write_bytes(png(DEEP[..., :3], 16, chunk(b"eXIf", exif)))
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), upright / np.float32(257))


# Reading: what cannot be read
