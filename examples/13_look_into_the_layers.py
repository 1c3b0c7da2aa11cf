r"""Look at what a network sees: the Columbia report's figures 7 and 8.

The report shows two photographs as the layers conv1_1, conv2_1, conv3_1 and conv4_1 of VGG-16 see them, and finds that
"the deeper the layer, the more abstract the feature is".  This script shows the same layers of whatever network is
here, for a photograph and a painting, and counts what can be counted.

A layer has 64 to 512 maps and most of them resemble each other.  Shown are nine that differ: the maps, less their mean
and divided by their deviation, are the columns of a matrix X, one row for each position, and a QR factorisation with
pivots picks them one after the other,

    j₁ = argmax ‖x_j‖,      j_{k+1} = argmax ‖x_j − (what x_{j₁} … x_{j_k} explain of it)‖

each time the map that those already hung explain least.  How many different maps there are in all is counted from the
eigenvalues λ of their covariance: (Σλ)² / Σλ² is n for n maps that have nothing to do with each other, and 1 if all
are the same.

Run::

    python examples/13_look_into_the_layers.py

What came out, with the network that comes with vggnumpy, in five seconds: the report is right about depth.  At
conv1_1 every map is the picture, lighter here and darker there, embossed or not; conv2_1 sees lines by their
direction, conv3_1 patches between lines, and at conv4_1, 34 × 40 positions, the flag, the hat and the face are still
where they were but one has to know.  The number of different maps grows much more slowly than that of maps: 6 of 64
at conv1_1, 14 of 512 at conv4_1 for the portrait, 6 and 17 for the painting.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import qr

import vggnumpy as vn
from vggnumpy.formats.load import best_network
from vggnumpy.images import fit_size, read_image, resize
from vggnumpy.paintings import painting_path
from vggnumpy.run import demo_portrait

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
ROWS = 3  # of maps shown for a layer, and columns


def main(argv: Sequence[str] | None = None) -> None:
    """Show what four layers make of two pictures, and count it."""
    parser = argparse.ArgumentParser(description="Show the features of conv1_1 … conv4_1 as pictures.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--weights", help="name or file of a network's weights (default: the best network there is)")
    parser.add_argument("--pictures", nargs="+", type=Path, help="in place of the portrait and the painting")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    options = parser.parse_args(argv)
    if options.size < 64:
        parser.error(f"expected --size 64 at least, found {options.size}")
    try:
        net = vn.load_network(options.weights) if options.weights else best_network()
        layers = [net.layer_name(layer) for layer in LAYERS]
        pictures = [read_image(path) for path in options.pictures or (demo_portrait(), painting_path("flow_field"))]
        pictures = [resize(picture, fit_size(*picture.shape[:2], options.size)) for picture in pictures]
    except vn.InputError as error:
        parser.error(str(error))

    print(f"{net.name}\n\npicture  layer         map  channels  let through  different maps")
    walls = []
    for number, picture in enumerate(pictures, start=1):
        features, _ = net.forward(picture, layers)
        walls.append([mosaic(features[layer]) for layer in layers])
        for layer in layers:
            F = features[layer]
            height, width, channels = F.shape
            shape = f"{number:7}  {layer}  {width:4} × {height:3}  {channels:8}"
            print(f"{shape}  {(F > 0).mean():11.0%}  {different(F):14.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "look_into_the_layers.png"
    plot(pictures, walls, layers, f"What four layers see ({net.name})", path)
    print(f"\nwrote {path}")


def standardised(F: np.ndarray) -> np.ndarray:
    """Return the maps as columns of mean 0 and deviation 1; a map without any structure stays 0."""
    X = F.reshape(-1, F.shape[-1]).astype("float64")
    X -= X.mean(axis=0)
    deviation = X.std(axis=0)
    return X / np.where(deviation > 1e-6 * deviation.max(), deviation, np.inf)


def different(F: np.ndarray) -> float:
    """Return how many maps that have nothing to do with each other would be as different: (Σλ)² / Σλ²."""
    X = standardised(F)
    covariance = X.T @ X
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def mosaic(F: np.ndarray) -> np.ndarray:
    """Return the maps that differ most, each stretched from black to white, side by side."""
    chosen = qr(standardised(F), mode="r", pivoting=True)[1][: ROWS**2]
    tiles = []
    for channel in chosen:
        low, high = np.percentile(F[..., channel], (1, 99))
        tile = np.clip((F[..., channel] - low) / max(high - low, 1e-12), 0, 1)
        tiles.append(np.pad(tile, max(1, F.shape[0] // 40), constant_values=1))
    return np.vstack([np.hstack(tiles[row * ROWS : (row + 1) * ROWS]) for row in range(ROWS)])


def plot(pictures: list[np.ndarray], walls: list[list[np.ndarray]], layers: list[str], title: str, path: Path) -> None:
    """Hang each picture and, to the right of it, what the layers see."""
    columns = 1 + len(layers)
    figure = Figure(figsize=(3.2 * columns, 3.6 * len(pictures) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=15)
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    for row, picture, wall in zip(axes, pictures, walls, strict=True):
        row[0].imshow(np.clip(picture, 0, 255) / 255)
        for ax, layer, maps in zip(row[1:], layers, wall, strict=True):
            ax.imshow(maps, cmap="gray", interpolation="nearest")
            ax.set_title(layer, fontsize=11)
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
