"""``vggnumpy doodle``."""

from __future__ import annotations

import argparse
from typing import Any

from vggnumpy.cli.common import command
from vggnumpy.cli.transfer import add_run_options


def add_doodle(commands: Any) -> None:
    """Add ``doodle``."""
    parser = command(
        commands,
        "doodle",
        _doodle,
        "turn a few flat colours into a painting like another",
        "\n\nMAP says with flat colours what is to be where; STYLE_MAP, in the same colours, what is where in STYLE."
        "\nThe form patches takes the painting's own pieces to their places, regions only its colours and strokes."
        "\nWrites what transfer writes."
        "\n\nexample:"
        "\n  vggnumpy doodle coast.jpg coast_map.png my_map.png -o out.png",
    )
    parser.add_argument("style", metavar="STYLE", help="a painting")
    parser.add_argument("style_map", metavar="STYLE_MAP", help="its map")
    parser.add_argument("map", metavar="MAP", help="the doodle")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the picture to write, such as out.png")
    parser.add_argument("--form", choices=tuple(FORMS), default="patches", help="default: patches")
    parser.add_argument("--size", type=int, metavar="N", help="long side of the result (default: 512 or MAP's own)")
    parser.add_argument("--iterations", type=int, default=200, metavar="N", help="in all (default: 200)")
    parser.add_argument("--init", default="noise", metavar="START", help="noise (default), content (MAP) or a picture")
    parser.add_argument("--regions", type=int, metavar="K", help="how many colours a map has (default: found)")
    parser.add_argument("--save-every", type=int, metavar="N", help="also write the picture every N iterations")
    add_run_options(parser)


FORMS: dict[str, dict[str, Any]] = {
    "patches": {"style_loss": "patches", "style_layers": {"relu3_1": 0.5, "relu4_1": 0.5}},
    "regions": {"mask_way": "twin_average"},
}


def _doodle(arguments: argparse.Namespace) -> int:
    from vggnumpy.run import run_transfer

    return run_transfer(
        arguments.map,
        [arguments.style],
        arguments.output,
        weights=arguments.weights,
        size=arguments.size,
        seed=arguments.seed,
        content_mask=arguments.map,
        style_masks=[arguments.style_map],
        regions=arguments.regions,
        device=arguments.device,
        save_every=arguments.save_every,
        as_json=arguments.json,
        overrides={
            "content_layers": {},
            "start": arguments.init,
            "iterations": arguments.iterations,
            **FORMS[arguments.form],
        },
        arguments=arguments.given,
    )
