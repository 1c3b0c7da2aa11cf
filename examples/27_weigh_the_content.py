r"""How much of the photograph should be left?  Figures 1 and 2 of the CS229 report, with every term printed.

The report minimises α · content + β · style + γ · variation with β = 1 and γ = 1e-5, Adam at a rate that falls from 10
to 1, from noise, and turns the first knob, α = 1e-2, 1e-3 and 1e-8.  With the sums as they are printed the three terms
would be fourteen orders of magnitude apart, so its authors must have divided the Gram matrices by their size.  The
preset `cs229` does, and takes means over all entries:

    content    mean (F − P)²                                      at conv4_2
    style      mean (G/(CM) − A/(CM_a))²                          at each of conv1_1, conv2_1, … conv5_1
    variation  mean |x_ij − x_i+1,j| + |x_ij − x_i,j+1|           of the pixels

Of the layers, those are taken that the network has; if conv4_2 is not among them, content comes from the deepest of
the others.  Below, as in the report's figure 2, three paintings with the middle α.

Run::

    python examples/27_weigh_the_content.py
    python examples/27_weigh_the_content.py --content berries.jpg --styles a.jpg b.jpg c.jpg --weights vgg19
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, resize, to_uint8, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.presets import preset
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
    parser.add_argument("--alpha", type=float, nargs=3, default=(1e-2, 1e-3, 1e-8), help="(default 1e-2 1e-3 1e-8)")
    parser.add_argument("--size", type=int, default=192, help="long side in pixels (default 192)")
    parser.add_argument("--iterations", type=int, default=200, help="for each picture (default 200; the report's 400)")
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
    report = preset("cs229")
    style = {layer: 1.0 for layer in report.style_layers or {} if layer in net.layers}
    content = [*(report.content_layers or {}), *reversed(style)]
    content = next(layer for layer in content if layer in net.layers)

    first = next(iter(paintings))
    runs = [(alpha, first) for alpha in options.alpha] + [(options.alpha[1], name) for name in paintings]
    print(f"{net.name}, long side {options.size}, {options.iterations} iterations of Adam, content at {content}\n")
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
            settings=report,
            size=options.size,
            iterations=options.iterations,
            content_layers={content: alpha},
            style_layers=style,
        )
        print(f"α = {alpha:g}, {name}, {time.perf_counter() - start:.1f} s")
        for term, value in result.terms.items():
            print(f"    {term:16} {value:10.3e}")
        images[alpha, name] = result.image
        write_image(options.out / f"weigh_{alpha:g}_{name}.png", result.image)
    path = options.out / "weigh_the_content.png"
    original = to_uint8(resize(photo, next(iter(images.values())).shape[:2]))
    frames = [
        original,
        *(images[run] for run in runs[:3]),
        to_uint8(paintings[first]),
        *(images[run] for run in runs[3:]),
    ]
    labels = ["the photograph", *(f"{first}, α = {alpha:g}" for alpha, _ in runs[:3])]
    labels += [first, *(f"{name}, α = {alpha:g}" for alpha, name in runs[3:])]
    write_contact_sheet(path, frames, labels, f"Less and less of the photograph; three styles ({net.name})", columns=4)
    print(f"\nwrote {path} and weigh_….png")


if __name__ == "__main__":
    main()
