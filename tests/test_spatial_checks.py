"""The gradient check of spatial style, local style and covariation passes, and catches errors planted in them."""

import sys

import numpy as np
import pytest
from planted import wrong

from vggnumpy import losses
from vggnumpy.checks import TOLERANCE, spatial

# A window of 17×17 takes half a second and is no other code than those below it.
CHECKS = [(name, measure) for name, measure in spatial.spatial_checks() if not name.endswith("radius 8")]
ALL = [name for name, _ in CHECKS]


def failed(*parts):
    """Run the checks that have one of the parts in their name; return the names of those that fail."""
    found = [(name, measure) for name, measure in spatial.spatial_checks() if name in named(*parts)]
    return [name for name, measure in found if not measure() <= TOLERANCE]


def named(*parts):
    found = [name for name in ALL if any(part in name for part in parts)]
    assert found, parts
    return found


def test_every_check_passes():
    assert failed("") == []
    assert len(set(ALL)) == len(ALL) == 70


LOCAL, SELF, COVARIATION = (f"vggnumpy.losses.{name}" for name in ("local_gram", "self_convolution", "covariation"))
# Module, function, which part of its result, what the names of the checks have that must fail.
PLANTED = [
    ("vggnumpy.losses", "self_convolution", 1, "self_convolution"),
    ("vggnumpy.losses", "autocorrelation", 1, "autocorrelation"),
    (SELF, "_energy", None, "self_convolution"),
    ("vggnumpy.losses", "local_gram", 1, "local_gram"),
    (LOCAL, "_distance", 1, "local_gram"),
    ("vggnumpy.losses", "covariation", 1, ", dF"),
    ("vggnumpy.losses", "covariation", 2, ", dcontent"),
    (COVARIATION, "covariation_value", 1, "covariation"),
    (COVARIATION, "covariation_cotangent", 0, ", dF"),
    (COVARIATION, "covariation_cotangent", 1, ", dcontent"),
    (COVARIATION, "covariation_maps_cotangent", None, ", dcontent"),
]


@pytest.mark.parametrize(("module", "name", "component", "part"), PLANTED, ids=[f"{p[1]}{p[2]}" for p in PLANTED])
def test_one_per_cent_in_any_gradient_fails_every_check_of_it(monkeypatch, module, name, component, part):
    module = sys.modules[module]
    monkeypatch.setattr(module, name, wrong(getattr(module, name), component))
    assert failed(part) == named(part)


def test_the_share_of_each_layer_counts_where_both_are_one(monkeypatch):
    for component in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(losses, "covariation", wrong(losses.covariation, component))
            assert failed("one layer") == named("one layer")


def test_pair_weights_that_are_not_symmetric_fail(monkeypatch):
    module = sys.modules[LOCAL]
    original = module._pair_weights

    def tilted(*args):
        K = original(*args)
        return K * np.linspace(1, 1.05, len(K))[:, None]

    monkeypatch.setattr(module, "_pair_weights", tilted)
    assert failed("local_gram") == named("radius 1", "radius 3")
