"""The objective is the weighted sum that its documentation states, in value, in gradient and term by term."""

import numpy as np
import pytest
from small_objective import CONTENT, PIXELS, SIZE, STYLE, picture, small_images, small_network

from vggnumpy import Objective, losses, style_of
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.objective import FORMS
from vggnumpy.ops.geometry import Sides, window_at


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def images():
    return small_images()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_value_is_the_formula(net, images, pooling):
    net = net.with_pooling(pooling)
    x, p, styles = images
    value, _ = Objective(net, p, styles, CONTENT, STYLE, **PIXELS)(x)
    F, P = (net.forward(image, [*CONTENT, *STYLE])[0] for image in (x, p))
    expected = sum(weight / 2 * ((F[layer] - P[layer]) ** 2).sum() for layer, weight in CONTENT.items())
    for layer, weight in STYLE.items():
        channels = F[layer].shape[-1]
        G = np.einsum("ijc,ijd->cd", F[layer], F[layer]) / (F[layer].size // channels)
        for image in styles:
            S = net.forward(image, [layer])[0][layer]
            A = np.einsum("ijc,ijd->cd", S, S) / (S.size // channels)
            expected += weight / (4 * channels**2) * ((G - A) ** 2).sum()
    expected += PIXELS["size"] * ((x - np.array([123.68, 116.779, 103.939])) ** 2).sum()
    expected += PIXELS["variation"] * ((np.diff(x, axis=0) ** 2).sum() + (np.diff(x, axis=1) ** 2).sum())
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("normalization", ["gatys", "raw", "mean_square", "relative"])
def test_the_gradient_agrees_with_differences(net, images, pooling, normalization):
    x, p, styles = images
    terms = {**PIXELS, "variation_beta": 1.5, "size_power": 3, "style_weights": [0.5, 2.0]}
    fun = Objective(net.with_pooling(pooling), p, styles, CONTENT, STYLE, normalization, **terms)
    _, gradient = fun(x)
    assert gradient.shape == x.shape and gradient.dtype == x.dtype
    assert check_gradient(fun, x) < 1e-6


@pytest.mark.parametrize("executor", ["reference", "fused"])
def test_a_margin_belongs_to_no_style(net, images, executor):
    x, _, styles = images
    margin = Sides(3, 2, 0, 5)
    fun = Objective(net, style_images=styles, style=STYLE, margin=margin, executor=executor)
    value, _ = fun(x)
    F, expected = net.forward(x, [*STYLE])[0], 0.0
    for layer, weight in STYLE.items():
        inside = window_at(F[layer].shape[:2], x.shape[:2], margin).of(F[layer])
        for image in styles:
            G, positions = losses.gram_statistics(net.forward(image, [layer])[0][layer])
            expected += weight * losses.gram(inside, G, positions)[0]
    assert value == pytest.approx(expected, rel=1e-10)
    assert check_gradient(fun, x) < 1e-6
    whole = Objective(net, style_images=styles, style=STYLE, margin=0, executor=executor)
    assert whole(x)[0] != pytest.approx(value, rel=1e-2)


TERMS = {"content relu2_1", "content conv1_1", "style relu1_1", "style relu2_1", "style pool2", "size", "variation"}


@pytest.mark.parametrize("normalization", ["gatys", "raw", "mean_square", "relative"])
def test_the_terms_add_up(net, images, normalization):
    x, p, styles = images
    fun = Objective(net, p, styles, CONTENT, STYLE, normalization, **PIXELS)
    assert fun.terms == {}
    value, gradient = fun(x)
    assert set(fun.terms) == TERMS and all(term.name == name for name, term in fun.terms.items())
    assert sum(term.value for term in fun.terms.values()) == pytest.approx(value, rel=1e-14)
    total = sum(term.gradient() for term in fun.terms.values())
    np.testing.assert_allclose(total, gradient, rtol=0, atol=1e-12 * abs(gradient).max())
    for term in fun.terms.values():
        assert term.value == term.weight * term.loss
        assert term.gradient_norm == pytest.approx(np.linalg.norm(term.gradient()), rel=1e-13)


def test_each_term_is_the_objective_of_that_term_alone(net, images):
    x, p, styles = images
    whole = Objective(net, p, styles, CONTENT, STYLE, **PIXELS)
    whole(x)
    single = {
        **{f"content {layer}": Objective(net, p, content={layer: weight}) for layer, weight in CONTENT.items()},
        **{f"style {layer}": Objective(net, None, styles, style={layer: w}) for layer, w in STYLE.items()},
        **{name: Objective(net, **{name: weight}) for name, weight in PIXELS.items()},
    }
    for name, fun in single.items():
        value, gradient = fun(x)
        assert set(fun.terms) == {name}
        assert whole.terms[name].value == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(whole.terms[name].gradient(), gradient, rtol=0, atol=1e-13 * abs(gradient).max())


def test_weights_multiply_their_terms(net, images):
    x, p, styles = images
    fun = Objective(net, p, styles, CONTENT, STYLE, **PIXELS)
    scaled = {"content": {k: 3 * w for k, w in CONTENT.items()}, "style": {k: 3 * w for k, w in STYLE.items()}}
    triple = Objective(net, p, styles, **scaled, **{name: 3 * weight for name, weight in PIXELS.items()})
    value, gradient = fun(x)
    assert triple(x)[0] == pytest.approx(3 * value, rel=1e-13)
    np.testing.assert_allclose(triple(x)[1], 3 * gradient, rtol=0, atol=1e-12 * abs(gradient).max())


def test_a_weight_of_zero_is_a_term_of_zero(net, images):
    x, p, _ = images
    fun = Objective(net, p, content={"relu2_1": 0.0, "conv1_1": 1.0})
    value, _ = fun(x)
    assert fun.terms["content relu2_1"].value == 0 and fun.terms["content relu2_1"].loss > 0
    assert value == Objective(net, p, content={"conv1_1": 1.0})(x)[0]


def test_at_content_and_style_there_is_nothing_to_do(net, images):
    x, _, _ = images
    value, gradient = Objective(net, x, x, CONTENT, STYLE)(x)
    assert value == 0 and not gradient.any()


def test_several_styles_are_the_sum_of_each(net, images):
    x, _, styles = images
    both = Objective(net, style_images=styles, style=STYLE)(x)
    each = [Objective(net, style_images=image, style=STYLE)(x) for image in styles]
    assert both[0] == pytest.approx(each[0][0] + each[1][0], rel=1e-13)
    np.testing.assert_allclose(both[1], each[0][1] + each[1][1], rtol=0, atol=1e-12 * abs(both[1]).max())
    weighted = Objective(net, style_images=styles, style=STYLE, style_weights=np.array([0.25, 2]))(x)
    assert weighted[0] == pytest.approx(0.25 * each[0][0] + 2 * each[1][0], rel=1e-13)
    mixed = 0.25 * each[0][1] + 2 * each[1][1]
    np.testing.assert_allclose(weighted[1], mixed, rtol=0, atol=1e-12 * abs(mixed).max())


def test_a_style_is_an_image_or_its_statistics_by_name_or_number(net, images):
    x, _, styles = images
    expected = Objective(net, style_images=styles[0], style=STYLE)(x)
    named = style_of(net, styles[0], [*STYLE, "conv1_1"])
    plain = {layer: tuple(statistics) for layer, statistics in named.items()}
    numbered = style_of(net, styles[0], [2, 5, 6])
    for given in (named, plain, numbered, [named], (styles[0],), np.array(styles[0])):
        value, gradient = Objective(net, style_images=given, style=STYLE)(x)
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])
    by_number = Objective(net, style_images=styles[0], style=dict(zip((2, 5, 6), STYLE.values(), strict=True)))
    assert by_number(x)[0] == expected[0]
    assert set(by_number.terms) == {f"style {layer}" for layer in STYLE}


