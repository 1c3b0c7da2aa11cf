"""``vggnumpy train`` and ``score cifar`` as a user types them."""

import json

import numpy as np
import pytest

from vggnumpy import load_network
from vggnumpy.cli import main
from vggnumpy.nets.tables import Layer, chain, conv, fully_connected, relu
from vggnumpy.training import architectures


def tiny(dropout):
    layers = [conv("conv1_1", 4), Layer("bn1_1", "bnorm", ()), relu("relu1_1")]
    mean = Layer("mean", "pool", (), (0, 0), method="average")
    return chain([*layers, mean, fully_connected("fc1", 10), Layer("prob", "softmax", ())])


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setitem(architectures.TABLES, "tiny", tiny)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows = rng.integers(0, 256, (8, 3073)).astype("uint8")
        rows[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


TRAIN = ["train", "cifar", "-o", "net.h5", "--architecture", "tiny", "--passes", "2", "--batch", "16"]


def test_train_writes_a_network_that_score_reads(data, tmp_path, capsys):
    assert main(TRAIN) == 0
    printed = capsys.readouterr().out
    assert "pass   2: loss" in printed and "wrote net.h5" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "cifar", "net.h5", "net.checkpoint.h5", "net.json", "net.png"
    }  # fmt: skip
    net = load_network("net.h5")
    assert net.classes[0] == "airplane" and net.provenance["stored"] == "float16" and net.image_size == (32, 32)
    record = json.loads((tmp_path / "net.json").read_text())
    assert record["digest"] == net.provenance["digest"] and len(record["log"]) == 2
    stored = json.loads(net.provenance["training"])
    assert stored["settings"] == record["settings"] and stored["last_pass"] == record["log"][-1]
    assert main(["score", "cifar", "cifar", "--weights", "net.h5", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["error"] <= 1


def test_resume_ends_with_the_same_digest(data, tmp_path, monkeypatch, capsys):
    from vggnumpy.training.loop import Trainer

    assert main(TRAIN) == 0
    whole = load_network("net.h5").provenance["digest"]
    make_step = Trainer._make_step

    def stop(self, order, step):
        if self.step == 4:
            raise KeyboardInterrupt
        return make_step(self, order, step)

    again = [*TRAIN[:3], "again.h5", *TRAIN[4:]]
    monkeypatch.setattr(Trainer, "_make_step", stop)
    assert main(again) == 130
    assert "go on with --resume" in capsys.readouterr().err and not (tmp_path / "again.h5").exists()
    monkeypatch.setattr(Trainer, "_make_step", make_step)
    assert main(again) == 2
    assert "go on from it with --resume" in capsys.readouterr().err
    assert main([*again, "--resume"]) == 0
    assert load_network("again.h5").provenance["digest"] == whole


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--rate", "0"], "the rate must be positive"),
        (["--optimizer", "newton"], "the optimiser must be sgd or adam"),
        (["--architecture", "huge"], "no architecture 'huge' to train"),
        (["--dtype", "int8"], "--dtype must be one of"),
        (["-o", "net.png"], "the network is written to an .h5 file"),
        (["--resume"], "net.checkpoint.h5"),
    ],
)
def test_bad_input_gets_one_sentence(data, changed, message, capsys):
    assert main([*TRAIN, *changed]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_missing_data_gets_one_sentence(data, capsys):
    assert main(["train", "nowhere", "-o", "net.h5"]) == 2
    assert "nowhere" in capsys.readouterr().err
