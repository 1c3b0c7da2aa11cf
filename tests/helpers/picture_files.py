"""Picture files made by hand, byte by byte where no library writes them."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vggnumpy.errors import InputError
from vggnumpy.images import (
    read_picture,
)

RGB = np.random.default_rng(0).integers(0, 256, (24, 17, 3), np.uint8)
GREY = RGB[..., 0]
DEEP = np.random.default_rng(2).integers(0, 65536, (24, 17, 4), np.uint16)
DEEP[0, 0], DEEP[0, 1], DEEP[0, 2] = 0, 65535, 257


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
