r"""Reconstruct a face from what one layer knows of it: the report's figure 1.

The report takes from a portrait only its features P at one layer, throws the portrait away, and looks for an image
whose features F are the same.  What comes back is what the layer still knows: its content representation.  Early
layers know every pixel.  The deeper ones each sum up a larger piece of the picture, and the report prefers them,
because they keep "the general structure and lines" without holding the picture to every detail.

Written down as one number and its derivative, at layer l,

    L(x) = Σ (F − P)² / ΣP²  +  μ · variation(x),         ∂L/∂F = 2 (F − P) / ΣP²

and ∂L/∂F goes back through the layers to the pixels.  (The report prints ½ Σ (F − P)², which has the same minimum, and
sets the derivative to 0 where P ≤ 0; `vn.Objective(…, form="printed")` does as it prints.)  L is 0 for the portrait's
own features and about 1 when all is lost.  Many images have nearly the same features, most of them full of
grain that the pools average away; the small second term, the mean squared difference of neighbouring pixels, picks a
smooth one among them.  L-BFGS starts from white noise around the portrait's mean colour, all that it is told of the
portrait besides P.

The report names its layers by MatConvNet's numbers, and so does this script.  Layer 13 is conv3_2 in VGG-16, VGG-19
and VGG-Face.  Layer 27 is conv5_2 in VGG-16 and VGG-Face, but relu4_4 in VGG-19, which has three convolutions more.

Run::

    python examples/05_reconstruct_the_content.py

What came out, at 160 × 160 pixels with a VGG-19 of narrow layers trained by others, in 12 seconds: from layer 13 the
face is back after 20 iterations and its wrinkles after 120, on average 24 grey levels from the portrait, nearly all
of that at edges (8 are left after a blur by 8 pixels).  From layer 27 the features agree as well in the end (0.2% of
the loss left), but the picture does not: she is known at once, her glasses, hat and collar sit where they should, and
the lines between are redrawn, 48 grey levels away.  That is the report's "general structure and lines".

With random filters of full width, 46 seconds, layer 13 gives the portrait back to 7.5 grey levels, better than the
trained ones, which have learned what to forget.  From layer 27 nothing comes back, the loss stays at a quarter, and
more iterations do not help.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import OptimizeResult

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.run import demo_portrait
from vggnumpy.terms import Term

LAYERS = (13, 27)  # of the report's figure 1
FACE = np.s_[20:404, 64:448]  # where the face is in the demo's portrait
SHOWN = (0, 5, 20)  # iterations that the figure shows, besides the last


def main(argv: Sequence[str] | None = None) -> None:
    """Reconstruct one portrait from two layers, print and plot what came back."""
    parser = argparse.ArgumentParser(description="Reconstruct a portrait from its features at layers 13 and 27.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: VGG-19, else random)")
    parser.add_argument("--content", type=Path, help="another portrait than the demo's")
    parser.add_argument("--size", type=int, default=160, help="long side in pixels (default 160)")
    parser.add_argument("--iterations", type=int, default=120, help="of L-BFGS for each layer (default 120)")
    parser.add_argument("--variation", type=float, default=0.5, help="μ (default 0.5)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else vgg_network()
        net = net.with_pooling("average")  # a maximum hands its derivative to one pixel in four, and leaves grain
        names = [net.layer_name(number) for number in LAYERS]
        photo = read_image(options.content) if options.content else read_image(demo_portrait())[FACE]
        photo = resize(photo, fit_size(*photo.shape[:2], options.size))
    except vn.InputError as error:
        parser.error(str(error))

    noise = np.random.default_rng(0).normal(photo.mean(axis=(0, 1)), 50, photo.shape).astype("float32")
    print(f"{net.name}, {photo.shape[1]} × {photo.shape[0]} pixels, {options.iterations} iterations of L-BFGS\n")
    print("layer       seconds    content: first →    last   variation: first →   last   pixels wrong by")
    options.out.mkdir(parents=True, exist_ok=True)
    runs = {}
    for number, name in zip(LAYERS, names, strict=True):
        start = time.perf_counter()
        fun = vn.Objective(net, photo, content={number: 1.0}, variation=options.variation, normalization="relative")
        shown, losses = reconstruct(fun, noise, options.iterations)
        seconds = time.perf_counter() - start
        image = shown[max(shown)]
        first, last = ([term.loss for term in terms(fun, at)] for at in (noise, image))
        print(
            f"{number} {name:8} {seconds:7.1f} {first[0]:18.3f} → {last[0]:.5f} {first[1]:18.3f} → {last[1]:.4f} "
            f"{np.sqrt(np.mean((image - photo) ** 2)):8.1f} grey levels"
        )
        write_image(options.out / f"content_{number}.png", image)
        runs[f"layer {number}, {name}"] = shown, losses
    if not net.provenance.get("trained", True):
        print("\nThese filters are random.  They let the face through to layer 13, but not to layer 27, and")
        print("more iterations do not help.  Trained filters do, see weights/README.md.")
    path = options.out / "reconstruct_the_content.png"
    plot(photo, runs, f"What two layers know of a face ({net.name})", path)
    print(f"\nwrote {path}, {' and '.join(f'content_{number}.png' for number in LAYERS)}")


def terms(fun: vn.Objective, image: np.ndarray) -> list[Term]:
    """Evaluate the objective and return its terms."""
    fun(image)
    return list(fun.terms.values())


def reconstruct(fun: vn.Objective, start: np.ndarray, iterations: int) -> tuple[dict[int, np.ndarray], list[float]]:
    """Minimise an objective; return the pixels after the iterations to show and the best, and all losses."""
    shown, losses = {0: start}, [fun(start)[0]]

    def watch(intermediate_result: OptimizeResult) -> None:
        losses.append(intermediate_result.fun)
        if intermediate_result.nit in SHOWN:
            shown[intermediate_result.nit] = intermediate_result.x

    result = vn.minimize(fun, start, maxiter=iterations, callback=watch, first_step=2.0)
    shown[result.nit] = result.x
    return shown, losses


def plot(photo: np.ndarray, runs: dict[str, tuple[dict[int, np.ndarray], list[float]]], title: str, path: Path) -> None:
    """Show, for each layer in a row, how the face comes out of the noise; the loss curves below."""
    from matplotlib.figure import Figure

    columns = max(len(shown) for shown, _ in runs.values()) + 1
    figure = Figure(figsize=(2.6 * columns, 8.4), layout="constrained")
    figure.suptitle(title, fontsize=15)
    above, below = figure.subfigures(2, 1, height_ratios=(2.1, 1))
    axes = above.subplots(len(runs), columns, squeeze=False)
    for row, (name, (shown, _)) in zip(axes, runs.items(), strict=True):
        captions = {0: "white noise"} | {n: f"{n} iterations" for n in shown if n}
        pictures = [(shown[n], captions[n]) for n in shown] + [(photo, "the portrait")]
        for ax, (picture, caption) in zip(row, pictures, strict=False):
            ax.imshow(np.clip(picture, 0, 255) / 255)
            ax.set_title(caption, fontsize=11)
        row[0].set_ylabel(name, fontsize=12)
        for ax in row:
            ax.set(xticks=[], yticks=[])
    curves = below.subplots()
    for name, (_, losses) in runs.items():
        curves.semilogy(losses, label=name, linewidth=1.8)
    curves.set(xlabel="iteration of L-BFGS", ylabel="objective L")
    curves.grid(alpha=0.3, which="both")
    curves.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
