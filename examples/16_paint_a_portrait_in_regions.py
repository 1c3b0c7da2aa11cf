r"""Paint a portrait as a whole, as figure and background, and in five regions: the CS229 report's figure 4.

The more regions a picture is divided into, the more of it can be told where to take its style from, and the fewer
positions each region's Gram matrix is a mean of.  This script paints one portrait three times:

1. **as a whole**, without masks;
2. **figure and background**, a mask for the portrait, drawn by hand around the person.  The painting is divided into
   two regions by itself (`vggnumpy.segment`: k-means on colour, place and the network's features), and the lighter one
   is for the figure;
3. **in five regions** that nobody drew: both pictures are divided by themselves, and every region of the portrait is
   paired with the region of the painting that is most like it in place, colour and features (`vggnumpy.pairing`).

The pairing is drawn over the pictures, because it is a proposal: the painting has no face.  ``vggnumpy regions`` does
the same on the command line and takes corrections.  For each result it prints how far the mean colour of each of the
five regions is from that of the painting's region (ΔE76), and within 6 pixels of the borders saturation and local
contrast, in parts of those inside the regions.

Run::

    python examples/16_paint_a_portrait_in_regions.py

What came out, with the network that comes with vggnumpy: as a whole she is yellow in face, collar and flag, because
that is where the photograph is light.  With two regions the figure has the fields' gold and blue strokes and the
backdrop the night's, and the face is hers.  In five regions the uniform becomes fields with hedges, the flag a night
and the backdrop an evening sky; the skin is paired with the pale part of the sky, and every line of the face is still
there.  Every region has the mean colour of the one that it was paired with, ΔE 0.0, and the seven borders 0.88 to 1.05
of its saturation and 0.96 to 1.08 of its contrast (as a whole 0.76 to 0.94 and 0.78 to 1.30).
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.masks import check_mask_size
from vggnumpy.measures import border_ratios, region_color_distances, region_colors
from vggnumpy.paintings import painting_path
from vggnumpy.pairing import draw_pairing, pair, paired
from vggnumpy.portrait import demo_person
from vggnumpy.regions import Regions, hard_regions
from vggnumpy.run import demo_portrait
from vggnumpy.segment import segment
from vggnumpy.spatial import Placement

COLORS = [(0, 0, 255), (255, 140, 0)]  # of background and figure
COUNT = 5
PAINTING = painting_path("flow_field")


def main(argv: Sequence[str] | None = None) -> None:
    """Paint the portrait with no, two and five regions, measure, and hang pictures, regions and results."""
    parser = argparse.ArgumentParser(description="Paint a portrait with no, two and five regions.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another portrait than the demo's; it needs a --mask")
    parser.add_argument("--mask", type=Path, help="white where the figure is, black where the background is")
    parser.add_argument("--style", type=Path, help="another painting (default: flow_field)")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--iterations", type=int, default=80, help="for each picture (default 80)")
    options = parser.parse_args(argv)
    if options.size < 64 or options.iterations < 1:
        parser.error(f"expected --size 64 and --iterations 1 at least, found {options.size} and {options.iterations}")
    if options.content and not options.mask:
        parser.error("another portrait needs its own --mask")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        pictures = [read_image(path) for path in (options.content or demo_portrait(), options.style or PAINTING)]
        photo, painting = (resize(one, fit_size(*one.shape[:2], options.size)).clip(0, 255) for one in pictures)
        person = drawn(options.mask, photo.shape[:2]) if options.mask else demo_person(photo.shape[:2])
        five, style = segment(photo, net, COUNT), segment(painting, net, COUNT)
        two = Placement(
            hard_regions(person.astype(int), COLORS, ("background", "figure")), (light_last(painting, net),)
        )
        own, other = paired(five, style)
    except vn.InputError as error:
        parser.error(str(error))

    placements = {"as a whole": None, "figure and background": two, "five regions": Placement(own, (other,))}
    print(f"{net.name}, {options.size} pixels, {options.iterations} iterations for each picture")
    pairs = ", ".join(f"{mine} from {theirs}" for mine, theirs in enumerate(pair(five, style)))
    print(f"five regions of the portrait, each from one of the painting: {pairs}\n")
    results = {}
    for name, placement in placements.items():
        start = time.perf_counter()
        results[name] = vn.transfer(
            photo,
            painting,
            net=net,
            size=options.size,
            iterations=options.iterations,
            placement=placement,
            color="regions" if placement else "style",
        ).image
        print(f"{name}, {time.perf_counter() - start:.0f} s")
        report(results[name], painting, own, other)

    options.out.mkdir(parents=True, exist_ok=True)
    for name, image in results.items():
        write_image(options.out / f"portrait_{name.replace(' ', '_')}.png", image)
    path = options.out / "paint_a_portrait_in_regions.png"
    pairing = draw_pairing(photo, painting, five, style, height=480)
    plot([photo, painting, two.content.picture(), pairing], results, f"How many regions? ({net.name})", path)
    print(f"\nwrote {path} and its three pictures")


def drawn(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return where a drawn mask is white, at a picture's size."""
    mask = read_image(path).mean(axis=2)
    check_mask_size(mask.shape, size, str(path))
    return resize(mask, size) > 127.5


def light_last(painting: np.ndarray, net: vn.Network) -> Regions:
    """Return the two regions that a painting divides into, the lighter one last, with the masks' colours and names."""
    regions = segment(painting, net, 2).regions
    order = np.argsort(region_colors(painting, regions)[:, 0])
    taken = regions.take([int(i) for i in order])
    return Regions(taken.weights, np.array(COLORS, "float64"), ("background", "figure"))


def report(image: np.ndarray, painting: np.ndarray, own: Regions, other: Regions) -> None:
    """Print how far five regions are from the painting's, and the worst that their borders look beside them."""
    distances = region_color_distances(image, own, painting, other)
    print("  from the painting's region:", ", ".join(f"{n} {d:.1f}" for n, d in zip(own.names, distances, strict=True)))
    borders = border_ratios(image, own)
    for what in ("saturation", "contrast"):
        ratios = [getattr(one, what) for one in borders]
        print(f"  {what} along {len(ratios)} borders: {min(ratios, default=1):.2f} to {max(ratios, default=1):.2f}")


def plot(inputs: list[np.ndarray], results: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Hang the pictures, the mask and the pairing above, the three results large below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 10.2), layout="constrained")
    figure.suptitle(title, fontsize=15)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.75))
    captions = ("the portrait", "the painting", "figure and background", "five regions, paired")
    wide = [picture.shape[1] / picture.shape[0] for picture in inputs]
    for axes, pictures in (
        (upper.subplots(1, 4, width_ratios=wide), dict(zip(captions, inputs, strict=True))),
        (lower.subplots(1, 3), results),
    ):
        for ax, (caption, picture) in zip(axes, pictures.items(), strict=True):
            ax.imshow(np.clip(picture, 0, 255) / 255)
            ax.set_title(caption, fontsize=11)
            ax.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
