r"""Turn summer into winter and noon into evening: Nikulin and Novak's figures 9 to 12, and what they could not run.

A Gram matrix is one for the whole picture.  Give a summer landscape the Gram matrices of a winter's and there is snow
in the sky: "random textures are generated everywhere".  Nikulin and Novak ask for a Gram matrix at every place p,

    G(p) = Σ_d w(d) f_{p+d} f_{p+d}ᵀ,        |dx|, |dy| ≤ s,        w(d) = 1/(1 + dx² + dy²)

and compare place with place: s = 0 is what they ran, larger windows are what they wished for.  That needs pictures that
agree place by place.  Their last proposal, which they thought "would probably still remain unfeasible", does not:

    T_k = Σ_p c_k(p) G(p)

is the Gram matrix of where content k is, so that style goes with content and not with places.  Content here is four
combinations of the channels of relu3_2: a constant, whose T is the Gram matrix of all, and the three that say most once
every channel is brought to mean 0 and deviation 1 in each picture.  Without that a snowy hill, which answers louder
than a green one, would be another content.

The four ways are Gram matrices, local style with s = 0 and s = 8, and covariation.  The camera of the demo's landscape
stood still from summer to winter, so the target is known, and the table says how far from it each result is: the mean
colour difference ΔE76 (0 is best), and structural similarity (1 is best).  In the last row the winter's picture is
mirrored, and no place agrees with its own.

Run::

    python examples/19_change_the_season.py
    python examples/19_change_the_season.py --content forest_summer.jpg --style forest_winter.jpg --size 256

What came out, with the network that comes with vggnumpy (ΔE, SSIM): where the pictures agree place by place, local
style is far nearer to the target than Gram matrices, the nearer the smaller the window: winter 3.6, 0.99 for s = 0 and
5.5, 0.94 for s = 8 against 9.5, 0.77; evening 2.4, 0.99 and 5.5, 0.88 against 10.3, 0.76.  Small wonder: at s = 0 the
target is nearly painted over the photograph.  Of the mirrored winter it therefore paints the wrong ridges (12.7,
0.30), and windows of 8 do too (13.1, 0.40); Gram matrices (9.7, 0.75) and covariation (9.6, 0.74) do not care.

Covariation is about as near as Gram matrices in winter (9.3, 0.77) and farther in the evening (13.7, 0.76), where it
lets the sky's purple into the hills.  It can only be as good as its content is the same in both seasons, and what a
small network answers to a hill in summer is not what it answers to one under snow.

Of a forest photographed by a camera that stood still, the summer came as near to winter as 2.4, 0.99 for s = 0 and
5.1, 0.68 for s = 8, against 9.1, 0.46 with Gram matrices, and to autumn 2.2, 0.99 and 6.3, 0.75, against 12.8, 0.52.
Here covariation is a little nearer than Gram matrices both times: 8.5, 0.47 and 11.9, 0.53.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.landscape import SIZE, demo_landscape
from vggnumpy.measures import color_distance, ssim
from vggnumpy.presets import choose_layers, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.style_terms import cropped

CONTENT = {"relu2_2": 0.01, "relu3_2": 0.002}
WAYS: dict[str, dict[str, Any]] = {
    "Gram matrices": {"style_loss": "gram"},
    "local, s = 0": {"style_loss": "local", "radius": 0},
    "local, s = 8": {"style_loss": "local", "radius": 8},
    "covariation": {"style_loss": "covariation", "radius": 2},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Paint each pair in the four ways and print how far from the target they are."""
    parser = argparse.ArgumentParser(description="Change the season of a landscape in four ways.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's; it needs a --style")
    parser.add_argument("--style", type=Path, help="the same view at another time")
    parser.add_argument("--size", type=int, default=128, help="long side in pixels (default 128)")
    parser.add_argument("--iterations", type=int, default=50, help="for each picture (default 50)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    if (options.content is None) != (options.style is None):
        parser.error("another photograph needs the same view at another time: give both --content and --style")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        usual = choose_layers(preset("default"), net)
        cases = [given(options.content, options.style)] if options.content else demo(options.size)
    except vn.InputError as error:
        parser.error(str(error))
    layers = [str(layer) for layer in usual.style_layers or {}][:3]
    weights = {layer: weight for layer, weight in CONTENT.items() if layer in net.layers} or usual.content_layers

    print(
        f"{net.name}, long side {options.size} pixels, {options.iterations} iterations, style at {', '.join(layers)}\n"
    )
    print("                    by               seconds     ΔE   SSIM")
    options.out.mkdir(parents=True, exist_ok=True)
    walls = []
    for number, (title, content, style, target) in enumerate(cases, start=1):
        shape = fit_size(*content.shape[:2], options.size)
        photo, wanted = (resize(one, shape) for one in (content, target))
        print(f"{title:19} {'not at all':24} {color_distance(photo, wanted):6.1f} {ssim(photo, wanted):6.2f}")
        wall = [(photo, f"content: {title}"), (resize(cropped(style, shape), shape), "style")]
        for name, way in WAYS.items():
            start = time.perf_counter()
            result = vn.transfer(
                content,
                style,
                net=net,
                size=options.size,
                iterations=options.iterations,
                content_layers=weights,
                style_layers=dict.fromkeys(layers, 1 / len(layers)),
                variation=0.01,
                scales=1,
                **way,
            )
            seconds = time.perf_counter() - start
            away, alike = color_distance(result.image, wanted), ssim(result.image, wanted)
            print(f"{'':19} {name:15} {seconds:8.1f} {away:6.1f} {alike:6.2f}")
            write_image(options.out / f"season_{number}_{way['style_loss']}_{way.get('radius', '')}.png", result.image)
            wall.append((result.image, f"{name}\nΔE {away:.1f}, SSIM {alike:.2f}"))
        walls.append(wall)
    path = options.out / "change_the_season.png"
    frames, labels = zip(*(one for wall in walls for one in wall), strict=True)
    title = f"Another season in four ways ({net.name})"
    write_contact_sheet(path, frames, labels, title, columns=len(walls[0]), side=280)
    print(f"\nwrote {path} and the pictures season_*.png")


def demo(long_side: int) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Return title, content, style and target of the demo's cases."""
    size = fit_size(*SIZE, long_side)
    summer, winter, evening = (demo_landscape(size, name)[0] for name in ("summer", "winter", "evening"))
    return [
        ("summer to winter", summer, winter, winter),
        ("noon to evening", summer, evening, evening),
        ("a mirrored winter", summer, winter[:, ::-1], winter),
    ]


def given(content: Path, style: Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Return the same for a pair of files; the style is the target, brought to the content's size."""
    photo, other = read_image(content), read_image(style)
    shape = (photo.shape[0], photo.shape[1])
    return content.stem, photo, other, resize(cropped(other, shape), shape)


if __name__ == "__main__":
    main()
