"""Side by side with PyTorch: the whole objective, and every operator in many geometries."""

import numpy as np
import pytest

from vggnumpy import Objective, ops, random_network
from vggnumpy.formats import read_weights
from vggnumpy.formats.convert import convert

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-9


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def vgg19():
    return random_network("vgg19", rng=1, dtype="float64")


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_value_and_gradient_of_the_objective_on_vgg19(numbers, vgg19, pooling):
    net, pictures = vgg19.with_pooling(pooling), numbers.images(96, 80)
    layers = net.layers[: net.layers.index("relu5_1") + 1]
    expected, dexpected = numbers.torch_objective(layers, net.weights, net.mean, pooling, *pictures, **numbers.WEIGHTS)
    image, content, style = pictures
    fun = Objective(net, content, style, **numbers.WEIGHTS)
    value, gradient = fun(image)
    shares = [term.value / value for term in fun.terms.values()]
    assert min(shares) > 1e-6  # no term is too small to be seen
    assert value == pytest.approx(expected, rel=TOLERANCE)
    np.testing.assert_allclose(gradient, dexpected, rtol=0, atol=TOLERANCE * abs(dexpected).max())


def channels_first(array):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def compare(y, expected, inputs, dys):
    """Compare an output and derivatives with PyTorch's; `inputs` maps a tensor to our derivative, as PyTorch has it."""
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), expected.detach().numpy(), rtol=0, atol=1e-12)
    expected.backward(channels_first(dys))
    for tensor, ours in inputs:
        theirs = tensor.grad.numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * abs(theirs).max())


def test_mtcnn_s_output_net_as_its_port_runs_it_on_transposed_pictures(shared, tmp_path):
    path = shared / "data/pretrained_other/mtcnn_face/onet.npz"
    convert(path, tmp_path / "net.h5")
    net = read_weights(tmp_path / "net.h5", "float64")
    with np.load(path) as archive:
        arrays = {name: torch.from_numpy(archive[name].astype("float64")) for name in archive.files}
    image = np.random.default_rng(13).uniform(0, 255, (48, 48, 3))
    # Filters as they are stored, H×W×I×O, on the picture with its axes exchanged; "same" padding by hand.
    x = torch.from_numpy((image.transpose(2, 1, 0)[None] - 127.5) / 128)
    for i, pool in enumerate([(3, 1), (3, 0), (2, 0), None], start=1):
        w = arrays[f"conv{i}.weights"].permute(3, 2, 0, 1)
        x = functional.prelu(functional.conv2d(x, w, arrays[f"conv{i}.biases"]), arrays[f"prelu{i}.alpha"])
        if pool:
            x = functional.max_pool2d(functional.pad(x, (0, pool[1]) * 2, value=-np.inf), pool[0], 2)
    flat = x.permute(0, 2, 3, 1).reshape(1, -1)
    hidden = functional.prelu(flat @ arrays["conv5.weights"] + arrays["conv5.biases"], arrays["prelu5.alpha"])
    expected = {f"conv6_{i}": hidden @ arrays[f"conv6_{i}.weights"] + arrays[f"conv6_{i}.biases"] for i in (1, 2, 3)}
    expected["prob"] = functional.softmax(expected["conv6_1"], dim=1)
    features, _ = net.forward(image, expected)
    for name, theirs in expected.items():
        np.testing.assert_allclose(features[name].ravel(), theirs.numpy().ravel(), rtol=0, atol=1e-12)


