r"""Set the strength of a style: does one number mean the same at every size?  Sweeps as in papers 2 and 5.

The papers' weights of content and style (10⁻³, 5 : 100, 1 : 1000) belong to a network, a normalisation and a size; with
another of any of these the same numbers paint another picture.  ``--strength`` is a number of what comes out.  With s
the strength, the content's weight is chosen such that the result has gone the share

    s^0.8 / (s^0.8 + 3/7)        0.27 for s = 0.1,  0.7 for s = 1,  0.94 for s = 10

of the way from the photograph to the painting, measured as the distance of Gram matrices in a network that is the same
for all (`vggnumpy.scores`).  The weight is found at 128 pixels, by painting a few small pictures, and then holds at
every larger size, if the losses are what they should be: relative, and so free of size.

This script makes sure, with the command that is made for such questions::

    vggnumpy sweep PHOTO PAINTING -o set_the_strength.png --size 128,256 --strength 0.1,1,10

hangs all combinations in a labelled grid, and lists them with their scores in a file, from which the curves are drawn.

Run::

    python examples/30_set_the_strength.py
    python examples/30_set_the_strength.py --sizes 256,512,1024 --strengths 0.1,0.3,1,3,10 --iterations 300

What came out, with the network that comes with vggnumpy: at 256 pixels 0.276, 0.700 and 0.928 for strengths of 0.1, 1
and 10, where 0.270, 0.700 and 0.936 were meant.  With a strength of 1, 512 pixels give 0.678 and 1024 pixels 0.666; at
256 pixels SqueezeNet 1.1 gives 0.735, the first five convolutions of VGG-19 0.706, and a VGG-19 of narrow layers
0.619.  To the eye the networks differ more than that: the judge is the network that comes with vggnumpy, and it takes
less paint to convince itself than another does.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from vggnumpy.cli import main as vggnumpy
from vggnumpy.paintings import painting_path
from vggnumpy.run import demo_portrait
from vggnumpy.strength import share_of


def main(argv: Sequence[str] | None = None) -> None:
    """Sweep strengths over sizes, print the scores as a table and draw them as curves."""
    parser = argparse.ArgumentParser(description="Sweep the strength of a style over sizes.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", default="builtin", help="name or file of a network's weights (default builtin)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--style", type=Path, help="another painting than flow_field")
    parser.add_argument("--sizes", default="128,256", help="long sides in pixels (default 128,256)")
    parser.add_argument("--strengths", default="0.1,1,10", help="default 0.1,1,10")
    parser.add_argument("--iterations", type=int, default=100, help="for each picture (default 100)")
    options = parser.parse_args(argv)

    options.out.mkdir(parents=True, exist_ok=True)
    grid = options.out / "set_the_strength.png"
    style = options.style or painting_path("flow_field")
    swept = ["--size", options.sizes, "--strength", options.strengths]
    same = ["--weights", options.weights, "--iterations", str(options.iterations)]
    code = vggnumpy(["sweep", str(options.content or demo_portrait()), str(style), "-o", str(grid), *same, *swept])
    if code:
        raise SystemExit(code)
    cells = json.loads(grid.with_suffix(".json").read_text(encoding="ascii"))["cells"]

    strengths = options.strengths.split(",")
    print("style score\n\n  size   " + "".join(f"s = {strength:7}" for strength in strengths))
    curves: dict[str, list[float]] = {}
    for cell in cells:
        curves.setdefault(cell["options"]["size"], []).append(cell["score"]["style_score"])
    for size, scores in curves.items():
        print(f"{size:>6}   " + "".join(f"{score:<11.3f}" for score in scores))
    numbers = [float(strength) for strength in strengths]
    print("asked for" + "".join(f"{share_of(strength):<11.3f}" for strength in numbers))
    path = options.out / "set_the_strength_curves.png"
    plot(numbers, curves).savefig(path, dpi=110)
    print(f"\nwrote {grid}, {path.name} and the pictures in {grid.with_suffix('')}")


def plot(strengths: Sequence[float], curves: dict[str, list[float]]) -> Figure:
    """Draw the style score against the strength, one curve for each size."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    ax.semilogx(strengths, [share_of(strength) for strength in strengths], "k--", label="asked for")
    for size, scores in curves.items():
        ax.semilogx(strengths, scores, "o-", label=f"{size} pixels")
    ax.set(xlabel="strength", ylabel="style score: share of the way to the style", ylim=(0, 1))
    ax.set_title("What one number of strength leaves behind")
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


if __name__ == "__main__":
    main()
