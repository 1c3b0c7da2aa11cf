r"""Give a portrait the average style of several paintings: the sum of their losses, the mean Gram, the eigengram.

The report (its figure 4) knows two ways to make one style of N paintings, and finds that "the results are similar, but
method 2 is much faster".  Write R for the picture's Gram matrix at a layer, divided by its number of positions, and
A_n for painting n's.

1. Mixed gradient descent: the sum of the paintings' losses.  With the mean Ā = Σ A_n / N a square is completed,

       Σ_n k ‖R − A_n‖²  =  N k ‖R − Ā‖²  +  k Σ_n ‖A_n − Ā‖²

   and the last sum, the spread, does not depend on the picture.  So the sum of N losses has exactly the gradient of one
   loss for the mean Gram, times N, provided that k is the same for all paintings.

2. The eigengram: with the Gram matrices as vectors g_n and 𝐆 = [g_1 … g_N], the principal eigenvector u of 𝐆𝐆ᵀ.
   Brought as near as possible to the mean ḡ it is u (uᵀḡ) = Σ c_n g_n with c = v (vᵀ1)/N, where v is the principal
   eigenvector of the small N×N matrix 𝐆ᵀ𝐆.  So this is a mixture too, in which strong Gram matrices, and those like
   others, weigh more.  One u a layer, or a single one for the layers stacked (the same c for all).

All of them are one and the same loss with slightly different targets, and should cost the same.  Why was the report's
first method slow?  Its "running time grows with each image" if every style gets a pass through the network of its own.
But all styles need the same features of the same picture: `Objective` takes them once and adds up the derivatives with
respect to the Gram matrix, which are small, so that N styles cost hardly more than one.  The last panel shows both.

Run::

    python examples/10_average_several_styles.py
    python examples/10_average_several_styles.py --weights vgg19 --style starry_night.jpg scream.jpg wave.jpg

It takes 80 seconds on two cores and writes ``examples/out/average_several_styles.png`` and the four pictures.  The
network is VGG-19 if its weights are here (see weights/README.md), else one of its shape with random filters, centred.
A trained VGG-19 of a quarter of the width gave, for 4 paintings at 256 pixels:

* the identity holds to 4e-10 in the value and to 4e-7 in the gradient, in float32;
* the first and the second picture differ by 1.8 grey levels, because L-BFGS amplifies the rounding; the eigengram's
  can hardly be told from them, with weights of 0.13, 0.35, 0.24 and 0.14 at relu1_1 where the mean has 0.25 each;
* an evaluation takes 4.1 times as long as one style's if each of the four styles has its own pass, 1.2 times if they
  share one, 1.0 times with the mean Gram or the eigengram.  After the paintings' Gram matrices, mean and eigengram are
  a matter of a millisecond.

An average is no compromise, though.  Gram matrices are large where contrasts are hard, so the two paintings with black
outlines (halftone and stained_glass) prevail in every one of these averages: the distance to stained_glass falls from
0.37 to 0.07, that to the soft flow_field grows from 0.28 to 0.74.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.nets import Network
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import Settings, choose_layers, preset
from vggnumpy.run import demo_portrait
from vggnumpy.styles import Style, eigengram, eigengram_weights, mean_style

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]
Table = dict[str, Sequence[float]]
CONTENT = 0.25  # of the preset's content weight: an average style is a weak one


def main(argv: Sequence[str] | None = None) -> None:
    """Check the identity, print the eigengram's weights, time the evaluations, paint with each target."""
    parser = argparse.ArgumentParser(description="Give a portrait the average style of several paintings.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", metavar="NET", help="name or file of a network (default: the best there is)")
    parser.add_argument("--style", nargs="+", metavar="PICTURE", help="paintings (default: the four packaged ones)")
    parser.add_argument("--size", type=int, default=256, help="long side of the pictures in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=40, help="for each picture (default 40)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")

    net = vn.load_network(options.weights) if options.weights else vgg_network()
    net = net.with_pooling("average")
    settings = choose_layers(preset("default"), net)
    portrait = load(demo_portrait(), options.size)
    paths = [Path(path) for path in options.style or map(painting_path, PAINTINGS)]
    names, paintings = [path.stem for path in paths], [load(path, options.size) for path in paths]
    print(f"{net.name}; styles 1 to {len(names)} are {', '.join(names)}\n")

    # Several styles become one target: the list of all of them, or a list of one.
    start = time.perf_counter()
    styles = [vn.style_of(net, painting, settings.style_layers) for painting in paintings]
    print(f"{time.perf_counter() - start:7.4f} s   for the Gram matrices of {len(styles)} paintings")
    targets = {"sum of losses": styles}
    for name, build in {
        "mean Gram": mean_style,
        "eigengram": eigengram,
        "eigengram, stacked": lambda styles: eigengram(styles, stacked=True),
    }.items():
        start = time.perf_counter()
        targets[name] = [build(styles)]
        print(f"{time.perf_counter() - start:7.4f} s   more for the {name}")

    terms = balanced_terms(net, portrait, targets["mean Gram"][0], settings)
    check_identity(net, portrait, styles, targets["mean Gram"][0], terms["style"])

    def objective(target: Sequence[Style]) -> vn.Objective:
        shares = [1 / len(target)] * len(target)
        return vn.Objective(net, portrait, target, normalization="mean_square", style_weights=shares, **terms)

    weights: Table = dict(eigengram_weights(styles))
    weights["all layers"] = next(iter(eigengram_weights(styles, stacked=True).values()))
    print_table(f"weights of the styles in the eigengram (in the mean {1 / len(styles):.3f} each)", weights)
    times = time_evaluations(objective, targets, portrait)
    print_table(f"seconds of one evaluation with 1 to {len(styles)} styles", times)

    options.out.mkdir(parents=True, exist_ok=True)
    pictures = {"the portrait": portrait}
    losses: Table = {}
    for name, target in targets.items():
        fun = objective(target)
        pictures[name] = vn.minimize(fun, portrait, maxiter=options.iterations, first_step=0.5).x
        write_image(options.out / f"average_{name.replace(', ', '_').replace(' ', '_')}.png", pictures[name])
    for name, picture in pictures.items():
        losses[name] = [style_loss(net, picture, style, settings) for style in styles]
    print_table("how far each picture is from each style (0: its texture, 1: no texture, more: too much)", losses)
    apart = np.abs(pictures["sum of losses"] - pictures["mean Gram"]).mean()
    print(f"\nthe pictures of the sum of losses and of the mean Gram are {apart:.1f} grey levels apart on average")

    path = options.out / "average_several_styles.png"
    plot(dict(zip(names, paintings, strict=True)), pictures, losses, weights, times, net.name).savefig(path, dpi=110)
    print(f"wrote {path}")


def load(path: Path, size: int) -> np.ndarray:
    """Read a picture and scale its long side to `size`."""
    image = read_image(path)
    return resize(image, fit_size(*image.shape[:2], size))


def balanced_terms(net: Network, portrait: np.ndarray, mean: Style, settings: Settings) -> dict[str, Any]:
    """Return the objective's weights, such that with mean-square losses each term is its weight if all is missing.

    That is what the normalisation "relative" does, but it divides each style's loss by that style's own norm.  The
    identity needs one factor for all: here that of the mean.
    """
    features, _ = net.forward(portrait, settings.content_layers)
    content = {
        layer: CONTENT * weight / vn.losses.content(0 * features[layer], features[layer], "mean_square")[0]
        for layer, weight in settings.content_layers.items()
    }
    style = {
        layer: weight / vn.losses.gram_value(0 * mean[layer].matrix, mean[layer].matrix, 1, 1, "mean_square")[0]
        for layer, weight in settings.style_layers.items()
    }
    return {"content": content, "style": style, "variation": settings.variation / 255**2}


def check_identity(net: Network, image: np.ndarray, styles: Sequence[Style], mean: Style, weights: dict) -> None:
    """Hold the sum of N losses against N times the loss of the mean Gram."""
    every, dimage = vn.Objective(net, None, styles, style=weights, normalization="mean_square")(image)
    one, dmean = vn.Objective(net, None, mean, style=weights, normalization="mean_square")(image)
    spread = 0.0
    for layer, weight in weights.items():
        for G, positions in (style[layer] for style in styles):
            spread += weight * vn.losses.gram_value(G, mean[layer].matrix, positions, 1, "mean_square")[0]
    count = len(styles)
    error = abs(every - count * one - spread) / every
    slope = np.linalg.norm(dimage - count * dmean) / np.linalg.norm(dimage)
    print(f"\nsum of {count} losses {every:.4f} = {count} × {one:.4f} of the mean Gram + {spread:.4f} (to {error:.0e})")
    print(f"its gradient = {count} × that of the mean Gram (to {slope:.0e})")
    if max(error, slope) > 1e-3:
        raise SystemExit("the sum of losses and the mean Gram do not agree")


def time_evaluations(
    objective: Callable[[Sequence[Style]], vn.Objective], targets: dict[str, Sequence[Style]], image: np.ndarray
) -> Table:
    """Return the seconds of one evaluation with 1 to N styles, in four ways."""
    styles = targets["sum of losses"]
    numbers = range(1, len(styles) + 1)
    alone = np.cumsum([seconds(objective([style]), image) for style in styles])
    return {
        "each style its own pass": alone.tolist(),
        "sum of losses, one pass": [seconds(objective(styles[:n]), image) for n in numbers],
        "mean Gram": [seconds(objective(targets["mean Gram"]), image)] * len(styles),
        "eigengram": [seconds(objective(targets["eigengram"]), image)] * len(styles),
    }


def seconds(fun: Objective, image: np.ndarray) -> float:
    """Return the time of one evaluation, the best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        fun(image)
        times.append(time.perf_counter() - start)
    return min(times)


def style_loss(net: Network, picture: np.ndarray, style: Style, settings: Settings) -> float:
    """Return how far a picture's texture is from a style's, 1 if it had none."""
    own = vn.style_of(net, picture, settings.style_layers)
    return sum(
        weight * vn.losses.gram_value(own[layer][0], style[layer][0], own[layer][1], style[layer][1], "relative")[0]
        for layer, weight in settings.style_layers.items()
    )


def print_table(title: str, rows: Table) -> None:
    """Print numbers, a row for each name and a column for each style."""
    print(f"\n{title}")
    for name, row in rows.items():
        print(f"  {name:24}" + "".join(f"{number:8.3f}" for number in row))


def plot(
    paintings: dict[str, np.ndarray],
    pictures: dict[str, np.ndarray],
    losses: Table,
    weights: Table,
    times: Table,
    network: str,
) -> Figure:
    """Hang the paintings over the portraits; below: weights, distances and times."""
    figure = Figure(figsize=(14, 12), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08)
    figure.suptitle(f"One portrait in the average style of {len(paintings)} paintings ({network})", fontsize=15)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(0.95, 1.3, 1.25))
    for part, hung in ((top, paintings), (middle, pictures)):
        for number, (ax, (name, picture)) in enumerate(zip(part.subplots(1, len(hung)), hung.items(), strict=True)):
            ax.imshow(np.clip(picture, 0, 255) / 255)
            ax.set_title(f"style {number + 1}, “{name}”" if part is top else name, fontsize=11)
            ax.set(xticks=[], yticks=[])

    bars, map_, lines = bottom.subplots(1, 3, width_ratios=(1.25, 1, 1.1))
    left = np.zeros(len(weights))
    for number, name in enumerate(paintings):
        widths = np.array([row[number] for row in weights.values()])
        bars.barh(list(weights), widths, left=left, color=f"C{number}", label=name)
        left += widths
    bars.axvline(1, color="0.4", linestyle=":")
    bars.invert_yaxis()
    bars.set(xlabel="weights in the eigengram (the mean's add up to 1)")
    bars.legend(fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)

    numbers = np.array(list(losses.values()))
    map_.imshow(numbers, cmap="YlGnBu_r", vmin=0, vmax=1.5, aspect="auto")
    for (row, column), number in np.ndenumerate(numbers):
        map_.text(column, row, f"{number:.2f}", ha="center", va="center", color="white" if number < 0.6 else "black")
    map_.set_xticks(range(len(paintings)), [f"style {n + 1}" for n in range(len(paintings))])
    map_.set_yticks(range(len(losses)), list(losses))
    map_.set_title("distance of each picture from each style", fontsize=11)

    for (name, row), look in zip(times.items(), ("o-", "s-", "^--", "x:"), strict=True):
        lines.plot(range(1, len(row) + 1), row, look, label=name)
    lines.set(
        xlabel="number of styles", ylabel="seconds of one evaluation", ylim=(0, None), xticks=range(1, len(row) + 1)
    )
    lines.grid(alpha=0.3)
    lines.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    main()
