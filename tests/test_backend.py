"""Dispatch on the type of an array, tried with a second array type that behaves as CuPy's does.

`Far` wraps a NumPy array and, as a GPU array would, refuses to be taken for one: NumPy's functions reject it, its
module's functions reject NumPy arrays, and reductions give arrays without axes instead of numbers.
"""

import operator as python
from types import SimpleNamespace

import numpy as np
import pytest

from vggnumpy import backend, losses, ops
from vggnumpy.nets import Network, random_network
from vggnumpy.nets.tables import Layer, chain, conv, pool, relu
from vggnumpy.objective import Objective


class Far:
    """An array on a device that does not exist."""

    __array_ufunc__ = None  # NumPy's operators leave the work to this class

    def __init__(self, near):
        self.near = np.asarray(near)

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    shape = property(lambda self: self.near.shape)
    dtype = property(lambda self: self.near.dtype)
    ndim = property(lambda self: self.near.ndim)
    size = property(lambda self: self.near.size)
    nbytes = property(lambda self: self.near.nbytes)
    T = property(lambda self: Far(self.near.T))

    def reshape(self, *shape):
        return Far(self.near.reshape(*shape))

    def astype(self, dtype, copy=True):
        return Far(self.near.astype(dtype, copy=copy))

    def transpose(self, *axes):
        return Far(self.near.transpose(*axes))

    def copy(self):
        return Far(self.near.copy())

    def __getitem__(self, key):
        return Far(self.near[key])

    def __setitem__(self, key, value):
        self.near[key] = near(value)

    def __abs__(self):
        return Far(abs(self.near))

    def __neg__(self):
        return Far(-self.near)

    def __float__(self):
        return float(self.near)

    def __bool__(self):
        return bool(self.near)


def near(value):
    """Return what the module's functions work on; NumPy arrays with axes are not accepted."""
    if isinstance(value, Far):
        return value.near
    if isinstance(value, np.ndarray):
        raise TypeError("unsupported type numpy.ndarray")
    return value


def _binary(name, reverse):
    function = getattr(python, name)

    def method(self, other):
        left, right = (other, self) if reverse else (self, other)
        return Far(function(near(left), near(right)))

    return method


def _in_place(name):
    function = getattr(python, name)

    def method(self, other):
        self.near = function(self.near, near(other))
        return self

    return method


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(Far, f"__{_name}__", _binary(_name, reverse=False))
    setattr(Far, f"__r{_name}__", _binary(_name, reverse=True))
    if _name != "matmul":
        setattr(Far, f"__i{_name}__", _in_place(f"i{_name}"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Far, f"__{_name}__", _binary(_name, reverse=False))


def _function(name):
    def call(*args, **kwargs):
        return Far(getattr(np, name)(*map(near, args), **kwargs))

    return call


# The functions of the module; only those that CuPy has too may be added.
FAR = SimpleNamespace(
    asarray=lambda value, dtype=None: Far(np.asarray(value.near if isinstance(value, Far) else value, dtype)),
    **{name: _function(name) for name in ("abs", "dot", "einsum", "empty", "empty_like", "sign", "sum", "where")},
    **{name: _function(name) for name in ("zeros", "zeros_like")},
    linalg=SimpleNamespace(eigh=lambda array: tuple(map(Far, np.linalg.eigh(near(array))))),
)


@pytest.fixture
def far(monkeypatch):
    """Register the array type for the time of one test."""
    monkeypatch.setattr(backend, "_backends", list(backend._backends))
    backend.register_backend(backend.Backend("far", FAR, Far, lambda array: array.near))
    yield Far
    for bodies in backend._bodies.values():
        bodies.pop("far", None)


def convert(value, to):
    """Turn every array in a value, tuples and lists included, from one kind into the other."""
    if isinstance(value, np.ndarray if to is Far else Far):
        return Far(value) if to is Far else value.near
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(convert(part, to) for part in value))
    return type(value)(convert(part, to) for part in value) if isinstance(value, (tuple, list)) else value


@pytest.fixture
def far_ops(far):
    """Give every operator a body for the array type, which sends the work to NumPy and counts the calls."""
    calls = []

    def delegate(name):
        function = getattr(ops, name)

        @backend.add_body(function, "far")
        def body(*args, **kwargs):
            calls.append(name)
            near_kwargs = {key: convert(value, np.ndarray) for key, value in kwargs.items()}
            return convert(function(*(convert(value, np.ndarray) for value in args), **near_kwargs), Far)

    for name in set(ops.__all__) - {"PAD_MODES"}:
        delegate(name)
    return calls


RNG = np.random.default_rng(80)
X, W, B = RNG.standard_normal((6, 5, 3)), RNG.standard_normal((3, 3, 3, 4)), RNG.standard_normal(4)


