"""``vggnumpy gradcheck`` and ``vggnumpy info``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vggnumpy.cli.common import command


def add_gradcheck(commands: Any) -> None:
    """Add ``gradcheck``."""
    parser = command(
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


def add_info(commands: Any) -> None:
    """Add ``info``."""
    parser = command(commands, "info", _info, "show the hardware, the BLAS library, threads, arrays and networks")
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
