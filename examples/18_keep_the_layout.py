r"""Keep where a painting's things are, not only what they are made of: Nikulin and Novak's figure 8.

A Gram matrix G = FᵀF sums over all places, so it knows what a painting is made of and not where.  Nikulin and Novak
put the convolution of every channel with itself in its place,

    𝒢_i(z) = (F_i * F_i)(z) = Σ_u F_i(u) F_i(z − u),        E = 1/(4C²M²) Σ_i Σ_z (𝒢 − A)_i(z)²

which is to capture "less of the artistic details and more of the spatial configuration".  Why does it?  What is light
at u adds up with what is light at v at the place z = u + v, so moving everything by t moves 𝒢 by 2t.  It even holds
everything: take F_i(u) for the coefficients of a polynomial in two variables, and 𝒢_i holds those of its square, whose
roots are F_i and −F_i alone; behind a rectifier nothing is negative, which leaves F_i.

Its lookalike, the autocorrelation 𝒜_i(z) = Σ_u F_i(u) F_i(u + z), is what a Fourier transform without its phases says.
It holds distances and rhythm, and does not change when a map is moved or turned by half.  But a picture has a border
that it fills and cannot be moved in, and then the phases can almost always be found again (Hayes 1982), if not easily.

The first row asks what each of the three knows: from noise, and with no content, it looks for a picture with the
painting's statistics.  The second paints a portrait by each.  The number is the correlation between the luminances of
result and painting, both blurred by a Gaussian of a 32nd of the picture's side: is it light and dark where the painting
is?

Run::

    python examples/18_keep_the_layout.py
    python examples/18_keep_the_layout.py --style starry_night.jpg --content town.jpg --size 256

What came out, with the network that comes with vggnumpy: from noise Gram matrices give the painting's strokes and
colours in a heap (layout −0.05).  Self-convolution gives the painting back, the whirls of the sky, the sun, the hills
and the furrows in front (0.83).  The autocorrelation finds the dark above, the light in the middle and some of the
hills, and loses the sun and what is round (0.66).  Painted by self-convolution, the portrait has the painting laid
over it in its place (0.73, where Gram matrices have 0.35): the furrows run across the uniform, the light stands beside
the face, and the face itself is clearer than what Gram matrices leave of it.  In other words, as Nikulin and Novak
say, the scene is gently imprinted.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.measures import layout_correlation
from vggnumpy.paintings import painting_path
from vggnumpy.presets import choose_layers, preset
from vggnumpy.report import write_contact_sheet
from vggnumpy.run import demo_portrait
from vggnumpy.style_terms import cropped

STATISTICS = {"gram": "Gram matrices", "self-convolution": "self-convolution", "autocorrelation": "autocorrelation"}
# How much more a portrait's content must weigh against each: what knows of places pulls harder at the face.
CONTENT = {"gram": 1.0, "self-convolution": 3.0, "autocorrelation": 3.0}


def main(argv: Sequence[str] | None = None) -> None:
    """Reconstruct a painting from noise and paint a portrait, by each of the three; print whose layout it has."""
    parser = argparse.ArgumentParser(description="Compare Gram matrices with statistics that know of places.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--content", type=Path, help="another photograph than the demo's")
    parser.add_argument("--style", type=Path, default=painting_path("flow_field"), help="another painting")
    parser.add_argument("--size", type=int, default=128, help="long side in pixels (default 128)")
    parser.add_argument("--iterations", type=int, default=80, help="for each picture (default 80)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        photo, painting = read_image(options.content or demo_portrait()), read_image(options.style)
        usual = choose_layers(preset("default"), net)
    except vn.InputError as error:
        parser.error(str(error))
    layers, content = [str(layer) for layer in usual.style_layers or {}][:3], usual.content_layers or {}
    rows = [("from noise", painting, {}), ("painted", photo, content)]

    print(
        f"{net.name}, long side {options.size} pixels, {options.iterations} iterations, style at {', '.join(layers)}\n"
    )
    print("            by                seconds     loss: first →    last   layout")
    options.out.mkdir(parents=True, exist_ok=True)
    walls = []
    for task, picture, weights in rows:
        shape = fit_size(*picture.shape[:2], options.size)
        style = resize(cropped(painting, shape), shape)
        wall = [(resize(picture, shape), "the painting" if picture is painting else "the photograph")]
        for kind, name in STATISTICS.items():
            start = time.perf_counter()
            result = vn.transfer(
                picture,
                painting,
                net=net,
                size=options.size,
                seed=options.seed,
                iterations=options.iterations,
                content_layers={layer: weight * CONTENT[kind] for layer, weight in weights.items()},
                style_layers=dict.fromkeys(layers, 1 / len(layers)),
                style_loss=kind,
                start="content" if weights else "noise",
                variation=0.05,
                scales=1,
            )
            seconds = time.perf_counter() - start
            first, last = (result.history[i]["loss"] for i in (0, -1))
            alike = layout_correlation(result.image, style)
            print(f"{task:11} {name:16} {seconds:8.1f} {first:16.4f} → {last:.5f} {alike:8.2f}")
            write_image(options.out / f"layout_{task.replace(' ', '_')}_{kind}.png", result.image)
            wall.append((result.image, f"{task}: {name}\nlayout {alike:.2f}"))
        walls.append(wall)
    path = options.out / "keep_the_layout.png"
    frames, labels = zip(*(one for wall in walls for one in wall), strict=True)
    title = f"What a painting is made of, and where ({net.name})"
    write_contact_sheet(path, frames, labels, title, columns=len(walls[0]), side=300)
    print(f"\nwrote {path} and the pictures layout_*.png")


if __name__ == "__main__":
    main()
