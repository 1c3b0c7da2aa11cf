r"""Paint a sky in the style of a painted sky and the ground in that of painted ground: the CS229 report's figure 3.

A Gram matrix forgets where things are.  Without masks the hills of a landscape therefore take what they like from the
whole painting, the evening sky's red as well as the fields' gold, and the sky takes the hills' green.  The report's
remedy is a mask for each picture and a Gram matrix for each region k, divided by its number of positions N,

    L = Σ_l Σ_k w_l s_k ‖G(x_k)/N_xk − G(a_k)/N_ak‖²

so that sky is compared with sky alone and ground with ground.  (The report has s_k = 1/K for K regions; here s_k is the
region's share of the picture, without which small regions are painted over.)  Four pictures are painted:

1. without masks;
2. with masks whose edges are hard;
3. with masks that pass from one region to the other over a hundredth of the picture's long side.  Weights stand in the
   Gram once, not squared, and targets are not mixed, so that the band belongs to both and does not go grey
   (`vggnumpy.regions`);
4. the same, from a photograph whose regions have been given their styles' mean colours before a stroke was painted
   (`vggnumpy.region_colors`): Gram matrices would get there too, but slowly, and against the content.  Here the border
   is made even afterwards (`vggnumpy.borders`).

For each it prints how far the mean colour of each region is from that of the region it takes its style from (ΔE76; 2 is
hardly seen, 20 is another colour); and, within 6 pixels of the border, saturation and local contrast in parts of what
they are inside the two regions.  A grey band or a smeared one would have much less than 1, a glowing one more.

The landscape is real ground, the mountains along the Jacksboro fault, photographed by `vggnumpy.landscape`.  Pictures
of your own are given with ``--pictures`` and ``--masks``, which have one colour for a region, the same in both;
``vggnumpy regions`` makes masks from the pictures themselves.

Run::

    python examples/15_paint_sky_and_ground.py

What came out, with the network that comes with vggnumpy: without masks the sky is ΔE 21 from the painted sky and the
ground 17 from the painted ground, and clouds go yellow because the fields are.  With masks, hard or blended, sky and
ground are at 1.6 and 1.8; where colours are moved first they are at 0.0.  Hills go blue towards the ridge as the
painted ones do, fields lie before them, and the glow over the ridge is the painting's too.  The border has 0.96 of the
regions' saturation with hard masks and with blended ones, and 1.02 with colours moved first, and 1.06, 1.05 and 0.93
of their contrast; without masks it was 0.81 and 0.92.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.canvas import plane
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, write_image
from vggnumpy.landscape import demo_landscape
from vggnumpy.measures import border_ratios, region_color_distances
from vggnumpy.paintings import painting_path
from vggnumpy.regions import Regions, hard_regions
from vggnumpy.sketches import HILLS
from vggnumpy.spatial import Placement, placement_of_masks

COLORS = [(0, 0, 255), (255, 140, 0)]  # of sky and ground in the masks


def main(argv: Sequence[str] | None = None) -> None:
    """Paint a landscape without masks and with, measure regions and borders, and hang all of it."""
    parser = argparse.ArgumentParser(description="Paint a landscape without and with masks for sky and ground.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--pictures", type=Path, nargs=2, metavar=("CONTENT", "STYLE"), help="in place of the demo's")
    parser.add_argument("--masks", type=Path, nargs=2, metavar=("CONTENT", "STYLE"), help="their masks")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--iterations", type=int, default=80, help="for each picture (default 80)")
    options = parser.parse_args(argv)
    if options.size < 64 or options.iterations < 1:
        parser.error(f"expected --size 64 and --iterations 1 at least, found {options.size} and {options.iterations}")
    if bool(options.pictures) != bool(options.masks):
        parser.error("pictures need masks and masks need pictures: give both, or neither")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo, painting, placed = given(options.pictures, options.masks) if options.pictures else demo()
    except vn.InputError as error:
        parser.error(str(error))

    common = {"net": net, "size": options.size, "iterations": options.iterations}
    ways = {
        "without masks": {},
        "with masks": {"placement": placed, "feather": 0.0},
        "blended masks": {"placement": placed},
        "and colours first": {"placement": placed, "color": "regions"},
    }
    print(f"{net.name}, {options.size} pixels, {options.iterations} iterations for each picture\n")
    results = {}
    for name, settings in ways.items():
        start = time.perf_counter()
        results[name] = vn.transfer(photo, painting, **common, **settings).image
        report(name, results[name], painting, placed, time.perf_counter() - start)

    options.out.mkdir(parents=True, exist_ok=True)
    for name, image in results.items():
        write_image(options.out / f"sky_and_ground_{name.replace(' ', '_')}.png", image)
    path = options.out / "paint_sky_and_ground.png"
    plot(photo, painting, placed, results, f"Every region its own style ({net.name})", path)
    print(f"\nwrote {path} and its four pictures")


def demo() -> tuple[np.ndarray, np.ndarray, Placement]:
    """Return the demo's landscape, the evening by vggnumpy's own program, and where sky and ground are in both."""
    photo, ground = demo_landscape((384, 512))
    painting = read_image(painting_path("flow_field"))
    y, x = plane(painting.shape[:2])
    hills = np.any([y > base + swing * np.sin(waves * x + phase) for base, swing, waves, phase, _ in HILLS], axis=0)
    own, style = (hard_regions(below.astype(int), COLORS, ("sky", "ground")) for below in (ground, hills))
    return photo.astype("float32"), painting, Placement(own, (style,))


def given(pictures: Sequence[Path], masks: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, Placement]:
    """Return the user's pictures and their regions."""
    photo, painting = map(read_image, pictures)
    own, style = map(read_image, masks)
    return photo, painting, placement_of_masks(own, [style], [photo.shape[:2], painting.shape[:2]])


