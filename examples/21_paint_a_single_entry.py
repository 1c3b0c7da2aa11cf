r"""What does a single entry of a Gram matrix stand for?  Paint it: figure 5 of Nikulin and Novak.

A style is a Gram matrix a layer, G = FᵀF/M, and each of its entries says how strongly two channels answer in the same
places.  Nikulin and Novak ("Exploring the Neural Algorithm of Artistic Style", 2016, section 6) keep one entry, set all
others to zero, and descend from noise with nothing else in the loss:

    L(x) = ‖G − A‖² / ‖A‖²,      A = m eᵢ eⱼᵀ,      ∂L/∂F = F (S + Sᵀ),      S = 2 (G − A) / (M ‖A‖²)

For i ≠ j this A is not symmetric, and that is why the gradient above has S + Sᵀ where most programs write 2 S.  It is
not a Gram matrix that features could have, either: G is symmetric, and |G_ij|² ≤ G_ii G_jj, so two channels that answer
together also answer, each, with itself.  The nearest matrix that features can have is m/4 at (i, i), (i, j), (j, i) and
(j, j), and the loss there is 3/4.  So the descent looks for an image in which both channels answer alike, as much as
possible, and all others as little as possible.

How large is m?  In units of a painting's whole matrix, m = f ‖A_painting‖.  With f near 1 a few bright places pay for
the whole entry, and the rest of the picture stays grey, the cheapest way to keep other channels silent.  With f = 30
the picture cannot pay however much of it takes part, and the pattern fills it.  Then something must keep the pixels
between black and white: a penalty mean((x − c)/255)⁶, flat inside and steep beyond.

**Redrawn at every iteration**, the right half of the paper's figure: i and j are drawn anew before each step.  What
L-BFGS remembers of the last steps would then be of other losses, so these pictures are Adam's, with a step that shrinks
from ten grey levels to one.  Adam follows the mean gradient, that is the gradient for the mean of all targets, the same
number at all i ≠ j: every channel with every other.

Run::

    python examples/21_paint_a_single_entry.py
    python examples/21_paint_a_single_entry.py --weights vgg19 --style starry_night.jpg

What came out, with the network that comes along, 96 × 96 pixels: as in the paper, the patterns grow with the layer.
At relu1_1 they are a blot on grey, for where neither channel answers there is no gradient that could make one begin,
or slanting strokes. relu2_1 draws stripes of dots, or small combs in rows; relu3_1 feathers and a weave; relu4_1 ropes
and hooked, overlapping waves.  With f = 30 a pattern is larger, cleaner and has fewer colours than with f = 3.  No
picture comes near the possible G_ij = m/4 (relu2_1: 0.04 m with f = 3, 0.02 m with f = 30, where the pixels end; less
elsewhere), and much of ‖G‖² stays with other channels: two channels are rarely alone, because neighbours see nearly
the same.  The redrawn targets leave no more than a layer's grain, fine at relu1_1 and coarser with every layer; at
relu4_1 the first matrix drawn is still to be seen.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, to_uint8, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.presets import STYLE_LAYERS
from vggnumpy.synthesis import Entry, gram_summary, synthetic_style
from vggnumpy.texture import paint_redrawn, paint_style

# Column → (seed of the draw, f), or f for a redrawn entry.
COLUMNS = {"entry a, f = 3": (1, 3), "entry a, f = 30": (1, 30), "entry b, f = 30": (2, 30), "redrawn, f = 30": 30}


def main(argv: Sequence[str] | None = None) -> None:
    """Paint two entries of each layer and one that is drawn anew all the time."""
    parser = argparse.ArgumentParser(description="Paint single entries of Gram matrices, layer by layer.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best there is)")
    parser.add_argument("--style", type=Path, default=painting_path("flow_field"), help="painting to take m from")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    parser.add_argument("--iterations", type=int, default=60, help="for each picture (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        painting = read_image(options.style)
    except vn.InputError as error:
        parser.error(str(error))
    net = net.with_pooling("average")
    layers = [layer for layer in STYLE_LAYERS[:4] if layer in net.layers]
    painting = resize(painting, fit_size(*painting.shape[:2], 256))
    summaries = gram_summary(vn.style_of(net, painting, layers))

    print(f"{net.name}, {options.size} × {options.size} pixels, {options.iterations} iterations\n")
    print("layer     picture            entry      seconds   G_ij/m   share of ‖G‖² in rows and columns i, j")
    options.out.mkdir(parents=True, exist_ok=True)
    shape, rows = (options.size, options.size), {}
    for layer in layers:
        norm, channels = summaries[layer].amplitude * summaries[layer].channels, summaries[layer].channels
        rows[layer] = []
        for name, chosen in COLUMNS.items():
            start = time.perf_counter()
            if isinstance(chosen, tuple):
                seed, factor = chosen
                target = synthetic_style(net, {layer: Entry(factor * norm)}, seed)
                pixels = paint_style(net, target, shape, iterations=options.iterations, rng=seed)
                i, j = (int(k) for k in np.argwhere(target[layer].matrix)[0])
            else:
                pixels = paint_redrawn(net, {layer: Entry(chosen * norm)}, shape, iterations=options.iterations)
            seconds = time.perf_counter() - start
            rows[layer].append(to_uint8(pixels))
            if isinstance(chosen, tuple):
                G, positions = vn.style_of(net, pixels, [layer])[layer]
                others = np.delete(np.delete(G, [i, j], 0), [i, j], 1)
                share = 1 - np.square(others).sum() / np.square(G).sum()
                told = f"{G[i, j] / positions / (factor * norm):8.3f}   {share:.0%}"
                print(f"{layer}   {name:16} {i:4}, {j:3} {seconds:10.1f} {told}")
            else:
                print(f"{layer}   {name:16} of {channels:3}² {seconds:8.1f}")
            write_image(options.out / f"entry_{layer}_{len(rows[layer])}.png", rows[layer][-1])
    path = options.out / "paint_a_single_entry.png"
    plot(rows, f"One entry of a Gram matrix, painted from noise ({net.name})", path)
    print(f"\nwrote {path} and the pictures entry_*.png")


def plot(rows: dict[str, list[np.ndarray]], title: str, path: Path) -> None:
    """Hang a row for each layer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.5 * len(COLUMNS) + 0.4, 2.6 * len(rows) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=14)
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for row, (layer, pictures) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(layer, fontsize=12)
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
    for ax, name in zip(axes[0], COLUMNS, strict=True):
        ax.set_title(name, fontsize=11)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
