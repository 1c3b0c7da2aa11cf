"""Array types and the one dispatch that every operator and loss goes through.

An array type is a *backend*: a name, the module with its functions, and the way back to the host.  NumPy is
registered here; CuPy registers itself the first time one of its arrays is met or a device is asked for, so
that ``import vggnumpy`` never imports it.  This is the only file that may import cupy.

An *operator* is a function with one body per backend.  `operator` turns a NumPy body into one, `add_body` adds
another backend's body beside it, and ``operator(any_array=True)`` says that one body, written with array
methods and `array_module`, serves every array type.  The bodies for CUDA arrays of the operators in ``x.py`` are in
``x_cuda.py``, which is imported when the first such array arrives, and their kernels in ``x.cu``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np

from vggnumpy.errors import InputError
from vggnumpy.kernel_cache import compiled_once
from vggnumpy.sources import read_source

P = ParamSpec("P")
R = TypeVar("R")

FLOAT_TYPES = ("float32", "float64")

Kernel = Callable[..., None]


@dataclass(frozen=True)
class Backend:
    """An array type and the module that works on it.

    Attributes
    ----------
    name : str
        The name under which operators keep their body, such as ``"numpy"`` or ``"cuda"``.
    xp : module
        The module with the array functions (``numpy``, ``cupy``).
    array_type : type
        The type of its arrays.
    to_host : callable
        Turns one of its arrays into a NumPy array.
    kernel : callable, optional
        ``kernel(source, expression)`` compiles a kernel for the current device, once, and returns it; for CUDA arrays.
        The source is a path inside the package, ``"ops/relu.cu"``, the expression a name of C++,
        ``"relu_forward<float>"``.  The kernel is called with ``(grid, block, args, shared_mem=0)``: two tuples of
        integers, and the arguments, which are arrays in C order (passed as pointers), None (a null pointer), NumPy's
        scalars of the type that the parameter has, and NumPy arrays of one structured entry (structs, passed by value).
    free_memory : callable, optional
        How many bytes its device has left, where that is not the host's memory.
    """

    name: str
    xp: Any
    array_type: type
    to_host: Callable[[Any], np.ndarray]
    kernel: Callable[[str, str], Kernel] | None = None
    free_memory: Callable[[], int] | None = None


NUMPY = Backend("numpy", np, np.ndarray, np.asarray)
_backends: list[Backend] = [NUMPY]
_bodies: dict[str, dict[str, Callable[..., Any]]] = {}


def register_backend(backend: Backend) -> None:
    """Make arrays of `backend.array_type` known; a backend of the same name is replaced."""
    _backends[:] = [*(known for known in _backends if known.name != backend.name), backend]


def _backend_of_one(array: Any) -> Backend | None:
    for backend in _backends:
        if isinstance(array, backend.array_type):
            return backend
    if type(array).__module__.partition(".")[0] == "cupy":
        return _load_cupy()
    return None


def _cupy() -> Any:
    return importlib.import_module("cupy")


def _load_cupy() -> Backend:
    cupy = _cupy()
    backend = Backend("cuda", cupy, cupy.ndarray, cupy.asnumpy, _cuda_kernel, _free_gpu_memory)
    register_backend(backend)
    return backend


def _free_gpu_memory() -> int:
    """Return the bytes that the current GPU has left, those that CuPy holds in reserve included."""
    cupy = _cupy()
    return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


def _cuda_kernel(source: str, expression: str) -> Kernel:
    """Return a kernel for the current device; see `Backend.kernel`."""
    return _compile_for(_cupy().cuda.Device().id, source, expression)


@functools.cache
def _compile_for(device: int, source: str, expression: str) -> Kernel:
    """Compile one instance of a kernel by NVRTC and load it on a device, which is the current one.

    CuPy's own `RawModule`, which has a cache on disk, would do but for Hopper's warpgroup instructions: they need the
    target ``sm_90a``, and it only ever asks for ``sm_90``.  It would also flush denormal numbers to zero.
    """
    cupy = _cupy()
    cuda = cupy.cuda
    capability = cuda.Device(device).compute_capability
    target = "90a" if capability == "90" else capability
    key = read_source(source), expression, *_options(target), str(cuda.nvrtc.getVersion())
    cubin, name = compiled_once(lambda: compile_source(source, expression, target), *key)
    module = cuda.function.Module()
    module.load(cubin)
    compiled = module.get_function(name)
    opted_in = 48 << 10  # what every kernel may use of shared memory unless it asks for more

    def launch(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared_mem: int = 0) -> None:
        nonlocal opted_in
        for array in args:
            if isinstance(array, cupy.ndarray) and not array.flags.c_contiguous:
                raise ValueError(f"{expression} of {source} knows no strides: arrays must be in C order")
        if shared_mem > opted_in:
            attribute = cuda.driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            cuda.driver.funcSetAttribute(compiled.ptr, attribute, shared_mem)
            opted_in = shared_mem
        compiled(grid, block, tuple(np.uintp(0) if value is None else value for value in args), shared_mem)

    return launch


def _options(capability: str) -> tuple[str, ...]:
    """Return NVRTC's options."""
    return f"-arch=sm_{capability}", "-std=c++17", "-lineinfo"


