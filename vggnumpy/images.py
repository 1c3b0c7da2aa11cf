"""Pictures in and out: RGB arrays H×W×3, float32, 0–255, rows from the top, EXIF orientation applied.

Reading goes to Pillow, the library behind imageio, directly, because the header (size, bit depth) is wanted before
the pixels; what Pillow does not know is offered to imageio's other readers.  Writing goes through imageio.
Both are imported inside the functions, so that ``import vggnumpy`` stays quick.  Colour profiles are not
applied: the numbers in the file are taken as sRGB.
"""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, atomic_path, check_output, open_input, reason
from vggnumpy.system import available_memory

if TYPE_CHECKING:
    from PIL import Image

MIN_SIDE = 16
"""The smallest height and width of a picture, in pixels: four poolings leave one position."""

_GOOD_SUFFIXES = ".png, .jpg, .tif, .webp or .bmp"
# Where a format's default would cost quality: JPEG at 75 with halved colour, WebP at 80.
_QUALITY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}

# While a picture is read: the float32 result with its alpha (16), Pillow's pixels (4) and one conversion (4).
_BYTES_PER_PIXEL = 24
_BAND = 256  # rows turned into floats at a time, so that no second whole float picture is held


class Picture(NamedTuple):
    """A picture as the network takes it, and its opacity apart.

    Attributes
    ----------
    rgb : ndarray, H×W×3, float32, 0–255
        The colours, composited over white.
    alpha : ndarray, H×W, float32, 0–255, or None
        The opacity, for `write_image` to attach to a result; None for a picture without.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None


def read_image(path: PathLike) -> NDArray[np.float32]:
    """Read a picture's colours, composited over white: `read_picture` without alpha channel, H×W×3 float32."""
    return read_picture(path).rgb


def read_picture(path: PathLike) -> Picture:
    """Read a picture file.

    Any format imageio reads, from 16 pixels a side.  Grey, palette and CMYK become RGB; the first frame of an
    animation or first page of a document is taken; EXIF orientation is applied.  16-bit grey, RGB and RGBA of
    PNG and TIFF keep their precision (65535 becomes 255.0); of others the 8 bits that Pillow gives are taken.

    Raises
    ------
    InputError
        If the file is missing, no picture, damaged, cut short, smaller than 16×16 pixels, too large for the
        memory, or has floating-point or 32-bit pixels (nothing says which value is white).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    with open_input(path) as file, _strict_pillow():
        size = 0, 0
        try:
            picture = Image.open(file)
            if picture.format == "HDF5":  # such as a style file: of the format Pillow knows the name alone
                raise UnidentifiedImageError
            size = picture.size
            _check_header(path, picture)
            tiles = list(getattr(picture, "tile", ()))
            ImageOps.exif_transpose(picture, in_place=True)
            return _collect(path, picture, tiles)
        except UnidentifiedImageError:
            return _read_with_imageio(path, file)
        except InputError:
            raise
        except MemoryError:
            raise _too_large(path, *size) from None
        except Exception as error:  # decoders of damaged files raise whatever the damage leads them to
            raise InputError(f"{path}: the picture is damaged or cut short: {reason(error)}") from error


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a small picture file in memory, H×W×3, as it stores them.

    Raises
    ------
    InputError
        If it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"a picture cannot be decoded: {reason(error)}") from None


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Set Pillow to raise on truncated files, and leave the limit on size to `_check_header`."""
    from PIL import Image, ImageFile

    saved = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata; damaged pixels raise
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = saved


def _check_header(path: PathLike, picture: "Image.Image") -> None:
    """Refuse, before its pixels are decoded, a picture that cannot be used."""
    width, height = picture.size
    _check_side(path, height, width)
    if picture.mode == "F" or (picture.mode == "I" and picture.format != "PPM"):
        kind = "floating-point" if picture.mode == "F" else "32-bit or signed"
        raise InputError(f"{path}: expected 8- or 16-bit pixels, found {kind} ones, whose white is unknown")
    tags = getattr(picture, "tag_v2", {})  # of a TIFF: 258 bits of each sample, 284 colours in separate planes
    if tags.get(284) == 2 and len(tags.get(258, ())) > 1 and tags[258][0] > 8:  # which Pillow takes for 8 bits
        raise InputError(f"{path}: 16-bit TIFF with separate colour planes is not read; save it interleaved")
    if (available := available_memory()) is not None and width * height * _BYTES_PER_PIXEL > available:
        raise _too_large(path, width, height)


