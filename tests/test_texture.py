"""Pictures painted from noise with no content: nearer to their style than noise, redrawn targets, previews."""

import numpy as np
import pytest
from small_styles import LAYERS, small_chain, small_styles

from vggnumpy import losses, style_of
from vggnumpy.errors import InputError
from vggnumpy.gradcheck import check_gradient
from vggnumpy.nets.identity import features_digest
from vggnumpy.synthesis import Entry, Sparse, gram_summary, lots_in, lots_like, synthetic_style
from vggnumpy.texture import RedrawnGram, paint_redrawn, paint_style, synthetic_multiscale

NET = small_chain()
STYLE = small_styles(1, size=64)[0]
SPARSE = lots_like(STYLE.grams[64], "sparse", LAYERS)


def distance(pixels, style):
    own = style_of(NET, pixels, LAYERS)
    return sum(
        losses.gram_value(*(x for pair in zip(own[k], style[k], strict=True) for x in pair), "relative")[0]
        for k in LAYERS
    )


def test_a_style_is_painted_from_noise():
    style = STYLE.grams[64]
    start, end = (paint_style(NET, style, (24, 20), iterations=n, rng=3) for n in (1, 30))
    assert end.shape == (24, 20, 3) and end.dtype == np.float32
    assert distance(end, style) < 0.2 * distance(start, style)
    np.testing.assert_array_equal(end, paint_style(NET, style, (24, 20), iterations=30, rng=3))
    assert not np.array_equal(end, paint_style(NET, style, (24, 20), iterations=30, rng=4))


def test_the_size_penalty_keeps_the_pixels_near_black_and_white():
    summary = gram_summary(STYLE.grams[64])["relu2_1"]
    target = synthetic_style(NET, {"relu2_1": Entry(30 * 6 * summary.amplitude, 1, 2)})
    free, held = (paint_style(NET, target, (24, 24), iterations=30, size=size, variation=0.0) for size in (0.0, 0.1))
    assert abs(held - 128).max() < 400 < 1000 < abs(free - 128).max()


def test_a_redrawn_target_is_another_one_each_time_and_its_gradient_exact():
    loss = RedrawnGram(Sparse(0.5, 30.0), 6, np.random.default_rng(0))
    F = np.random.default_rng(1).uniform(0, 5, (5, 4, 6))
    values = []
    for _ in range(3):
        assert check_gradient(loss, F) < 1e-6
        values.append(loss(F)[0])
        assert loss(F)[0] == values[-1]  # until it is drawn anew
        loss.redraw()
    assert len(set(values)) == 3
    assert loss(F.astype("float32"))[1].dtype == np.float32


def test_painting_after_redrawn_targets_draws_one_for_every_iteration():
    seen = []

    class Counted(Sparse):
        def draw(self, *arguments):
            seen.append(1)
            return super().draw(*arguments)

    lots = {layer: Counted(one.sparsity, one.sigma) for layer, one in SPARSE.items()}
    steps = []
    pixels = paint_redrawn(NET, lots, (24, 20), iterations=6, callback=lambda one: steps.append(one.x))
    assert len(steps) == 6 and len(seen) == 2 * (1 + 6)
    np.testing.assert_array_equal(pixels, steps[-1])  # not the luckiest
    np.testing.assert_array_equal(pixels, paint_redrawn(NET, SPARSE, (24, 20), iterations=6))


def test_redrawn_targets_lead_to_their_mean():
    mean = {layer: (np.full((C, C), (1 - SPARSE[layer].sparsity) * SPARSE[layer].sigma * (2 / np.pi) ** 0.5, "f4"), 1)
            for layer, C in (("relu1_1", 4), ("relu2_1", 6))}  # fmt: skip
    early, late = (paint_redrawn(NET, SPARSE, (32, 32), iterations=n, variation=0.0, rate=(5.0, 0.5)) for n in (1, 30))
    assert distance(late, mean) < 0.9 * distance(early, mean)


def test_a_synthetic_style_is_kept_with_its_preview_and_recipe():
    two = small_styles(1)[0]
    lots = {size: lots_like(one, "sparse", ["relu2_1"]) for size, one in two.grams.items()}
    made = synthetic_multiscale(NET, lots, 5, two, iterations=2)
    assert (made.sizes, made.layers) == ((128, 256), ("relu2_1",))
    assert made.digests == {"relu2_1": features_digest(NET, "relu2_1")}
    small, large = (made.grams[size]["relu2_1"].matrix for size in made.sizes)
    assert made.grams[128]["relu2_1"].positions == 1
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9  # the same draws, each with its size's numbers
    assert not np.array_equal(small, large)
    assert made.preview.shape == (128, 128, 3) and made.preview.std() > 5
    assert made.recipe["seed"] == 5 and made.recipe["of"] == [two.recipe]
    assert lots_in(made.recipe) == lots[256]
    entry = synthetic_multiscale(NET, {64: {"relu1_1": Entry(9.0)}}, iterations=1)
    assert entry.recipe["kind"] == "entry" and entry.recipe["of"] == []


def test_a_target_of_nothing_is_refused():
    with pytest.raises(InputError, match="not zero everywhere"):
        paint_style(NET, {"relu1_1": (np.zeros((4, 4), "f4"), 1)}, (20, 20), iterations=1)
