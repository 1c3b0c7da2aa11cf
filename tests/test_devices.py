"""Choosing a device, and finding the bodies of operators for CUDA arrays; CuPy and its GPUs are made up."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vggnumpy import backend
from vggnumpy.cuda.launch import blocks, kernel, struct
from vggnumpy.errors import InputError


class Array:
    """An array on a GPU that does not exist."""

    shape, dtype, ndim = (4, 4, 3), np.dtype("float32"), 3


@pytest.fixture(autouse=True)
def backends_are_restored(monkeypatch):
    monkeypatch.setattr(backend, "_backends", list(backend._backends))


NO_GPU = {"is_available": lambda: False}
TWO_GPUS = {
    "is_available": lambda: True,
    "runtime": SimpleNamespace(getDeviceCount=lambda: 2),
    "nvrtc": SimpleNamespace(getVersion=lambda: (13, 0)),
}


def cupy_with(monkeypatch, cuda):
    """Put a module in the place of CuPy that has these GPUs; return the list of those that are made current."""
    used = []
    device = lambda number: SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cupy = SimpleNamespace(cuda=SimpleNamespace(Device=device, **cuda), ndarray=Array, asnumpy=None)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return used


def test_unknown_devices():
    for name in ("gpu", "cuda:x", "cuda0", "", "cuda:-1", "cpu:0", "cuda:", "auto:1"):
        with pytest.raises(InputError, match=f"device {name!r} is unknown; expected cpu, cuda, cuda:N or auto"):
            backend.select_device(name)


def test_devices_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert backend.select_device("cpu") is backend.NUMPY is backend.select_device("auto")
    with pytest.raises(InputError, match="'cuda:1' cannot be used because CuPy is not installed; use --device cpu"):
        backend.select_device("cuda:1")


def test_devices_without_a_gpu(monkeypatch):
    cupy_with(monkeypatch, NO_GPU)
    assert backend.select_device("cpu") is backend.NUMPY is backend.select_device("auto")
    with pytest.raises(InputError, match="'cuda' cannot be used because no CUDA GPU was found; use --device cpu"):
        backend.select_device("cuda")


def test_devices_without_a_compiler(monkeypatch):
    def missing():
        raise RuntimeError("CuPy failed to load libnvrtc.so.13")

    cupy_with(monkeypatch, {**TWO_GPUS, "nvrtc": SimpleNamespace(getVersion=missing)})
    assert backend.select_device("auto") is backend.NUMPY
    with pytest.raises(InputError, match="'cuda' cannot be used because CUDA's compiler NVRTC was not found"):
        backend.select_device("cuda")


def test_devices_with_two_gpus(monkeypatch):
    used = cupy_with(monkeypatch, TWO_GPUS)
    assert backend.select_device("cpu") is backend.NUMPY
    assert backend.select_device("auto").name == backend.select_device("cuda").name == "cuda"
    assert used == []
    assert backend.select_device("cuda:1").array_type is Array and used == [1]
    with pytest.raises(InputError, match="'cuda:2' cannot be used because there are 2 CUDA GPUs, counted from 0"):
        backend.select_device("cuda:2")


def test_an_operator_without_a_cuda_body_says_so(monkeypatch):
    cupy_with(monkeypatch, TWO_GPUS)
    backend.select_device("cuda")

    @backend.operator
    def nowhere(x):
        return x

    with pytest.raises(TypeError, match="nowhere has no body for cuda arrays, only for numpy"):
        nowhere(Array())


PROGRAM = """
import sys, types, numpy
from vggnumpy import backend, ops
array = types.SimpleNamespace(shape=(4, 4, 3), dtype=numpy.dtype("float32"), ndim=3)
backend.register_backend(backend.Backend("cuda", types.SimpleNamespace(), types.SimpleNamespace, None))
print("vggnumpy.ops.relu_cuda" in sys.modules)
try:
    ops.relu(array)
except AttributeError as error:
    print(error)
