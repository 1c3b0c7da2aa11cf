"""``vggnumpy transfer`` and ``vggnumpy demo``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vggnumpy.cli.common import command

if TYPE_CHECKING:
    from vggnumpy.plan import Plan


def add_transfer(commands: Any) -> None:
    """Add ``transfer``."""
    parser = command(
        commands,
        "transfer",
        run_parsed,
        "paint a picture in the style of another",
        "\n\nBeside OUT it writes OUT's name with .json (settings, versions, digests, history: all that is needed to"
        "\nrepeat the run) and with .loss.png (a plot of the loss).  Ctrl-C stops early and keeps the best image."
        "\n\nexamples:"
        "\n  vggnumpy transfer portrait.jpg starry_night.jpg -o out.png --size 768"
        "\n  vggnumpy transfer town.jpg wave.jpg -o out.png --content-layers relu2_2=0.005 --style-scale 0.7"
        "\n  vggnumpy transfer town.jpg wave.jpg -o out.png --strength 3 --color luminance"
        "\n  vggnumpy transfer town.jpg night.jpg -o out.png --content-mask town_mask.png --style-mask night_mask.png",
    )
    parser.add_argument("content", metavar="CONTENT", help="the picture to repaint")
    parser.add_argument("style", metavar="STYLE", nargs="+", help="pictures to take the style from, or style files")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the picture to write, such as out.png")
    add_transfer_options(parser)
    parser.add_argument("--estimate", action="store_true", help="only say what memory and time it would take")
    parser.add_argument("--save-every", type=int, metavar="N", help="also write the picture every N iterations")
    parser.add_argument(
        "--animate",
        metavar="FILE",
        help="also write the pictures on the way as an animation, .gif, .webp or .apng: every N iterations of "
        "--save-every (default: 24 in all), at 640 pixels a side at most",
    )
    parser.add_argument(
        "--contact-sheet", metavar="FILE", help="also write the same pictures side by side, as a picture"
    )


def add_transfer_options(parser: Any) -> None:
    """Add the options that say how a picture is painted."""
    parser.add_argument(
        "--size", type=int, metavar="N", help="long side of the result (default: 512, or CONTENT's own if smaller)"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="in all (default: the preset's; 300 for default)")
    add_run_options(parser)
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
    parser.add_argument(
        "--strength",
        type=float,
        metavar="S",
        help="of the style, 0.1 (little) over 1 to 10 (much), the same with every size, network and preset: content "
        "weights are found by trial (default: the preset's weights as they are)",
    )
    parser.add_argument(
        "--fine-style",
        metavar="IMG",
        help="take grain and strokes (the shallower half of the style layers) from this picture, forms and colours "
        "from STYLE",
    )
    parser.add_argument(
        "--style-scale", type=float, metavar="F", help="size of the style's strokes, 0.01 to 100 (default: 1)"
    )
    parser.add_argument(
        "--color",
        metavar="KIND",
        help="whose colours: style (default); the content's, painting brightness alone: luminance (YIQ) or "
        "luminance-lab; the content's, matching the style's first: cholesky, principal-axes or histogram; recolor: the "
        "style's, and nothing painted; regions: with masks, the style's, moved region by region before painting and "
        "after it, with even borders",
    )
    parser.add_argument("--variation", type=float, metavar="W", help="weight of smoothness, in place of the preset's")
    parser.add_argument(
        "--scales",
        type=int,
        metavar="N",
        help="sizes gone through, each twice the one before (default: the preset's; the default one: as many as "
        "begin at 128 pixels or more)",
    )
    parser.add_argument(
        "--style-loss",
        metavar="KIND",
        help="gram (default), self-convolution, autocorrelation, local, covariation (which know of places) or patches",
    )
    parser.add_argument(
        "--radius",
        type=int,
        metavar="S",
        help="of the windows of --style-loss local and covariation, in positions of a layer (default 8)",
    )
    parser.add_argument(
        "--content-mask",
        metavar="MASK",
        help="a picture of flat colours, a region each; one colour is painted in the style of the same colour in the "
        "style's mask, or, without --style-mask, each region in a STYLE of its own, the largest first",
    )
    parser.add_argument("--style-mask", action="append", default=[], metavar="MASK", help="once for each STYLE")
    parser.add_argument("--regions", type=int, metavar="K", help="how many colours a mask has (default: found)")
    parser.add_argument(
        "--feather",
        type=float,
        metavar="F",
        help="width of the band where masks' regions blend, in parts of the long side (default 0.01)",
    )
    parser.add_argument(
        "--mask-way",
        metavar="WAY",
        help="how masks reach a layer: area (default), inside, all, twin_average or twin_max",
    )


def add_run_options(parser: Any) -> None:
    """Add the options that every command has that paints."""
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random numbers (default: 0)")
    parser.add_argument(
        "--weights",
        metavar="NET",
        help="name or file of the network's weights, or random (default: the best network there is)",
    )
    parser.add_argument("--device", default="auto", metavar="DEV", help="cpu, cuda, cuda:N or auto (default)")
    parser.add_argument(
        "--precision",
        default="fp32",
        metavar="P",
        help="of a GPU's tensor cores: fp32 (default; exact), tf32 (faster; a few percent of error in the gradient), "
        "bf16 (fastest, half the memory; three times that error)",
    )
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


def run_parsed(arguments: argparse.Namespace, check: Callable[[Plan], None] | None = None) -> int:
    """Run the transfer of a parsed command line, or only plan it and hand the plan to `check`; return the exit code."""
    from vggnumpy.run import run_transfer

    given = {
        "start": arguments.init,
        "iterations": arguments.iterations,
        "pooling": arguments.pooling,
        "pad_mode": arguments.pad_mode,
        "content_layers": arguments.content_layers,
        "style_layers": arguments.style_layers,
        "style_scale": arguments.style_scale,
        "strength": arguments.strength,
        "variation": arguments.variation,
        "color": arguments.color,
        "scales": arguments.scales,
        "style_loss": arguments.style_loss,
        "radius": arguments.radius,
        "feather": arguments.feather,
        "mask_way": arguments.mask_way,
        "precision": arguments.precision,
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
        content_mask=arguments.content_mask,
        style_masks=arguments.style_mask,
        regions=arguments.regions,
        fine_style=arguments.fine_style,
        device=arguments.device,
        save_every=arguments.save_every,
        animate=arguments.animate,
        contact_sheet=arguments.contact_sheet,
        estimate=arguments.estimate,
        check=check,
        as_json=arguments.json,
        overrides={name: value for name, value in given.items() if value is not None},
        arguments=arguments.given,
    )


def add_demo(commands: Any) -> None:
    """Add ``demo``."""
    from vggnumpy.paintings import PAINTINGS

    parser = command(
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
    add_run_options(parser)


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
        overrides={"iterations": arguments.iterations, "precision": arguments.precision},
        arguments=arguments.given,
    )
