"""What the launchers of CUDA kernels share: picking a kernel's instance, and how many blocks cover a job."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vggnumpy.backend import Kernel, backend_of

THREADS = 256  # of a block, wherever nothing speaks for another number
_TYPES = {"float32": "float", "float64": "double", "uint8": "unsigned char", "int32": "int"}


def kernel(source: str, name: str, *arrays: Any) -> Kernel:
    """Return a kernel for arrays of these types: the template `name` of `source` at the dtype of each array.

    Parameters
    ----------
    source : str
        Path inside the package, ``"ops/relu.cu"``.
    name : str
        The template, ``"relu_forward"``.
    *arrays : array
        One for each of its parameters.
    """
    compile_kernel = backend_of(arrays[0]).kernel
    if compile_kernel is None:
        raise TypeError(f"{name} of {source} runs on CUDA arrays, got {type(arrays[0]).__name__}")
    return compile_kernel(source, f"{name}<{', '.join(_TYPES[str(array.dtype)] for array in arrays)}>")


def blocks(count: int, each: int = THREADS) -> int:
    """Return how many blocks hold `count` threads, or tiles of `each`: ⌈count / each⌉."""
    return -(-int(count) // each)


def struct(**fields: int | tuple[int, ...]) -> np.ndarray:
    """Return a C struct of ints in the order given, to be passed by value; of a tuple every number is a field.

    Raises
    ------
    OverflowError
        If a number does not fit into 32 bits.
    """
    numbers = [number for value in fields.values() for number in (value if isinstance(value, tuple) else (value,))]
    packed = np.array(numbers, np.int32)
    return packed.view(np.dtype((np.void, packed.nbytes)))


class Device(NamedTuple):
    """What the choice of a kernel depends on: compute capability (90 for 9.0), bytes of shared memory, processors."""

    capability: int
    shared_memory: int
    processors: int


def current_device(xp: Any) -> Device:
    """Return what is to be known of the current GPU of an array module, ``cupy``."""
    device = xp.cuda.Device()
    attributes = device.attributes
    return Device(
        int(device.compute_capability), attributes["MaxSharedMemoryPerBlockOptin"], attributes["MultiProcessorCount"]
    )
