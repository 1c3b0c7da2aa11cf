"""The published networks as layer tables: what convolves, rectifies and pools in which order, and the classifier.

=============== ======================================================================================================
``vgg16``       Simonyan and Zisserman 2014, table 1, column D
``vgg19``       the same, column E
``vgg-face``    Parkhi, Vedaldi and Zisserman 2015: VGG-16 for the faces of 2622 people
``alexnet``     Krizhevsky et al. 2012 as Caffe's bvlc_alexnet: normalisation before the pool, two groups
``googlenet``   Szegedy et al. 2014 as Caffe's bvlc_googlenet, without the two side classifiers
``squeezenet1_0``, ``squeezenet1_1``
                Iandola et al. 2016, the authors' releases
``squeezenet1_0-torchvision``
                the first without the padding of its last layer
``squeezenet1_0-tflite``
                the first as TensorFlow Lite has it: padded at the bottom and right, a class 0 for the background
``onet``        the output net of MTCNN (Zhang et al. 2016): is a picture of 48×48 pixels a face, and where
=============== ======================================================================================================

Names are Caffe's, with an underscore for every slash: ``inception_3a_1x1``, ``fire2_squeeze1x1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vggnumpy.errors import InputError
from vggnumpy.nets.tables import Layer, chain, conv, fully_connected, pool, relu


def _vgg(blocks: Iterable[tuple[int, int]]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for number, (count, channels) in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            layers += [conv(f"conv{number}_{i}", channels), relu(f"relu{number}_{i}")]
        layers.append(pool(f"pool{number}"))
    return chain(layers)


def _two_hidden_layers(size: int, classes: int) -> tuple[Layer, ...]:
    """Return the classifier of AlexNet and VGG, whose first layer sees a map of `size`×`size` positions."""
    return _chain_after(
        "pool5",
        fully_connected("fc6", 4096, size),
        relu("relu6"),
        fully_connected("fc7", 4096),
        relu("relu7"),
        fully_connected("fc8", classes),
        Layer("prob", "softmax", ()),
    )


def _chain_after(before: str, *layers: Layer) -> tuple[Layer, ...]:
    """Return a chain that goes on from another table's layer."""
    first, *rest = chain(layers)
    return (replace(first, inputs=(before,)), *rest)


def _alexnet() -> tuple[Layer, ...]:
    return chain(
        [
            conv("conv1", 96, 11, 0, stride=(4, 4)),
            relu("relu1"),
            Layer("norm1", "lrn", ()),
            pool("pool1", 3, rounding="ceil"),
            conv("conv2", 256, 5, 2, groups=2),
            relu("relu2"),
            Layer("norm2", "lrn", ()),
            pool("pool2", 3, rounding="ceil"),
            conv("conv3", 384),
            relu("relu3"),
            conv("conv4", 384, groups=2),
            relu("relu4"),
            conv("conv5", 256, groups=2),
            relu("relu5"),
            pool("pool5", 3, rounding="ceil"),
        ]
    )


