r"""How much of the photograph should be left?  Figures 1 and 2 of the CS229 report, with every term printed.

The report minimises α · content + β · style + γ · variation with β = 1 from noise, and turns the first knob: α = 1e-2,
1e-3 and 1e-8.  With the sums as they are printed its three terms would be fourteen orders of magnitude apart, so its
authors must have divided them by something, and what α meant to them cannot be told.  (The preset `cs229` divides by
the sizes.  Tried with a narrow VGG-19 at 96 pixels, 100 iterations, content was a twentieth of the style at 1e-2, and
nothing was seen of it.)  Here each term is a fraction of what there is to miss, so that a weight means the same for
every network and size,

    content    Σ (F − P)² / ΣP²
    style      ‖G/M − A/M_a‖² / ‖A/M_a‖², a quarter of it at each of four layers

and α falls as far as in the report, by 10 and by 100,000: 1e-1, 1e-2 and 1e-7.  Below, as in the report's figure 2,
three paintings with the middle α.

Run::

    python examples/27_weigh_the_content.py
    python examples/27_weigh_the_content.py --content berries.jpg --styles a.jpg b.jpg c.jpg --weights vgg19

What came out, with the network that comes with vggnumpy at 256 pixels and 120 iterations: at 1e-1 she is a portrait in
the painting's colours; at 1e-2 eyes, mouth, cap and collar stand out of the whirls; at 1e-7 there are whirls.  The
content's term falls as its weight does, from 3.8e-2 over 7.9e-3 to 1.5e-7, and style's four from 7.1e-3 over 1.2e-3 to
6.7e-4 in all: the last factor of 100,000 hardly buys style any more. marbled and stained_glass with 1e-2 keep as much
of her, each in its own lines.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.presets import choose_layers, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait
from vggnumpy.style_terms import cropped

STYLES = ("flow_field", "marbled", "stained_glass")


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait with three content weights and in three styles, and print every term."""
    parser = argparse.ArgumentParser(description="Sweep the content weight; three styles on one photograph.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--styles", type=Path, nargs=3, help=f"three paintings (default: {', '.join(STYLES)})")
    parser.add_argument("--alpha", type=float, nargs=3, default=(1e-1, 1e-2, 1e-7), help="(default 1e-1 1e-2 1e-7)")
    parser.add_argument("--size", type=int, default=256, help="long side in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=120, help="for each picture (default 120)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    paths = options.styles or [painting_path(name) for name in STYLES]
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        paintings = {path.stem: cropped(read_image(path), photo.shape[:2]) for path in paths}
    except vn.InputError as error:
        parser.error(str(error))
    content = next(iter(choose_layers(preset("default"), net).content_layers or {}), None)
    if content is None:
        parser.error(f"network {net.name} has no layer that content is usually taken from")

    first = next(iter(paintings))
    runs = [(alpha, first) for alpha in options.alpha] + [(options.alpha[1], name) for name in paintings]
    print(f"{net.name}, long side {options.size}, {options.iterations} iterations, content at {content}\n")
    options.out.mkdir(parents=True, exist_ok=True)
    images = {}
    for alpha, name in runs:
        if (alpha, name) in images:
            continue
        start = time.perf_counter()
        result = vn.transfer(
            photo,
            paintings[name],
            net=net,
            start="noise",
            size=options.size,
            iterations=options.iterations,
            content_layers={content: alpha},
        )
        print(f"α = {alpha:g}, {name}, {time.perf_counter() - start:.1f} s")
        for term, value in result.terms.items():
            print(f"    {term:16} {value:10.3e}")
        images[alpha, name] = result.image
        write_image(options.out / f"weigh_{alpha:g}_{name}.png", result.image)
    path = options.out / "weigh_the_content.png"
    original = resize(photo, next(iter(images.values())).shape[:2])
    frames = [
        original,
        *(images[run] for run in runs[:3]),
        paintings[first],
        *(images[run] for run in runs[3:]),
    ]
    labels = ["the photograph", *(f"{first}, α = {alpha:g}" for alpha, _ in runs[:3])]
    labels += [first, *(f"{name}, α = {alpha:g}" for alpha, name in runs[3:])]
    write_contact_sheet(path, frames, labels, f"Less and less of the photograph; three styles ({net.name})", columns=4)
    print(f"\nwrote {path} and weigh_….png")


if __name__ == "__main__":
    main()
