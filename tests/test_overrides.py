"""Settings in place of a preset's: what has no effect is refused, not passed over."""

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.nets import architecture, random_network
from vggnumpy.overrides import overridden
from vggnumpy.plan import plan_transfer
from vggnumpy.presets import preset
from vggnumpy.regions import hard_regions
from vggnumpy.spatial import Placement

NET = random_network(architecture("vgg19")[:7], rng=0)
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype("uint8")
HALVES = hard_regions(np.arange(48)[:, None] // 24 + np.zeros((1, 48), int), [(0, 0, 0), (255, 255, 255)])
PLACED = Placement(HALVES, (HALVES,))


@pytest.mark.parametrize(
    ("idle", "words", "used"),
    [
        ({"radius": 4}, "the radius has no effect here, it needs the style loss local or", {"style_loss": "local"}),
        ({"radius": 8}, "or covariation: give that or leave the radius out", {"style_loss": "covariation"}),
        ({"feather": 0.1}, "the feather has no effect here, it needs masks, the content's at", {"placement": PLACED}),
        ({"mask_way": "inside"}, "the mask way has no effect here, it needs masks", {"placement": PLACED}),
        ({"strength": 2, "color": "recolor"}, "the strength has no effect here, it needs a color", {"color": "style"}),
        ({"fine_style": PICTURE, "color": "recolor"}, "the fine style has no effect here", {"color": "style"}),
    ],
)
def test_what_would_have_no_effect_is_refused(idle, words, used):
    given = {"net": NET, "size": 48, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0}, "content_layers": {"relu1_2": 1}}
    with pytest.raises(InputError, match=words):
        plan_transfer(PICTURE, PICTURE, **given, **idle)
    plan_transfer(PICTURE, PICTURE, **{**given, **idle, **used})


def test_weight_and_power_of_the_size_regulariser_belong_together():
    default = preset("default")
    assert (default.size_penalty, default.size_power) == (30, 12)
    alone = overridden(default, {"size_penalty": 0.1})
    assert (alone.size_penalty, alone.size_power) == (0.1, 2)
    both = overridden(default, {"size_penalty": 0.1, "size_power": 6})
    assert (both.size_penalty, both.size_power) == (0.1, 6)
    with pytest.raises(InputError, match="a size power needs a size penalty"):
        overridden(default, {"size_power": 6})


def test_another_normalization_leaves_a_steep_size_regulariser_out():
    """|x − c|¹² of pixels counted from 0 to 255 would be all that there is."""
    assert overridden(preset("default"), {"normalization": "gatys"}).size_penalty == 0
    assert overridden(preset("default"), {"normalization": "relative"}).size_penalty == 30
    assert overridden(preset("report"), {"normalization": "gatys"}).size_penalty == preset("report").size_penalty
