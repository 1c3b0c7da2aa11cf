"""A look at an HDF5 file's bytes before the HDF5 library is let at them, and at its arrays before they are read.

The library checks most of what it reads, and gives up with an error.  One thing it follows blindly (2.0 and before)
is the list of free places in a group's heap of names: one flipped bit can lead it in a circle, in which it takes
memory until there is none.  Only the oldest form of groups has such heaps; it is the form that h5py writes unless
told otherwise.  A heap is ``HEAP``, version 0 (1 byte), 3 bytes unused, then the data's length, the first free place
(an offset into the data; 1 or 2⁶⁴ − 1: none) and the data's address, 8 bytes each; a free place begins with the
offset of the next one and its own length.  Source: the HDF5 file format specification, version 3.0, part III.D.
"""

import mmap
from collections.abc import Sequence
from io import BufferedReader
from itertools import count
from typing import Any

from vggnumpy.formats.reading import RefusedError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NONE = (1, 2**64 - 1)
_MAX_PLACES = 100_000  # in all heaps together; a heap has one or two


def check_hdf5(stream: BufferedReader, base: int = 0) -> None:
    """Refuse a file that would lead the HDF5 library in circles; all other damage is left for it to find.

    Parameters
    ----------
    stream : BufferedReader
        Of the open file; its position is kept.
    base : int
        Where HDF5 begins in the file, from which its addresses count.

    Raises
    ------
    RefusedError
    """
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Sizes of addresses and lengths stand behind the superblock's version, the older versions' after 4 others.
        sizes = base + (13 if data[base + 8 : base + 9] < b"\x02" else 9)
        if data[sizes : sizes + 2] != b"\x08\x08":
            raise RefusedError("it is damaged, or HDF5 with addresses of other than 8 bytes")
        steps, at = count(), data.find(b"HEAP", base)
        while at >= 0:
            length, place, address = (int.from_bytes(data[at + i : at + i + 8], "little") for i in (8, 16, 24))
            while place not in _NONE and place + 16 <= length and base + address + place + 16 <= len(data):
                if next(steps) > _MAX_PLACES:
                    raise RefusedError("it is damaged: the free places of its heaps of names lead in a circle")
                start = base + address + place
                place = int.from_bytes(data[start : start + 8], "little")
            at = data.find(b"HEAP", at + 4)


def stored_datasets(file: Any) -> dict[str, Any]:
    """Return every dataset stored in an open file itself: links to other files or places are not followed."""
    import h5py

    found: dict[str, Any] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(collect)
    return found


def check_stored(name: str, dataset: Any, dtypes: Sequence[str]) -> None:
    """Check a dataset's dtype, and that the file can hold as many numbers as the shape claims.

    Raises
    ------
    RefusedError
    """
    if dataset.dtype.name not in dtypes:
        raise RefusedError(f"{name} is {dataset.dtype}, expected one of {', '.join(dtypes)}")
    # No filter of HDF5 shrinks data more than about a thousandfold: less means numbers left out, or a shape
    # made up to exhaust the memory.
    if dataset.is_virtual or dataset.external or dataset.id.get_storage_size() * 1100 < dataset.nbytes:
        raise RefusedError(f"the numbers of {name} are not all in the file")
