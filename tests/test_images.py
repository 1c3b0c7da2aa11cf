"""Pictures: every format and kind of pixel in, 8 bits out, and one sentence for everything else."""

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
from PIL import Image, ImageFile, ImageOps

import vggnumpy
from vggnumpy import images
from vggnumpy.errors import InputError
from vggnumpy.images import (
    check_writable_image,
    fit_size,
    keeps_alpha,
    read_image,
    read_picture,
    resize,
    to_uint8,
    write_image,
)

RGB = np.random.default_rng(0).integers(0, 256, (24, 17, 3), np.uint8)
GREY = RGB[..., 0]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray, bits: int, more: bytes = b"") -> bytes:
    """Encode H×W×C samples of 8 or 16 bits by hand: Pillow writes no 16-bit colours."""
    height, width, channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(
    samples: np.ndarray,
    order: str = "<",
    rows_per_strip: int = 7,
    planar: bool = False,
    compressed: bool = False,
    orientation: int = 1,
) -> bytes:
    """Encode H×W×3 samples as a 16-bit TIFF by hand, in byte order "<" or ">"."""
    height, width, _ = samples.shape
    planes = [samples[..., c] for c in range(3)] if planar else [samples]
    data = b""
    offsets, counts = [], []
    for plane in planes:
        for top in range(0, height, rows_per_strip):
            strip = plane[top : top + rows_per_strip].astype(f"{order}u2").tobytes()
            strip = zlib.compress(strip) if compressed else strip
            offsets.append(8 + len(data))
            counts.append(len(strip))
            data += strip

    def put(*values: int) -> int:
        nonlocal data
        data += struct.pack(f"{order}{len(values)}I", *values)
        return 8 + len(data) - 4 * len(values)

    bits = 8 + len(data)
    data += struct.pack(f"{order}4H", 16, 16, 16, 0)
    at_offsets, at_counts = put(*offsets), put(*counts)
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, bits),
        (259, 3, 1, 8 if compressed else 1),
        (262, 3, 1, 2),
        (273, 4, len(offsets), at_offsets if len(offsets) > 1 else offsets[0]),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 4, 1, rows_per_strip),
        (279, 4, len(counts), at_counts if len(counts) > 1 else counts[0]),
        (284, 3, 1, 2 if planar else 1),
    ]
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        directory += struct.pack(f"{order}HHI", tag, kind, count)
        directory += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    first = b"II*\0" if order == "<" else b"MM\0*"
    return first + struct.pack(f"{order}I", 8 + len(data)) + data + directory + b"\0\0\0\0"


def save(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def refusal(path: Path) -> str:
    """Return the one sentence with which reading fails."""
    with pytest.raises(InputError) as caught:
        read_picture(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


# Reading: kinds of pixels


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

DEEP = np.random.default_rng(2).integers(0, 65536, (24, 17, 4), np.uint16)
DEEP[0, 0], DEEP[0, 1], DEEP[0, 2] = 0, 65535, 257


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
    monkeypatch.setattr(images, "_available_memory", lambda: 47_999_999)
    assert "reading its 1000×2000 pixels needs about 0.0 GB" in refusal(path)
    monkeypatch.setattr(images, "_available_memory", lambda: 48_000_000)
    assert read_image(path).shape == (2000, 1000, 3)
    monkeypatch.setattr(images, "_available_memory", lambda: None)
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
    images._available_memory = lambda: None
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
