r"""Take the strokes from one painting and the forms from another: Gatys et al. 2017, section 6.

What a layer of a network sees of a style depends on its window: a few pixels at relu1_1 and relu2_1, which know of
dots, grain and strokes, and much more at relu3_1 and relu4_1, which know how those are bent into forms.  So the two can
come from two paintings, the Gram matrices A of the shallower half of the style layers from one, of the deeper from the
other:

    E(x) = Σ_fine ¼ ‖G/M − A_fine/M_a‖² / ‖A_fine/M_a‖² + Σ_coarse ¼ ‖G/M − A_coarse/M_a‖² / ‖A_coarse/M_a‖²

Both sorts of layers know of colours, and a blue sky cannot be made of pink strokes; so the colours of the painting that
gives the strokes are moved to the other's mean and covariance first.  The figure has a row for the painting that gives
the forms and a column for the one that gives the strokes, so that on the diagonal is one painting alone.  The table
says how far each picture is from both at each layer, in units of all that there is to miss.

    vggnumpy transfer portrait.jpg forms.jpg --fine-style strokes.jpg -o out.png

does one of them.  Run::

    python examples/24_mix_coarse_and_fine.py

What came out, with the network that comes with vggnumpy at 320 pixels: the strokes of the stained glass, black
outlines and small panes, sharpen the soft forms of flow_field and keep its yellow and blue; the strokes of flow_field
comb through panes that stay purple and red. relu1_1 comes within 0.007 of the painting that it was to have, relu2_1
within 0.06; relu3_1 and relu4_1 miss theirs by 0.15, twice what one painting alone leaves.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.color_control import match_colors
from vggnumpy.feature_size import fine_layers
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait with the forms and strokes of two paintings in all four pairs."""
    parser = argparse.ArgumentParser(description="Paint with the forms of one painting and the strokes of another.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--styles", type=Path, nargs=2, help="two paintings (default: stained_glass and flow_field)")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--iterations", type=int, default=100, help="for each picture (default 100)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    paths = options.styles or [painting_path("stained_glass"), painting_path("flow_field")]
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        paintings = {path.stem: read_image(path) for path in paths}
    except vn.InputError as error:
        parser.error(str(error))

    print(f"{net.name}, long side {options.size}, {options.iterations} iterations for each picture\n")
    options.out.mkdir(parents=True, exist_ok=True)
    frames, labels, forms_of = [], [], list(paintings)
    for forms, coarse in paintings.items():
        for strokes, fine in paintings.items():
            start = time.perf_counter()
            result = vn.transfer(
                photo, coarse, fine_style=fine, net=net, size=options.size, iterations=options.iterations
            )
            seconds = time.perf_counter() - start
            layers = list(result.settings["style_layers"])
            print(
                f"forms of {forms}, strokes of {strokes}, {seconds:.1f} s; fine: {', '.join(fine_layers(net, layers))}"
            )
            for name, painting in (("forms", coarse), ("strokes", match_colors(fine, coarse))):
                far = distances(net, result.pixels, painting, layers)
                print(f"  missed of the {name:8}" + "".join(f"  {layer} {far[layer]:.3f}" for layer in layers))
            write_image(options.out / f"forms_{forms}_strokes_{strokes}.png", result.image)
            frames.append(result.image)
            labels.append(f"forms: {forms}, strokes: {strokes}")
    small = [resize(one, fit_size(*one.shape[:2], options.size)) for one in paintings.values()]
    shown = [frames[0], frames[1], small[0], frames[2], frames[3], small[1]]
    captions = [*labels[:2], forms_of[0], *labels[2:], forms_of[1]]
    path = options.out / "mix_coarse_and_fine.png"
    write_contact_sheet(path, shown, captions, f"Forms and strokes of two paintings ({net.name})", columns=3, side=360)
    print(f"\nwrote {path} and four pictures")


def distances(net: vn.Network, image: np.ndarray, painting: np.ndarray, layers: list[str]) -> dict[str, float]:
    """Return, for each layer, ‖G/M − A/M_a‖² / ‖A/M_a‖² between an image and a painting of its long side."""
    painting = resize(painting, fit_size(*painting.shape[:2], max(image.shape)))
    found, wanted = (vn.style_of(net, one.astype(net.dtype), layers) for one in (image, painting))
    far = {}
    for layer in layers:
        G, A = (gram / positions for gram, positions in (found[layer], wanted[layer]))
        far[layer] = float(((G - A) ** 2).sum() / (A**2).sum())
    return far


if __name__ == "__main__":
    main()
