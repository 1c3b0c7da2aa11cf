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
        "\nThe form patches takes the painting's own pieces to their places, regions its colours and strokes; both is"
        "\nthe two together.  It begins with noise at a small size and doubles it until the picture has its full size."
        "\nWrites what transfer writes."
        "\n\nexample:"
        "\n  vggnumpy doodle coast.jpg coast_map.png my_map.png -o out.png"
        "\n  vggnumpy doodle coast.jpg coast_map.png my_map.png -o out.png --form regions --size 256",
    )
    parser.add_argument("style", metavar="STYLE", help="a painting")
    parser.add_argument("style_map", metavar="STYLE_MAP", help="its map")
    parser.add_argument("map", metavar="MAP", help="the doodle")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the picture to write, such as out.png")
    parser.add_argument("--form", choices=tuple(FORMS), default="both", help="default: both")
    parser.add_argument("--size", type=int, metavar="N", help="long side of the result (default: 512 or MAP's own)")
    parser.add_argument("--iterations", type=int, default=200, metavar="N", help="in all (default: 200)")
    parser.add_argument("--init", default="noise", metavar="START", help="noise (default), content (MAP) or a picture")
    parser.add_argument("--regions", type=int, metavar="K", help="how many colours a map has (default: found)")
    parser.add_argument("--save-every", type=int, metavar="N", help="also write the picture every N iterations")
    add_run_options(parser)


# Patches at relu1_1 would take sixteen times as long as those at relu2_1, and Gram matrices hold the colours.  Patches
# alone need a shallow layer for colours all the same: the paper's, of the third and fourth block, leave them to chance.
# Patches begin small, where one at relu3_1 is a third of the picture; Gram matrices of so few positions are chance.
_ALL: dict[str, Any] = {"content_layers": {}, "start": "noise", "variation": 1.0}
FORMS: dict[str, dict[str, Any]] = {
    "both": {**_ALL, "patch_layers": {"relu2_1": 0.25, "relu3_1": 0.25}, "coarsest": 40},
    "patches": {
        **_ALL,
        "style_loss": "patches",
        "style_layers": {"relu2_1": 0.25, "relu3_1": 0.25, "relu4_1": 0.25},
        "coarsest": 40,
    },
    "regions": {**_ALL, "mask_way": "twin_average"},
}
"""Settings of a transfer from a map to a painting; style layers that are not named are those of every transfer."""


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
            **FORMS[arguments.form],
            "start": arguments.init,
            "iterations": arguments.iterations,
            "precision": arguments.precision,
        },
        arguments=arguments.given,
    )
