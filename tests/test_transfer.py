"""The driver: scales, starts, styles, determinism, interruption."""

import gc
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest

import vggnumpy as vn
from vggnumpy.nets import architecture, random_network
from vggnumpy.ops.geometry import Sides
from vggnumpy.plan import canvas_sides, plan_transfer, scale_sizes
from vggnumpy.presets import FAMILIES, PRESETS, choose_layers, preset
from vggnumpy.scale import objective_at
from vggnumpy.transfer import transfer

NET = random_network(architecture("vgg19")[:12], rng=1)  # to relu3_1: quick
RNG = np.random.default_rng(0)
CONTENT = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)
STYLE = RNG.integers(0, 256, (64, 48, 3), dtype=np.uint8)
QUICK = {"net": NET, "iterations": 3, "size": 48}


@pytest.mark.parametrize(
    ("size", "scales", "expected"),
    [
        (512, None, [(64, 128), (128, 256), (256, 512)]),
        (300, None, [(75, 150), (150, 300)]),
        (100, None, [(50, 100)]),
        (512, 1, [(256, 512)]),
        (128, 3, [(16, 32), (32, 64), (64, 128)]),
        (None, 1, [(256, 512)]),
    ],
)
def test_each_scale_doubles_the_one_before(size, scales, expected):
    assert scale_sizes(500, 1000, size, scales) == expected


def test_the_first_scale_may_be_coarser_or_finer():
    assert scale_sizes(500, 1000, 200, None, coarsest=40) == [(25, 50), (50, 100), (100, 200)]
    assert scale_sizes(500, 1000, 300, None, coarsest=200) == [(150, 300)]


def test_small_pictures_are_not_enlarged_unless_asked():
    assert scale_sizes(30, 40, None, 1) == [(30, 40)]
    assert scale_sizes(30, 40, 80, 1) == [(60, 80)]


@pytest.mark.parametrize(("size", "scales"), [(8, None), (-3, None), (64, 0), (64, 4)])
def test_impossible_scales_are_refused(size, scales):
    with pytest.raises(vn.InputError):
        scale_sizes(500, 500, size, scales)


@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (48, 33), (512, 341)])
def test_the_canvas_is_a_multiple_of_16_and_the_margin_wide_enough(shape):
    sides = canvas_sides(preset("default"), shape)
    assert (shape[0] + sides.top + sides.bottom) % 16 == 0
    assert (shape[1] + sides.left + sides.right) % 16 == 0
    assert 8 <= min(sides) <= max(sides) <= 16
    assert not any(canvas_sides(preset("gatys"), shape))


def test_the_margin_is_painted_along_and_cut_off():
    seen = []
    result = transfer(CONTENT, STYLE, callback=lambda progress: seen.append(progress.pixels.shape), **QUICK)
    assert result.settings["margin"] == 8
    assert {*seen, result.pixels.shape} == {(34, 48, 3)}
    assert not np.array_equal(result.pixels, transfer(CONTENT, STYLE, margin=0, **QUICK).pixels)


def test_most_of_what_is_cut_off_has_no_share_in_the_style():
    """Gram matrices take in four pixels of a margin of eight; relu1_1 sees one more."""
    plan = plan_transfer(CONTENT, STYLE, style_layers={"relu1_1": 1.0}, **QUICK)
    objective, canvas = objective_at(plan, NET, (34, 48), Sides(8, 8, 8, 8)), RNG.uniform(0, 255, (50, 64, 3))
    losses = []
    for rim in (0, 3, 5):
        changed = canvas.astype("float32")
        changed[:rim] = 0
        objective(changed)
        losses.append(objective.terms["style relu1_1"].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0] != pytest.approx(losses[2], rel=1e-6)


