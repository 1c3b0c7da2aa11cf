"""What the readers of foreign binary files share: one sentence for all that is wrong, checks before memory is taken."""

import math
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, open_input, reason

MAX_DIMENSIONS = 8
MAX_COUNT = 2**48  # so that no product of two counts leaves 64 bits by much
MAX_GROWTH = 10  # bytes of all arrays over bytes of the file; above 1 only where arrays share numbers, or compressed


class RefusedError(Exception):
    """What is wrong with the file, in words that follow its name."""


@contextmanager
def one_sentence(path: PathLike) -> Iterator[None]:
    """Turn whatever damaged or hostile bytes lead to into an `InputError` that begins with the file's name."""
    try:
        yield
    except RefusedError as refusal:
        raise InputError(f"{path}: {refusal}") from None
    except MemoryError:
        raise InputError(f"{path}: its arrays need more memory than is free") from None
    except Exception as error:  # hostile bytes lead anywhere: struct, zipfile, HDF5, Unicode, indices …
        raise InputError(f"{path}: the file is damaged or cut short: {reason(error)}") from error


@contextmanager
def mapped(path: PathLike, expected: str) -> Iterator[memoryview]:
    """Give a file's bytes without reading them: they count as memory only where looked at, and can be dropped.

    Parameters
    ----------
    path : str or os.PathLike
    expected : str
        What the file should be, for the sentence about an empty one.

    Raises
    ------
    InputError
        As `vggnumpy.files.open_input`; if the file is empty; and in the place of anything raised in the body.
    """
    with open_input(path) as file, one_sentence(path):
        if os.fstat(file.fileno()).st_size == 0:
            raise RefusedError(f"expected {expected}, found an empty file")
        # Closed when the last view of it is gone, which an exception's traceback may hold for a while.
        yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def quote(text: str) -> str:
    """Return foreign text, which may be long and hold anything, as it can stand in a sentence."""
    return repr(text if len(text) <= 100 else text[:100] + "…")


def is_count(number: object) -> bool:
    """Tell whether a foreign value is a whole number that can count elements."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < MAX_COUNT


def check_view(name: str, offset: int, shape: Sequence[int], strides: Sequence[int], stored: int) -> None:
    """Refuse a strided view that reaches outside its storage of numbers, before NumPy is made to look there.

    The last element seen is number offset + Σ (nᵢ − 1) strideᵢ, counted from 0.

    Raises
    ------
    RefusedError
    """
    if len(shape) != len(strides) or not all(map(is_count, (offset, *shape, *strides))):
        raise RefusedError(f"the tensor {quote(name)} has no proper shape and strides; the file is damaged")
    size = math.prod(shape)
    end = offset + (1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) if size else 0)
    if max(size, end) > stored:
        raise RefusedError(
            f"the tensor {quote(name)} of shape {tuple(shape)} needs more than the {stored} numbers of its storage; "
            "the file is damaged, or the tensor was expanded (save a contiguous copy)"
        )
