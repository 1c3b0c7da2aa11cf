r"""A style at several sizes, with where it came from: what a style file holds, and what stands for a picture.

`transfer` paints at several sizes, coarse to fine, and takes a style picture's Gram matrices anew at each.  The same
picture's matrices at another size are others, even per position: what is an edge at one size is a stroke at the next.
Measured on vggnumpy's four paintings, ‖A − A₅₁₂‖/‖A₅₁₂‖ at a long side of 128 pixels is 0.1 to 1 at every layer.  So
one matrix a layer would not do, and a style is kept at the sizes that a transfer goes through: its largest, half of
that, and so on down to 128.

At a size between two of them the matrices per position are interpolated linearly in the logarithm of the size,

    A(s) = (1 − t) A(a) + t A(b),      t = log(s/a) / log(b/a),      a ≤ s ≤ b.

At 384 pixels, between 256 and 512, that misses the true matrix by 1 to 6 % (mostly 10 % for a picture of fine dots),
where the nearest of the two misses it by 1 to 22 % (38 %).  Beyond the ends the nearest size stands.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.backend import NUMPY, Backend
from vggnumpy.engine import engine_for
from vggnumpy.errors import InputError
from vggnumpy.estimate import evaluation_bytes
from vggnumpy.files import sha256
from vggnumpy.images import MIN_SIDE, fit_size, read_image, resize, to_uint8
from vggnumpy.losses import GramStatistics
from vggnumpy.nets.identity import features_digest
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.presets import STYLE_LAYERS
from vggnumpy.styles import mix_styles, style_of
from vggnumpy.system import available_memory

DEFAULT_SIZE = 512
_COARSEST = 128  # long side of the smallest size at least, as in a transfer
THUMBNAIL = 96  # long side of the small picture that a style is recognised by

Grams = Mapping[LayerKey, GramStatistics]


@dataclass(frozen=True, eq=False)
class MultiscaleStyle:
    """A style at several sizes.  Not to be written to.

    Attributes
    ----------
    grams : dict
        Long side in pixels, ascending → layer → Gram matrix C×C and the number of positions it was summed over.
    digests : dict
        Layer → `vggnumpy.nets.identity.features_digest` of the network that saw the pictures.
    network : dict
        ``name``, ``file`` (the weights file's name, if it had one), ``pooling`` and ``pad_mode`` of that network, for
        people.
    recipe : dict
        How it was made: ``made`` is ``picture`` (with ``name``, ``sha256``, ``height`` and ``width``), ``mean``,
        ``eigengram``, ``mixture`` (with ``weights``), ``edit`` or ``synthetic``; ``of`` lists the recipes of what it
        was made from.
    preview : ndarray, H×W×3, uint8
        Something to recognise it by.
    """

    grams: Mapping[int, Grams]
    digests: Mapping[str, str]
    network: Mapping[str, str]
    recipe: Mapping[str, Any]
    preview: np.ndarray = field(repr=False)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The long sides, ascending."""
        return tuple(self.grams)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, as the style was computed at them."""
        return tuple(self.digests)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        dtype: np.dtype[Any] = self.grams[self.sizes[0]][self.layers[0]].matrix.dtype
        return dtype

    def at(self, long_side: float, backend: Backend = NUMPY) -> dict[LayerKey, GramStatistics]:
        """Return the style for a picture of a long side: as stored, or interpolated as this module says.

        Parameters
        ----------
        long_side : float
            In pixels, of the style picture that this stands for.
        backend : Backend
            Where the matrices shall be.
        """
        inside = min(max(long_side, self.sizes[0]), self.sizes[-1])
        below = max(size for size in self.sizes if size <= inside)
        above = min(size for size in self.sizes if size >= inside)
        grams = self.grams[below]
        if below < above:
            t = math.log(inside / below) / math.log(above / below)
            grams = mix_styles([grams, self.grams[above]], [1 - t, t])
        return {layer: GramStatistics(backend.xp.asarray(A), positions) for layer, (A, positions) in grams.items()}

    def check(self, net: Network, layers: Iterable[LayerKey], name: str = "the style") -> None:
        """Raise `InputError`, calling the style by `name`, unless it can be used with a network at some layers."""
        for layer in map(net.layer_name, layers):
            if layer not in self.digests:
                raise InputError(
                    f"{name} has no Gram matrix for layer {layer}, but for {', '.join(self.layers)}; take the style "
                    "from those, or compute it again with that layer"
                )
            if self.digests[layer] != features_digest(net, layer):
                mine, other = (described(facts) for facts in (self.network, network_facts(net)))
                other = f"one of the same name and other weights, {other}" if mine == other else other
                raise InputError(
                    f"{name} was computed with the network {mine}, and this is {other}; use that network, or "
                    "compute the style again with this one"
                )


def network_facts(net: Network) -> dict[str, str]:
    """Return what a style keeps of its network for people to read."""
    methods = sorted({row.method for row in net.table if row.kind == "pool"})
    return {
        "name": net.name,
        "file": str(net.provenance.get("file", "")),
        "pooling": " and ".join(methods) or "no",
        "pad_mode": net.pad_mode,
    }


def described(facts: Mapping[str, str]) -> str:
    """Say which network `network_facts` speaks of."""
    where = f" ({facts['file']})" if facts["file"] else ""
    return f"{facts['name']}{where} with {facts['pooling']} pooling and {facts['pad_mode']} padding"


def style_sizes(size: int) -> list[int]:
    """Return the long sides at which a style is kept, ascending: `size` and its halves that are 128 or more.

    Raises
    ------
    InputError
        If the size is no whole number of at least 16.
    """
    if not isinstance(size, int) or size < MIN_SIDE:
        raise InputError(f"the size of a style must be a long side of at least {MIN_SIDE} pixels, got {size!r}")
    sizes = [size]
    while sizes[0] // 2 >= _COARSEST:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def picture_style(
    net: Network,
    picture: str | Path | np.ndarray,
    layers: Iterable[LayerKey] | None = None,
    size: int = DEFAULT_SIZE,
) -> MultiscaleStyle:
    """Return a picture's style at several sizes.

    A transfer whose sizes are among these, through the same network, gives the same bits with it as with the picture.

    Parameters
    ----------
    net : Network
        On the host, with the pooling and the padding that the transfer will have.
    picture : path or ndarray, H×W×3, RGB 0–255
    layers : iterable of str or int, optional
        By default all of relu1_1, relu2_1, … relu5_1 that the network has.
    size : int
        The largest long side; see `style_sizes`.

    Raises
    ------
    InputError
        If the picture cannot be read, the network has no such layer, the size is none, or the memory does not suffice.
    """
    named = [net.layer_name(layer) for layer in (_usual_layers(net) if layers is None else layers)]
    if not named or len(set(named)) < len(named):
        raise InputError(f"a style needs layers, each once; got {', '.join(named) or 'none'}")
    sides = style_sizes(size)
    pixels = read_image(picture) if not isinstance(picture, np.ndarray) else picture
    if pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape) < 1:
        raise InputError(f"a style picture must be H×W×3, got shape {pixels.shape}")
    height, width = pixels.shape[:2]
    smallest = -(-MIN_SIDE * max(height, width) // min(height, width))  # so that the short side has 16 pixels
    shapes = {side: fit_size(height, width, max(side, smallest)) for side in sides}
    needed, available = evaluation_bytes(net, (), named, shapes[size]), available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"a style of {size} pixels needs about {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are "
            "free; use a smaller size"
        )
    floats = pixels.astype(np.float32, copy=False)
    digest = hashlib.sha256(np.ascontiguousarray(floats).data).hexdigest()
    from_file = not isinstance(picture, np.ndarray)
    return MultiscaleStyle(
        {side: grams_of(net, resize(floats, shape).astype(net.dtype), named) for side, shape in shapes.items()},
        {layer: features_digest(net, layer) for layer in named},
        network_facts(net),
        {
            "made": "picture",
            "name": Path(str(picture)).name if from_file else "",
            "sha256": sha256(str(picture)) if from_file else digest,
            "height": height,
            "width": width,
        },
        to_uint8(resize(floats, (_thumbnail(height, height, width), _thumbnail(width, height, width)))),
    )


def _thumbnail(side: int, height: int, width: int) -> int:
    """Return a side of the small picture: of one as narrow as a thread a single pixel is left."""
    return max(1, round(side * THUMBNAIL / max(height, width)))


def _usual_layers(net: Network) -> Sequence[LayerKey]:
    layers = [layer for layer in STYLE_LAYERS if layer in net.layers]
    if not layers:
        raise InputError(f"network {net.name} has none of the usual style layers ({STYLE_LAYERS[0]} …); name some")
    return layers


def grams_of(net: Network, pixels: np.ndarray, layers: Sequence[str]) -> dict[LayerKey, GramStatistics]:
    """Return an image's Gram matrices, computed as an objective computes them: by the engine where it can."""
    engine = engine_for(net, set(layers), pixels.shape) if net.dtype == np.float32 else None
    found = style_of(net, pixels, layers) if engine is None else engine.forward(pixels, layers)[0]
    return {layer: GramStatistics(*found[layer]) for layer in layers}
