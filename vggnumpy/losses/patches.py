r"""Style by patches: every 3×3 patch of the features is drawn to the most similar patch of the style.

A patch Φ_i of a map H×W×C are the 9 positions from its own i to two rows below and two columns right of it; a map has
(H − 2)(W − 2) of them.  They are compared by what they hold of the *keys*, the features and the weighted channels of a
semantic map side by side, k = [F, γ m], by their normalised cross-correlation:

    NN(i) = argmax_j  ⟨Κ_i, Κ_j⟩ / (‖Κ_i‖ ‖Κ_j‖),      ⟨Κ_i, Κ_j⟩ = Σ_d k(i + d)·k_s(j + d)                (1)

with d over the 9 offsets; ‖Κ_i‖ is the same for all j and left out.  The loss is over the features alone,

    E = c Σ_i ‖Φ_i − Φ_NN(i)‖² = c Σ_i Σ_d ‖F(i + d) − F_s(NN(i) + d)‖²                                   (2)

=============== ============================== ============================================================
normalization   c                              source
=============== ============================== ============================================================
``raw``         1                              Champandard 2016, equation 3; the Columbia report, part B
``mean_square`` 1/(9 C (H − 2)(W − 2))         neural-doodle: the mean of all squared differences
``relative``    1/((H − 2)(W − 2) mean ‖Φ_j‖²) ours: relative to patches as large as the style's, so 0 for the
                                               style's own and about 1 where nothing is there
=============== ============================== ============================================================

Derivation.  The matches are fixed within an evaluation.  Sort the sum (2) by positions p = i + d: F(p) is in n(p)
patches (9 inside, 1 in a corner), each with a wish v_d(p) = F_s(NN(p − d) + d) for it.  With their mean v̄(p), which is
the overlap-add of the matched patches divided by n,

    Σ_d ‖F(p) − v_d(p)‖² = n(p) ‖F(p) − v̄(p)‖² + Σ_d ‖v_d(p) − v̄(p)‖²                                   (3)

    ∂E/∂F(p) = 2c n(p) (F(p) − v̄(p))                                                                     (4)

as the second term of (3) does not depend on F.  So an evaluation with matches at hand costs one pass over the features.
Where they are searched anew, E jumps as a match changes: for an optimiser that compares values, hold them for some
iterations.

The search needs all pairs of patches, but never has them in memory.  By (1) a correlation of patches is a sum of 9
products of single positions along a diagonal, so a block of products of positions, rows of the image × a strip of the
style, is made by one matrix product with C and not 9C terms; the diagonals are then summed, first along the columns
and then along the rows, on the block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vggnumpy.backend import array_module, check_dtypes, operator, sum_of_squares
from vggnumpy.errors import InputError
from vggnumpy.losses.factors import nonzero_target

NORMALIZATIONS = ("raw", "mean_square", "relative")
SIDE = 3  # of a patch
_STRIP = 1 << 12  # positions of the style in one matrix product: with fewer BLAS is slower
_BLOCK = 1 << 19  # products in one block; three or so should stay in a core's cache


class PatchTarget(NamedTuple):
    """A style image's features, ready to be searched.

    Attributes
    ----------
    features : ndarray, H×W×C
    keys : ndarray, (C + D)×HW
        Features and weighted map channels of every position; D is 0 without maps.
    inverse_norms : ndarray, HW
        1/‖Κ_j‖ of the patch that begins at each position, 0 for one that is zero; −1 where none begins.
    map_factor : float
        γ, what the maps were multiplied with; 0 without maps.
    energy : float
        Mean ‖Φ_j‖² of the features' patches.
    """

    features: Any
    keys: Any
    inverse_norms: Any
    map_factor: float
    energy: float


class PatchMatches(NamedTuple):
    """The nearest patches, and what becomes of them in (3).

    Attributes
    ----------
    index : ndarray of integers, (H − 2)×(W − 2)
        NN(i): the position of the style, row · W_s + column, where the matched patch begins.
    mean : ndarray, H×W×C
        v̄, the average of all overlapping matched patches.
    count : ndarray, H×W×1
        n, how many overlap.
    rest : float
        Σ_p Σ_d ‖v_d(p) − v̄(p)‖², how much they disagree.
    """

    index: Any
    mean: Any
    count: Any
    rest: float


def patches_target(S: Any, maps: Any = None, map_weight: float = 10.0) -> PatchTarget:
    """Prepare a style image's features for the search; store it and use it again.

        γ² = map_weight · Σ‖F_s‖² / Σ‖m_s‖²

    so that the maps' share of a key's squared length is `map_weight` times that of the features, at every layer and
    network, as neural-doodle has it (10 is its default).

    Parameters
    ----------
    S : ndarray, H×W×C, float32 or float64
        Features of the style image.
    maps : ndarray, H×W×D, of the dtype of `S`, optional
        The style image's semantic map at the size of the features.  Better one channel for each region than the
        colours of a drawing: a black region has no direction that a correlation could compare.
    map_weight : float
        How much more the maps count than the features, not negative.

    Raises
    ------
    InputError
        If there is no 3×3 patch, the maps have another size than the features or nothing in them, or the weight is
        negative or not finite.
    TypeError
        If the dtypes differ.
    """
    check_dtypes("patches_target", S, maps)
    _check_size(S, maps, "style")
    if not 0 <= map_weight < float("inf"):
        raise InputError(f"the weight of the semantic maps must be a number of at least 0, got {map_weight}")
    factor = 0.0
    if maps is not None:
        share = float(sum_of_squares(maps))
        if not 0 < share < float("inf"):
            raise InputError(
                f"the style's semantic maps must hold something, and be finite: their squares sum to {share}"
            )
        factor = float((map_weight * float(sum_of_squares(S)) / share) ** 0.5)
    keys = _keys(S, maps, factor)
    inverse_norms, _ = _patch_norms(keys)
    return PatchTarget(S, _transposed(keys), inverse_norms, factor, _patch_norms(S)[1])


def patches_match(F: Any, target: PatchTarget, maps: Any = None) -> PatchMatches:
    """Search the nearest patch of the style for every patch of the image, equation (1), and average them.

    Of equal ones the first in reading order counts.  A patch depends on its own nine positions only: rows
    top … bottom + 2 of a map give the index of its patches top … bottom, so strips can be searched apart.

    Memory beside the result: seven blocks of half a million products, more only where the style is wider than 1024
    positions, and the image's keys.

    Parameters
    ----------
    F : ndarray, H×W×C, float32 or float64
        Features of the image.
    target : PatchTarget
        From `patches_target`.
    maps : ndarray, H×W×D, optional
        The image's semantic map, with the style's channels.

    Raises
    ------
    InputError
        If there is no 3×3 patch, only one of the images has maps, or they differ in channels.
    ValueError
        If features and target differ in channels.
    TypeError
        If the dtypes differ.
    """
    check_dtypes("patches_match", F, target.features, maps)
    _check_size(F, maps, "image")
    if F.shape[2] != target.features.shape[2]:
        raise ValueError(f"the image has {F.shape[2]} channels and the style {target.features.shape[2]}")
    depth, expected = 0 if maps is None else maps.shape[2], target.keys.shape[0] - F.shape[2]
    if depth != expected:
        raise InputError(
            f"the semantic maps of image and style must have the same channels, one for each region, got {depth} "
            f"for the image and {expected} for the style (0 means no map)"
        )
    return _average(_nearest(_keys(F, maps, target.map_factor), target), target)


def patches(
    F: Any,
    target: PatchTarget,
    maps: Any = None,
    matches: PatchMatches | None = None,
    normalization: str = "raw",
) -> tuple[float, Any]:
    """Return the patch loss and its gradient for fixed matches.

        E = c Σ_i ‖Φ_i − Φ_NN(i)‖²,    ∂E/∂F(p) = 2c n(p) (F(p) − v̄(p))

    Parameters
    ----------
    F : ndarray, H×W×C, float32 or float64
        Features of the image.
    target : PatchTarget
        From `patches_target`, of the dtype of `F`.
    maps : ndarray, H×W×D, optional
        The image's semantic map, needed only where the matches are searched.
    matches : PatchMatches, optional
        From `patches_match`; by default they are searched now.  The gradient is that of the value with these matches.
    normalization : {"raw", "mean_square", "relative"}
        The factor c; see this module.

    Returns
    -------
    value : float
        In float64.
    dF : ndarray
        In the shape and dtype of `F`.

    Raises
    ------
    InputError
        As `patches_match`, or if the target is zero everywhere and the normalisation ``relative``.
    ValueError
        If the matches are those of features of another shape, or the normalisation is unknown.
    TypeError
        If the dtypes differ.
    """
    found = patches_match(F, target, maps) if matches is None else matches
    check_dtypes("patches", F, found.mean)
    if tuple(F.shape) != tuple(found.mean.shape):
        raise ValueError(f"the matches are those of features {tuple(found.mean.shape)}, got {tuple(F.shape)}")
    factor = _factor(F.shape, target, normalization)
    difference = F - found.mean
    value = factor * (sum_of_squares(difference * found.count**0.5) + found.rest)
    return value, difference * (found.count * (2 * factor))


def _factor(shape: tuple[int, ...], target: PatchTarget, normalization: str) -> float:
    count = (shape[0] - SIDE + 1) * (shape[1] - SIDE + 1)
    match normalization:
        case "raw":
            return 1.0
        case "mean_square":
            return 1 / (count * SIDE**2 * shape[2])
        case "relative":
            return 1 / (count * nonzero_target(target.energy, "patch loss"))
    raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")


def _check_size(F: Any, maps: Any, whose: str) -> None:
    if F.ndim != 3 or min(F.shape[:2]) < SIDE or F.shape[2] < 1:
        raise InputError(
            f"patches need features H×W×C of at least {SIDE}×{SIDE} positions, got {tuple(F.shape)} for the {whose}: "
            "use a shallower layer or a larger picture"
        )
    if maps is not None and (maps.ndim != 3 or maps.shape[:2] != F.shape[:2]):
        raise InputError(
            f"the semantic map of the {whose} must be H×W×D at the size of its features, {F.shape[0]}×{F.shape[1]}, "
            f"got {tuple(maps.shape)}"
        )


def _keys(F: Any, maps: Any, factor: float) -> Any:
    """Return H×W×(C + D): features and weighted maps side by side."""
    return F if maps is None else array_module(F).concatenate([F, maps * maps.dtype.type(factor)], axis=2)


def _transposed(keys: Any) -> Any:
    return array_module(keys).ascontiguousarray(keys.reshape(-1, keys.shape[2]).T)


def _patch_norms(keys: Any) -> tuple[Any, float]:
    """Return `PatchTarget.inverse_norms`, and the mean squared length of a patch."""
    xp = array_module(keys)
    height, width = (side - SIDE + 1 for side in keys.shape[:2])
    squares = xp.einsum("hwc,hwc->hw", keys, keys).astype("float64")
    sums = sum(squares[y : y + height, x : x + width] for y in range(SIDE) for x in range(SIDE))
    inverse = xp.full(keys.shape[:2], -1.0)
    inverse[:height, :width] = xp.where(sums > 0, 1 / xp.where(sums > 0, sums, 1) ** 0.5, 0)
    return inverse.reshape(-1).astype(keys.dtype), float(sums.mean())


@operator(any_array=True, arrays=lambda keys, target: (keys, target.keys))
def _nearest(keys: Any, target: PatchTarget) -> Any:
    """Return the index of the nearest patch, block by block: strips of the style × blocks of the image's columns."""
    xp = array_module(keys)
    height, width = (side - SIDE + 1 for side in keys.shape[:2])
    rows, row = target.features.shape[:2]
    best, index = xp.full((height, width), -xp.inf, keys.dtype), xp.zeros((height, width), "int64")
    strip = min(rows - SIDE + 1, max(16, _STRIP // row) - SIDE + 1)  # rows where patches begin
    columns = max(32, _BLOCK // (strip * row))
    for left in range(0, width, columns):
        part = slice(left, min(left + columns, width))
        for top in range(0, rows - SIDE + 1, strip):
            count = min(strip, rows - SIDE + 1 - top)
            _search(keys[:, left : part.stop + SIDE - 1], target, top, count, best[:, part], index[:, part])
    return index


def _search(keys: Any, target: PatchTarget, top: int, count: int, best: Any, index: Any) -> None:
    """Compare all patches of some of the image's columns with `count` rows of the style's; keep what is better.

    The style's positions are counted through, row after row, so that its next column is the next number and its next
    row `row` numbers on.  What crosses the end of a row that way is no patch and never wins.
    """
    xp, row = array_module(keys), target.features.shape[1]
    width, edge = keys.shape[1] - SIDE + 1, row - SIDE + 1
    wanted = slice(top * row, (top + count + SIDE - 1) * row)
    style, span = target.keys[:, wanted], count * row - SIDE + 1
    products = xp.empty((keys.shape[1], style.shape[1]), keys.dtype)
    along = [xp.empty((width, style.shape[1] - SIDE + 1), keys.dtype) for _ in range(SIDE)]  # a ring of rows
    scores = xp.empty((width, count * row), keys.dtype)
    norms, each = target.inverse_norms[top * row : top * row + span], xp.arange(width)
    for y in range(keys.shape[0]):
        xp.matmul(keys[y], style, out=products)
        _add_up([products[x : x + width, x : x + along[0].shape[1]] for x in range(SIDE)], out=along[y % SIDE])
        i = y - SIDE + 1
        if i < 0:
            continue
        score = scores[:, :span]
        _add_up([along[(i + d) % SIDE][:, d * row : d * row + span] for d in range(SIDE)], out=score)
        xp.multiply(score, norms, out=score)
        scores.reshape(width, count, row)[:, :, edge:] = -xp.inf
        found = scores.argmax(axis=1)
        value = scores[each, found]
        better = value > best[i]
        best[i] = xp.where(better, value, best[i])
        index[i] = xp.where(better, found + top * row, index[i])


def _add_up(parts: list[Any], out: Any) -> None:
    xp = array_module(out)
    xp.add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        xp.add(out, part, out=out)


def _average(index: Any, target: PatchTarget) -> PatchMatches:
    """Average the matched patches where they overlap, a row of the image at a time."""
    xp, S = array_module(target.features), target.features
    (height, width), (row, channels) = index.shape, S.shape[1:]
    flat = S.reshape(-1, channels)
    mean = xp.empty((height + SIDE - 1, width + SIDE - 1, channels), S.dtype)
    count = xp.zeros((*mean.shape[:2], 1), S.dtype)
    for y in range(SIDE):
        for x in range(SIDE):
            count[y : y + height, x : x + width] += 1
    rest = 0.0
    for p in range(mean.shape[0]):
        total = mean[p]
        total[...] = 0
        wishes = []
        for y in range(max(0, p - height + 1), min(SIDE, p + 1)):
            for x in range(SIDE):
                wishes.append((x, flat[index[p - y] + y * row + x]))
                total[x : x + width] += wishes[-1][1]
        total /= count[p]
        for x, wish in wishes:
            rest = rest + sum_of_squares(wish - total[x : x + width])
    return PatchMatches(index, mean, count, rest)
