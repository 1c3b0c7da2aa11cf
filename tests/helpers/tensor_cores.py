"""What the tests of tensor-core kernels share: where they run, and how near their results must be."""

from contextlib import contextmanager

import emulator
import numpy as np
import pytest

from vggnumpy.backend import select_device
from vggnumpy.cuda.precision import round_bf16, round_tf32, widen_bf16
from vggnumpy.errors import InputError

GPU = pytest.param("gpu", marks=pytest.mark.gpu)
PLACES = [*emulator.ORDERS, GPU]
needs_the_emulator = pytest.mark.skipif(not emulator.available, reason="the emulator needs g++ on x86-64")

exact = {"fp32": lambda x: x, "tf32": round_tf32, "bf16": lambda x: widen_bf16(round_bf16(x))}
# Of the largest entry.  A GPU's tensor cores cut off where the emulator rounds.
RELATIVE = {"fp32": 1e-6, "tf32": 1e-5, "bf16": 1e-5}
ON_A_GPU = 10


@contextmanager
def device(where, capability="80"):
    """Yield the backend: the emulator's with the threads in an order, or a GPU's."""
    if where != "gpu":
        if not emulator.available:
            pytest.skip("the emulator needs g++ on x86-64")
        with emulator.emulated(where, capability) as cuda:
            yield cuda
        return
    try:
        cuda = select_device("cuda")
    except InputError as error:
        pytest.skip(str(error))
    yield cuda


def emulated_encoder():
    """Return the emulator's ``cuTensorMapEncodeTiled``, which knows the driver's conditions."""
    source = "ops/conv_wgmma.cu"
    return emulator._load(source, tuple(emulator.instances(source))).cuTensorMapEncodeTiled


def value(array, precision):
    """Return an array of the device, bf16 as its words, on the host and in float64."""
    host = array.get()
    return (widen_bf16(host) if precision == "bf16" else host).astype("float64")


def assert_near(got, expected, precision, where, relative=None, rounded=True):
    """Hold an error against the precision's share of the largest entry.

    What is stored as bf16 is rounded to 7 bits of mantissa besides, if it is `rounded`.
    """
    allowed = (RELATIVE[precision] if relative is None else relative) * (ON_A_GPU if where == "gpu" else 1)
    rounding = 2.0**-8 * 1.01 * np.abs(expected) if rounded and precision == "bf16" else 0
    assert got.shape == expected.shape
    assert (np.abs(got - expected) - rounding).max() <= allowed * np.abs(expected).max()  # NaN fails
