"""What ``vggnumpy gradcheck`` checks: every operator, loss and regulariser, whole objectives, the engine, and training.

Each line names one gradient.  It passes if its relative error is at most `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vggnumpy.checks.engine import engine_checks
from vggnumpy.checks.losses import loss_checks
from vggnumpy.checks.measure import NamedMeasure
from vggnumpy.checks.methods import method_checks
from vggnumpy.checks.networks import network_checks
from vggnumpy.checks.operators import operator_checks
from vggnumpy.checks.regions import region_checks
from vggnumpy.checks.spatial import spatial_checks
from vggnumpy.checks.training import training_checks

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        The gradient that was checked.
    error : float
        Its relative error.
    """

    name: str
    error: float

    @property
    def passed(self) -> bool:
        """Whether the error is within `TOLERANCE`."""
        return self.error <= TOLERANCE


def run_checks() -> Iterator[Check]:
    """Yield the outcome of every check, in order, as it becomes known."""
    for name, measure in all_checks():
        yield Check(name, measure())


def all_checks() -> Iterator[NamedMeasure]:
    """Yield the name of every check and the function that returns its relative error."""
    yield from operator_checks()
    yield from loss_checks()
    yield from method_checks()
    yield from region_checks()
    yield from spatial_checks()
    yield from network_checks()
    yield from engine_checks()
    yield from training_checks()
