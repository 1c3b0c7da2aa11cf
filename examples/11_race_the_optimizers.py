r"""Race L-BFGS against Adam, momentum and gradient descent; and Newton's method, where a picture is small enough.

The report (its figure 5) finds gradient descent, momentum and Adam slow, Newton's method fast but unaffordable, and
takes L-BFGS.  Here all of them start from the same noise and minimise the same objective, a portrait's content and a
painting's style.  x are the pixels, g the gradient:

    gradient descent    x ← x − r g
    momentum            m ← 0.9 m − r g,    x ← x + m
    Adam                x ← x − r · (mean of g) / √(mean of g²),  entry by entry
    L-BFGS              x ← x − λ H g,  H an inverse Hessian guessed from the last ten changes of x and g
    Newton              x ← x − (∂²L/∂x²)⁻¹ g

``lbfgs-fixed`` is L-BFGS as the report prints it, with a fixed λ; ``lbfgs`` is ours, with a line search.  The methods
with a rate are tried with two or three rates each for 25 evaluations, and run with the best.  The rates of gradient
descent and momentum are given as the grey levels by which the first step moves a pixel, since r itself has no meaning.

Newton's method needs n² second derivatives: 7 GB for a picture of 100×100 pixels, so it gets 8×8 (n = 192).  The
Hessian comes from differences of our own gradient, 2n evaluations.  Far from a minimum it has negative eigenvalues,
along which Newton's step would climb; they count as their size, and a damping keeps the step where the quadratic model
can be trusted.

Run::

    python examples/11_race_the_optimizers.py

It takes 100 seconds on two cores and writes ``examples/out/race_the_optimizers.png``.  The network is VGG-19 if its
weights are here (see weights/README.md), else one of its shape with random filters, centred.
L after 10, 20 and 100 evaluations, with a trained VGG-19 of a quarter of the width (left) and with random filters:

    lbfgs               0.105  0.042  0.017       0.373  0.161  0.107
    lbfgs-fixed         0.505  0.246  0.017       0.369  0.159  0.105
    adam                0.095  0.052  0.018       0.316  0.192  0.105
    momentum            0.134  0.064  0.018       0.456  0.241  0.108
    gradient descent    0.165  0.101  0.038       0.511  0.342  0.171

So L-BFGS leads from the 15th evaluation or so, but well-tuned Adam and momentum are close behind and catch up; what
speaks for L-BFGS is that there is nothing to tune.  On the trained network Adam with a third of its best rate is at
0.065 after 25 evaluations instead of 0.044, and gradient descent with three times its best rate at 1e32.  As printed,
without a line search, L-BFGS overshoots there: with λ = 1 it exploded twice, with λ = 0.5 once, and a restart saved it.
Its own arithmetic, 40 operations on vectors, is not free where the network is small: see the second panel.

The report also prints a gradient of the style loss that is half the true one (see `vggnumpy.losses.printed`).  For Adam
and for L-BFGS with a fixed rate that is a smaller weight of the style.  A line search, which believes that value and
gradient belong together, may stop dead: 0.54 instead of 0.017 with the trained network.

Newton's method is the fastest by far for each iteration (0.036 after 5, when L-BFGS is at 0.22) and the slowest for
each evaluation, as one iteration takes 385.  It ends in a crawl, because "some functions do not have second
derivatives": the Hessian of a network with rectifiers knows nothing of the kinks around it.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.formats.load import vgg_network
from vggnumpy.images import fit_size, read_image, resize
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import choose_layers, preset
from vggnumpy.run import demo_portrait

# The rates that are tried.  Of momentum and gradient descent: grey levels by which the first step moves a pixel.
RATES = {
    "lbfgs": (None,),
    "lbfgs-fixed": (1.0, 0.5),
    "adam": (10.0, 30.0, 100.0),
    "momentum": (1.0, 3.0, 10.0),
    "gradient-descent": (3.0, 10.0, 30.0),
}
COLORS = {
    "newton": "black",
    "lbfgs": "#d81e3a",
    "lbfgs-fixed": "#e0a526",
    "adam": "#148f83",
    "momentum": "#7b2d8e",
    "gradient-descent": "#1f5aa6",
}
TRIAL, EARLY = 25, 20  # evaluations for each rate that is tried, and those after which the pictures are shown
CONTENT = 5  # times the preset's content weight: out of noise a face is found with more than it takes to keep it
TINY = 8  # pixels a side of the picture for Newton's method
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Run(NamedTuple):
    """What became of one method: a row (iteration, evaluations, seconds, value) for each iteration, and pictures."""

    rate: float | None
    rows: np.ndarray
    early: np.ndarray
    image: np.ndarray
    remark: str

    def value_at(self, number: int, column: int) -> float:
        """Return the lowest value up to a number of iterations (column 0) or evaluations (1)."""
        return self.rows[self.rows[:, column] <= number, 3].min()


def main(argv: Sequence[str] | None = None) -> None:
    """Run all methods on one objective, two gradients against each other, and Newton's method on a tiny picture."""
    parser = argparse.ArgumentParser(description="Race optimisers on one objective of style transfer.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", metavar="NET", help="name or file of a network (default: the best there is)")
    parser.add_argument("--style", choices=PAINTINGS, default="flow_field", help="painting (default flow_field)")
    parser.add_argument("--size", type=int, default=96, help="long side of the picture in pixels (default 96)")
    parser.add_argument("--evaluations", type=int, default=100, help="for each method (default 100)")
    parser.add_argument("--newton", type=int, default=20, help="iterations of Newton's method (default 20)")
    options = parser.parse_args(argv)
    least = {"size": 32, "evaluations": 5, "newton": 1}
    for name, number in least.items():
        if getattr(options, name) < number:
            parser.error(f"--{name}: expected at least {number}, found {getattr(options, name)}")

    net = vn.load_network(options.weights) if options.weights else vgg_network()
    net = net.with_pooling("average")
    settings = choose_layers(preset("default"), net)
    paths = demo_portrait(), painting_path(options.style)
    pictures = [load(path, options.size) for path in paths]

    def objective(form: str) -> vn.Objective:
        content = {layer: CONTENT * weight for layer, weight in settings.content_layers.items()}
        style, variation = settings.style_layers, settings.variation
        return vn.Objective(net, *pictures, content, style, "relative", variation=variation, form=form)

    fun, start = objective("exact"), noise(pictures[0])
    print(f"{net.name}, {start.size} unknowns, L = {fun(start)[0]:.4f} at the start\n")
    runs = race(fun, start, RATES, options.evaluations)
    print_runs(runs, 1, "evaluations", options.evaluations)

    print("\nL at the end if the optimiser is given the exact gradient, and the printed one")
    for method in ("lbfgs", "lbfgs-fixed", "adam"):
        other = descend(objective("printed"), start, method, runs[method].rate, options.evaluations)
        print(f"{method:18}{fun(runs[method].image)[0]:10.4f}{fun(other.image)[0]:10.4f}   {other.remark}")

    net = net.astype("float64")
    tiny_pictures = [resize(read_image(path), (TINY, TINY)).astype("float64") for path in paths]
    tiny = vn.Objective(
        net, *tiny_pictures, {"relu1_2": 0.01}, {"relu1_1": 0.5, "relu1_2": 0.5}, "relative", variation=0.5
    )
    tiny_start = noise(tiny_pictures[0])
    print(f"\nNewton's method on {tiny_start.size} unknowns, L = {tiny(tiny_start)[0]:.4f} at the start\n")
    tiny_runs = {"newton": newton(tiny, tiny_start, options.newton)}
    rates = {method: rates for method, rates in RATES.items() if method != "lbfgs-fixed"}
    tiny_runs |= race(tiny, tiny_start, rates, 10 * options.evaluations)
    print_runs(tiny_runs, 0, "iterations", options.newton)
    print_runs(tiny_runs, 1, "evaluations", 10_000)

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "race_the_optimizers.png"
    plot(start, runs, tiny_runs, net.name).savefig(path, dpi=110)
    print(f"\nwrote {path}")


