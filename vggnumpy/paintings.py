"""Four paintings made by programs, the style pictures that come with the package.

Each is a function of a size and a seed: the same two give the same bytes, another seed another picture of the
same kind.  Nothing is loaded and nothing is traced; noise, distances and geometry do all of it.
"""

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from vggnumpy.canvas import (
    Array,
    Labels,
    Picture,
    Strokes,
    colours,
    cover,
    dots,
    finish,
    follow,
    ink,
    light,
    noise,
    plane,
    polygon,
    smoothstep,
)
from vggnumpy.errors import InputError
from vggnumpy.sketches import (
    EMERALD,
    GOLD,
    ORANGE,
    PINK,
    SKY,
    VIOLET,
    burst,
    evening,
    lips,
    rose,
)

Inexact = npt.NDArray[np.floating[Any]]
Seed = int | np.random.Generator
SIZE = (768, 768)


def flow_field(size: tuple[int, int] = SIZE, rng: Seed = 0) -> Picture:
    """Paint an evening sky in oil: brush strokes that follow a swirling flow, in relief.

    A rough colour sketch and a direction field come first (`evening`).  Four layers of strokes, coarse to
    fine, then run along the field; each takes the sketch's colour where it starts, a little off, as paint mixed
    by hand is.  Every stroke has 14 bristles that carry more or less paint.  The paint's height (bristles,
    ridges at the sides, lumps at the ends) is lit from the upper left, which makes it look thick.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    rng : int or numpy.random.Generator
        The seed.

    Returns
    -------
    uint8 array, (height, width, 3)
    """
    rng = np.random.default_rng(rng)
    fine = 2
    y, x = plane(size)
    pixel = (y[1, 0] - y[0, 0]) / fine
    sketch, field = evening(y, x, rng)
    down, right = (ndimage.zoom(part, fine, order=1) for part in field)
    strokes = Strokes((size[0] * fine, size[1] * fine))
    mixed = []
    # Width of the brush, and how many times over its strokes would cover the canvas.
    for width, layers in ((0.05, 2.5), (0.03, 2.5), (0.019, 2.5), (0.012, 1.0)):
        length = 7 * width
        count = int(layers * y.size / min(size) ** 2 / (width * length))
        starts = rng.uniform(0, 1, (count, 2)) * strokes.stroke.shape
        steps = 8
        step = rng.uniform(0.6, 1.3, count) * length / pixel / (2 * steps)
        strokes.paint(follow((down, right), starts, steps, step), width / pixel, rng)
        row, column = (starts / fine).astype(int).T
        mixed.append(sketch[row, column] * rng.normal(1, 0.1, (count, 1)) + rng.normal(0, 0.03, (count, 3)))
    paint = np.concatenate(mixed)

    # Shade every pixel by its place in its stroke: between two bristles, near a side, near an end.
    bristles = rng.normal(0, 1, (len(paint), 14))
    place = (strokes.across + 1) * 6.49
    left = place.astype(int)
    share = smoothstep(0, 1, place - left)
    hair = bristles[strokes.stroke, left] * (1 - share) + bristles[strokes.stroke, left + 1] * share
    canvas = paint[strokes.stroke] * (1 + 0.07 * hair[..., None])
    # The few gaps show the underpainting.
    ground = ndimage.zoom(sketch, (fine, fine, 1), order=1)
    bare = strokes.stroke < 0
    canvas[bare] = 0.8 * ground[bare]

    load = 1.1 * np.abs(strokes.across) ** 3 + 1.2 * np.abs(2 * strokes.along - 1) ** 4 + 0.5 * hair
    load += rng.uniform(0, 1.5, len(paint))[strokes.stroke]
    shine = light(0.00042 * ndimage.gaussian_filter(load, 0.8), pixel)
    canvas *= (0.3 + 0.7 * shine)[..., None]
    # Wet ridges that face the lamp glint.
    canvas += 0.15 * np.clip(shine - 1.1, 0, 1)[..., None]
    return finish(canvas, fine)


RED, DARK_RED, YELLOW, CYAN, BLUE, CREAM, BLACK = colours(
    "e4202c", "7d0f2b", "ffd500", "29b6e8", "1746a2", "fff4d6", "17120f"
)


