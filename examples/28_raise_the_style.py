r"""How strong should the style be?  The Columbia report's figures 5 and 6: one photograph, several paintings, twice.

The report minimises α · content + β · style, from white noise with L-BFGS, content at conv4_2 and style at conv1_1 …
conv5_1, once with β/α = 1000 (figure 5) and once with five times that (figure 6).  Its terms are those of Gatys et al.:

    content  ½ Σ (F − P)²                 style  Σ_l w_l / (4 C² M²) Σ (G − A)²

The content is a sum over all M positions and C channels, the style is not, and features twice as large make the content
four times as large and the style sixteen times.  So 1000 means another thing at each size and for each network.  Our
own terms are fractions of what there is to miss,

    content  Σ (F − P)² / ΣP²             style  mean over l of ‖G/M − A/M_a‖² / ‖A/M_a‖²

and a ratio r of theirs is, with what there is to miss at this size and for this network,

    β/α = r · ½ΣP² / (Σ_l w_l ‖A/M_a‖² / 4C²)

in the report's form, which the script prints.  The two ratios were chosen by eye, one five times the other.

Run::

    python examples/28_raise_the_style.py
    python examples/28_raise_the_style.py --content town.jpg --styles night.jpg wave.jpg --weights vgg19

What came out, with the network that comes with vggnumpy at 256 pixels: at 20 the face is one, with eyes, mouth and
every star of the flag; at 100 the painting's whirls, dots and panes take its place, and what is left are eyes, cap and
collar.  Five times the weight cuts what style misses to a half or a third, and content to a third of its value in the
sum.  In the report's form 20 was 180 million for flow_field and 23 million for halftone, against its 1000, because the
features of this network are small.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import STYLE_LAYERS, choose_layers, each, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait

CONTENT = "relu4_2"  # the report's; other networks' is where our own preset takes it
RATIOS = {True: (8.0, 40.0), False: (20.0, 100.0)}  # at the report's layer; at another, less deep one


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait in several styles, faintly and strongly, and say what the ratios are in the report's form."""
    parser = argparse.ArgumentParser(description="One photograph in several styles, at two ratios of style to content.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--styles", type=Path, nargs="+", help="other paintings than our four")
    parser.add_argument("--ratios", type=float, nargs=2, metavar="R", help="(default: 8 40 at relu4_2, else 20 100)")
    parser.add_argument("--size", type=int, default=256, help="long side in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=160, help="for each picture (default 160)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    if options.ratios and min(options.ratios) <= 0:
        parser.error(f"expected --ratios above 0, found {options.ratios}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        paintings = {path.stem: read_image(path) for path in options.styles or map(painting_path, PAINTINGS)}
    except vn.InputError as error:
        parser.error(str(error))
    style = [layer for layer in STYLE_LAYERS if layer in net.layers]
    usual = [] if CONTENT in net.layers else list(choose_layers(preset("default"), net).content_layers or {})
    content = [CONTENT] if CONTENT in net.layers else usual
    if not content or not style:
        parser.error(f"network {net.name} has not the layers {CONTENT} and {', '.join(STYLE_LAYERS)}")
    ratios = options.ratios or RATIOS[content == [CONTENT]]

    print(f"{net.name}, long side {options.size}, content at {content[0]}, style at {', '.join(style)}, from noise\n")
    print("painting         ratio  in the report's form  seconds   content    style")
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[list[np.ndarray]] = [[], []]
    for name, painting in paintings.items():
        factor = in_the_reports_form(net, photo, painting, content[0], style, options.size)
        for row, ratio in zip(rows, ratios, strict=True):
            start = time.perf_counter()
            result = vn.transfer(
                photo,
                painting,
                net=net,
                size=options.size,
                iterations=options.iterations,
                start="noise",
                content_layers={content[0]: 1 / ratio},
                style_layers=each(tuple(style), 1 / len(style)),
            )
            parts = [sum(v for term, v in result.terms.items() if term.startswith(p)) for p in ("content", "style")]
            seconds = time.perf_counter() - start
            print(f"{name:15} {ratio:6g} {ratio * factor:21.3g} {seconds:8.1f} {parts[0]:9.5f} {parts[1]:8.5f}")
            row.append(result.image)
            write_image(options.out / f"ratio_{ratio:g}_{name}.png", result.image)
    path = options.out / "raise_the_style.png"
    original = resize(photo, rows[0][0].shape[:2])
    frames = [original, *paintings.values(), original, *rows[0], original, *rows[1]]
    labels = ["the photograph", *paintings]
    for ratio in ratios:
        labels += ["", *(f"{name}, {ratio:g}" for name in paintings)]
    title = f"Style over content, {ratios[0]:g} and {ratios[1]:g} ({net.name})"
    write_contact_sheet(path, frames, labels, title, columns=1 + len(paintings))
    print(f"\nwrote {path} and ratio_….png")


def in_the_reports_form(
    net: vn.Network, photo: np.ndarray, painting: np.ndarray, content: str, style: list[str], size: int
) -> float:
    """Return ½ΣP² / (Σ_l w_l ‖A/M_a‖² / 4C²): what a ratio of ours is to be multiplied by."""
    small, other = (resize(one, fit_size(*one.shape[:2], size)).astype(net.dtype) for one in (photo, painting))
    P = net.forward(small, [content])[0][content]
    there_is = 0.0
    for A, positions in vn.style_of(net, other, style).values():
        there_is += float(((A / positions) ** 2).sum()) / (4 * len(A) ** 2) / len(style)
    return float((P.astype("float64") ** 2).sum()) / 2 / there_is


if __name__ == "__main__":
    main()