def _check_side(path: PathLike, height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        expected = f"expected at least {MIN_SIDE}×{MIN_SIDE} pixels"
        raise InputError(f"{path}: {expected}, found {width}×{height} (width×height); enlarge it first")


def _too_large(path: PathLike, width: int, height: int) -> InputError:
    gigabytes = width * height * _BYTES_PER_PIXEL / 1e9
    needs = f"reading its {width}×{height} pixels needs about {gigabytes:.1f} GB of memory"
    return InputError(f"{path}: {needs}, and that much is not free; scale the picture down first")


def _collect(path: PathLike, picture: "Image.Image", tiles: list[Any]) -> Picture:
    """Turn Pillow's decoded and oriented pixels into float32, band by band."""
    second = _second_bytes(path, tiles)
    if picture.mode.startswith("I"):  # 16-bit grey
        sources, white = [picture], 4095 if _raw_mode(tiles[0]) == "I;12" else 65535
    elif second is not None:
        sources, white = [picture, second], 65535
    else:
        sources, white = [picture.convert("RGBA" if picture.has_transparency_data else "RGB")], 255
    key = None if white == 255 else picture.info.get("transparency")  # the value that means transparent
    width, height = picture.size
    rgb, alpha = np.empty((height, width, 3), np.float32), None
    for top in range(0, height, _BAND):
        rows = slice(top, min(top + _BAND, height))
        box = (0, rows.start, width, rows.stop)
        samples = np.atleast_3d(np.asarray(sources[0].crop(box))).astype(np.float32)
        for source in sources[1:]:
            samples = 256 * samples + np.asarray(source.crop(box))
        rgb[rows], opacity = _composite(samples, white, key)
        if opacity is not None:
            alpha = np.empty((height, width), np.float32) if alpha is None else alpha
            alpha[rows] = opacity
    return Picture(rgb, alpha)


def _composite(
    samples: NDArray[np.float32], white: int, key: int | tuple[int, ...] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Scale h×w×C samples (grey, grey-alpha, RGB or RGBA by C) to 0–255 and put the colours over white."""
    opacity = None
    if key is not None:
        opacity = np.float32(255) * np.any(samples != np.asarray(key, np.float32), axis=-1)
    samples = samples / np.float32(white / 255)  # 16 bits: division by 257, so 65535 is 255 exactly
    if samples.shape[-1] in (2, 4):
        samples, opacity = samples[..., :-1], samples[..., -1]
    if opacity is not None:
        share = opacity[..., None] / np.float32(255)
        samples = samples * share + 255 * (1 - share)
    return samples, opacity


def _raw_mode(tile: Any) -> str:
    """Return how the samples lie in the file, for example "RGB;16B", or "" where the decoder does not say."""
    mode = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
    return mode if isinstance(mode, str) else ""


def _second_bytes(path: PathLike, tiles: list[Any]) -> "Image.Image | None":
    """Decode the second bytes of 16-bit colours; None for other pictures.

    Pillow keeps the first byte of each 16-bit sample of a colour picture and drops the second.  Declaring the
    opposite byte order to its decoder makes it keep the second and drop the first.
    """
    from PIL import Image, ImageOps

    opposite = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
    swapped: list[Any] = []
    for tile in tiles:
        channels, _, order = _raw_mode(tile).partition(";")
        if channels not in ("RGB", "RGBA", "RGBX") or order not in opposite:
            return None
        mode = f"{channels};{opposite[order]}"
        arguments = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
        swapped.append(getattr(tile, "_make", tuple)((*tile[:3], arguments)))
    if not swapped:
        return None
    with open_input(path) as file:
        second = Image.open(file)
        second.tile = swapped
        ImageOps.exif_transpose(second, in_place=True)
    return second


def _read_with_imageio(path: PathLike, file: io.BufferedReader) -> Picture:
    """Read what Pillow does not know by whatever other reader imageio finds installed."""
    import imageio.v3 as iio

    try:
        file.seek(0)
        pixels = np.asarray(iio.imread(file, index=0, extension=Path(path).suffix))
    except Exception:  # each reader refuses in its own way
        raise InputError(f"{path}: expected a picture, found nothing any reader knows; try {_GOOD_SUFFIXES}") from None
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        found = f"an array of shape {pixels.shape} and type {pixels.dtype}"
        raise InputError(f"{path}: expected 8- or 16-bit pixels in 1 to 4 channels, found {found}")
    _check_side(path, *pixels.shape[:2])
    samples, opacity = _composite(np.atleast_3d(pixels).astype(np.float32), np.iinfo(pixels.dtype).max)
    return Picture(np.broadcast_to(samples, (*samples.shape[:2], 3)).copy(), opacity)


def fit_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return the (height, width) with the same aspect whose longer side is ``long_side``, rounded to pixels.

    Raises InputError if the shorter side would fall under 16 pixels.

    Examples
    --------
    >>> fit_size(600, 800, 400)
    (300, 400)
    """
    longer = max(height, width)
    size = (2 * height * long_side + longer) // (2 * longer), (2 * width * long_side + longer) // (2 * longer)
    if min(size) < MIN_SIDE:
        raise InputError(
            f"long side {long_side}: a picture of {width}×{height} pixels (width×height) would become "
            f"{size[1]}×{size[0]}, and each side needs at least {MIN_SIDE}; ask for a longer side"
        )
    return size


def resize(image: ArrayLike, size: tuple[int, int]) -> NDArray[np.floating[Any]]:
    """Resample an image, antialiased, in floating point.

    Each channel goes through Pillow's 32-bit float resampling: bicubic when no side shrinks, otherwise Lanczos.
    Both overshoot beside sharp edges; nothing is clipped or rounded.

    Parameters
    ----------
    image : array_like, H×W or H×W×C
        Any real numbers; an empty array or another shape raises InputError.
    size : (int, int)
        The new height and width; InputError if not positive.

    Returns
    -------
    ndarray, height×width or height×width×C
        float32; float64 for a float64 image, whose values have passed through float32.
    """
    from PIL import Image

    image = np.asarray(image)
    height, width = size
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise InputError(f"image: expected an array H×W or H×W×C that is not empty, found shape {image.shape}")
    if height < 1 or width < 1:
        raise InputError(f"size: expected a positive height and width, found {height} and {width}")
    grows = height >= image.shape[0] and width >= image.shape[1]
    method = Image.Resampling.BICUBIC if grows else Image.Resampling.LANCZOS
    channels = np.atleast_3d(image)
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    result = np.empty((height, width, channels.shape[2]), dtype)
    for channel in range(channels.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(channels[..., channel], np.float32))
        result[..., channel] = np.asarray(plane.resize((width, height), method))
    return result[..., 0] if image.ndim == 2 else result


def to_uint8(image: ArrayLike) -> NDArray[np.uint8]:
    """Clamp to 0–255 and round to integers, halves to the even one; raises InputError if there are NaNs.

    Examples
    --------
    >>> to_uint8([-3.0, 0.5, 1.5, 254.6, 300.0])
    array([  0,   0,   2, 255, 255], dtype=uint8)
    """
    image = np.asarray(image)
    if count := np.count_nonzero(np.isnan(image)):
        raise InputError(f"image: expected numbers, found {count} of {image.size} values that are not (NaN)")
    clamped: NDArray[Any] = np.clip(image, 0, 255)
    return np.asarray(np.rint(clamped), np.uint8)


def write_image(path: PathLike, image: ArrayLike, alpha: ArrayLike | None = None) -> None:
    """Write a picture file, whole or not at all.

    The suffix chooses the format.  JPEG is written at quality 95 with full colour resolution, WebP at quality
    95, the rest as their formats' defaults, which for PNG, TIFF and BMP keep every byte.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write or replace.
    image : array_like, H×W×3
        RGB, 0–255, any real type; clamped and rounded by `to_uint8`.
    alpha : array_like, H×W, optional
        The opacity, 0–255; left out where the format has no alpha channel (`keeps_alpha`).

    Raises
    ------
    InputError
        As `check_writable_image`; if the shapes are wrong, or the format cannot hold the picture (its size).
    """
    pixels = to_uint8(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError(f"image: expected an RGB array H×W×3, found shape {pixels.shape}")
    if alpha is not None and np.shape(alpha) != pixels.shape[:2]:
        raise InputError(f"alpha: expected the image's shape {pixels.shape[:2]}, found {np.shape(alpha)}")
    check_writable_image(path)
    if alpha is not None and keeps_alpha(path):
        pixels = np.dstack([pixels, to_uint8(alpha)])
    try:
        encoded = encode(pixels, Path(path).suffix)
    except Exception as error:  # encoders refuse sizes with whatever exception they like
        raise InputError(f"{path}: the picture cannot be written in this format: {reason(error)}") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def check_writable_image(path: PathLike) -> None:
    """Check, before any long work, that a picture can be written at this path in the format of its suffix.

    Raises InputError if the suffix names no format that can be written and read back at the same size, or as
    `vggnumpy.files.check_output`.
    """
    suffix = Path(path).suffix
    if _round_trip(suffix, channels=3) is None:
        found = suffix or "no suffix"
        raise InputError(f"{path}: expected the suffix of a format to write, found {found}; use {_GOOD_SUFFIXES}")
    check_output(path)


def keeps_alpha(path: PathLike) -> bool:
    """Tell whether the format of this path's suffix holds an alpha channel (PNG does, JPEG does not)."""
    return _round_trip(Path(path).suffix, channels=4) == "RGBA"


def _round_trip(suffix: str, channels: int) -> str | None:
    """Encode a small picture and decode it again: its mode, RGB or RGBA; None if that fails.

    Knowing the suffix is not enough: codecs may be missing, write only (PDF) or shrink pictures (ICO).
    """
    from PIL import Image

    size = (320, MIN_SIDE)
    try:
        encoded = encode(np.full((size[1], size[0], channels), 127, np.uint8), suffix)
        picture = Image.open(io.BytesIO(encoded))
        picture.load()
    except Exception:  # the codec says no, in whatever way
        return None
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return mode if picture.size == size else None


def encode(pixels: NDArray[np.uint8], suffix: str, **more: Any) -> bytes:
    """Encode H×W×3 or H×W×4, or N×H×W×3 as an animation, by suffix; raises whatever the encoder raises."""
    import imageio.v3 as iio
    from PIL import Image

    suffix = suffix.lower()
    Image.init()  # fills the table of suffixes
    options = _QUALITY.get(Image.registered_extensions().get(suffix, ""), {}) | more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks of encoders; what matters raises
        batch = pixels.ndim == 4
        encoded = iio.imwrite("<bytes>", pixels, plugin="pillow", extension=suffix, is_batch=batch, **options)
    return bytes(encoded)
