r"""Reconstruct a photograph from each layer and a painting from more and more layers: the slides of Gatys et al.

The slides put two rows of pictures one above the other.  Above, an image is sought that has the photograph's features P
at one layer, first conv1_1, then conv2_1 and so on: what does the layer still know?  Below, one that has the painting's
Gram matrices A, at conv1_1 alone, at conv1_1 and conv2_1, … at all of them: what is style, seen by that many layers?

    content:  L(x) = Σ (F − P)² / ΣP² + μ · variation(x)
    style:    L(x) = Σ_l 1/n Σ (G/M − A/M_a)² · M_a²/ΣA² + μ · variation(x)

Each starts from white noise, and L-BFGS does the rest.  A picture is kept every ten iterations for an animation, and
every hundred for the sheet.  (05 asks the same of two layers of a face, by the report's numbers, and 06 of the styles
of four paintings.)

Run::

    python examples/25_reconstruct_every_layer.py

What came out, with the network that comes with vggnumpy, which ends at relu4_1, at 128 pixels and 200 iterations: from
relu1_1 to relu3_1 the photograph comes back, with a little more noise each time. relu4_1 keeps every line of her face
and loses its colours.  Of the painting relu1_1 gives patches in its colours, relu2_1 draws them out into strokes, and
relu3_1 and relu4_1 bend the strokes around something that is nearly a sun.  All losses end below 2% of where they
began.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import OptimizeResult

import vggnumpy as vn
from vggnumpy.film import write_animation
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, to_uint8
from vggnumpy.paintings import painting_path
from vggnumpy.presets import STYLE_LAYERS
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait

FACE = np.s_[20:404, 64:448]  # where the face is in the demo's portrait
FRAME, SHEET = 10, 100  # iterations between two pictures of the animation, and of the sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Reconstruct a photograph and a painting from every layer; print what it took, write a sheet and a film."""
    parser = argparse.ArgumentParser(description="Reconstruct content and style from every layer.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's face")
    parser.add_argument("--style", type=Path, help="another painting than flow_field")
    parser.add_argument("--layers", nargs="+", help="(default: relu1_1 … relu5_1, as many as the network has)")
    parser.add_argument("--size", type=int, default=128, help="long side in pixels (default 128)")
    parser.add_argument("--iterations", type=int, default=200, help="for each picture (default 200)")
    parser.add_argument("--variation", type=float, default=0.5, help="μ (default 0.5)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        net = net.with_pooling("average")
        usual = [layer for layer in STYLE_LAYERS if layer in net.layers]
        layers = [net.layer_name(layer) for layer in options.layers or usual]
        photo = read_image(options.content) if options.content else read_image(demo_portrait())[FACE]
        photo = resize(photo, fit_size(*photo.shape[:2], options.size))
        painting = read_image(options.style or painting_path("flow_field"))
        painting = resize(painting, fit_size(*painting.shape[:2], options.size))
    except vn.InputError as error:
        parser.error(str(error))

    print(f"{net.name}, long side {options.size}, {options.iterations} iterations of L-BFGS for each picture\n")
    print("from                 seconds     loss: first →    last")
    rows = []
    for kind, image in (("content", photo), ("style", painting)):
        row = []
        for depth, layer in enumerate(layers, start=1):
            chosen = (
                {"content": {layer: 1.0}} if kind == "content" else {"style": dict.fromkeys(layers[:depth], 1 / depth)}
            )
            fun = vn.Objective(net, image, image, variation=options.variation, normalization="relative", **chosen)
            start, noise = time.perf_counter(), white_noise(image)
            kept, losses = reconstruct(fun, noise, options.iterations)
            seconds = time.perf_counter() - start
            name = f"{kind}{' up to' if kind == 'style' else ''} {layer}"
            print(f"{name:21}{seconds:7.1f} {losses[0]:16.3f} → {losses[-1]:.5f}")
            row.append(kept)
        rows.append(row)

    options.out.mkdir(parents=True, exist_ok=True)
    sheet, film = options.out / "reconstruct_every_layer.png", options.out / "reconstruct_every_layer.gif"
    at = sorted({0, *range(SHEET, options.iterations, SHEET), options.iterations} - {0})
    frames, labels = [], []
    for kind, original, row in (("content", photo, rows[0]), ("style", painting, rows[1])):
        for iteration in at:
            frames += [original, *(kept[min(iteration, max(kept))] for kept in row)]
            labels += [
                f"{kind}, {iteration} iterations",
                *(f"{'… ' if kind == 'style' else ''}{one}" for one in layers),
            ]
    title = f"What each layer knows of a photograph, and what up to each layer is style ({net.name})"
    write_contact_sheet(sheet, frames, labels, title, columns=1 + len(layers), side=200)
    moments = sorted({iteration for row in rows for kept in row for iteration in kept})
    write_animation(film, [wall(rows, moment, photo.shape[:2]) for moment in moments])
    print(f"\nwrote {sheet} and {film.name}")


def white_noise(image: np.ndarray) -> np.ndarray:
    """Return noise around an image's mean colour, all that the start knows of it."""
    return np.random.default_rng(0).normal(image.mean(axis=(0, 1)), 50, image.shape).astype("float32")


def reconstruct(fun: vn.Objective, start: np.ndarray, iterations: int) -> tuple[dict[int, np.ndarray], list[float]]:
    """Minimise an objective; return the image every ten iterations and at the end, and the loss at all of them."""
    kept, losses = {0: start}, [fun(start)[0]]

    def watch(intermediate_result: OptimizeResult) -> None:
        losses.append(intermediate_result.fun)
        if intermediate_result.nit % FRAME == 0:
            kept[intermediate_result.nit] = intermediate_result.x

    result = vn.minimize(fun, start, maxiter=iterations, callback=watch, first_step=2.0)
    kept[result.nit] = result.x
    return kept, losses


def wall(rows: list[list[dict[int, np.ndarray]]], iteration: int, shape: tuple[int, int]) -> np.ndarray:
    """Return all images of both rows at an iteration, or the last before it, side by side."""
    lines = []
    for row in rows:
        images = [kept[max(moment for moment in kept if moment <= iteration)] for kept in row]
        lines.append(np.hstack([np.pad(to_uint8(resize(one, shape)), ((2, 2), (2, 2), (0, 0))) for one in images]))
    return np.vstack(lines)


if __name__ == "__main__":
    main()
