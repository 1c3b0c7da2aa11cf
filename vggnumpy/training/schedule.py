"""How the rate changes over a training."""

from __future__ import annotations

SCHEDULES = ("one-cycle", "constant")
_RISE = 0.2  # share of the steps on which it rises


def rate_at(schedule: str, peak: float, step: int, steps: int) -> float:
    """Return the rate of a step.

    ``one-cycle`` (Smith and Topin, 2018, in its plainest form) rises in a straight line from a twentieth of the peak
    during the first fifth of the steps and falls in a straight line to 0 at the end: a large rate explores, and the
    network settles as it falls.

    Parameters
    ----------
    schedule : {"one-cycle", "constant"}
    peak : float
    step, steps : int
        Counted from 0, and all there will be.
    """
    if schedule == "constant":
        return peak
    top = _RISE * steps
    if step < top:
        return peak * (0.05 + 0.95 * step / top)
    return peak * (steps - step) / (steps - top)
