"""MAT files of version 5 and 7 (MATLAB's ``save -v6`` and ``save -v7``), read defensively.

SciPy has a reader of the same files, but its compiled part trusts sizes in the file: of a thousand files with a few
changed bytes, 35 ended the process.  Here every size is checked against the bytes that hold it.

The format (MATLAB's "MAT-File Format" document): a header of 128 bytes, then data elements, each an 8-byte tag (type,
length) and its content, padded to 8 bytes; content of up to 4 bytes may sit inside the tag.  A variable is a matrix
element: flags with the class, dimensions, name, then numbers, or one matrix element per cell or per field.  Since
version 7 each variable may be an element of its own compressed by zlib.
"""

from __future__ import annotations

import math
import struct
import zlib
from io import BufferedReader
from typing import Any

import numpy as np

from vggnumpy.formats.mat_values import NAMES, Budget, DamagedError, Unread, shape_of, text_of

HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Characters: one byte each, code units of 2 or 4 bytes, or an encoding's name in the type.
_CHARACTERS = {
    1: "latin-1",
    2: "latin-1",
    4: "utf-16",
    6: "utf-32",
    16: "utf-8",
    17: "utf-16",
    18: "utf-32",
}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_OTHER = {3: "an object", 5: "a sparse matrix", 16: "a function", 17: "an object"}
_COMPLEX = 0x08  # in the flags' second byte
_BLOCK = 1 << 20


