r"""Paint a doodle: the Columbia report's figures 9 and 10.

A doodle is a map of a few flat colours that says what is to be where.  A painting has a map in the same colours, of
what is where in it, and the doodle is to become a painting like that one.  Nothing else is kept of the doodle: the
start is white noise, and the content has no term.  The report names two ways.

*Patches.*  Every 3×3 patch of the features is drawn to the most similar patch of the painting,

    E = Σ_i ‖Φ_i − Φ_NN(i)‖²,      NN(i) = argmax_j ⟨Κ_i, Κ_j⟩ / (‖Κ_i‖ ‖Κ_j‖)

where Κ is Φ with the map's regions as further channels, so that what is similar must also be in the same region.

*Regions.*  For each region k the Gram matrix of its features, weighted by its map m_k, is that of the painting's,

    E = Σ_k c_k ‖Fᵀ diag(m_k) F / Σ m_k − A_k‖²

Patches know what is beside what: a hill has its dark rim, a star its rings.  But nine patches overlap at each place and
rarely agree, and the average of different strokes is pale.  Gram matrices hold colours and contrast, and know of no
neighbours.  *Both* together, the sum of the two, is what ``vggnumpy doodle`` does by default.

The first three columns are the report's: L-BFGS at one size, after 5, 10 and 20 iterations.  The last is what the
command does: for patches it begins where the long side has 40 pixels and doubles it, so that large things are copied
first, in one piece and in their colours; for regions it begins at 128, as every transfer.  The losses of a row fall
within one size; those of two forms, or of the last column, measure different things.

Run::

    python examples/17_paint_a_doodle.py

The painting is vggnumpy's flow field.  Its map and the doodle are the polygons and discs below, drawn by hand; for
others give ``--style``, ``--style-map`` and ``--map``.

What came out, with the network that comes with vggnumpy, 192 × 144 pixels: within 10 iterations suns, hills and fields
are there in every form, under the grain of the start.  In the end patches have put whole stars with their rings into
the doodle's discs, a little pale.  Regions have the colours, and of the stars only smears.  Both together have the
stars, the colours, and the whirls of the sky between them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

import vggnumpy as vn
from vggnumpy.cli.doodle import FORMS
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.spatial import placement_of_masks
from vggnumpy.transfer import Progress

STEPS = (5, 10, 20)
NIGHT, GLOW, LIGHT, HILL, GREEN, WHEAT = "#1c2f86", "#f08a24", "#fff7a0", "#7a3fb0", "#12805c", "#c80f2e"
# What is where, later ones over earlier ones, in hundredths of width and height: corners, or centre x, y and radius.
PAINTING = (
    (NIGHT, [(0, 0), (100, 0), (100, 100), (0, 100)]),
    (GLOW, [(9, 68), (20, 50), (30, 49), (40, 48), (45, 55), (51, 47), (63, 50), (88, 56), (100, 48), (100, 80)]),
    (LIGHT, (71, 30, 14)),
    (LIGHT, (11, 7.5, 6.5)),
    (LIGHT, (49.5, 8, 6.5)),
    (LIGHT, (94.5, 11.5, 6.5)),
    (LIGHT, (1.5, 48.5, 4.5)),
    (HILL, [(0, 65), (22, 67), (45, 70), (65, 75), (79, 74), (85, 78), (60, 82), (20, 84), (0, 84)]),
    (GREEN, [(0, 76), (33, 82), (60, 80), (85, 76), (100, 71), (100, 100), (0, 100)]),
    (WHEAT, [(0, 87), (20, 88), (32, 83), (55, 80.5), (75, 82), (100, 85), (100, 94), (70, 96), (40, 95), (0, 90)]),
)
DOODLE = (
    (NIGHT, [(0, 0), (100, 0), (100, 100), (0, 100)]),
    (GLOW, [(0, 46), (30, 54), (60, 44), (80, 40), (100, 44), (100, 80), (0, 80)]),
    (LIGHT, (22, 26, 15)),
    (LIGHT, (58, 12, 6.5)),
    (LIGHT, (90, 20, 7)),
    (HILL, [(18, 82), (34, 68), (50, 56), (64, 50), (76, 54), (90, 64), (100, 67), (100, 84)]),
    (GREEN, [(0, 66), (16, 63), (34, 72), (60, 78), (100, 74), (100, 100), (0, 100)]),
    (WHEAT, [(30, 100), (44, 88), (56, 82), (76, 80), (100, 82), (100, 100)]),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Paint the doodle in three ways, and hang what became of it on the way and at the end."""
    parser = argparse.ArgumentParser(description="Turn a map of flat colours into a painting like another.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--style", type=Path, help="another painting than the flow field; it needs the two maps")
    parser.add_argument("--style-map", type=Path, help="what is where in it")
    parser.add_argument("--map", type=Path, help="the doodle, in the colours of the painting's map")
    parser.add_argument("--size", type=int, default=192, help="long side in pixels (default 192)")
    parser.add_argument("--iterations", type=int, default=120, help="from coarse to fine (default 120)")
    options = parser.parse_args(argv)
    if options.size < 64 or options.iterations < 1:
        parser.error(f"expected --size 64 and --iterations 1 at least, found {options.size} and {options.iterations}")
    given = [options.style, options.style_map, options.map]
    if any(given) and not all(given):
        parser.error("another painting needs --style, --style-map and --map")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        painting = read_image(options.style or painting_path("flow_field"))
        style_map = read_image(options.style_map) if options.style_map else drawn(PAINTING, painting.shape[:2])
        doodle = read_image(options.map) if options.map else drawn(DOODLE, (384, 512))
        placement = placement_of_masks(doodle, [style_map], [doodle.shape[:2], painting.shape[:2]])
    except vn.InputError as error:
        parser.error(str(error))

    options.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{net.name}, long side {options.size} pixels, loss\n\nform      "
        + "".join(f"{n:>9}" for n in STEPS)
        + "   the end"
    )
    rows = {}
    task = {"content": doodle, "style": painting, "placement": placement, "net": net, "size": options.size}
    for form, settings in FORMS.items():
        frames, losses = painted(STEPS, **task, **(settings | {"scales": 1}))
        (last,), (end,) = painted((options.iterations,), **task, **settings)
        rows[form] = [*frames, last], [*losses, end]
        print(f"{form:10}" + "".join(f"{loss:9.4f}" for loss in losses) + f"{end:10.4f}")
        write_image(options.out / f"doodle_{form}.png", last)
    path = options.out / "paint_a_doodle.png"
    plot(painting, style_map, doodle, rows, f"A doodle painted ({net.name})", path)
    print(f"\nwrote {path} and doodle_{', doodle_'.join(FORMS)} (.png)")


