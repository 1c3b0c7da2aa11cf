"""Made-up Gram matrices: as drawn, with a painting's numbers, and with the right gradient though not symmetric."""

import numpy as np
import pytest
from small_styles import LAYERS, small_chain, small_styles

from vggnumpy import Objective, losses
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.losses import GramStatistics
from vggnumpy.synthesis import (
    LOUD,
    Entry,
    Sparse,
    channel_counts,
    gram_summary,
    lots_in,
    lots_like,
    single_entry_gram,
    sparse_gram,
    synthetic_style,
)

NET = small_chain()


def test_a_single_entry():
    A = single_entry_gram(5, 1, 3, 2.5)
    assert A.dtype == np.float32 and A[1, 3] == 2.5 and np.count_nonzero(A) == 1
    assert single_entry_gram(5, 2, 2, 1.0, "float64").dtype == np.float64


@pytest.mark.parametrize(
    ("i", "j", "magnitude"),
    [(5, 0, 1), (0, 5, 1), (-1, 0, 1), (0, 0, -1), (0, 0, np.inf), (0, 0, np.nan), (0, 0, 1e39)],
)
def test_an_entry_out_of_range_is_refused(i, j, magnitude):
    with pytest.raises(InputError, match=r"is at 0 to 4, got|must be finite, not negative"):
        single_entry_gram(5, i, j, magnitude)


def test_a_sparse_matrix_has_the_sparsity_and_sigma_asked_for():
    A = sparse_gram(400, 0.7, 3.0, np.random.default_rng(0), "float64")
    assert A.min() == 0 and not np.array_equal(A, A.T)
    assert (A == 0).mean() == pytest.approx(0.7, abs=0.005)
    assert np.square(A[A > 0]).mean() ** 0.5 == pytest.approx(3.0, rel=0.01)
    assert A[A > 0].mean() == pytest.approx(3 * (2 / np.pi) ** 0.5, rel=0.01)


def test_the_pattern_does_not_depend_on_strength_or_sparsity():
    weak, strong, sparser = (
        sparse_gram(30, *numbers, np.random.default_rng(4)) for numbers in ((0.5, 1), (0.5, 8), (0.8, 1))
    )
    np.testing.assert_array_equal(8 * weak, strong)
    assert 0 < np.count_nonzero(sparser) < np.count_nonzero(weak)
    np.testing.assert_array_equal(sparser[sparser > 0], weak[sparser > 0])
    assert not sparse_gram(9, 1.0, 1.0, np.random.default_rng(0)).any()


@pytest.mark.parametrize(
    ("sparsity", "sigma"), [(-0.1, 1), (1.1, 1), (0.5, -1), (0.5, np.inf), (np.nan, 1), (0.5, 1e38)]
)
def test_numbers_of_no_sparse_matrix_are_refused(sparsity, sigma):
    with pytest.raises(InputError, match="sparsity from 0 to 1 and a finite σ"):
        sparse_gram(5, sparsity, sigma, np.random.default_rng(0))


@pytest.mark.parametrize(("sparsity", "sigma"), [(0.0, 2.0), (0.4, 0.1), (0.95, 50.0)])
def test_a_summary_finds_what_a_matrix_was_drawn_with(sparsity, sigma):
    A = sparse_gram(500, sparsity, sigma, np.random.default_rng(1), "float64")
    found = gram_summary({"a": GramStatistics(7 * A, 7)})["a"]
    assert found.sparsity == pytest.approx(sparsity, abs=0.02)
    assert found.sigma == pytest.approx(sigma, rel=0.02)
    assert found.mean == pytest.approx(A.mean()) and found.largest == pytest.approx(A.max())
    assert found.amplitude == pytest.approx(np.square(A).mean() ** 0.5)


def test_the_histogram_counts_every_entry_in_units_of_the_amplitude():
    A = np.array([[0, 3.0], [3.0, 4.0]])
    found = gram_summary({"a": (A, 1)})["a"]
    assert sum(found.counts) == pytest.approx(1) and len(found.counts) == len(found.edges) - 1 == 34
    edges, counts = np.array(found.edges), np.array(found.counts)
    assert counts[0] == 0.25  # the zero
    rms = np.square(A).mean() ** 0.5
    assert counts[np.searchsorted(edges, 3 / rms) - 1] >= 0.5
    assert found.to_dict()["edges"][-1] == pytest.approx(1e4)  # JSON knows no infinity


def test_even_matrices_are_not_sparse_and_empty_ones_have_no_strength():
    even, empty = gram_summary({"a": (np.ones((3, 3)), 1), "b": (np.zeros((3, 3)), 1)}).values()
    assert (even.sparsity, even.sigma) == (0.0, 1.0)
    assert (empty.sparsity, empty.sigma, empty.amplitude, empty.counts[0]) == (1.0, 0.0, 0.0, 1.0)