def compile_source(source: str, expression: str, capability: str) -> tuple[bytes, str]:
    """Compile one instance of a kernel for a compute capability, such as ``"90a"``; this needs CuPy but no GPU.

    Returns
    -------
    cubin : bytes
    name : str
        The kernel's (mangled) name in it.
    """
    nvrtc = _cupy().cuda.nvrtc
    program = nvrtc.createProgram(read_source(source), source, (), ())
    try:
        nvrtc.addNameExpression(program, expression)
        try:
            nvrtc.compileProgram(program, _options(capability))
        except nvrtc.NVRTCError:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"{expression} of {source} does not compile for sm_{capability}:\n{log}") from None
        return nvrtc.getCUBIN(program), nvrtc.getLoweredName(program, expression)
    finally:
        nvrtc.destroyProgram(program)


def select_device(device: str) -> Backend:
    """Return the backend that a device name means, and make that device the current one.

    Parameters
    ----------
    device : str
        ``"cpu"``; ``"cuda"``, the current CUDA GPU; ``"cuda:N"``, GPU number N, counted from 0; or ``"auto"``: the GPU
        if CuPy is installed and finds one, else the CPU.

    Raises
    ------
    InputError
        If the name is unknown or the device cannot be used; the message says why.
    """
    kind, _, number = device.partition(":")
    if device not in ("cpu", "auto") and (kind != "cuda" or (number and not number.isdecimal()) or device == "cuda:"):
        raise InputError(f"device {device!r} is unknown; expected cpu, cuda, cuda:N or auto")
    if device == "cpu":
        return NUMPY
    cuda, problem = _usable_cuda()
    if cuda is None:
        if device == "auto":
            return NUMPY
        raise InputError(f"device {device!r} cannot be used because {problem}; use --device cpu")
    if number:
        count = cuda.xp.cuda.runtime.getDeviceCount()
        if int(number) >= count:
            raise InputError(f"device {device!r} cannot be used because there are {count} CUDA GPUs, counted from 0")
        cuda.xp.cuda.Device(int(number)).use()
    return cuda


def _usable_cuda() -> tuple[Backend | None, str]:
    """Return the CUDA backend if there is a GPU, or None and why not."""
    try:
        cuda = _load_cupy()
    except ImportError:
        return None, "CuPy is not installed"
    if not cuda.xp.cuda.is_available():
        return None, "no CUDA GPU was found"
    try:
        cuda.xp.cuda.nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError):  # CuPy loads it when it is first used
        return None, "CUDA's compiler NVRTC was not found (it comes with cupy-cuda12x[ctk] or cupy-cuda13x[ctk])"
    return cuda, ""


def _arrays(values: Iterator[Any]) -> Iterator[tuple[Any, Backend]]:
    """Yield every array among the arguments, looking one level into plain lists and tuples."""
    for value in values:
        members = value if type(value) in (list, tuple) else (value,)
        for member in members:
            backend = _backend_of_one(member)
            if backend is not None:
                yield member, backend


def backend_of(*values: Any) -> Backend:
    """Return the backend that all arrays among `values` share.

    Raises
    ------
    TypeError
        If there is no array among them, or arrays of two backends.
    """
    found = {backend.name: backend for _, backend in _arrays(iter(values))}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise TypeError(f"arrays of different kinds were mixed: {', '.join(sorted(found))}")
    kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
    raise TypeError(f"expected a NumPy or CuPy array, got {kinds}")


