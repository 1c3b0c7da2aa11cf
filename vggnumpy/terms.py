"""The terms of an objective: what each was worth, and losses of whole feature maps that are added to its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vggnumpy.backend import sum_of_squares


@dataclass
class Term:
    """One term of the objective at the image it was last evaluated at.

    Attributes
    ----------
    name : str
        Such as ``"content relu4_2"``, ``"style relu1_1"``, ``"variation"``.
    weight : float
        Its factor in the objective.
    loss : float
        The loss without that factor.
    """

    name: str
    weight: float
    loss: float
    _gradient_of: Callable[[str, Any], Any] = field(repr=False)
    _image: Any = field(repr=False)
    _gradient: Any = field(default=None, repr=False)

    @property
    def value(self) -> float:
        """What the term contributes to the objective: weight · loss.  The values add up to the objective's."""
        return self.weight * self.loss

    def gradient(self) -> Any:
        """Return the gradient image of this term alone: the derivative of `value` with respect to the pixels.

        Computed by a forward and a backward pass of its own on the first call.  The gradients of all terms add up to
        the objective's.
        """
        if self._gradient is None:
            self._gradient = self._gradient_of(self.name, self._image)
        return self._gradient

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm of `gradient`."""
        return float(sum_of_squares(self.gradient()) ** 0.5)


@dataclass(frozen=True)
class LayerTerm:
    """A loss of whole feature maps that the objective adds to its own.

    Attributes
    ----------
    name : str
        Under which it is found among the objective's terms.
    layers : tuple of str
        Whose features it takes.
    weight : float
        w in the objective.
    loss : callable
        Features, H×W×C each (N×H×W×C for a batch of images) → the loss, then one derivative for each of them, of its
        shape and dtype.
    """

    name: str
    layers: tuple[str, ...]
    weight: float
    loss: Callable[..., tuple[Any, ...]]


def add_layer_terms(
    others: Sequence[LayerTerm], features: Mapping[Any, Any], terms: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    """Compute losses of whole feature maps; return layer → derivative of their weighted sum."""
    sums: dict[str, Any] = {}
    for one in others:
        loss, *derivatives = one.loss(*(features[layer] for layer in one.layers))
        terms[one.name] = one.weight, loss
        for layer, dF in zip(one.layers, derivatives, strict=True):
            weighted = dF * one.weight
            sums[layer] = sums[layer] + weighted if layer in sums else weighted
    return sums
