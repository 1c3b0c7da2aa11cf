"""Arrays out of ``.safetensors`` files.

The file is a header's length (uint64), the header (JSON), and the numbers of all tensors, one after the other in C
order, everything little-endian.  The header maps a name to ``{"dtype": "F32", "shape": [64, 3, 3, 3],
"data_offsets": [begin, end]}``, offsets in bytes from the header's end; ``"__metadata__"`` holds texts.
Source: the description of the format at github.com/huggingface/safetensors.
"""

import json
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggnumpy.files import PathLike
from vggnumpy.formats.reading import MAX_DIMENSIONS, RefusedError, is_count, mapped, quote

# NumPy has no bfloat16: its 16 bits are the upper half of a float32's.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "<u1",
}
# The format allows 100 MB, which JSON in Python can turn into gigabytes; VGG-19's header takes 4 kB.
_MAX_HEADER = 10_000_000


class _Entry(NamedTuple):
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read all tensors of a ``.safetensors`` file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    dict of str to ndarray
        In the header's order, new contiguous arrays of the shapes stored, bit for bit (convolution weights as
        PyTorch has them: OIHW); bfloat16 becomes float32, which holds it exactly.

    Raises
    ------
    InputError
        If the file is missing, no ``.safetensors`` file, damaged or cut short: a header that is no such JSON or
        names a tensor twice, an unknown dtype, a length that does not fit the shape, bytes shared by two tensors
        or belonging to none.
    """
    with mapped(path, "a .safetensors file") as data:
        length = int.from_bytes(data[:8], "little")
        if length > len(data) - 8 or bytes(data[8:9]) != b"{":
            raise RefusedError("expected a .safetensors file, found something else or a file cut short in its header")
        if length > _MAX_HEADER:
            raise RefusedError(f"its header takes {length} bytes, more than the {_MAX_HEADER} that are read")
        numbers = data[8 + length :]
        entries = _parse(bytes(data[8 : 8 + length]), len(numbers))
        return {name: _array(entry, numbers[entry.begin : entry.end]) for name, entry in entries.items()}


def _parse(header: bytes, available: int) -> dict[str, _Entry]:
    """Check the header: every tensor has the bytes it needs, and every byte belongs to one tensor."""
    content = json.loads(header.decode("utf-8"), object_pairs_hook=_no_duplicates)
    content.pop("__metadata__", None)
    entries = {name: _entry(name, fields) for name, fields in content.items()}
    if not entries:
        raise RefusedError("it holds no tensors")
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != reached:
            raise RefusedError(
                f"the numbers of {quote(name)} should begin at byte {reached} and begin at {entry.begin}, so tensors "
                "overlap or leave a gap; the file is damaged"
            )
        reached = entry.end
    if reached != available:
        raise RefusedError(f"it is damaged or cut short: its tensors take {reached} bytes, found {available}")
    return entries


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise RefusedError("its header has a name twice; the file is damaged")
    return content


def _entry(name: str, fields: Any) -> _Entry:
    match fields:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [begin, end]} if len(
            shape
        ) <= MAX_DIMENSIONS and all(map(is_count, (*shape, begin, end))):
            if kind not in _DTYPES:
                raise RefusedError(f"the tensor {quote(name)} is {quote(kind)}, expected one of {', '.join(_DTYPES)}")
            needed = math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize
            if end - begin != needed:
                raise RefusedError(
                    f"the tensor {quote(name)} of shape {tuple(shape)} should take {needed} bytes and takes "
                    f"{end - begin}; the file is damaged"
                )
            return _Entry(kind, tuple(shape), begin, end)
    raise RefusedError(f"its header describes {quote(name)} in a way that is not known; the file is damaged")


def _array(entry: _Entry, data: memoryview) -> NDArray[Any]:
    numbers = np.frombuffer(data, _DTYPES[entry.kind]).reshape(entry.shape)
    if entry.kind == "BF16":
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if entry.kind == "BOOL":
        return np.asarray(numbers != 0)
    return numbers.astype(numbers.dtype.newbyteorder("="))  # a copy, aligned and independent of the file
