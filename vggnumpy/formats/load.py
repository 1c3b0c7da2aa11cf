"""Where networks are found, and what may be exchanged while they are loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vggnumpy.errors import InputError
from vggnumpy.formats.fingerprint import check_first_layer
from vggnumpy.formats.registry import ORIGINALS
from vggnumpy.formats.weights import read_weights
from vggnumpy.nets.initialize import centre_filters, random_network
from vggnumpy.nets.network import Network

PathLike = str | os.PathLike[str]

VARIABLE = "VGGNUMPY_WEIGHTS"
CACHE_VARIABLE = "VGGNUMPY_CACHE"
SUFFIXES = (".h5", ".hdf5")


def load_network(
    name: PathLike,
    *,
    pooling: str | None = None,
    dtype: str = "float32",
    pad_mode: str | None = None,
    pool_rounding: str | None = None,
) -> Network:
    """Load a network from a weights file.

    Parameters
    ----------
    name : str or os.PathLike
        Path of a weights file (``"vgg19.h5"``, ``"nets/vgg19.h5"``), or the name of one (``"vgg19"``) that
        `find_weights` finds.
    pooling : {"max", "average"}, optional
        What every pool computes; by default what the file says.
    dtype : {"float32", "float64"}
        Of the weights, and so of the images and features.
    pad_mode : {"zero", "reflect", "replicate"}, optional
        What the padding of the convolutions holds; by default what the file says.
    pool_rounding : {"floor", "ceil"}, optional
        Whether pools drop or keep an incomplete last window; by default what the file says, pool by pool.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If no such file is found, it fails one of `read_weights`' checks or `check_first_layer`, or an option is not
        one of its values.
    """
    path = _weights_path(name)
    net = read_weights(path, dtype)
    try:
        check_first_layer(net)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if pooling is not None:
        net = net.with_pooling(pooling)
    if pool_rounding is not None:
        net = net.with_pool_rounding(pool_rounding)
    return net if pad_mode is None else replace(net, pad_mode=pad_mode)


def best_network() -> Network:
    """Return VGG-19 if its weights are here, else the network that comes with vggnumpy."""
    return load_network("vgg19" if find_weights("vgg19") is not None else "builtin")


def vgg_network(seed: int = 0) -> Network:
    """Return VGG-19 if its weights are here, else what stands in for it where its layers matter: random filters."""
    return load_network("vgg19") if find_weights("vgg19") is not None else stand_in_network(seed)


def stand_in_network(seed: int = 0) -> Network:
    """Return what stands in for a trained network: VGG-19 with random, centred filters."""
    return centre_filters(random_network("vgg19", rng=seed))


def find_weights(name: str) -> Path | None:
    """Return the weights file of a name such as ``"vgg19"``, or None where there is none.

    Looked for is ``NAME.h5`` in the folder that the environment variable VGGNUMPY_WEIGHTS names, then in the
    ``weights`` folder, which a wheel has in the package and a clone or an editable install beside it, then in
    `cache_folder`, where ``vggnumpy weights fetch`` puts networks.

    Raises
    ------
    InputError
        If VGGNUMPY_WEIGHTS names no folder: weights from elsewhere would be an unpleasant surprise.
    """
    for folder in weights_folders():
        path = folder / f"{name}.h5"
        if path.is_file():
            return path
    return None


def weights_folders() -> Iterator[Path]:
    """Give the folders with weights that exist, in the order in which `find_weights` looks, the user's own first."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        own = Path(chosen).expanduser()
        if not own.is_dir():
            raise InputError(f"the environment variable {VARIABLE} names {chosen}, which is not a folder; correct it")
        yield own
    package = Path(__file__).parents[1]
    if (package / "weights").is_dir():
        yield package / "weights"
    elif (package.parent / "setup.py").is_file() and (package.parent / "weights").is_dir():
        yield package.parent / "weights"  # without setup.py it is somebody else's, in a folder of installed packages
    cache = cache_folder()
    if cache.is_dir():
        yield cache


def cache_folder() -> Path:
    """Return the folder for fetched networks, which need not exist yet.

    It is what the environment variable VGGNUMPY_CACHE names, else vggnumpy's own in the user's cache, such as
    ``~/.cache/vggnumpy``.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("vggnumpy"))


def _weights_path(name: PathLike) -> Path:
    """Return the file that a path or a registry name means."""
    path = Path(name)
    if path.suffix.lower() in SUFFIXES:
        return path
    if isinstance(name, os.PathLike) or path.suffix or path.name != name:
        raise InputError(
            f"{path}: expected a weights file of vggnumpy ({' or '.join(SUFFIXES)}); "
            f"convert it first with: vggnumpy convert {path} -o {path.stem or 'OUT'}.h5"
        )
    found = find_weights(name)
    if found is not None:
        return found
    folders = [*weights_folders()]
    looked = " and ".join(map(str, folders)) or "no folder, as there is none beside the package"
    missing = f"network {name!r}: no file {name}.h5 was found in {looked} (set {VARIABLE} for another folder)"
    if name in ORIGINALS:
        raise InputError(f"{missing}; get it with: vggnumpy weights fetch {name}")
    here = ", ".join(sorted({file.stem for folder in folders for file in folder.glob("*.h5")})) or "none"
    raise InputError(
        f"{missing}; the networks here are: {here}; for those that can be fetched see: vggnumpy weights list; "
        f"make the file from a downloaded original with: vggnumpy convert ORIGINAL -o {name}.h5"
    )