def halftone(size: tuple[int, int] = SIZE, rng: Seed = 0) -> Picture:
    """Print a pop-art burst: flat shapes in thick outlines, shaded with screens of Ben-Day dots.

    Every shape is a signed distance (negative inside), which gives three things: the fill where it is below
    0, the outline where it is below the line's width, and edges smooth to a fraction of a pixel.  A black copy
    moved to the lower right makes the outline swell on that side, as a brush would.  A tone is printed as dots
    whose area is the tone; each ink has its own screen angle, so that screens never fall into step.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    rng : int or numpy.random.Generator
        The seed.

    Returns
    -------
    uint8 array, (height, width, 3)
    """
    rng = np.random.default_rng(rng)
    y, x = plane(size)
    pixel = y[1, 0] - y[0, 0]
    radius = np.hypot(y, x)
    canvas = np.broadcast_to(CREAM, (*size, 3)).copy()

    def outlined(shape: Callable[[Array, Array], Array], line: float, shadow: float) -> Array:
        """Draw a shape's shadow and outline and return the coverage of what is within them."""
        ink(canvas, cover(shape(y - shadow, x - 0.85 * shadow) - line / 2, pixel), BLACK)
        distance = shape(y, x)
        ink(canvas, cover(distance - line, pixel), BLACK)
        return cover(distance, pixel)

    # Rays: (share of a turn from the nearest ray's middle − its half width) × arc length.
    rays = 18
    swing = np.arctan2(y, x) * rays / (2 * np.pi) + 0.1
    from_ray = (np.abs(swing - np.rint(swing)) - 0.25) / rays * 2 * np.pi * radius
    ray = cover(from_ray, pixel)
    ink(canvas, (1 - ray) * dots(y, x, 0.1 + 1.1 * (radius - 0.25), 0.0205, 15), RED)
    ink(canvas, ray, CYAN)
    ink(canvas, ray * dots(y, x, 1.5 * (radius - 0.36), 0.0205, 45), BLUE)
    ink(canvas, cover(np.abs(from_ray) - 0.0022, pixel), BLACK)

    for turn in np.linspace(0, 2 * np.pi, 15, endpoint=False):
        around, far, puffy = turn + rng.normal(0, 0.06), rng.uniform(0.31, 0.37), rng.uniform(0.075, 0.11)
        cy, cx = far * np.sin(around), far * np.cos(around)
        puff = outlined(partial(_disc, cy=cy, cx=cx, radius=puffy), 0.006, 0.012)
        ink(canvas, puff, CREAM)
        shade = smoothstep(-0.9, 1.5, (y - cy + x - cx) / puffy)
        ink(canvas, puff * dots(y, x, 0.6 * shade, 0.016, 75), CYAN)

    flames = burst(17, 0.27, 0.43, rng)
    flame = outlined(partial(polygon, corners=flames), 0.008, 0.014)
    ink(canvas, flame, YELLOW)
    ink(canvas, flame * dots(y, x, 3.4 * (radius - 0.22), 0.018, 30), RED)
    flashes = burst(15, 0.215, 0.30, rng)
    flash = outlined(partial(polygon, corners=flashes), 0.005, 0.008)
    ink(canvas, flash, CREAM)
    ink(canvas, flash * dots(y, x, 0.1 + 1.5 * (radius - 0.02), 0.016, 60), YELLOW)

    v, u = y / 0.19, x / 0.19  # in half widths of the mouth
    whole, opening, teeth = lips()
    mouth = outlined(partial(polygon, corners=whole), 0.006, 0.009)
    ink(canvas, mouth, RED)
    ink(canvas, mouth * dots(y, x, 0.9 * smoothstep(0.05, 0.7, v + 0.3 * u), 0.0115, 45), DARK_RED)
    ink(canvas, cover(polygon(y, x, opening) - 0.004, pixel), BLACK)
    between = np.abs(u - 0.17 * np.rint(u / 0.17)) * 0.19 - 0.0008
    ink(canvas, cover(polygon(y, x, teeth) + 0.002, pixel) * (1 - 0.7 * cover(between, pixel)), CREAM)
    for cy, cx, high, wide in ((0.36, -0.42, 0.05, 0.2), (0.44, -0.1, 0.05, 0.08), (-0.27, -0.45, 0.045, 0.17)):
        tilt = 0.3 * (u - cx) * np.sign(cy)
        ink(canvas, cover((np.hypot((u - cx) / wide, (v - cy - tilt) / high) - 1) * high * 0.19, pixel), CREAM)
    return finish(canvas)


