"""A training that is interrupted and resumed ends as the one that was not."""

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.formats.checkpoint import read_checkpoint, write_checkpoint
from vggnumpy.formats.cifar import Pictures
from vggnumpy.nets.tables import Layer, chain, conv, fully_connected, pool, relu
from vggnumpy.training import architectures
from vggnumpy.training.loop import Settings, Trainer


def tiny(dropout):
    norm = Layer("bn1_1", "bnorm", ())
    layers = [conv("conv1_1", 4), norm, relu("relu1_1"), pool("pool1"), conv("conv2_1", 6), relu("relu2_1")]
    hidden = [fully_connected("fc1", 8), relu("relu_fc1")]
    hidden += [Layer("dropout1", "dropout", (), rate=dropout)] if dropout else []
    mean = Layer("mean", "pool", (), (0, 0), method="average")
    return chain([*layers, mean, *hidden, fully_connected("fc2", 10), Layer("prob", "softmax", ())])


@pytest.fixture(autouse=True)
def _tiny_architecture(monkeypatch):
    monkeypatch.setitem(architectures.TABLES, "tiny", tiny)


@pytest.fixture
def pictures():
    """Ten classes that differ in colour, so that there is something to learn."""
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype="uint8") % 10
    colors = rng.integers(0, 256, (10, 3))
    noise = rng.integers(-20, 20, (40, 32, 32, 3))
    return Pictures(np.clip(colors[labels][:, None, None] + noise, 0, 255).astype("uint8"), labels, "")


def state(trainer):
    parts = [part for name in sorted(trainer.model.weights) for part in trainer.model.weights[name]]
    return [part.tobytes() for part in parts]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("interrupted_at", [1, 3, 4, 9])
def test_an_interrupted_training_goes_on_bit_for_bit(pictures, tmp_path, optimizer, interrupted_at):
    settings = Settings("tiny", passes=3, batch=11, optimizer=optimizer, rate=0.01, dropout=0.3)
    whole = Trainer(settings, pictures)
    whole.run(None)
    first = Trainer(settings, pictures)

    def stop(step, steps, loss):
        if first.step == interrupted_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path / "c.h5", stop)
    second = Trainer(settings, pictures)
    second.load(tmp_path / "c.h5")
    assert second.step == interrupted_at
    second.run(tmp_path / "c.h5")
    assert state(second) == state(whole)
    for one, other in zip(second.log, whole.log, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    third = Trainer(settings, pictures)
    third.load(tmp_path / "c.h5")
    assert third.done and state(third) == state(whole)


def test_an_interruption_inside_a_step_undoes_the_step(pictures, tmp_path, monkeypatch):
    settings = Settings("tiny", passes=2, batch=20, rate=0.01, dropout=0.3)
    whole = Trainer(settings, pictures)
    whole.run(None)
    trainer = Trainer(settings, pictures)
    gradients = trainer.model.gradients

    def interrupted(*arguments):
        result = gradients(*arguments)
        if trainer.step == 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(trainer.model, "gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(tmp_path / "c.h5")
    again = Trainer(settings, pictures)
    again.load(tmp_path / "c.h5")
    assert again.step == 1
    again.run(None)
    assert state(again) == state(whole)


def test_it_learns(pictures):
    trainer = Trainer(
        Settings("tiny", passes=30, batch=10, rate=0.02, optimizer="adam", smoothing=0, shift=0), pictures
    )
    trainer.run(None)
    assert trainer.log[-1]["loss"] < 0.5 * trainer.log[0]["loss"]
    assert [row["pass"] for row in trainer.log] == list(range(1, 31))


def test_a_training_is_made_longer_and_not_shorter(pictures, tmp_path):
    short = Trainer(Settings("tiny", passes=2, batch=40, rate=0.1), pictures)
    short.run(tmp_path / "c.h5")
    longer = Trainer(Settings("tiny", passes=3, batch=40, rate=0.1), pictures)
    longer.load(tmp_path / "c.h5")
    longer.run(None)
    assert [(row["pass"], row["passes"]) for row in longer.log] == [(1, 2), (2, 2), (3, 3)]
    with pytest.raises(InputError, match="of 2 passes, which can be made longer but not shorter"):
        Trainer(Settings("tiny", passes=1, batch=40, rate=0.1), pictures).load(tmp_path / "c.h5")


def test_a_checkpoint_without_its_passes_is_refused(pictures, tmp_path):
    trainer = Trainer(Settings("tiny", passes=1, batch=40), pictures)
    trainer.save(tmp_path / "c.h5")
    record, arrays = read_checkpoint(tmp_path / "c.h5")
    record["settings"]["passes"] = "1"
    write_checkpoint(tmp_path / "c.h5", record, arrays)
    with pytest.raises(InputError, match=r"c\.h5 does not say how many passes it is of"):
        trainer.load(tmp_path / "c.h5")


def test_a_checkpoint_of_another_training_is_refused(pictures, tmp_path):
    trainer = Trainer(Settings("tiny", passes=1, batch=40), pictures)
    trainer.save(tmp_path / "c.h5")
    with pytest.raises(InputError, match=r"c\.h5 is of a training with rate 0\.2, not 0\.1"):
        Trainer(Settings("tiny", passes=1, batch=40, rate=0.1), pictures).load(tmp_path / "c.h5")
    fewer = Pictures(pictures.pixels[:39], pictures.labels[:39], "")
    with pytest.raises(InputError, match="with 40 pictures, not of these"):
        Trainer(Settings("tiny", passes=1, batch=40), fewer).load(tmp_path / "c.h5")
    whole = (tmp_path / "c.h5").read_bytes()
    (tmp_path / "d.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"d\.h5"):
        Trainer(Settings("tiny", passes=1, batch=40), pictures).load(tmp_path / "d.h5")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"passes": 0}, {"batch": 0}, {"seed": -1}, {"shift": 17}, {"optimizer": "x"}, {"schedule": "x"}),
        *({"rate": 0.0}, {"decay": -1.0}, {"smoothing": 1.0}, {"dropout": 1.0}, {"rate": float("nan")}),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        Settings(**wrong)
