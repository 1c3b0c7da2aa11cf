r"""Walk one gradient through all layers of VGG-19, and check it at every stop.

A portrait passes through the network up to one layer, ``relu4_1``.  There its features F (M positions × C channels)
are compared with a painting's by their Gram matrices, and the comparison has a derivative in closed form:

    L = Σ (G/M − A/M_a)² · M_a²/ΣA²,    G = FᵀF,    ∂L/∂F = F (S + Sᵀ),    S = 2 (G/M − A/M_a) · M_a²/ΣA² / M

L is 0 for a perfect likeness and 1 for an image without any style.  From ∂L/∂F on, the gradient only walks home: each
layer receives the derivative with respect to its output y and hands on the one with respect to its input x,

    conv    dx = the spread-back of dY Wᵀ      every position gives to the window that it once looked at
    relu    dx = dy where x > 0, else 0        what the rectifier set to zero had no influence
    pool    dx = dy / 4                        the average's four positions share alike

until it reaches the pixels.  There it says, for every pixel and colour, how L changes if that number grows.  Going
against it is all that style transfer does.  `Network.inspect` keeps every derivative on the way, as MatConvNet's
``res(i).dzdx``, and this script prints and plots them all.

Nothing of that needs to be believed.  Take any layer's output x, move it a little in a random direction d and let the
*rest* of the network compute L again: (L(x + h·d) − L(x − h·d)) / 2h must be ⟨dzdx, d⟩.  The last column of the table
is the relative difference of the two, in float64.  (The pools average here, as in Gatys' paper.  Behind a rectifier
max pooling has windows full of zeros, ties that have no derivative.)

Run::

    python examples/01_walk_a_gradient.py

It takes about half a minute of one core and writes ``examples/out/walk_a_gradient.png``.  The network is VGG-19 if its
weights are here (see weights/README.md), else one of its shape with random filters, centred.  With those the style loss
is 1.04, and all 22 derivatives agree with the differences to 2e-6 or better.  What to look for: the derivative at a
convolution is zero wherever its rectifier's output is (50.7 % at conv4_1).  A pool halves the derivative's norm, as √(4
· (1/4)²) = 1/2.  The last column of relu3_4's derivative is black: pool3 drops the odd one of 41 columns, so nothing
comes back.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.gradcheck import check_gradient
from vggnumpy.images import fit_size, read_image, resize
from vggnumpy.nets import Inspection, Network
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.run import demo_portrait

START = ("relu4_1", "relu3_1", "relu2_1", "relu1_1")  # the first of these that the network has


def main(argv: Sequence[str] | None = None) -> None:
    """Compute one style gradient, print and check it at every layer, plot it."""
    parser = argparse.ArgumentParser(description="Walk one gradient through all layers, and check it at every stop.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--size", type=int, default=192, help="long side of the portrait in pixels (default 192)")
    parser.add_argument("--style", choices=PAINTINGS, default="flow_field", help="painting (default flow_field)")
    options = parser.parse_args(argv)
    if options.size < 32:
        parser.error(f"--size: expected at least 32 pixels, found {options.size}")

    net = vgg_network().with_pooling("average").astype("float64")
    layer = next(name for name in START if name in net.layers)
    image = load(demo_portrait(), options.size)
    style = vn.style_of(net, load(painting_path(options.style), options.size), [layer])[layer]

    features, tape = net.forward(image, [layer])
    value, dF = vn.losses.gram(features[layer], *style, normalization="relative")
    dimage = net.backward(tape, {layer: dF})
    walk = net.inspect(image, {layer: dF})
    print(f"{net.name}: style loss {value:.4f} at {layer} against {options.style}, {net.dtype}\n")

    def loss(F: np.ndarray) -> float:
        return vn.losses.gram(F, *style, normalization="relative")[0]

    print("layer                    shape        ‖x‖  zeros     ‖dzdx‖  zeros  error")
    number = {name: number for number, name in net.numbers.items()}
    worst = 0.0
    for name, record in reversed(walk.items()):
        step = 1e-7 * np.sqrt(np.mean(record.x**2))

        def rest(x: np.ndarray, name: str = name) -> tuple[float, np.ndarray]:
            return loss(go_on(net, x, name, layer)), walk[name].dzdx

        error = check_gradient(rest, record.x, directions=1, steps=(step, step / 10))
        worst = max(worst, error)
        zeros = [np.mean(array == 0) for array in (record.x, record.dzdx)]
        norms = [np.linalg.norm(array) for array in (record.x, record.dzdx)]
        shape = "×".join(map(str, record.x.shape))
        print(
            f"{number.get(name, ''):>2} {name:8} {shape:>18} {norms[0]:10.3e} {zeros[0]:6.1%} "
            f"{norms[1]:10.3e} {zeros[1]:6.1%}  {error:.0e}"
        )
    if not np.array_equal(net.preprocess_backward(walk["input"].dzdx), dimage):
        raise SystemExit("inspect and backward disagree about the pixels")
    if worst > 1e-4:
        raise SystemExit(f"a derivative is wrong: it differs from finite differences by {worst:.0e}")
    print(f"\nevery derivative agrees with finite differences, the worst to {worst:.0e}")

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "walk_a_gradient.png"
    title = f"One style gradient from {layer} to the pixels ({net.name}, “{options.style}”)"
    plot(image, dimage, walk, title).savefig(path, dpi=110)
    print(f"wrote {path}")


def load(path: Path, size: int) -> np.ndarray:
    """Read a picture, scale its long side to `size` and return it as float64."""
    image = read_image(path)
    return resize(image, fit_size(*image.shape[:2], size)).astype("float64")


def go_on(net: Network, x: np.ndarray, name: str, last: str) -> np.ndarray:
    """Take `x` for the output of layer `name` and compute the output of layer `last` from it."""
    layers = {layer.name: layer for layer in net.table}
    path = []
    while last != name:
        path.append(layers[last])
        last = layers[last].inputs[0]
    for layer in reversed(path):
        if layer.kind == "conv":
            pad_mode = layer.pad_mode or net.pad_mode
            x, _ = vn.ops.conv(x, *net.weights[layer.name], layer.stride, layer.pad, layer.dilate, pad_mode)
        elif layer.kind == "pool":
            x, _ = vn.ops.avg_pool(x, layer.size, layer.stride, layer.pad, layer.rounding)
        else:
            x, _ = vn.ops.relu(x)
    return x


def plot(image: np.ndarray, dimage: np.ndarray, walk: Inspection, title: str) -> Figure:
    """Show image and gradient at the left, and each layer's output over its derivative at the right."""
    names = [name for name in walk if name != "input"]
    columns = -(-len(names) // 3)
    figure = Figure(figsize=(3.4 + 1.42 * columns, 11.2), layout="constrained")
    figure.suptitle(title, fontsize=15)
    grid = figure.add_gridspec(7, columns + 1, width_ratios=[2.2] + [1] * columns, height_ratios=[1] * 6 + [0.09])

    against = 127.5 - dimage * (110 / np.percentile(np.abs(dimage), 99.5))
    brightness = dimage.mean(axis=-1)
    limit = np.percentile(np.abs(brightness), 99.5)
    exponent = int(np.floor(np.log10(limit)))
    axes = [figure.add_subplot(grid[2 * row : 2 * row + 2, 0]) for row in range(3)]
    axes[0].imshow(image.clip(0, 255) / 255)
    axes[0].set_title(f"the portrait, {'×'.join(map(str, image.shape))}", fontsize=10)
    axes[1].imshow(against.clip(0, 255) / 255)
    axes[1].set_title("−∂L/∂pixels in colour, grey is 0", fontsize=10)
    limit *= 10.0**-exponent
    signed = axes[2].imshow(brightness * 10.0**-exponent, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[2].set_title("∂L/∂pixels, mean of the three colours", fontsize=10)
    bar = figure.colorbar(signed, cax=figure.add_subplot(grid[6, 0]), orientation="horizontal", extend="both")
    bar.set_label(rf"change of L per grey level / $10^{{{exponent}}}$")

    half = columns // 2
    bars = (slice(1, 1 + half), slice(1 + half, None))
    kinds = ("output x", "viridis", "√Σ x²"), ("derivative dzdx", "magma", "√Σ dzdx²")
    for below, (kind, cmap, label) in enumerate(kinds):
        for place, name in enumerate(names):
            row, column = divmod(place, columns)
            array = (walk[name].x, walk[name].dzdx)[below]
            energy = np.linalg.norm(array, axis=-1)
            ax = figure.add_subplot(grid[2 * row + below, 1 + column])
            shown = ax.imshow(energy / np.percentile(energy, 99.5), cmap=cmap, vmin=0, vmax=1)
            shape = "×".join(map(str, array.shape))
            ax.set_title(f"‖dzdx‖ = {np.linalg.norm(array):.1e}" if below else f"{name}\n{shape}", fontsize=8)
            if column == 0:
                ax.set_ylabel(kind)
            axes.append(ax)
        cax = figure.add_subplot(grid[6, bars[below]])
        scale = figure.colorbar(shown, cax=cax, orientation="horizontal", ticks=(0, 1), extend="max")
        for end, side in zip(scale.ax.set_xticklabels(("0", "max")), ("left", "right"), strict=True):
            end.set_ha(side)
        scale.set_label(f"{label} over channels", labelpad=-8)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
