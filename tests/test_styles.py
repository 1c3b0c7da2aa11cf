"""One style made of several: the mean, and the eigengram against its definition with the whole C²×C² matrix."""

import numpy as np
import pytest

from vggnumpy import Objective, losses, random_network, style_of
from vggnumpy.errors import InputError
from vggnumpy.losses import GramStatistics
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.styles import eigengram, eigengram_weights, mean_style, mix_styles

LAYERS = {"relu1_1": 0.3, "relu2_1": 0.7}
SIZES = [(11, 19), (20, 9), (13, 14), (8, 25)]


@pytest.fixture(scope="module")
def net():
    layers = [conv("conv1_1", 4), relu("relu1_1"), pool("pool1"), conv("conv2_1", 6), relu("relu2_1")]
    return random_network(chain(layers), rng=8, dtype="float64")


@pytest.fixture(scope="module")
def styles(net):
    """Four styles of different sizes and of very different brightness."""
    return [
        style_of(net, np.random.default_rng(seed).uniform(0, 60 * (seed + 1), (*size, 3)), LAYERS)
        for seed, size in enumerate(SIZES)
    ]


def per_position(style, layer):
    A, positions = style[layer]
    return A / positions


def columns(styles, layers):
    """Return [g₁ … g_N], the layers' vectors one below the other."""
    return np.stack([np.concatenate([per_position(s, layer).ravel() for layer in layers]) for s in styles], axis=1)


def by_definition(G):
    """Return u (uᵀ mean g) with u the principal eigenvector of the large matrix GGᵀ, found without the small one."""
    _, vectors = np.linalg.eigh(G @ G.T)
    u = vectors[:, -1]
    return u * (u @ G.mean(axis=1))


def close(a, b, rtol=1e-12):
    np.testing.assert_allclose(a, b, rtol=0, atol=rtol * abs(np.asarray(b)).max())


def test_the_mean_counts_every_style_alike_whatever_its_size(styles):
    mean = mean_style(styles)
    for layer in LAYERS:
        assert isinstance(mean[layer], GramStatistics) and mean[layer].positions == 1
        close(mean[layer].matrix, sum(per_position(style, layer) for style in styles) / 4)


def test_a_mixture_is_weighted_per_position_and_its_weights_are_scaled(styles):
    mixture = mix_styles(styles, [2, 0, 1, 5])
    for layer in LAYERS:
        assert isinstance(mixture[layer], GramStatistics) and mixture[layer].positions == 1
        shares = (0.25, 0, 0.125, 0.625)
        close(mixture[layer].matrix, sum(c * per_position(s, layer) for c, s in zip(shares, styles, strict=True)))
        alike = mix_styles(styles, [3] * 4)[layer].matrix
        np.testing.assert_array_equal(alike, mean_style(styles)[layer].matrix, strict=True)


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, -1, 1], [0] * 4, [1, 1, 1, float("nan")]])
def test_weights_that_make_no_mixture_are_refused(styles, weights):
    with pytest.raises(InputError, match=r"as many weights|must not be negative"):
        mix_styles(styles, weights)


def test_the_eigengram_is_the_mean_projected_on_the_principal_eigenvector(styles):
    target = eigengram(styles)
    for layer in LAYERS:
        expected = by_definition(columns(styles, [layer]))
        close(target[layer].matrix.ravel(), expected)
        assert target[layer].positions == 1
        mean = mean_style(styles)[layer].matrix
        assert abs(target[layer].matrix - mean).max() > 0.01 * abs(mean).max()


def test_stacked_takes_one_eigenvector_of_all_layers(styles):
    target = eigengram(styles, stacked=True)
    close(np.concatenate([target[layer].matrix.ravel() for layer in LAYERS]), by_definition(columns(styles, LAYERS)))
    separate = eigengram(styles)
    assert any(abs(target[layer].matrix - separate[layer].matrix).max() > 1e-4 for layer in LAYERS)


