"""The gradient check of the report's methods passes, and catches one per cent of error in any of them."""

import sys

import pytest
from planted import wrong

from vggnumpy import losses
from vggnumpy.checks import TOLERANCE, methods

ALL = [name for name, _ in methods.method_checks()]


def failed():
    return [name for name, measure in methods.method_checks() if not measure() <= TOLERANCE]


def named(*parts):
    found = [name for name in ALL if any(part in name for part in parts)]
    assert found, parts
    return found


def test_every_check_passes():
    assert failed() == []
    assert len(set(ALL)) == len(ALL) == 25


PRINTED, EXACT = "vggnumpy.losses.printed", "vggnumpy.losses.gram"
PLANTED = [
    ("vggnumpy.losses", "content_printed", 1, ("content_printed, ", "Objective as printed, content")),
    (PRINTED, "content", 1, ("content_printed, ", "Objective as printed, content")),
    ("vggnumpy.losses", "gram_printed_gradient", None, ("gram_printed_gradient before",)),
    (PRINTED, "gram_printed_cotangent", None, ("gram_printed_gradient before",)),
    (PRINTED, "gram_value", 1, ("gram_printed_gradient before",)),
    ("vggnumpy.losses", "gram_printed_cotangent", None, ("Objective as printed, style",)),
    ("vggnumpy.losses", "gram_cotangent", None, ("Objective of",)),
    ("vggnumpy.losses", "gram_value", 1, ("Objective of", "Objective as printed, style")),
    (EXACT, "gram_cotangent", None, ("as target",)),
    ("vggnumpy.ops", "relu_backward", None, ("gram_printed_gradient before", "Objective")),
]


@pytest.mark.parametrize(("module", "name", "component", "parts"), PLANTED, ids=[f"{p[0]}.{p[1]}" for p in PLANTED])
def test_one_per_cent_in_any_gradient_fails_every_check_of_it(monkeypatch, module, name, component, parts):
    module = sys.modules[module]
    monkeypatch.setattr(module, name, wrong(getattr(module, name), component))
    assert failed() == named(*parts)


def test_the_exact_style_gradient_in_place_of_the_printed_one_fails(monkeypatch):
    monkeypatch.setattr(losses, "gram_printed_cotangent", losses.gram_cotangent)
    assert failed() == named("Objective as printed, style")


def test_the_exact_content_in_place_of_the_masked_gradient_fails(monkeypatch):
    def value_masked_gradient_not(F, P, normalization="raw", target=None):
        return losses.printed.content_printed(F, P, normalization)[0], losses.content(F, P, normalization)[1]

    monkeypatch.setattr(losses, "content_printed", value_masked_gradient_not)
    assert failed() == named("content_printed, ", "Objective as printed, content")
