"""``vggnumpy weights``: which networks there are to be had, fetching them, and checking those that are here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vggnumpy.cli.common import command
from vggnumpy.errors import InputError


def add_weights(commands: Any) -> None:
    """Add ``weights`` and its own commands."""
    text = "list, fetch and check networks"
    parser = commands.add_parser("weights", help=text, description=f"{text[0].upper()}{text[1:]}.")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(parser))
    listing = command(actions, "list", _list, "show the public networks, and which are here")
    listing.add_argument("--json", action="store_true", help="print it as JSON")
    fetching = command(
        actions,
        "fetch",
        _fetch,
        "download a public network, check it and convert it",
        "\n\nIt goes into the user's cache (or the folder that VGGNUMPY_CACHE names), where --weights NAME finds it."
        "\nThe download is then deleted: the converted file holds its numbers bit for bit."
        "\n\nexamples:\n  vggnumpy weights fetch vgg19"
        "\n  vggnumpy weights fetch vgg19 --from imagenet-vgg-verydeep-19.mat",
    )
    fetching.add_argument("name", metavar="NAME", help="as vggnumpy weights list shows it")
    fetching.add_argument("--from", dest="source", metavar="FILE", help="the original, where you have it already")
    fetching.add_argument("--keep", action="store_true", help="keep the downloaded original, too")
    verifying = command(
        actions,
        "verify",
        _verify,
        "read the networks that are here again and check their digests",
        "\n\nExit code 1 if any fails.",
    )
    verifying.add_argument("names", metavar="NAME", nargs="*", help="default: all that are here")
    showing = command(actions, "show", _show, "show everything about a network, and how to get it")
    showing.add_argument("name", metavar="NAME", help="as vggnumpy weights list shows it")


def _list(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.fetch import original_path
    from vggnumpy.formats.load import find_weights
    from vggnumpy.formats.registry import ORIGINALS

    rows: list[dict[str, Any]] = []
    for original in ORIGINALS.values():
        path, kept = find_weights(original.name), original_path(original)
        facts = {field: getattr(original, field) for field in ("name", "network", "size", "license", "address", "note")}
        places = {"path": path and str(path), "original": str(kept) if kept.is_file() else None}
        rows.append(facts | {"digests": dict(original.digests)} | places)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    lines = [("name", "network", "size", "licence", "here")]
    for row in rows:
        here = row["path"] or ("the original alone" if row["original"] else "-")
        lines.append((row["name"], row["network"], _size(row["size"]), _short(row["license"]), here))
    _print_table(lines)
    print("\nvggnumpy weights show NAME tells more, vggnumpy weights fetch NAME gets one")
    return 0


def _short(license: str) -> str:
    return license.partition(" (")[0]


def _size(size: Any) -> str:
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _fetch(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.fetch import fetch, find_original
    from vggnumpy.formats.load import find_weights, load_network

    original = find_original(arguments.name)
    here = find_weights(original.name)
    if here is not None and arguments.source is None:
        try:
            load_network(here)
        except InputError as error:
            print(f"the file that is here is not used: {error}")
        else:
            print(f"{original.name} is here already: {here}")
            return 0
    if arguments.source is None and original.address:
        print(f"fetching {original.address} ({_size(original.size)}); licence: {original.license}", flush=True)
    fetched = fetch(original.name, arguments.source, arguments.keep)
    conversion = fetched.conversion
    print(f"wrote {fetched.path}: {conversion.architecture}, digest {conversion.digest}")
    for convention in conversion.conventions:
        print(f"  {convention}")
    if fetched.original:
        print(f"the original is kept: {fetched.original}")
    elif arguments.source is None:
        print("the original was deleted, as the new file holds its numbers bit for bit")
    found = find_weights(original.name)
    if found == fetched.path:
        print(f"--weights {original.name} finds it")
    else:
        print(f"--weights {original.name} finds {found} before it: remove that file, or name this one by its path")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.fetch import check_original, original_path
    from vggnumpy.formats.load import load_network, weights_folders
    from vggnumpy.formats.registry import ORIGINALS

    files = [path for folder in weights_folders() for path in sorted(folder.glob("*.h5"))]
    kept = [original for original in ORIGINALS.values() if original_path(original).is_file()]
    for name in arguments.names:
        if name not in {path.stem for path in files} | {original.name for original in kept}:
            how = f"get it with: vggnumpy weights fetch {name}" if name in ORIGINALS else "see: vggnumpy weights list"
            raise InputError(f"network {name!r} is not here; {how}")
    checks: list[tuple[str, Path, Callable[[], object]]] = [
        *((path.stem, path, partial(load_network, path)) for path in files),
        *((row.name, original_path(row), partial(check_original, original_path(row), row)) for row in kept),
    ]
    failed = 0
    rows = []
    for name, path, check in checks:
        if arguments.names and name not in arguments.names:
            continue
        try:
            check()
            state = "ok"
        except InputError as error:
            state = f"FAILED: {str(error).removeprefix(f'{path}: ')}"
            failed += 1
        rows.append((name, str(path), state))
    _print_table([("name", "file", "state"), *rows])
    print(f"{len(rows)} files, {failed} failed")
    return 1 if failed else 0


def _show(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.load import find_weights, load_network
    from vggnumpy.formats.registry import ORIGINALS

    name = arguments.name
    original, path = ORIGINALS.get(name), find_weights(name)
    if original is None and path is None:
        raise InputError(f"network {name!r} is neither here nor known; the known ones are {', '.join(ORIGINALS)}")
    facts = {"name": name}
    if original is not None:
        facts |= {
            "network": original.network,
            "note": original.note,
            "address": original.address or "no longer offered",
            "file": original.file,
            "size": "unknown" if original.size is None else f"{original.size:,} bytes",
            **{algorithm: _digest(digest, algorithm) for algorithm, digest in original.digests.items()},
            "licence": original.license,
            "get it": f"vggnumpy weights fetch {name}" + ("" if original.address else " --from FILE"),
            "by hand": _by_hand(original),
        }
    if path is not None:
        net = load_network(path)
        facts |= {
            "here": str(path),
            "source": str(net.provenance["source"]),
            "layers": f"{len(net.layers)}: {', '.join(net.layers)}",
            "channels": net.channel_order,
            "mean": ", ".join(f"{value:.8g}" for value in net.mean),
            "scale": ", ".join(f"{value:.8g}" for value in net.scale),
            "digest": str(net.provenance["digest"]),
        }
    for key, fact in facts.items():
        if fact:
            print(f"{key:8}  {fact}")
    return 0


def _digest(digits: str, algorithm: str) -> str:
    from hashlib import new

    whole = 2 * new(algorithm, usedforsecurity=False).digest_size
    return digits if len(digits) == whole else f"begins with {digits}"


def _by_hand(original: Any) -> str:
    """Return the command that converts a downloaded original into the folder weights."""
    flags = {"architecture": "--architecture", "input_convention": "--input"}
    options = "".join(f" {flags[key]} {value}" for key, value in original.options.items())
    unpack = f"tar -xzf {original.file} {original.member} && " if original.member else ""
    return f"{unpack}vggnumpy convert {original.member or original.file} -o weights/{original.name}.h5{options}"
