"""The command line: ``vggnumpy transfer``, ``demo``, ``convert``, ``weights``, ``gradcheck``, ``info``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import vggnumpy
from vggnumpy.errors import InputError
from vggnumpy.weights_command import add_weights

DESCRIPTION = """\
Neural style transfer on raw NumPy: paints a photograph in the style of a painting.

  vggnumpy demo                                      paint the demo portrait, nothing else needed
  vggnumpy transfer me.jpg painting.jpg -o out.png   paint your own
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with code 2."""
        self.exit(2, f"vggnumpy: error: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(given)
    arguments.given = given
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except InputError as error:
        sentence = str(error)
    except MemoryError:
        sentence = "there is not enough memory for this; use a smaller --size or a smaller picture"
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        sentence = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
    except KeyboardInterrupt:
        print("vggnumpy: interrupted", file=sys.stderr)
        return 130
    print(f"vggnumpy: error: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog="vggnumpy", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"vggnumpy {vggnumpy.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_transfer(commands)
    _add_demo(commands)
    _add_convert(commands)
    add_weights(commands, _command)
    _add_gradcheck(commands)
    _add_info(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, more: str = "") -> Any:
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.{more}", formatter_class=_help_format
    )
    parser.set_defaults(run=run)
    return parser


def _help_format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=100)


def _add_transfer(commands: Any) -> None:
    parser = _command(
        commands,
        "transfer",
        _transfer,
        "paint a picture in the style of another",
        "\n\nBeside OUT it writes OUT's name with .json (settings, versions, digests, history: all that is needed to"
        "\nrepeat the run) and with .loss.png (a plot of the loss).  Ctrl-C stops early and keeps the best image."
        "\n\nexamples:"
        "\n  vggnumpy transfer portrait.jpg starry_night.jpg -o out.png --size 768"
        "\n  vggnumpy transfer town.jpg wave.jpg -o out.png --content-layers relu2_2=0.005 --style-scale 0.7",
    )
    parser.add_argument("content", metavar="CONTENT", help="the picture to repaint")
    parser.add_argument("style", metavar="STYLE", nargs="+", help="one or more pictures to take the style from")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the picture to write, such as out.png")
    parser.add_argument("--size", type=int, metavar="N", help="long side of the result (default: 512 or CONTENT's own)")
    parser.add_argument("--iterations", type=int, metavar="N", help="in all (default: the preset's; 300 for default)")
    _add_run_options(parser)
    parser.add_argument(
        "--init",
        metavar="START",
        help="start from content, noise, style or a picture file (default: the preset's; the default one: content)",
    )
    parser.add_argument("--preset", default="default", metavar="NAME", help=f"one of {', '.join(_preset_names())}")
    parser.add_argument("--pooling", choices=("max", "average"), help="in place of the preset's")
    parser.add_argument("--pad-mode", choices=("zero", "reflect", "replicate"), help="in place of the network's")
    parser.add_argument("--content-layers", type=_layers, metavar="L=W,…", help="layers and weights, as relu4_2=0.02")
    parser.add_argument("--style-layers", type=_layers, metavar="L=W,…", help="as relu1_1=0.5,relu2_1=0.5")
    parser.add_argument("--style-weights", type=_numbers, metavar="W,…", help="one for each STYLE (default: equal)")
    parser.add_argument("--style-scale", type=float, metavar="F", help="size of the style's strokes (default: 1)")
    parser.add_argument("--variation", type=float, metavar="W", help="weight of smoothness, in place of the preset's")
    parser.add_argument("--scales", type=int, metavar="N", help="sizes gone through, each twice the one before")
    parser.add_argument("--save-every", type=int, metavar="N", help="also write the picture every N iterations")


def _add_run_options(parser: Any) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random numbers (default: 0)")
    parser.add_argument(
        "--weights",
        metavar="NET",
        help="name or file of the network's weights, or random (default: the best network there is)",
    )
    parser.add_argument("--device", default="auto", metavar="DEV", help="cpu, cuda, cuda:N or auto (default)")
    parser.add_argument("--json", action="store_true", help="print the record of the run as JSON")


def _preset_names() -> Sequence[str]:
    from vggnumpy.presets import PRESETS

    return tuple(PRESETS)


def _layers(text: str) -> dict[str | int, float]:
    """Parse ``relu1_1=0.5,relu2_1`` into layer → weight; a layer without a weight has 1."""
    layers: dict[str | int, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            key = int(name) if name.isdecimal() else name
            if key in layers:
                raise argparse.ArgumentTypeError(f"layer {name} is given twice")
            layers[key] = float(weight) if weight else 1.0
        except ValueError:
            raise argparse.ArgumentTypeError(f"{weight!r} is not a weight for layer {name}") from None
    return layers


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def _transfer(arguments: argparse.Namespace) -> int:
    from vggnumpy.run import run_transfer

    given = {
        "start": arguments.init,
        "iterations": arguments.iterations,
        "pooling": arguments.pooling,
        "pad_mode": arguments.pad_mode,
        "content_layers": arguments.content_layers,
        "style_layers": arguments.style_layers,
        "style_scale": arguments.style_scale,
        "variation": arguments.variation,
        "scales": arguments.scales,
    }
    return run_transfer(
        arguments.content,
        arguments.style,
        arguments.output,
        weights=arguments.weights,
        preset=arguments.preset,
        size=arguments.size,
        seed=arguments.seed,
        style_weights=arguments.style_weights,
        device=arguments.device,
        save_every=arguments.save_every,
        as_json=arguments.json,
        overrides={name: value for name, value in given.items() if value is not None},
        arguments=arguments.given,
    )


def _add_demo(commands: Any) -> None:
    from vggnumpy.paintings import PAINTINGS

    parser = _command(
        commands,
        "demo",
        _demo,
        "paint a portrait in the style of a painting, with pictures that are here already",
        "\n\nThe portrait is the photograph of Grace Hopper in matplotlib's sample data; the style is one of"
        "\nvggnumpy's own paintings.",
    )
    parser.add_argument("-o", "--output", default="demo.png", metavar="OUT", help="default: demo.png")
    parser.add_argument("--style", choices=tuple(PAINTINGS), default="flow_field", help="default: flow_field")
    parser.add_argument("--size", type=int, default=384, metavar="N", help="long side of the result (default: 384)")
    parser.add_argument("--iterations", type=int, default=120, metavar="N", help="in all (default: 120)")
    _add_run_options(parser)


def _demo(arguments: argparse.Namespace) -> int:
    from vggnumpy.paintings import painting_path
    from vggnumpy.run import demo_portrait, run_transfer

    return run_transfer(
        demo_portrait(),
        [painting_path(arguments.style)],
        arguments.output,
        weights=arguments.weights,
        size=arguments.size,
        seed=arguments.seed,
        device=arguments.device,
        as_json=arguments.json,
        overrides={"iterations": arguments.iterations},
        arguments=arguments.given,
    )


def _add_convert(commands: Any) -> None:
    parser = _command(
        commands,
        "convert",
        _convert,
        "turn a network's published weights into vggnumpy's HDF5 file",
        "\n\nReads PyTorch .pth files (no code in them is executed) and plain .npz files."
        "\n\nexample:\n  vggnumpy convert vgg19-dcbb9e9d.pth -o weights/vgg19.h5",
    )
    parser.add_argument("source", metavar="SOURCE", help="the file to convert")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the .h5 file to write")
    parser.add_argument("--architecture", metavar="NAME", help="vgg16 or vgg19, where the file's names do not tell")
    parser.add_argument(
        "--input",
        choices=("torchvision", "caffe", "matconvnet", "unit"),
        help="the pixels it expects, where the file is of no known family",
    )
    parser.add_argument("--pad-mode", choices=("zero", "reflect", "replicate"), help="what its padding holds")
    parser.add_argument("--pool-rounding", choices=("floor", "ceil"), help="drop or keep an incomplete last window")
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
    )
    if arguments.json:
        print(json.dumps(vars(report), indent=2, default=str))
        return 0
    print(f"wrote {report.output}: {report.architecture}, {', '.join(report.layers)}")
    print(f"recognised as {report.family}")
    for convention in report.conventions:
        print(f"  {convention}")
    if report.left_out:
        print(f"left out, as this network's table has no such layers: {', '.join(report.left_out)}")
    print(f"digest {report.digest}")
    return 0


def _add_gradcheck(commands: Any) -> None:
    parser = _command(
        commands,
        "gradcheck",
        _gradcheck,
        "check every hand-derived gradient against finite differences",
        "\n\nOne line for each operator, loss and regulariser and for a whole VGG-19 objective, in float64."
        "\nExit code 1 if any fails.",
    )
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")


def _gradcheck(arguments: argparse.Namespace) -> int:
    from vggnumpy.checks import TOLERANCE, run_checks

    checks = []
    for check in run_checks():
        checks.append(check)
        if not arguments.json:
            print(f"{'ok    ' if check.passed else 'FAILED'}  {check.error:8.1e}  {check.name}", flush=True)
    failed = [check.name for check in checks if not check.passed]
    if arguments.json:
        rows = [{"name": check.name, "error": check.error, "passed": check.passed} for check in checks]
        print(json.dumps({"tolerance": TOLERANCE, "failed": failed, "checks": rows}, indent=2))
    else:
        print(f"{len(checks)} gradients, relative error at most {TOLERANCE:g}: {len(failed)} failed")
    return 1 if failed else 0


def _add_info(commands: Any) -> None:
    parser = _command(commands, "info", _info, "show the hardware, the BLAS library, threads, arrays and networks")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _info(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.load import find_weights
    from vggnumpy.report import versions
    from vggnumpy.system import describe_system

    facts = {"versions": versions(), **describe_system()}
    facts["networks"] = {name: str(find_weights(name) or "not here") for name in ("vgg19", "vgg16", "builtin")}
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for key, value in facts.items():
        for i, line in enumerate(_lines(value)):
            print(f"{key if i == 0 else '':12}  {line}")
    return 0


def _lines(value: Any) -> list[str]:
    """Return a fact as lines of text."""
    if isinstance(value, dict):
        return [", ".join(f"{key} {item}" for key, item in value.items())]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [line for item in value for line in _lines(item)]
    if isinstance(value, list):
        return [str(item) for item in value] or ["none"]
    return [str(value)]