def report(name: str, image: np.ndarray, painting: np.ndarray, placed: Placement, seconds: float) -> None:
    """Print how far the regions are from their styles, and how the borders look beside them."""
    regions, style = placed.content, placed.styles[0]
    assert isinstance(style, Regions)
    distances = region_color_distances(image, regions, painting, style)
    print(f"{name}, {seconds:.0f} s")
    print(
        "  from its own style:  ", ", ".join(f"{n} ΔE {d:.1f}" for n, d in zip(regions.names, distances, strict=True))
    )
    borders = border_ratios(image, regions)
    for one in borders:
        print(f"  between {' and '.join(one.names)}:  saturation {one.saturation:.2f}, contrast {one.contrast:.2f}")
    if len(borders) > 1:
        ratios, lengths = [(one.saturation, one.contrast) for one in borders], [one.pixels for one in borders]
        saturation, contrast = np.average(ratios, axis=0, weights=lengths)
        print(f"  all borders together:  saturation {saturation:.2f}, contrast {contrast:.2f}")


def plot(
    photo: np.ndarray, painting: np.ndarray, placed: Placement, results: dict[str, np.ndarray], title: str, path: Path
) -> None:
    """Hang pictures and masks above, the four results below, and under each a part of the border, enlarged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 10.5), layout="constrained")
    figure.suptitle(title, fontsize=15)
    axes = figure.subplots(3, 4)
    style = placed.styles[0]
    assert isinstance(style, Regions)
    inputs = {
        "the photograph": photo,
        "its regions": placed.content.picture(),
        "the painting": painting,
        "its regions ": style.picture(),
    }
    first = next(iter(results.values()))
    crop = border_crop(placed.content.resized((first.shape[0], first.shape[1])))
    details = {f"{name}, the border": image[crop] for name, image in results.items()}
    panels = inputs | results | details
    for ax, (caption, picture) in zip(axes.flat, panels.items(), strict=True):
        ax.imshow(np.clip(picture, 0, 255) / 255, interpolation="nearest" if caption in details else None)
        ax.set_title(caption, fontsize=11)
        ax.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def border_crop(regions: Regions) -> tuple[slice, slice]:
    """Return the quarter of the picture, by its sides, that has the most border; of several the one in the middle."""
    labels = regions.labels
    border = np.zeros(labels.shape)
    border[1:] += labels[1:] != labels[:-1]
    border[:, 1:] += labels[:, 1:] != labels[:, :-1]
    height, width = (side // 4 for side in labels.shape)
    sums = np.pad(border.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    most = np.argwhere(inside == inside.max())
    row, column = most[len(most) // 2]
    return slice(row, row + height), slice(column, column + width)


if __name__ == "__main__":
    main()
