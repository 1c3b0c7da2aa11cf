"""MATLAB's order of axes, H×W×C×N, and the operators', N×H×W×C.

In MATLAB every array has as many trailing axes of length 1 as anybody asks for: a single image is H×W×C, a grey one
H×W.  So an array of two or three axes stands for one of four here, and a result gets as many axes as the input had, or
more where the last of them is longer than 1.

Between the two orders there are views, not copies: what one layer returns is laid out in memory as the next wants it.
"""

from __future__ import annotations

from typing import Any

from vggnumpy.backend import array_module


def is_empty(value: Any) -> bool:
    """Return whether `value` is what MATLAB writes ``[]``: None, or an array or list without an entry."""
    return value is None or getattr(value, "size", 1) == 0 or (isinstance(value, (list, tuple)) and not value)


def four_axes(array: Any, name: str) -> Any:
    """Return an array of up to four axes with those that MATLAB drops because they are 1 and the last.

    Raises
    ------
    ValueError
        If it has more than four axes, or an empty one.
    TypeError
        If it is no array.
    """
    array_module(array)
    if array.ndim > 4 or 0 in array.shape:
        raise ValueError(f"{name} must have at most four axes, none of them empty, got shape {tuple(array.shape)}")
    return array.reshape(array.shape + (1,) * (4 - array.ndim))


def inside(array: Any, name: str = "x") -> Any:
    """Return H×W[×C[×N]] as N×H×W×C, contiguous in memory.

    Raises
    ------
    ValueError
        If it has fewer than two or more than four axes, or an empty one.
    TypeError
        If it is no array.
    """
    full = four_axes(array, name)
    if array.ndim < 2:
        raise ValueError(f"{name} must be H×W, H×W×C or H×W×C×N, got shape {tuple(array.shape)}")
    return array_module(array).ascontiguousarray(full.transpose(3, 0, 1, 2))


def outside(array: Any, axes: int) -> Any:
    """Return N×H×W×C as H×W×C×N, without the last axes beyond `axes` as long as they are 1."""
    result = array.transpose(1, 2, 3, 0)
    while result.ndim > axes and result.shape[-1] == 1:
        result = result[..., 0]
    return result


def derivative(dzdy: Any, shape: tuple[int, ...]) -> Any:
    """Return the derivative with respect to an output of N×H×W×C `shape` in that order.

    Raises
    ------
    ValueError
        If it has another size than the output.
    """
    dy = inside(dzdy, "dzdy")
    n, *rest = shape
    if tuple(dy.shape) != (n, *rest):
        raise ValueError(
            f"dzdy must have the size of the output, {'×'.join(map(str, (*rest, n)))}, got "
            f"{'×'.join(map(str, dzdy.shape))}"
        )
    return dy
