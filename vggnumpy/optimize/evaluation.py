"""What all optimisers share: the step they yield, the reason they end for, and an objective that is counted."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.optimize.vectors import Array, Scalar, all_finite, dot, to_floats

Objective: TypeAlias = Callable[[Array], tuple[Array, Array]]

CONVERGED, LIMIT, FROZEN, NOT_FINITE, HALTED = 0, 1, 2, 3, 99


@dataclass(frozen=True)
class Step:
    """One accepted iteration.

    The arrays are the optimiser's own and it never writes to them again: keep them as long as you like, and do
    not write to them while it runs.

    Attributes
    ----------
    nit : int
        Number of accepted iterations, from 1.
    nfev : int
        Evaluations of the objective so far, the one at the start and rejected ones included.
    x : array
        The new iterate.
    fun : float
        The objective there.
    grad : array
        Its gradient there.
    step_size : float
        The factor on the search direction, or the learning rate.
    """

    nit: int
    nfev: int
    x: Array
    fun: float
    grad: Array
    step_size: float


@dataclass(frozen=True)
class End:
    """Why an optimiser stopped of itself: what its generator returns (``StopIteration.value``)."""

    status: int
    message: str


Steps: TypeAlias = Generator[Step, None, End]


class EvaluationsSpent(Exception):
    """The objective was asked for once more than ``maxfun`` allows."""


class Evaluations:
    """An objective whose values are checked and counted, and which remembers its best point.

    Parameters
    ----------
    fun : callable
        ``fun(x) → (value, gradient)``: a real scalar and an array of x's shape.
    x0 : array
        The start; float32 and float64 are kept, integers become float64.
    maxfun : int or None
        The largest number of evaluations.

    Attributes
    ----------
    count : int
        Evaluations made.
    not_finite : int
        Those among them whose value or gradient was not finite.
    best : tuple
        ``(x, value, gradient)`` of the lowest finite value met, rejected trials of a line search included; the
        start where none was finite.

    Raises
    ------
    InputError
        x0 is empty, not finite or not real; ``maxfun`` is not a positive integer; ``fun`` returns something else.
    """

    def __init__(self, fun: Objective, x0: Array, maxfun: int | None) -> None:
        if maxfun is not None:
            check_integer("maxfun", maxfun, least=1)
        self.x0 = _start(x0)
        self.maxfun = maxfun
        self.count = 0
        self.best: tuple[Array, float, Array] = (self.x0, math.nan, None)
        self.not_finite = 0
        self._fun = fun

    @classmethod
    def of(cls, fun: "Objective | Evaluations", x0: Array, maxfun: int | None) -> "Evaluations":
        """``fun`` itself if it is counted already, as it is when `minimize` calls, else a counted ``fun``."""
        return fun if isinstance(fun, Evaluations) else cls(fun, x0, maxfun)

    @property
    def rounding(self) -> float:
        """Relative spacing of the unknowns' floating-point numbers, ε: 2⁻²³ or 2⁻⁵²."""
        return float(np.finfo(self.x0.dtype).eps)

    def __call__(
        self, x: Array, measure: Callable[[Array], Sequence[Scalar]] = lambda grad: ()
    ) -> tuple[float, Array, list[float]]:
        """Evaluate at x.

        Parameters
        ----------
        x : array
        measure : callable, optional
            Gradient → scalars that are wanted with it.  On a device they come to the host together with the value, in
            the one transfer that an evaluation has.

        Returns
        -------
        value : float
            NaN wherever the value or any entry of the gradient is not finite.
        grad : array
            In x's dtype and in memory of its own.
        measured : list of float
        """
        if self.count == self.maxfun:
            raise EvaluationsSpent
        self.count += 1
        value, grad = self._fun(x)
        if getattr(grad, "shape", None) != x.shape:
            found = getattr(grad, "shape", type(grad).__name__)
            raise InputError(f"fun: the gradient must have the shape of x, {x.shape}, not {found}")
        # A copy, because an objective may reuse its buffer and the previous gradient is still needed.
        grad = grad.astype(x.dtype, order="C")
        number, square, *measured = to_floats(_real(value), dot(grad, grad), *measure(grad))
        if not (math.isfinite(number) and math.isfinite(square)):
            number = math.nan
            self.not_finite += 1
        if self.count == 1 or number < self.best[1]:
            self.best = x, number, grad
        return number, grad, measured


def ending(steps: Steps) -> Steps:
    """Yield the same steps, and end in order when the evaluations are spent."""
    try:
        return (yield from steps)
    except EvaluationsSpent:
        return End(LIMIT, "reached maxfun, the largest number of evaluations")


def check_integer(name: str, value: int, *, least: int) -> None:
    """Raise InputError unless ``value`` is an integer ≥ ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}, not {value!r}")


def check_positive(name: str, value: float) -> None:
    """Raise InputError unless ``value`` is a finite number above zero."""
    if not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
        raise InputError(f"{name} must be a positive number, not {value!r}")


def _start(x0: Array) -> Array:
    """Check x0 and return a copy that belongs to the optimiser."""
    x = x0 if hasattr(x0, "astype") else np.asarray(x0)
    if x.dtype.kind in "iu":
        x = x.astype("float64")
    if x.dtype not in (np.float32, np.float64):
        raise InputError(f"x0 must hold float32 or float64 numbers, not {x.dtype}")
    if x.size == 0:
        raise InputError(f"x0 must not be empty, and its shape is {x.shape}")
    if not all_finite(x):
        raise InputError("x0 must be finite, and it holds NaN or infinite entries")
    return x.astype(x.dtype, order="C")


def _real(value: Array) -> Scalar:
    """Check a value: a float, a NumPy scalar or an array without axes on any device."""
    if getattr(value, "shape", ()) != ():
        raise InputError(f"fun: the value must be a scalar, not an array of shape {value.shape}")
    if hasattr(value, "astype") and not isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiu":
        return value
    try:
        return float(value)
    except TypeError:
        raise InputError(f"fun: the value must be a real number, not {type(value).__name__}") from None
