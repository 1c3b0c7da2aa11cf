r"""Ask a classifier what it still sees in a styled portrait, and how much of the photograph that takes.

The report passes its styled portraits through VGG-Face and prints, for each, the score of the original's class, and
whether that is still the most likely one.  All four were: 0.961 for the original, 0.093 to 0.852 for the styles.  This
is its table for any network with a classifier,

    score = softmax(z)_c,    c = argmax softmax(z of the original)

in four styles.  A style may be laid on thin, so the portrait is painted with three content weights: that of the preset,
which was chosen by eye, 30 times and 1000 times as much.  The second row of the table is a control, the photograph
itself at the size of the painted pictures: what is lost there is not the style's doing.

The classifier comes from elsewhere: one that ``vggnumpy weights fetch`` got is found, or ``--classifier`` names it.
Without one the pictures are painted and the command to score them is printed; a table of a random network would mean
nothing.

Run::

    vggnumpy weights fetch squeezenet1_1
    python examples/12_score_the_styled_faces.py
    python examples/12_score_the_styled_faces.py --classifier onet.h5 --box 180 80 170 200

It takes two minutes on two cores and writes the twelve pictures and ``examples/out/score_the_styled_faces.png``.  The
network that paints is VGG-19 if its weights are here (see weights/README.md), else one of its shape with random
filters, centred.  A trained VGG-19 of a quarter of the width painted the pictures for these
answers, which depend on who is asked:

* SqueezeNet 1.1 (ImageNet) takes the photograph for class 834, a suit, at 0.32; at 224 pixels 0.20.  Of the styled ones
  it finds three to be class 917, a comic book, which is hard to argue with, and gives the suit 0.0001 at most.  With 30
  times the content weight the suit is still below 0.01.  With 1000 times it has 0.10 to 0.20, and that is a photograph
  with a little colour: even then one of four keeps its class.
* MTCNN's face detector sees a face in all twelve pictures, with 0.68 at least, and with 0.96 or more in eleven of them.
  It wants to be shown the face tightly: with a box of 190×230 pixels instead the lowest score is 0.30.

So the report's high scores say something about the question as much as about the pictures.  A network that was trained
on faces under all kinds of light looks for what style transfer keeps, the arrangement of eyes, nose and mouth; one that
tells a thousand things apart looks at texture, which is what style transfer replaces.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.evaluate import ClassScore, class_scores, score_table
from vggnumpy.formats.load import find_weights, vgg_network
from vggnumpy.images import fit_size, read_image, resize, write_image
from vggnumpy.nets import Network
from vggnumpy.paintings import PAINTINGS, painting_path
from vggnumpy.presets import choose_layers, preset
from vggnumpy.run import demo_portrait

FACTORS = (1, 30, 1000)  # of the preset's content weight
CLASSIFIERS = ("vgg-face", "squeezenet1_1", "squeezenet1_1-torchvision", "googlenet", "alexnet")
GRID = {(name, factor): f"{name} ×{factor}" for factor in FACTORS for name in PAINTINGS}


def main(argv: Sequence[str] | None = None) -> None:
    """Paint the portrait in four styles with three content weights, and print the report's table for all of them."""
    parser = argparse.ArgumentParser(description="Ask a classifier what it still sees in a styled portrait.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", metavar="NET", help="network that paints (default: the best there is)")
    parser.add_argument("--classifier", metavar="NET", help="network that judges (default: one that was fetched)")
    parser.add_argument("--box", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="part of the 512×600 photograph")
    parser.add_argument("--size", type=int, default=224, help="long side of the pictures in pixels (default 224)")
    parser.add_argument("--iterations", type=int, default=30, help="for each picture (default 30)")
    options = parser.parse_args(argv)
    if options.size < 32 or options.iterations < 1:
        parser.error(f"expected --size 32 and --iterations 1 at least, found {options.size} and {options.iterations}")

    net = vn.load_network(options.weights) if options.weights else vgg_network()
    judge = load_classifier(options.classifier)
    original = read_image(demo_portrait())
    if judge is not None:
        class_scores(judge, original, [], options.box)  # a wrong box is better found before the painting than after
    pictures = {"original": original}
    pictures["original, small"] = resize(original, fit_size(*original.shape[:2], options.size))
    content = choose_layers(preset("default"), net).content_layers
    options.out.mkdir(parents=True, exist_ok=True)
    for (name, factor), label in GRID.items():
        weights = {layer: factor * weight for layer, weight in content.items()}
        result = vn.transfer(
            original,
            painting_path(name),
            net=net,
            size=options.size,
            iterations=options.iterations,
            content_layers=weights,
        )
        if result.interrupted:
            raise SystemExit("interrupted")
        pictures[label] = result.image
        write_image(options.out / f"scored_{name}_{factor}.png", result.image)

    scores = None
    if judge is None:
        print(
            "there is no classifier here, so nothing is scored: get one with: vggnumpy weights fetch squeezenet1_1 "
            "(vggnumpy weights list shows others), or name one with --classifier; scored without painting again by:\n"
            f"vggnumpy score class {demo_portrait()} {options.out}/scored_*.png --weights NET"
        )
    else:
        first, *styled = pictures.values()
        scores = dict(zip(pictures, class_scores(judge, first, styled, options.box), strict=True))
        print(f"painted by {net.name}, judged by {judge.name}; the original: {scores['original'].class_name}\n")
        print(score_table(list(scores), list(scores.values())))

    path = options.out / "score_the_styled_faces.png"
    plot(pictures, scores, net, judge).savefig(path, dpi=110)
    print(f"\nwrote {path}")


def load_classifier(name: str | None) -> Network | None:
    """Return the named network, else the first of the usual classifiers that is here, if any."""
    found = name or next((name for name in CLASSIFIERS if find_weights(name)), None)
    return vn.load_network(found) if found else None


def plot(
    pictures: dict[str, np.ndarray], scores: dict[str, ClassScore] | None, net: Network, judge: Network | None
) -> Figure:
    """Hang the pictures in rows of one content weight each, with the original's score and class underneath."""
    figure = Figure(figsize=(13, 11.7), layout="constrained")
    judged = f", judged by {judge.name}" if judge else ", not judged"
    figure.suptitle(f"Is it still the same? Painted by {net.name}{judged}", fontsize=15)
    columns = 1 + len(PAINTINGS)
    axes = figure.subplots(len(FACTORS), columns)
    shown = {(0, 0): "original", (1, 0): "original, small"}
    shown |= {
        (row, 1 + column): GRID[name, factor]
        for row, factor in enumerate(FACTORS)
        for column, name in enumerate(PAINTINGS)
    }
    for place, ax in np.ndenumerate(axes):
        ax.set(xticks=[], yticks=[])
        if place not in shown:
            ax.axis("off")
            if scores is not None:
                ax.text(
                    0,
                    1,
                    "below each picture:\nscore of the original's class,\nmost likely class and its score",
                    va="top",
                )
            continue
        label = shown[place]
        ax.imshow(np.clip(pictures[label], 0, 255) / 255)
        ax.set_title(label if place[1] == 0 else list(PAINTINGS)[place[1] - 1] if place[0] == 0 else "", fontsize=11)
        if scores is not None:
            score = scores[label]
            color = "#148f83" if score.kept else "#d81e3a"
            ax.set_xlabel(f"{score.original_score:.3f}\n{score.class_name} {score.score:.3f}", color=color, fontsize=11)
    for row, factor in enumerate(FACTORS):
        axes[row, 1].set_ylabel(f"content weight ×{factor}", fontsize=12)
    return figure


if __name__ == "__main__":
    main()