CONVOLUTIONS = [
    {},
    {"stride": 2},
    {"stride": (3, 1), "pad": 0},
    {"dilate": (1, 2), "pad": 2},
    {"stride": 2, "dilate": 2, "pad": (2, 2, 3, 3)},
    {"pad": (1, 2, 0, 3)},
    {"pad_mode": "reflect"},
    {"pad_mode": "reflect", "pad": (1, 2, 0, 3), "stride": 2},
    {"pad_mode": "replicate"},
    {"pad_mode": "replicate", "pad": (4, 0, 2, 5), "dilate": 2},
]
MODES = {"zero": "constant", "reflect": "reflect", "replicate": "replicate"}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_convolutions(options, kernel, groups):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 9, 11, 4)), rng.standard_normal((*kernel, 4 // groups, 6))
    b = rng.standard_normal(6)
    y, cache = ops.conv(x, w, b, **options)
    full = {"stride": 1, "pad": 1, "dilate": 1, "pad_mode": "zero", **options}
    top, bottom, left, right = np.broadcast_to(full["pad"], 4).tolist()
    tensors = [channels_first(x), torch.from_numpy(w.transpose(3, 2, 0, 1).copy()), torch.from_numpy(b)]
    for tensor in tensors:
        tensor.requires_grad_()
    padded = functional.pad(tensors[0], (left, right, top, bottom), MODES[full["pad_mode"]])
    expected = functional.conv2d(padded, *tensors[1:], full["stride"], 0, full["dilate"], groups)
    dy = rng.standard_normal(y.shape)
    dw, db = ops.conv_backward_filter(dy, x, cache)
    dx = ops.conv_backward_input(dy, cache)
    ours = dx.transpose(0, 3, 1, 2), dw.transpose(3, 2, 0, 1), db
    compare(y, expected, list(zip(tensors, ours, strict=True)), dy)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sides", [(1, 1, 1, 1), (0, 3, 2, 1)])
def test_paddings(mode, sides):
    x = np.random.default_rng(4).standard_normal((2, 5, 4, 3))
    y, cache = ops.pad(x, sides, mode)
    tensor = channels_first(x).requires_grad_()
    expected = functional.pad(tensor, (*sides[2:], *sides[:2]), MODES[mode])
    dy = np.random.default_rng(5).standard_normal(y.shape)
    compare(y, expected, [(tensor, ops.pad_backward(dy, cache).transpose(0, 3, 1, 2))], dy)


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (3, 3)])
@pytest.mark.parametrize(("window", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (2, 3, 0), ((2, 3), (1, 2), 1), (2, 2, 1)])
@pytest.mark.parametrize("method", ["max", "average"])
def test_pools(method, window, stride, pad, size, rounding):
    x = np.random.default_rng(6).standard_normal((2, *size, 3))
    window, stride = np.broadcast_to(window, 2).tolist(), np.broadcast_to(stride, 2).tolist()
    tensor = channels_first(x).requires_grad_()
    ceil = rounding == "ceil"
    if method == "max":
        y, cache = ops.max_pool(x, window, stride, pad, rounding)
        expected = functional.max_pool2d(tensor, window, stride, pad, ceil_mode=ceil)
        back = ops.max_pool_backward
    else:
        y, cache = ops.avg_pool(x, window, stride, pad, rounding)
        expected = functional.avg_pool2d(tensor, window, stride, pad, ceil_mode=ceil, count_include_pad=False)
        back = ops.avg_pool_backward
    dy = np.random.default_rng(7).standard_normal(y.shape)
    compare(y, expected, [(tensor, back(dy, cache).transpose(0, 3, 1, 2))], dy)


def test_the_rectifier_and_its_derivative_at_zero():
    x = np.random.default_rng(8).integers(-2, 3, (2, 5, 7, 3)).astype("float64")
    y, cache = ops.relu(x)
    tensor = channels_first(x).requires_grad_()
    dy = np.random.default_rng(9).standard_normal(y.shape)
    compare(y, functional.relu(tensor), [(tensor, ops.relu_backward(dy, cache).transpose(0, 3, 1, 2))], dy)


TRANSPOSED = [
    {},
    {"upsample": 2},
    {"upsample": (3, 2), "crop": (1, 0, 2, 1)},
    {"upsample": (1, 4), "crop": (2, 2, 0, 3)},
    {"upsample": 5, "crop": (0, 3, 1, 0)},
]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("options", TRANSPOSED)
def test_transposed_convolutions(options, kernel, groups):
    rng = np.random.default_rng(10)
    x, w = rng.standard_normal((2, 5, 6, 4)), rng.standard_normal((*kernel, 3, 4))
    b = rng.standard_normal(3 * groups)
    y, cache = ops.conv_transpose(x, w, b, groups=groups, **options)
    top, bottom, left, right = np.broadcast_to(options.get("crop", 0), 4).tolist()
    tensors = [channels_first(x), torch.from_numpy(w.transpose(3, 2, 0, 1).copy()), torch.from_numpy(b)]
    for tensor in tensors:
        tensor.requires_grad_()
    whole = functional.conv_transpose2d(*tensors, options.get("upsample", 1), groups=groups)
    expected = whole[..., top : whole.shape[2] - bottom, left : whole.shape[3] - right]
    dy = rng.standard_normal(y.shape)
    dw, db = ops.conv_transpose_backward_filter(dy, x, cache)
    dx = ops.conv_transpose_backward_input(dy, cache)
    ours = dx.transpose(0, 3, 1, 2), dw.transpose(3, 2, 0, 1), db
    compare(y, expected, list(zip(tensors, ours, strict=True)), dy)