def _disc(y: Array, x: Array, cy: float, cx: float, radius: float) -> Array:
    """Signed distance to a circle, negative inside."""
    return np.hypot(y - cy, x - cx) - radius


GLASS = colours("d0102c", "1040b8", "ffae00", "0c8f5c", "6f22b0", "1fa8de", "ff6a14", "ffedb0", "e0307e", "0a2480")
# The colour that each glass has streaks of.
SECOND = np.array([ORANGE, SKY, ORANGE, SKY, PINK, EMERALD, GOLD, GOLD, VIOLET, VIOLET])


def stained_glass(size: tuple[int, int] = SIZE, rng: Seed = 0) -> Picture:
    """Glaze a rose window: panes of streaky coloured glass in round lead, with light behind it.

    `rose` numbers the panes and the parts (petals, medallions, rings) they belong to.  The distance to the
    nearest border of either, an exact Euclidean distance transform, shapes the lead: a half-round bar, thick
    around the parts and thin around the panes, lit from the upper left.  Each pane has its own streaks (noise
    stretched along its own direction), its own shade, and a second colour that the streaks run into.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    rng : int or numpy.random.Generator
        The seed.

    Returns
    -------
    uint8 array, (height, width, 3)
    """
    rng = np.random.default_rng(rng)
    fine = 2
    y, x = plane(size, fine)
    pixel = y[1, 0] - y[0, 0]
    part, pane, hue = rose(y, x, rng)
    to_pane, to_part = _to_border(pane) * pixel, _to_border(part) * pixel

    # A pane's own grain direction, and its own place in the noise.
    number = pane.astype(int)
    panes = number.max() + 1
    grain = rng.uniform(0, np.pi, panes)[number]
    shift = rng.uniform(0, 32, (2, panes))[:, number]
    along, across = y * np.cos(grain) + x * np.sin(grain), x * np.cos(grain) - y * np.sin(grain)
    streaks = noise(along * 5 + shift[0], across * 24 + shift[1], rng, 1.0, 3)
    clouds = noise(along * 9 + shift[1], across * 16 + shift[0], rng, 1.0)
    base = GLASS[hue] + rng.normal(0, 0.04, (panes, 3))[number]
    ink(base, 0.55 * smoothstep(0, 0.8, clouds), GLASS[SECOND[hue]])
    # Dark to pure colour up to 0.6, from there on towards the light behind; then the ripple of the surface.
    value = 0.57 + 0.36 * streaks + rng.normal(0, 0.07, panes)[number] + 2 * np.clip(to_pane, 0, 0.04)
    value = np.clip(value, 0, 1)[..., None]
    glass = np.clip(base, 0, 1) * (0.3 + 1.25 * np.minimum(value, 0.6))
    glass += (colours("fff6d8")[0] - glass) * 0.9 * np.maximum(value - 0.6, 0)
    glass *= light(0.0011 * noise(y, x, rng, 55, 2), pixel)[..., None]
    glass *= (1.25 - 0.35 * smoothstep(0.2, 0.75, np.hypot(y, x)))[..., None]

    thin, thick = 0.004, 0.0075
    distance = np.minimum(to_pane - thin, to_part - thick)
    bar = np.sqrt(np.maximum(np.maximum(thin**2 - to_pane**2, thick**2 - to_part**2), 0))
    glow = ndimage.gaussian_filter(glass, (0.011 / pixel, 0.011 / pixel, 0))
    lead = colours("24222a")[0] * light(ndimage.gaussian_filter(bar, 1.5), pixel)[..., None] ** 2 + 0.1 * glow
    canvas = glass * (1 - 0.3 * np.exp(-np.maximum(distance, 0) / 0.0025))[..., None] + 0.15 * glow
    ink(canvas, cover(distance, pixel), lead)
    return finish(canvas, fine)


def _to_border(label: Labels) -> Array:
    """Distance in pixels from every pixel to the nearest change of label."""
    border = np.zeros(label.shape, bool)
    border[1:] |= label[1:] != label[:-1]
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    distance: Array = ndimage.distance_transform_edt(~border)
    return distance


INKS = colours("101c4e", "0e6f7c", "57c2b4", "f7ecd2", "e9573f", "9c1430", "e6a52e", "1d4fa0", "f3b8a0")