def test_an_invented_style_that_is_not_symmetric(net, images):
    x, _, _ = images
    A = np.zeros((6, 6))
    A[1, 4] = 1e5
    fun = Objective(net, style_images={"relu2_1": (A, 50)}, style={"relu2_1": 1.0})
    F = net.forward(x, ["relu2_1"])[0]["relu2_1"]
    assert fun(x)[0] == losses.gram(F, A, 50)[0]
    assert check_gradient(fun, x) < 1e-6


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("normalization", ["gatys", "raw", "mean_square", "relative"])
def test_the_printed_style_gradient_is_half_the_exact_one_at_the_pixels(net, images, pooling, normalization):
    x, _, styles = images
    net = net.with_pooling(pooling)
    exact, printed = (Objective(net, None, styles, None, STYLE, normalization, form=form) for form in FORMS)
    value, dx = printed(x)
    assert value == exact(x)[0]
    np.testing.assert_allclose(2 * dx, exact(x)[1], rtol=0, atol=1e-13 * abs(dx).max())
    assert check_gradient(printed, x) == pytest.approx(0.5, abs=1e-5)


def test_the_printed_style_gradient_at_a_convolution_is_that_of_nothing(net, images):
    x, _, styles = images
    exact, printed = (Objective(net, None, styles, style={"conv2_1": 1.0}, form=form)(x)[1].ravel() for form in FORMS)
    cosine = printed @ exact / np.linalg.norm(printed) / np.linalg.norm(exact)
    assert 0 < cosine < 0.99


