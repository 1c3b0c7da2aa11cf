"""Where the kernels run: in the emulator, and on a GPU where there is one (``pytest -m gpu``)."""

import emulator
import numpy as np
import pytest

from vggnumpy.backend import select_device
from vggnumpy.errors import InputError


@pytest.fixture(params=["emulator", pytest.param("gpu", marks=pytest.mark.gpu)])
def on_device(request):
    """Return ``run(function, *arrays)``, which gives a function its arrays on the device and takes its results back.

    The function runs twice, and both times must give the same bits: in the emulator with the threads in forward and in
    reversed order.
    """
    if request.param == "emulator":
        if not emulator.available:
            pytest.skip("the emulator needs g++ on x86-64")
        return lambda function, *arrays: _run_twice(_emulated, function, *arrays)
    try:
        cuda = select_device("cuda")
    except InputError as error:
        pytest.skip(str(error))
    return lambda function, *arrays: _run_twice(lambda order, *job: _on(cuda, *job), function, *arrays)


def _run_twice(run, function, *arrays):
    first, second = (run(order, function, *arrays) for order in emulator.ORDERS)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    return first


def _emulated(order, function, *arrays):
    with emulator.emulated(order) as cuda:
        return _on(cuda, function, *arrays)


def _on(cuda, function, *arrays):
    results = function(*(cuda.xp.asarray(array) if isinstance(array, np.ndarray) else array for array in arrays))
    return [cuda.to_host(result) if isinstance(result, cuda.array_type) else result for result in results]
