"""``vggnumpy train``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vggnumpy.cli.common import command
from vggnumpy.errors import InputError

_NUMBERS = {
    "passes": "how often every picture is seen",
    "batch": "pictures in a step",
    "rate": "highest rate of a step",
    "decay": "penalty on large filters",
    "smoothing": "of the labels",
    "dropout": "after each hidden layer",
    "shift": "pixels by which pictures are shifted at random",
    "cutout": "side of a square that is hidden at random",
    "seed": "of everything random",
}
_NAMES = {
    "architecture": "small-vgg, paper or paper-deep",
    "optimizer": "sgd (Nesterov's momentum) or adam",
    "schedule": "of the rate: one-cycle or constant",
}


def add_train(commands: Any) -> None:
    """Add ``train``."""
    from vggnumpy.training.loop import Settings

    defaults = Settings()
    parser = command(
        commands,
        "train",
        _train,
        "train a network on CIFAR-10 with hand-written gradients",
        "\n\nWrites OUT.h5 (the network, batch normalisation folded into its filters), OUT.checkpoint.h5 after every"
        "\npass, OUT.json (settings, versions, the log) and OUT.png (the curves).  Ctrl-C saves where it is; the same"
        "\ncommand with --resume goes on from there and ends with the same numbers."
        "\n\nexample:\n  vggnumpy train cifar-10-python.tar.gz -o small.h5",
    )
    parser.add_argument("data", metavar="CIFAR10", help="archive, folder of batches, or HDF5 file with JPEG pictures")
    parser.add_argument("-o", "--out", required=True, metavar="OUT.h5", type=Path, help="weights file to write")
    for name, text in (_NAMES | _NUMBERS).items():
        value = getattr(defaults, name)
        shown = f"{value:g}" if name in _NUMBERS else value
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{text} (default {shown})")
    parser.add_argument("--no-flip", action="store_true", help="do not mirror pictures at random")
    parser.add_argument("--dtype", default="float16", help="of the numbers in OUT.h5 (default float16)")
    parser.add_argument("--resume", action="store_true", help="go on from OUT.checkpoint.h5, with more --passes too")


def _train(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from vggnumpy import report
    from vggnumpy.files import check_output
    from vggnumpy.formats.cifar import CLASSES, read_cifar
    from vggnumpy.formats.weights import STORED_DTYPES, write_weights
    from vggnumpy.training.fold import to_network
    from vggnumpy.training.loop import Settings, Trainer

    settings = Settings(**{name: getattr(arguments, name) for name in (*_NAMES, *_NUMBERS)}, flip=not arguments.no_flip)
    out: Path = arguments.out
    if out.suffix != ".h5":
        raise InputError(f"the network is written to an .h5 file, got {out}")
    if arguments.dtype not in STORED_DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(STORED_DTYPES)}, got {arguments.dtype!r}")
    checkpoint = out.with_suffix(".checkpoint.h5")
    record, plot = out.with_suffix(".json"), out.with_suffix(".png")
    for path in (out, checkpoint, record, plot):
        check_output(path)
    pictures = read_cifar(arguments.data, "train")
    trainer = Trainer(settings, pictures)
    if arguments.resume:
        trainer.load(checkpoint)
    elif checkpoint.exists():
        raise InputError(f"{checkpoint} is there already: go on from it with --resume, or remove it to begin anew")
    with tqdm(unit="step", dynamic_ncols=True, file=sys.stderr, disable=None) as bar:

        def progress(step: int, steps: int, loss: float) -> None:
            number = len(trainer.log) + (step < steps)
            bar.reset(steps) if bar.total != steps or step <= 1 else None
            bar.n = step
            bar.set_description(f"pass {number} of {settings.passes}", refresh=False)
            bar.set_postfix_str(f"loss {loss:.3f}")
            if step == steps:
                row = trainer.log[-1]
                bar.write(
                    f"pass {row['pass']:3}: loss {row['loss']:.4f}, error {row['error']:.2%}, {row['seconds']:.0f} s",
                    file=sys.stdout,
                )

        try:
            trainer.run(checkpoint, progress)
        except KeyboardInterrupt:
            print(f"vggnumpy: interrupted; {checkpoint} has everything, go on with --resume", file=sys.stderr)
            return 130
    source = "trained by vggnumpy train on CIFAR-10" + (f" ({pictures.note})" if pictures.note else "")
    seconds = sum(row["seconds"] for row in trainer.log)
    facts = {"settings": vars(settings), "seconds": round(seconds), "versions": report.versions()}
    net = to_network(
        settings.architecture,
        trainer.model.table,
        trainer.model.weights,
        trainer.mean,
        trainer.scale,
        CLASSES,
        {"source": source, "license": "MIT", "training": json.dumps({**facts, "last_pass": trainer.log[-1]})},
    )
    digest = write_weights(out, net, arguments.dtype)
    report.write_json(record, {"network": out.name, "digest": digest, "source": source, **facts, "log": trainer.log})
    report.plot_training(plot, trainer.log, f"{settings.architecture} on {source.partition(' on ')[2]}")
    print(f"wrote {out} ({digest[:16]}…), {record} and {plot}; {seconds / 60:.0f} minutes of training")
    return 0
