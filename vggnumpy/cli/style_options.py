"""How ``vggnumpy style`` reads lists of layers, channels and numbers."""

from __future__ import annotations

import argparse


def names(text: str) -> list[str]:
    """Parse ``relu1_1,relu2_1``."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names with commas between, got {text!r}")
    return found


def numbers(text: str) -> list[float]:
    """Parse ``0.7,0.3``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def factors(text: str) -> dict[str, float]:
    """Parse ``relu1_1=0.5,relu2_1=2``."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, factor = part.strip().partition("=")
        try:
            if not name or not sign or name in found:
                raise ValueError
            found[name] = float(factor)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected layers and factors as relu1_1=0.5,relu2_1=2, each layer once, got {text!r}"
            ) from None
    return found


def channels(text: str) -> tuple[str, dict[int, float]]:
    """Parse ``relu2_1:3,7=0``."""
    left, _, factor = text.rpartition("=")
    layer, _, which = left.rpartition(":")
    try:
        numbers = [int(channel) for channel in which.split(",")]
        if not layer or len(set(numbers)) < len(numbers):
            raise ValueError
        return layer.strip(), dict.fromkeys(numbers, float(factor))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a layer, channels and a factor as relu2_1:3,7=0, each channel once, got {text!r}"
        ) from None


def entry(text: str) -> tuple[int, int]:
    """Parse ``5,9``."""
    try:
        i, j = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two channels as 5,9, got {text!r}") from None
    return i, j
