r"""One face in a row: the portrait, what the network knows of it, and four styles: the report's appendix.

The appendix of the report hangs, for each face, the photograph beside its content representation (the picture found
from noise that has the photograph's features at one layer, all else forgotten) and beside the same face in four
styles.  The row shows what happens in between: the second picture is all of the face that the objective asks to be
kept, and the other four are what a painting makes of just that.

For the second picture the objective is content and a little smoothness, from noise,

    L(x) = Σ (F − P)² / ΣP²  +  μ · variation(x)

at MatConvNet's layer 13, conv3_2, which is the report's.  For the four on its right the style's terms are added and the
start is the photograph (see 03_style_a_portrait.py).

Run::

    python examples/08_hang_the_appendix_row.py

What came out, with a trained VGG-19 of narrow layers at 192 pixels in 25 seconds: the second picture is the portrait, a
little softer and with its colours adrift, so all of the face is there for the styles to work on.  The four others keep
its lines and take the painting's palette and strokes.  With random filters of full width, 98 seconds, the second
picture can hardly be told from the first, and what the styles change is colour and grain.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.nets import Network
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.run import demo_portrait

LAYER = 13  # conv3_2
FACE = np.s_[20:404, 64:448]  # where the face is in the demo's portrait


def main(argv: Sequence[str] | None = None) -> None:
    """Reconstruct a face from one layer, paint it in four styles, and hang all six in a row."""
    parser = argparse.ArgumentParser(description="Hang a face, its content representation and four styles in a row.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: VGG-19, else random)")
    parser.add_argument("--content", type=Path, help="another portrait than the demo's")
    parser.add_argument("--styles", type=Path, nargs=4, help="four paintings (default: the repository's own)")
    parser.add_argument("--size", type=int, default=192, help="long side in pixels (default 192)")
    parser.add_argument("--iterations", type=int, default=60, help="for each picture (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    styles = options.styles or [painting_path(name) for name in PAINTINGS]
    try:
        net = vn.load_network(options.weights) if options.weights else vgg_network()
        layer = net.layer_name(LAYER)
        photo = read_image(options.content) if options.content else read_image(demo_portrait())[FACE]
        photo = resize(photo, fit_size(*photo.shape[:2], options.size))
        paintings = [read_image(path) for path in styles]
    except vn.InputError as error:
        parser.error(str(error))

    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{net.name}, {photo.shape[1]} × {photo.shape[0]} pixels, {options.iterations} iterations for each picture\n")
    row = {"portrait": photo}
    start = time.perf_counter()
    content, loss = content_representation(net, photo, 2 * options.iterations)
    row[f"content at {layer}"] = content
    print(f"{'content':16} {time.perf_counter() - start:6.1f} s, objective {loss:.4f}")
    for path, painting in zip(styles, paintings, strict=True):
        start = time.perf_counter()
        result = vn.transfer(photo, painting, net=net, size=options.size, iterations=options.iterations)
        print(f"{path.stem:16} {time.perf_counter() - start:6.1f} s, objective {result.history[-1]['loss']:.4f}")
        row[path.stem] = result.image
    for number, (name, image) in enumerate(row.items()):
        write_image(options.out / f"row_{number}_{name.split()[0]}.png", image)
    path = options.out / "hang_the_appendix_row.png"
    plot(row, paintings, f"One face ({net.name})", path)
    print(f"\nwrote {path} and its six pictures")


def content_representation(net: Network, photo: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    """Return the smooth picture, found from noise, that has the photograph's features, and the objective there."""
    net = net.with_pooling("average")
    fun = vn.Objective(net, photo, content={LAYER: 1.0}, variation=0.5, normalization="relative")
    noise = np.random.default_rng(0).normal(photo.mean(axis=(0, 1)), 50, photo.shape).astype("float32")
    result = vn.minimize(fun, noise, maxiter=iterations, first_step=2.0)
    return result.x, float(result.fun)


def plot(row: dict[str, np.ndarray], paintings: list[np.ndarray], title: str, path: Path) -> None:
    """Hang the row; each style's painting is a small inset in the corner of its picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(row), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=15)
    insets = [None, None, *paintings]
    for ax, (name, image), painting in zip(figure.subplots(1, len(row)), row.items(), insets, strict=True):
        ax.imshow(np.clip(image, 0, 255) / 255)
        ax.set_title(name, fontsize=12)
        ax.set(xticks=[], yticks=[])
        if painting is not None:
            side = min(painting.shape[:2])
            corner = ax.inset_axes((0.7, 0.02, 0.28, 0.28))
            corner.imshow(np.clip(painting[:side, :side], 0, 255) / 255)
            corner.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
