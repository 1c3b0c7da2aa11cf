"""Passes over the training pictures, with a checkpoint from which a training goes on as if nothing had happened."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.formats.checkpoint import read_checkpoint, write_checkpoint
from vggnumpy.formats.cifar import Pictures
from vggnumpy.training.architectures import training_table
from vggnumpy.training.augment import augment
from vggnumpy.training.model import Model
from vggnumpy.training.optimizers import make_optimizer
from vggnumpy.training.schedule import SCHEDULES, rate_at


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a training ends.

    Attributes
    ----------
    architecture : str
        See `vggnumpy.training.architectures`.
    passes : int
        How often every picture is seen.
    batch : int
        Pictures in one step.
    optimizer : {"sgd", "adam"}
    rate : float
        Of a step, at its highest.
    schedule : {"one-cycle", "constant"}
    decay : float
        λ of a penalty λ/2 Σ w² on filters (not on biases and normalisations).
    smoothing : float
        Of the labels.
    dropout : float
        After each hidden layer of the classifier.
    shift : int
        Pixels by which pictures are shifted at random.
    flip : bool
        Whether half of them are mirrored.
    cutout : int
        Side of the square that is hidden in each of them.
    seed : int
    """

    architecture: str = "small-vgg"
    passes: int = 24
    batch: int = 256
    optimizer: str = "sgd"
    rate: float = 0.2
    schedule: str = "one-cycle"
    decay: float = 5e-4
    smoothing: float = 0.1
    dropout: float = 0.0
    shift: int = 4
    flip: bool = True
    cutout: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.passes, self.batch) < 1 or self.seed < 0 or not 0 <= self.shift <= 16:
            raise InputError("passes and batch must be at least 1, the seed not negative, the shift from 0 to 16")
        if not 0 <= self.cutout <= 32:
            raise InputError(f"the cutout must be from 0 to 32 pixels, got {self.cutout}")
        if self.optimizer not in ("sgd", "adam"):
            raise InputError(f"the optimiser must be sgd or adam, got {self.optimizer!r}")
        if self.schedule not in SCHEDULES:
            raise InputError(f"the schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if not (0 < self.rate < np.inf and 0 <= self.decay < np.inf):
            raise InputError("the rate must be positive, the decay not negative")
        if not (0 <= self.smoothing < 1 and 0 <= self.dropout < 1):
            raise InputError("smoothing and dropout must be at least 0 and less than 1")


Progress = Callable[[int, int, float], None]


class Trainer:
    """A training at some step.

    Parameters
    ----------
    settings : Settings
    pictures : Pictures
        The training split.

    Attributes
    ----------
    step : int
        How many steps have been made.
    log : list of dict
        For each pass: its number, how many were planned, seconds, mean loss, share of wrong answers (of the augmented
        pictures, while learning).
    """

    def __init__(self, settings: Settings, pictures: Pictures):
        self.settings, self.pictures = settings, pictures
        self.model = Model(training_table(settings.architecture, settings.dropout), rng=settings.seed)
        self.optimizer = make_optimizer(settings.optimizer)
        self.mean, self.scale = color_statistics(pictures.pixels)
        self.steps_a_pass = -(-len(pictures.labels) // settings.batch)
        self.step = 0
        self.log: list[dict[str, float]] = []
        self._sums = {"seconds": 0.0, "loss": 0.0, "wrong": 0.0}

    @property
    def done(self) -> bool:
        """Whether all passes have been made."""
        return self.step >= self.settings.passes * self.steps_a_pass

    def run(self, checkpoint: str | Path | None, progress: Progress | None = None) -> None:
        """Train to the end, writing a checkpoint after every pass, and before an interruption is passed on.

        Parameters
        ----------
        checkpoint : str, Path or None
        progress : callable, optional
            Called after each step with its number in the pass, the steps of a pass and the loss.
        """
        try:
            self._run(checkpoint, progress)
        except KeyboardInterrupt:
            if checkpoint is not None:
                self.save(checkpoint)
            raise

    def _run(self, checkpoint: str | Path | None, progress: Progress | None) -> None:
        order: np.ndarray | None = None
        while not self.done:
            number, step = divmod(self.step, self.steps_a_pass)
            if order is None or step == 0:
                order = np.random.default_rng([self.settings.seed, number]).permutation(len(self.pictures.labels))
            loss = self._make_step(order, step)
            if progress is not None:
                progress(step + 1, self.steps_a_pass, loss)
            if step + 1 == self.steps_a_pass and checkpoint is not None:
                self.save(checkpoint)

    def _make_step(self, order: np.ndarray, step: int) -> float:
        """Change the weights once; nothing is changed if this is interrupted before its last lines."""
        begin, chosen = time.perf_counter(), self.settings
        rng = np.random.default_rng([chosen.seed, self.step, 1])
        some = np.sort(order[step * chosen.batch : (step + 1) * chosen.batch])
        x = augment(self.prepare(self.pictures.pixels[some]), chosen.shift, chosen.flip, chosen.cutout, rng)
        before = dict(self.model.weights)
        try:
            loss, wrong, gradients = self.model.gradients(x, self.pictures.labels[some], chosen.smoothing, rng)
        except KeyboardInterrupt:
            self.model.weights = before
            raise
        rate = rate_at(chosen.schedule, chosen.rate, self.step, chosen.passes * self.steps_a_pass)
        with _uninterrupted():
            self._descend(gradients, rate)
            self.step += 1
            self._sums["seconds"] += time.perf_counter() - begin
            self._sums["loss"] += loss * len(some)
            self._sums["wrong"] += wrong
            if self.step % self.steps_a_pass == 0:
                self._log_pass()
        return loss

    def _log_pass(self) -> None:
        count, sums = len(self.pictures.labels), self._sums
        means = {"seconds": sums["seconds"], "loss": sums["loss"] / count, "error": sums["wrong"] / count}
        self.log.append({"pass": self.step // self.steps_a_pass, "passes": self.settings.passes, **means})
        self._sums = dict.fromkeys(sums, 0.0)

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """Return pictures as the model sees them."""
        prepared: np.ndarray = ((pixels - self.mean) * self.scale).astype(self.model.dtype)
        return prepared

    def _descend(self, gradients: dict[str, tuple[np.ndarray, ...]], rate: float) -> None:
        weights, slopes = {}, {}
        for layer in self.model.table:
            for k, g in enumerate(gradients.get(layer.name, ())):
                w = weights[f"{layer.name}/{k}"] = self.model.weights[layer.name][k]
                penalised = layer.kind == "conv" and k == 0
                slopes[f"{layer.name}/{k}"] = g + w * self.settings.decay if penalised else g
        self.optimizer.step(weights, slopes, rate)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint."""
        arrays = {
            f"weights/{name}/{k}": part for name, parts in self.model.weights.items() for k, part in enumerate(parts)
        }
        arrays |= {f"optimizer/{name}": array for name, array in self.optimizer.state.items()}
        record = {"settings": asdict(self.settings), "step": self.step, "log": self.log, "sums": self._sums}
        write_checkpoint(path, {**record, "pictures": len(self.pictures.labels)}, arrays)

    def load(self, path: str | Path) -> None:
        """Go on from a checkpoint.

        The training may have more passes than the one that left it: the rate is then that of the longer schedule.

        Raises
        ------
        InputError
            If it belongs to other settings or other pictures, has more steps than this training, or is damaged.
        """
        record, arrays = read_checkpoint(path)
        kept, now = record.get("settings", {}), asdict(self.settings)
        other = [key for key in now if key != "passes" and kept.get(key) != now[key]]
        if other:
            raise InputError(
                f"{path} is of a training with {other[0]} {kept.get(other[0])}, not {now[other[0]]}; "
                "give the settings it was begun with, or another file"
            )
        if not isinstance(kept.get("passes"), int):
            raise InputError(f"{path} does not say how many passes it is of; it is damaged")
        if kept["passes"] > now["passes"]:
            raise InputError(
                f"{path} is of a training of {kept['passes']} passes, which can be made longer but not shorter; "
                f"give {kept['passes']} passes or more, got {now['passes']}"
            )
        if record.get("pictures") != len(self.pictures.labels):
            raise InputError(f"{path} is of a training with {record.get('pictures')} pictures, not of these")
        expected = {name: tuple(part.shape for part in parts) for name, parts in self.model.weights.items()}
        for name, shapes in expected.items():
            parts = tuple(arrays.get(f"weights/{name}/{k}", np.empty(0)) for k in range(len(shapes)))
            if tuple(part.shape for part in parts) != shapes or not all(np.isfinite(part).all() for part in parts):
                raise InputError(f"{path} lacks the weights of layer {name}; it is damaged")
            self.model.weights[name] = parts
        self.optimizer.state = {
            name.removeprefix("optimizer/"): array for name, array in arrays.items() if name.startswith("optimizer/")
        }
        self.step, self.log, self._sums = record["step"], record["log"], record["sums"]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off to the end of the body, so that weights and counters stay together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if caught:
        raise KeyboardInterrupt


def color_statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean colour of pictures, and one over the deviation of each channel."""
    values = pixels.reshape(-1, 3)
    mean = values.mean(axis=0)
    return mean, 1 / np.maximum(values.std(axis=0), 1)