print("vggnumpy.ops.relu_cuda" in sys.modules, "vggnumpy.ops.pool_cuda" in sys.modules)
"""


def test_cuda_bodies_are_imported_when_an_array_arrives():
    checkout = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=checkout, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "False",
        "'types.SimpleNamespace' object has no attribute 'ascontiguousarray'",
        "True False",
    ], done.stderr


def test_a_cuda_body_needs_kernels(monkeypatch):
    backend.register_backend(backend.Backend("cuda", SimpleNamespace(), Array, np.asarray))
    with pytest.raises(TypeError, match=r"relu_forward of ops/relu\.cu runs on CUDA arrays, got Array"):
        kernel("ops/relu.cu", "relu_forward", Array())


def test_blocks_and_structs():
    assert [blocks(count, 4) for count in (1, 4, 5, np.int64(2**40))] == [1, 1, 2, 2**38]
    packed = struct(first=1, two=(2, -3))
    assert packed.size == 1 and packed.view(np.int32).tolist() == [1, 2, -3]
    with pytest.raises(OverflowError):
        struct(too_large=2**31)


@pytest.mark.parametrize(("capability", "target"), [("90", "sm_90a"), ("80", "sm_80"), ("120", "sm_120")])
def test_a_kernel_is_compiled_for_its_gpu_and_launched_with_what_cupy_takes(monkeypatch, tmp_path, capability, target):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    options, opted, launched, loaded = [], [], [], []
    nvrtc = SimpleNamespace(
        NVRTCError=RuntimeError,
        createProgram=lambda source, name, headers, names: "program",
        addNameExpression=lambda program, expression: None,
        compileProgram=lambda program, given: options.append(given),
        getCUBIN=lambda program: b"cubin",
        getLoweredName=lambda program, expression: f"lowered {expression}",
        destroyProgram=lambda program: None,
        getVersion=lambda: (13, 0),
    )

    class Function:
        ptr = 7

        def __call__(self, grid, block, args, shared_mem):
            launched.append((grid, block, args, shared_mem))

    class Module:
        def load(self, cubin):
            loaded.append(cubin)

        def get_function(self, name):
            loaded.append(name)
            return Function()

    cuda = SimpleNamespace(
        Device=lambda number=3: SimpleNamespace(id=number, compute_capability=capability),
        function=SimpleNamespace(Module=Module),
        nvrtc=nvrtc,
        driver=SimpleNamespace(
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8,
            funcSetAttribute=lambda *given: opted.append(given),
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, ndarray=np.ndarray))
    backend._compile_for.cache_clear()
    try:
        launch = backend._cuda_kernel("ops/relu.cu", "some<float>")
        assert backend._cuda_kernel("ops/relu.cu", "some<float>") is launch  # compiled once
        backend._compile_for.cache_clear()
        again = backend._cuda_kernel("ops/relu.cu", "some<float>")  # as in another process: it is on the disk
        assert again is not launch and len(options) == 1 and loaded == [b"cubin", "lowered some<float>"] * 2
        for name, version in (("other<float>", (13, 0)), ("some<float>", (13, 1))):
            nvrtc.getVersion = lambda version=version: version
            backend._compile_for.cache_clear()
            backend._cuda_kernel("ops/relu.cu", name)
    finally:
        backend._compile_for.cache_clear()
    assert all(f"-arch={target}" in given for given in options) and len(options) == 3
    array = np.zeros(3)
    for shared in (0, 48 << 10, 100 << 10, 64 << 10, 120 << 10):
        launch((1,), (32,), (array, None, np.int64(4)), shared)
    assert opted == [(7, 8, 100 << 10), (7, 8, 120 << 10)]
    _, _, args, _ = launched[0]
    assert args[0] is array and args[1] == 0 and args[1].dtype == np.uintp and args[2] == 4
    with pytest.raises(ValueError, match=r"some<float> of ops/relu.cu knows no strides: arrays must be in C order"):
        launch((1,), (32,), (np.zeros((3, 2)).T,))
    assert len(launched) == 5
