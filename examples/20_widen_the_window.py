r"""How far may a style wander from its place?  Nikulin and Novak's figures 13 and 14, and the step they left open.

Local style compares the Gram matrices of two pictures place by place,

    E = 1/(4C²M²) Σ_p ‖G(p) − A(p)‖²,    G(p) = Σ_d w(d) f_{p+d} f_{p+d}ᵀ,    |dx|, |dy| ≤ s,    w = 1/(1 + dx² + dy²)

They could afford s = 0 and small pictures only, turned summer into winter and winter into summer, and found that "due
to very rigid constraints the style picture basically gets painted over the content image".  Their next step would have
been "to expand the style window".

Here it is.  The style is the other season *mirrored*, so that its ridges are in other places than the photograph's and
one can see whose ridges the result has.  As w falls with the distance, a window of radius s counts not as (2s + 1)²
places but as Ω = Σ w: 1 for s = 0, 6.9 for s = 2 and 14.2 for s = 8.  Gram matrices of the whole picture, the last
column, are the window without an end and without decay.

For each result the table says how similar it is (SSIM) to the photograph and to the style picture.

Run::

    python examples/20_widen_the_window.py
    python examples/20_widen_the_window.py --content summer.jpg --style winter.jpg --size 256

What came out, with the network that comes with vggnumpy: Nikulin and Novak are right about s = 0.  The mirrored winter
is painted over the summer, ridges, clouds and all: similarity 0.99 to the style picture and 0.28 to the photograph.
With wider windows it lets go slowly, 0.83 and 0.31 for s = 2, 0.74 and 0.35 for s = 8, where the ridges are still the
style picture's; with Gram matrices the photograph stays, 0.29 and 0.63, and the clouds get what is the snow's.  From
winter to summer it is the same, 0.92, 0.78 and 0.65 against 0.33.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.landscape import SIZE, demo_landscape
from vggnumpy.losses.local_gram import window_weights
from vggnumpy.measures import ssim
from vggnumpy.presets import choose_layers, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.style_terms import cropped


def main(argv: Sequence[str] | None = None) -> None:
    """Paint each pair with wider and wider windows and print which of the two pictures the result resembles."""
    parser = argparse.ArgumentParser(description="Compare styles place by place, through wider and wider windows.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's; it needs a --style")
    parser.add_argument("--style", type=Path, help="a picture that is alike, as another season of the same view")
    parser.add_argument("--radii", type=int, nargs="+", default=[0, 2, 8], help="s, in positions (default 0 2 8)")
    parser.add_argument("--size", type=int, default=128, help="long side in pixels (default 128)")
    parser.add_argument("--iterations", type=int, default=50, help="for each picture (default 50)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1 or min(options.radii) < 0:
        parser.error(
            "expected --size 32, --iterations 1 and --radii 0 at least, found "
            f"{options.size}, {options.iterations} and {min(options.radii)}"
        )
    if (options.content is None) != (options.style is None):
        parser.error("another photograph needs another style: give both --content and --style")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        usual = choose_layers(preset("default"), net)
        if options.content:
            pairs = [(options.content.stem, read_image(options.content), read_image(options.style))]
        else:
            size = fit_size(*SIZE, options.size)
            summer, winter = (demo_landscape(size, season)[0] for season in ("summer", "winter"))
            pairs = [("summer to winter", summer, winter[:, ::-1]), ("winter to summer", winter, summer[:, ::-1])]
    except vn.InputError as error:
        parser.error(str(error))
    layers = [str(layer) for layer in usual.style_layers or {}][:3]
    windows: dict[str, dict[str, Any]] = {
        f"s = {radius}": {"style_loss": "local", "radius": radius} for radius in options.radii
    }

    print(f"{net.name}, long side {options.size} pixels, {options.iterations} iterations, style at {', '.join(layers)}")
    print("Ω:", ", ".join(f"{window_weights(radius).sum():.1f} for s = {radius}" for radius in options.radii), "\n")
    print("                  window            seconds   SSIM: photograph  style")
    options.out.mkdir(parents=True, exist_ok=True)
    walls = []
    for number, (title, content, style) in enumerate(pairs, start=1):
        shape = fit_size(*content.shape[:2], options.size)
        photo, other = resize(content, shape), resize(cropped(style, shape), shape)
        wall = [(photo, f"content: {title}"), (other, "style")]
        for name, window in {**windows, "Gram matrices": {"style_loss": "gram"}}.items():
            start = time.perf_counter()
            result = vn.transfer(
                content,
                style,
                net=net,
                size=options.size,
                iterations=options.iterations,
                style_layers=dict.fromkeys(layers, 1 / len(layers)),
                variation=0.01,
                scales=1,
                **window,
            )
            seconds = time.perf_counter() - start
            kept, copied = ssim(result.image, photo), ssim(result.image, other)
            print(f"{title:17} {name:15} {seconds:9.1f} {kept:18.2f} {copied:6.2f}")
            write_image(options.out / f"window_{number}_{window.get('radius', 'gram')}.png", result.image)
            wall.append((result.image, f"{name}\nSSIM {kept:.2f}, style {copied:.2f}"))
        walls.append(wall)
    path = options.out / "widen_the_window.png"
    frames, labels = zip(*(one for wall in walls for one in wall), strict=True)
    title = f"A style compared place by place, through wider and wider windows ({net.name})"
    write_contact_sheet(path, frames, labels, title, columns=len(walls[0]), side=280)
    print(f"\nwrote {path} and the pictures window_*.png")


if __name__ == "__main__":
    main()
