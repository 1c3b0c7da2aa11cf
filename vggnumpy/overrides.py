"""Settings in place of a preset's: whether they are known, within their ranges, and of any use where they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vggnumpy.color_control import COLORS
from vggnumpy.cuda.precision import PRECISIONS
from vggnumpy.errors import InputError
from vggnumpy.nets.masks import WAYS
from vggnumpy.presets import Settings
from vggnumpy.style_terms import WINDOWED, check_style_loss

STYLE_SCALES = 0.01, 100.0
"""Smallest and largest style scale."""

# What has an effect under a condition alone: what it needs, and whether that is there, seen from the settings and from
# whether there are masks.
_NEEDS: dict[str, tuple[str, Callable[[Settings, bool], bool]]] = {
    "radius": (f"the style loss {' or '.join(WINDOWED)}", lambda settings, masks: settings.style_loss in WINDOWED),
    "feather": ("masks, the content's at least", lambda settings, masks: masks),
    "mask_way": ("masks, the content's at least", lambda settings, masks: masks),
    "strength": ("a color other than recolor, which paints nothing", lambda settings, masks: _painted(settings)),
    "fine_style": ("a color other than recolor, which paints nothing", lambda settings, masks: _painted(settings)),
}


def overridden(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return settings with some of them replaced.

    Parameters
    ----------
    settings : Settings
    overrides : dict
        Name of a field → value.

    Raises
    ------
    InputError
        If a name is unknown, or a value out of its range or at odds with another.
    """
    known = [name for name in vars(settings) if name != "source"]
    for name in overrides:
        if name not in known:
            raise InputError(f"setting {name!r} is unknown; expected one of {', '.join(known)}")
    chosen = replace(settings, **_size_together(settings, overrides))
    if chosen.iterations < 1:
        raise InputError(f"iterations must be at least 1, got {chosen.iterations}")
    weights = {"variation": chosen.variation, "size penalty": chosen.size_penalty}
    for layers in (chosen.content_layers, chosen.style_layers, chosen.patch_layers):
        weights.update({f"weight of layer {layer}": weight for layer, weight in (layers or {}).items()})
    for name, weight in weights.items():
        if not 0 <= weight <= float(np.finfo(np.float32).max):
            raise InputError(f"the {name} must be a finite number, not negative, got {weight}")
    if not isinstance(chosen.start, (str, Path)):
        raise InputError("start must be content, noise, style or the path of an image")
    if chosen.color not in COLORS:
        raise InputError(f"the colours must be one of {', '.join(COLORS)}, got {chosen.color!r}")
    if chosen.precision not in PRECISIONS:
        raise InputError(f"the precision must be one of {', '.join(PRECISIONS)}, got {chosen.precision!r}")
    check_style_scale(chosen.style_scale)
    check_style_loss(chosen.style_loss, bool(chosen.patch_layers), chosen.radius, chosen.style_scale)
    if chosen.mask_way not in WAYS:
        raise InputError(f"masks are carried to layers by one of {', '.join(WAYS)}, got {chosen.mask_way!r}")
    if not 0 <= chosen.feather <= 1:
        raise InputError(f"the feather must be a part of the picture's long side from 0 to 1, got {chosen.feather}")
    if chosen.margin < 0:
        raise InputError(f"the margin must not be negative, got {chosen.margin}")
    if chosen.strength is not None and not 0 < chosen.strength < np.inf:
        raise InputError(f"the strength must be a positive number, such as 0.1, 1 or 10, got {chosen.strength}")
    return chosen


def _size_together(settings: Settings, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides in which weight and power of the size regulariser belong together, and to the normalisation.

    A weight says nothing without its power, so one that is given alone has the power 2.  And pixels to the power of 12
    are huge where they are not counted from 0 to 1: with another normalisation that term of a preset is left out.

    Raises
    ------
    InputError
        If the power is given without a weight.
    """
    chosen = dict(overrides)
    if "size_power" in chosen and "size_penalty" not in chosen:
        raise InputError("a size power needs a size penalty: give both")
    if "size_penalty" in chosen:
        chosen.setdefault("size_power", 2)
    elif settings.size_power > 2 and chosen.get("normalization", settings.normalization) != settings.normalization:
        chosen.update(size_penalty=0.0, size_power=2)
    return chosen


def check_used(given: Mapping[str, Any], settings: Settings, masks: bool) -> None:
    """Refuse what would have no effect: who gives it expects one.

    Parameters
    ----------
    given : dict
        Name → value of what the user has given; None stands for nothing.
    settings : Settings
        All of them, with the layers chosen.
    masks : bool
        Whether there are any.

    Raises
    ------
    InputError
        If something is given without what it needs, or there is a strength and nothing to balance.
    """
    for name, (what, there) in _NEEDS.items():
        if given.get(name) is not None and not there(settings, masks):
            said = name.replace("_", " ")
            raise InputError(f"the {said} has no effect here, it needs {what}: give that or leave the {said} out")
    both = any((settings.content_layers or {}).values()) and any((settings.style_layers or {}).values())
    if settings.strength is not None and not both:
        raise InputError("a strength balances content and style: give layers and weights for both")


def check_style_scale(scale: float) -> None:
    """Refuse a style scale out of range.

    Raises
    ------
    InputError
    """
    smallest, largest = STYLE_SCALES
    if not smallest <= scale <= largest:
        raise InputError(f"the style scale must be a number from {smallest:g} to {largest:g}, got {scale:g}")


def _painted(settings: Settings) -> bool:
    return settings.color != "recolor"
