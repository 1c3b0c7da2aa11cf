"""Protobuf's wire format, as far as Caffe's files need it.

A message is a sequence of fields, each a tag (number · 8 + wire type, as a varint: 7 bits a byte, lowest first, the
top bit says that more follow) and a value: a varint (wire type 0), 8 bytes (1), a length and as many bytes (2), or
4 bytes (5).  Repeated numbers may be packed (one field of wire type 2, or several) or not (a field for each number).
Source: the description of the encoding at protobuf.dev.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggnumpy.formats.reading import MAX_DIMENSIONS, RefusedError

_MAX_FIELDS = 1_000_000  # a run of unpacked numbers counts as one; VGG-19 has about 1,000
_DAMAGED = "it is damaged or cut short, or another kind of file"

# A message as read: field number → its values in order.  A varint is an int, bytes are a memoryview, and runs of
# 4- or 8-byte numbers are arrays of bytes (count, 4 or 8).
Value = int | memoryview | NDArray[np.uint8]
Message = dict[int, list[Value]]


class Wire:
    """Takes messages apart, and counts fields so that few bytes cannot be made into many objects."""

    def __init__(self) -> None:
        self.fields = 0

    def message(self, value: Value) -> Message:
        """Return the fields of a message, each number's values in their order; nested ones stay bytes."""
        if not isinstance(value, memoryview):
            raise RefusedError("it holds a number where a message is expected; the file is damaged")
        data, at, message = value, 0, Message()
        while at < len(data):
            self.fields += 1
            if self.fields > _MAX_FIELDS:
                raise RefusedError(f"it has more than {_MAX_FIELDS} fields; the file is damaged")
            start = at
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if number == 0 or kind not in (0, 1, 2, 5):
                raise RefusedError(f"{_DAMAGED}: it has a field {number} of the kind {kind}")
            content: Value
            if kind == 0:
                content, at = _varint(data, at)
            elif kind == 2:
                length, at = _varint(data, at)
                content = data[at : at + length]
                if len(content) != length:
                    raise RefusedError(f"{_DAMAGED}: a field ends behind its end")
                at += length
            else:
                content = _run(data[start:], at - start, 8 if kind == 1 else 4)
                at = start + len(content) * (at - start + content.shape[1])
            message.setdefault(number, []).append(content)
        return message


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a place and the place after it."""
    number = 0
    for i, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number & (2**64 - 1), at + i + 1
    raise RefusedError(f"{_DAMAGED}: it has a number without an end")


def _run(data: memoryview, tag: int, size: int) -> NDArray[np.uint8]:
    """Return all numbers of a run of fields with equal tags, so that unpacked arrays are not read one by one."""
    step = tag + size
    most = len(data) // step
    if most == 0:
        raise RefusedError(f"{_DAMAGED}: a number ends behind its end")
    records = np.frombuffer(data[: most * step], np.uint8).reshape(most, step)
    count = known = 0
    # Looking twice as far each time costs no more than the run is long, however many runs there are.
    while count == known and count < most:
        known = min(2 * known + 64, most)
        others = np.nonzero((records[count:known, :tag] != records[0, :tag]).any(axis=1))[0]
        count = count + int(others[0]) if len(others) else known
    return records[:count, tag:]


# Single values and numbers of a message


def text(message: Message, number: int) -> str:
    """Return a field's text, empty where there is none; of several the last counts, here and below."""
    value = message.get(number, [memoryview(b"")])[-1]
    if not isinstance(value, memoryview):
        raise RefusedError("it holds a number where a text is expected; the file is damaged")
    return bytes(value).decode("utf-8")


def texts(message: Message, number: int) -> tuple[str, ...]:
    """Return all texts of a repeated field."""
    return tuple(text({number: [value]}, number) for value in message.get(number, []))


def integers(message: Message, number: int) -> list[int]:
    """Return integers, packed or not; negative ones are stored as their complement to 2⁶⁴."""
    found = []
    for value in message.get(number, []):
        if isinstance(value, int):
            found.append(value)
        elif isinstance(value, memoryview) and len(value) <= 10 * MAX_DIMENSIONS:
            at = 0
            while at < len(value):
                item, at = _varint(value, at)
                found.append(item)
        else:
            raise RefusedError("it holds no integer where one is expected; the file is damaged")
    return [value - 2**64 if value >= 2**63 else value for value in found]


def integer(message: Message, number: int, default: int) -> int:
    """Return an integer of 32 bits, as parameters have."""
    value = [default, *integers(message, number)][-1]
    if not -(2**31) <= value < 2**31:
        raise RefusedError(f"it has the parameter {value}, which is absurd; the file is damaged")
    return value


def choice(message: Message, number: int, choices: tuple[str, ...]) -> str:
    """Return the word for a number of an enumeration that starts at 0, which is also the default."""
    value = integer(message, number, 0)
    if not 0 <= value < len(choices):
        raise RefusedError(f"it has a parameter {value} that should be 0 to {len(choices) - 1}; the file is damaged")
    return choices[value]


def numbers(message: Message, number: int, dtype: str) -> NDArray[Any]:
    """Return a new array of all floating numbers of a field, packed or not."""
    size = np.dtype(dtype).itemsize
    parts = []
    for value in message.get(number, []):
        if isinstance(value, int) or (not isinstance(value, memoryview) and value.shape[1] != size):
            raise RefusedError("it holds numbers of another kind than expected; the file is damaged")
        content = value if isinstance(value, memoryview) else np.ascontiguousarray(value).reshape(-1)
        if len(content) % size:
            raise RefusedError(f"it has numbers of {size} bytes in {len(content)} bytes; the file is damaged")
        parts.append(np.frombuffer(content, dtype))
    joined = np.concatenate(parts) if parts else np.empty(0, dtype)
    return joined.astype(joined.dtype.newbyteorder("="), copy=False)


def floating(message: Message, number: int, default: float) -> float:
    """Return a float32 as a Python number."""
    found = numbers(message, number, "<f4")
    return float(found[-1]) if len(found) else default


def pair(message: Message, number: int, h: int, w: int, default: int) -> tuple[int, int]:
    """Return (height, width), stored as one number for both, as both, or in fields of their own."""
    if h in message or w in message:
        found = [integer(message, h, default), integer(message, w, default)]
    else:
        found = integers(message, number) or [default]
    if len(found) > 2 or not all(0 <= value < 2**31 for value in found):
        raise RefusedError(f"it has a layer with the sizes {found[:9]}, expected height and width")
    return found[0], found[-1]
