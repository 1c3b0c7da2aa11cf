r"""Keep the photograph's colours, take the painting's, or take nothing else: seven ways to choose.

A Gram matrix mixes strokes and colours, so a styled portrait comes out in the painting's palette.  Gatys, Bethge,
Hertzmann and Shechtman ("Preserving Color in Neural Artistic Style Transfer", 2016) take the two apart:

* **Paint brightness alone.**  Photograph and painting become grey, the painting's brightness moved to the photograph's
  mean and deviation, L_s ← σ_c/σ_s (L_s − μ_s) + μ_c.  The result gives its brightness, the photograph its chroma: I
  and Q of YIQ, or a* and b* of Lab.  A strong chroma may have no dark colour: there brightness gives way, chroma never.
* **Match colours first.**  The painting's colours go through x ← A (x − μ_s) + μ_c with A Σ_s Aᵀ = Σ_c, and have the
  photograph's mean and covariance before anything is painted.  A = L_c L_s⁻¹ (Cholesky) or Σ_c^½ Σ_s^-½ (principal
  axes); or the whole distribution is moved (histogram).

The other way round, the same map gives the photograph the painting's colours and not one stroke.

    vggnumpy transfer portrait.jpg painting.jpg -o out.png --color luminance

does one of them.  Run::

    python examples/23_choose_the_colors.py

What came out, with the network that comes with vggnumpy: with its own colours the painting makes her face yellow and
her sky turquoise, 20 grey levels in I and Q from the photograph on average.  Painted in brightness alone she keeps
every colour, 0.6 grey levels off at most, all of it rounding, and the strokes are relief, as if pressed into the
photograph.  The matched styles (8 to 9 levels off) paint with the photograph's palette, put its colours where strokes
are, and look most like a painting; a quarter of the matched painting's pixels are colours that no screen has, which
the network does not mind.  Recoloured, she is the photograph through coloured glass, black turned to a dark green.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vggnumpy as vn
from vggnumpy.color import srgb_to_lab, srgb_to_yiq
from vggnumpy.color_control import METHODS, color_statistics, match_colors
from vggnumpy.formats.load import best_network
from vggnumpy.images import read_image, resize, write_image
from vggnumpy.paintings import painting_path
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait

KINDS = ("style", "luminance", "luminance-lab", "cholesky", "principal-axes", "histogram", "recolor")


def main(argv: Sequence[str] | None = None) -> None:
    """Paint one portrait with its colours chosen in every way, and measure whose they are."""
    parser = argparse.ArgumentParser(description="Paint a portrait with its colours chosen in seven ways.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's portrait")
    parser.add_argument("--style", type=Path, help="another painting than flow_field")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--iterations", type=int, default=80, help="for each picture (default 80)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo = read_image(options.content or demo_portrait())
        painting = read_image(options.style or painting_path("flow_field"))
    except vn.InputError as error:
        parser.error(str(error))

    print(f"{net.name}, long side {options.size}, {options.iterations} iterations for each picture\n")
    wanted = color_statistics(photo)
    for method in METHODS:
        matched = match_colors(painting, wanted, method)
        off = np.abs(color_statistics(matched).covariance / wanted.covariance - 1).max()
        outside = ((matched < 0) | (matched > 255)).any(axis=-1).mean()
        print(f"the painting matched by {method}: covariance right to {off:.0e}, {outside:.0%} of it beyond the screen")
    print("\ncolours         seconds  I, Q off by: mean, most   a*, b* off by: mean, most")
    options.out.mkdir(parents=True, exist_ok=True)
    images = {}
    for kind in KINDS:
        start = time.perf_counter()
        result = vn.transfer(photo, painting, net=net, size=options.size, iterations=options.iterations, color=kind)
        seconds, images[kind] = time.perf_counter() - start, result.image
        own = np.clip(resize(photo, result.image.shape[:2]), 0, 255)
        off = [
            np.abs(space(result.image.astype("float32")) - space(own))[..., 1:] for space in (srgb_to_yiq, srgb_to_lab)
        ]
        numbers = "".join(f"{one.mean():15.2f} {one.max():7.2f}" for one in off)
        print(f"{kind:15} {seconds:7.1f} {numbers}")
        write_image(options.out / f"colors_{kind.replace('-', '_')}.png", result.image)
    path = options.out / "choose_the_colors.png"
    height, width = images["style"].shape[:2]
    frames = {"the photograph": resize(photo, (height, width)), "the painting": painting, **images}
    write_contact_sheet(path, list(frames.values()), list(frames), f"Whose colours? ({net.name})", columns=3, side=320)
    print(f"\nwrote {path} and colors_….png")


if __name__ == "__main__":
    main()
