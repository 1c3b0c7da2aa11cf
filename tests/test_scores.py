"""Scores of a transfer: the formulas, what they are for known pictures, and that size does not matter."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vggnumpy import report
from vggnumpy.cli import main
from vggnumpy.color import srgb_to_lab
from vggnumpy.errors import InputError
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import resize, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.scores import Judge, palette_distance, transfer_score_table

NET = random_network(architecture("vgg19")[:12], rng=1)  # to relu3_1: quick
SIZE = 32


def smooth(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a colourful picture without detail finer than an eighth of it."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 8, 3)).astype("float32")
    return resize(coarse, (height, width)).clip(0, 255)


PHOTO, PAINTING, OTHER = smooth(0), smooth(1), smooth(2)


def judge(**more) -> Judge:
    return Judge(PHOTO, PAINTING, NET, SIZE, **more)


def test_the_photograph_scores_nothing_and_the_painting_everything():
    first, last = judge().score(PHOTO), judge().score(PAINTING)
    assert (first.style_score, first.content_distance, first.color_change) == (0, 0, 0)
    assert first.structure == pytest.approx(1)
    assert (last.style_score, last.style_distance) == (1, 0)
    assert last.color_to_style < 1e-3 < first.color_to_style
    assert last.structure < 0.9 and last.content_distance > 0.1 and last.color_change > 10


def test_distances_are_those_of_the_formula():
    square = smooth(1, 64, 64)  # other proportions than the photograph's, so another number of positions
    small = [resize(one, (24, 32)).clip(0, 255).astype("float32") for one in (OTHER, PHOTO)]
    small.append(resize(square, (32, 32)).clip(0, 255).astype("float32"))
    net = NET.with_pooling("average")
    found = Judge(PHOTO, square, NET, SIZE).score(OTHER)
    squares = {"style": [], "far": []}
    for layer in ("relu1_1", "relu2_1", "relu3_1"):
        F, P, S = (net.forward(one, [layer])[0][layer].reshape(-1, net.weights[f"conv{layer[4:]}"][1].size)
                   .astype("float64") for one in small)  # fmt: skip
        G, C, A = (one.T @ one / len(one) for one in (F, P, S))
        squares["style"].append(((G - A) ** 2).sum() / (A**2).sum())
        squares["far"].append(((C - A) ** 2).sum() / (A**2).sum())
        assert found.style[layer] == pytest.approx(squares["style"][-1] ** 0.5, rel=1e-4)
        assert found.content[layer] == pytest.approx((((F - P) ** 2).sum() / (P**2).sum()) ** 0.5, rel=1e-4)
    assert found.style_distance == pytest.approx(np.mean(squares["style"]) ** 0.5, rel=1e-4)
    assert found.style_score == pytest.approx(1 - (sum(squares["style"]) / sum(squares["far"])) ** 0.5, rel=1e-4)


def test_the_same_result_scores_the_same_at_two_sizes():
    whole, half = (judge().score(smooth(3, height, 4 * height // 3)) for height in (96, 48))
    for name, value in half.to_dict().items():
        if isinstance(value, float):
            assert vars(whole)[name] == pytest.approx(value, rel=0.02), name
    assert whole.style == pytest.approx(half.style, rel=0.02)


def test_of_several_styles_the_weighted_mean_of_their_matrices_is_the_style():
    alone = Judge(PHOTO, [PAINTING, OTHER], NET, SIZE, weights=[1, 0]).score(smooth(3))
    assert alone.style == judge().score(smooth(3)).style
    both = Judge(PHOTO, [PAINTING, OTHER], NET, SIZE)
    assert both.score(PAINTING).style_distance == pytest.approx(
        Judge(PHOTO, [PAINTING, OTHER], NET, SIZE, weights=[0.5, 0.5]).score(PAINTING).style_distance
    )
    assert 0 < both.score(PAINTING).style_distance


def test_the_style_scale_is_that_of_the_strokes():
    larger = judge(style_scale=2).score(PAINTING).style_distance
    assert larger > 0  # the painting itself at the standard size has smaller strokes than that
    same = Judge(PHOTO, resize(PAINTING, (96, 128)), NET, SIZE, 2)
    assert larger == pytest.approx(same.score(PAINTING).style_distance, rel=0.05)


def test_palettes_of_grey_pictures_are_as_far_apart_as_means_and_deviations():
    # Of one dimension the distance is known: d² = (μ_a − μ_b)² + (σ_a − σ_b)².
    rng = np.random.default_rng(0)
    a, b = (np.repeat(rng.uniform(low, high, (20, 30, 1)), 3, axis=2) for low, high in ((20, 60), (90, 240)))
    la, lb = (srgb_to_lab(one.astype("float32"))[..., 0].astype("float64") for one in (a, b))
    expected = ((la.mean() - lb.mean()) ** 2 + (la.std() - lb.std()) ** 2) ** 0.5
    assert palette_distance(a, b) == pytest.approx(expected, rel=1e-4)
    shuffled = rng.permutation(PHOTO.reshape(-1, 3)).reshape(PHOTO.shape)
    assert palette_distance(PHOTO, shuffled) < 0.01
    assert palette_distance(PHOTO, PAINTING) == pytest.approx(palette_distance(PAINTING, PHOTO))


def test_a_photograph_without_features_and_one_that_is_the_style_have_scores_too():
    # Without biases and mean nothing is seen of a black picture: all of it is lost, whatever the result.
    blind = replace(NET, mean=(0.0, 0.0, 0.0), weights={name: (w, 0 * b) for name, (w, b) in NET.weights.items()})
    black = np.zeros((48, 64, 3), "float32")
    assert set(Judge(black, PAINTING, blind, SIZE).score(OTHER).content.values()) == {1.0}
    assert Judge(black, PAINTING, blind, SIZE).score(black).content_distance == 0
    assert Judge(PHOTO, PHOTO, NET, SIZE).score(PHOTO).style_score == 0
    with pytest.raises(InputError, match="the style has no features at layer relu1_1"):
        Judge(PHOTO, black, blind, SIZE)


@pytest.mark.parametrize(("height", "width", "size"), [(66, 100, (16, 24)), (100, 64, (25, 16)), (500, 333, (23, 16))])
def test_proportions_that_are_off_by_rounding_alone_are_taken(height, width, size):
    found = Judge(smooth(0, height, width), PAINTING, NET, SIZE).score(smooth(3, *size))
    assert 0 < found.content_distance
    wrong = size[0], size[1] + 2
    with pytest.raises(InputError, match="must have the proportions of the content"):
        Judge(smooth(0, height, width), PAINTING, NET, SIZE).score(smooth(3, *wrong))


@pytest.mark.parametrize(
    ("arguments", "result", "words"),
    [
        ({}, PHOTO[..., 0], r"one picture H×W×3 to score, found shape \(48, 64\)"),
        ({}, PHOTO[:40], "must have the proportions of the content, 64×48 pixels; found 64×40"),
        ({"size": 8}, PHOTO, "at a long side of 16 pixels at least, got 8"),
    ],
)
def test_what_cannot_be_scored_is_refused(arguments, result, words):
    with pytest.raises(InputError, match=words):
        Judge(PHOTO, PAINTING, NET, **{"size": SIZE, **arguments}).score(result)


def test_the_table_has_a_line_for_each_picture():
    scores = [judge().score(one) for one in (PHOTO, OTHER)]
    lines = transfer_score_table(["photo.png", "a result.png"], scores).splitlines()
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    assert lines[0].split()[:3] == ["picture", "style", "content"]
    assert lines[0].split()[-3:] == ["relu1_1", "relu2_1", "relu3_1"]
    assert lines[1].split()[1:4] == ["0.000", "0.000", "1.000"]
    assert lines[2].split()[2] == f"{scores[1].style_score:.3f}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_weights("net.h5", NET)
    for name, image in {"photo": PHOTO, "painting": PAINTING, "result": OTHER}.items():
        write_image(f"{name}.png", image)
    return tmp_path


COMMAND = ["score", "transfer", "photo.png", "painting.png", "result.png", "--weights", "net.h5", "--size", "32"]


def test_score_transfer_on_the_command_line(folder, capsys):
    assert main([*COMMAND, "--plot", "plot.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "network random network, style painting.png"
    assert [line.split()[0] for line in lines[1:]] == ["picture", "photo.png", "result.png"]
    assert (folder / "plot.png").stat().st_size > 10_000
    assert main([*COMMAND, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    score = Judge(PHOTO.round(), PAINTING.round(), NET, SIZE).score(OTHER.round())
    assert (found["network"], found["size"], found["style_scale"]) == ("random network", 32, 1)
    assert found["scores"][1]["picture"] == "result.png"
    assert found["scores"][1]["style_score"] == pytest.approx(score.style_score, rel=1e-5)


def test_a_result_below_the_standard_size_is_said(folder, capsys):
    assert main([*COMMAND[:-1], "65"]) == 0
    assert "result.png has 64 pixels only" in capsys.readouterr().err
    assert main([*COMMAND[:-1], "64"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--plot", "plot.jpg"], "choose a name that ends in .png"),
        (["--plot", "painting.png"], "is an input and would be overwritten"),
        (["--style-scale", "0"], "the style scale must be a number from 0.01 to 100, got 0"),
        (["--classifier", "net.h5"], "has no classifier"),
        (["--classifier", "none.h5"], "none.h5: there is no such file"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, more, words):
    assert main([*COMMAND, *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and words in captured.err
    assert sorted(path.name for path in folder.iterdir()) == ["net.h5", "painting.png", "photo.png", "result.png"]


def test_a_grid_has_a_place_for_every_picture(tmp_path):
    cells = [[PHOTO, None], [PAINTING, np.full((30, 40, 3), 300.0)]]
    report.plot_grid(tmp_path / "grid.png", cells, ["a", "b"], ["c", "d"], [["1", "2"], ["3", "4"]], "title")
    assert (tmp_path / "grid.png").stat().st_size > 10_000
