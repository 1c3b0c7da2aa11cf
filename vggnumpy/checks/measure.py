"""What a check is made of: a name, and the function that measures the relative error of a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from vggnumpy.gradcheck import check_adjoint, check_vjp

NamedMeasure = tuple[str, Callable[[], float]]


def linear(name: str, forward: Any, backward: Any, x: np.ndarray) -> Iterator[NamedMeasure]:
    """Check a linear operator both ways."""
    yield f"{name}: difference", partial(check_vjp, forward, backward, x)
    yield f"{name}: adjoint", partial(check_adjoint, forward, backward, x)
