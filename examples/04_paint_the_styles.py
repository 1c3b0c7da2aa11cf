"""Paint the four style pictures that come with vggnumpy.

A style picture lends its colours and its texture, and texture is what happens when one small rule is applied
thousands of times.  So the pictures need no painter: each is a rule, a seed and a composition.  They are
meant to look well on a wall and to do well in a transfer, which asks for the same things: few colours that go
together, a mark of one's own, and something to see from across the room as well as from close by.

flow_field: an evening sky in oil
    The swirls are vortices of a stream function, a height whose contours the paint follows; contours never
    cross.  Turning every direction ten degrees makes spirals of the rings.  Two and a half thousand strokes in
    four widths run along that field.  What is kept for each pixel is only which stroke lies on top and where in
    the stroke the pixel is: how far along, how far across.  From those come the colour (each bristle holds a
    little more or less paint) and the height of the paint (ridges at the sides, lumps where the brush was set
    down and lifted).  A lamp at the upper left does the rest: it is the slope of the paint that looks like oil,
    not its colour.

halftone: a pop-art burst
    Every shape is known by its signed distance, how far a point is from the edge, negative inside.  That one
    number fills the shape, outlines it with a line of any width and smooths its edge; moved a little it is the
    shadow.  Tones are printed as comics were: dots on a grid, their area the tone, each grid at its own angle,
    so that neighbouring grids never line up.

stained_glass: a rose window
    Twelve petals, twelve medallions, and around them a Voronoi diagram: each point belongs to the nearest of
    many seeds.  The distance to the nearest border of a pane, computed for every pixel, shapes the lead: a
    half-round bar with light on it, twice as thick around a petal as between its panes.  Every pane has streaks
    in its own direction, as glass has that was drawn while hot, and they run into a second colour.

marbled: marbled paper
    Ink floats on water.  A drop pushes everything outwards so that no area changes; a comb drags lines along;
    a stirring stick turns circles.  Each of these maps has an inverse in closed form, so the picture is
    computed backwards: take a pixel, undo the last gesture, then the one before, until the point lies in a drop
    that has just fallen.  That drop's colour is the pixel's.  No picture of the tray is ever stored, so the
    threads stay sharp however often the ink is drawn out.

Run::

    python examples/04_paint_the_styles.py

It takes about half a minute and writes, into ``examples/out``, each painting without loss (PNG) and as the
small JPEG that the package carries, and a sheet with all four.  The pictures in ``vggnumpy/pictures`` are made
by exactly this::

    python examples/04_paint_the_styles.py
    cd examples/out && cp flow_field.jpg halftone.jpg stained_glass.jpg marbled.jpg ../../vggnumpy/pictures

``--size 256`` is quicker; ``--seed 1`` paints four others of the same kind.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vggnumpy.canvas import Picture
from vggnumpy.images import write_image
from vggnumpy.paintings import PAINTINGS


def main(argv: Sequence[str] | None = None) -> None:
    """Paint all four pictures and a sheet of them."""
    parser = argparse.ArgumentParser(description="Paint the four style pictures that come with vggnumpy.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--size", type=int, default=768, help="side of the pictures in pixels (default 768)")
    parser.add_argument("--seed", type=int, default=0, help="another number, other paintings (default 0)")
    options = parser.parse_args(argv)
    if options.size < 32:
        parser.error(f"--size: expected at least 32 pixels, found {options.size}")

    options.out.mkdir(parents=True, exist_ok=True)
    painted = []
    for name, paint in PAINTINGS.items():
        start = time.perf_counter()
        picture = paint(size=(options.size, options.size), rng=options.seed)
        print(f"{name:14} {time.perf_counter() - start:5.1f} s")
        write_image(options.out / f"{name}.png", picture)
        write_small_jpeg(options.out / f"{name}.jpg", picture)
        painted.append(picture)
    write_image(options.out / "paint_the_styles.png", contact_sheet(painted))
    print(f"the paintings are in {options.out}")


def write_small_jpeg(path: Path, picture: Picture) -> None:
    """Write at quality 90 with halved colour resolution, half as large as what `write_image` makes."""
    from PIL import Image

    Image.fromarray(picture).save(path, quality=90, subsampling="4:2:0", optimize=True)


def contact_sheet(pictures: Sequence[Picture]) -> Picture:
    """Hang square pictures two by two on a white wall."""
    side = len(pictures[0])
    gap = side // 24
    sheet = np.full((2 * side + 3 * gap, 2 * side + 3 * gap, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = (gap + index * (side + gap) for index in divmod(place, 2))
        sheet[top : top + side, left : left + side] = picture
    return sheet


if __name__ == "__main__":
    main()
