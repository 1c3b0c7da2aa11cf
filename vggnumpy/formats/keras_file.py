"""Arrays out of Keras's ``.h5`` files, without Keras and without executing what the file says.

``model.save_weights("NAME.h5")`` of Keras 1 and 2, and ``model.save("NAME.h5")`` of Keras 1 to 3 under the group
``model_weights``, make a group for every layer with a dataset for every array.  Their names are listed again in
attributes (``layer_names``, ``weight_names``), by which such a file is recognised; the lists themselves are not read,
because texts of free length can be made to fill any memory.  Nor is the network (``model_config``), which may hold
pickled code.

=====================  ==============================  ==========================
part                   Keras 1 (2016)                  later
=====================  ==============================  ==========================
LAYER.weight           ``block1_conv1_W_1:0``          ``block1_conv1/kernel:0``
LAYER.bias             ``block1_conv1_b_1:0``          ``block1_conv1/bias:0``
LAYER.gamma, .beta     ``bn_gamma:0``, ``bn_beta:0``   ``bn/gamma:0``, ``bn/beta:0``
LAYER.moving_mean      ``bn_running_mean:0``           ``bn/moving_mean:0``
LAYER.moving_variance  ``bn_running_std:0``            ``bn/moving_variance:0``
=====================  ==============================  ==========================

(Keras 1 calls it std, and stores the variance.)  Keras 3's own ``.weights.h5`` numbers its arrays inside groups of
Python objects and is not read.
"""

import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggnumpy.files import PathLike, open_input
from vggnumpy.formats.hdf5_guard import SIGNATURE, check_hdf5
from vggnumpy.formats.reading import MAX_DIMENSIONS, MAX_GROWTH, RefusedError, one_sentence, quote

