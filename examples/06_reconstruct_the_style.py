r"""Reconstruct paintings from nothing but their style, one layer more at a time: the report's figure 2.

The report says that style is what the features of a layer have in common, wherever they are: G = FᵀF, the Gram matrix,
sums over all positions how often two channels answer together.  Where they answer is lost in the sum, and that is the
idea: "this measures the correlations …, but does not capture the global arrangement".

So throw a painting away but for the Gram matrices A of a few layers, and look for an image that has the same ones:

    L(x) = Σ_l 1/n Σ (G/M − A/M_a)² · M_a²/ΣA²  +  μ · variation(x),
    ∂L/∂F = F (S + Sᵀ),     S = 2/n (G/M − A/M_a) · M_a²/ΣA² / M

at each of n layers, over M positions of the image and M_a of the painting.  ∂L/∂F goes back through the network to the
pixels, and L-BFGS starts from white noise.  There is no content term, so nothing says what should be where.

How large the things are that come back depends on how deep the layers are, because a feature sees only a window: 3
pixels wide at relu1_1, 10 at relu2_1, 24 at relu3_1, 68 at relu4_1 and 156 at relu5_1 (in VGG-19).  What is wider than
the deepest window is arranged by chance.  From left to right, the figure adds one of these layers each time.

Run::

    python examples/06_reconstruct_the_style.py
    python examples/06_reconstruct_the_style.py --style starry_night.jpg woman_with_hat.jpg --weights vgg19.h5

What came out, with a trained VGG-19 of narrow layers, 128 × 128 pixels, in 31 seconds (136 with random filters of full
width): relu1_1 alone gives the painting's colours in specks of a few pixels.  relu2_1 and relu3_1 draw them out into
brush strokes; from relu3_1 on the painting can be told by them.  relu4_1 and relu5_1 bend the strokes into the larger
forms, the whirls of "flow_field" and "marbled".  In every row the loss ends below 3% of where it began.  Random
filters match their Gram matrices about as well, but what they know is colours and grain: the pictures hardly change up
to relu3_1, and the deeper layers only make the grain finer.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import STYLE_LAYERS
from vggnumpy.report import write_contact_sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Paint from the Gram matrices of one layer, of two, …; print and plot what it took."""
    parser = argparse.ArgumentParser(description="Reconstruct paintings from their Gram matrices, layer by layer.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: VGG-19, else random)")
    parser.add_argument("--style", type=Path, nargs="+", metavar="PICTURE", help="other paintings than our four")
    parser.add_argument("--size", type=int, default=128, help="long side in pixels (default 128)")
    parser.add_argument("--iterations", type=int, default=60, help="for each picture (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else vgg_network()
        paintings = {path.stem: read_image(path) for path in options.style or map(painting_path, PAINTINGS)}
        paintings = {name: resize(one, fit_size(*one.shape[:2], options.size)) for name, one in paintings.items()}
    except vn.InputError as error:
        parser.error(str(error))

    layers = [layer for layer in STYLE_LAYERS if layer in net.layers]
    sets = [layers[: n + 1] for n in range(len(layers))]
    print(f"{net.name}, long side {options.size} pixels, {options.iterations} iterations of L-BFGS\n")
    print("painting       layers     seconds     loss: first →    last")
    options.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, painting in paintings.items():
        row = [(painting, f"“{name}”")]
        for chosen in sets:
            start = time.perf_counter()
            result = vn.transfer(
                painting,  # for its size and mean colour only: it has no weight as content
                painting,
                net=net,
                size=options.size,
                iterations=options.iterations,
                content_layers={},
                style_layers=dict.fromkeys(chosen, 1 / len(chosen)),
                variation=0.1,
                start="noise",
                scales=1,
            )
            seconds = time.perf_counter() - start
            first, last = (result.history[i]["loss"] for i in (0, -1))
            print(f"{name:14} … {chosen[-1]:8} {seconds:7.1f} {first:16.4f} → {last:.5f}")
            write_image(options.out / f"style_{name}_{len(chosen)}.png", result.image)
            row.append((result.image, chosen[-1] if len(chosen) == 1 else f"+ {chosen[-1]}"))
        rows[name] = row
    if not net.provenance.get("trained", True):
        print("\nThese filters are random.  They know colours and grain, but hardly any strokes: the larger")
        print("forms of deeper layers need trained filters, see weights/README.md.")
    path = options.out / "reconstruct_the_style.png"
    frames, labels = zip(*(one for row in rows.values() for one in row), strict=True)
    title = f"From noise to a painting's style, one layer more each time ({net.name})"
    write_contact_sheet(path, frames, labels, title, columns=len(row), side=220)
    print(f"\nwrote {path} and the pictures style_*.png")


if __name__ == "__main__":
    main()
