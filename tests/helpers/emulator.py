"""CUDA kernels and the host code around them without a GPU.

A backend named ``"cuda"`` whose arrays live in ordinary memory.  Like CuPy's they are not NumPy arrays: NumPy's
functions refuse them, they do not mix with NumPy's arrays, and reductions give arrays without axes.  Kernels are
the package's own ``.cu`` sources, compiled by g++ against ``cuda_on_cpu/cudacpu.h``, which runs every CUDA thread as a
fiber.  So the same operators, launchers and losses run that run on a GPU:

    from emulator import emulated, on_host

    with emulated() as cuda:                          # or emulated(order="reversed"): the threads' order
        x = cuda.xp.asarray(np.ones((8, 8, 3), "float32"))
        y, cache = ops.relu(x)                        # vggnumpy/ops/relu_cuda.py launches vggnumpy/ops/relu.cu
        on_host(y)                                    # the result as a NumPy array

and a kernel by itself, ``cuda.kernel(source, expression)`` as in `vggnumpy.backend.Backend`:

        scale = cuda.kernel("ops/scale.cu", "scale<float>")
        y = cuda.xp.empty_like(x)
        scale((grid,), (256,), (np.int64(x.size), x, np.float32(2), y), shared_mem=0)

Arguments are arrays (pointers), NumPy scalars, and NumPy arrays of one structured entry (structs by value); their
number and types are held against the kernel's own, and arrays must be in C order.  The first call of any kernel of a
source compiles the source with all of its instances: the templates whose only parameter is ``typename T`` for float
and double, the expressions of lines ``// instances: a<float, 3>, b<16>`` in the source, and the one asked for.  What
was compiled is kept in the folder for temporary files under a name made of its text.

``synchronisations()`` says how often the host has asked for a value that is on the device: float(), bool(), to_host.
Graphs are recorded as with CuPy's streams: what is launched meanwhile runs when the graph is launched, and anything
else but a view of an array is refused.
"""

import ctypes
import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from vggnumpy import backend
from vggnumpy.sources import read_source

HEADERS = Path(__file__).with_name("cuda_on_cpu")
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-DCUDACPU", "-w")
ORDERS = ("forward", "reversed")
# What the modules may use; only names that CuPy has too may be added.
FUNCTIONS = (
    "abs arange argsort asarray ascontiguousarray broadcast_to ceil concatenate copyto dot einsum empty empty_like exp "
    "full isfinite log matmul maximum mean minimum multiply nonzero ones ones_like pad sign sqrt square stack sum "
    "take_along_axis where zeros zeros_like"
).split()
METHODS = "all any argmax astype copy dot fill max mean min ravel reshape sum transpose view".split()
ATTRIBUTES = "shape dtype ndim size nbytes itemsize strides flags".split()
OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
COMPARISONS = "eq ne lt le gt ge".split()

available = shutil.which("g++") is not None and platform.machine() == "x86_64"
_counts = {"synchronisations": 0, "launches": 0, "graphs": 0}
_state = {"order": "forward", "capability": "80", "recorded": None}


class EmulatedArray:
    """An array on a device that does not exist; `host` is where it really is."""

    __array_ufunc__ = None  # NumPy's arrays and scalars leave their operators to this class
    __hash__ = None

    def __init__(self, host):
        self.host = host

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to a NumPy array is not allowed; use to_host")

    T = property(lambda self: EmulatedArray(self.host.T))
    data = property(lambda self: SimpleNamespace(ptr=self.host.ctypes.data))  # as CuPy's arrays have it

    def __len__(self):
        return len(self.host)

    def __getitem__(self, key):
        return wrap(self.host[unwrap(key)])

    def __setitem__(self, key, value):
        self.host[unwrap(key)] = unwrap(value)

    def __repr__(self):
        return f"EmulatedArray({self.host!r})"

    def __float__(self):
        _counts["synchronisations"] += 1
        return float(self.host)

    def __int__(self):
        _counts["synchronisations"] += 1
        return int(self.host)

    def __bool__(self):
        _counts["synchronisations"] += 1
        return bool(self.host)

    def get(self):
        """Return a copy in NumPy, CuPy's method of that name."""
        return on_host(self)


def wrap(value):
    """Return what NumPy gave as an array on the device."""
    if isinstance(value, (np.ndarray, np.generic)):
        return EmulatedArray(np.asarray(value))
    return type(value)(wrap(part) for part in value) if type(value) in (tuple, list) else value


def unwrap(value):
    """Return what NumPy's functions take; arrays of NumPy with entries do not mix with the device's."""
    if isinstance(value, EmulatedArray):
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError("unsupported type numpy.ndarray")
    return type(value)(unwrap(part) for part in value) if type(value) in (tuple, list) else value


