r"""CIELAB and YIQ from sRGB and back: distances between colours as the eye sees them, and brightness apart from colour.

Pillow (LittleCMS) has the conversion too, but in 8 bits a channel, for the white of print, and not back from floats:
a* and b* come in whole steps.  SciPy has none.  So the definition is written out here, in floating point.

    c = v / 255                       v the pixel, 0–255
    linear = c / 12.92  where c ≤ 0.04045,   ((c + 0.055) / 1.055)^2.4 elsewhere                        (IEC 61966-2-1)
    XYZ = T · linear                  T from the primaries and the white below
    f(t) = ∛t  where t > (6/29)³,   t / (3 (6/29)²) + 4/29 elsewhere                                     (CIE 15)
    L* = 116 f(Y/Yn) − 16,   a* = 500 (f(X/Xn) − f(Y/Yn)),   b* = 200 (f(Y/Yn) − f(Z/Zn))

T: column i is a multiple of the XYZ of primary i, (x/y, 1, (1−x−y)/y) from its chromaticity, and the three multiples
are those for which the columns add up to the white.  XYZ is divided by the white, so a grey has a* = b* = 0.

And YIQ, the space of American colour television, a matrix away from R'G'B' as the file has them (ITU-R BT.470, NTSC):

    Y = 0.299 R + 0.587 G + 0.114 B,    I = 0.74 (R − Y) − 0.27 (B − Y),    Q = 0.48 (R − Y) + 0.41 (B − Y)

Y is in grey levels, 0–255, and a grey has I = Q = 0.  It knows nothing of how the eye sees: steps of one length are not
seen as equally long.  It is what Gatys et al. separate brightness from colour with, and it is quick.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vggnumpy.errors import InputError

_PRIMARIES = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])  # x, y of red, green and blue
_WHITE = np.array([0.3127, 0.3290])  # D65


def _xyz(chromaticity: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = chromaticity[..., 0], chromaticity[..., 1]
    return np.stack([x / y, np.ones_like(x), (1 - x - y) / y])


# Linear RGB → XYZ relative to the white.
_TO_XYZ = _xyz(_PRIMARIES) * np.linalg.solve(_xyz(_PRIMARIES), _xyz(_WHITE)) / _xyz(_WHITE)[:, None]
_BEND = 6 / 29  # f's cube root begins at the cube of this
_LUMA = np.array([0.299, 0.587, 0.114])
_IQ = np.array([[0.74, -0.27], [0.48, 0.41]]) @ (np.eye(3)[[0, 2]] - _LUMA)  # of R − Y and B − Y
_TO_YIQ = np.vstack([_LUMA, _IQ])


def srgb_to_lab(rgb: ArrayLike) -> NDArray[np.floating]:
    """Convert sRGB to CIELAB (white D65).

    Parameters
    ----------
    rgb : array_like, …×3
        RGB, 0–255; values outside are taken as they are, negative ones on the linear piece.

    Returns
    -------
    ndarray, …×3
        L* (0–100), a*, b*; float32 for float32, else float64.

    Raises
    ------
    InputError
        If the last axis has not three entries.

    Examples
    --------
    >>> srgb_to_lab([255, 0, 0]).round(1)
    array([53.2, 80.1, 67.2])
    """
    values, dtype = _triples(rgb, "sRGB")
    values = values / dtype.type(255)
    curved = ((np.maximum(values, 0) + dtype.type(0.055)) / dtype.type(1.055)) ** dtype.type(2.4)
    linear = np.where(values <= 0.04045, values / dtype.type(12.92), curved)
    xyz = linear @ _TO_XYZ.T.astype(dtype)
    f = np.where(xyz > _BEND**3, np.cbrt(xyz), xyz / dtype.type(3 * _BEND**2) + dtype.type(4 / 29))
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_srgb(lab: ArrayLike) -> NDArray[np.floating]:
    """Convert CIELAB (white D65) to sRGB; the inverse of `srgb_to_lab`.

    Parameters
    ----------
    lab : array_like, …×3
        L*, a*, b*.

    Returns
    -------
    ndarray, …×3
        RGB, 0–255 for colours that sRGB has, outside for others, nothing is clipped; float32 for float32, else
        float64.

    Raises
    ------
    InputError
        If the last axis has not three entries.

    Examples
    --------
    >>> lab_to_srgb([53.5850, 0.0, 0.0]).round(2)
    array([128., 128., 128.])
    """
    values, dtype = _triples(lab, "Lab")
    y = (values[..., 0] + 16) / 116
    f = np.stack([y + values[..., 1] / 500, y, y - values[..., 2] / 200], axis=-1)
    xyz = np.where(f > _BEND, f**3, (f - dtype.type(4 / 29)) * dtype.type(3 * _BEND**2))
    linear = xyz @ np.linalg.inv(_TO_XYZ).T.astype(dtype)
    curved = dtype.type(1.055) * np.maximum(linear, 0) ** dtype.type(1 / 2.4) - dtype.type(0.055)
    rgb: NDArray[np.floating] = np.where(linear <= 0.04045 / 12.92, linear * dtype.type(12.92), curved) * 255
    return rgb


def srgb_to_yiq(rgb: ArrayLike) -> NDArray[np.floating]:
    """Convert RGB to YIQ.

    Parameters
    ----------
    rgb : array_like, …×3
        RGB, 0–255; values outside are taken as they are.

    Returns
    -------
    ndarray, …×3
        Y (0–255), I, Q, in grey levels; float32 for float32, else float64.

    Raises
    ------
    InputError
        If the last axis has not three entries.

    Examples
    --------
    >>> srgb_to_yiq([255, 0, 0]).round(1)
    array([ 76.2, 152.9,  54.5])
    """
    values, dtype = _triples(rgb, "RGB")
    yiq: NDArray[np.floating] = values @ _TO_YIQ.T.astype(dtype)
    return yiq


def yiq_to_srgb(yiq: ArrayLike) -> NDArray[np.floating]:
    """Convert YIQ to RGB; the inverse of `srgb_to_yiq`, nothing is clipped.

    Parameters
    ----------
    yiq : array_like, …×3
        Y, I, Q.

    Returns
    -------
    ndarray, …×3
        RGB, 0–255 for colours that RGB has, outside for others; float32 for float32, else float64.

    Raises
    ------
    InputError
        If the last axis has not three entries.

    Examples
    --------
    >>> yiq_to_srgb([128, 0, 0]).round(6)
    array([128., 128., 128.])
    """
    values, dtype = _triples(yiq, "YIQ")
    rgb: NDArray[np.floating] = values @ np.linalg.inv(_TO_YIQ).T.astype(dtype)
    return rgb


def _triples(values: ArrayLike, what: str) -> tuple[NDArray[Any], np.dtype[Any]]:
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise InputError(f"expected {what} colours, three numbers each along the last axis, found shape {array.shape}")
    dtype = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    return array.astype(dtype), dtype
