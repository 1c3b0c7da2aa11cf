"""What the tests of MatConvNet's functions share: one source of random numbers, the same for every test."""

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
