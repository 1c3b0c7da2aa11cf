"""Arrays out of NumPy's ``.npz`` archives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, open_input, reason


def read_npz(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file, as `numpy.savez` and `numpy.savez_compressed` write it.

    Returns
    -------
    dict of str to ndarray
        In the file's order, each in the shape and type stored.

    Raises
    ------
    InputError
        If the file is missing, no ``.npz``, damaged or cut short, or has arrays of Python objects, which are
        pickles and never executed.
    """
    with open_input(path) as file:
        if file.peek(2)[:2] != b"PK":  # numpy.load takes single arrays and pickles as well
            raise InputError(f"{path}: expected an .npz archive of arrays, found something else")
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except MemoryError:
            raise InputError(f"{path}: its arrays need more memory than is free") from None
        except Exception as error:  # hostile bytes lead anywhere: struct, zlib, Unicode, literals …
            raise InputError(f"{path}: the file is damaged or cut short: {reason(error)}") from error
    foreign = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if foreign:  # numpy.load gives what is no array as bytes
        raise InputError(f"{path}: expected nothing but arrays, found the entry {foreign[0][:100]!r}")
    return arrays