@pytest.mark.parametrize("stacked", [False, True])
def test_the_weights_mix_the_styles(styles, stacked):
    weights, target = eigengram_weights(styles, stacked), eigengram(styles, stacked)
    for layer in LAYERS:
        mixed = sum(c * per_position(style, layer) for c, style in zip(weights[layer], styles, strict=True))
        close(target[layer].matrix, mixed)
        assert (weights[layer] > 0).all() and 0 < weights[layer].sum() < 1
    first, second = (weights[layer] for layer in LAYERS)
    assert np.array_equal(first, second) == stacked


def test_in_a_stack_the_layer_with_the_largest_features_decides(styles):
    loud = [{**s, "relu2_1": GramStatistics(s["relu2_1"].matrix * 1e6, s["relu2_1"].positions)} for s in styles]
    close(eigengram_weights(loud, stacked=True)["relu1_1"], eigengram_weights(styles)["relu2_1"], 1e-9)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_target_is_symmetric_and_positive_semidefinite(stacked, dtype):
    rng = np.random.default_rng(3)
    for _ in range(20):  # 6 positions of 8 channels: Gram matrices of rank 6, so that two eigenvalues are zero
        features = [{"a": rng.standard_normal((2, 3, 8)), "b": rng.exponential(1, (3, 2, 8))} for _ in range(4)]
        styles = [{layer: losses.gram_statistics(F.astype(dtype)) for layer, F in one.items()} for one in features]
        weights = eigengram_weights(styles, stacked)
        for layer, (matrix, _) in eigengram(styles, stacked).items():
            assert matrix.dtype == dtype and (weights[layer] >= 0).all()
            np.testing.assert_array_equal(matrix, matrix.T)
            eigenvalues = np.linalg.eigvalsh(matrix.astype("float64"))
            assert eigenvalues[0] >= -8 * np.finfo(dtype).eps * eigenvalues[-1]


@pytest.mark.parametrize("stacked", [False, True])
def test_one_style_gives_its_own_gram(styles, stacked):
    for make in (mean_style, lambda s: eigengram(s, stacked)):
        target = make(styles[:1])
        for layer in LAYERS:
            np.testing.assert_array_equal(target[layer].matrix, per_position(styles[0], layer))


@pytest.mark.parametrize("stacked", [False, True])
def test_identical_styles_give_themselves(styles, stacked):
    doubled = {layer: GramStatistics(2 * A, 2 * positions) for layer, (A, positions) in styles[1].items()}
    target = eigengram([styles[1], doubled, styles[1]], stacked)
    for layer in LAYERS:
        close(target[layer].matrix, per_position(styles[1], layer), 1e-14)
        close(eigengram_weights([styles[1]] * 3, stacked)[layer], [1 / 3] * 3, 1e-14)


@pytest.mark.parametrize("stacked", [False, True])
def test_multiples_of_one_gram_are_reproduced(styles, stacked):
    factors = [0.5, 1, 4]
    multiples = [{k: GramStatistics(a * A, m) for k, (A, m) in styles[2].items()} for a in factors]
    for layer, (matrix, _) in eigengram(multiples, stacked).items():
        close(matrix, sum(factors) / 3 * per_position(styles[2], layer), 1e-14)
        c = eigengram_weights(multiples, stacked)[layer]
        close(c, np.array(factors) * sum(factors) / 3 / np.dot(factors, factors), 1e-13)


def test_neither_order_nor_repetition_of_all_matters(styles):
    target = eigengram(styles)
    for other in (styles[::-1], styles + styles):
        for layer, (matrix, _) in eigengram(other).items():
            close(matrix, target[layer].matrix)


def test_where_eigenvectors_tie_the_target_is_the_nearest_to_the_mean():
    """Two styles without a channel in common, equally strong: any combination of them is a principal eigenvector."""
    one, other = np.diag([3.0, 0]), np.diag([0, 3.0])
    for order in ([one, other], [other, one]):
        target = eigengram([{"a": (A, 1)} for A in order])["a"].matrix
        np.testing.assert_allclose(target, np.diag([1.5, 1.5]), rtol=1e-15)


def test_styles_of_nothing_give_nothing():
    target = eigengram([{"a": (np.zeros((2, 2)), 5)}] * 3)["a"].matrix
    np.testing.assert_array_equal(target, np.zeros((2, 2)))