def load(path: Path, size: int) -> np.ndarray:
    """Read a picture and scale its long side to `size`."""
    image = read_image(path)
    return resize(image, fit_size(*image.shape[:2], size))


def noise(picture: np.ndarray) -> np.ndarray:
    """Return white noise around a picture's mean colour."""
    white = np.random.default_rng(0).standard_normal(picture.shape)
    return (picture.mean(axis=(0, 1)) + 50 * white).astype(picture.dtype)


def race(
    fun: Objective, start: np.ndarray, rates: dict[str, Sequence[float | None]], evaluations: int
) -> dict[str, Run]:
    """Run each method with that of its rates which came farthest in a short trial."""
    runs = {}
    for method, tried in rates.items():
        trials = {rate: descend(fun, start, method, rate, min(TRIAL, evaluations)) for rate in tried}
        best = min(trials, key=lambda rate: trials[rate].rows[-1, 3])
        run = descend(fun, start, method, best, evaluations)
        came = ", ".join(f"{rate:g} → {trial.rows[-1, 3]:.2g}" for rate, trial in trials.items() if rate is not None)
        runs[method] = run._replace(remark="; ".join(filter(None, (run.remark, came and f"tried {came}"))))
    return runs


def print_runs(runs: dict[str, Run], column: int, unit: str, limit: int) -> None:
    """Print the lowest value of each run after some numbers of iterations or evaluations."""
    numbers = [number for number in (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if number <= limit]
    print(f"{unit:18} rate" + "".join(f"{number:>8}" for number in numbers) + "  seconds")
    for method, run in runs.items():
        rate = "none" if run.rate is None else f"{run.rate:g}"
        values = "".join(f"{run.value_at(number, column):8.4f}" for number in numbers)
        print(f"{method:18} {rate:>4}{values}{run.rows[-1, 2]:9.2f}   {run.remark}")


def descend(fun: Objective, start: np.ndarray, method: str, rate: float | None, evaluations: int) -> Run:
    """Run one method, and keep the value after each iteration."""
    value, gradient = fun(start)
    rows, early = [(0, 1, 0.0, value)], start
    options = {}
    if rate is not None:
        by_gradient = method in ("momentum", "gradient-descent")
        options["rate"] = rate / np.abs(gradient).mean() if by_gradient else rate
    begin = time.perf_counter()

    def keep(intermediate_result: Any) -> None:
        nonlocal early
        rows.append(
            (intermediate_result.nit, intermediate_result.nfev, time.perf_counter() - begin, intermediate_result.fun)
        )
        if intermediate_result.nfev <= EARLY:
            early = intermediate_result.x

    with np.errstate(over="ignore", invalid="ignore"):  # a rate that is too large may explode
        result = vn.minimize(
            fun, start, method=method, maxiter=evaluations, maxfun=evaluations, callback=keep, **options
        )
    remark = result.message if result.nfev < evaluations else ""
    return Run(rate, np.array(rows), early, result.x, remark)


def newton(fun: Objective, x: np.ndarray, iterations: int) -> Run:
    """Minimise by Newton's method, with a Hessian of differences and steps as long as its quadratic model holds.

    With H = V diag(λ) Vᵀ the step is d = −V (|λ| + μ)⁻¹ Vᵀ g: an eigenvalue below zero, where Newton's own step would
    go uphill, counts as its size, and μ shortens all steps.  The model predicts the gain −(gᵀd + ½ dᵀHd); where the
    true gain is less than a tenth of that μ is quadrupled, where it is more than half μ is quartered.
    """
    value, gradient = fun(x)
    begin = time.perf_counter()
    rows, evaluations, damping, asymmetry = [(0, 1, 0.0, value)], 1, 0.0, 0.0
    for iteration in range(1, iterations + 1):
        H, difference = hessian(fun, x)
        evaluations += 2 * x.size
        asymmetry = max(asymmetry, difference)
        eigenvalues, V = np.linalg.eigh(H)
        if iteration == 1:
            damping = 1e-3 * np.abs(eigenvalues).max()
            remark = f"{(eigenvalues < 0).sum()} eigenvalues below zero at the start"
        slope, gain = V.T @ gradient.ravel(), -1.0
        while gain < 0 and damping < 1:
            along = -slope / (np.abs(eigenvalues) + damping)
            trial = x + (V @ along).reshape(x.shape)
            new_value, new_gradient = fun(trial)
            evaluations += 1
            gain = value - new_value
            predicted = -(slope @ along + 0.5 * eigenvalues @ along**2)
            damping *= 4 if gain < 0.1 * predicted else 0.25 if gain > 0.5 * predicted else 1
        if gain < 0:
            break
        x, value, gradient = trial, new_value, new_gradient
        rows.append((iteration, evaluations, time.perf_counter() - begin, value))
    remark += f", {(eigenvalues < 0).sum()} at the end; H and Hᵀ differ by {asymmetry:.0e} at most"
    return Run(None, np.array(rows), x, x, remark)


def hessian(fun: Objective, x: np.ndarray, step: float = 1e-3) -> tuple[np.ndarray, float]:
    """Return the second derivatives by central differences of the gradient, and by how much H and Hᵀ differ."""
    rows = []
    for unit in np.eye(x.size).reshape(-1, *x.shape):
        difference = fun(x + step * unit)[1] - fun(x - step * unit)[1]
        rows.append(difference.ravel() / (2 * step))
    H = np.array(rows)
    return (H + H.T) / 2, np.linalg.norm(H - H.T) / np.linalg.norm(H)


def plot(start: np.ndarray, runs: dict[str, Run], tiny_runs: dict[str, Run], network: str) -> Figure:
    """Show the pictures early and late, and the values against evaluations, seconds and iterations."""
    figure = Figure(figsize=(14, 10.5), layout="constrained")
    figure.suptitle(f"One objective, five ways downhill ({network})", fontsize=15)
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    evaluations = int(max(run.rows[-1, 1] for run in runs.values()))
    axes = above.subplots(2, 1 + len(runs))
    hung = [[("the start", start), ("", None)]]
    hung += [
        [(method, run.early), (f"L = {run.value_at(evaluations, 1):.4f}", run.image)] for method, run in runs.items()
    ]
    for (up, down), column in zip(axes.T, hung, strict=True):
        for ax, (title, picture) in zip((up, down), column, strict=True):
            ax.set(xticks=[], yticks=[])
            if picture is None:
                ax.axis("off")
                continue
            ax.imshow(np.clip(picture, 0, 255) / 255)
            ax.set_title(title, fontsize=11)
    axes[0, 1].set_ylabel(f"after {EARLY} evaluations", fontsize=11)
    axes[1, 1].set_ylabel(f"after {evaluations} evaluations", fontsize=11)

    panels = below.subplots(1, 4)
    curves(panels[0], runs, 1, "evaluations", 1)
    curves(panels[1], runs, 2, "seconds", 0)
    size = "×".join(map(str, (TINY, TINY)))
    curves(panels[2], tiny_runs, 0, f"iterations, {size} pixels", 0)
    curves(panels[3], tiny_runs, 1, f"evaluations, {size} pixels", 1)
    iterations = tiny_runs["newton"].rows[-1, 0]
    panels[2].set_xlim(0, max(iterations, 1))
    panels[3].set_xscale("log")
    panels[0].set_ylabel("objective L, the lowest so far")
    panels[0].legend(fontsize=9)
    panels[2].legend(fontsize=9)
    return figure


def curves(ax: Axes, runs: dict[str, Run], column: int, label: str, first: float) -> None:
    """Draw the lowest value so far of each run against a column of its rows."""
    for method, run in runs.items():
        marker = "o" if method == "newton" else None
        ax.semilogy(
            run.rows[:, column],
            np.minimum.accumulate(run.rows[:, 3]),
            color=COLORS[method],
            marker=marker,
            markersize=3,
            label=method,
        )
    ax.set_xlabel(label)
    ax.grid(alpha=0.3, which="both")


if __name__ == "__main__":
    main()
