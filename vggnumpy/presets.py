"""Presets: the settings of a transfer that belong together, after the papers and programs they come from.

A weight means what the preset's normalisation makes it mean (see `vggnumpy.losses`).  Under ``relative``, which our
own preset uses, a loss is 1 when everything of its target is missing, so the weights carry over from one size and one
network to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vggnumpy.errors import InputError
from vggnumpy.nets.network import LayerKey, Network

STARTS = ("content", "noise", "style")
STYLE_LAYERS: tuple[LayerKey, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
# Where our own preset takes the content, the first of these layers that the network has, and its weight.  Chosen by
# eye: ten times as much leaves a photograph with brush marks, a tenth dissolves eyes and mouths.  Random filters hold a
# face less firmly than trained ones, and the less the deeper they are.
CONTENT: tuple[tuple[LayerKey, ...], float] = ("relu3_2", "relu2_2"), 0.01
UNTRAINED_CONTENT: tuple[tuple[LayerKey, ...], float] = ("relu2_2",), 0.04
# A network that was trained on small pictures, as the built-in one, sees most of one from its third block: content from
# there lets a fine grain through, and a face goes sooner.
SMALL_CONTENT: tuple[tuple[LayerKey, ...], float] = ("relu2_2",), 0.01
_SMALL = 64  # pixels
# What corresponds to them in networks of other families: the style's four layers, one at each size of the maps, and the
# content's, which is not deeper than its second.
FAMILIES: dict[str, tuple[tuple[LayerKey, ...], LayerKey]] = {
    "alexnet": (("relu1", "relu2", "relu3", "relu4"), "relu2"),
    "googlenet": (
        ("conv1_relu_7x7", "conv2_relu_3x3", "inception_3a_output", "inception_4a_output"),
        "conv2_relu_3x3",
    ),
    "squeezenet": (("relu_conv1", "fire2_concat", "fire4_concat", "fire6_concat"), "fire2_concat"),
}


def each(layers: tuple[LayerKey, ...], weight: float) -> dict[LayerKey, float]:
    """Return every layer with the same weight."""
    return dict.fromkeys(layers, weight)


@dataclass(frozen=True)
class Settings:
    """Everything that determines a transfer besides its images, its network's weights and its size.

    Attributes
    ----------
    source : str
        Where the settings come from, and how they differ from there.
    content_layers, style_layers : dict or None
        Layer → weight.  None means our own choice among the layers that the network has.
    normalization : str
        Of the losses, see `vggnumpy.losses`.
    variation, variation_beta : float, float or "l1"
        Weight and exponent of the variation regulariser.
    size_penalty, size_power : float
        Weight and exponent of the size regulariser; a weight that is given alone has the exponent 2.
    start : str
        ``"content"``, ``"noise"``, ``"style"`` or the path of an image.
    optimizer : str
        A method of `vggnumpy.optimize.minimize`.
    optimizer_options : dict
        Its options; a pair (first, last) as rate falls linearly over the iterations of a scale.
    pooling, pad_mode : str or None
        What the network's pools compute and its padding holds; None keeps the weights file's.
    iterations : int
        Accepted iterations in all, shared evenly among the scales.
    scales : int or None
        Number of sizes gone through, each twice the one before; None begins at a long side of at least `coarsest`.
    coarsest : int
        In pixels.
    style_scale : float
        Long side of the style images in units of the result's long side; 1 where the style loss compares places.
    margin : int
        Pixels, at least, by which the pictures are extended on all sides by reflection while they are painted; cut off
        again.  Both sides then are multiples of 16, so that no pool meets an incomplete window, and what the network's
        padding does to the border stays outside the picture.  See `vggnumpy.scale`.  0 extends nothing.
    style_loss : str
        One of `vggnumpy.style_terms.STYLE_LOSSES`: by Gram matrices, or by something that knows of places or patches.
    patch_layers : dict or None
        Layer → weight, of patches (`vggnumpy.losses.patches`) that are matched beside the Gram matrices.
    radius : int
        Of the windows of ``local`` and ``covariation``, in positions of a layer.
    mask_way : str
        How the masks of regions reach a layer, one of `vggnumpy.nets.masks.WAYS`.
    feather : float
        Width of the band in which neighbouring regions blend, in parts of the long side; 0 keeps the mask's own edges.
    first_step : float
        Mean change of a pixel in the first step of L-BFGS, in grey levels.
    color : str
        Whose colours the result has, one of `vggnumpy.color_control.COLORS`.
    strength : float or None
        How strongly the style is laid on, from 0.1 (hardly) over 1 to 10 (as strongly as it can be): the content's
        weights are multiplied by a factor that is found by trial, see `vggnumpy.strength`.  None takes them as given.
    balanced : bool
        Whether the content's weights are those that the strength asks for already, as in the record of a run: painted
        from its settings a picture is the same to the bit, and no trials are made.
    precision : str
        On a GPU: ``"fp32"``, ``"tf32"`` or ``"bf16"``, see `vggnumpy.engine.cuda`.
    """

    source: str
    content_layers: dict[LayerKey, float] | None = None
    style_layers: dict[LayerKey, float] | None = None
    normalization: str = "relative"
    variation: float = 0.0
    variation_beta: float | str = 2
    size_penalty: float = 0.0
    size_power: float = 2
    start: str = "content"
    optimizer: str = "lbfgs"
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    pooling: str | None = "average"
    pad_mode: str | None = None
    iterations: int = 300
    scales: int | None = None
    coarsest: int = 128
    style_scale: float = 1.0
    margin: int = 0
    style_loss: str = "gram"
    patch_layers: dict[LayerKey, float] | None = None
    radius: int = 8
    mask_way: str = "area"
    feather: float = 0.01
    first_step: float = 0.5
    color: str = "style"
    strength: float | None = None
    balanced: bool = False
    precision: str = "fp32"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-ready dictionary."""
        return asdict(self)


