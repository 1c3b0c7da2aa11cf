"""``vggnumpy regions``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vggnumpy.cli.common import command
from vggnumpy.errors import InputError


def add_regions(commands: Any) -> None:
    """Add ``regions``."""
    parser = command(
        commands,
        "regions",
        _regions,
        "find regions in a picture and a painting and pair them, as masks for transfer",
        "\n\nWrites PREFIX_content.png and PREFIX_style.png, masks in which a region and the one it is paired with have"
        "\none colour, and PREFIX_pairs.png, which shows them over the pictures with their numbers.  Look at it:"
        "\nanother pairing is given with --pairs, and the masks can be painted over."
        "\n\nexample:"
        "\n  vggnumpy regions town.jpg night.jpg -o town"
        "\n  vggnumpy transfer town.jpg night.jpg -o out.png --content-mask town_content.png \\"
        "\n      --style-mask town_style.png",
    )
    parser.add_argument("content", metavar="CONTENT", help="the picture to repaint")
    parser.add_argument("style", metavar="STYLE", help="the painting")
    parser.add_argument("-o", "--output", required=True, metavar="PREFIX", help="beginning of the names to write")
    parser.add_argument("--count", type=int, default=2, metavar="K", help="how many regions, 2 to 8 (default 2)")
    parser.add_argument(
        "--pairs", type=_pairs, metavar="N,…", help="the style's region for content region 0, 1, … (default: proposed)"
    )
    parser.add_argument("--weights", metavar="NET", help="network to look with (default: the best network there is)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the clustering (default 0)")


def _pairs(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected region numbers with commas between, got {text!r}") from None


def _regions(arguments: argparse.Namespace) -> int:
    from vggnumpy.files import check_output
    from vggnumpy.formats.load import best_network, load_network
    from vggnumpy.images import read_image, write_image
    from vggnumpy.pairing import draw_pairing, pair, paired
    from vggnumpy.segment import segment

    if arguments.seed < 0:
        raise InputError(f"the seed must not be negative, got {arguments.seed}")
    paths = [Path(f"{arguments.output}_{what}.png") for what in ("content", "style", "pairs")]
    for path in paths:
        check_output(path)
        if path.resolve() in (Path(arguments.content).resolve(), Path(arguments.style).resolve()):
            raise InputError(f"{path} is an input and would be overwritten: name another output")
    net = load_network(arguments.weights) if arguments.weights else best_network()
    photo, painting = read_image(arguments.content), read_image(arguments.style)
    mine, other = (
        segment(image, net, arguments.count, rng=arguments.seed, what=path)
        for image, path in ((photo, arguments.content), (painting, arguments.style))
    )
    pairing = pair(mine, other) if arguments.pairs is None else arguments.pairs
    masks = [regions.picture() for regions in paired(mine, other, pairing)]
    drawings = [*masks, draw_pairing(photo, painting, mine, other, pairing)]  # all of them before the first is written
    for path, drawing in zip(paths, drawings, strict=True):
        write_image(path, drawing)
    print(f"network: {net.name}")
    names, shares, of_style = mine.regions.names, mine.regions.shares, other.regions.shares
    for number, source in enumerate(pairing):
        print(f"{number} {names[number]} ({shares[number]:.0%}) from {source} ({of_style[source]:.0%})")
    print(
        f"wrote {', '.join(map(str, paths))}; if {paths[2].name} shows other pairs than you want, give them by --pairs"
    )
    return 0
