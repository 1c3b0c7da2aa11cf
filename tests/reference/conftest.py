"""The script that made the stored numbers, for its images, its weights and its objective."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def numbers() -> ModuleType:
    """The module make_numbers.py."""
    spec = importlib.util.spec_from_file_location("make_numbers", Path(__file__).with_name("make_numbers.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
