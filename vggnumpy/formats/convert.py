"""Conversion of published weights, in any of the formats they are found in, into our weights file or MatConvNet's.

Every number is kept bit for bit.  What bare arrays do not say (channel order, mean, range, padding, how pools round) is
taken from the family that they are recognised as, or asked for, and reported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vggnumpy.errors import InputError
from vggnumpy.files import PathLike, check_output, sha256
from vggnumpy.formats.fingerprint import check_first_layer
from vggnumpy.formats.keras_file import is_keras_file
from vggnumpy.formats.originals import SUFFIXES, Given, Original, read_original, without_classifier
from vggnumpy.formats.weights import read_weights, write_weights

OUTPUT_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes
    ----------
    source, output : str
        The files, as given.
    family : str
        What the source was recognised as.
    architecture : str
        Name of the layer table, such as ``"vgg19"``.
    layers : tuple of str
        The convolutions that were converted, in the order of the table.
    left_out : tuple of str
        What of the source is not in the output: arrays that belong to no layer, and the classifier if it was not
        wanted.
    conventions : tuple of str
        What bare arrays do not say, a phrase each, ending in ``(assumed)``, ``(given)`` or ``(in the file)``.
    digest : str
        The weights file's digest; of a ``.mat`` the SHA-256 of the file.
    """

    source: str
    output: str
    family: str
    architecture: str
    layers: tuple[str, ...]
    left_out: tuple[str, ...]
    conventions: tuple[str, ...]
    digest: str


def convert(
    source: PathLike,
    out: PathLike,
    *,
    architecture: str | None = None,
    input_convention: str | None = None,
    pad_mode: str | None = None,
    pool_rounding: str | None = None,
    license: str | None = None,
    classifier: bool = True,
) -> Conversion:
    """Convert original weights into a weights file, or networks into MatConvNet's; what is given wins over assumptions.

    Parameters
    ----------
    source : str or os.PathLike
        An original: MatConvNet ``.mat``, PyTorch ``.pth`` or ``.pt``, Caffe ``.caffemodel``, Keras ``.h5``, Torch7
        ``.t7``, ``.safetensors`` or ``.npz``; or, if `out` is a ``.mat``, a weights file.
    out : str or os.PathLike
        The ``.h5``, or MatConvNet's ``.mat``, to write, whole or not at all.
    architecture : str, optional
        One of `nets.ARCHITECTURES`; needed where layers have bare numbers.  Else the names tell, and ``"vgg19"`` is
        taken where several fit.
    input_convention : str, optional
        Channel order, mean and range that the first layer expects, one of `families.INPUTS`; needed where the family
        does not tell.
    pad_mode : {"zero", "reflect", "replicate"}, optional
        What the padding of the convolutions holds.
    pool_rounding : {"floor", "ceil"}, optional
        Whether pools drop or keep an incomplete last window.
    license : str, optional
        Recorded in the output; if not given, what the source's digest tells, else ``"not stated"``.
    classifier : bool
        Whether to keep the layers that only name the picture's class: most of a VGG's numbers, of no use in painting.

    Returns
    -------
    Conversion

    Raises
    ------
    InputError
        In one sentence, if the source cannot be read or is no such network, its first layer is a known one with axes
        or channels the wrong way round, or the output cannot be written.
    """
    suffix, target = Path(source).suffix.lower(), Path(out).suffix.lower()
    if suffix not in (*SUFFIXES, *OUTPUT_SUFFIXES):
        raise InputError(f"{source}: expected original weights in a file of type {', '.join(SUFFIXES)}")
    if target not in (*OUTPUT_SUFFIXES, ".mat"):
        raise InputError(f"{out}: a weights file must be named {' or '.join(OUTPUT_SUFFIXES)}, MatConvNet's .mat")
    check_output(out)
    if Path(source).exists() and Path(out).exists() and os.path.samefile(source, out):
        raise InputError(f"{out}: this is the source itself, which would be lost; give the output another name")
    given = Given(architecture, input_convention, pad_mode, pool_rounding, license)
    if suffix in OUTPUT_SUFFIXES and Path(source).is_file() and not is_keras_file(source):
        original = _from_weights_file(source, target, given)
    else:
        original = read_original(source, given)
        try:
            check_first_layer(original.net)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
    if not classifier:
        original = without_classifier(original)
    if target == ".mat":
        from vggnumpy.formats.mat_writer import write_mat

        write_mat(out, original.net)
        digest = sha256(out)
    else:
        digest = write_weights(out, original.net, original.stored)
    return Conversion(
        source=os.fspath(source),
        output=os.fspath(out),
        family=original.family,
        architecture=original.net.name,
        layers=tuple(layer.name for layer in original.net.table if layer.kind == "conv"),
        left_out=original.left_out,
        conventions=original.conventions,
        digest=digest,
    )


def _from_weights_file(source: PathLike, target: str, given: Given) -> Original:
    """Return the network of one of our own files, which need no conversion except to MatConvNet's format."""
    net = read_weights(source)
    if net.provenance["stored"] == "float64":
        net = read_weights(source, "float64")
    if target != ".mat":
        raise InputError(f"{source}: this is a weights file of vggnumpy already; it can be converted to a .mat only")
    if any(given):
        raise InputError(f"{source}: a weights file says itself what its network expects; leave the options out")
    return Original(net, str(net.dtype), "a weights file of vggnumpy", (), ())
