"""What the losses that know of places cost: seconds of an evaluation, and the memory it takes.

    python tests/benchmarks/spatial_losses.py [--rounds 3] [--only local]

At the sizes of VGG-19's layers, float32, with features as a rectifier leaves them (half of them 0), all cores:

* local: windowed Gram matrices of radius 8 at relu2_1 and relu3_1, picture of 256 × 256 pixels; radius 0 beside it;
* self-convolution at the same layers;
* covariation: eight components of relu3_1, windows of radius 8, at the same layers;
* patches: 3 × 3 at relu3_1 and relu4_1, picture of 512 × 512 pixels: search, average, loss and gradient.

Memory is how much the resident memory rises above what it is with the image's and the style's features loaded: the
target, the evaluation and its result.  The bar is 2 GiB.  Every case is a process of its own, started without
OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE.
"""

from __future__ import annotations

import argparse

from evaluation_against_torch import answer, in_a_process, median, rise, seconds

LIMIT = 2 << 30
LAYERS = {
    "relu2_1": (2, 128),
    "relu3_1": (4, 256),
    "relu4_1": (8, 512),
}  # pixels from one position to the next, channels
CASES = [
    ("local", "relu2_1", 256, {"radius": 8}),
    ("local", "relu3_1", 256, {"radius": 8}),
    ("local", "relu2_1", 256, {"radius": 0}),
    ("local", "relu3_1", 256, {"radius": 0}),
    ("self-convolution", "relu2_1", 256, {}),
    ("self-convolution", "relu3_1", 256, {}),
    ("covariation", "relu2_1", 256, {"radius": 8}),
    ("covariation", "relu3_1", 256, {"radius": 8}),
    ("patches", "relu3_1", 512, {}),
    ("patches", "relu4_1", 512, {}),
]


def features(layer, size, rng):
    """Return made-up features of a layer for a picture of size × size pixels."""
    step, channels = LAYERS[layer]
    return rng.standard_normal((size // step, size // step, channels), dtype="float32").clip(0)


def loss_of(kind, S, radius, contents):
    """Prepare the target of a style; return the loss of an image's features."""
    from vggnumpy import losses
    from vggnumpy.engine.threads import cores

    if kind == "local":
        window = losses.local_gram_target(S, radius)
        return lambda F: losses.local_gram(F, window, "relative", cores())
    if kind == "self-convolution":
        spatial = losses.self_convolution_target(S, cores())
        return lambda F: losses.self_convolution(F, spatial, "relative", cores())
    if kind == "patches":
        patches = losses.patches_target(S)
        return lambda F: losses.patches(F, patches)
    covariation = losses.covariation_target(S, contents[1], losses.content_components(contents[0], 8), radius)
    return lambda F: losses.covariation(F, contents[0], covariation, "relative")


def measure(kind, layer, size, radius, rounds):
    """Return bytes and seconds of an evaluation, the first one not counted."""
    import numpy as np

    from vggnumpy.engine.threads import one_blas_thread

    rng = np.random.default_rng(0)
    F, S = (features(layer, size, rng) for _ in range(2))
    contents = [features("relu3_1", size, rng) for _ in range(2)] if kind == "covariation" else []

    def first():
        loss = loss_of(kind, S, radius, contents)
        loss(F)
        return loss

    with one_blas_thread():
        loss, nbytes = rise(first)
        return nbytes, median([seconds(loss, F) for _ in range(rounds)])


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="the losses to measure (default all)")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer(options.call, globals())
        return
    print("loss              layer    pixels  radius   seconds      MB")
    for kind, layer, size, extra in CASES:
        if options.only and kind not in options.only:
            continue
        radius = extra.get("radius")
        nbytes, taken = in_a_process("measure", kind, layer, size, radius, options.rounds, script=__file__)
        row = f"{kind:17} {layer}  {size:6}  {'–' if radius is None else radius:>6}  {taken:8.3f}  {nbytes / 1e6:6.0f}"
        print(row + ("  OVER 2 GiB" if nbytes > LIMIT else ""), flush=True)


if __name__ == "__main__":
    main()
