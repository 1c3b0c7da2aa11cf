"""Style representations: what is kept of a style image, one Gram matrix a layer; and one style made of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vggnumpy.backend import array_module, backend_of, check_dtypes, to_host
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics, RegionStatistics, gram_statistics, regions_statistics
from vggnumpy.nets.network import LayerKey, Network

Style = Mapping[LayerKey, GramStatistics | tuple[Any, int]]


def as_pixels(image: Any, net: Network, name: str) -> Any:
    """Return an image as an array of the network's dtype.

    Parameters
    ----------
    image : ndarray, H×W×3 or N×H×W×3, RGB 0–255
        uint8 (converted, exactly) or of the network's dtype.
    net : Network
    name : str
        What to call the image in a message.

    Raises
    ------
    TypeError
        If it is no array or the dtype is another one.
    """
    backend_of(image)
    if image.dtype == np.uint8:
        return image.astype(net.dtype)
    if image.dtype != net.dtype:
        raise TypeError(f"the {name} is {image.dtype}; expected uint8 or the network's {net.dtype}")
    return image


def style_of(net: Network, image: Any, layers: Iterable[LayerKey]) -> dict[LayerKey, GramStatistics]:
    """Return an image's Gram matrix, summed over positions, and the number of positions, for each layer.

    Parameters
    ----------
    net : Network
    image : ndarray, H×W×3 or N×H×W×3, RGB 0–255, uint8 or of the network's dtype
    layers : iterable of str or int
        Layer names or MatConvNet's numbers.

    Raises
    ------
    InputError
        If the network has no such layer.
    """
    features, _ = net.forward(as_pixels(image, net, "style image"), layers)
    return {layer: gram_statistics(F) for layer, F in features.items()}


def region_style_of(net: Network, image: Any, masks: Mapping[LayerKey, Any]) -> dict[LayerKey, RegionStatistics]:
    """Return the Gram matrices of an image's regions and the weight each was summed over, for each layer.

    Parameters
    ----------
    net : Network
    image : ndarray, H×W×3, RGB 0–255, uint8 or of the network's dtype
    masks : dict
        Layer → weights of its positions in each of K regions, H×W×K of the network's dtype; see
        `vggnumpy.losses.regions`.

    Raises
    ------
    InputError
        If the network has no such layer.
    ValueError
        If a layer's features and masks have not the same positions.
    """
    features, _ = net.forward(as_pixels(image, net, "style image"), masks)
    return {layer: regions_statistics(F, masks[layer]) for layer, F in features.items()}


def check_style(style: Style, layers: Iterable[LayerKey]) -> None:
    """Raise `InputError` unless `style` has a Gram matrix and a count for each of the layers."""
    for layer in layers:
        if layer not in style:
            raise InputError(f"the style has no Gram matrix for layer {layer!r}; it has {', '.join(map(str, style))}")
        if len(style[layer]) != 2:
            raise InputError(f"the style of layer {layer!r} must be a pair of a Gram matrix and a count of positions")


def mean_style(styles: Sequence[Style]) -> dict[LayerKey, GramStatistics]:
    r"""Return the mean of several styles: the mean of G/M at each layer, every style counting alike.

    It stands for all of them in mixed gradient descent.  Let R₀ = G/M be the image's Gram matrix at a layer, A_n the
    style's divided by its own number of positions, Ā = Σ A_n / N, and k the factor of the loss.  Then

        Σ_n k ‖R₀ − A_n‖² = Σ_n k ‖(R₀ − Ā) + (Ā − A_n)‖²
                          = N k ‖R₀ − Ā‖² + 2k ⟨R₀ − Ā, Σ_n (Ā − A_n)⟩ + k Σ_n ‖A_n − Ā‖²
                          = N k ‖R₀ − Ā‖² + k Σ_n ‖A_n − Ā‖²

    because Σ_n (Ā − A_n) = 0.  The last sum, the spread of the styles, does not depend on the features: the gradient of
    the sum of N losses is N times the gradient of one loss for the mean, exactly, and the values differ by the spread.

    This needs one k for all styles: ``raw``, ``gatys`` and ``mean_square`` have it (k may depend on the image's own M),
    ``relative`` has not, because its factor is each target's own 1/‖A_n‖².

    Parameters
    ----------
    styles : sequence of style
        Dictionaries layer → (Gram matrix summed over its positions, number of positions), with the same layers.

    Returns
    -------
    dict
        Layer → `GramStatistics`, the matrix per position: its count is 1.  In the dtype of the styles.

    Raises
    ------
    InputError
        If there is no style, or they differ in layers or in channels, or a matrix is not finite.
    TypeError
        If the dtypes differ.
    """
    _check_styles(styles)
    return {layer: _mixture(styles, layer, [1 / len(styles)] * len(styles)) for layer in styles[0]}


def mix_styles(styles: Sequence[Style], weights: Sequence[float]) -> dict[LayerKey, GramStatistics]:
    """Return a mixture of styles: Σ w_n G_n/M_n at each layer, the weights scaled to add up to 1.

    Two styles with the weights 1 − t and t are the point t of the way from one to the other.  A mixture of Gram
    matrices is a Gram matrix that features can have, because a sum of positive semidefinite matrices with weights that
    are not negative is one.  It stands for the weighted sum of the styles' losses as `mean_style` stands for their
    sum: there the weights are 1/N each.  Like there, a style with large Gram matrices prevails over one with small
    ones.

    Parameters
    ----------
    styles : sequence of style
        Dictionaries layer → (Gram matrix summed over its positions, number of positions), with the same layers.
    weights : sequence of float
        One for each style, not negative, not all 0.

    Returns
    -------
    dict
        Layer → `GramStatistics`, the matrix per position: its count is 1.  In the dtype of the styles.

    Raises
    ------
    InputError
        As for `mean_style`; or if the weights do not fit.
    TypeError
        If the dtypes differ.
    """
    _check_styles(styles)
    shares = mixture_shares(weights, len(styles))
    return {layer: _mixture(styles, layer, shares) for layer in styles[0]}


def mixture_shares(weights: Sequence[float], count: int) -> list[float]:
    """Return the weights of a mixture scaled to add up to 1.

    Raises
    ------
    InputError
        If there are not `count` of them, one is negative, or they do not add up to something positive and finite.
    """
    given = [float(weight) for weight in weights]
    if len(given) != count:
        raise InputError(f"{count} styles need as many weights, got {len(given)}")
    if not all(weight >= 0 for weight in given) or not 0 < sum(given) < np.inf:
        raise InputError(f"the weights of a mixture must not be negative and add up to more than 0, got {given}")
    return [weight / sum(given) for weight in given]


def eigengram(styles: Sequence[Style], stacked: bool = False) -> dict[LayerKey, GramStatistics]:
    r"""Return the eigengram of several styles: their mean, projected on the principal eigenvector of all their Grams.

    At each layer let g_n be the Gram matrix of style n divided by its number of positions, written as a vector, and
    𝐆 = [g₁ … g_N].  The MatConvNet report takes for target "u, the principal eigenvector of 𝐆𝐆ᵀ", as eigenfaces do,
    though without subtracting the mean.  An eigenvector has neither sign nor length; ours are those that bring it
    nearest to the mean ḡ = 𝐆1/N, where 1 is the vector of N ones:

        target = u (uᵀ ḡ),      ‖u‖ = 1

    𝐆𝐆ᵀ is C²×C².  Its eigenvector comes from the N×N matrix K = 𝐆ᵀ𝐆 instead: if K v = λ v with ‖v‖ = 1 and λ > 0, then
    𝐆𝐆ᵀ(𝐆v) = 𝐆(K v) = λ 𝐆v and ‖𝐆v‖² = vᵀK v = λ, so u = 𝐆v/√λ, and

        target = 𝐆v · (vᵀ𝐆ᵀ𝐆 1) / (λN) = 𝐆v · (λ vᵀ1) / (λN) = Σ_n c_n g_n,      c = v (vᵀ1) / N

    a mixture of the Gram matrices, with the weights c that `eigengram_weights` returns.

    **It is symmetric and positive semidefinite**, a Gram matrix that features can have.  Gram matrices have
    ⟨g_a, g_b⟩ = tr(G_a G_b)/(M_a M_b) = ‖F_a F_bᵀ‖²/(M_a M_b) ≥ 0, so no entry of K is negative, and by Perron and
    Frobenius v can be chosen without negative entries.  Then no c_n is negative, and a sum of positive semidefinite
    matrices with such weights is one too.  (Made-up targets may have negative products; then nothing is promised.)

    For one style, for N times the same, and for multiples of one (rank one: g_n = a_n g, v ∝ a, hence c·a = Σ a_n/N)
    the target is the mean itself.  Otherwise Σ c_n = (vᵀ1)²/N < 1, and a style with a large Gram matrix, or one that
    resembles the others, weighs more than the rest: c ∝ v.

    If several eigenvectors share the largest eigenvalue (to 1e-12), u uᵀ is replaced by the projection on all of
    them; the target is the nearest to the mean among all their combinations, and is not decided by rounding.

    Parameters
    ----------
    styles : sequence of style
        Dictionaries layer → (Gram matrix summed over its positions, number of positions), with the same layers.
    stacked : bool
        Whether one eigenvector is taken of all layers' vectors, one below the other, instead of one a layer.  K is then
        the sum of the layers' matrices K, so that **one** set of weights mixes the styles at every layer alike.
        Nothing balances the layers: K grows with the fourth power of the features, and the layers where they are
        largest decide for all.

    Returns
    -------
    dict
        Layer → `GramStatistics`, the matrix per position: its count is 1.  In the dtype of the styles.

    Raises
    ------
    InputError
        If there is no style, or they differ in layers or in channels, or a matrix is not finite.
    TypeError
        If the dtypes differ.
    """
    weights = eigengram_weights(styles, stacked)
    return {layer: _mixture(styles, layer, weights[layer].tolist()) for layer in styles[0]}


def eigengram_weights(styles: Sequence[Style], stacked: bool = False) -> dict[LayerKey, np.ndarray]:
    """Return the weights c with which `eigengram` mixes the styles' G/M, for each layer.

    Parameters
    ----------
    styles, stacked
        As for `eigengram`.

    Returns
    -------
    dict
        Layer → N float64 numbers; the same at every layer if `stacked`.  1/N each would be the mean.

    Raises
    ------
    InputError, TypeError
        As for `eigengram`.
    """
    _check_styles(styles)
    products = {layer: _products(styles, layer) for layer in styles[0]}
    if stacked:
        one = _projected_mean(sum(products.values()))
        return dict.fromkeys(products, one)
    return {layer: _projected_mean(K) for layer, K in products.items()}


def _projected_mean(K: Any) -> np.ndarray:
    """Return c = v (vᵀ1) / N, summed over the eigenvectors v of K that share the largest eigenvalue."""
    eigenvalues, vectors = np.linalg.eigh(K)
    principal = vectors[:, eigenvalues >= eigenvalues[-1] * (1 - 1e-12)]
    weights: np.ndarray = principal @ principal.sum(axis=0) / len(K)
    return weights


def _per_position(statistics: GramStatistics | tuple[Any, int]) -> Any:
    """Return G/M in float64."""
    G, positions = statistics
    return G.astype("float64") / positions


def _products(styles: Sequence[Style], layer: LayerKey) -> np.ndarray:
    """Return K, the N×N scalar products of the styles' G/M at a layer, in float64."""
    rows = [_per_position(style[layer]).reshape(-1) for style in styles]
    stack = array_module(*rows).stack(rows)
    return to_host(stack @ stack.T)


def _mixture(styles: Sequence[Style], layer: LayerKey, weights: Sequence[float]) -> GramStatistics:
    """Return Σ c_n G_n/M_n: entry by entry, so that it is as symmetric as they are, summed in float64."""
    total = sum(_per_position(style[layer]) * c for style, c in zip(styles, weights, strict=True))
    return GramStatistics(total.astype(styles[0][layer][0].dtype), 1)


def _check_styles(styles: Sequence[Style]) -> None:
    if not styles:
        raise InputError("expected one style at least, got none")
    first = styles[0]
    for number, style in enumerate(styles, start=1):
        if set(style) != set(first):
            raise InputError(
                f"styles must have the same layers: style 1 has {', '.join(map(str, first))}; "
                f"style {number} has {', '.join(map(str, style))}"
            )
        check_style(style, first)
        for layer, (G, positions) in style.items():
            if G.shape != first[layer][0].shape:
                raise InputError(
                    f"styles must have Gram matrices of one shape at each layer: at {layer!r} style 1 has "
                    f"{tuple(first[layer][0].shape)}, style {number} has {tuple(G.shape)}"
                )
            if positions < 1 or not array_module(G).isfinite(G).all():
                raise InputError(
                    f"style {number} at layer {layer!r} needs a finite Gram matrix and a positive count of positions"
                )
    check_dtypes("mixing styles", *(statistics[0] for style in styles for statistics in style.values()))


def by_name(net: Network, weights: Mapping[LayerKey, float]) -> dict[str, float]:
    """Return layer name → weight; a layer under its name and its number would have two."""
    named = {net.layer_name(key): float(weight) for key, weight in weights.items()}
    if len(named) < len(weights):
        raise InputError(f"a layer is given twice, by name and by number: {', '.join(map(str, weights))}")
    return named
