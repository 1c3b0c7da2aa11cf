"""What all tests share: where the large material lies, no networks of the user's, and quiet matplotlib."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
# The networks that the user has fetched or converted must not change what the tests see.
os.environ["VGGNUMPY_CACHE"] = str(Path(__file__).with_name("no networks"))
os.environ.pop("VGGNUMPY_WEIGHTS", None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures, weights and reference numbers; tests that ask for it skip without it."""
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("VGGNUMPY_TEST_DATA", checkout.parent / "shared"))
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"the large test material is not at {folder}; set VGGNUMPY_TEST_DATA to its folder")
    return folder