class _Stored:
    """The bytes of a variable as they lie in the file."""

    def __init__(self, file: BufferedReader, length: int):
        self._file, self._left = file, length

    def readinto(self, view: memoryview) -> None:
        self._left -= len(view)
        if self._left < 0 or self._file.readinto(view) != len(view):
            raise DamagedError("a variable is cut short")

    def skip(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise DamagedError("a variable is cut short")
        self._file.seek(count, 1)

    def finish(self) -> None:
        """Nothing guards stored bytes."""


class _Inflated:
    """The bytes of a compressed variable, inflated only as far as they are asked for."""

    def __init__(self, file: BufferedReader, length: int, budget: Budget):
        self._file, self._left, self._budget = file, length, budget
        self._inflater = zlib.decompressobj()

    def _more(self, count: int) -> bytes:
        """Return between 1 and `count` bytes, or none at the end."""
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, _BLOCK))
                self._left -= len(packed)
            data = self._inflater.decompress(packed, count)
            if data:
                self._budget.take_bytes(len(data))
                return data
            if not packed:
                raise DamagedError("a compressed variable is cut short")
        return b""

    def readinto(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            data = self._more(len(view) - done)
            if not data:
                raise DamagedError("a compressed variable is cut short")
            view[done : done + len(data)] = data
            done += len(data)

    def skip(self, count: int) -> None:
        while count:
            data = self._more(min(count, _BLOCK))
            if not data:
                raise DamagedError("a compressed variable is cut short")
            count -= len(data)

    def finish(self) -> None:
        """Inflate what is left, which verifies the checksum at the end."""
        while self._more(_BLOCK):
            pass


class _Variable:
    """A reader of nested elements: every element must lie inside the one that contains it."""

    def __init__(self, source: _Stored | _Inflated, order: str, budget: Budget):
        self._source, self._order, self._budget = source, order, budget
        self._position = 0

    def _bytes(self, count: int, end: int) -> bytearray:
        self._check(count, end)
        # Allocated block by block, for the length may be made up.
        data = bytearray()
        while len(data) < count:
            block = bytearray(min(count - len(data), _BLOCK))
            self._source.readinto(memoryview(block))
            data += block
        self._position += count
        return data

    def _skip_to(self, position: int, end: int) -> None:
        self._check(position - self._position, end)
        self._source.skip(position - self._position)
        self._position = position

    def _check(self, count: int, end: int) -> None:
        if not 0 <= count <= end - self._position:
            raise DamagedError("an element is longer than the one that contains it")

    def _tag(self, end: int) -> tuple[int, int, bytes | None]:
        """Return an element's type and length, and its content if that is in the tag."""
        raw = bytes(self._bytes(8, end))
        kind, length = struct.unpack(self._order + "II", raw)
        if kind >> 16:
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise DamagedError(f"a small element claims {length} bytes")
            return kind, length, raw[4 : 4 + length]
        self._check(length, end)
        return kind, length, None

    def _element(self, end: int, most: int) -> tuple[int, bytes]:
        """Return the type and the whole content of an element of at most `most` bytes."""
        kind, length, content = self._tag(end)
        if content is None:
            if length > most:
                raise DamagedError(f"a name or shape claims {length} bytes")
            content = bytes(self._bytes(length, end))
            self._skip_to(min(self._position + -length % 8, end), end)
        return kind, content

    def matrix(self, end: int, depth: int = 0) -> tuple[str, Any]:
        """Return the name and value of the matrix element that comes next; a variable of another name is not read."""
        kind, length, content = self._tag(end)
        self._budget.take_value(depth)
        if kind != _MATRIX or content is not None:
            raise DamagedError(f"expected a matrix element, found one of type {kind}")
        if not length:  # an empty cell or field may be written as nothing
            return "", np.empty((0, 0))
        end = self._position + length
        _, flags = self._element(end, 8)
        if len(flags) != 8:
            raise DamagedError("the flags of an array are not 8 bytes")
        word = struct.unpack(self._order + "II", flags)[0]
        if (word & 0xFF) == 17:  # an opaque object: neither dimensions nor a name in the usual place
            return "", self._rest("an object", end)
        _, sizes = self._element(end, 256)
        shape = shape_of(np.frombuffer(sizes, self._order + "i4"))
        name = self._element(end, 256)[1].decode("latin-1")
        if depth == 0 and name not in NAMES:
            return name, self._rest("another variable", end)
        return name, self._value(word, shape, end, depth)

    def _rest(self, what: str, end: int) -> Unread:
        self._skip_to(end, end)
        return Unread(what)

    def _value(self, word: int, shape: tuple[int, ...], end: int, depth: int) -> Any:
        kind, count = word & 0xFF, math.prod(shape)
        value: Any
        if (word >> 8) & _COMPLEX:
            value = Unread("complex numbers")
        elif kind == _CELL:
            # Each cell takes a tag at least, so a forged count is found before much is read.
            value = [self.matrix(end, depth + 1)[1] for _ in range(count)]
        elif kind == _STRUCT:
            value = self._struct(count, end, depth)
        elif kind == _CHAR:
            value = self._characters(shape, count, end)
        elif kind in _CLASSES:
            value = self._numbers(np.dtype(_CLASSES[kind]), shape, count, end)
        else:
            value = Unread(_OTHER.get(kind, f"an array of the unknown class {kind}"))
        self._skip_to(end, end)
        return value

    def _struct(self, count: int, end: int, depth: int) -> Any:
        if count != 1:
            return Unread("a struct array")
        _, width = self._element(end, 4)
        each = struct.unpack(self._order + "i", width)[0] if len(width) == 4 else 0
        if not 1 <= each <= 256:
            raise DamagedError(f"field names claim {each} bytes each")
        _, names = self._element(end, 1 << 20)
        fields = {}
        for start in range(0, len(names), each):
            name = names[start : start + each].split(b"\0")[0].decode("latin-1")
            if name in NAMES:
                fields[name] = self.matrix(end, depth + 1)[1]
            else:
                self._pass_over(end, depth + 1)
        return fields

    def _pass_over(self, end: int, depth: int) -> None:
        self._budget.take_value(depth)
        _, length, content = self._tag(end)
        if content is None:
            self._skip_to(self._position + length, end)

    def _numbers(self, dtype: np.dtype[Any], shape: tuple[int, ...], count: int, end: int) -> np.ndarray:
        kind, length, content = self._tag(end)
        if kind not in _NUMBERS:
            raise DamagedError(f"expected numbers, found an element of type {kind}")
        stored = np.dtype(self._order + _NUMBERS[kind])
        if count * stored.itemsize != length:
            raise DamagedError(f"an array of shape {shape} has {length} bytes instead of {count * stored.itemsize}")
        self._budget.take_bytes(count * dtype.itemsize)
        data = self._bytes(length, end) if content is None else content
        # A double that holds small integers may be stored as such.
        return np.frombuffer(data, stored).astype(dtype, copy=False).reshape(shape, order="F")

    def _characters(self, shape: tuple[int, ...], count: int, end: int) -> Any:
        kind, length, content = self._tag(end)
        if kind not in _CHARACTERS or length > 4 * count:
            raise DamagedError(f"text of {count} characters has {length} bytes of type {kind}")
        self._budget.take_bytes(4 * length)
        data = bytes(self._bytes(length, end)) if content is None else content
        encoding = _CHARACTERS[kind]
        if encoding[-2:] in ("16", "32"):
            encoding += "-le" if self._order == "<" else "-be"
        return text_of(data.decode(encoding, errors="replace"), shape)


def read_v5(file: BufferedReader, size: int) -> dict[str, Any]:
    """Read the variables that belong to a network.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        Its length in bytes.

    Returns
    -------
    dict
        Variable name → value, as `mat_values` describes them; variables and fields that are not in its ``NAMES`` are
        left out.  Numbers have the type that MATLAB shows (double is float64, single float32, logical uint8), bit for
        bit, in native byte order, the first axis fastest.

    Raises
    ------
    DamagedError
        If a size does not fit into what contains it, a checksum is wrong, or the content is out of proportion.
    zlib.error
        If compressed data are damaged.
    """
    header = file.read(HEADER)
    order = {b"IM": "<", b"MI": ">"}[header[126:128]]
    budget = Budget(size)
    found: dict[str, Any] = {}
    position = HEADER
    while position < size:
        file.seek(position)
        tag = file.read(8)
        if len(tag) != 8:
            raise DamagedError("it ends inside a tag")
        kind, length = struct.unpack(order + "II", tag)
        if length > size - position - 8:
            raise DamagedError(f"a variable claims {length} bytes where {size - position - 8} are left")
        source: _Stored | _Inflated
        if kind == _COMPRESSED:
            source, end = _Inflated(file, length, budget), 2**32 + 8
        elif kind == _MATRIX:
            file.seek(position)
            source, end = _Stored(file, length + 8), length + 8
        else:
            raise DamagedError(f"expected a variable, found an element of type {kind}")
        name, value = _Variable(source, order, budget).matrix(end)
        if name in NAMES:
            source.finish()
            found[name] = value
        position += 8 + length
    return found