PRESETS: dict[str, Settings] = {
    "default": Settings(
        "ours: the first four style layers of Gatys et al. 2016; the content less deep than theirs, which keeps faces",
        variation=0.5,
        size_penalty=30.0,  # little from 0 to 255, and steep beyond, where pixels are clipped
        size_power=12,
        margin=8,
    ),
    "report": Settings(
        "the MatConvNet report on face portraits, which prints no weights, layers, rate or memory: those are ours; "
        "content at its layer 13, L-BFGS with a fixed rate, from noise, with size and variation",
        content_layers={"conv3_2": 0.3},
        style_layers=each(STYLE_LAYERS, 0.2),
        variation=0.5,
        size_penalty=0.002,
        start="noise",
        optimizer="lbfgs-fixed",
        optimizer_options={"rate": 1.0},
        pooling=None,
        scales=1,
    ),
    "cs229": Settings(
        "the CS229 report on spatial control, with Gram matrices divided by their size as its weights require",
        content_layers={"conv4_2": 1e-4},
        style_layers=each(("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), 1.0),
        normalization="mean_square",
        variation=1e-5,
        variation_beta="l1",
        start="noise",
        optimizer="adam",
        optimizer_options={"rate": (10.0, 1.0)},
        iterations=400,
        scales=1,
    ),
    "gatys": Settings(
        "Gatys, Ecker and Bethge 2016: alpha/beta = 1e-3, style layers of weight 1/5, average pooling, from noise",
        content_layers={"relu4_2": 1e-3},
        style_layers=each(STYLE_LAYERS, 0.2),
        normalization="gatys",
        start="noise",
        iterations=500,
        scales=1,
    ),
    "neural-style": Settings(
        "neural-style by Johnson: content 5, style 100, variation 1e-3; its variation has a gradient but no value, "
        "here both, and our line search stands for its fixed step",
        content_layers={"relu4_2": 5.0},
        style_layers=each(STYLE_LAYERS, 100.0),
        normalization="mean_square",
        variation=1e-3,
        start="noise",
        pooling="max",
        iterations=1000,
        scales=1,
    ),
    "columbia": Settings(
        "the Columbia report: four style layers, style over content 1000, after its printed Gatys form",
        content_layers={"relu4_2": 1e-3},
        style_layers=each(STYLE_LAYERS[:4], 0.25),
        normalization="gatys",
        start="noise",
        pooling="max",
        iterations=500,
        scales=1,
    ),
    "nikulin-novak": Settings(
        "Nikulin and Novak 2016, built on neuralart by Tai: 500 iterations on normalised VGG-19 from the content",
        content_layers={"relu4_2": 1.0},
        style_layers=each(STYLE_LAYERS, 4e8),
        normalization="mean_square",
        iterations=500,
        scales=1,
    ),
}


def preset(name: str) -> Settings:
    """Return the settings of that name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is unknown; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]


def choose_layers(settings: Settings, net: Network, ready: Sequence[str] | None = None) -> Settings:
    """Fill in layers that the settings leave open, from those that the network has.

    Style is taken at relu1_1 to relu4_1: relu5_1 has few positions at the coarse scales, most of them at the border,
    where it leaves a rim of saturated colour.  Networks without these layers have their own, see `FAMILIES`.  Style
    weights are 1/n for n layers, so that they add up to 1; the content weight is set against that sum.  Of styles that
    are computed already, `ready` names the layers: the usual ones among them, or if there are none all.

    Raises
    ------
    InputError
        If the network has none of the usual layers.
    """
    style, content = settings.style_layers, settings.content_layers
    usual, own = next((one for one in FAMILIES.values() if one[0][0] in net.layers), (STYLE_LAYERS[:4], None))
    if style is None:
        there = net.layers if ready is None else ready
        layers = tuple(layer for layer in usual if layer in there) or tuple(ready or ())
        style = each(layers, 1 / max(len(layers), 1))
    if content is None:
        small = net.image_size is not None and max(net.image_size) <= _SMALL
        trained = SMALL_CONTENT if small else CONTENT
        candidates, weight = trained if net.provenance.get("trained", True) else UNTRAINED_CONTENT
        content = each(tuple(layer for layer in (*candidates, own) if layer in net.layers)[:1], weight)
    if not style and not content:
        some = ", ".join(layer.name for layer in net.table if layer.kind in ("relu", "prelu"))[:200]
        raise InputError(
            f"network {net.name} has none of the usual layers (relu1_1 …); say which ones to take content and style "
            f"from: {some}"
        )
    return replace(settings, style_layers=style, content_layers=content)
