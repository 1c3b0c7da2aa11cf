"""The emulated device refuses what CuPy and a GPU would refuse, or get wrong in silence."""

import emulator
import numpy as np
import pytest
from emulator import EmulatedArray, emulated, on_host

from vggnumpy import backend, ops

pytestmark = pytest.mark.skipif(not emulator.available, reason="the emulator needs g++ on x86-64")
X = np.random.default_rng(620).standard_normal((4, 5, 8)).astype("float32")


@pytest.fixture
def cuda():
    with emulated() as backend:
        yield backend


def relu_arguments(x):
    positions = np.int64(x.size // x.shape[-1])
    bits = EmulatedArray(np.zeros((*x.shape[:-1], 1), "uint8"))
    return [positions, np.int32(x.shape[-1]), x, np.float32(0), EmulatedArray(np.zeros_like(x.host)), bits]


def test_numpy_does_not_touch_its_arrays(cuda):
    x = cuda.xp.asarray(X)
    for call in (
        lambda: np.asarray(x),
        lambda: np.maximum(x, 0),
        lambda: X + x,
        lambda: x * X,
        lambda: cuda.xp.maximum(x, X),
        lambda: ops.conv(x, np.ones((3, 3, 8, 2), "float32")),
    ):
        with pytest.raises(TypeError):
            call()
    assert isinstance(x.sum(), EmulatedArray) and x.sum().shape == ()
    assert isinstance(x[0] * 2.0, EmulatedArray) and (x[0] * 2.0).dtype == "float32"
    with pytest.raises(AttributeError):
        cuda.xp.apply_along_axis  # noqa: B018


def test_it_is_known_only_inside_its_context():
    with emulated() as cuda:
        x = cuda.xp.asarray(X)
        assert backend.backend_of(x) is cuda and cuda.name == "cuda"
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array"):
        backend.backend_of(x)


def test_synchronisations_are_counted(cuda):
    x = cuda.xp.asarray(X)
    before = emulator.synchronisations()
    y = ops.relu(x)[0] * 2 + x
    assert emulator.synchronisations() == before
    float(y.sum()), bool((y > 0).any()), on_host(y)
    assert emulator.synchronisations() == before + 3


def test_a_kernel_runs(cuda):
    arguments = relu_arguments(cuda.xp.asarray(X))
    launches = emulator.launches()
    cuda.kernel("ops/relu.cu", "relu_forward<float>")((1,), (32,), arguments)
    assert emulator.launches() == launches + 1
    np.testing.assert_array_equal(arguments[4].host, np.maximum(X, 0))


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({5: None}, None),  # a null pointer is a pointer
        ({2: EmulatedArray(X.astype("float64"))}, "argument 2 .* is an array of float64, the parameter is of type PKf"),
        ({2: EmulatedArray(X.transpose(1, 0, 2))}, "argument 2 .* must be in C order"),
        ({2: X}, "argument 2"),
        ({1: 8}, r"argument 1 .* is 8 \(int\), the parameter is of type i"),
        ({1: np.int64(8)}, "argument 1 .* the parameter is of type i"),
        ({0: np.array([1, 2], np.int32).view("V8")}, None),  # a struct by value of the right size
        ({0: np.array([1], np.int32).view("V4")}, "argument 0 .* has 4 bytes, the parameter 8"),
        ({3: EmulatedArray(X)}, "argument 3 .* is an array of float32, the parameter is of type f"),
    ],
)
def test_arguments_are_held_against_the_parameters(cuda, changes, problem):
    kernel = cuda.kernel("ops/relu.cu", "relu_forward<float>")
    arguments = relu_arguments(cuda.xp.asarray(X))
    arguments[0] = np.int64(0)  # no thread has anything to do
    arguments = [changes.get(i, value) for i, value in enumerate(arguments)]
    if problem is None:
        kernel((0,), (32,), arguments)
    else:
        with pytest.raises((TypeError, ValueError), match=problem):
            kernel((0,), (32,), arguments)


def test_the_number_of_arguments_counts(cuda):
    with pytest.raises(TypeError, match="relu_forward<float> has 6 parameters, got 5 arguments"):
        cuda.kernel("ops/relu.cu", "relu_forward<float>")((1,), (32,), relu_arguments(cuda.xp.asarray(X))[:5])


def test_what_does_not_compile_says_why(cuda):
    with pytest.raises(RuntimeError, match=r"ops/relu\.cu does not compile for the emulator"):
        cuda.kernel("ops/relu.cu", "no_such_kernel<float>")


def test_cupy_has_whatever_it_has():
    cupy = pytest.importorskip("cupy")
    attributes = {name for name in vars(emulator.Module) if not name.startswith("_")}
    assert [name for name in attributes if not hasattr(cupy, name)] == []
    members = [*emulator.METHODS, *emulator.ATTRIBUTES, "T", "get", "data"]
    assert [name for name in members if not hasattr(cupy.ndarray, name)] == []
