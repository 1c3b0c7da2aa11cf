"""The factors before sums of squares that several losses share."""

from __future__ import annotations

from vggnumpy.errors import InputError

NORMALIZATIONS = ("raw", "gatys", "mean_square", "relative")


def nonzero_target(squares: float, loss: str) -> float:
    """Return `squares`, the size of a target that a ``relative`` loss is divided by.

    Parameters
    ----------
    squares : float
        The sum, or a mean, of the target's squares.
    loss : str
        Whose target it is, for the message.

    Raises
    ------
    InputError
        If it is zero, or not finite.
    """
    if not 0 < squares < float("inf"):
        raise InputError(
            f"the relative {loss} needs a target that is not zero everywhere, and finite: its squares amount to "
            f"{squares}"
        )
    return squares


def map_factor(
    channels: int, positions: int, normalization: str, mean_square: float, squares: float, loss: str
) -> float:
    """Return the factor k of a loss k Σ_p Σ_ij R(p)_ij², which compares a statistic at every position p of a map.

    Parameters
    ----------
    channels, positions : int
        C and M; under ``gatys`` k is 1/(4C²M²), as Nikulin and Novak 2016 print it.
    normalization : {"raw", "gatys", "mean_square", "relative"}
    mean_square : float
        k under ``mean_square``, which depends on how many entries the statistic has.
    squares : float
        Σ A², of the target; k is its inverse under ``relative``.
    loss : str
        For the message.

    Raises
    ------
    InputError
        If the normalisation is ``relative`` and the target zero, or not finite.
    ValueError
        If the normalisation is unknown.
    """
    match normalization:
        case "raw":
            return 0.5
        case "gatys":
            return 1 / (4 * channels**2 * positions**2)
        case "mean_square":
            return mean_square
        case "relative":
            return 1 / nonzero_target(squares, loss)
    raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")


def pixel_factor(entries: int, power: float, normalization: str) -> float:
    """Return the factor of a regulariser Σ |…|^power over the entries of an image, counted from 0 to 255.

    1 under ``raw`` and ``gatys``, 1/entries under ``mean_square``, and under ``relative`` such that the regulariser is
    a mean over pixels counted from 0 to 1.
    """
    if normalization in ("gatys", "raw"):
        return 1.0
    return 1 / entries / (255.0**power if normalization == "relative" else 1.0)
