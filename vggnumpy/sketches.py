"""The compositions under the paintings: where the stars, hills, lips and panes are."""

import numpy as np
from scipy.spatial import cKDTree

from vggnumpy.canvas import Array, Labels, colours, ink, noise, ramp, smoothstep

# Whirls of the sky: centre (y, x), radius, spin.
SUN = (-0.2, 0.22, 0.10, 1.0)
EDDIES = ((-0.12, -0.18, 0.13, -1.1), (0.0, 0.02, 0.07, 0.7))
STARS = (
    (-0.41, -0.39, 0.045, 0.9),
    (0.0, -0.47, 0.04, 0.8),
    (-0.42, -0.01, 0.04, -0.8),
    (-0.39, 0.44, 0.045, -0.8),
)
# Hills from back to front: height of the ridge, swing, waves, phase, colours.
HILLS = (
    (0.20, 0.050, 3.1, 0.4, colours("32459a", "5f86bd", "262f74")),
    (0.26, 0.045, 4.3, 2.0, colours("1f6b6b", "46a583", "174a5a")),
    (0.34, 0.035, 5.0, 4.2, colours("cf8f1e", "f7cb4a", "8f561c")),
    (0.43, 0.030, 4.0, 1.0, colours("24573c", "86a63c", "14344a")),
)


def evening(y: Array, x: Array, rng: np.random.Generator) -> tuple[Array, tuple[Array, Array]]:
    """Sketch the sky and the hills: a colour and a direction (dy, dx) for every pixel."""
    pixel = y[1, 0] - y[0, 0]
    # Along the contours of a stream function nothing piles up: a drift, noise, and a bump for every whirl.
    stream = 0.035 * noise(y, x, rng, 3.0, 2) - 0.25 * y + 0.02 * np.sin(9 * x)
    for cy, cx, radius, spin in (SUN, *EDDIES, *STARS):
        stream += 1.3 * spin * radius * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (1.5 * radius**2))
    down, right = np.gradient(stream, pixel)
    # Turned a little inwards, the rings become spirals.
    turn = 0.18
    dy, dx = down * np.sin(turn) - right * np.cos(turn), down * np.cos(turn) + right * np.sin(turn)

    sky = colours("0e1748", "1b3a8a", "2a6cb2", "3f9fb4", "90c8a2", "f2d678", "f6a338", "e65f28")
    sketch = ramp(0.08 + 0.82 * smoothstep(-0.55, 0.32, y) + 0.16 * np.sin(55 * stream), sky)
    from_sun = np.hypot(y - SUN[0], x - SUN[1]) / SUN[2]
    halo = ramp(from_sun / 2.1, colours("fffbd8", "ffec7a", "ffb52e", "f58a2a", "f4d468", "7fc8b0", "2f8fb8"))
    ink(sketch, 1 - smoothstep(1.3, 2.1, from_sun), halo)
    for cy, cx, radius, _ in STARS:
        away = np.hypot(y - cy, x - cx) / radius
        glow = ramp(away / 1.9, colours("fffdf0", "fff0a8", "f6cf52", "9fd6b8", "3a8fc0"))
        ink(sketch, 1 - smoothstep(1.0, 1.9, away), glow)

    for base, swing, waves, phase, tones in HILLS:
        depth = y - base - swing * np.sin(waves * x + phase) - 0.008 * noise(0 * x, x, rng, 9.0)
        land = depth > 0
        furrow = np.sin(110 * depth + 7 * x + 2.5 * noise(y, x, rng, 5.0))
        sketch[land] = ramp(0.5 + 0.5 * furrow, tones)[land]
        ink(sketch, np.where(land, 0.8 * np.exp(-((depth / 0.006) ** 2)), 0), colours("141b45")[0])
        dy[land] = (swing * waves * np.cos(waves * x + phase) + 0.22 * np.sin(5 * x + 14 * depth + phase))[land]
        dx[land] = 1
    return sketch, (dy, dx)


def burst(spikes: int, inner: float, outer: float, rng: np.random.Generator) -> Array:
    """Corners (y, x) of a star with uneven spikes."""
    turn = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False) + 0.1 + rng.normal(0, 0.02, 2 * spikes)
    far = np.where(np.arange(2 * spikes) % 2, outer, inner) * rng.uniform(0.88, 1.12, 2 * spikes)
    return np.stack([far * np.sin(turn), far * np.cos(turn)], axis=1)


