r"""Paint a person in one style and what is behind her in another: the report's future work.

The report ends with a wish: to style "the face and the background differently".  The simplest honest way is to paint
the portrait twice, whole, once in each style, and to join the two along the outline of the person,

    x = m · x_person + (1 − m) · x_background,        0 ≤ m ≤ 1

where the mask m is 1 on the person, 0 behind her, and passes from one to the other over a few pixels, so that no edge
is seen.  Both paintings keep the same portrait's features, so their lines meet where they are joined; a style that
moved the lines, with a small content weight, would leave ghosts there.

It is not the same as a loss for each region, which compares the strokes within the mask only with their own painting:
here each style was laid over the whole picture, and what lies outside its part is thrown away.  That costs twice the
time, and a style spends its favourite colours where nobody sees them.

The mask of the demo's portrait is a polygon, drawn by hand, its edge softened.  For another portrait give a
mask with ``--mask``: a picture of the same proportions, white where the first style goes and black where the second.

Run::

    python examples/09_paint_face_and_background.py

What came out, with a trained VGG-19 of narrow layers, 218 × 256 pixels, in 11 seconds (36 with random filters of full
width): the outline holds, nobody sees a seam, and the two styles read as two worlds.  The hand-drawn polygon is the
coarsest part of it.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.portrait import demo_person
from vggnumpy.run import demo_portrait


def main(argv: Sequence[str] | None = None) -> None:
    """Paint the portrait in two styles, join them along the mask, and show what was joined."""
    parser = argparse.ArgumentParser(description="Paint a person in one style and the background in another.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: VGG-19, else random)")
    parser.add_argument("--content", type=Path, help="another portrait than the demo's; it needs a --mask")
    parser.add_argument("--mask", type=Path, help="white where the first style goes, black where the second goes")
    parser.add_argument("--styles", type=Path, nargs=2, help="two paintings (default: marbled and flow_field)")
    parser.add_argument("--size", type=int, default=256, help="long side in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=60, help="for each painting (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    if options.content and not options.mask:
        parser.error("another portrait needs its own --mask")
    styles = options.styles or [painting_path("marbled"), painting_path("flow_field")]
    try:
        net = vn.load_network(options.weights) if options.weights else vgg_network()
        photo = read_image(options.content or demo_portrait())
        size = fit_size(*photo.shape[:2], options.size)
        given = read_image(options.mask).mean(axis=2) / 255 if options.mask else demo_person(photo.shape[:2])
        paintings = [read_image(path) for path in styles]
    except vn.InputError as error:
        parser.error(str(error))
    mask = soften(resize(given.astype("float32"), size), pixels=size[0] / 150)

    print(f"{net.name}, {size[1]} × {size[0]} pixels, {options.iterations} iterations for each painting\n")
    whole = []
    for name, painting in zip(("person", "background"), paintings, strict=True):
        start = time.perf_counter()
        result = vn.transfer(photo, painting, net=net, size=options.size, iterations=options.iterations)
        print(f"{name:10} {time.perf_counter() - start:6.1f} s, objective {result.history[-1]['loss']:.4f}")
        whole.append(result.image.astype("float32"))
    joined = mask[..., None] * whole[0] + (1 - mask[..., None]) * whole[1]

    options.out.mkdir(parents=True, exist_ok=True)
    write_image(options.out / "face_and_background.png", joined)
    path = options.out / "paint_face_and_background.png"
    shown = [photo, 255 * np.repeat(mask[..., None], 3, axis=2), *whole, joined]
    plot(shown, paintings, f"Two styles in one portrait ({net.name})", path)
    print(f"\nwrote {path} and face_and_background.png")


def soften(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Let a mask pass from 0 to 1 over a few pixels; resampling may have left numbers outside that range."""
    return gaussian_filter(np.clip(mask, 0, 1), pixels, mode="nearest")


def plot(shown: list[np.ndarray], paintings: list[np.ndarray], title: str, path: Path) -> None:
    """Hang the portrait and its mask, the two whole paintings with their styles, and the joined one, large."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7.6), layout="constrained")
    figure.suptitle(title, fontsize=15)
    left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1))
    panels = [
        *[(shown[0], "the portrait"), (paintings[0], "style of the person"), (shown[2], "painted whole")],
        *[(shown[1], "the mask"), (paintings[1], "style of the background"), (shown[3], "painted whole")],
    ]
    for ax, (picture, caption) in zip(left.subplots(2, 3).flat, panels, strict=True):
        ax.imshow(np.clip(picture, 0, 255) / 255)
        ax.set_title(caption, fontsize=11)
        ax.set(xticks=[], yticks=[])
    ax = right.subplots()
    ax.imshow(np.clip(shown[4], 0, 255) / 255)
    ax.set_title("joined along the mask", fontsize=11)
    ax.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