def test_a_style_is_drawn_for_the_networks_layers():
    lots = {"relu1_1": Entry(2.0), "relu2_1": Sparse(0.5, 1.0)}
    style, again, other = (synthetic_style(NET, lots, seed) for seed in (3, 3, 4))
    assert channel_counts(NET, lots) == {"relu1_1": 4, "relu2_1": 6}
    for layer, C in (("relu1_1", 4), ("relu2_1", 6)):
        A, positions = style[layer]
        assert A.shape == (C, C) and A.dtype == np.float32 and positions == 1
        np.testing.assert_array_equal(A, again[layer].matrix)
    assert not np.array_equal(style["relu2_1"].matrix, other["relu2_1"].matrix)
    rng = np.random.default_rng(0)
    assert not any(np.trace(Entry(1.0).draw(2, rng)) for _ in range(20))  # two different channels
    fixed = synthetic_style(NET, {"relu1_1": Entry(2.0, 3, 3)})["relu1_1"].matrix
    assert fixed[3, 3] == 2 and np.count_nonzero(fixed) == 1


@pytest.mark.parametrize("normalization", ["relative", "gatys", "mean_square", "raw"])
@pytest.mark.parametrize("lot", [Entry(900.0, 1, 2), Sparse(0.6, 300.0)])
def test_the_gradient_of_a_target_that_is_not_symmetric_is_exact(normalization, lot):
    net = small_chain(dtype="float64")
    style = synthetic_style(net, {"relu2_1": lot}, 5)
    assert not np.array_equal(style["relu2_1"].matrix, style["relu2_1"].matrix.T)
    fun = Objective(net, None, style, style={"relu2_1": 1.0}, normalization=normalization)
    x = np.random.default_rng(2).uniform(0, 255, (9, 11, 3))
    assert check_gradient(fun, x) < 1e-6


def test_the_loss_of_a_single_entry_is_three_quarters_at_best():
    """m/4 at (i, i), (i, j), (j, i) and (j, j) is the nearest Gram matrix to m at (i, j) alone."""
    A = single_entry_gram(6, 1, 4, 8.0, "float64")
    F = np.zeros((1, 1, 6))
    F[..., [1, 4]] = 2**0.5
    value, dF = losses.gram(F, A, 1, "relative")
    assert value == pytest.approx(0.75) and abs(dF).max() < 1e-12


def test_lots_have_a_styles_numbers_where_none_are_given():
    style = small_styles(1, size=64)[0].grams[64]
    summaries = gram_summary(style)
    sparse = lots_like(style, "sparse", LAYERS)
    assert sparse == {layer: Sparse(summaries[layer].sparsity, summaries[layer].sigma) for layer in LAYERS}
    assert lots_like(style, "sparse", ["relu1_1"], sparsity=0.9, sigma=2.0) == {"relu1_1": Sparse(0.9, 2.0)}
    A, positions = style["relu2_1"]
    entry = lots_like(style, "entry", ["relu2_1"])["relu2_1"]
    assert entry.magnitude == pytest.approx(LOUD * np.linalg.norm(A / positions), rel=1e-5)
    assert lots_like(style, "entry", ["relu1_1"], magnitude=3.0, entry=(1, 2)) == {"relu1_1": Entry(3.0, 1, 2)}
    with pytest.raises(InputError, match="of the kinds sparse, entry, got 'dense'"):
        lots_like(style, "dense", LAYERS)
    with pytest.raises(InputError, match="no layer 'relu9_1'; it has relu1_1, relu2_1"):
        lots_like(style, "sparse", ["relu9_1"])


def test_only_a_synthetic_recipe_says_how_to_draw():
    recipe = {"made": "synthetic", "kind": "entry", "layers": {"relu1_1": {"magnitude": 2.0, "i": None, "j": 3}}}
    assert lots_in(recipe) == {"relu1_1": Entry(2.0, None, 3)}
    assert lots_in({**recipe, "kind": "sparse", "layers": {"a": {"sparsity": 0.1, "sigma": 2}}}) == {
        "a": Sparse(0.1, 2)
    }
    for bad in (
        {"made": "mean"},
        {**recipe, "layers": {"a": {"loudness": 1}}},
        {**recipe, "layers": {"a": 3}},
        {**recipe, "layers": {"a": {"magnitude": "x"}}},
    ):
        with pytest.raises(InputError, match=r"only a style that|does not say how it was drawn"):
            lots_in(bad)


@pytest.mark.parametrize(
    ("kind", "numbers", "said"),
    [
        ("entry", {"sparsity": 0.5}, "sparsity belongs to the kind sparse"),
        ("entry", {"sigma": 0.0}, "sigma belongs to the kind sparse"),
        ("sparse", {"magnitude": 2.0}, "magnitude belongs to the kind entry"),
        ("sparse", {"entry": (1, 2)}, "entry belongs to the kind entry"),
    ],
)
def test_a_number_of_the_other_kind_is_refused_and_not_ignored(kind, numbers, said):
    with pytest.raises(InputError, match=said):
        lots_like(small_styles(1)[0].grams[128], kind, LAYERS, **numbers)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("sparse", {"sparsity": None, "sigma": 1}),
        ("sparse", {"sparsity": 0.5}),
        ("entry", {"magnitude": 1, "i": 1.5, "j": 2}),
        ("entry", {"magnitude": None, "i": None, "j": None}),
    ],
)
def test_a_recipe_that_cannot_be_drawn_from_is_refused(kind, numbers):
    with pytest.raises(InputError, match="does not say how it was drawn"):
        lots_in({"made": "synthetic", "kind": kind, "layers": {"relu1_1": numbers}})
