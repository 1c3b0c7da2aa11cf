"""The command line: everything that ``vggnumpy --help`` lists."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import vggnumpy
from vggnumpy.cli.checks import add_gradcheck, add_info
from vggnumpy.cli.common import Parser
from vggnumpy.cli.convert import add_convert
from vggnumpy.cli.doodle import add_doodle
from vggnumpy.cli.regions import add_regions
from vggnumpy.cli.score import add_score
from vggnumpy.cli.style import add_style
from vggnumpy.cli.sweep import add_sweep
from vggnumpy.cli.train import add_train
from vggnumpy.cli.transfer import add_demo, add_transfer
from vggnumpy.cli.weights import add_weights
from vggnumpy.errors import InputError

DESCRIPTION = """\
Neural style transfer on raw NumPy: paints a photograph in the style of a painting.

  vggnumpy demo                                      paint the demo portrait, nothing else needed
  vggnumpy transfer me.jpg painting.jpg -o out.png   paint your own
"""


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
    parser = Parser(prog="vggnumpy", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"vggnumpy {vggnumpy.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    add_transfer(commands)
    add_sweep(commands)
    add_demo(commands)
    add_doodle(commands)
    add_regions(commands)
    add_style(commands)
    add_weights(commands)
    add_convert(commands)
    add_score(commands)
    add_train(commands)
    add_gradcheck(commands)
    add_info(commands)
    return parser