@pytest.mark.parametrize("normalization", ["gatys", "relative"])
def test_the_printed_content_is_a_loss_with_its_gradient(net, images, normalization):
    x, p, _ = images
    fun = Objective(net, p, content=CONTENT, normalization=normalization, form="printed")
    F, P = (net.forward(image, CONTENT)[0] for image in (x, p))
    expected = sum(w * losses.content_printed(F[k], P[k], normalization)[0] for k, w in CONTENT.items())
    assert fun(x)[0] == pytest.approx(expected, rel=1e-13)
    assert fun(x)[0] != Objective(net, p, content=CONTENT, normalization=normalization)(x)[0]
    assert check_gradient(fun, x) < 1e-6


def test_the_printed_form_is_half_the_style_weight_and_a_masked_content(net, images):
    x, p, styles = images
    printed = Objective(net, p, styles, CONTENT, STYLE, form="printed", **PIXELS)
    _, dx = printed(x)
    halved = {layer: weight / 2 for layer, weight in STYLE.items()}
    parts = [
        Objective(net, p, content=CONTENT, form="printed"),
        Objective(net, None, styles, style=halved),
        Objective(net, **PIXELS),
    ]
    total = sum(part(x)[1] for part in parts)
    np.testing.assert_allclose(dx, total, rtol=0, atol=1e-12 * abs(dx).max())
    terms = sum(term.gradient() for term in printed.terms.values())
    np.testing.assert_allclose(terms, dx, rtol=0, atol=1e-12 * abs(dx).max())


def test_the_exact_form_is_the_default(net, images):
    x, p, styles = images
    assert Objective(net, p, styles, CONTENT, STYLE).form == "exact"
    value, dx = Objective(net, p, styles, CONTENT, STYLE)(x)
    same, dsame = Objective(net, p, styles, CONTENT, STYLE, form="exact")(x)
    assert value == same
    np.testing.assert_array_equal(dx, dsame)


def test_pixel_terms_are_means_under_the_normalizations_that_are_means(net, images):
    x, p, _ = images
    sums = Objective(net, p, size=1.0, variation=1.0, variation_beta=1.5, normalization="gatys")
    sums(x)
    raw = {name: term.loss for name, term in sums.terms.items()}
    for normalization, factors in {
        "raw": (1, 1),
        "mean_square": (1 / x.size, 1 / x.size),
        "relative": (1 / (x.size * 255**2), 1 / (x.size * 255**1.5)),
    }.items():
        fun = Objective(net, p, size=1.0, variation=1.0, variation_beta=1.5, normalization=normalization)
        fun(x)
        for (name, loss), factor in zip(raw.items(), factors, strict=True):
            assert fun.terms[name].loss == pytest.approx(loss * factor, rel=1e-13)
    l1 = Objective(net, variation=1.0, variation_beta="l1", normalization="relative")
    assert l1(x)[0] == pytest.approx(losses.variation(x / 255, "l1")[0] / x.size, rel=1e-12)


@pytest.mark.parametrize("normalization", ["gatys", "relative"])
def test_float32_is_close_to_float64(net, images, normalization):
    x, p, styles = images
    arguments = {"content": CONTENT, "style": STYLE, "normalization": normalization, **PIXELS}
    value, gradient = Objective(net, p, styles, **arguments)(x)
    rough = Objective(net.astype("float32"), p.astype("f4"), [s.astype("f4") for s in styles], **arguments)
    rough_value, rough_gradient = rough(x.astype("f4"))
    assert rough_gradient.dtype == "float32" and isinstance(rough_value, float)
    assert rough_value == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(rough_gradient, gradient, rtol=0, atol=1e-5 * abs(gradient).max())


