"""``vggnumpy convert``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vggnumpy.cli.common import command


def add_convert(commands: Any) -> None:
    """Add ``convert``."""
    parser = command(
        commands,
        "convert",
        _convert,
        "turn a network's published weights into vggnumpy's HDF5 file, or a network into MatConvNet's .mat",
        "\n\nReads MatConvNet .mat, Caffe .caffemodel, PyTorch .pth (no code in it is executed), Keras .h5, Torch7 .t7,"
        "\n.safetensors and .npz.  Every number is kept bit for bit."
        "\n\nexamples:"
        "\n  vggnumpy convert imagenet-vgg-verydeep-19.mat -o weights/vgg19.h5"
        "\n  vggnumpy convert weights/vgg19.h5 -o vgg19.mat",
    )
    parser.add_argument("source", metavar="SOURCE", help="the file to convert")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the .h5 or .mat file to write")
    parser.add_argument("--architecture", metavar="NAME", help="such as vgg19, where the file's names do not tell")
    parser.add_argument(
        "--input",
        metavar="PIXELS",
        help="the pixels it expects, where the file is of no known family: torchvision, caffe, matconvnet, unit, …",
    )
    parser.add_argument("--pad-mode", choices=("zero", "reflect", "replicate"), help="what its padding holds")
    parser.add_argument("--pool-rounding", choices=("floor", "ceil"), help="drop or keep an incomplete last window")
    parser.add_argument("--no-classifier", action="store_true", help="leave out the layers that only name the class")
    parser.add_argument("--license", metavar="TEXT", help="the licence of the weights, kept in the file")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _convert(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.convert import convert

    report = convert(
        arguments.source,
        arguments.output,
        architecture=arguments.architecture,
        input_convention=arguments.input,
        pad_mode=arguments.pad_mode,
        pool_rounding=arguments.pool_rounding,
        license=arguments.license,
        classifier=not arguments.no_classifier,
    )
    if arguments.json:
        print(json.dumps(vars(report), indent=2, default=str))
        return 0
    print(f"wrote {report.output}: {report.architecture}, {', '.join(report.layers)}")
    print(f"recognised as {report.family}")
    for convention in report.conventions:
        print(f"  {convention}")
    if report.left_out:
        print(f"left out: {', '.join(report.left_out)}")
    print(f"digest {report.digest}")
    return 0
