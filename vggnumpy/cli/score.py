"""``vggnumpy score``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vggnumpy.cli.common import command


def add_score(commands: Any) -> None:
    """Add ``score`` and its own commands."""
    text = "measure what became of a picture"
    parser = commands.add_parser("score", help=text, description=f"{text[0].upper()}{text[1:]}.")
    measures = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(parser))
    classes = command(
        measures,
        "class",
        _class,
        "tell how sure a classifier still is of what it saw in the original",
        "\n\nFor each picture: the score (0 to 1) of the class that the original was given, whether that is still the"
        "\nmost likely class, and the class that is.  A picture is cut to its largest square in the middle or to"
        "\n--box."
        "\n\nexample:\n  vggnumpy score class portrait.jpg starry.png wave.png --weights vgg-face",
    )
    classes.add_argument("original", metavar="ORIGINAL", help="the photograph")
    classes.add_argument("styled", metavar="STYLED", nargs="*", help="pictures painted from it")
    classes.add_argument(
        "--weights", required=True, metavar="NET", help="name or file of a network with its classifier"
    )
    classes.add_argument(
        "--box",
        type=_box,
        metavar="X,Y,W,H",
        help="left, top, width, height of the part to look at; stretched to a square",
    )
    classes.add_argument("--json", action="store_true", help="print the scores as JSON")
    cifar = command(
        measures,
        "cifar",
        _cifar,
        "tell how many of CIFAR-10's test pictures a classifier gets wrong",
        "\n\nOne view of each picture, as it is stored.\n\nexample:\n  vggnumpy score cifar cifar-10-python.tar.gz",
    )
    cifar.add_argument("data", metavar="CIFAR10", help="archive, folder of batches, or HDF5 file with JPEG pictures")
    cifar.add_argument("--weights", default="builtin", metavar="NET", help="name or file (default builtin)")
    cifar.add_argument("--json", action="store_true", help="print the result as JSON")


def _box(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"expected left,top,width,height in pixels, got {text!r}")
    return numbers


def _class(arguments: argparse.Namespace) -> int:
    from vggnumpy.evaluate import class_scores, score_table
    from vggnumpy.formats.load import load_network
    from vggnumpy.images import read_image

    net = load_network(arguments.weights)
    original = read_image(arguments.original)
    scores = class_scores(net, original, map(read_image, arguments.styled), arguments.box)
    names = [arguments.original, *arguments.styled]
    if arguments.json:
        rows = [{"picture": name, **score._asdict()} for name, score in zip(names, scores, strict=True)]
        print(json.dumps({"network": net.name, "scores": rows}, indent=2))
        return 0
    print(f"network {net.name}, class of {arguments.original}: {scores[0].class_name}")
    print(score_table(names, scores))
    return 0


def _cifar(arguments: argparse.Namespace) -> int:
    from vggnumpy.evaluate import error_rate
    from vggnumpy.formats.cifar import read_cifar
    from vggnumpy.formats.load import load_network

    net = load_network(arguments.weights)
    pixels, labels, note = read_cifar(arguments.data, "test")
    error = error_rate(net, pixels, labels)
    if arguments.json:
        print(json.dumps({"network": net.name, "pictures": len(labels), "note": note, "error": error}, indent=2))
    else:
        print(f"network {net.name}: {error:.2%} of {len(labels)} test pictures wrong" + (f" ({note})" if note else ""))
    return 0
