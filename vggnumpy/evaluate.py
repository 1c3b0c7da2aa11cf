"""Scores: what a classifier still sees in a styled picture.

The MatConvNet report passes its portraits through VGG-Face and asks two things of each: how sure is the network of the
class that it saw in the original, and is that still the class that it finds most likely?  Any network with a classifier
answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.engine.threads import cores, workers
from vggnumpy.errors import InputError
from vggnumpy.images import resize
from vggnumpy.nets.network import Network
from vggnumpy.ops.workspace import Workspace

Box = tuple[int, int, int, int]


class ClassScore(NamedTuple):
    """What a classifier says of one picture.

    Attributes
    ----------
    class_number : int
        The class that it finds most likely, from 0.
    class_name : str
        Its name, or ``"class N"`` where names are unknown.
    score : float
        Probability (0–1) of that class.
    original_score : float
        Probability of the class that the original was given.
    kept : bool
        Whether the two classes are the same.
    """

    class_number: int
    class_name: str
    score: float
    original_score: float
    kept: bool


def class_probabilities(net: Network, image: Any, box: Box | None = None) -> np.ndarray:
    """Return the probability of each of a network's classes.

    The picture is cut (to its largest square in the middle, or to `box`), resampled to the size that the classifier was
    trained on, whatever the box's proportions, and sent through all layers.  Where the last layer still has a map of
    positions its mean is taken.

    Parameters
    ----------
    net : Network
        With a softmax at its end.
    image : ndarray, H×W×3, RGB 0–255
    box : (left, top, width, height), optional
        The part of the picture to look at, in pixels, such as a face.

    Returns
    -------
    ndarray of C float64
        They add up to 1.

    Raises
    ------
    InputError
        If the network has no classifier, the image is not H×W×3 or the box not inside it.
    """
    last = _score_layer(net)
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected one picture H×W×3 to classify, found shape {pixels.shape}")
    rows, columns = pixels.shape[:2]
    left, top, width, height = _square(rows, columns) if box is None else box
    if min(left, top) < 0 or min(width, height) < 1 or left + width > columns or top + height > rows:
        raise InputError(f"the box {left},{top},{width},{height} is not inside the picture of {columns}×{rows} pixels")
    part = pixels[top : top + height, left : left + width]
    if net.image_size is not None:
        part = resize(part, net.image_size)
    features, _ = net.forward(np.ascontiguousarray(part, net.dtype), [last])
    scores = to_host(features[last]).astype("float64")
    return np.asarray(scores.reshape(-1, scores.shape[-1]).mean(axis=0))


def class_scores(net: Network, original: Any, styled: Iterable[Any], box: Box | None = None) -> list[ClassScore]:
    """Return what a classifier says of an original and of pictures painted from it, the original first.

    Parameters
    ----------
    net : Network
    original : ndarray, H×W×3, RGB 0–255
    styled : iterable of ndarray
        Of the same proportions as the original; their size may differ.
    box : (left, top, width, height), optional
        The part of the original to look at, in its pixels; in pictures of another size the same part of the whole.

    Raises
    ------
    InputError
        As `class_probabilities`.
    """
    first = class_probabilities(net, original, box)
    number = int(first.argmax())
    scores = [ClassScore(number, class_name(net, number), float(first[number]), float(first[number]), True)]
    for image in styled:
        probabilities = class_probabilities(net, image, _scaled(box, original, image))
        own = int(probabilities.argmax())
        score, original_score = float(probabilities[own]), float(probabilities[number])
        scores.append(ClassScore(own, class_name(net, own), score, original_score, own == number))
    return scores


def error_rate(net: Network, pixels: np.ndarray, labels: np.ndarray, batch: int = 25) -> float:
    """Return the share (0–1) of pictures that a network's classifier gets wrong, one view of each.

    Batches run side by side on the cores, each in one thread: products of so small maps, shared among BLAS's own
    threads, were measured to take ten times the processor time.

    Parameters
    ----------
    net : Network
        With a softmax at its end that has as many classes as there are labels, for pictures of this size.
    pixels : ndarray, N×H×W×3, RGB 0–255
    labels : ndarray of N
    batch : int
        Pictures at a time, on each core.

    Raises
    ------
    InputError
        If the network has no classifier, or one for other pictures.
    """
    last = _score_layer(net)
    if net.image_size is not None and net.image_size != pixels.shape[1:3]:
        raise InputError(
            f"network {net.name} classifies pictures of {net.image_size[1]}×{net.image_size[0]} pixels; these are "
            f"{pixels.shape[2]}×{pixels.shape[1]}"
        )
    wrong = np.zeros(-(-len(pixels) // batch), int)

    def look(i: int, work: Workspace) -> None:
        some = slice(i * batch, (i + 1) * batch)
        features, _ = net.forward(pixels[some].astype(net.dtype), [last])
        scores = to_host(features[last]).mean(axis=(1, 2))
        if scores.shape[1] <= labels.max():
            raise InputError(f"network {net.name} knows {scores.shape[1]} classes; these are {labels.max() + 1}")
        wrong[i] = (scores.argmax(axis=1) != labels[some]).sum()

    workers(cores()).run(len(wrong), look)
    return int(wrong.sum()) / len(pixels)


def class_name(net: Network, number: int) -> str:
    """Return the name of a class, or its number where the network's file has no names."""
    return net.classes[number] if number < len(net.classes) else f"class {number}"


def score_table(names: Sequence[str], scores: Sequence[ClassScore]) -> str:
    """Return scores as the report's table: picture, score of the original's class, class kept, and the own class."""
    rows = [("picture", "score", "kept", "most likely")]
    for name, score in zip(names, scores, strict=True):
        kept = "yes" if score.kept else "no"
        rows.append((name, f"{score.original_score:.4f}", kept, f"{score.class_name} ({score.score:.4f})"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, [*widths, 0], strict=True)) for row in rows)


def _score_layer(net: Network) -> str:
    names = [layer.name for layer in net.table if layer.kind == "softmax"]
    if not names:
        raise InputError(
            f"network {net.name} has no classifier (no softmax among its layers); use one that was converted with it"
        )
    return names[-1]


def _square(height: int, width: int) -> Box:
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side, side


def _scaled(box: Box | None, original: Any, image: Any) -> Box | None:
    """Return the box in the pixels of a picture of another size."""
    if box is None:
        return None
    (height, width), (rows, columns) = np.shape(original)[:2], np.shape(image)[:2]
    left, right = (round(x * columns / width) for x in (box[0], box[0] + box[2]))
    top, bottom = (round(y * rows / height) for y in (box[1], box[1] + box[3]))
    return left, top, max(right - left, 1), max(bottom - top, 1)