def test_pictures_of_bytes_are_converted(net, images):
    x, _, _ = images
    p, s = (picture(seed).round().astype("uint8") for seed in (8, 9))
    bytes_in = Objective(net, p, s, CONTENT, STYLE)(x)
    floats_in = Objective(net, p.astype("float64"), [s.astype("float64")], CONTENT, STYLE)(x)
    assert bytes_in[0] == floats_in[0]
    np.testing.assert_array_equal(bytes_in[1], floats_in[1])


def test_a_batch_is_one_texture_in_several_images(net, images):
    x, _, styles = images
    batch = np.stack([x, picture(10)])
    fun = Objective(net, np.stack([picture(11), picture(12)]), styles, CONTENT, STYLE, **PIXELS)
    assert fun(batch)[1].shape == batch.shape
    assert check_gradient(fun, batch) < 1e-6


def test_an_image_is_not_written_to_and_terms_stay_when_it_changes_later(net, images):
    x, p, styles = images
    fun = Objective(net, p, styles, CONTENT, STYLE, **PIXELS)
    changing = np.array(x)
    fun(changing)
    np.testing.assert_array_equal(changing, x)
    old = dict(fun.terms)
    changing[...] = picture(13)
    fun(picture(14))
    expected = Objective(net, p, styles, CONTENT, STYLE, **PIXELS)
    expected(x)
    for name, term in old.items():
        assert term.value == expected.terms[name].value
        np.testing.assert_array_equal(term.gradient(), expected.terms[name].gradient())


def test_a_term_alone_needs_no_forward_pass(net, images, monkeypatch):
    monkeypatch.setattr(type(net), "forward", None)
    value, gradient = Objective(net, size=1.0, variation=1.0)(images[0])
    assert value > 0 and gradient.shape == SIZE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "an objective needs one term at least: content, style, size or variation"),
        ({"content": {}, "style": {}}, "an objective needs one term at least"),
        ({"content": {"relu2_1": 1}}, "content layers were given without a content image"),
        ({"style": {"relu2_1": 1}}, "style layers were given without a style image"),
        ({"style": {"relu2_1": 1}, "style_images": []}, "style layers were given without a style image"),
        ({"content": {"relu9_1": 1}}, "has no layer 'relu9_1'; it has conv1_1, relu1_1"),
        ({"style": {99: 1}}, "has no layer 99; it has conv1_1, .* or by number 1 to 6"),
        (
            {"size": 1, "normalization": "l2"},
            "must be one of raw, gatys, mean_square, relative, got 'l2'",
        ),
        ({"size": 1, "form": "gatys"}, "form must be one of exact, printed, got 'gatys'"),
        ({"style": {"pool2": 1}, "style_images": {"pool1": (1, 2)}}, "no Gram matrix for layer 'pool2'; it has pool1"),
        ({"style": {"pool2": 1}, "style_images": {"pool2": (1, 2, 3)}}, "must be a pair of a Gram matrix and a count"),
        (
            {"style": {"pool2": 1}, "style_images": picture(1), "style_weights": [1, 2]},
            "1 styles need as many weights, got 2",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(net, arguments, message):
    with pytest.raises(InputError, match=message):
        Objective(net, **arguments)


def test_wrong_dtypes_are_refused(net, images):
    x, p, styles = images
    with pytest.raises(TypeError, match="the content image is float32; expected uint8 or the network's float64"):
        Objective(net, p.astype("f4"), content=CONTENT)
    with pytest.raises(TypeError, match="the style image is int64; expected uint8 or the network's float64"):
        Objective(net, style_images=styles[0].astype("int64"), style=STYLE)
    with pytest.raises(TypeError, match="the image is float32 and network random network float64"):
        Objective(net, p, content=CONTENT)(x.astype("f4"))
    with pytest.raises(TypeError, match="uint8"):
        Objective(net, size=1.0)(x.astype("uint8"))
    with pytest.raises(TypeError, match="mixture of float32 and float64"):
        Objective(net, style_images={"pool2": (np.eye(6, dtype="f4"), 1)}, style={"pool2": 1})(x)


def test_an_image_of_another_size_than_the_content_is_refused(net, images):
    x, p, _ = images
    with pytest.raises(ValueError, match="content features and target must agree in shape"):
        Objective(net, p, content=CONTENT)(x[1:])


def test_an_image_that_is_too_small_is_refused(net):
    with pytest.raises(InputError, match="layer pool2 of network random network: a pooling window of 2 does not fit"):
        Objective(net, style_images=picture(1), style=STYLE)(picture(1, 2, 9, 3))