def test_the_loss_falls_and_the_result_says_how_it_was_made():
    result = transfer(CONTENT, STYLE, net=NET, iterations=8, size=48, scales=2)
    assert result.image.dtype == np.uint8
    assert result.image.shape == (34, 48, 3)
    assert [tuple(size) for size in result.settings["sizes"]] == [(17, 24), (34, 48)]
    for scale in (1, 2):
        losses = [row["loss"] for row in result.history if row["scale"] == scale]
        assert losses[-1] < losses[0]
    assert [row["iteration"] for row in result.history] == list(range(1, 9))
    assert sum(result.terms.values()) == pytest.approx(result.history[-1]["loss"], rel=1e-6)
    assert result.settings["style_layers"] == {"relu1_1": 1 / 3, "relu2_1": 1 / 3, "relu3_1": 1 / 3}


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = (transfer(CONTENT, STYLE, start="noise", seed=seed, **QUICK).pixels for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_starts():
    images = {start: transfer(CONTENT, STYLE, start=start, **QUICK).pixels for start in ("content", "noise", "style")}
    assert len({image.tobytes() for image in images.values()}) == 3


def test_noise_is_around_the_mean_of_the_content_or_where_none_is_kept_of_the_style():
    dark, light = np.full((128, 128, 3), 40, np.uint8), np.full((128, 128, 3), 200, np.uint8)
    for kept, mean in (({"relu2_1": 1.0}, 40), ({}, 200)):
        plan = plan_transfer(dark, light, net=NET, start="noise", content_layers=kept)
        assert plan.start.mean() == pytest.approx(mean, abs=2)


def test_patches_are_matched_beside_gram_matrices():
    patches = {"relu2_1": 0.5}
    result = transfer(CONTENT, STYLE, patch_layers=patches, **QUICK)
    assert result.terms["patches relu2_1"] > 0 and result.terms["style relu2_1"] > 0
    assert not np.array_equal(result.pixels, transfer(CONTENT, STYLE, **QUICK).pixels)


def test_start_from_a_file(tmp_path):
    path = tmp_path / "start.png"
    vn.images.write_image(path, STYLE)
    from_file = transfer(CONTENT, STYLE, start=str(path), **QUICK).pixels
    assert np.array_equal(from_file, transfer(CONTENT, STYLE, start="style", **QUICK).pixels)


def test_several_styles_are_mixed_by_their_shares():
    other = CONTENT[::-1].copy()
    mixed = transfer(CONTENT, [STYLE, other], style_weights=[3, 1], **QUICK)
    assert mixed.settings["style_weights"] == [0.75, 0.25]
    alone = transfer(CONTENT, STYLE, **QUICK).pixels
    assert np.array_equal(transfer(CONTENT, [STYLE, other], style_weights=[2, 0], **QUICK).pixels, alone)
    assert not np.array_equal(mixed.pixels, alone)
    # The same style twice is that style, not a stronger one.
    np.testing.assert_allclose(transfer(CONTENT, [STYLE, STYLE], **QUICK).pixels, alone, atol=1e-2)


def test_pixels_are_clamped_only_when_written():
    result = transfer(CONTENT, STYLE, net=NET, iterations=15, size=48)
    assert result.pixels.min() < 0 or result.pixels.max() > 255
    assert np.array_equal(result.image, np.clip(np.rint(result.pixels), 0, 255).astype(np.uint8))


def test_interrupting_keeps_the_best_image():
    seen = []

    def stop(progress):
        seen.append(progress.pixels)
        if progress.iteration == 4:
            raise KeyboardInterrupt

    result = transfer(CONTENT, STYLE, net=NET, iterations=8, size=48, callback=stop)
    assert result.interrupted
    assert len(result.history) == 4
    assert np.array_equal(result.pixels, seen[-1])


def test_interrupting_before_the_first_step_keeps_the_start(monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vggnumpy.scale.resize", interrupt)
    result = transfer(CONTENT, STYLE, **QUICK)
    assert result.interrupted
    assert np.array_equal(result.image, CONTENT)


def test_fewer_iterations_than_scales_leave_the_coarsest_out():
    result = transfer(CONTENT, STYLE, net=NET, iterations=1, size=64, scales=2)
    assert [row["size"] for row in result.history] == [(46, 64)]


def test_a_picture_that_cannot_fit_into_memory_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("vggnumpy.plan.available_memory", lambda: 10**9)
    with pytest.raises(vn.InputError, match="use a size of"):
        transfer(CONTENT, STYLE, net=NET, size=20_000)
    with pytest.raises(vn.InputError, match="use a size of"):
        transfer(CONTENT, STYLE, net=NET, size=1000, style_scale=20)
    monkeypatch.setattr("vggnumpy.plan.available_memory", lambda: 1000)
    with pytest.raises(vn.InputError, match="no size fits: use a smaller network or style scale"):
        transfer(CONTENT, STYLE, net=NET, size=64)


def test_the_memory_of_one_scale_is_free_before_the_next_is_taken(monkeypatch):
    made, alive = [], []

    def remembered(*arguments):
        alive.append(sum(one() is not None for one in made))
        objective = objective_at(*arguments)
        made.append(weakref.ref(objective))
        return objective

    monkeypatch.setattr(sys.modules["vggnumpy.transfer"], "objective_at", remembered)
    gc.disable()  # what waits for it takes memory as long
    try:
        transfer(CONTENT, STYLE, scales=2, **QUICK)
    finally:
        gc.enable()
    assert alive == [0, 0]


def test_a_loss_that_is_not_finite_at_the_start_is_said():
    weights = {name: (w * np.float32(1e25), b) for name, (w, b) in NET.weights.items()}
    with pytest.raises(vn.InputError, match="and finite"):
        transfer(CONTENT, STYLE, **{**QUICK, "net": replace(NET, weights=weights)})
    with pytest.raises(vn.InputError, match="use smaller weights"):
        transfer(CONTENT, STYLE, **{**QUICK, "net": replace(NET, weights=weights)}, normalization="gatys")


def test_without_a_network_the_best_there_is_paints():
    assert transfer(CONTENT, STYLE, iterations=1, size=32).network["name"] == "small-vgg"


@pytest.mark.parametrize("optimizer", ["gradient-descent", "momentum", "adam", "lbfgs-fixed"])
def test_every_optimiser_runs(optimizer):
    options = {"gradient-descent": {"rate": 1.0}, "momentum": {"rate": 1.0}, "adam": {"rate": (5.0, 1.0)}}
    chosen = {"optimizer": optimizer, "optimizer_options": options.get(optimizer, {})}
    result = transfer(CONTENT, STYLE, **QUICK, **chosen)
    assert len(result.history) == 3
    assert np.isfinite(result.pixels).all()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_layers_of_the_networks_they_are_for(name):
    table = {layer.name for layer in architecture("vgg19")}
    settings = choose_layers(preset(name), random_network("vgg19"))
    assert set(settings.content_layers) | set(settings.style_layers) <= table


def test_a_preset_whose_layers_are_missing_says_which():
    with pytest.raises(vn.InputError, match="no layer 'relu4_2'"):
        transfer(CONTENT, STYLE, settings="gatys", **QUICK)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 0}, "iterations"),
        ({"margin": -1}, "margin"),
        ({"seed": -1}, "seed"),
        ({"size": 32.0}, "whole number"),
        ({"start": 3}, "start must be"),
        ({"variation": float("nan")}, "variation must be a finite number"),
        ({"variation": -5}, "variation must be a finite number"),
        ({"style_layers": {"relu1_1": float("inf")}}, "relu1_1 must be a finite number"),
        ({"content_layers": {"relu2_2": 1e300}}, "relu2_2 must be a finite number"),
        ({"style_scale": float("inf")}, "style scale"),
        ({"style_scale": 0}, "style scale"),
        ({"style_scale": 1e9}, "the style scale must be a number from 0.01 to 100, got 1e"),
        ({"style_scale": float("nan")}, "style scale"),
        ({"nonsense": 1}, "setting 'nonsense' is unknown"),
        ({"style_loss": "local", "patch_layers": {"relu2_1": 1.0}}, "beside Gram matrices only"),
        ({"patch_layers": {"relu2_1": -1.0}}, "weight of layer relu2_1"),
        ({"settings": "nonsense"}, "preset 'nonsense' is unknown"),
        ({"style_weights": [1, 2]}, "as many weights"),
        ({"style_weights": [-1]}, "not be negative"),
        ({"style_weights": [0]}, "more than 0"),
        ({"style_weights": [float("nan")]}, "more than 0"),
        ({"pooling": "median"}, "pooling"),
        ({"optimizer": "newton"}, "method"),
        ({"style_layers": {"relu9_9": 1}}, "no layer 'relu9_9'"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(changes, message):
    with pytest.raises(vn.InputError, match=message):
        transfer(CONTENT, STYLE, **{**QUICK, **changes})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 40), np.uint8),
        np.zeros((40, 40, 4), np.uint8),
        np.zeros((8, 40, 3), np.uint8),
        np.zeros((40, 40, 3), np.uint16),
        np.full((40, 40, 3), np.nan),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(vn.InputError, match="image must be"):
        transfer(array, STYLE, **QUICK)
    with pytest.raises(vn.InputError, match="image must be"):
        transfer(CONTENT, array, **QUICK)
    with pytest.raises(vn.InputError, match="one style picture"):
        transfer(CONTENT, [], **QUICK)


def test_a_network_of_small_pictures_takes_its_content_from_the_second_block():
    net = vn.load_network("builtin")
    assert choose_layers(preset("default"), net).content_layers == {"relu2_2": 0.01}
    large = replace(net, image_size=(224, 224))
    assert choose_layers(preset("default"), large).content_layers == {"relu3_2": 0.01}


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "squeezenet1_1", "squeezenet1_0"])
def test_networks_of_other_families_have_usual_layers_too(name):
    net = random_network(architecture(name))
    settings = choose_layers(preset("default"), net)
    layers, content = FAMILIES[name.partition("1_")[0]]
    assert settings.style_layers == dict.fromkeys(layers, 0.25)
    assert settings.content_layers == {content: 0.04}  # random filters
    trained = replace(net, provenance={"trained": True})
    assert choose_layers(preset("default"), trained).content_layers == {content: 0.01}
