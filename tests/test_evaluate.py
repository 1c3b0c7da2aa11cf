"""Class scores: what a classifier says of a picture, which part it looks at, and the report's table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vggnumpy.cli import main
from vggnumpy.errors import InputError
from vggnumpy.evaluate import class_probabilities, class_scores, error_rate, score_table
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import write_image
from vggnumpy.nets import Layer, Network, chain
from vggnumpy.nets.tables import conv

COLORS = {"red": (200, 10, 10), "green": (10, 200, 10), "blue": (10, 10, 200)}


def color_classifier() -> Network:
    """Return a network whose classes are the colour that a picture has most of: softmax of the mean channels / 10."""
    mean = Layer("mean", "pool", (), (0, 0), method="average")
    table = chain([conv("scores", 3, 1, 0), mean, Layer("p", "softmax", ())])
    weights = {"scores": (np.eye(3, dtype="float32")[None, None] / 10, np.zeros(3, "float32"))}
    return Network("colours", table, weights, image_size=(8, 8), classes=tuple(COLORS))


def picture(name: str, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), COLORS[name], "uint8")


def half_and_half() -> np.ndarray:
    """Return a picture that is red on the left and blue on the right."""
    image = picture("red", 20, 40)
    image[:, 20:] = COLORS["blue"]
    return image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_weights("net.h5", color_classifier())
    for name in COLORS:
        write_image(f"{name}.png", picture(name))
    return tmp_path


def test_probabilities_are_the_softmax_of_the_scores():
    found = class_probabilities(color_classifier(), picture("green"))
    scores = np.exp(np.array(COLORS["green"]) / 10.0)
    np.testing.assert_allclose(found, scores / scores.sum(), rtol=1e-5)
    assert found.dtype == np.float64


def test_the_box_says_where_to_look_and_the_middle_is_looked_at_otherwise():
    net, image = color_classifier(), half_and_half()
    assert class_probabilities(net, image, (0, 0, 20, 20)).argmax() == 0
    assert class_probabilities(net, image, (20, 0, 20, 20)).argmax() == 2
    np.testing.assert_allclose(class_probabilities(net, image)[[0, 2]], 0.5, atol=0.03)  # the middle has both
    wide = picture("red", 10, 50)
    wide[:, :20], wide[:, 30:] = COLORS["blue"], COLORS["blue"]
    assert class_probabilities(net, wide).argmax() == 0  # only the square in the middle


def test_a_map_of_scores_is_averaged():
    whole = color_classifier()
    net = replace(whole, table=chain([conv("scores", 3, 1, 0), Layer("p", "softmax", ())]), image_size=None)
    found = class_probabilities(net, half_and_half(), (10, 0, 20, 20))
    np.testing.assert_allclose(found, [0.5, 0, 0.5], atol=1e-4)


def test_class_kept_and_score_of_the_original_s_class():
    net, original = color_classifier(), half_and_half()
    reddish = half_and_half()
    reddish[..., 0] += 20
    scores = class_scores(net, original, [reddish, picture("green", 20, 40)], (0, 0, 20, 20))
    assert [score.kept for score in scores] == [True, True, False]
    assert [score.class_name for score in scores] == ["red", "red", "green"]
    assert scores[0].score == scores[0].original_score
    assert scores[2].original_score < 1e-6 < 0.99 < scores[2].score
    # In a picture of half the size the box is half as large, too.
    small = class_scores(net, original, [original[::2, ::2]], (20, 0, 20, 20))
    assert [score.class_name for score in small] == ["blue", "blue"]


def test_the_table_is_the_report_s():
    scores = class_scores(replace(color_classifier(), classes=()), picture("red"), [picture("blue")])
    lines = score_table(["original.png", "styled.png"], scores).splitlines()
    assert lines[0].split() == ["picture", "score", "kept", "most", "likely"]
    assert lines[1].split() == ["original.png", "1.0000", "yes", "class", "0", "(1.0000)"]
    assert lines[2].split() == ["styled.png", "0.0000", "no", "class", "2", "(1.0000)"]
    assert len({line.index(word) for line, word in zip(lines, ("score", "1.0000", "0.0000"), strict=True)}) == 1


def test_what_cannot_be_classified_is_refused():
    net = color_classifier()
    headless = replace(net, table=net.table[:2])
    with pytest.raises(InputError, match="network colours has no classifier"):
        class_probabilities(headless, picture("red"))
    with pytest.raises(InputError, match=r"expected one picture H×W×3 to classify, found shape \(20, 30\)"):
        class_probabilities(net, picture("red")[..., 0])
    for box in ((-1, 0, 5, 5), (0, 0, 31, 5), (0, 16, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(InputError, match="is not inside the picture of 30×20 pixels"):
            class_probabilities(net, picture("red"), box)


def test_the_error_is_the_share_of_wrong_answers_found_with_one_thread_a_batch(monkeypatch):
    seen, forward = [], Network.forward

    def watched(net, pixels, layers):
        seen.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        return forward(net, pixels, layers)

    monkeypatch.setattr(Network, "forward", watched)
    net = replace(color_classifier(), image_size=None)
    pixels = np.stack([picture(name) for name in ("red", "green", "blue", "red", "green")])
    with threadpool_limits(2, "blas"):
        assert error_rate(net, pixels, np.array([0, 1, 1, 2, 1]), batch=2) == 2 / 5
        with pytest.raises(InputError, match="network colours knows 3 classes; these are 4"):
            error_rate(net, pixels, np.array([0, 1, 1, 3, 1]), batch=2)
    assert len(seen) >= 3 and all(threads == {1} for threads in seen)


def test_score_class_on_the_command_line(folder, capsys):
    assert main(["score", "class", "red.png", "blue.png", "red.png", "--weights", "net.h5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "network colours, class of red.png: red"
    assert [line.split()[2] for line in lines[2:]] == ["yes", "no", "yes"]
    assert main(["score", "class", "red.png", "blue.png", "--weights", "net.h5", "--json", "--box", "1,2,8,8"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["network"] == "colours"
    assert [row["picture"] for row in report["scores"]] == ["red.png", "blue.png"]
    assert report["scores"][1]["class_name"] == "blue" and not report["scores"][1]["kept"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["red.png", "--weights", "net.h5", "--box", "1,2,3"], "expected left,top,width,height in pixels"),
        (["red.png", "--weights", "net.h5", "--box", "0,0,99,9"], "is not inside the picture of 30×20 pixels"),
        (["none.png", "--weights", "net.h5"], "none.png: there is no such file"),
        (["red.png", "net.h5", "--weights", "net.h5"], "net.h5"),
        (["red.png", "--weights", "nothing.h5"], "nothing.h5: there is no such file"),
        (["red.png"], "required: --weights"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, arguments, words):
    try:
        code = main(["score", "class", *arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    assert captured.err.count("\n") == 1 and words in captured.err
