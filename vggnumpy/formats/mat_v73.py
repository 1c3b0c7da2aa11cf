"""MAT files of version 7.3 (MATLAB's ``save -v7.3``): HDF5 behind a user block of 512 bytes, read defensively.

A struct is a group, a cell array a dataset of references to objects in ``/#refs#``, text a dataset of UTF-16 code
units; the attribute MATLAB_class says which.  An empty array is a dataset that holds its dimensions, marked by
MATLAB_empty.  HDF5 counts axes from the slowest, MATLAB from the fastest: all axes are reversed.
"""

from __future__ import annotations

import math
import zlib
from io import BufferedReader
from typing import Any

import numpy as np

from vggnumpy.formats.hdf5_guard import check_hdf5
from vggnumpy.formats.mat_values import NAMES, Budget, DamagedError, Unread, shape_of, text_of
from vggnumpy.formats.reading import quote

_CLASSES = {"double": "f8", "single": "f4", "logical": "u1"}
_CLASSES |= {f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)}
_CHARACTERS = {"u1": "latin-1", "u2": "utf-16", "u4": "utf-32"}
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3  # HDF5's numbers of the filters that MATLAB uses


def read_v73(file: BufferedReader, size: int, base: int) -> dict[str, Any]:
    """Read the variables that belong to a network.

    Parameters
    ----------
    file : binary file
    size : int
        Its length in bytes.
    base : int
        Length of the block before HDF5's own signature.

    Returns
    -------
    dict
        As `mat_v5.read_v5` returns.

    Raises
    ------
    DamagedError, RefusedError
        If an object is not what its class asks for, or the content is out of proportion.
    OSError, RuntimeError, ValueError, LookupError, TypeError
        What h5py raises where HDF5's own structure is damaged.
    """
    import h5py

    check_hdf5(file, base)
    with h5py.File(file, "r") as root:
        return _Reader(root, Budget(size)).fields(root, 0)


class _Reader:
    def __init__(self, root: Any, budget: Budget):
        self._root, self._budget = root, budget

    def fields(self, group: Any, depth: int) -> dict[str, Any]:
        """Return the members of a group that belong to a network; links to other files or places are not followed."""
        import h5py

        found = {}
        for name in sorted(NAMES):
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                found[name] = self._value(group[name], depth)
        return found

    def _value(self, item: Any, depth: int) -> Any:
        import h5py

        self._budget.take_value(depth)
        kind = _text_attribute(item, "MATLAB_class")
        if isinstance(item, h5py.Group):
            # A struct array is a group, too; its fields are references without a class, which no field may be.
            return self.fields(item, depth + 1) if kind == "struct" else Unread("an object")
        if not isinstance(item, h5py.Dataset):
            raise DamagedError("a variable or field is neither a group nor a dataset")
        if _flag(item, "MATLAB_empty"):
            return _empty(kind)
        if kind == "cell":
            references = self._data(item, h5py.ref_dtype)
            return [self._value(self._root[reference], depth + 1) for reference in references.ravel()]
        if kind == "char" and item.dtype.str[1:] in _CHARACTERS:
            codes = self._data(item, item.dtype.newbyteorder("="))
            characters = codes.tobytes().decode(_CHARACTERS[item.dtype.str[1:]], errors="replace")
            return text_of(characters, codes.shape[::-1])
        if kind in _CLASSES:
            return self._data(item, np.dtype(_CLASSES[kind])).T
        return Unread(f"an array of the class {quote(kind)}" if kind else "an array without a class")

    def _data(self, item: Any, dtype: np.dtype[Any]) -> np.ndarray:
        """Return a dataset's content after checking that the file holds all of it and no more."""
        if item.dtype.newbyteorder("=") != dtype:
            raise DamagedError(f"an array is stored as {item.dtype}, expected {dtype}")
        shape = shape_of(item.shape)
        self._budget.take_bytes(math.prod(shape) * dtype.itemsize)
        settings = item.id.get_create_plist()
        if item.is_virtual or item.external:
            raise DamagedError("an array lies in another file")
        if item.chunks is None:
            if item.id.get_storage_size() != math.prod(shape) * dtype.itemsize:
                raise DamagedError(f"the {shape} numbers of an array are not all in the file")
        else:
            filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
            if not filters <= {_DEFLATE, _SHUFFLE, _CHECKSUM}:
                raise DamagedError("an array is compressed by a filter that MATLAB does not use")
            self._check_chunks(item, shape, dtype.itemsize, _DEFLATE in filters)
        return np.asarray(item[()])

    def _check_chunks(self, item: Any, shape: tuple[int, ...], itemsize: int, deflated: bool) -> None:
        """Check that all chunks are there, and that none inflates to more than a chunk, which HDF5 does not check."""
        stored: list[Any] = []
        item.id.chunk_iter(stored.append)
        full = math.prod(item.chunks) * itemsize
        if len(stored) != math.prod(-(-n // c) for n, c in zip(shape, item.chunks, strict=True)):
            raise DamagedError(f"the {shape} numbers of an array are not all in the file")
        if full > max(1 << 20, 4 * math.prod(shape) * itemsize):
            raise DamagedError(f"an array of shape {shape} is stored in chunks of shape {item.chunks}")
        for chunk in stored:
            if chunk.size > 2 * full + 1024:
                raise DamagedError(f"a chunk of {full} bytes is stored in {chunk.size}")
            if deflated and not chunk.filter_mask:
                _, packed = item.id.read_direct_chunk(chunk.chunk_offset)
                inflater = zlib.decompressobj()
                if len(inflater.decompress(packed, full + 1)) != full or not inflater.eof:
                    raise DamagedError(f"a chunk does not inflate to {full} bytes")


def _text_attribute(item: Any, name: str) -> str | None:
    """Return a text of fixed length; others would be fetched from anywhere in the file."""
    if name not in item.attrs:
        return None
    stored = item.attrs.get_id(name)
    if stored.dtype.kind != "S" or stored.shape != () or stored.dtype.itemsize > 64:
        return None
    return bytes(item.attrs[name]).decode("latin-1")


def _flag(item: Any, name: str) -> bool:
    if name not in item.attrs:
        return False
    stored = item.attrs.get_id(name)
    return stored.dtype.kind in "iu" and stored.shape == () and bool(item.attrs[name])


def _empty(kind: str | None) -> Any:
    return {"cell": [], "char": ""}.get(kind or "", np.empty((0, 0)))
