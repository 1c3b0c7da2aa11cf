"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with code 2."""
        self.exit(2, f"vggnumpy: error: {message}; see {self.prog} --help\n")


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, more: str = "") -> Any:
    """Add a command and return its parser; `text` says what it does, `more` follows in its help."""
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.{more}", formatter_class=_help_format
    )
    parser.set_defaults(run=run)
    return parser


def _help_format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=100)