def lips() -> tuple[Array, Array, Array]:
    """Corners of a smiling mouth, of the opening between its lips, and of the teeth in it."""
    s = np.linspace(-1, 1, 41)
    smile = -0.14 * s**2
    bow = np.exp(-((s / 0.2) ** 2))
    gape = (1 - s**2) ** 0.8

    def ring(upper: Array, lower: Array) -> Array:
        around = np.concatenate([np.stack([upper, s], axis=1), np.stack([lower, s], axis=1)[-2:0:-1]])
        return 0.19 * around

    top = smile - 0.56 * (1 - np.abs(s) ** 1.7) ** 0.9 + 0.17 * bow
    middle = smile - 0.16 * gape + 0.05 * bow
    return (
        ring(top, smile + 0.68 * (1 - s**2) ** 0.75),
        ring(middle, smile + 0.26 * gape),
        ring(middle, smile + 0.1 * gape),
    )


# Numbers of the kinds of glass in `rose`.
RUBY, COBALT, GOLD, EMERALD, VIOLET, SKY, ORANGE, STRAW, PINK, NIGHT = range(10)


def rose(y: Array, x: Array, rng: np.random.Generator) -> tuple[Labels, Labels, Labels]:
    """Lay out the window: for every pixel the number of its part, of its pane, and its glass."""
    radius, angle = np.hypot(y, x), np.arctan2(x, -y)
    sector = 2 * np.pi / 12
    petal, gap = np.rint(angle / sector) % 12, np.floor(angle / sector) % 12
    side = radius * np.sin(angle - sector * np.rint(angle / sector))

    # Around the rose, Voronoi panes with their seeds on rings.
    rings = np.arange(0.51, radius.max() + 0.06, 0.058)
    turns = (np.arange(54) + 0.5 * (np.arange(len(rings))[:, None] % 2)) * 2 * np.pi / 54
    turns += rng.normal(0, 0.025, turns.shape)
    far = rings[:, None] + rng.normal(0, 0.009, turns.shape)
    seeds = np.stack([-far * np.cos(turns), far * np.sin(turns)], axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(seeds).query(np.stack([y, x], axis=-1))
    pattern = np.array([COBALT, NIGHT, SKY, COBALT, VIOLET, NIGHT, SKY, EMERALD, NIGHT])
    scattered = pattern[(np.arange(len(seeds)) + 2 * (np.arange(len(seeds)) // 54)) % 9]
    part, pane, hue = np.zeros(y.shape), nearest.astype(float), scattered[nearest]

    def lay(inside: Labels, part_number: Labels | int, pane_number: Labels | int, glass: Labels | int) -> None:
        """Put panes of a part over what is there already."""
        np.copyto(part, part_number, where=inside)
        np.copyto(pane, 1000 * (1 + part_number) + pane_number, where=inside)
        np.copyto(hue, glass, where=inside)

    beads = np.floor(angle / sector * 4) % 48
    lay(radius < 0.487, 1, beads, np.choose((beads % 4).astype(int), [RUBY, GOLD, RUBY, STRAW]))
    lay(radius < 0.452, 2, 10 * petal + (np.abs(side) < 0.02) * np.sign(side), NIGHT)

    # Medallions in the gaps between the petals' tips.
    middle = (gap + 0.5) * sector
    dy, dx = y + 0.378 * np.cos(middle), x - 0.378 * np.sin(middle)
    away, around = np.hypot(dy, dx), (np.arctan2(dx, -dy) - middle) % (2 * np.pi)
    lay(away < 0.062, 10 + gap, np.floor(around / (np.pi / 3)), RUBY)
    lay(away < 0.027, 10 + gap, 9, GOLD)

    # Petals are pointed arches: a skewed half wave along the radius gives half their width.
    reach = np.clip((radius - 0.1) / 0.31, 0, 1)
    half = 0.084 * np.sin(np.pi * reach**0.8) ** 0.75
    step = np.floor(reach * 5)
    lay(np.abs(side) < half, 30 + petal, 10 * step + np.sign(side), np.where(petal % 2, EMERALD, SKY))
    heart = (np.abs(side) < 0.5 * half) & (step > 0) & (step < 4)
    lay(heart, 30 + petal, 10 * step + 5, np.where(petal % 2, ORANGE, PINK))

    lay(radius < 0.115, 50, gap, np.where(gap % 2, GOLD, STRAW))
    lay(radius < 0.074, 51, petal, np.where(petal % 2, RUBY, VIOLET))
    lay(radius < 0.031, 52, 0, GOLD)
    return part, pane, hue
