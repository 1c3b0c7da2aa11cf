"""What is said of memory and time before a transfer runs."""

from dataclasses import replace

import numpy as np
import pytest

from vggnumpy import random_network
from vggnumpy.cli import main
from vggnumpy.estimate import evaluation_bytes, evaluation_seconds, transfer_bytes
from vggnumpy.images import write_image
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, relu

STYLE = [f"relu{block}_1" for block in range(1, 6)]


@pytest.fixture(scope="module")
def net():
    return random_network("vgg19", rng=0, dtype="float32", pooling="average")


def test_memory_grows_with_the_area_from_a_fixed_part(net):
    small, double, large = (evaluation_bytes(net, ["relu4_2"], STYLE, (side, side)) for side in (2048, 4096, 8192))
    assert 4 * (double - small) == pytest.approx(large - double, rel=0.02)
    assert small < 0.35 * 1300 * 2048**2  # a third of what autograd keeps for a pixel
    assert evaluation_bytes(net, ["relu4_2"], STYLE, (10**9, 10**9)) > 1e20
    assert evaluation_bytes(net, ["relu4_2"], STYLE, (512, 512)) > evaluation_bytes(net, [], STYLE, (512, 512))


def test_the_reference_takes_more(net):
    engine = evaluation_bytes(net, ["relu4_2"], STYLE, (1024, 1024))
    wide = replace(net, table=tuple(replace(one, dilate=(2, 2)) if one.name == "conv5_1" else one for one in net.table))
    assert evaluation_bytes(wide, ["relu4_2"], STYLE, (1024, 1024)) > 2 * engine
    assert evaluation_bytes(net.astype("float64"), ["relu4_2"], STYLE, (1024, 1024)) > 4 * engine


def test_a_transfer_takes_what_its_larger_part_takes(net):
    painting = transfer_bytes(net, ["relu4_2"], STYLE, (512, 512), [(256, 256)])
    assert painting > evaluation_bytes(net, ["relu4_2"], STYLE, (512, 512))
    huge = transfer_bytes(net, ["relu4_2"], STYLE, (512, 512), [(256, 256), (4096, 4096)])
    assert huge == evaluation_bytes(net, [], STYLE, (4096, 4096))


def test_whole_feature_maps_are_counted(net):
    features = 512 * 512 * 4 * sum(channels / 4**block for block, channels in enumerate((64, 128, 256, 512, 512)))
    grams, whole = (transfer_bytes(net, [], STYLE, (512, 512), [(256, 256)], whole=one) for one in (False, True))
    assert whole - grams == pytest.approx(5 * features)


def test_time_is_scaled_by_the_area():
    net = random_network(chain([conv("conv1", 4), relu("relu1"), conv("conv2", 4), relu("relu2")]), dtype="float32")
    assert evaluation_seconds(net, ["relu2"], (64, 48)) > 0
    assert evaluation_seconds(net, ["conv2"], (64, 48)) > 0
    leaky = replace(net, table=tuple(replace(one, leak=0.1) if one.kind == "relu" else one for one in net.table))
    assert evaluation_seconds(leaky, ["relu2"], (64, 48)) is None


def test_the_command_says_both_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("content.png", "style.png"):
        write_image(name, np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype("uint8"))
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", "--weights", "random", "--estimate"]) == 0
    memory, seconds = capsys.readouterr().out.splitlines()
    assert memory.startswith("memory: 0.") and " GB" in memory
    assert seconds.startswith("time: ") and "an evaluation of 80×60 pixels" in seconds
    command = ["transfer", "content.png", "style.png", "-o", "out.png", "--weights", "random", "--style-loss", "local"]
    assert main([*command, "--estimate"]) == 0
    memory, seconds = capsys.readouterr().out.splitlines()
    assert memory.startswith("memory: roughly 0.")
    assert seconds == "time: unknown for the style loss local"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content.png", "style.png"]


def test_what_a_strength_takes_is_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vggnumpy.strength.evaluation_seconds", lambda *given: 0.5)
    for name in ("content.png", "style.png"):
        write_image(name, np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype("uint8"))
    command = ["transfer", "content.png", "style.png", "-o", "out.png", "--weights", "builtin", "--iterations", "5"]
    said = []
    for more in ([], ["--strength", "1"]):
        assert main([*command, "--estimate", *more]) == 0
        memory, seconds = capsys.readouterr().out.splitlines()
        said.append((float(memory.split()[1]), float(seconds.split()[1]), seconds))
    assert said[1][0] >= said[0][0] + 0.01  # the judge sees 80 × 60 pixels
    assert said[1][1] >= said[0][1] + 8 * 40 * 0.5  # so many trials of so many iterations
    assert "s of it for the strength" in said[1][2] and "strength" not in said[0][2]
