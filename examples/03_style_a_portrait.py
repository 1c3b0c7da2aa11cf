r"""Style a portrait four times, as the MatConvNet report's appendix does, and watch the losses fall.

The report's question: can a face keep its features (the outline that says who it is) and take on the stroke and the
colour of a painting?  Its answer, and Gatys' before: write down what is wanted as one number and walk downhill,

    L(x) = α · content(x)  +  Σ_l β_l · style_l(x)  +  μ · variation(x)

    content(x) = Σ (F − P)² / ΣP²                 F, P: features of x and of the portrait at one layer
    style_l(x) = Σ (G/M − A/M_a)² · M_a² / ΣA²    G, A: Gram matrices of x and of the painting at layer l,
                                                  summed over M and M_a positions
    variation(x) = mean of squared differences between neighbouring pixels, counted from 0 to 1

where x are the pixels themselves and the network never changes.  The losses are relative: content is 0 for the
portrait's own features and 1 when all are lost, style is 0 for the painting's texture, 1 for no texture at all and
more where there is too much of another.  So the same weights serve every size and every network.  L-BFGS does the
walking; each step needs L and all of its ∂L/∂x, a forward and a backward pass.  It starts from the portrait at half
the size and ends at the full one: long strokes are laid out first, where they are short.

Nothing is painted before the objective has been checked: on a small copy in float64 its hand-derived gradient is
compared with central differences, all terms, layers and pixels at once.

Run::

    python examples/03_style_a_portrait.py

It takes two minutes on two cores, ``--size 128 --iterations 20`` 20 seconds.  Into ``examples/out`` it writes the four
pictures, ``style_a_portrait.png`` with all of them, their losses and the terms at the end, and
``style_a_portrait.json`` with what is needed to repeat the run.  The network is VGG-19 if its weights are here (see
weights/README.md), else the one that comes with the repository, else random filters, centred.  Those, surprisingly,
know colours and strokes too: with them the gradient agrees with differences to 2e-8, and the objective ends at 0.026
(flow_field), 0.072 (halftone), 0.037 (stained_glass) and 0.048 (marbled).
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.gradcheck import check_gradient
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.nets import Network
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import choose_layers, preset
from vggnumpy.report import versions, write_json
from vggnumpy.run import demo_portrait
from vggnumpy.transfer import TransferResult

COLORS = {"flow_field": "#1f5aa6", "halftone": "#d81e3a", "stained_glass": "#7b2d8e", "marbled": "#148f83"}


def main(argv: Sequence[str] | None = None) -> None:
    """Check the objective, paint four pictures, print and plot what it took."""
    parser = argparse.ArgumentParser(description="Style a portrait with each of the four packaged paintings.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--size", type=int, default=256, help="long side of the pictures in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=60, help="for each picture (default 60)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")

    net = best_network()
    error = check_objective(net, size=48)
    print(f"{net.name}: the objective's gradient agrees with central differences to {error:.0e}\n")
    if error > 1e-4:
        raise SystemExit("the gradient of the objective is wrong")

    options.out.mkdir(parents=True, exist_ok=True)
    print("                        evaluations and loss at full size             at the end")
    print("painting        seconds            first →   last        content    style      size  variation")
    results = {}
    for name in PAINTINGS:
        start = time.perf_counter()
        result = vn.transfer(
            demo_portrait(), painting_path(name), net=net, size=options.size, iterations=options.iterations
        )
        seconds = time.perf_counter() - start
        last = result.history[-1]
        own = [row for row in result.history if row["scale"] == last["scale"]]
        print(
            f"{name:14} {seconds:8.1f} {last['evaluations']:6} {own[0]['loss']:10.4f} → {last['loss']:.4f}   "
            + "".join(f"{value:10.4f}" for value in by_kind(result.terms).values())
        )
        if result.interrupted:
            raise SystemExit("interrupted")
        write_image(options.out / f"portrait_{name}.png", result.image)
        results[name] = result

    record = {
        name: {"terms": one.terms, "settings": one.settings, "history": one.history} for name, one in results.items()
    }
    network = {"name": net.name, **net.provenance}
    write_json(options.out / "style_a_portrait.json", {"versions": versions(), "network": network, "pictures": record})
    path = options.out / "style_a_portrait.png"
    plot(results, net).savefig(path, dpi=110)
    print(f"\nwrote {path}")


def check_objective(net: Network, size: int) -> float:
    """Return how far the gradient of the objective that `transfer` minimises is from central differences."""
    net = net.astype("float64").with_pooling("average")
    settings = choose_layers(preset("default"), net)
    small = [read_image(path) for path in (demo_portrait(), painting_path("marbled"))]
    small = [resize(image, fit_size(*image.shape[:2], size)).astype("float64") for image in small]
    fun = vn.Objective(
        net,
        *small,
        settings.content_layers,
        settings.style_layers,
        settings.normalization,
        variation=settings.variation,
    )
    # Not at the portrait, where the content's gradient is zero.  Small steps, so that no rectifier changes sides.
    image = small[0] + np.random.default_rng(0).normal(0, 20, small[0].shape)
    return check_gradient(fun, image, steps=(1e-5, 1e-6))


def by_kind(terms: dict[str, float]) -> dict[str, float]:
    """Add up the terms by the first word of their names: content, style, size, variation."""
    sums: dict[str, float] = {}
    for name, value in terms.items():
        kind = name.split()[0]
        sums[kind] = sums.get(kind, 0.0) + value
    return sums


def plot(results: dict[str, TransferResult], net: Network) -> Figure:
    """Hang the pictures under their paintings; below, the loss curves and what they end with, term by term."""
    figure = Figure(figsize=(14, 11), layout="constrained")
    figure.suptitle(f"One portrait, four styles ({net.name})", fontsize=15)
    # Apart, so that the width of labels below does not move the pictures above.
    above, below = figure.subfigures(2, 1, height_ratios=(1.8, 1))
    grid = above.add_gridspec(2, 5, height_ratios=(1, 1.17))
    size = next(iter(results.values())).image.shape
    hung = {(1, 0): (resize(read_image(demo_portrait()), size[:2]), f"the portrait, {size[1]} × {size[0]} pixels")}
    for column, (name, result) in enumerate(results.items(), start=1):
        hung[0, column] = read_image(painting_path(name)), f"“{name}”"
        hung[1, column] = result.image, f"loss {result.history[-1]['loss']:.4f}"
    for place, (picture, title) in hung.items():
        ax = above.add_subplot(grid[place])
        ax.imshow(np.clip(picture, 0, 255) / 255)
        ax.set_title(title, fontsize=11)
        ax.set(xticks=[], yticks=[])
    corner = above.add_subplot(grid[0, 0])
    corner.axis("off")
    corner.text(0.5, 0.5, "style →\n\ncontent ↓", ha="center", va="center", fontsize=14, color="0.4")

    curves, bars = below.subplots(1, 2, width_ratios=(3, 2))
    for name, result in results.items():
        for scale in sorted({row["scale"] for row in result.history}):
            rows = [row for row in result.history if row["scale"] == scale]
            label = name if scale == 1 else None
            iterations, losses = [row["iteration"] for row in rows], [row["loss"] for row in rows]
            curves.semilogy(iterations, losses, color=COLORS[name], linewidth=1.8, label=label)
    begins = {row["scale"]: row for row in reversed(next(iter(results.values())).history)}
    for row in begins.values():
        curves.axvline(row["iteration"], color="0.6", linestyle=":", linewidth=1)
        label = f" {row['size'][1]} × {row['size'][0]}"
        curves.text(row["iteration"], 1.02, label, color="0.4", transform=curves.get_xaxis_transform())
    curves.set(xlabel="iteration of L-BFGS", ylabel="objective L")
    curves.grid(alpha=0.3, which="both")
    curves.legend()

    terms = list(next(iter(results.values())).terms)
    blues = iter(colormaps["Blues"](np.linspace(0.35, 0.95, sum(term.startswith("style") for term in terms))))
    left = np.zeros(len(results))
    for term in terms:
        widths = np.array([result.terms[term] for result in results.values()])
        color = next(blues) if term.startswith("style") else {"content": "#e0a526"}.get(term.split()[0], "0.7")
        bars.barh(list(results), widths, left=left, label=term, color=color)
        left += widths
    bars.invert_yaxis()
    bars.set(xlabel="weight × loss at the end", xlim=(0, left.max() * 1.02))
    bars.legend(fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


if __name__ == "__main__":
    main()