def test_an_operator_without_a_body_for_an_array_type_says_so(far):
    for name in ("conv", "conv_backward_input", "max_pool", "avg_pool_backward", "relu", "prelu", "dropout"):
        with pytest.raises(TypeError, match=f"{name} has no body for far arrays, only for numpy"):
            getattr(ops, name)(Far(X))


def test_an_operator_may_name_the_arguments_that_decide(far_ops):
    labels = np.zeros((6, 5), int)
    value, cache = ops.softmax_loss(Far(X), labels, weights=Far(np.ones((6, 5))))
    assert far_ops == ["softmax_loss"] and isinstance(cache.probabilities, Far)
    assert value == ops.softmax_loss(X, labels)[0]
    assert isinstance(ops.softmax_loss_backward(1.0, cache), Far)
    with pytest.raises(TypeError, match="different kinds were mixed: far, numpy"):
        ops.softmax_loss(Far(X), labels, np.ones((6, 5)))
    with pytest.raises(TypeError, match="softmax_loss needs arrays of one dtype"):
        ops.softmax_loss(Far(X), labels, weights=Far(np.ones((6, 5), "float32")))


def test_a_body_that_was_added_is_called_for_its_arrays_only(far_ops):
    y, cache = ops.conv(Far(X), Far(W), b=Far(B), pad=0)
    assert far_ops == ["conv"] and isinstance(y, Far) and cache.w.near is W
    np.testing.assert_array_equal(y.near, ops.conv(X, W, B, pad=0)[0])
    assert far_ops == ["conv"]
    assert isinstance(ops.concat([Far(X), Far(X)])[0], Far)
    assert far_ops == ["conv", "concat"]


def test_kinds_are_not_mixed(far_ops):
    for arguments in ((Far(X), W), (X, Far(W)), (Far(X), Far(W), B)):
        with pytest.raises(TypeError, match="arrays of different kinds were mixed: far, numpy"):
            ops.conv(*arguments)
    with pytest.raises(TypeError, match="different kinds"):
        ops.conv(Far(X), Far(W), b=B)
    with pytest.raises(TypeError, match="different kinds"):
        ops.concat([Far(X), X])
    with pytest.raises(TypeError, match="different kinds"):
        losses.content(X, Far(X))
    assert far_ops == []


def test_dtypes_are_checked_whatever_the_kind(far_ops):
    with pytest.raises(TypeError, match="conv needs arrays of one dtype, got a mixture of float32 and float64"):
        ops.conv(Far(X.astype("float32")), Far(W))
    with pytest.raises(TypeError, match="relu works on float32 or float64 arrays, got int64"):
        ops.relu(Far(X.astype("int64")))


def test_backend_and_module_of_arrays(far):
    assert backend.backend_of(X) is backend.NUMPY and backend.array_module(3, X, "x") is np
    assert backend.backend_of(Far(X)).name == "far" and backend.array_module([Far(X)], 2) is FAR
    np.testing.assert_array_equal(backend.to_host(Far(X)), X)
    assert backend.to_host(X) is X
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got float, str"):
        backend.backend_of(1.5, "x")
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got nothing"):
        backend.array_module()


def test_a_backend_registered_again_replaces_the_first(far):
    count = len(backend._backends)
    backend.register_backend(backend.Backend("far", SimpleNamespace(), Far, lambda array: array.near))
    assert len(backend._backends) == count and backend.array_module(Far(X)) is not FAR


@pytest.mark.parametrize("kind", ["near", "far"])
def test_sums_are_made_in_float64_and_in_blocks(far, kind):
    values = RNG.uniform(0, 1, (3, 1 << 16)).astype("float32")[:, :-7]
    array = values if kind == "near" else Far(values)
    assert float(backend.sum64(array)) == pytest.approx(values.astype("float64").sum(), rel=1e-13)
    squares = (values.astype("float64") ** 2).sum()
    assert float(backend.sum_of_squares(array)) == pytest.approx(squares, rel=1e-13)
    assert backend.sum_of_squares(array[:0]) == 0


A = RNG.standard_normal((3, 3))


def covariation(f):
    """Return the loss and both its derivatives."""
    V = losses.content_components(f(X), 2)
    return losses.covariation(f(X), f(X[1:]), losses.covariation_target(f(X[::-1]), f(X), V, 1), "relative")


