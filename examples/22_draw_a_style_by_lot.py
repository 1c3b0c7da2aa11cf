r"""Can a style be drawn by lot?  Random Gram matrices with a painting's numbers: figures 6 and 7 of Nikulin and Novak.

Nikulin and Novak ("Exploring the Neural Algorithm of Artistic Style", 2016, section 6) look at the histogram of a
painting's Gram matrices and find that sparsity and amplitude differ from layer to layer.  Then they make matrices up
that mimic no more than these two numbers,

    A = |N(0, σ)| ∘ mask,

each entry the size of a normal number with probability d = 1 − sparsity, and zero otherwise, all independent, and paint
them from noise.  No two channels belong together for any reason, and yet it looks like something.

**The two numbers.**  No entry of a painting's matrix is exactly zero at the first layers, so counting zeros needs a
threshold, and the result depends on it.  Instead σ and d are those with which the random matrix has the painting's mean
size and mean square of an entry:

    E|a| = d σ √(2/π),   E a² = d σ²    ⇒    d = (π/2) (E|a|)² / E a²,   σ² = E a² / d

``gram_statistics.png`` shows the histograms, and beside them amplitude √(E a²) and sparsity, layer by layer.

**Figure 6**: one layer alone, the matrix drawn once (L-BFGS), or anew at every iteration (Adam).  Redrawn, the mean of
all targets is what remains, a matrix whose entries are all alike: the layer's own grain, without any choice among its
channels.  **Figure 7**: several layers at once, each with a matrix drawn once.

The gradient is the Gram loss's own, F (S + Sᵀ): a random A is not symmetric, and only its symmetric part matters.

Run::

    python examples/22_draw_a_style_by_lot.py
    python examples/22_draw_a_style_by_lot.py --weights vgg19 --style starry_night.jpg --seed 3

What came out, with the network that comes along and "flow_field", 96 × 96 pixels: sparsity grows from 0.31 at relu1_1
and 0.49 at relu2_1 to 0.70 and 0.72 at relu3_1 and relu4_1, as the paper found for its painting.  The amplitude does
not: 0.35, 0.06, 0.04, 0.22; it is the filters' more than the picture's.  Drawn once, relu1_1 gives soft blots, relu2_1
a dense maze of strokes, relu3_1 and relu4_1 shapes with outlines, eyes and hooks, none of which the painting has.
Redrawn, relu1_1 gives grain and relu3_1 an even weave; at relu2_1 the first draw stays, and at relu4_1 traces of it.
Several layers at once look calmer than their deepest alone: relu1_1 asks for its few colours and large quiet spots,
and the others draw within them.  A network without relu5_1 takes relu4_1 in its place: the paper's fourth set is its
first.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy import report
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, to_uint8, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.presets import STYLE_LAYERS
from vggnumpy.synthesis import gram_summary, lots_like, synthetic_style
from vggnumpy.texture import paint_redrawn, paint_style

SETS = [(1, 2, 4), (1, 2, 3), (1, 4), (1, 2, 5)]  # the paper's, of relu1_1 … relu5_1


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a painting's Gram matrices, draw others like them, and paint those."""
    parser = argparse.ArgumentParser(description="Paint random sparse Gram matrices with a painting's numbers.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best there is)")
    parser.add_argument("--style", type=Path, default=painting_path("flow_field"), help="painting with the numbers")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    parser.add_argument("--iterations", type=int, default=60, help="for each picture (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1 or options.seed < 0:
        parser.error("expected --size 32 at least, --iterations 1 at least and --seed 0 at least")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        painting = read_image(options.style)
    except vn.InputError as error:
        parser.error(str(error))
    net = net.with_pooling("average")
    layers = [layer for layer in STYLE_LAYERS if layer in net.layers]
    style = vn.style_of(net, resize(painting, fit_size(*painting.shape[:2], 256)), layers)
    summaries = gram_summary(style)
    print(f"{net.name}; Gram matrices of {options.style.name} at 256 pixels\n")
    print("layer    channels   mean |a|  amplitude    largest   sparsity      sigma")
    for layer, one in summaries.items():
        told = (one.mean, one.amplitude, one.largest, one.sparsity, one.sigma)
        print(f"{layer}  {one.channels:8} " + " ".join(f"{number:10.3g}" for number in told))
    options.out.mkdir(parents=True, exist_ok=True)
    report.plot_grams(options.out / "gram_statistics.png", summaries, f"Gram matrices of {options.style.stem}")

    shape, number = (options.size, options.size), options.iterations
    pictures = {}
    for layer in layers[:4]:
        lots = lots_like(style, "sparse", [layer])
        start = time.perf_counter()
        target = synthetic_style(net, lots, options.seed)
        pictures[f"{layer}, drawn once"] = paint_style(net, target, shape, iterations=number, rng=options.seed)
        pictures[f"{layer}, redrawn"] = paint_redrawn(net, lots, shape, iterations=number, rng=options.seed)
        print(f"{layer}: {time.perf_counter() - start:.1f} s")
    last = len(layers)
    for chosen in dict.fromkeys(tuple(sorted({min(n, last) for n in one})) for one in SETS):
        names = [layers[n - 1] for n in chosen]
        target = synthetic_style(net, lots_like(style, "sparse", names), options.seed)
        caption = "{" + ", ".join(map(str, chosen)) + "}"
        pictures[caption] = paint_style(net, target, shape, iterations=number, rng=options.seed)
        print(f"{caption}: done")
    shown = {caption: to_uint8(pixels) for caption, pixels in pictures.items()}
    for caption, picture in shown.items():
        name = "".join(c if c.isalnum() else "_" for c in caption).strip("_")
        write_image(options.out / f"lot_{name}.png", picture)
    path = options.out / "draw_a_style_by_lot.png"
    plot(shown, to_uint8(painting), f"Styles drawn by lot, with the numbers of a painting ({net.name})", path)
    print(f"\nwrote {path}, gram_statistics.png and the pictures lot_*.png")


def plot(pictures: dict[str, np.ndarray], painting: np.ndarray, title: str, path: Path) -> None:
    """Hang single layers in two rows, several layers below, and the painting last."""
    from matplotlib.figure import Figure

    single = [caption for caption in pictures if "once" in caption]
    rows = [single, [caption.replace("drawn once", "redrawn") for caption in single]]
    several = [caption for caption in pictures if caption.startswith("{")]
    columns = max(len(single), len(several) + 1)
    figure = Figure(figsize=(2.5 * columns, 2.75 * 3 + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=14)
    axes = figure.subplots(3, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    hung = [
        (row, column, caption)
        for row, captions in enumerate([*rows, several])
        for column, caption in enumerate(captions)
    ]
    for row, column, caption in hung:
        axes[row, column].imshow(pictures[caption], interpolation="nearest")
        axes[row, column].set_title(f"layers {caption}, drawn once" if row == 2 else caption, fontsize=10)
    axes[2, columns - 1].imshow(painting)
    axes[2, columns - 1].set_title("whose numbers they have", fontsize=10)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
