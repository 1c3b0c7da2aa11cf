r"""A landscape as a camera would see it: the demo picture that has a sky and a ground.

matplotlib ships a model of real terrain among its sample data, the heights of the mountains along the Jacksboro fault
in Tennessee, 344 × 403 of them.  `demo_landscape` photographs it.  A ray leaves the camera for every column of the
picture.  At distance d along it the ground of height h appears at the row

    horizon + f (h_camera − h) / d                                                                     (1)

and hides what is farther and lower: the ground that is seen in a row is the nearest whose row (1) is not below it.
Seen ground is green or brown, by its slope, speckled with woods, lit by a sun from the left, and the bluer the farther
it is.  Rows in which no ground is seen are sky: so there is an exact mask too.

The camera is there in every season and in the evening (`SEASONS`): any two of its pictures agree place by place.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vggnumpy.canvas import Array, Picture, colours, finish, ink, noise, ramp, smoothstep
from vggnumpy.errors import InputError

SIZE = (480, 640)
_FINE = 2  # rays for a pixel, each way
_ACROSS, _DOWN = 74.5, 92.7  # metres from one height of the model to the next, east and south
_RELIEF = 2.5  # times as high as they are; a mountain before one's eyes seems so
_CAMERA = np.array([23800.0, 17800.0, 1750.0])  # metres east, south and up
_BEARING = np.radians(-92)  # of the view, from north to the east
_FIRST, _STEP, _STEPS = 500.0, 1.003, 1300  # metres to the first place looked at, from one to the next times, how many


class Season(NamedTuple):
    """What is different on the same mountains: colours, from near the horizon up, or from shade to light; and light.

    Attributes
    ----------
    sky, crops, forest : ndarray, n×3
        Stops of colour ramps.
    haze, light : ndarray, 3
        The colour of the distance, and that of the sun, which multiplies the ground's.
    sun : tuple of float
        Where the sun is: east, south, up.
    """

    sky: Array
    crops: Array
    forest: Array
    haze: Array
    light: Array
    sun: tuple[float, float, float]


SEASONS = {
    "summer": Season(
        colours("dfe9ee", "b4d0e6", "7fb0dc", "4f8dcb", "3675bd"),
        colours("8f9b4e", "b9ae62", "a9b45c", "c6b777"),
        colours("20361c", "35512a", "4c6b34", "6a7f3e"),
        colours("a9c0d6")[0],
        np.ones(3),
        (-0.15, 0.75, 0.62),
    ),
    "autumn": Season(
        colours("f0ece2", "d3dde2", "a6c2d8", "7fa6cb", "6690bd"),
        colours("b89a55", "a8844a", "c9a765", "8f8a4a"),
        colours("4a2414", "9c431b", "cf7a22", "e2b23c"),
        colours("c8c3c0")[0],
        np.array([1.08, 1.0, 0.88]),
        (-0.15, 0.75, 0.62),
    ),
    "winter": Season(
        colours("eef0f2", "dde3e9", "c3ced9", "a9b9c9", "98abbf"),
        colours("e9eef5", "f7f9fc", "dfe6ef", "f2f5f9"),
        colours("4b4a4d", "85868c", "c6ccd6", "eef2f8"),
        colours("d3dbe4")[0],
        np.array([0.97, 1.0, 1.05]),
        (-0.15, 0.75, 0.62),
    ),
    "evening": Season(
        colours("fbd98f", "f4ac6a", "d67f73", "8a6590", "474a86"),
        colours("8f9b4e", "b9ae62", "a9b45c", "c6b777"),
        colours("20361c", "35512a", "4c6b34", "6a7f3e"),
        colours("c08b86")[0],
        np.array([1.05, 0.66, 0.52]),
        (-0.55, 0.75, 0.3),
    ),
}


def demo_landscape(size: tuple[int, int] = SIZE, season: str = "summer") -> tuple[Picture, NDArray[np.bool_]]:
    """Photograph the mountains along the Jacksboro fault.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    season : str
        One of `SEASONS`.

    Returns
    -------
    picture : ndarray, H×W×3, uint8
    ground : ndarray of bool, H×W
        Where there is ground; the rest is sky.

    Raises
    ------
    InputError
        If the season is unknown, or this installation of matplotlib came without the model.
    """
    if season not in SEASONS:
        raise InputError(f"season {season!r}: expected one of {', '.join(SEASONS)}")
    look = SEASONS[season]
    rng = np.random.default_rng(2)
    height, width = size[0] * _FINE, size[1] * _FINE
    heights = _heights()
    focal, horizon = 1.1 * max(height, width), 0.5 * height
    aside = np.arctan((np.arange(width) + 0.5 - width / 2) / focal)
    distance = _FIRST * _STEP ** np.arange(_STEPS)[:, None] / np.cos(aside)
    east = _CAMERA[0] + distance * np.sin(_BEARING + aside)
    south = _CAMERA[1] - distance * np.cos(_BEARING + aside)
    surface = ndimage.map_coordinates(heights, (south / _DOWN, east / _ACROSS), order=1, mode="nearest")
    rows = horizon + focal * (_CAMERA[2] - surface) / (distance * np.cos(aside))
    skyline = np.minimum.accumulate(rows, axis=0)
    ground = np.arange(height)[:, None] >= skyline[-1]
    step = np.stack([np.searchsorted(-column, -np.arange(height)) for column in skyline.T], axis=1)
    seen = np.minimum(step, _STEPS - 1), np.arange(width)
    canvas = _sky(height, width, horizon, look, rng)
    canvas[ground] = _ground(heights, east[seen], south[seen], distance[seen], look, rng)[ground]
    return finish(canvas, _FINE), ground.reshape(size[0], _FINE, size[1], _FINE).mean(axis=(1, 3)) >= 0.5


def _heights() -> Array:
    """Return the model's heights in metres, as they seem, from north to south and west to east."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "sample_data" / "jacksboro_fault_dem.npz"
    if not path.is_file():
        raise InputError(
            f"the model of the demo landscape {path} is missing from this installation of matplotlib; give pictures of "
            "your own"
        )
    with np.load(path) as model:
        heights: Array = _RELIEF * ndimage.gaussian_filter(model["elevation"].astype(float), 0.7)
    return heights


