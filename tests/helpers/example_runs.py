"""Running the examples as a reader does, and looking at what they write."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from vggnumpy.formats.weights import write_weights
from vggnumpy.nets import chain, random_network
from vggnumpy.nets.tables import conv, pool, relu

CHECKOUT = Path(__file__).parents[2]


def start(script: str, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own, with an output folder that does not exist yet."""
    # Without weights of the user's own, and with Python's warnings shown.
    environment = {name: value for name, value in os.environ.items() if name != "VGGNUMPY_WEIGHTS"}
    environment |= {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(CHECKOUT / "examples" / script), "-o", str(out), *arguments]
    return subprocess.run(command, env=environment, cwd=out.parent, capture_output=True, encoding="utf-8", check=False)


def run(script: str, out: Path, *arguments: str) -> str:
    """Run an example that must succeed without a warning, and return what it printed."""
    done = start(script, out, *arguments)
    assert done.returncode == 0, done.stderr
    assert not re.search("Traceback|Warning", done.stderr), done.stderr
    return done.stdout


def assert_colourful(path: Path, width: int) -> None:
    """Check that a picture is there, not narrower than `width` and not blank."""
    with Image.open(path) as picture:
        assert picture.width >= width
        assert np.asarray(picture.convert("RGB")).std() > 10


def small_network(path: Path) -> Path:
    """Write a network with VGG's first layers, eight channels each and random filters."""
    blocks = [[conv(f"conv{n}_{i}", 8), relu(f"relu{n}_{i}")] for n in (1, 2) for i in (1, 2)]
    table = chain([*blocks[0], *blocks[1], pool("pool1"), *blocks[2], *blocks[3]])
    write_weights(path, random_network(table, rng=0))
    return path
