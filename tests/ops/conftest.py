"""What the operators' tests share: the naive loops, and a comparison on the scale of the reference."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="session")
def naive() -> ModuleType:
    """The operators as plain loops, from naive.py beside this file."""
    spec = importlib.util.spec_from_file_location("vggnumpy_naive", Path(__file__).with_name("naive.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Assert equal shapes and max|a − b| ≤ tolerance · max|b|."""

    def compare(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12, label: str = "") -> None:
        assert actual.shape == expected.shape, label
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=tolerance * max(abs(expected).max(), 1e-300), err_msg=label
        )

    return compare