def array_module(*values: Any) -> Any:
    """Return the module (``numpy``, ``cupy``) whose functions work on the arrays among `values`."""
    return backend_of(*values).xp


def to_host(array: Any) -> np.ndarray:
    """Return `array` as a NumPy array, copying it from its device where needed."""
    return backend_of(array).to_host(array)


def check_dtypes(name: str, *values: Any) -> None:
    """Raise ``TypeError`` unless all arrays are float32, or all float64: work never changes precision on its way."""
    dtypes = {str(array.dtype) for array, _ in _arrays(iter(values))}
    if not dtypes <= set(FLOAT_TYPES):
        raise TypeError(f"{name} works on float32 or float64 arrays, got {', '.join(sorted(dtypes))}")
    if len(dtypes) > 1:
        raise TypeError(f"{name} needs arrays of one dtype, got a mixture of {' and '.join(sorted(dtypes))}")


@overload
def operator(body: Callable[P, R], *, any_array: bool = False) -> Callable[P, R]: ...
@overload
def operator(
    body: None = None, *, any_array: bool = False, arrays: Callable[..., tuple[Any, ...]] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def operator(body: Any = None, *, any_array: bool = False, arrays: Any = None) -> Any:
    """Turn the function `body` into an operator dispatched on the type of its array arguments.

    Parameters
    ----------
    body : callable
        The NumPy body, or the body for every array type if `any_array` is true.
    any_array : bool
        Whether `body` uses only array methods and `array_module`, and so serves every backend.
    arrays : callable, optional
        Called with the operator's arguments, returns those that decide; for an operator that also takes arrays of
        integers, or whose arrays are all in its cache.  By default all arguments do.

    Returns
    -------
    callable
        Same signature and docstring.  A call raises ``TypeError`` for arrays of mixed kinds or dtypes, for
        arrays that are neither float32 nor float64, and for a backend that the operator has no body for.
    """
    if body is None:
        return functools.partial(operator, any_array=any_array, arrays=arrays)
    bodies = _bodies[f"{body.__module__}.{body.__qualname__}"] = {"any" if any_array else "numpy": body}

    @functools.wraps(body)
    def dispatch(*args: Any, **kwargs: Any) -> Any:
        deciding = arrays(*args, **kwargs) if arrays else (*args, *kwargs.values())
        backend = backend_of(*deciding)
        check_dtypes(body.__name__, *deciding)
        chosen = bodies.get(backend.name) or bodies.get("any")
        if chosen is None and backend.name == "cuda":
            _import_cuda_bodies(body.__module__)
            chosen = bodies.get(backend.name)
        if chosen is None:
            raise TypeError(f"{body.__name__} has no body for {backend.name} arrays, only for {', '.join(bodies)}")
        return chosen(*args, **kwargs)

    return dispatch


def _import_cuda_bodies(module: str) -> None:
    """Import the module beside `module` that has the bodies for CUDA arrays, if there is one."""
    name = f"{module}_cuda"
    if importlib.util.find_spec(name) is not None:
        importlib.import_module(name)


def add_body(function: Callable[P, R], backend_name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a function the body of operator `function` for one backend."""
    bodies = _bodies[f"{function.__module__}.{function.__qualname__}"]

    def add(body: Callable[P, R]) -> Callable[P, R]:
        bodies[backend_name] = body
        return body

    return add


def sum64(array: Any) -> float:
    """Return the sum of all entries, accumulated in float64 whatever the dtype of `array`."""
    return array_module(array).sum(array, dtype="float64")  # type: ignore[no-any-return]


def sum_of_squares(array: Any) -> float:
    """Return Σ aᵢ², accumulated in float64 in blocks, so that no second array of that size exists.

    A float32 sum of a million squares loses four digits; a line search that compares such values stops early.
    """
    xp = array_module(array)
    flat = array.reshape(-1)
    step = 1 << 16 if xp is np else 1 << 24  # what a processor's cache holds; enough to keep a GPU busy, 128 MB
    total = 0.0
    for start in range(0, flat.size, step):
        block = flat[start : start + step].astype("float64", copy=False)
        total = total + xp.dot(block, block)
    return total