def _unwrapped(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        if _state["recorded"] is not None:
            raise RuntimeError(f"{function.__name__} was called while a graph is recorded")
        return wrap(function(*map(unwrap, args), **{name: unwrap(value) for name, value in kwargs.items()}))

    return call


def _in_place(name):
    def method(self, other):
        getattr(self.host, name)(unwrap(other))
        return self

    return method


for _name in ATTRIBUTES:
    setattr(EmulatedArray, _name, property(lambda self, _name=_name: getattr(self.host, _name)))
for _name in (
    *METHODS,
    *(f"__{name}__" for name in ("neg", "abs", "invert", *COMPARISONS, *OPERATORS)),
    *(f"__r{name}__" for name in OPERATORS),
):
    setattr(EmulatedArray, _name, _unwrapped(getattr(np.ndarray, _name)))
for _name in OPERATORS:
    if _name != "matmul":
        setattr(EmulatedArray, f"__i{_name}__", _in_place(f"__i{_name}__"))


class Graph:
    """Launches, to be repeated with the same arguments."""

    def __init__(self, jobs):
        self.jobs = jobs

    def launch(self, stream=None):
        _counts["graphs"] += 1
        for job in self.jobs:
            job()


class Stream:
    """A stream that a graph can be recorded in."""

    def __init__(self, non_blocking=False):
        self.non_blocking = non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def begin_capture(self):
        assert self.non_blocking and _state["recorded"] is None
        _state["recorded"] = []

    def end_capture(self):
        jobs, _state["recorded"] = _state["recorded"], None
        return Graph(jobs)


class Cuda:
    """What is used of ``cupy.cuda``."""

    Stream = Stream
    get_current_stream = Stream

    @staticmethod
    def Device():
        attributes = {"MaxSharedMemoryPerBlockOptin": 163 << 10, "MultiProcessorCount": 4}
        if _state["capability"] == "90":
            attributes["MaxSharedMemoryPerBlockOptin"] = 227 << 10
        return SimpleNamespace(compute_capability=_state["capability"], attributes=attributes)


class Module:
    """The module that CuPy would be: NumPy's functions on `EmulatedArray`."""

    cuda = Cuda
    ndarray = EmulatedArray
    float32, float64, int32, int64, uint8, bool_ = np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_
    inf, newaxis = np.inf, None

    asarray = staticmethod(
        lambda values, dtype=None: (
            wrap(np.array(values.host if isinstance(values, EmulatedArray) else values, dtype))
            if not isinstance(values, EmulatedArray) or (dtype is not None and values.dtype != dtype)
            else values
        )
    )


for _name in FUNCTIONS:
    if _name != "asarray":
        setattr(Module, _name, staticmethod(_unwrapped(getattr(np, _name))))


def on_host(array):
    """Return a copy of a device's array in NumPy: `to_host` of this backend."""
    assert _state["recorded"] is None, "nothing comes to the host while a graph is recorded"
    _counts["synchronisations"] += 1
    return array.host.copy()


def synchronisations() -> int:
    """Return how often a value came back from the device so far."""
    return _counts["synchronisations"]


def launches() -> int:
    """Return how many kernels were launched so far, those of graphs once when they were recorded."""
    return _counts["launches"]


def graphs() -> int:
    """Return how often a graph was launched so far."""
    return _counts["graphs"]


@contextmanager
def emulated(order: str = "forward", capability: str = "80"):
    """Register the backend for a while; blocks, and the threads of a block, run in forward or reversed order.

    The GPU has four multiprocessors and a compute capability of 8.0, or "90" for 9.0.
    """
    _state["order"], _state["capability"] = order, capability
    cuda = backend.Backend("cuda", Module, EmulatedArray, on_host, kernel)
    before = list(backend._backends)
    backend.register_backend(cuda)
    try:
        yield cuda
    finally:
        backend._backends[:] = before


def kernel(source: str, expression: str):
    """Return a kernel to launch; see `vggnumpy.backend.Backend`."""
    expressions = instances(source)
    if expression not in expressions:
        expressions = [expression]
    library = _load(source, tuple(expressions))
    return functools.partial(_launch, library, expressions.index(expression), expression)


@functools.cache
def instances(source: str) -> list[str]:
    """Return the kernels that a source is compiled with, see this module, as expressions of C++."""
    text = read_source(source)
    templates = re.findall(r"template <typename T>\s*__global__ void(?:\s+__launch_bounds__\([^)]*\))?\s+(\w+)", text)
    named = [f"{name}<{T}>" for name in templates for T in ("float", "double")]
    for line in re.findall(r"^// instances: (.*)$", text, flags=re.MULTILINE):
        named += [found.strip() for found in re.findall(r"\w+(?:<[^>]*>)?", line)]
    return named


def instantiation(source: str) -> str:
    """Return a source with a reference to every instance: what nvcc must be given to compile them."""
    pointers = ", ".join(f"(void*)&{expression}" for expression in instances(source))
    return read_source(source) + f"void* instances[] = {{{pointers}}};\n"


_PROLOGUE = """
#include <string>
#include <typeinfo>
template <class... A> static std::string types_of(void (*)(A...)) {
  std::string text;  // size:mangled type and a blank, for each parameter
  ((text += std::to_string(sizeof(A)) + ":" + typeid(A).name() + " "), ...);
  return text;
}
"""
_EXPORT = """
CCPU_EXPORT(run_{i}, {expression})
extern "C" __attribute__((visibility("default"))) const char* types_{i}() {{
  static const std::string text = types_of({expression});
  return text.c_str();
}}
"""


@functools.cache
def _load(source: str, expressions: tuple[str, ...]) -> ctypes.CDLL:
    exports = "".join(_EXPORT.format(i=i, expression=expression) for i, expression in enumerate(expressions))
    text = f'#include "cudacpu.h"\n{read_source(source)}\n#line 1 "exports"\n{_PROLOGUE}{exports}'
    headers = [path.read_text(encoding="utf-8") for path in sorted(HEADERS.glob("*.h"))]
    digest = hashlib.sha256("\0".join([text, *headers, *FLAGS]).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"vggnumpy-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{Path(source).stem}-{digest}.so"
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest's other workers want it too
        if not library.exists():
            code, partial = library.with_suffix(".cpp"), library.with_suffix(".part")
            code.write_text(text, encoding="utf-8")
            command = ["g++", *FLAGS, f"-I{HEADERS}", str(code), "-o", str(partial)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{source} does not compile for the emulator:\n{done.stderr[:4000]}")
            partial.rename(library)
    return ctypes.CDLL(str(library))


_CODES = {"float32": "f", "float64": "d", "uint8": "h", "int8": "a", "uint16": "t", "int32": "i", "uint32": "j"}
_CODES |= {"int64": "lx", "uint64": "my", "bool": "b"}


def _launch(library, number, expression, grid, block, args, shared_mem=0):
    types = getattr(library, f"types_{number}")
    types.restype = ctypes.c_char_p
    parameters = types().decode().split()
    if len(parameters) != len(args):
        raise TypeError(f"{expression} has {len(parameters)} parameters, got {len(args)} arguments")
    held = [
        _argument(f"argument {i} of {expression}", value, parameter)
        for i, (value, parameter) in enumerate(zip(args, parameters, strict=True))
    ]
    pointers = (ctypes.c_void_p * len(held))(*(ctypes.cast(one, ctypes.c_void_p) for one in held))
    sizes = (ctypes.c_uint * len(held))(*(int(parameter.partition(":")[0]) for parameter in parameters))
    shape = [(ctypes.c_uint * 3)(*(*given, 1, 1)[:3]) for given in (grid, block)]
    run = getattr(library, f"run_{number}")
    run.restype = ctypes.c_char_p
    _counts["launches"] += 1
    order = ORDERS.index(_state["order"])

    def job():
        problem = run(*shape, ctypes.c_size_t(shared_mem), pointers, sizes, len(held), order)
        if problem is not None:
            raise RuntimeError(f"{expression}: {problem.decode()}")

    job() if _state["recorded"] is None else _state["recorded"].append(job)


def _argument(name, value, parameter):
    """Return a C object that holds an argument, checked against the mangled type of the kernel's parameter."""
    size, _, mangled = parameter.partition(":")
    if value is None and mangled.startswith("P"):
        return ctypes.byref(ctypes.c_void_p(0))
    if isinstance(value, EmulatedArray):
        host, expected = value.host, re.fullmatch(r"PK?(\w)", mangled)
        if expected is None or (expected[1] not in _CODES.get(str(host.dtype), "") and expected[1] != "v"):
            raise TypeError(f"{name} is an array of {host.dtype}, the parameter is of type {mangled}")
        if not host.flags.c_contiguous:
            raise ValueError(f"{name} must be in C order: a kernel knows no strides")
        return ctypes.byref(ctypes.c_void_p(host.ctypes.data))
    if isinstance(value, np.ndarray) and value.size == 1:
        if value.nbytes != int(size):
            raise TypeError(f"{name} has {value.nbytes} bytes, the parameter {size}")
        return value.ctypes.data_as(ctypes.c_void_p) if value.flags.c_contiguous else None
    if isinstance(value, np.generic) and mangled in _CODES.get(str(value.dtype), ""):
        return ctypes.byref(np.ctypeslib.as_ctypes_type(value.dtype)(value.item()))
    raise TypeError(f"{name} is {value!r} ({type(value).__name__}), the parameter is of type {mangled}")
