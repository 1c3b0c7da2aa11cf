r"""Give some layers to the photograph and others to the painting: partial transfer, paper 5's figure 4.

A transfer takes content from one layer and style from all.  Nikulin and Novak let the layers take sides instead,

    content  conv1_1, conv2_1, conv4_1, conv4_2           style  conv3_1, conv5_1

so the photograph keeps its colours and edges (conv1_1, conv2_1) and its large forms (conv4), and only what is of the
size that conv3_1 sees is the painting's.  They ask whether that is but a transfer with a low weight for style, and find
that it is not: the two are side by side in their figure, and here.

Run::

    python examples/31_transfer_in_part.py
    python examples/31_transfer_in_part.py --content cat.jpg --style squares.jpg --weights vgg19

What came out, with the network that comes with vggnumpy, which has no conv4_2 and no conv5_1, at 320 pixels: the full
transfer sets her in glass, face and all.  In part, her colours, her glasses and the flag are the photograph's, and the
panes and leads of the window run through all of it, the plain sky most; nobody would take it for a photograph.  The
faint transfer is a photograph with coloured specks where it was smooth or dark, and has no panes.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.presets import choose_layers, each, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait

CONTENT = ("relu1_1", "relu2_1", "relu4_1", "relu4_2")
STYLE = ("relu3_1", "relu5_1")
FILES = ("in_full", "faintly", "in_part")


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait fully, faintly and in part, and print every term."""
    parser = argparse.ArgumentParser(description="Full transfer, one with a low style weight, and a partial one.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--style", type=Path, help="another painting than stained_glass")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--iterations", type=int, default=120, help="for each picture (default 120)")
    parser.add_argument(
        "--low", type=float, default=0.03, help="the low weight, in parts of the full one (default 0.03)"
    )
    parser.add_argument("--keep", type=float, default=0.02, help="weight of each content layer of the partial transfer")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        painting = read_image(options.style or painting_path("stained_glass"))
    except vn.InputError as error:
        parser.error(str(error))
    content, style = ([layer for layer in layers if layer in net.layers] for layers in (CONTENT, STYLE))
    if not content or not style:
        parser.error(f"network {net.name} has not the layers: content {', '.join(CONTENT)}, style {', '.join(STYLE)}")
    usual = choose_layers(preset("default"), net).content_layers or {}
    runs = {
        "full": {},
        # Not a smaller style: the smoothness would outweigh both.
        f"style × {options.low:g}": {"content_layers": {key: w / options.low for key, w in usual.items()}},
        "in part": {
            "content_layers": each(tuple(content), options.keep),
            "style_layers": each(tuple(style), 1 / len(style)),
        },
    }

    print(f"{net.name}, long side {options.size}; in part: content {', '.join(content)}, style {', '.join(style)}\n")
    options.out.mkdir(parents=True, exist_ok=True)
    images = {}
    for name, layers in runs.items():
        start = time.perf_counter()
        result = vn.transfer(photo, painting, net=net, size=options.size, iterations=options.iterations, **layers)
        terms = ", ".join(f"{term} {value:.4f}" for term, value in result.terms.items())
        print(f"{name:13} {time.perf_counter() - start:6.1f} s: {terms}")
        images[name] = result.image
        write_image(options.out / f"painted_{FILES[len(images) - 1]}.png", result.image)
    path = options.out / "transfer_in_part.png"
    shape = images["full"].shape[:2]
    frames = {"the photograph": resize(photo, shape), "the painting": painting, **images}
    write_contact_sheet(path, list(frames.values()), list(frames), f"In full, faintly, in part ({net.name})", columns=5)
    print(f"\nwrote {path} and painted_….png")


if __name__ == "__main__":
    main()
