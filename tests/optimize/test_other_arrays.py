"""Arrays that are not NumPy's but have its operators and methods, as CuPy's do: nothing else may be used."""

import operator
from types import SimpleNamespace

import numpy as np
import pytest

from vggnumpy import backend
from vggnumpy.optimize import minimize
from vggnumpy.optimize.vectors import dot

BINARY = "add sub mul truediv pow lt le gt ge eq ne iadd isub imul".split()
METHODS = "sum any all copy reshape astype __getitem__ __abs__ __neg__ __float__ __bool__".split()


class Foreign:
    """An array on some device: NumPy's functions refuse it, and it does not mix with NumPy's arrays."""

    __array_ufunc__ = None

    def __init__(self, data):
        self.data = data
        self.shape, self.dtype, self.size, self.ndim = data.shape, data.dtype, data.size, data.ndim

    def __array__(self, *args, **kwargs):
        """Refuse the silent copy to the host, as CuPy does."""
        raise TypeError("implicit conversion to a NumPy array")


def wrap(result):
    return Foreign(np.asarray(result)) if isinstance(result, np.ndarray | np.generic) else result


def binary(function, swapped=False):
    def method(self, other):
        if isinstance(other, np.ndarray | np.generic):
            return NotImplemented
        other = other.data if isinstance(other, Foreign) else other
        return wrap(function(other, self.data) if swapped else function(self.data, other))

    return method


for name in BINARY:
    setattr(Foreign, f"__{name}__", binary(getattr(operator, name)))
for name in ("add", "sub", "mul", "truediv"):
    setattr(Foreign, f"__r{name}__", binary(getattr(operator, name), swapped=True))
for name in METHODS:
    setattr(Foreign, name, lambda self, *args, _name=name, **kw: wrap(getattr(self.data, _name)(*args, **kw)))


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Make them known, with the one function of their module that is needed."""
    xp = SimpleNamespace(stack=lambda arrays: Foreign(np.stack([array.data for array in arrays])))
    monkeypatch.setattr(backend, "_backends", list(backend._backends))
    backend.register_backend(backend.Backend("foreign", xp, Foreign, lambda array: array.data))


def quartic(x):
    return (x * x * x * x + x * x).sum(), 4 * x * x * x + 2 * x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "method, options",
    [
        ("lbfgs", {}),
        ("lbfgs-fixed", {}),
        ("gradient-descent", {"rate": 0.01}),
        ("momentum", {"rate": 0.01, "reset_on_rate_change": True}),
        ("adam", {"rate": 0.01}),
    ],
)
def test_every_method_runs_on_them(method, options, dtype):
    x0 = np.linspace(-1, 1, 12, dtype=dtype).reshape(2, 2, 3)
    foreign = minimize(quartic, Foreign(x0), method=method, maxiter=8, **options)
    own = minimize(quartic, x0, method=method, maxiter=8, **options)
    assert isinstance(foreign.x, Foreign) and isinstance(foreign.jac, Foreign)
    assert type(foreign.fun) is float
    assert foreign.x.dtype == dtype
    np.testing.assert_allclose(foreign.x.data, own.x, rtol=1e-5 if dtype == np.float32 else 1e-9, atol=1e-9)


def test_dot_in_blocks_is_the_same_sum():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2_500_000)).astype(np.float32)
    assert float(dot(Foreign(a), Foreign(b))) == pytest.approx(dot(a, b), rel=1e-12)