# Swirls stirred into the combed ink: centre (y, x), reach, turn in radians.
SWIRLS = (
    (-0.2, -0.2, 0.16, 4.0),
    (0.23, 0.2, 0.17, -4.0),
    (-0.26, 0.3, 0.12, -3.5),
    (0.3, -0.28, 0.13, 3.5),
    (0.02, 0.02, 0.08, 3.0),
)


def marbled(size: tuple[int, int] = SIZE, rng: Seed = 0) -> Picture:
    """Marble paper: drops of ink on water, drawn out with combs and swirled.

    Every gesture moves the ink without mixing it, by a map with a closed form.  A drop of radius r at c pushes
    what is at distance d out to √(d² + r²), which keeps areas; a comb shifts each line by its own length; a
    swirl turns each circle by its own angle.  All of them can be undone, so the picture is painted backwards:
    each pixel is followed back through the gestures, last to first, until a drop has it inside.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    rng : int or numpy.random.Generator
        The seed.

    Returns
    -------
    uint8 array, (height, width, 3)
    """
    rng = np.random.default_rng(rng)
    fine = 3
    y, x = plane(size, fine)
    half = np.array([abs(y[0, 0]), abs(x[0, 0])])
    # Three drops into one another make rings; the combs draw them out into bundles of threads.
    drops = []
    for centre in rng.uniform(-1.15, 1.15, (84, 2)) * half:
        big = rng.choice([0.12, 0.09, 0.065]) * rng.uniform(0.8, 1.2)
        for share, tint in zip((1, 0.72, 0.45), rng.permutation(len(INKS))[:3], strict=True):
            drops.append((*centre.tolist(), float(share * big), tint))

    # Single precision is plenty here, and twice as fast.
    py: Inexact = y.ravel().astype(np.float32)
    px: Inexact = x.ravel().astype(np.float32)
    for cy, cx, reach, spin in SWIRLS:
        turn = -spin * np.exp(-((py - cy) ** 2 + (px - cx) ** 2) / (0.8 * reach**2))
        sine, cosine = np.sin(turn), np.cos(turn)
        py, px = cy + (py - cy) * cosine + (px - cx) * sine, cx + (px - cx) * cosine - (py - cy) * sine
    px = px - 0.02 * np.sin(9 * py + 1)
    py = py - 0.015 * np.sin(11 * px)
    # A fine comb of one direction over a coarse one of two: the classic nonpareil pattern.
    pitch = 0.066
    px = px - 0.12 * np.exp(-np.abs(py / pitch - np.rint(py / pitch)) * 4.5)
    py = py - 0.14 * np.sin(2 * np.pi * px / 0.24 + 0.5)

    tints = np.zeros(y.size, int)
    depth = np.zeros(y.size)
    afloat = np.arange(y.size)
    for cy, cx, r, tint in reversed(drops):
        square = (py - cy) ** 2 + (px - cx) ** 2
        inside = square < r * r
        tints[afloat[inside]] = tint
        depth[afloat[inside]] = square[inside] / (r * r)
        outside = ~inside
        afloat, py, px, square = afloat[outside], py[outside], px[outside], square[outside]
        shrink = np.sqrt(1 - r * r / square)
        py, px = cy + (py - cy) * shrink, cx + (px - cx) * shrink
    # Ink is darker at a drop's rim, and the paper has a tooth.
    canvas = (INKS[tints] * (1.06 - 0.22 * depth)[:, None]).reshape(*y.shape, 3)
    canvas *= light(0.00006 * noise(y, x, rng, 90, 3), y[1, 0] - y[0, 0])[..., None]
    return finish(canvas, fine)


PAINTINGS: dict[str, Callable[..., Picture]] = {
    "flow_field": flow_field,
    "halftone": halftone,
    "stained_glass": stained_glass,
    "marbled": marbled,
}
"""The paintings by name; each takes ``size`` and ``rng``."""


def painting_path(name: str) -> Path:
    """Give the file of a painting that comes with the package, 768×768 pixels, seed 0.

    Raises
    ------
    InputError
        If no painting has this name.

    Examples
    --------
    >>> painting_path("halftone").name
    'halftone.jpg'
    """
    if name not in PAINTINGS:
        raise InputError(f"painting {name!r}: expected one of {', '.join(PAINTINGS)}")
    return Path(str(files("vggnumpy") / "pictures" / f"{name}.jpg"))
