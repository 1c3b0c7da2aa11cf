"""Tools that the paintings share: a plane to draw in, noise, colour ramps, ink, light on paint, brush strokes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]


def plane(size: tuple[int, int], supersample: int = 1) -> tuple[Array, Array]:
    """Give every pixel's centre as (y, x): origin in the middle, y downwards, the shorter side 1 long.

    Shapes placed in these units keep their place in the picture whatever its size.
    """
    height, width = (side * supersample for side in size)
    short = min(height, width)
    y = (np.arange(height) + 0.5 - height / 2) / short
    x = (np.arange(width) + 0.5 - width / 2) / short
    return np.meshgrid(y, x, indexing="ij")


def noise(y: Array, x: Array, rng: np.random.Generator, frequency: float, octaves: int = 1) -> Array:
    """Smooth noise of unit-ish spread: random numbers on a lattice, joined by cubic splines.

    Each further octave has twice the frequency and half the weight of the one before.
    """
    total = np.zeros(np.broadcast(y, x).shape)
    for octave in range(octaves):
        lattice = rng.uniform(-1, 1, (32, 32))
        points = np.broadcast_arrays(y * frequency * 2**octave, x * frequency * 2**octave)
        total += ndimage.map_coordinates(lattice, points, order=3, mode="grid-wrap") / 2**octave
    return total


def colours(*codes: str) -> Array:
    """Turn colours written as "rrggbb" into rows of three numbers between 0 and 1."""
    return np.array([list(bytes.fromhex(code)) for code in codes]) / 255


def ramp(position: Array, stops: Array) -> Array:
    """Look up colours along a ramp of evenly spaced ``stops``, 0 being the first and 1 the last."""
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(position, places, stops[:, channel]) for channel in range(3)], axis=-1)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise from 0 at ``low`` to 1 at ``high`` without a kink at either end."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ink(canvas: Array, coverage: Array, colour: Array) -> None:
    """Lay a colour (one, or one for each pixel) over the canvas where ``coverage`` is above 0, in place."""
    canvas += coverage[..., None] * (colour - canvas)


def light(relief: Array, pixel: float) -> Array:
    """Light a height map from the upper left; flat ground gets 1, slopes facing the lamp more.

    The light is the cosine between the surface's normal (−∂h/∂x, −∂h/∂y, 1) and the direction to the lamp.
    Heights and ``pixel``, the width of one, are in the plane's units.
    """
    slope_y, slope_x = np.gradient(relief, pixel)
    lamp_x, lamp_y, lamp_z = -0.5, -0.6, 0.62
    upright: Array = np.sqrt(1 + slope_x**2 + slope_y**2)
    return (lamp_z - lamp_x * slope_x - lamp_y * slope_y) / (lamp_z * upright)


def finish(canvas: Array, supersample: int = 1) -> Picture:
    """Average the supersampled canvas down to its pixels, the anti-aliasing, and round it to bytes."""
    height, width, _ = canvas.shape
    blocks = canvas.reshape(height // supersample, supersample, width // supersample, supersample, 3)
    pixels: Array = blocks.mean(axis=(1, 3))
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def polygon(y: Array, x: Array, corners: Array) -> Array:
    """Signed distance to a polygon with ``corners`` (y, x), negative inside.

    The distance is to the nearest of the edges; the sign flips at each edge that a ray to the right crosses.
    """
    nearest = np.full(y.shape, np.inf)
    inside = np.zeros(y.shape, bool)
    for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        high, wide = y1 - y0, x1 - x0
        share = np.clip(((y - y0) * high + (x - x0) * wide) / (high**2 + wide**2 + 1e-12), 0, 1)
        np.minimum(nearest, (y - y0 - share * high) ** 2 + (x - x0 - share * wide) ** 2, out=nearest)
        inside ^= ((y0 > y) != (y1 > y)) & (x - x0 < (y - y0) * wide / (high + (high == 0) * 1e-12))
    distance: Array = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def cover(distance: Array, pixel: float) -> Array:
    """Share of each pixel inside a shape, from the signed distance to its edge."""
    return np.clip(0.5 - distance / pixel, 0, 1)


def dots(y: Array, x: Array, tone: Array | float, pitch: float, angle: float) -> Array:
    """Print ``tone`` (0 to 1) as a screen of round dots, ``pitch`` apart, rotated by ``angle`` degrees.

    A dot's area is its tone; dots under 7 % would be specks and are left out.
    """
    pixel = y[1, 0] - y[0, 0]
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    down = (y * cosine + x * sine) / pitch
    right = (x * cosine - y * sine) / pitch
    from_centre = np.hypot(down - np.rint(down), right - np.rint(right)) * pitch
    radius = pitch * np.sqrt(np.clip(tone, 0, 1.6) / np.pi)
    return cover(from_centre - radius, pixel) * (radius > 0.15 * pitch)


def follow(field: tuple[Array, Array], starts: Array, steps: int, step: Array) -> Array:
    """Walk along a direction field from many points at once; the paths are (points, 2·steps + 1, 2).

    Each path runs ``steps`` steps backwards and forwards from its start.  ``field`` is (dy, dx) on a grid of
    pixels, ``starts`` are (y, x) in pixels and ``step`` is each path's step length.
    """
    paths = np.empty((len(starts), 2 * steps + 1, 2))
    paths[:, steps] = starts
    for sign in (-1, 1):
        here = starts
        for k in range(1, steps + 1):
            heading = np.stack([ndimage.map_coordinates(part, here.T, order=1, mode="nearest") for part in field], 1)
            heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
            here = here + sign * step[:, None] * heading
            paths[:, steps + sign * k] = here
    return paths


class Strokes:
    """The uppermost brush stroke at every pixel: which one, and where in it.

    Every stroke is a ribbon around a path; points densely spread over the ribbons are written to the canvas in
    the order the strokes were painted, so the last one stays on top.

    Attributes
    ----------
    stroke : array of int, (H, W)
        The stroke's number, −1 where nothing was painted.
    along, across : arrays, (H, W)
        The place in the stroke, along from 0 to 1 and across from −1 to 1.
    count : int
        How many strokes have been painted.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.stroke = np.full(size, -1, np.int32)
        self.along = np.zeros(size, np.float32)
        self.across = np.zeros(size, np.float32)
        self.count = 0

    def paint(self, paths: Array, width: float, rng: np.random.Generator) -> None:
        """Paint ribbons ``width`` pixels wide along ``paths``, (strokes, points, 2), with ragged ends."""
        length = np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(axis=1).max()
        along = np.linspace(0, 1, int(length / 0.6) + 2)
        across = np.linspace(-1, 1, int(width / 0.6) + 2)
        knots = along * (paths.shape[1] - 1)
        before = np.minimum(knots.astype(int), paths.shape[1] - 2)
        share = (knots - before)[None, :, None]
        # Bristles lift at different places, which frays the two ends of a stroke.
        bristles = np.clip((across + 1) * 6, 0, 12).astype(int)
        frayed = rng.uniform(0, 0.16, (2, len(paths), 13))
        batch = max(1, 1_000_000 // (len(along) * len(across)))  # strokes whose points fit into some 100 MB
        for first in range(0, len(paths), batch):
            part = paths[first : first + batch]
            spine = part[:, before] * (1 - share) + part[:, before + 1] * share
            tangent = np.gradient(spine, axis=1)
            tangent /= np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-9
            normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=2)
            profile = width / 2 * np.sqrt(np.clip(1 - (2 * along - 1) ** 6, 0, 1))
            offset = profile[:, None] * across
            y = np.rint(spine[:, :, None, 0] + normal[:, :, None, 0] * offset).astype(np.int32)
            x = np.rint(spine[:, :, None, 1] + normal[:, :, None, 1] * offset).astype(np.int32)
            set_down, lifted = frayed[:, first : first + batch, None, bristles]
            keep = (along[:, None] >= set_down) & (along[:, None] <= 1 - lifted)
            keep &= (y >= 0) & (y < self.stroke.shape[0]) & (x >= 0) & (x < self.stroke.shape[1])
            number, s, t = np.nonzero(keep)
            target = y[keep], x[keep]
            self.stroke[target] = self.count + first + number
            self.along[target] = along[s]
            self.across[target] = across[t]
        self.count += len(paths)
