"""A first layer that is known is recognised although its axes or channels are in another order.

A digest says that a file's numbers are those that were written, not that they were written the right way round.
Filters whose height and width are exchanged, whose channels are in reverse order or which are turned by 180° (as for a
convolution that flips) still fit every shape and still give pictures, only worse ones.

Of the first layer's filters, taken back to RGB pixels and each divided by its norm, three numbers are compared with
those of VGG-19: v = bottom row − top row and h = right column − left column, both summed over channels, and
c = red − blue, summed over positions.  What may have happened to a file only exchanges them or turns their signs:

======================== ==== ==== ====
filters                  v    h    c
======================== ==== ==== ====
height and width         h    v    c
channels reversed        v    h    −c
turned by 180°           −v   −h   c
======================== ==== ==== ====

Two correlations over all 64 filters decide, that of (v, h) and that of c.  Measured on the real layer, with the rounded
numbers below: 0.9999 and 0.9999 as it should be; exchanged axes leave −0.10 for (v, h), reversed channels −0.9999 for
c, turned filters −0.9999 for (v, h).  The smaller of the two, at best over all eight combinations, is at most 0.26 for
2000 banks of random filters, 0.25 for 2000 permutations of the real filters and 0.05 for SqueezeNet 1.1's 64 filters,
and at least 0.96 for the real ones with half as much noise as signal.  (The filters' plain correlation would not do:
it is 0.69 between VGG-19's filters and the same with red and blue exchanged.)

Positive factors per filter do not matter, so the "normalised" VGG-19 is recognised as well.  Other trainings
(torchvision's, VGG-16, VGG-Face) and other widths have other filters, of which nothing is said.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.errors import InputError
from vggnumpy.nets.network import CHANNEL_ORDERS, Network

LAYER = "conv1_1"
# v, h and c, times ten, of VGG-19's 64 filters in conv1_1 (Simonyan and Zisserman 2014), each of norm 1.
# fmt: off
VGG19 = np.array(
    [
        [
            -30, 1, 0, -32, -24, -1, 23, -28, 0, 28, -32, -26, -1, 21, 32, -2, 0, -21, -1, -2, -29, -33, -1,
            25, 7, 1, 36, 0, -4, -6, 29, 2, 1, 16, 29, 16, 1, 33, -36, -1, 19, -33, -23, -36, 13, -25, 23,
            36, 15, -19, -1, -11, -8, 31, 26, 10, -10, -1, -2, 0, 17, 0, 20, 4,
        ],
        [
            -28, -8, -23, -10, 28, 0, -33, 25, 0, 2, 1, 22, 0, -24, 0, -1, 0, -26, 0, -1, -23, -23, 0, 27,
            -31, 2, -18, 6, 31, -3, 23, 0, 0, -19, -14, 34, 0, 7, -12, -3, -17, 13, 34, 3, -32, 29, -22, 20,
            -36, 33, 1, -37, 16, 22, -27, 32, 33, -32, 35, 0, 35, -3, -30, -31,
        ],
        [
            0, -38, -11, 1, 5, -28, -5, 11, 2, -25, 0, -3, -2, -24, 1, 1, 34, 6, -8, 26, -15, 2, -41, -6,
            -13, -38, 0, 30, 0, 39, -2, 1, 26, 5, 0, 0, -35, 2, -7, -24, 1, -4, 0, 0, -2, 0, 10, 0, 9, -14,
            -27, 0, 14, 10, -6, -12, -1, -5, 0, 33, 0, 2, 0, 3,
        ],
    ]
)
# fmt: on
# Between 0.26, the most that other filters reached, and 0.96, the least of the real ones with noise.
ALIKE = 0.9


def check_first_layer(net: Network) -> None:
    """Check that, if the first layer's filters are VGG-19's, their axes and channels are the right way round.

    Parameters
    ----------
    net : Network
        Looked at is its layer ``conv1_1``, behind ``conv0`` where there is one.

    Raises
    ------
    InputError
        If the filters are VGG-19's once axes are exchanged, channels reversed or filters turned; the message says
        which and how to mend it.
    """
    if LAYER not in net.weights or tuple(net.weights[LAYER][0].shape) != (3, 3, 3, VGG19.shape[1]):
        return
    found = projections(rgb_filters(net))
    for exchanged, reversed_, turned in product((False, True), repeat=3):
        v, h, c = found[[1, 0, 2]] if exchanged else found
        sign, shade = (-1 if turned else 1), (-1 if reversed_ else 1)
        if min(_correlation(sign * np.stack([v, h]), VGG19[:2]), _correlation(shade * c, VGG19[2])) < ALIKE:
            continue
        faults = _faults(net.channel_order, exchanged, reversed_, turned)
        if faults:
            wrong, mend = zip(*faults, strict=True)
            raise InputError(
                f"the filters of {LAYER} are VGG-19's with {' and '.join(wrong)}: {'; '.join(mend)}, "
                "and write the file again"
            )
        return


def rgb_filters(net: Network) -> np.ndarray:
    """Return the filters of conv1_1 as they act on RGB pixels of 0–255, 3×3×3×K, in float64.

    The layer sees z = (p[order] − mean)·scale, and through ``conv0`` z·M + b; so on p its filters are
    w′[u,v,order[i],k] = scale[i] Σ_j M[i,j] w[u,v,j,k].
    """
    w = to_host(net.weights[LAYER][0]).astype("float64")
    if "conv0" in net.weights:
        matrix = to_host(net.weights["conv0"][0]).astype("float64")[0, 0]
        w = np.einsum("ij,uvjk->uvik", matrix, w)
    w *= np.array(net.scale)[:, np.newaxis]
    return w[:, :, list(CHANNEL_ORDERS[net.channel_order])]


def projections(w: np.ndarray) -> np.ndarray:
    """Return v, h and c (see above) of RGB filters 3×3×3×K as an array 3×K; zeros for a filter of zeros."""
    norms = np.sqrt((w**2).sum(axis=(0, 1, 2)))
    w = w / np.where(norms > 0, norms, 1)
    v = (w[2] - w[0]).sum(axis=(0, 1))
    h = (w[:, 2] - w[:, 0]).sum(axis=(0, 1))
    c = (w[:, :, 0] - w[:, :, 2]).sum(axis=(0, 1))
    return np.stack([v, h, c])


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norms) if norms else 0.0


def _faults(order: str, exchanged: bool, reversed_: bool, turned: bool) -> list[tuple[str, str]]:
    """Return what is wrong and how to mend it, a pair of phrases each."""
    faults = []
    if exchanged:
        faults.append(
            ("height and width exchanged", "exchange the first two axes of every layer's filters (height × width × …)")
        )
    if reversed_:
        other, convention = ("BGR", "caffe") if order == "RGB" else ("RGB", "matconvnet")
        faults.append(
            (
                "red and blue exchanged",
                f"the file says that its first layer takes {order}, its filters take {other}: convert the original "
                f"with --input {convention}, or reverse the order of this layer's input channels",
            )
        )
    if turned:
        faults.append(
            ("every filter turned by 180°", "reverse both height and width of every layer's filters (w[::-1, ::-1])")
        )
    return faults