@pytest.mark.parametrize("make", [mean_style, eigengram])
def test_float32_is_worked_out_in_float64_and_rounded_once(styles, make):
    rough = [{k: GramStatistics(A.astype("f4"), m) for k, (A, m) in style.items()} for style in styles]
    fine = [{k: GramStatistics(A.astype("f8"), m) for k, (A, m) in style.items()} for style in rough]
    got, exact = make(rough), make(fine)
    for layer in LAYERS:
        np.testing.assert_array_equal(got[layer].matrix, exact[layer].matrix.astype("f4"), strict=True)


def test_an_objective_takes_them_for_a_style(net, styles):
    x = np.random.default_rng(9).uniform(0, 255, (14, 17, 3))
    for target in (mean_style(styles), eigengram(styles), eigengram(styles, stacked=True)):
        value, _ = Objective(net, style_images=target, style={"relu2_1": 1.0})(x)
        F = net.forward(x, ["relu2_1"])[0]["relu2_1"]
        assert value == losses.gram(F, *target["relu2_1"])[0]


def spread(styles, layer):
    G = columns(styles, [layer])
    return ((G - G.mean(axis=1, keepdims=True)) ** 2).sum()


def mixed_and_mean(net, styles, x, normalization):
    mixed = Objective(net, style_images=styles, style=LAYERS, normalization=normalization)
    weights = {layer: len(styles) * weight for layer, weight in LAYERS.items()}
    mean = Objective(net, style_images=mean_style(styles), style=weights, normalization=normalization)
    return mixed(x), mean(x)


@pytest.mark.parametrize("normalization", ["raw", "gatys", "mean_square"])
def test_the_sum_of_n_losses_is_n_times_the_loss_of_the_mean_and_a_constant(net, styles, normalization):
    for seed, size in ((1, (14, 17, 3)), (2, (10, 9, 3))):
        x = np.random.default_rng(seed).uniform(0, 255, size)
        (mixed, dmixed), (mean, dmean) = mixed_and_mean(net, styles, x, normalization)
        close(dmixed, dmean)
        constant = 0.0
        for layer, weight in LAYERS.items():
            F = net.forward(x, [layer])[0][layer]
            M, C = F.size // F.shape[-1], F.shape[-1]
            k = {"raw": M**2 / 2, "gatys": 1 / (4 * C**2), "mean_square": 1 / C**4}[normalization]
            constant += weight * k * spread(styles, layer)
        assert constant > 0.01 * mixed
        assert mixed - mean == pytest.approx(constant, rel=1e-11)


def test_under_relative_the_mean_does_not_stand_for_all(net, styles):
    x = np.random.default_rng(1).uniform(0, 255, (14, 17, 3))
    (_, dmixed), (_, dmean) = mixed_and_mean(net, styles, x, "relative")
    assert np.linalg.norm(dmixed - dmean) > 0.1 * np.linalg.norm(dmixed)


SOUND = {"a": (np.eye(2), 3)}


@pytest.mark.parametrize("make", [mean_style, eigengram, eigengram_weights])
@pytest.mark.parametrize(
    ("styles", "message"),
    [
        ([], "expected one style at least, got none"),
        ([SOUND, {"b": (np.eye(2), 3)}], "must have the same layers: style 1 has a; style 2 has b"),
        ([SOUND, {}], "must have the same layers: style 1 has a; style 2 has "),
        ([SOUND, {"a": (np.eye(2),)}], "layer 'a' must be a pair of a Gram matrix and a count of positions"),
        ([SOUND, {"a": (np.eye(3), 3)}], r"at 'a' style 1 has \(2, 2\), style 2 has \(3, 3\)"),
        ([SOUND, {"a": (np.eye(2), 0)}], "style 2 at layer 'a' needs a finite Gram matrix and a positive count"),
        ([{"a": (np.full((2, 2), np.nan), 1)}], "style 1 at layer 'a' needs a finite Gram matrix and a positive count"),
    ],
)
def test_what_does_not_fit_together_is_refused(make, styles, message):
    with pytest.raises(InputError, match=message):
        make(styles)


def test_two_dtypes_are_refused():
    with pytest.raises(TypeError, match="mixing styles needs arrays of one dtype"):
        eigengram([SOUND, {"a": (np.eye(2, dtype="f4"), 3)}])
