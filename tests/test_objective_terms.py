"""Losses of whole feature maps and of regions, as terms of an objective."""

import numpy as np
import pytest
from small_objective import CONTENT, PIXELS, STYLE, picture, small_images, small_network

from vggnumpy import LayerTerm, Objective, losses
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.styles import region_style_of


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def images():
    return small_images()


def squares(F):
    return float((F**2).sum()), 2 * F


def products(F, H):
    """The sum of all products of the two layers' total features."""
    f, h = F.sum(axis=(-3, -2)), H.sum(axis=(-3, -2))
    value = float(f.sum() * h.sum())
    return value, np.full_like(F, h.sum()), np.full_like(H, f.sum())


LAYER_TERMS = [
    LayerTerm("squares", ("relu2_1",), 1e-4, squares),
    LayerTerm("products", ("pool1", "relu2_1"), 1e-7, products),
]


@pytest.mark.parametrize("executor", ["reference", "fused"])
@pytest.mark.parametrize("others", [{}, {"content": CONTENT, "style": STYLE, **PIXELS}], ids=["alone", "among others"])
def test_losses_of_whole_maps_are_added(net, images, executor, others):
    x, p, styles = images
    fun = Objective(net, p, styles, **others, layer_terms=LAYER_TERMS, executor=executor)
    value, gradient = fun(x)
    features, _ = net.forward(x, ["pool1", "relu2_1"])
    assert fun.terms["squares"].value == pytest.approx(1e-4 * squares(features["relu2_1"])[0], rel=1e-12)
    assert fun.terms["products"].loss == pytest.approx(products(features["pool1"], features["relu2_1"])[0], rel=1e-12)
    assert sum(term.value for term in fun.terms.values()) == pytest.approx(value, rel=1e-14)
    total = sum(term.gradient() for term in fun.terms.values())
    np.testing.assert_allclose(total, gradient, rtol=0, atol=1e-12 * abs(gradient).max())
    assert check_gradient(fun, x, steps=(1e-6, 1e-7)) < 1e-7


def test_two_terms_of_one_name_are_refused(net):
    with pytest.raises(InputError, match="a name of its own"):
        Objective(net, layer_terms=[LAYER_TERMS[0]] * 2)
    with pytest.raises(InputError, match="relu9_9"):
        Objective(net, layer_terms=[LayerTerm("squares", ("relu9_9",), 1, squares)])(picture(1))


REGIONS = ("relu1_1", "relu2_1")


def masks(seed, net, image, regions=3):
    """Soft weights of the positions of `image` at the style layers."""
    features, _ = net.forward(image, REGIONS)
    rng = np.random.default_rng(seed)
    return {layer: rng.uniform(0, 1, (*F.shape[:-1], regions)).astype(F.dtype) for layer, F in features.items()}


@pytest.mark.parametrize("executor", ["reference", "fused"])
@pytest.mark.parametrize("normalization", ["gatys", "raw", "mean_square", "relative"])
def test_styles_region_by_region(net, images, executor, normalization):
    x, p, styles = images
    own = masks(1, net, x)
    targets = [region_style_of(net, one, masks(2 + i, net, one)) for i, one in enumerate(styles)]
    weights = {"relu1_1": 0.3, "relu2_1": 0.7}
    fun = Objective(
        net, p, targets, CONTENT, weights, normalization, style_weights=[0.4, 0.6], regions=own, executor=executor
    )
    value, _ = fun(x)
    features, _ = net.forward(x, REGIONS)
    for layer in REGIONS:
        parts = [losses.regions(features[layer], one[layer], own[layer], normalization)[0] for one in targets]
        assert fun.terms[f"style {layer}"].loss == pytest.approx(0.4 * parts[0] + 0.6 * parts[1], rel=1e-11)
    assert value == pytest.approx(sum(term.value for term in fun.terms.values()), rel=1e-14)
    assert check_gradient(fun, x) < 1e-6


def test_one_region_that_is_everything_is_no_region(net, images):
    x, p, styles = images
    whole = {layer: np.ones_like(m) for layer, m in masks(1, net, x, 1).items()}
    target = region_style_of(net, styles[0], {k: np.ones_like(m) for k, m in masks(2, net, styles[0], 1).items()})
    style = {"relu1_1": 0.3, "relu2_1": 0.7}
    one = Objective(net, p, target, CONTENT, style, regions=whole)(x)
    other = Objective(net, p, styles[0], CONTENT, style)(x)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-12 * abs(other[1]).max())


def test_regions_that_do_not_fit_are_refused(net, images):
    x, p, styles = images
    own = masks(1, net, x)
    with pytest.raises(InputError, match="masks for every style layer"):
        Objective(net, p, styles[0], CONTENT, {"relu1_1": 1.0}, regions=own)
    with pytest.raises(InputError, match="not as a picture"):
        Objective(net, p, styles[0], CONTENT, dict.fromkeys(REGIONS, 1.0), regions=own)
