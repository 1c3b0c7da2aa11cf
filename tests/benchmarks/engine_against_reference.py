"""How exact the engine is, and how true its estimates: against the network's own passes and against the clock.

    python tests/benchmarks/engine_against_reference.py [--weights FILE …] [--sizes 256 512] [--images 3] [--parts …]

* gradient: the engine's float32 gradient against the reference's in float64: ‖difference‖ / ‖gradient‖ and the cosine,
  with both poolings, for VGG-19 with He weights and for the networks named; beside it the error of the exact path in
  float32.  Nearly all of either is a rectifier or two, of millions, whose input rounding takes to the other side of 0,
  or a maximum that changes its place; so it differs from image to image by orders of magnitude, and several are tried:
  the median and the worst.  What lies outside such a rectifier's sight shows the rest: the error in the median square
  of 16×16 pixels, as a part of the gradient's root mean square.
* transfers: five transfers of 200 iterations whose starts differ by a thousandth of a grey level, by the engine and by
  the exact path, both in float32: the median final losses and their ratio.
* estimates: memory and time of an evaluation at five sizes, estimated and measured.

Every measurement is a process of its own, started without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE.
"""

from __future__ import annotations

import argparse

from evaluation_against_torch import (
    answer,
    in_a_process,
    median,
    memory,  # noqa: F401 (called by its name)
    problem,
    seconds,
)

HE = "VGG-19 with He weights"
SIZES = (256, 384, 512, 768, 1024)


def network(name, size, pooling):
    """Return a network, and the content, style and start images."""
    from vggnumpy import load_network

    net, *images = problem(size, pooling)
    if name != HE:
        net = load_network(name, dtype="float32").with_pooling(pooling)
    return net, *images


def objective(net, content, style, executor):
    """Return five Gram terms and a content term, as far as the network has the layers."""
    from vggnumpy import Objective

    layers = [layer for layer in (f"relu{block}_1" for block in range(1, 6)) if layer in net.layers]
    weights = dict.fromkeys(layers, 1 / len(layers))
    deep = "relu4_2" if "relu4_2" in net.layers else layers[-1]
    return Objective(net, content, style, {deep: 0.01}, weights, "relative", executor=executor)


def gradient(name, size, pooling, seed):
    """Return relative error, 1 − cosine and error in the median square of the engine, and the exact path's error."""
    import numpy as np

    net, *images = network(name, size, pooling)
    if seed:
        images = list(np.random.default_rng(seed).uniform(0, 255, (3, size, size, 3)).astype("f4"))
    content, style, x = images
    _, fast = objective(net, content, style, "fused")(x)
    double = [image.astype("float64") for image in images]
    _, exact = objective(net.astype("float64"), *double[:2], "reference")(double[2])
    _, single = objective(net, content, style, "reference")(x)
    fast, norm = fast.astype("float64"), np.linalg.norm(exact)
    errors = [float(np.linalg.norm(one - exact) / norm) for one in (fast, single)]
    cosine = float(np.vdot(fast, exact) / norm / np.linalg.norm(fast))
    side = size // 16 * 16
    squares = (fast - exact)[:side, :side].reshape(side // 16, 16, side // 16, 48)
    quiet = float(np.median(np.sqrt((squares**2).mean(axis=(1, 3)))) / np.sqrt((exact**2).mean()))
    return [errors[0], 1 - cosine, quiet, errors[1]]


def transfers(name, size, iterations):
    """Return the final losses of five descents by the engine and of five by the exact path."""
    import numpy as np

    from vggnumpy.optimize import minimize

    net, content, style, _ = network(name, size, "average")
    losses = {}
    for executor in ("fused", "reference"):
        fun = objective(net, content, style, executor)
        starts = (content + np.random.default_rng(k).uniform(-1e-3, 1e-3, content.shape) for k in range(5))
        losses[executor] = [float(minimize(fun, x.astype("float32"), maxiter=iterations).fun) for x in starts]
    return losses


def estimates(size):
    """Return bytes and seconds of an evaluation, estimated and measured."""
    from evaluation_against_torch import CONTENT, STYLE, ours

    from vggnumpy.estimate import evaluation_bytes, evaluation_seconds

    net, content, style, x = problem(size, "average")
    guessed = evaluation_bytes(net, CONTENT, STYLE, (size, size)), evaluation_seconds(net, STYLE, (size, size))
    fun = ours(net, content, style)
    fun(x)
    return [*guessed, median([seconds(fun, x) for _ in range(5)])]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="*", default=[], metavar="FILE", help="networks besides the random one")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="for the gradient")
    parser.add_argument("--images", type=int, default=3, help="for the gradient")
    parser.add_argument("--iterations", type=int, default=200, help="of each transfer")
    parser.add_argument("--parts", nargs="+", default=["gradient", "transfers", "estimates"])
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer(options.call, globals())
        return
    if "gradient" in options.parts:
        print(
            f"the engine's gradient in float32 against float64, {options.images} images: median error, worst, worst 1 −"
        )
        print("cosine, median error of the median square; the exact path's median error in float32, worst")
        for name in (HE, *options.weights):
            for size in options.sizes:
                for pooling in ("average", "max"):
                    found = [
                        in_a_process("gradient", name, size, pooling, seed, script=__file__)
                        for seed in range(options.images)
                    ]
                    errors, cosines, quiet, others = zip(*found, strict=True)
                    print(
                        f"  {name}, {size}², {pooling}: {median(errors):.1e}, {max(errors):.1e}, {max(cosines):.1e}, "
                        f"{median(quiet):.1e}; {median(others):.1e}, {max(others):.1e}",
                        flush=True,
                    )
    if "transfers" in options.parts:
        print(f"final loss after {options.iterations} iterations at 96², median of five starts: engine, exact, ratio")
        for name in (HE, *options.weights):
            losses = in_a_process("transfers", name, 96, options.iterations, script=__file__)
            fused, exact = (median(losses[executor]) for executor in ("fused", "reference"))
            spread = max(losses["reference"]) / min(losses["reference"]) - 1
            print(
                f"  {name}: {fused:.5g}, {exact:.5g}, {fused / exact:.4f} (the exact ones spread {spread:.2%})",
                flush=True,
            )
    if "estimates" in options.parts:
        print("one evaluation: MB estimated, measured, ratio; seconds estimated, measured, ratio")
        for size in SIZES:
            nbytes, guess, taken = in_a_process("estimates", size, script=__file__)
            measured = in_a_process("memory", size, "average", "ours", script=__file__)["bytes"]
            print(
                f"  {size}²: {nbytes / 1e6:.0f}, {measured / 1e6:.0f}, {nbytes / measured:.2f}; "
                f"{guess:.2f}, {taken:.2f}, {guess / taken:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
