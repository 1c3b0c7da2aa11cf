"""``vggnumpy style`` and its own commands: styles as files, made from pictures, from each other, or from nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggnumpy.cli.common import command
from vggnumpy.cli.style_options import channels, entry, factors, names, numbers
from vggnumpy.errors import InputError


def add_style(commands: Any) -> None:
    """Add ``style`` and its own commands."""
    text = "compute, mix, edit, make up and show styles that are kept in files"
    parser = commands.add_parser("style", help=text, description=f"{text[0].upper()}{text[1:]}.")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(parser))
    _add_compute(actions)
    _add_mix(actions)
    _add_edit(actions)
    _add_synthesise(actions)
    _add_paint(actions)
    _add_show(actions)


def _add_compute(actions: Any) -> None:
    parser = command(
        actions,
        "compute",
        _compute,
        "compute the style of one picture, or the average style of many, and keep it",
        "\n\nThe file holds the pictures' Gram matrices at several sizes, the largest --size; it stands for them in"
        "\nvggnumpy transfer, which then opens no style picture."
        "\n\nexample:"
        "\n  vggnumpy style compute night.jpg -o night.h5"
        "\n  vggnumpy transfer town.jpg night.h5 -o out.png",
    )
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="one or more paintings")
    _add_output(parser)
    parser.add_argument(
        "--size", type=int, default=512, metavar="N", help="largest long side of a transfer that it is for (512)"
    )
    parser.add_argument("--weights", metavar="NET", help="network to look with (default: the best network there is)")
    parser.add_argument("--layers", type=names, metavar="L,…", help="default: relu1_1 to relu5_1, where there")
    parser.add_argument("--pooling", choices=("average", "max"), default="average", help="default: average")
    parser.add_argument("--eigengram", action="store_true", help="of many pictures the eigengram, not the mean")


def _add_mix(actions: Any) -> None:
    parser = command(
        actions,
        "mix",
        _mix,
        "mix styles: a weighted mean of their Gram matrices",
        "\n\nTwo styles with the weights 1 − t and t are the point t of the way from one to the other."
        "\n\nexample:"
        "\n  vggnumpy style mix night.h5 wave.h5 --weights 0.7,0.3 -o mixed.h5",
    )
    parser.add_argument("styles", metavar="STYLE", nargs="+", help="style files")
    _add_output(parser)
    parser.add_argument("--weights", type=numbers, metavar="W,…", help="one for each STYLE (default: equal)")


def _add_edit(actions: Any) -> None:
    parser = command(
        actions,
        "edit",
        _edit,
        "make layers or channels of a style stronger or weaker, or leave layers out",
        "\n\nexample:"
        "\n  vggnumpy style edit night.h5 --drop relu1_1 --layers relu3_1=2 --channels relu2_1:3,7=0 -o coarse.h5",
    )
    parser.add_argument("style", metavar="STYLE", help="a style file")
    _add_output(parser)
    parser.add_argument("--layers", type=factors, default={}, metavar="L=F,…", help="multiply their Gram matrices by F")
    parser.add_argument("--drop", type=names, default=[], metavar="L,…", help="leave these layers out")
    parser.add_argument(
        "--channels",
        type=channels,
        action="append",
        default=[],
        metavar="L:K,…=F",
        help="multiply what is wanted of channels K of layer L by F, 0 to silence them; may be given several times",
    )


def _add_synthesise(actions: Any) -> None:
    parser = command(
        actions,
        "synthesise",
        _synthesise,
        "make up a style: random sparse Gram matrices, or such with a single entry",
        "\n\nStrength and sparsity are those of another style's layers, or given.  Look at it with style paint."
        "\n\nexample:"
        "\n  vggnumpy style synthesise --like night.h5 --layers relu1_1,relu2_1 --seed 3 -o invented.h5"
        "\n  vggnumpy style synthesise --like night.h5 --kind entry --layers relu3_1 --entry 5,9 -o entry.h5",
    )
    _add_output(parser)
    parser.add_argument("--like", required=True, metavar="STYLE", help="a style file: for network, layers and numbers")
    parser.add_argument("--kind", choices=("sparse", "entry"), default="sparse", help="default: sparse")
    parser.add_argument("--layers", type=names, metavar="L,…", help="default: all of the style's")
    parser.add_argument("--sparsity", type=float, metavar="S", help="share of zeros, 0 to 1, in place of the style's")
    parser.add_argument("--sigma", type=float, metavar="X", help="size of the other entries, in place of the style's")
    parser.add_argument("--magnitude", type=float, metavar="X", help="of a single entry, in place of the style's")
    parser.add_argument("--entry", type=entry, metavar="I,J", help="where a single entry is (default: drawn)")
    parser.add_argument("--weights", metavar="NET", help="network for the preview (default: the one of --like)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")


def _add_paint(actions: Any) -> None:
    parser = command(
        actions,
        "paint",
        _paint,
        "paint a style from noise, with no content",
        "\n\nexample:"
        "\n  vggnumpy style paint invented.h5 -o invented.png"
        "\n  vggnumpy style paint invented.h5 --redraw -o redrawn.png",
    )
    parser.add_argument("style", metavar="STYLE", help="a style file")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the picture to write, such as out.png")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="pixels a side (default: 256)")
    parser.add_argument("--iterations", type=int, default=200, metavar="N", help="in all (default: 200)")
    parser.add_argument("--redraw", action="store_true", help="draw a made-up style anew at every iteration")
    parser.add_argument("--variation", type=float, default=0.01, metavar="W", help="weight of smoothness (0.01)")
    parser.add_argument("--weights", metavar="NET", help="network to paint with (default: the style's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)")


def _add_show(actions: Any) -> None:
    parser = command(
        actions,
        "show",
        _show,
        "show what a style file holds: where it comes from, and what its Gram matrices are like",
        "\n\nOf each layer's matrix, per position: mean of the entries' sizes, root mean square (amplitude), largest;"
        "\nand sparsity and σ of the random sparse matrix that has the same mean and amplitude."
        "\n\nexample:"
        "\n  vggnumpy style show night.h5 --plot night.png",
    )
    parser.add_argument("style", metavar="STYLE", help="a style file")
    parser.add_argument("--json", action="store_true", help="print it as JSON, with histograms, at every size")
    parser.add_argument("--plot", metavar="OUT", help="also draw histograms, amplitude and sparsity, as a PNG file")
    parser.add_argument("--preview", metavar="OUT", help="also write the style's small picture")


def _add_output(parser: Any) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the style file to write, such as out.h5")


def _compute(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.load import best_network, load_network
    from vggnumpy.multiscale import picture_style
    from vggnumpy.style_mixing import eigengram_multiscale, mean_multiscale

    _check_style_output(arguments.output, arguments.pictures)
    net = load_network(arguments.weights) if arguments.weights else best_network()
    net = net.with_pooling(arguments.pooling)
    styles = [picture_style(net, path, arguments.layers, arguments.size) for path in arguments.pictures]
    print(f"network: {net.name} ({net.provenance.get('source', 'unknown source')})", file=sys.stderr)
    combine = eigengram_multiscale if arguments.eigengram else mean_multiscale
    return _write(arguments.output, styles[0] if len(styles) == 1 else combine(styles))


def _mix(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.style_file import read_style
    from vggnumpy.style_mixing import mix_multiscale

    _check_style_output(arguments.output, arguments.styles)
    weights = arguments.weights or [1.0] * len(arguments.styles)
    return _write(arguments.output, mix_multiscale([read_style(path) for path in arguments.styles], weights))


def _edit(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.style_file import read_style
    from vggnumpy.style_mixing import edit_style

    _check_style_output(arguments.output, [arguments.style])
    if not (arguments.layers or arguments.drop or arguments.channels):
        raise InputError("there is nothing to edit: give --layers, --channels or --drop")
    chosen: dict[str, dict[int, float]] = {}
    for layer, scaled in arguments.channels:
        twice = sorted(chosen.setdefault(layer, {}).keys() & scaled.keys())
        if twice:
            raise InputError(f"channel {twice[0]} of {layer} is given two factors: give it one")
        chosen[layer].update(scaled)
    style = edit_style(read_style(arguments.style), arguments.layers, chosen, arguments.drop)
    return _write(arguments.output, style)


def _synthesise(arguments: argparse.Namespace) -> int:
    from vggnumpy.formats.style_file import read_style
    from vggnumpy.synthesis import lots_like
    from vggnumpy.texture import synthetic_multiscale

    _check_style_output(arguments.output, [arguments.like])
    _check_seed(arguments.seed)
    like = read_style(arguments.like)
    given = {name: getattr(arguments, name) for name in ("sparsity", "sigma", "magnitude", "entry")}
    layers = arguments.layers or like.layers
    lots = {size: lots_like(one, arguments.kind, layers, **given) for size, one in like.grams.items()}
    net = _network(like, arguments.weights)
    return _write(arguments.output, synthetic_multiscale(net, lots, arguments.seed, like))


def _paint(arguments: argparse.Namespace) -> int:
    import numpy as np

    from vggnumpy.files import check_output
    from vggnumpy.formats.style_file import read_style
    from vggnumpy.images import MIN_SIDE, check_writable_image, write_image
    from vggnumpy.synthesis import lots_in
    from vggnumpy.texture import paint_redrawn
    from vggnumpy.transfer import transfer

    check_output(arguments.output)
    check_writable_image(arguments.output)
    _check_seed(arguments.seed)
    size, iterations, variation = arguments.size, arguments.iterations, arguments.variation
    if size < MIN_SIDE or iterations < 1 or not 0 <= variation < np.inf:
        raise InputError(
            f"expected a size of {MIN_SIDE} at least, 1 iteration at least and a variation that is not negative, got "
            f"{size}, {iterations} and {variation}"
        )
    style = read_style(arguments.style)
    lots = lots_in(style.recipe) if arguments.redraw else {}
    net = _network(style, arguments.weights)
    interrupted = False
    if arguments.redraw:
        options = {"iterations": iterations, "rng": arguments.seed, "variation": variation}
        pixels = paint_redrawn(net, lots, (size, size), **options)
    else:
        result = transfer(
            np.full((size, size, 3), 128, np.uint8),  # for its size and mean colour only: it has no weight as content
            style,
            net=net,
            size=size,
            seed=arguments.seed,
            device="cpu",
            content_layers={},
            style_layers={layer: 1 / len(style.layers) for layer in style.layers},
            pooling=None,
            start="noise",
            iterations=iterations,
            variation=variation,
            size_penalty=0.1,  # as vggnumpy.texture has it: made-up targets ask for pixels beyond black and white
            size_power=6,
        )
        pixels, interrupted = result.pixels, result.interrupted
    write_image(arguments.output, pixels)
    height, width = pixels.shape[:2]
    print(f"{'interrupted, best so far: ' if interrupted else ''}wrote {arguments.output} ({width} × {height})")
    return 130 if interrupted else 0


def _show(arguments: argparse.Namespace) -> int:
    from vggnumpy import report
    from vggnumpy.formats.style_file import read_style
    from vggnumpy.images import check_writable_image, write_image
    from vggnumpy.style_mixing import pictures_in, recipe_text
    from vggnumpy.synthesis import gram_summary

    if arguments.plot is not None:
        report.check_plot(arguments.plot, [arguments.style])
    if arguments.preview is not None:
        check_writable_image(arguments.preview)
        if arguments.plot is not None and Path(arguments.plot).resolve() == Path(arguments.preview).resolve():
            raise InputError(f"{arguments.plot} would be written twice: name another")
    style = read_style(arguments.style)
    summaries = {size: gram_summary(one) for size, one in style.grams.items()}
    largest = summaries[style.sizes[-1]]
    if arguments.json:
        layers = {
            str(size): {str(layer): summary.to_dict() for layer, summary in one.items()}
            for size, one in summaries.items()
        }
        print(report.to_json({"network": style.network, "recipe": style.recipe, "sizes": layers}))
    else:
        facts = style.network
        print(f"{recipe_text(style.recipe)}")
        print(f"network  {facts['name']}, {facts['pooling']} pooling, {facts['pad_mode']} padding")
        print(f"sizes    {', '.join(map(str, style.sizes))} pixels; of {style.sizes[-1]}:")
        print(f"{'layer':12} {'channels':>8} {'mean':>9} {'amplitude':>9} {'largest':>9} {'sparsity':>8} {'sigma':>9}")
        for layer, one in largest.items():
            numbers_of = f"{one.mean:9.3g} {one.amplitude:9.3g} {one.largest:9.3g} {one.sparsity:8.2f} {one.sigma:9.3g}"
            print(f"{layer!s:12} {one.channels:8} {numbers_of}")
        for picture in pictures_in(style.recipe):
            print(f"picture  {picture['name'] or 'without a name'}, sha256 {picture['sha256']}")
    if arguments.plot is not None:
        report.plot_grams(arguments.plot, largest, f"Gram matrices of {Path(arguments.style).name}")
    if arguments.preview is not None:
        write_image(arguments.preview, style.preview)
    return 0


def _network(style: Any, weights: str | None) -> Any:
    """Return the network that a style was computed with, or the one named, as the style had it."""
    from vggnumpy.formats.load import load_network
    from vggnumpy.formats.style_file import style_network
    from vggnumpy.nets.network import POOLINGS
    from vggnumpy.ops import PAD_MODES

    net = load_network(weights) if weights else style_network(style)
    if style.network["pooling"] in POOLINGS:
        net = net.with_pooling(style.network["pooling"])
    if style.network["pad_mode"] in PAD_MODES:
        net = replace(net, pad_mode=style.network["pad_mode"])
    style.check(net, style.layers)
    return net


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"the seed must not be negative, got {seed}")


def _check_style_output(output: str, inputs: Sequence[str]) -> None:
    """Refuse, before any work, an output that cannot be written, is an input, or would not be known as a style file."""
    from vggnumpy.files import check_output
    from vggnumpy.formats.style_file import SUFFIXES, is_style_file

    check_output(output)
    if not is_style_file(output):
        raise InputError(f"{output}: a style file's name ends in {' or '.join(SUFFIXES)}; name another output")
    if Path(output).resolve() in [Path(path).resolve() for path in inputs]:
        raise InputError(f"{output} is an input and would be overwritten: name another output")


def _write(output: str, style: Any) -> int:
    from vggnumpy.formats.style_file import write_style
    from vggnumpy.style_mixing import recipe_text

    write_style(output, style)
    sizes = ", ".join(map(str, style.sizes))
    print(f"wrote {output}: {recipe_text(style.recipe)}; {', '.join(style.layers)} at {sizes} pixels")
    return 0
