r"""Start from the photograph, the painting or noise: does it matter where the descent begins?  Paper 5's figure 3.

The objective of a transfer has one value for every image, and says nothing of where to begin.  But it has many valleys,
and L-BFGS ends in one near its start.  Nikulin and Novak start the same transfer three times: from the painting, from
the photograph, and from white noise.

This script does the same at one size, without going from coarse to fine, which would hide the start, and prints how
the objective falls, what of it is content and what style, and how far apart the three results are.

Run::

    python examples/26_start_elsewhere.py

What came out, with the network that comes with vggnumpy at 256 pixels and 150 iterations: the objective ends nearly
alike (0.0111 from the painting, 0.0106 from the photograph, 0.0121 from noise), and the pictures do not, 73 to 83 grey
levels apart.  From the photograph the face stays light because it was; from the painting half of it takes the blue of
the whirl that was there, the golden ground runs through her uniform and its stars stay in the corners; from noise the
colours fall by chance, each seed's otherwise.  What the start decides is which of the painting's colours goes where,
of which the objective knows little.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait

STARTS = ("style", "content", "noise")  # the figure's order


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait from three starts, and compare what came out."""
    parser = argparse.ArgumentParser(description="Start one transfer from the photograph, the painting and noise.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--style", type=Path, help="another painting than flow_field")
    parser.add_argument("--size", type=int, default=256, help="long side in pixels (default 256)")
    parser.add_argument("--iterations", type=int, default=150, help="from each start (default 150)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        painting = read_image(options.style or painting_path("flow_field"))
    except vn.InputError as error:
        parser.error(str(error))

    shown = [n for n in (1, 10, 50, 150, 500) if n < options.iterations] + [options.iterations]
    print(f"{net.name}, long side {options.size}, one scale\n")
    print("start    seconds   loss after " + " ".join(f"{n:>8}" for n in shown) + "   content    style")
    options.out.mkdir(parents=True, exist_ok=True)
    images = {}
    for start in STARTS:
        began = time.perf_counter()
        result = vn.transfer(
            photo, painting, net=net, size=options.size, iterations=options.iterations, scales=1, start=start
        )
        losses = [row["loss"] for row in result.history]
        parts = [sum(v for name, v in result.terms.items() if name.startswith(part)) for part in ("content", "style")]
        print(
            f"{start:8} {time.perf_counter() - began:7.1f} {'':13}"
            + " ".join(f"{losses[min(n, len(losses)) - 1]:8.4f}" for n in shown)
            + f"  {parts[0]:8.4f} {parts[1]:8.4f}"
        )
        images[start] = result.image
        write_image(options.out / f"start_{start}.png", result.image)
    print("\ndifference of two results, root mean square in grey levels")
    for a, b in (("content", "style"), ("content", "noise"), ("style", "noise")):
        apart = np.sqrt(np.mean((images[a].astype(float) - images[b]) ** 2))
        print(f"from {a} and from {b}: {apart:.1f}")
    path = options.out / "start_elsewhere.png"
    frames = [resize(photo, images["content"].shape[:2]), painting, *images.values()]
    labels = ["the photograph", "the painting", *(f"from {'the ' * (s != 'noise')}{NAMES[s]}" for s in STARTS)]
    write_contact_sheet(path, frames, labels, f"One objective, three starts ({net.name})", columns=5)
    print(f"\nwrote {path} and start_….png")


NAMES = {"style": "painting", "content": "photograph", "noise": "noise"}


if __name__ == "__main__":
    main()
