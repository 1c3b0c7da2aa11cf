"""The state of a training between two steps, in an HDF5 file: named arrays and a record in JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from vggnumpy.files import PathLike, atomic_path, open_input
from vggnumpy.formats.hdf5_guard import SIGNATURE, check_hdf5
from vggnumpy.formats.reading import RefusedError, one_sentence

FORMAT = "vggnumpy checkpoint 1"


def write_checkpoint(path: PathLike, record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a state, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
    record : dict
        What JSON can hold; floats come back exactly.
    arrays : dict
        Name → array.
    """
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs["format"] = FORMAT
        file.create_dataset("record", data=np.frombuffer(json.dumps(record).encode(), np.uint8))
        for name, array in arrays.items():
            file.create_dataset(f"arrays/{name}", data=array)
    with atomic_path(path) as temporary:
        temporary.write_bytes(image.getbuffer())


def read_checkpoint(path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_checkpoint` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    import h5py

    with open_input(path) as stream, one_sentence(path):
        if stream.read(8) != SIGNATURE:
            raise RefusedError("expected a checkpoint of vggnumpy train (HDF5), found another kind of file")
        check_hdf5(stream)
        with h5py.File(stream, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise RefusedError("expected a checkpoint of vggnumpy train, found another HDF5 file")
            arrays: dict[str, np.ndarray] = {}

            def collect(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    arrays[name] = item[...]

            file["arrays"].visititems(collect)
            record = json.loads(file["record"][...].tobytes())
    return record, arrays