_OLD_NAME = re.compile(r"_(W|b|gamma|beta|running_mean|running_std)(?:_\d+)?$")
_PARTS = {
    "W": "weight",
    "kernel": "weight",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
_DTYPES = ("float16", "float32", "float64")


def read_keras(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read the weights of a Keras model.

    Parameters
    ----------
    path : str or os.PathLike
        An ``.h5`` or ``.hdf5`` file of weights, or of a whole model.

    Returns
    -------
    dict of str to ndarray
        Sorted by layer, bit for bit, named ``LAYER.PART`` by the table above.  Kernels H×W×I×O are given as
        O×I×H×W, those of dense layers, I×O, as O×I (views of transposed axes).  The inputs of a dense layer after
        ``Flatten`` count in the order H, W, C; they are not reordered here, because the file of weights does not
        tell H and W: see `dense_from_hwc`.

    Raises
    ------
    InputError
        If the file is missing, no such Keras file, damaged or cut short; if its arrays are not floating, compressed,
        or their numbers not in the file itself; or if kernels and biases do not fit (networks of the Theano backend are
        O×I×H×W with flipped filters, transposed convolutions H×W×O×I; neither is read).
    """
    import h5py

    with open_input(path) as stream, one_sentence(path):
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            raise RefusedError("expected a Keras file (HDF5), found another kind of file")
        check_hdf5(stream)
        size = os.fstat(stream.fileno()).st_size
        # Through the open stream, so that HDF5 takes no lock: some network drives refuse locks.
        with h5py.File(stream, "r") as file:
            datasets = _datasets(_root(file))
            total = sum(_checked_size(name, dataset) for name, dataset in datasets.items())
            if total > MAX_GROWTH * size:
                raise RefusedError(f"its arrays would take {total} bytes, far more than the file has; it is damaged")
            arrays = {name: _array(name, dataset) for name, dataset in datasets.items()}
        if not arrays:
            raise RefusedError("expected a Keras file with weights, found one without any")
        _check_biases(arrays)
        return arrays


def is_keras_file(path: PathLike) -> bool:
    """Tell whether a file is one that `read_keras` is for, and not another kind of HDF5 file.

    Raises
    ------
    InputError
        If the file is missing or cannot be opened.
    """
    import h5py

    with open_input(path) as stream:
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            return False
        try:
            check_hdf5(stream)
            with h5py.File(stream, "r") as file:
                _root(file)
        except Exception:  # a damaged file is not recognised, whatever it makes HDF5 say
            return False
        return True


def dense_from_hwc(matrix: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the weights of a dense layer after ``Flatten`` as the filters of a convolution over the whole map.

    Keras flattens maps in the order H, W, C, so input number (h · width + w) · C + c is channel c at (h, w).

    Parameters
    ----------
    matrix : ndarray of shape (O, height · width · C)
        As `read_keras` gives it.
    height, width : int
        Size of the map that was flattened.

    Returns
    -------
    ndarray of shape (O, C, height, width)
        A view.

    Raises
    ------
    ValueError
        If the number of inputs is no multiple of height · width.
    """
    if matrix.ndim != 2 or height < 1 or width < 1 or matrix.shape[1] % (height * width):
        raise ValueError(f"a dense layer's weights of shape {matrix.shape} do not fit a map of {height}×{width}")
    return matrix.reshape(len(matrix), height, width, -1).transpose(0, 3, 1, 2)


# Groups and names


def _root(file: Any) -> Any:
    """Return the group that holds the layers."""
    import h5py

    inner = file["model_weights"] if isinstance(file.get("model_weights", getlink=True), h5py.HardLink) else file
    for group in (file, inner):
        if "layer_names" in group.attrs or "layer_names0" in group.attrs:  # the latter: a list in pieces
            return group
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        raise RefusedError(
            "this is a .weights.h5 file of Keras 3, whose arrays have no names; load it in Keras and save the model "
            'with model.save("NAME.h5")'
        )
    found = "a weights file of vggnumpy" if "format" in file.attrs else "another kind of HDF5 file"
    raise RefusedError(f"expected a Keras file (HDF5 with the attribute layer_names), found {found}")


def _datasets(root: Any) -> dict[str, Any]:
    """Return all datasets by LAYER.PART; each is seen once, and links to other places are not followed."""
    import h5py

    found: dict[str, dict[str, Any]] = {}

    def collect(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            layer, _, name = path.partition("/")
            found.setdefault(layer, {})[name] = item

    root.visititems(collect)
    datasets: dict[str, Any] = {}
    for layer, items in found.items():
        for key, item in zip(_keys(layer, list(items)), items.values(), strict=True):
            if key in datasets:
                raise RefusedError(f"it has {quote(key)} twice; the file is damaged")
            datasets[key] = item
    return datasets


def _keys(layer: str, names: list[str]) -> list[str]:
    """Return LAYER.PART for each of a layer's arrays.

    In newer files the part follows the last slash; a layer that is a model of its own has several owners before it.
    """
    plain = [re.sub(r":\d+$", "", name) for name in names]
    owners = [name.split("/")[-2] if "/" in name else layer for name in plain]
    keys = []
    for name, owner in zip(plain, owners, strict=True):
        part = name.rpartition("/")[2]
        old = _OLD_NAME.search(part) if "/" not in name else None
        part = old[1] if old else part
        keys.append(f"{owner if len(set(owners)) > 1 else layer}.{_PARTS.get(part, part)}")
    return keys


# Arrays


def _checked_size(name: str, dataset: Any) -> int:
    """Return how many bytes a dataset takes in memory, after a check that the file can hold them."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.name not in _DTYPES or dataset.shape is None:
        raise RefusedError(f"{quote(name)} is no array of {', '.join(_DTYPES)}")
    if dataset.ndim > MAX_DIMENSIONS:
        raise RefusedError(f"{quote(name)} has {dataset.ndim} dimensions, which is absurd; the file is damaged")
    if dataset.is_virtual or dataset.external or dataset.id.get_storage_size() < dataset.nbytes:
        raise RefusedError(
            f"the numbers of {quote(name)} are not all in the file, or compressed; Keras leaves them plain"
        )
    if dataset.chunks is not None:  # pieces can be compressed, and then grow without a limit when they are read
        raise RefusedError(f"the numbers of {quote(name)} are in pieces, which Keras does not make; store them plain")
    return int(dataset.nbytes)


def _array(name: str, dataset: Any) -> NDArray[Any]:
    array = np.ascontiguousarray(dataset[()], dataset.dtype.newbyteorder("="))
    if name.endswith(".weight") and array.ndim >= 2:
        return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
    return array.reshape(dataset.shape)


def _check_biases(arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        bias = arrays.get(f"{name.removesuffix('.weight')}.bias")
        if name.endswith(".weight") and array.ndim >= 2 and bias is not None and bias.shape != array.shape[:1]:
            raise RefusedError(
                f"the kernel {quote(name)} has {array.shape[0]} filters and a bias of shape {bias.shape}; kernels of "
                "Keras's Theano backend and of transposed convolutions are not read"
            )