def drawn(shapes: Sequence[tuple[str, list | tuple]], size: tuple[int, int]) -> np.ndarray:
    """Draw flat shapes over each other, four times as large and then smaller, for smooth edges."""
    height, width = (4 * side for side in size)
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    for color, shape in shapes:
        if isinstance(shape, list):
            pen.polygon([(x * width / 100, y * height / 100) for x, y in shape], fill=color)
        else:
            x, y, radius = (part * side / 100 for part, side in zip(shape, (width, height, height), strict=True))
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return np.asarray(canvas.reduce(4), "float32")


def painted(steps: Sequence[int], **settings: Any) -> tuple[list[np.ndarray], list[float]]:
    """Paint, and return the pictures and losses after some iterations, the last of them the end."""
    frames, losses = [], []

    def keep(progress: Progress) -> None:
        if progress.iteration in steps:
            frames.append(progress.pixels)
            losses.append(progress.loss)

    result = vn.transfer(**settings, iterations=steps[-1], callback=keep)
    missing = len(steps) - len(frames)  # where the optimiser found nothing better and ended
    return frames + missing * [result.pixels], losses + missing * [result.history[-1]["loss"]]


def plot(
    painting: np.ndarray, style_map: np.ndarray, doodle: np.ndarray,
    rows: dict[str, tuple[list[np.ndarray], list[float]]], title: str, path: Path,
) -> None:  # fmt: skip
    """Hang the painting, its map and the doodle above a row for each form."""
    figure = Figure(figsize=(13, 11.5), layout="constrained")
    figure.suptitle(title, fontsize=15)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 2.3))
    given = [(painting, "the painting"), (style_map, "its map"), (doodle, "the doodle")]
    for ax, (picture, caption) in zip(above.subplots(1, 3), given, strict=True):
        show(ax, picture, caption)
    for axes, (form, (pictures, losses)) in zip(below.subplots(len(rows), 4), rows.items(), strict=True):
        names = [*(f"{form}, {n} iterations" for n in STEPS), f"{form}, in the end"]
        for ax, picture, name, loss in zip(axes, pictures, names, losses, strict=True):
            show(ax, picture, f"{name}: {loss:.3f}")
    figure.savefig(path, dpi=110)


def show(ax: Axes, picture: np.ndarray, caption: str) -> None:
    """Show a picture without axes."""
    ax.imshow(np.clip(picture, 0, 255) / 255)
    ax.set_title(caption, fontsize=10)
    ax.set(xticks=[], yticks=[])


if __name__ == "__main__":
    main()