ON_ANY_ARRAY = {
    **{
        f"content, {name}": lambda f, name=name: losses.content(f(X), f(X[::-1]), normalization=name)
        for name in ("raw", "gatys", "mean_square", "relative")
    },
    **{
        f"gram, {name}": lambda f, name=name: losses.gram(f(X), f(A), 7, normalization=name)
        for name in ("raw", "gatys", "mean_square", "relative")
    },
    "gram, same count": lambda f: losses.gram(f(X), f(A)),
    **{f"size, power {p}": lambda f, p=p: losses.size(f(X), p, (0.1, 0.2, 0.3)) for p in (1, 1.5, 2, 6)},
    **{f"variation, beta {b}": lambda f, b=b: losses.variation(f(X), b) for b in (1, 1.5, 2, 3, "l1")},
    "variation, flat": lambda f: losses.variation(f(np.ones((3, 3, 3))), 1),
    **{
        f"local_gram, radius {s}": lambda f, s=s: losses.local_gram(
            f(X), losses.local_gram_target(f(X[::-1]), s), "relative"
        )
        for s in (0, 2)
    },
    **{f"covariation, derivative {i}": lambda f, i=i: (covariation(f)[0], covariation(f)[i]) for i in (1, 2)},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ON_ANY_ARRAY.values(), ids=ON_ANY_ARRAY)
def test_losses_run_on_any_array(far, loss, dtype):
    value, gradient = loss(lambda array: array.astype(dtype))
    far_value, far_gradient = loss(lambda array: Far(array.astype(dtype)))
    assert isinstance(far_gradient, Far) and far_gradient.dtype == gradient.dtype == dtype
    assert float(far_value) == float(value)
    np.testing.assert_array_equal(far_gradient.near, gradient)


def small_network(first=()):
    return random_network(
        chain(
            [
                *first,
                conv("conv1_1", 4),
                relu("relu1_1"),
                pool("pool1"),
                conv("left", 3, inputs=("pool1",)),
                conv("right", 2, size=1, pad=0, inputs=("pool1",)),
                Layer("join", "concat", ("left", "right")),
                pool("pool2", method="average", rounding="ceil"),
            ]
        ),
        dtype="float64",
    )


def moved(net, **changes):
    weights = {name: tuple(Far(array) for array in pair) for name, pair in net.weights.items()}
    fields = {key: getattr(net, key) for key in ("channel_order", "mean", "scale", "pad_mode")}
    return Network(net.name, net.table, weights, **{**fields, **changes})


def test_a_network_runs_on_any_array_that_the_operators_have_bodies_for(far_ops):
    net = small_network()
    there = moved(net, channel_order="BGR", scale=(0.5, 0.6, 0.7))
    net = Network(net.name, net.table, net.weights, "BGR", net.mean, (0.5, 0.6, 0.7))
    image = RNG.uniform(0, 255, (2, 7, 9, 3))
    features, tape = net.forward(image, ["relu1_1", "pool2"])
    far_features, far_tape = there.forward(Far(image), ["relu1_1", "pool2"])
    for name, feature in features.items():
        np.testing.assert_array_equal(far_features[name].near, feature)
    far_image = there.backward(far_tape, far_features)
    assert isinstance(far_image, Far)
    np.testing.assert_array_equal(far_image.near, net.backward(tape, features))
    records = there.inspect(Far(image), {"pool2": far_features["pool2"]}, filters=True)
    assert isinstance(records["left"].dzdw, Far) and isinstance(records[0].dzdx, Far)


def test_a_network_and_an_image_of_different_kinds_are_not_mixed(far_ops):
    net, image = small_network(), RNG.uniform(0, 255, (8, 8, 3))
    with pytest.raises(TypeError, match="different kinds"):
        net.forward(Far(image), ["relu1_1"])
    with pytest.raises(TypeError, match="different kinds"):
        moved(net).forward(image, ["relu1_1"])


def test_the_mean_colour_comes_from_weights_of_any_kind(far):
    net = small_network(first=[conv("conv0", 3, size=1, pad=0)])
    np.testing.assert_array_equal(moved(net).mean_color, net.mean_color)


@pytest.mark.parametrize("normalization", ["gatys", "relative"])
def test_the_whole_objective_runs_on_any_array(far_ops, normalization):
    net, image, content = small_network(), RNG.uniform(0, 255, (9, 8, 3)), RNG.uniform(0, 255, (9, 8, 3))
    style = RNG.uniform(0, 255, (7, 11, 3))
    terms = {
        "content": {"join": 1.0, "pool2": 0.5},
        "style": {"relu1_1": 0.2, "join": 0.1},
        "normalization": normalization,
        "size": 1e-3,
        "variation": 1e-2,
        "variation_beta": 1.5,
    }
    fun = Objective(net, content, [style, style[:5]], **terms)
    there = Objective(moved(net), Far(content), [Far(style), Far(style[:5])], **terms)
    (value, gradient), (far_value, far_gradient) = fun(image), there(Far(image))
    assert float(far_value) == float(value)
    np.testing.assert_array_equal(far_gradient.near, gradient)
    for name, term in fun.terms.items():
        assert float(there.terms[name].value) == term.value
        assert there.terms[name].gradient_norm == term.gradient_norm
