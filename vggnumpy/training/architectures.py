"""What can be trained by name: layer tables for pictures of 32×32 pixels in ten classes.

============== =======================================================================================================
``small-vgg``  the network that comes with vggnumpy: 64, 64 – 128, 128 – 256, 256 – 512 channels, every convolution
               normalised over the batch, then the mean over all positions
``paper``      the Columbia report's first: 64, 64 – 128, 128 – 256, 256, 256, two hidden layers of 4096
``paper-deep`` its second: VGG-16's blocks of 64 to 512 channels, convolutions without padding, pools that keep the size
============== =======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from vggnumpy.errors import InputError
from vggnumpy.nets.tables import Layer, chain, conv, fully_connected, pool, relu

CLASSES = 10


def training_table(name: str, dropout: float = 0.0) -> tuple[Layer, ...]:
    """Return an architecture's layers.

    Parameters
    ----------
    name : str
        One of `TABLES`.
    dropout : float
        Share of the entries dropped after each hidden layer of the classifier, if there are any.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in TABLES:
        raise InputError(f"there is no architecture {name!r} to train; known are {', '.join(TABLES)}")
    return TABLES[name](dropout)


def _blocks(widths: Iterable[Iterable[int]], pad: int, normalised: bool, pooling: Layer | None) -> list[Layer]:
    """Return convolutions with their rectifiers in blocks, each ended by a pool; the last without if none is given."""
    layers: list[Layer] = []
    for block, channels in enumerate(widths, start=1):
        if block > 1 and pooling is None:
            layers.append(pool(f"pool{block - 1}"))
        for i, width in enumerate(channels, start=1):
            layers.append(conv(f"conv{block}_{i}", width, 3, pad))
            if normalised:
                layers.append(Layer(f"bn{block}_{i}", "bnorm", ()))
            layers.append(relu(f"relu{block}_{i}"))
        if pooling is not None:
            layers.append(pool(f"pool{block}", pooling.size[0], pooling.stride[0], pad=pooling.pad))
    return layers


def _small_vgg(dropout: float) -> tuple[Layer, ...]:
    layers = _blocks(((64, 64), (128, 128), (256, 256), (512,)), 1, True, None)
    mean = Layer("pool4", "pool", (), (0, 0), method="average")
    return chain([*layers, mean, *_classifier([], 1, dropout)])


def _paper(dropout: float) -> tuple[Layer, ...]:
    layers = _blocks(((64, 64), (128, 128), (256, 256, 256)), 1, False, pool("pool"))
    return chain([*layers, *_classifier([4096, 4096], 4, dropout)])


def _paper_deep(dropout: float) -> tuple[Layer, ...]:
    widths = (64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3
    layers = _blocks(widths, 0, False, pool("pool", 2, 1, pad=(0, 1, 0, 1)))
    return chain([*layers, *_classifier([4096, 4096], 6, dropout)])


def _classifier(hidden: list[int], size: int, dropout: float) -> list[Layer]:
    """Return fully connected layers, the first of which sees `size`×`size` positions, and the softmax."""
    layers: list[Layer] = []
    for number, width in enumerate(hidden, start=1):
        layers += [fully_connected(f"fc{number}", width, size), relu(f"relu_fc{number}")]
        if dropout:
            layers.append(Layer(f"dropout{number}", "dropout", (), rate=dropout))
        size = 1
    return [*layers, fully_connected(f"fc{len(hidden) + 1}", CLASSES, size), Layer("prob", "softmax", ())]


TABLES = {"small-vgg": _small_vgg, "paper": _paper, "paper-deep": _paper_deep}
