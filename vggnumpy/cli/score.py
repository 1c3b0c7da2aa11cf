"""``vggnumpy score``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vggnumpy.cli.common import command


def add_score(commands: Any) -> None:
    """Add ``score`` and its own commands."""
    text = "measure what became of a picture"
    parser = commands.add_parser("score", help=text, description=f"{text[0].upper()}{text[1:]}.")
    measures = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(parser))
    _add_score_transfer(measures)
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
    cifar.add_argument(
        "--weights",
        default="builtin",
        metavar="NET",
        help="network with its classifier, its name or file (default builtin)",
    )
    cifar.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_score_transfer(measures: Any) -> None:
    transfers = command(
        measures,
        "transfer",
        _transfer,
        "tell how much of a painting's style results have, and what of the photograph they have kept",
        "\n\nResults may come from any program, at any size from 256 pixels (or --size): all are brought to that long"
        "\nside and shown to one network.  The columns, the photograph itself in the first line:"
        "\n  style       share of the way from the photograph (0) to the style (1)"
        "\n  content     distance from the photograph's features, in parts of their length"
        "\n  structure   structural similarity (SSIM) with the photograph, 1 for the same"
        "\n  ΔE          mean difference of colour from the photograph, place by place"
        "\n  palette ΔE  distance of the colours from the painting's, wherever they are"
        "\n  relu1_1 …   distance from the style at each layer, in parts of its length"
        "\n\nexamples:"
        "\n  vggnumpy score transfer town.jpg wave.jpg first.png second.png --plot scores.png"
        "\n  vggnumpy score transfer me.jpg wave.jpg out.png --classifier squeezenet1_1",
    )
    transfers.add_argument("content", metavar="CONTENT", help="the photograph")
    transfers.add_argument("style", metavar="STYLE", help="the painting")
    transfers.add_argument("results", metavar="RESULT", nargs="+", help="pictures made from the two")
    transfers.add_argument(
        "--weights", default="builtin", metavar="NET", help="network that judges, its name or file (default builtin)"
    )
    transfers.add_argument(
        "--style-scale",
        type=float,
        default=1.0,
        metavar="F",
        help="that the results were painted with, 0.01 to 100 (default 1)",
    )
    transfers.add_argument(
        "--size",
        type=int,
        default=256,
        metavar="N",
        help="long side to compare at; smaller for smaller results (default 256)",
    )
    transfers.add_argument("--classifier", metavar="NET", help="also tell whether this network still sees the same")
    transfers.add_argument("--plot", metavar="OUT", help="also draw the scores, as a PNG file")
    transfers.add_argument("--json", action="store_true", help="print the scores as JSON")


def _transfer(arguments: argparse.Namespace) -> int:
    from vggnumpy import report
    from vggnumpy.evaluate import class_scores, score_table
    from vggnumpy.formats.load import load_network
    from vggnumpy.images import read_image
    from vggnumpy.scores import Judge, transfer_score_table

    if arguments.plot is not None:
        report.check_plot(arguments.plot, [arguments.content, arguments.style, *arguments.results])
    content, style = read_image(arguments.content), read_image(arguments.style)
    judge = Judge(content, style, load_network(arguments.weights), arguments.size, arguments.style_scale)
    classifier = load_network(arguments.classifier) if arguments.classifier else None
    names = [arguments.content, *arguments.results]
    scores = []
    for name in names:
        picture = read_image(name)
        scores.append(judge.score(picture))
        if max(picture.shape[:2]) < arguments.size:
            small = f"{name} has {max(picture.shape[:2])} pixels only and lacks what larger pictures have at"
            print(f"{small} {arguments.size}: compare all at its own size with --size", file=sys.stderr)
    classes = class_scores(classifier, content, map(read_image, arguments.results)) if classifier else []
    if arguments.plot is not None:
        labels = [Path(name).stem for name in names]
        report.plot_scores(arguments.plot, labels, scores, f"Against {Path(arguments.style).name}")
    if arguments.json:
        rows = [{"picture": name, **score.to_dict()} for name, score in zip(names, scores, strict=True)]
        for row, kept in zip(rows, classes, strict=False):
            row["class"] = kept._asdict()
        judged = {"network": judge.net.name, "size": arguments.size, "style_scale": arguments.style_scale}
        print(report.to_json({**judged, "style": arguments.style, "scores": rows}))
        return 0
    print(f"network {judge.net.name}, style {arguments.style}")
    print(transfer_score_table(names, scores))
    if classifier is not None:
        print(f"\nnetwork {classifier.name}, class of {arguments.content}: {classes[0].class_name}")
        print(score_table(names, classes))
    return 0


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