def _sky(height: int, width: int, horizon: float, look: Season, rng: np.random.Generator) -> Array:
    """Return a clear sky, paler towards the horizon, with clouds that get flatter and smaller towards it."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    above = np.maximum(horizon / max(height, width) - y, 0) + 0.12
    sky = ramp(above / 0.5, look.sky)
    cloud = noise(0.55 / above, x / above * 0.35, rng, 1.9, 5)
    ink(sky, 0.85 * smoothstep(0.15, 1.1, cloud), 0.5 * colours("fbfbf8")[0] + 0.5 * look.sky[0])
    return sky


def _ground(
    heights: Array, east: Array, south: Array, distance: Array, look: Season, rng: np.random.Generator
) -> Array:
    """Return the colour of the ground at places and distances from the camera."""
    row, column = np.mgrid[: heights.shape[0], : heights.shape[1]]
    rough = heights + 12 * noise(row, column, rng, 0.35, 2)
    down, right = np.gradient(rough, _DOWN, _ACROSS)
    place = south / _DOWN, east / _ACROSS
    down, right, up = (ndimage.map_coordinates(a, place, order=1, mode="nearest") for a in (down, right, heights))
    lamp = np.array(look.sun)
    lit = np.clip(
        (lamp[2] - lamp[0] * right - lamp[1] * down) / np.sqrt(1 + down**2 + right**2) / np.linalg.norm(lamp), 0, None
    )
    woods = noise(south / 700, east / 700, rng, 1.0, 2)
    trees = noise(south / 60, east / 60, rng, 1.0, 4)
    fields = ramp(0.5 + 0.45 * noise(south / 900, east / 900, rng, 1.0), look.crops)
    forest = ramp(0.5 + 0.5 * trees, look.forest)
    covered = smoothstep(-0.3, 0.1, woods + smoothstep(600, 1000, up) + 2 * np.hypot(down, right) - 0.7)
    ground = fields * (0.9 + 0.1 * trees[..., None])
    ink(ground, covered, forest)
    ground *= (0.35 + 0.85 * lit)[..., None] * look.light
    ink(ground, 1 - np.exp(-distance / 26000), look.haze)
    return ground
