r"""Which region of one picture belongs to which of another, where nobody painted a mask: a proposal, and its drawing.

    content, style = segment(photo, net), segment(painting, net)
    pairing = pair(content, style)                                        # proposed, say (0, 1)
    picture = draw_pairing(photo, painting, content, style, pairing)      # look at it
    content_regions, style_regions = paired(content, style, (1, 0))       # take it, or say better

Where the borders are wrong too, `Regions.picture` gives both masks as pictures that can be painted over and read again
(`vggnumpy.masks.regions_of_mask`, `vggnumpy.masks.match_regions`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vggnumpy.errors import InputError
from vggnumpy.images import resize, to_uint8
from vggnumpy.regions import Regions
from vggnumpy.segment import Segments

# 0 to 7, as many as a picture has regions: 5 rows of 3 pixels, each row an octal digit.
_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71222")


def pairing_costs(content: Segments, style: Segments) -> NDArray[np.float64]:
    """Return how unlike each region of the content is to each of the style.

    The sum of three numbers, each about 0 to 1: the distance of the centres, in heights and widths; the distance of
    the mean colours, ΔE/100; and 1 less the cosine between the mean features.

    Returns
    -------
    ndarray, K×L
        Rows for the content's regions, columns for the style's.
    """
    place = np.linalg.norm(content.positions[:, None] - style.positions, axis=2)
    color = np.linalg.norm(content.colors[:, None] - style.colors, axis=2) / 100
    mine, other = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (content.features, style.features))
    costs: NDArray[np.float64] = place + color + (1 - mine @ other.T)
    return costs


def pair(content: Segments, style: Segments) -> tuple[int, ...]:
    """Propose which region of the style each region of the content takes after.

    Each region of the style goes to one of the content, so that the sum of `pairing_costs` is smallest.

    Returns
    -------
    tuple of K int
        The style's region for content region 0, 1, …

    Raises
    ------
    InputError
        If the two have not equally many regions, or were looked at by different networks or layers.
    """
    from scipy.optimize import linear_sum_assignment

    mine, other = len(content.colors), len(style.colors)
    if mine != other:
        raise InputError(f"expected as many regions in the style as in the content, found {other} and {mine}")
    if content.features.shape[1] != style.features.shape[1]:
        raise InputError("content and style were divided by the features of different layers; use the same for both")
    return tuple(linear_sum_assignment(pairing_costs(content, style))[1].tolist())


def paired(content: Segments, style: Segments, pairing: Sequence[int] | None = None) -> tuple[Regions, Regions]:
    """Return the regions of both pictures in the same order, with the content's colours and names.

    Parameters
    ----------
    content, style : Segments
    pairing : sequence of K int, optional
        The style's region for each of the content's; by default `pair`'s proposal.

    Raises
    ------
    InputError
        As `pair`; if the pairing does not name each region of the style once.
    """
    order = pair(content, style) if pairing is None else pairing
    moved, mine = style.regions.take(order), content.regions
    if len(moved.names) != len(mine.names):
        raise InputError(
            f"expected {len(mine.names)} regions in the style, as in the content, found {len(moved.names)}"
        )
    return mine, Regions(moved.weights, mine.colors, mine.names)


def draw_pairing(
    content_image: ArrayLike,
    style_image: ArrayLike,
    content: Segments,
    style: Segments,
    pairing: Sequence[int] | None = None,
    height: int = 384,
) -> NDArray[np.uint8]:
    """Draw both pictures side by side, tinted by region.

    A region of the style has the tint of the content's region that it is paired with, and every region bears its own
    number, in its widest place: the numbers that a pairing is made of.

    Parameters
    ----------
    content_image, style_image : array_like, H×W×3
        RGB, 0–255, that the regions were made of.
    content, style : Segments
    pairing : sequence of K int, optional
        As in `paired`.
    height : int
        Of the drawing, in pixels.

    Returns
    -------
    ndarray, height×W×3, uint8

    Raises
    ------
    InputError
        As `paired`; if a picture has not its regions' size.
    """
    order = pair(content, style) if pairing is None else pairing
    regions = paired(content, style, order)
    left = _tinted(content_image, regions[0], range(len(order)), height)
    right = _tinted(style_image, regions[1], order, height)
    return np.hstack([left, np.full((height, height // 32, 3), 255, np.uint8), right])


def _tinted(image: ArrayLike, regions: Regions, numbers: Sequence[int], height: int) -> NDArray[np.uint8]:
    pixels = np.asarray(image)
    if pixels.shape != (*regions.size, 3):
        raise InputError(f"expected the picture that the regions were made of, {regions.size}, found {pixels.shape}")
    size = height, max(1, round(height * pixels.shape[1] / pixels.shape[0]))
    small = regions.resized(size)
    grey = resize(pixels, size).clip(0, 255).mean(axis=2, keepdims=True)
    drawing = to_uint8(0.6 * grey + 0.4 * small.picture())
    for place, number in enumerate(numbers):
        _stamp(drawing, small.labels == place, number)
    return drawing


def _stamp(drawing: NDArray[np.uint8], inside: NDArray[np.bool_], number: int) -> None:
    """Write a digit, black on white, where the region is widest; in place."""
    bits = np.array([int(row) for row in _DIGITS[number]])[:, None] >> np.array([2, 1, 0]) & 1
    digit = np.kron(np.pad(1 - bits, 1, constant_values=1), np.ones((max(1, len(drawing) // 96),) * 2, int))
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    top = int(np.clip(row - digit.shape[0] // 2, 0, max(0, drawing.shape[0] - digit.shape[0])))
    across = int(np.clip(column - digit.shape[1] // 2, 0, max(0, drawing.shape[1] - digit.shape[1])))
    part = drawing[top : top + digit.shape[0], across : across + digit.shape[1]]
    part[:] = 255 * digit[: part.shape[0], : part.shape[1], None]