def test_leaky_rectifiers():
    rng = np.random.default_rng(11)
    x, slope = rng.integers(-2, 3, (2, 5, 7, 3)).astype("float64"), rng.standard_normal(3)
    dy = rng.standard_normal(x.shape)
    tensor = channels_first(x).requires_grad_()
    y, cache = ops.relu(x, 0.2)
    compare(y, functional.leaky_relu(tensor, 0.2), [(tensor, ops.relu_backward(dy, cache).transpose(0, 3, 1, 2))], dy)
    tensor, slopes = channels_first(x).requires_grad_(), torch.from_numpy(slope).requires_grad_()
    y, cache = ops.prelu(x, slope)
    dx = ops.prelu_backward(dy, cache).transpose(0, 3, 1, 2)
    compare(
        y,
        functional.prelu(tensor, slopes),
        [(tensor, dx), (slopes, ops.prelu_backward_slope(dy, x, cache))],
        dy,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 30])
def test_local_response_normalisation(size):
    rng = np.random.default_rng(12)
    x, dy = rng.standard_normal((2, 3, 5, 11)), rng.standard_normal((2, 3, 5, 11))
    # PyTorch divides alpha by the size, and has the longer side of an even window first: the channels mirrored.
    order = slice(None, None, 1 if size % 2 else -1)
    tensor = channels_first(x[..., order]).requires_grad_()
    y, cache = ops.lrn(x, size, kappa=1.5, alpha=0.7 / size, beta=0.6)
    dx = ops.lrn_backward(dy, cache)
    expected = functional.local_response_norm(tensor, size, alpha=0.7, beta=0.6, k=1.5)
    compare(y[..., order], expected, [(tensor, dx[..., order].transpose(0, 3, 1, 2))], dy[..., order])


@pytest.mark.parametrize("given", [False, True])
def test_batch_normalisation(given):
    rng = np.random.default_rng(13)
    x, dy = rng.standard_normal((3, 5, 4, 6)) * 3 + 2, rng.standard_normal((3, 5, 4, 6))
    gain, bias = rng.standard_normal(6), rng.standard_normal(6)
    mean, variance, epsilon = rng.standard_normal(6), rng.uniform(0.1, 2, 6), 1e-3
    tensors = [channels_first(x), torch.from_numpy(gain), torch.from_numpy(bias)]
    for tensor in tensors:
        tensor.requires_grad_()
    running = (torch.from_numpy(mean), torch.from_numpy(variance)) if given else (None, None)
    expected = functional.batch_norm(tensors[0], *running, *tensors[1:], training=not given, eps=epsilon)
    moments = np.stack([mean, np.sqrt(variance + epsilon)], axis=1) if given else None
    y, cache = ops.batch_norm(x, gain, bias, moments, epsilon)
    dx, dgain, dbias = ops.batch_norm_backward(dy, cache)
    ours = dx.transpose(0, 3, 1, 2), dgain, dbias
    compare(y, expected, list(zip(tensors, ours, strict=True)), dy)


def test_softmax_and_its_loss():
    rng = np.random.default_rng(14)
    x, dy = 20 * rng.standard_normal((3, 4, 5, 7)), rng.standard_normal((3, 4, 5, 7))
    tensor = channels_first(x).requires_grad_()
    y, cache = ops.softmax(x)
    dx = ops.softmax_backward(dy, cache)
    compare(y, functional.softmax(tensor, 1), [(tensor, dx.transpose(0, 3, 1, 2))], dy)
    labels, weights = rng.integers(-1, 7, (3, 4, 5)), rng.uniform(0, 2, (3, 4, 5))
    tensor = channels_first(x).requires_grad_()
    each = functional.cross_entropy(tensor, torch.from_numpy(labels), ignore_index=-1, reduction="none")
    loss = (each * torch.from_numpy(weights)).sum() / 3
    (1.5 * loss).backward()
    value, loss_cache = ops.softmax_loss(x, labels, weights)
    assert value == pytest.approx(loss.item(), rel=1e-14)
    dx = ops.softmax_loss_backward(1.5, loss_cache)
    np.testing.assert_allclose(dx.transpose(0, 3, 1, 2), tensor.grad.numpy(), rtol=0, atol=1e-14)
