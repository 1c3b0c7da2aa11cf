r"""Whose colours a styled picture has: brightness painted alone, colours matched first, or colours and nothing else.

Strokes and colours of a painting are two things, and a Gram matrix mixes them.  Gatys, Bethge, Hertzmann and Shechtman
("Preserving Color in Neural Artistic Style Transfer", 2016) take them apart in two ways, both here.

**Brightness alone.**  Let L be the brightness of a colour and c its chroma, two numbers: Y and (I, Q), or L* and
(a*, b*), see `vggnumpy.color`.  Content and style are made grey pictures of their brightness, the style's moved to the
content's mean and deviation,

    L_s ← σ_c/σ_s (L_s − μ_s) + μ_c                                                             `match_luminance`

and painted; then the result's brightness L_x gets the content's chroma back: (L_x, c_content) (`with_luminance`).  Not
every pair is a colour that a screen has.  Where it is not, L goes back towards the content's own until it is, since the
content's own pair is one: chroma is kept exactly, and contrast gives way.

**Colours matched first.**  The style's colours are moved by an affine map x ← A (x − μ_s) + μ_c to the content's mean
and covariance, A Σ_s Aᵀ = Σ_c (`match_colors`).  A has three numbers too many to be determined by that (a rotation):

    Cholesky            A = L_c L_s⁻¹                 with Σ = L Lᵀ: red follows red, green red and green, blue all
    principal axes      A = Σ_c^½ Σ_s^-½              the symmetric roots U Λ^½ Uᵀ, as in Hertzmann's Image Analogies

since (L_c L_s⁻¹) L_s L_sᵀ (L_s⁻ᵀ L_cᵀ) = L_c L_cᵀ, and likewise for the roots.  Or the whole distribution is moved, not
its first two moments alone (`match_histogram`).

**Colours alone.**  The same maps applied to the content, with the style for target: no stroke is painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vggnumpy.color import lab_to_srgb, srgb_to_lab, srgb_to_yiq, yiq_to_srgb
from vggnumpy.errors import InputError

COLORS = ("style", "luminance", "luminance-lab", "cholesky", "principal-axes", "histogram", "recolor", "regions")
"""Ways to choose a result's colours, see `controlled`; ``regions`` is `vggnumpy.region_colors`."""
SPACES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "yiq": (srgb_to_yiq, yiq_to_srgb),
    "lab": (srgb_to_lab, lab_to_srgb),
}
METHODS = ("cholesky", "principal-axes")
PAINTED_GREY = {"luminance": "yiq", "luminance-lab": "lab"}
"""Those of `COLORS` that paint brightness alone, and in which space."""
_NOISE = 1.0  # grey levels: what varies by less in a picture is not taken for a colour and amplified
_QUANTILES = 1024
_SAMPLE = 1 << 18  # pixels that quantiles are counted from, at least, where there are more
_ROTATIONS = 12
_HALVINGS = 12
_ROUNDING = 0.01  # grey levels that the way to Lab and back in float32 may stray