def _inception(
    name: str, before: str, single: int, reduce3: int, wide3: int, reduce5: int, wide5: int, pooled: int
) -> list[Layer]:
    """Return an inception module: 1×1, 3×3, 5×5 and pooled branches of one input, joined along the channels."""

    def rectified(branch: str, channels: int, size: int, source: str) -> list[Layer]:
        layer = conv(f"inception_{name}_{branch}", channels, size, size // 2, (source,))
        return [layer, relu(f"inception_{name}_relu_{branch}", (layer.name,))]

    pooling = pool(f"inception_{name}_pool", 3, 1, (before,), pad=(1, 1, 1, 1))
    branches = [
        rectified("1x1", single, 1, before),
        rectified("3x3_reduce", reduce3, 1, before) + rectified("3x3", wide3, 3, f"inception_{name}_relu_3x3_reduce"),
        rectified("5x5_reduce", reduce5, 1, before) + rectified("5x5", wide5, 5, f"inception_{name}_relu_5x5_reduce"),
        [pooling, *rectified("pool_proj", pooled, 1, pooling.name)],
    ]
    joined = Layer(f"inception_{name}_output", "concat", tuple(branch[-1].name for branch in branches))
    return [*(layer for branch in branches for layer in branch), joined]


# Per module: 1×1, 3×3 reduction, 3×3, 5×5 reduction, 5×5, after the pool (Szegedy et al. 2014, table 1).
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _googlenet() -> tuple[Layer, ...]:
    layers = [
        conv("conv1_7x7_s2", 64, 7, 3, stride=(2, 2)),
        relu("conv1_relu_7x7"),
        pool("pool1_3x3_s2", 3, rounding="ceil"),
        Layer("pool1_norm1", "lrn", ()),
        conv("conv2_3x3_reduce", 64, 1, 0),
        relu("conv2_relu_3x3_reduce"),
        conv("conv2_3x3", 192),
        relu("conv2_relu_3x3"),
        Layer("conv2_norm2", "lrn", ()),
        pool("pool2_3x3_s2", 3, rounding="ceil"),
    ]
    for name, widths in INCEPTIONS.items():
        layers += _inception(name, layers[-1].name, *widths)
        if name in ("3b", "4e"):
            layers.append(pool(f"pool{int(name[0])}_3x3_s2", 3, rounding="ceil"))
    return chain(layers)


def _fire(number: int, before: str, squeezed: int, expanded: int) -> list[Layer]:
    """Return a fire module: 1×1 filters that squeeze the channels, then 1×1 and 3×3 filters that expand them."""
    fire = f"fire{number}"
    return [
        conv(f"{fire}_squeeze1x1", squeezed, 1, 0, (before,)),
        relu(f"{fire}_relu_squeeze1x1", (f"{fire}_squeeze1x1",)),
        conv(f"{fire}_expand1x1", expanded, 1, 0, (f"{fire}_relu_squeeze1x1",)),
        relu(f"{fire}_relu_expand1x1", (f"{fire}_expand1x1",)),
        conv(f"{fire}_expand3x3", expanded, 3, 1, (f"{fire}_relu_squeeze1x1",)),
        relu(f"{fire}_relu_expand3x3", (f"{fire}_expand3x3",)),
        Layer(f"{fire}_concat", "concat", (f"{fire}_relu_expand1x1", f"{fire}_relu_expand3x3")),
    ]


# Squeezed and expanded channels of fire2 … fire9 (Iandola et al. 2016, table 1).
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _squeezenet(first: Layer, pools_after: tuple[int, ...], rounding: str = "ceil") -> tuple[Layer, ...]:
    """Return a SqueezeNet; its versions differ in their first layer and in the modules that a pool follows."""
    layers = [first, relu("relu_conv1"), pool("pool1", 3, rounding=rounding)]
    for number, widths in enumerate(FIRES, start=2):
        layers += _fire(number, layers[-1].name, *widths)
        if number in pools_after:
            layers.append(pool(f"pool{number}", 3, rounding=rounding))
    return chain(layers)


def _squeezenet_classifier(pad: int, classes: int = 1000) -> tuple[Layer, ...]:
    return _chain_after(
        "fire9_concat",
        conv("conv10", classes, 1, pad),
        relu("relu_conv10"),
        Layer("pool10", "pool", (), (0, 0), method="average"),
        Layer("prob", "softmax", ()),
    )


def _onet() -> tuple[Layer, ...]:
    layers = []
    for number, (channels, size) in enumerate([(32, 3), (64, 3), (64, 3), (128, 2)], start=1):
        layers += [conv(f"conv{number}", channels, size, 0), Layer(f"prelu{number}", "prelu", ())]
        if number < 4:
            # TensorFlow's "same" padding, which its conversion used for the first and the third pool.
            layers.append(pool(f"pool{number}", 2 if number == 3 else 3, rounding="floor" if number == 2 else "ceil"))
    return chain(layers)


_ONET_CLASSIFIER = (
    fully_connected("conv5", 256, 3, ("prelu4",)),
    Layer("prelu5", "prelu", ("conv5",)),
    fully_connected("conv6_2", 4, inputs=("prelu5",)),
    fully_connected("conv6_3", 10, inputs=("prelu5",)),
    fully_connected("conv6_1", 2, inputs=("prelu5",)),
    Layer("prob", "softmax", ("conv6_1",)),
)

_VGG16 = _vgg([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)])

# What a picture of any size goes through, without the classifier.
ARCHITECTURES: dict[str, tuple[Layer, ...]] = {
    "vgg16": _VGG16,
    "vgg19": _vgg([(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)]),
    "vgg-face": _VGG16,
    "alexnet": _alexnet(),
    "googlenet": _googlenet(),
    "squeezenet1_0": _squeezenet(conv("conv1", 96, 7, 0, stride=(2, 2)), (4, 8)),
    "squeezenet1_1": _squeezenet(conv("conv1", 64, 3, 0, stride=(2, 2)), (3, 5)),
    "squeezenet1_0-torchvision": _squeezenet(conv("conv1", 96, 7, 0, stride=(2, 2)), (4, 8)),
    "squeezenet1_0-tflite": _squeezenet(
        Layer("conv1", "conv", (), (7, 7), 96, stride=(2, 2), pad=(2, 3, 2, 3)), (4, 8), "floor"
    ),
    "onet": _onet(),
}
CLASSIFIERS: dict[str, tuple[Layer, ...]] = {
    "vgg16": _two_hidden_layers(7, 1000),
    "vgg19": _two_hidden_layers(7, 1000),
    "vgg-face": _two_hidden_layers(7, 2622),
    "alexnet": _two_hidden_layers(6, 1000),
    "googlenet": _chain_after(
        "inception_5b_output",
        Layer("pool5_7x7_s1", "pool", (), (7, 7), method="average"),
        fully_connected("loss3_classifier", 1000),
        Layer("prob", "softmax", ()),
    ),
    "squeezenet1_0": _squeezenet_classifier(1),
    "squeezenet1_1": _squeezenet_classifier(0),
    "squeezenet1_0-torchvision": _squeezenet_classifier(0),
    "squeezenet1_0-tflite": _squeezenet_classifier(0, 1001),
    "onet": _ONET_CLASSIFIER,
}
# Height and width of the pictures that each classifier was trained on.
IMAGE_SIZES = {
    "vgg16": (224, 224),
    "vgg19": (224, 224),
    "vgg-face": (224, 224),
    "alexnet": (227, 227),
    "googlenet": (224, 224),
    "squeezenet1_0": (227, 227),
    "squeezenet1_1": (227, 227),
    "squeezenet1_0-torchvision": (224, 224),
    "squeezenet1_0-tflite": (224, 224),
    "onet": (48, 48),
}


def architecture(name: str, classifier: bool = False) -> tuple[Layer, ...]:
    """Return the layer table of a known architecture, with its classifier if asked for.

    Raises
    ------
    InputError
        If the name is unknown; the message lists the known ones.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"architecture {name!r} is unknown; expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name] + CLASSIFIERS[name] * classifier
