r"""Ask whose eyes a painting is seen with: the same transfer through six networks.  Paper 5's figure 2.

A style is what a network's layers make of a painting, so another network sees another style in it.  Nikulin and Novak
transfer one style through AlexNet, GoogLeNet, VGG-16 and VGG-19, and find that the VGG networks paint best: their maps
shrink slowly and their filters are small, where AlexNet's first layer already looks at 11 × 11 pixels in steps of four.

What makes such a comparison hard is the weight of the content.  The same number means more in one network than in the
next, and one compares balances instead of networks.  Here each network paints with the same strength: its content
weight is found by trial, such that a judge which is the same for all sees the picture seven tenths of the way from the
photograph to the painting (`vggnumpy.strength`).  Where a network cannot get as far it gets as far as it can.  Layers
correspond by the size of their maps: four for the style, the first at which the map is smaller and so on, and one
early one for the content (`vggnumpy.presets.FAMILIES`).

A network whose weights are not here has random filters, and says so: ``vggnumpy weights list`` shows which can be had.
Random filters are not nothing, they answer to colours and edges; but they know no shapes.

Run::

    python examples/29_compare_networks.py
    python examples/29_compare_networks.py --networks vgg19 nets/mine.h5 --size 512 --iterations 200

What came out at 192 pixels, where only the network that comes with vggnumpy had weights: it goes the 0.71 of the way
that it was asked for, and keeps every line.  Random VGG networks come to 0.57 and 0.55, with the painting's colours in
clouds and no strokes; random GoogLeNet, SqueezeNet and AlexNet to 0.42, 0.44 and 0.31, with the grain of their large
strides.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import find_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import Network, architecture, random_network
from vggnumpy.nets.architectures import ARCHITECTURES
from vggnumpy.nets.initialize import centre_filters
from vggnumpy.paintings import painting_path
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait
from vggnumpy.scores import STANDARD_SIZE, Judge, transfer_score_table

NETWORKS = ("builtin", "vgg16", "vgg19", "alexnet", "googlenet", "squeezenet1_1")


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait through several networks with the same strength, and score what came out."""
    parser = argparse.ArgumentParser(description="Paint the same picture through several networks.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NET", help="names or files of weights")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--style", type=Path, help="another painting than flow_field")
    parser.add_argument("--strength", type=float, default=1.0, help="of the style, 0.1 to 10 (default 1)")
    parser.add_argument("--size", type=int, default=192, help="long side in pixels (default 192)")
    parser.add_argument("--iterations", type=int, default=60, help="for each network (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        photo = read_image(options.content or demo_portrait())
        painting = read_image(options.style or painting_path("flow_field"))
        networks = [open_network(name) for name in options.networks]
        judge = Judge(photo, painting, size=min(STANDARD_SIZE, options.size))
    except vn.InputError as error:
        parser.error(str(error))

    options.out.mkdir(parents=True, exist_ok=True)
    names, pictures, scores = ["the photograph"], [photo], [judge.score(photo)]
    for given, net in zip(options.networks, networks, strict=True):
        trained = net.provenance.get("trained", True)
        name = Path(given).stem if trained else f"{given}, random"
        began = time.perf_counter()
        try:
            result = vn.transfer(
                photo, painting, net=net, size=options.size, iterations=options.iterations, strength=options.strength
            )
        except vn.InputError as error:
            parser.error(f"{given}: {error}")
        layers = {**result.settings["content_layers"], **result.settings["style_layers"]}
        (content, weight), *_ = layers.items()
        seconds = time.perf_counter() - began
        print(f"{name:22} {seconds:5.0f} s, content {content} × {weight:.2g}, style {', '.join([*layers][1:])}")
        names.append(name)
        pictures.append(result.image)
        scores.append(judge.score(result.image))
        write_image(options.out / f"network_{Path(given).stem}.png", result.image)
    print(f"\nscores by {judge.net.name} at {min(STANDARD_SIZE, options.size)} pixels\n")
    print(transfer_score_table(names, scores))
    path = options.out / "compare_networks.png"
    below = [f"style {score.style_score:.2f}, structure {score.structure:.2f}" for score in scores[1:]]
    labels = [names[0], "the painting", *map("{}\n{}".format, names[1:], below)]
    frames = [pictures[0], painting, *pictures[1:]]
    title = f"One photograph and one painting, seen by several networks; strength {options.strength:g}"
    write_contact_sheet(path, frames, labels, title, columns=4, side=300)
    print(f"\nwrote {path} and network_….png")


def open_network(name: str) -> Network:
    """Return the network of a name or weights file; where a known one is not here, random filters in its shape."""
    if name in ARCHITECTURES and find_weights(name) is None:
        return centre_filters(random_network(architecture(name), rng=0))
    return vn.load_network(name)


if __name__ == "__main__":
    main()