class ColorStatistics(NamedTuple):
    """Mean (3) and covariance (3×3) of a picture's colours, in grey levels and their squares, float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def color_statistics(image: ArrayLike) -> ColorStatistics:
    """Return mean and covariance of a picture's colours.

    Parameters
    ----------
    image : array_like, H×W×3, RGB 0–255
        Values outside are taken as they are.

    Returns
    -------
    ColorStatistics
        With Σ = Σ_p (x_p − μ)(x_p − μ)ᵀ / M over the M pixels.

    Raises
    ------
    InputError
        If the shape is another one or a value is not finite.
    """
    pixels = _pixels(image).reshape(-1, 3).astype(np.float64)
    mean = pixels.mean(axis=0)
    pixels -= mean
    return ColorStatistics(mean, pixels.T @ pixels / len(pixels))


def pooled(statistics: Sequence[ColorStatistics], weights: Sequence[float]) -> ColorStatistics:
    """Return the statistics of several pictures together, each with a share of all pixels.

    μ = Σ_s w_s μ_s and Σ = Σ_s w_s (Σ_s + (μ_s − μ)(μ_s − μ)ᵀ): the variance within pictures and between them.

    Parameters
    ----------
    statistics : sequence of ColorStatistics
    weights : sequence of float
        Adding up to 1.
    """
    mean = np.sum([w * one.mean for one, w in zip(statistics, weights, strict=True)], axis=0)
    spread = [
        w * (one.covariance + np.outer(one.mean - mean, one.mean - mean))
        for one, w in zip(statistics, weights, strict=True)
    ]
    return ColorStatistics(mean, np.sum(spread, axis=0))


def match_colors(
    image: ArrayLike, target: ColorStatistics | ArrayLike, method: str = "principal-axes"
) -> NDArray[np.floating]:
    """Move a picture's colours to a mean and covariance, by the affine map of the module's docstring.

    Parameters
    ----------
    image : array_like, H×W×3, RGB 0–255
    target : ColorStatistics or array_like, H×W×3
        Or the picture whose colours to take.
    method : {"principal-axes", "cholesky"}
        How the map is chosen among those that do it.  By principal axes it is the product of two symmetric matrices and
        turns colours less; by Cholesky it depends on the order red, green, blue.

    Returns
    -------
    ndarray, H×W×3
        float32 for float32, else float64.  **Not clipped**: mean and covariance are the target's, and some values
        lie outside 0–255.  In directions in which the picture's colours vary by less than one grey level (of a grey
        picture: two of three) they are multiplied as if it were one, since there is only rounding to multiply, and
        fall short of the target's covariance.

    Raises
    ------
    InputError
        If a shape or the method is unknown, or a value is not finite.
    """
    if method not in METHODS:
        raise InputError(f"colours are matched by one of {', '.join(METHODS)}, got {method!r}")
    pixels = _pixels(image)
    own = color_statistics(pixels)
    wanted = target if isinstance(target, ColorStatistics) else color_statistics(target)
    variances, axes = np.linalg.eigh(own.covariance)
    source = (axes * np.maximum(variances, _NOISE**2)) @ axes.T
    if method == "cholesky":
        A = _cholesky(wanted.covariance) @ np.linalg.inv(_cholesky(source))
    else:
        A = _root(wanted.covariance) @ np.linalg.inv(_root(source))
    return ((pixels - own.mean) @ A.T + wanted.mean).astype(pixels.dtype)


def _cholesky(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return L of Σ = L Lᵀ; a covariance without full rank, as of a grey picture, gets a trace of it."""
    trace = 1e-9 * (np.trace(covariance) + 1)
    return np.linalg.cholesky(covariance + trace * np.eye(3))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric square root; rounding may leave eigenvalues a little below 0."""
    variances, axes = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (axes * np.sqrt(np.maximum(variances, 0))) @ axes.T
    return root


def match_histogram(image: ArrayLike, target: ArrayLike) -> NDArray[np.floating]:
    """Move a picture's colours to another's distribution, all of it and not its moments alone.

    Pitié, Kokaram and Dahyot, "N-dimensional probability density function transfer", 2005.  In one dimension the
    increasing map that does it is known: x ← T⁻¹(S(x)), S and T the shares of source and target below a value.  In
    three, that is done along the axes of a rotated cube, again and again, each time rotated otherwise; what any axis
    sees of the two distributions agrees in the end.  The last axes are red, green and blue themselves: each channel has
    the target's histogram, and every value lies between two of the target's.

    Parameters
    ----------
    image, target : array_like, H×W×3, RGB 0–255

    Returns
    -------
    ndarray, H×W×3
        float32 for float32, else float64.  Equal colours stay equal, so of a picture of few colours the distribution
        is only met as well as those few can.

    Raises
    ------
    InputError
        If a shape is another one or a value is not finite.

    Notes
    -----
    S and T are known at 1024 quantiles, of a quarter of a million pixels spread evenly over larger pictures, and are
    straight between them.  The twelve rotations are the same in every call.
    """
    pixels, wanted = _pixels(image), _pixels(target)
    moved, goal = pixels.reshape(-1, 3), wanted.reshape(-1, 3).astype(pixels.dtype)
    rng = np.random.default_rng(0)
    for turn in range(_ROTATIONS + 1):
        last = turn == _ROTATIONS
        axes = np.eye(3) if last else np.linalg.qr(rng.standard_normal((3, 3)))[0]
        axes = axes.astype(pixels.dtype)
        seen, sought = moved @ axes, goal @ axes
        for axis in range(3):
            seen[:, axis] = np.interp(seen[:, axis], _quantiles(seen[:, axis]), _quantiles(sought[:, axis]))
        moved = seen @ axes.T
    return moved.reshape(pixels.shape)


def _quantiles(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 1024 values of a sample in order, from its smallest to its largest, equally many between any two."""
    ordered = np.sort(values[:: max(1, len(values) // _SAMPLE)])
    chosen: NDArray[np.floating] = ordered[np.linspace(0, len(ordered) - 1, _QUANTILES).round().astype(int)]
    return chosen


def luminance(image: ArrayLike, space: str = "yiq") -> NDArray[np.floating]:
    """Return a picture's brightness, H×W: Y (0–255) in ``"yiq"``, L* (0–100) in ``"lab"``.

    Parameters
    ----------
    image : array_like, H×W×3, RGB 0–255
    space : {"yiq", "lab"}

    Raises
    ------
    InputError
        If the shape or the space is another one.
    """
    brightness: NDArray[np.floating] = _space(space)[0](_pixels(image))[..., 0]
    return brightness


def grey_picture(brightness: NDArray[np.floating], space: str = "yiq") -> NDArray[np.floating]:
    """Return the grey picture, H×W×3 RGB, whose `luminance` is given; in the dtype of `brightness`."""
    nothing = np.zeros_like(brightness)
    grey: NDArray[np.floating] = _space(space)[1](np.stack([brightness, nothing, nothing], axis=-1))
    return grey


def match_luminance(brightness: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move a brightness to the mean and deviation of another: σ_t/σ (L − μ) + μ_t.

    Parameters
    ----------
    brightness, target : ndarray
        Of any two shapes.

    Returns
    -------
    ndarray
        In the shape and dtype of `brightness`.  What varies by less than one unit is multiplied as if it were one.
    """
    mean, deviation = brightness.mean(dtype=np.float64), brightness.std(dtype=np.float64)
    factor = target.std(dtype=np.float64) / max(deviation, _NOISE)
    matched: NDArray[np.floating] = (factor * (brightness - mean) + target.mean(dtype=np.float64)).astype(
        brightness.dtype
    )
    return matched


def with_luminance(image: ArrayLike, brightness: NDArray[np.floating], space: str = "yiq") -> NDArray[np.floating]:
    """Give a picture another brightness and keep its chroma, within the colours that RGB has.

    Parameters
    ----------
    image : array_like, H×W×3, RGB
        Clipped to 0–255.
    brightness : ndarray, H×W
        What `luminance` returns, in the same space.
    space : {"yiq", "lab"}

    Returns
    -------
    ndarray, H×W×3, RGB 0–255
        With the picture's I and Q, or a* and b*.  Rounded to whole numbers R, G, B each stray by ½ at most, hence I by
        ½ (0.599 + 0.276 + 0.324) = 0.6 and Q by ½ (0.214 + 0.522 + 0.309) = 0.52.  Where no colour has that brightness
        and this chroma, the brightness is the nearest to it on the way from the picture's own for which there is one,
        found by halving.

    Raises
    ------
    InputError
        If a shape or the space is another one.
    """
    to_space, to_rgb = _space(space)
    pixels = np.clip(_pixels(image), 0, 255)
    if brightness.shape != pixels.shape[:2]:
        raise InputError(f"brightness: expected the picture's shape {pixels.shape[:2]}, found {brightness.shape}")
    own = to_space(pixels).reshape(-1, 3)
    wanted = own.copy()
    wanted[:, 0] = brightness.reshape(-1)
    rgb = to_rgb(wanted)
    outside = np.flatnonzero(~_in_gamut(rgb))
    inner, step = own[outside], wanted[outside, 0] - own[outside, 0]
    share, half = np.zeros_like(step), 0.5
    for _ in range(_HALVINGS):
        trial = inner.copy()
        trial[:, 0] += (share + half) * step
        share = np.where(_in_gamut(to_rgb(trial)), share + half, share)
        half /= 2
    inner[:, 0] += share * step
    rgb[outside] = to_rgb(inner)
    clipped: NDArray[np.floating] = np.clip(rgb, 0, 255).reshape(pixels.shape)
    return clipped


def _in_gamut(rgb: NDArray[np.floating]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((rgb >= -_ROUNDING) & (rgb <= 255 + _ROUNDING), axis=-1)
    return inside


def controlled(
    kind: str, content: NDArray[np.float32], styles: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Return the pictures to paint from in place of content and styles.

    Parameters
    ----------
    kind : str
        One of `COLORS`.  ``style``, ``recolor`` and ``regions``: as they are.  ``luminance`` (by Y) and
        ``luminance-lab`` (by L*): grey pictures, each style's brightness matched to the content's.  ``cholesky``,
        ``principal-axes`` and ``histogram``: each style's colours matched to the content's, by `match_colors` and
        `match_histogram`; not clipped.
    content, styles : ndarray, H×W×3, float32

    Returns
    -------
    content, styles
    """
    if kind in PAINTED_GREY:
        space = PAINTED_GREY[kind]
        own = luminance(content, space)
        matched = [match_luminance(luminance(one, space), own) for one in styles]
        return grey_picture(own, space), [grey_picture(one, space) for one in matched]
    if kind in METHODS:
        goal = color_statistics(content)
        return content, [match_colors(one, goal, kind) for one in styles]
    if kind == "histogram":
        return content, [match_histogram(one, content) for one in styles]
    return content, list(styles)


def recolored(
    content: NDArray[np.floating], styles: Sequence[NDArray[np.floating]], weights: Sequence[float]
) -> NDArray[np.floating]:
    """Return the content with the colours of its styles, their mean and covariance, and no stroke of theirs.

    Parameters
    ----------
    content : ndarray, H×W×3
    styles : sequence of ndarray, H×W×3
    weights : sequence of float
        Adding up to 1.

    Returns
    -------
    ndarray, H×W×3
        By principal axes; not clipped.
    """
    return match_colors(content, pooled([color_statistics(one) for one in styles], weights))


def finished(kind: str, pixels: NDArray[np.floating], content: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a painted picture with its colours: where brightness alone was painted, the content's chroma put back.

    Parameters
    ----------
    kind : str
        One of `COLORS`.
    pixels : ndarray, H×W×3
        As painted.
    content : ndarray, H×W×3
        At the same size, in its own colours.
    """
    if kind not in PAINTED_GREY:
        return pixels
    space = PAINTED_GREY[kind]
    return with_luminance(content, luminance(pixels, space), space)


def _space(name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if name not in SPACES:
        raise InputError(f"brightness and chroma are taken apart in one of {', '.join(SPACES)}, got {name!r}")
    return SPACES[name]


def _pixels(image: ArrayLike) -> NDArray[np.floating]:
    """Return a picture as floating-point numbers, float32 kept."""
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or not np.isfinite(pixels).all():
        raise InputError(f"expected a picture H×W×3 of finite numbers, found shape {pixels.shape}")
    return pixels if pixels.dtype == np.float32 else pixels.astype(np.float64)
