"""Networks written for MatConvNet hold the same numbers, and compute the same by its rules."""

from itertools import product
from pathlib import Path
from typing import Any

import mini_networks as mini
import numpy as np
import pytest
import scipy.io

from vggnumpy import ops
from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet, read_mat
from vggnumpy.formats.mat_writer import write_mat
from vggnumpy.nets.network import Network
from vggnumpy.nets.tables import Layer, chain

MEAN = (123.68, 116.779, 103.939)


def numbers(*shape: int, seed: int = 1, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def network(layers: list[Layer], weights: dict[str, Any] | None = None, **more: Any) -> Network:
    """Return a chain; without weights, behind a 1×1 convolution."""
    if weights is None:
        layers = [Layer("first", "conv", (), channels=4), *layers]
        weights = {"first": (numbers(1, 1, 3, 4), numbers(4))}
    return Network("test", chain(layers), weights, **{"mean": MEAN, **more})


def every_kind(dtype: str = "float32") -> Network:
    moments = np.stack([numbers(6, seed=8), np.abs(numbers(6, seed=9)) + 1], axis=1)
    weights = {
        "conv1": (numbers(3, 2, 3, 6), numbers(6, seed=2)),
        "norm1": (numbers(6, seed=3), numbers(6, seed=4), moments),
        "conv2": (numbers(3, 3, 3, 4, seed=5), numbers(4, seed=6)),  # two groups
        "up": (numbers(4, 4, 2, 4, seed=7), numbers(4, seed=10)),
        "last": (numbers(1, 1, 4, 1, seed=11), numbers(1, seed=12)),
    }
    layers = [
        Layer("conv1", "conv", (), (3, 2), 6, stride=(2, 1), pad=(1, 0, 1, 2), dilate=(2, 1)),
        Layer("norm1", "bnorm", ()),
        Layer("relu1", "relu", (), leak=0.25),
        Layer("pool1", "pool", (), (3, 2), stride=(2, 1), pad=(1, 1, 0, 1), method="average"),
        Layer("conv2", "conv", (), (3, 3), 4, pad=(1, 1, 1, 1)),
        Layer("lrn", "lrn", (), lrn=(3, 2.0, 0.5, 0.75)),
        Layer("drop", "dropout", (), rate=0.3),
        Layer("up", "convt", (), (4, 4), 4, stride=(2, 3), pad=(1, 0, 1, 1), groups=2),
        Layer("last", "conv", (), (1, 1), 1),
        Layer("prob", "softmax", ()),
    ]
    weights = {name: tuple(part.astype(dtype) for part in parts) for name, parts in weights.items()}
    return network(layers, weights, image_size=(20, 24), classes=("crème", "日本"))


def as_matconvnet(simple: SimpleNet, image: np.ndarray) -> np.ndarray:
    """Compute what vl_simplenn does with an image from which the mean is taken."""
    x = image - simple.meta["normalization"]["averageImage"].astype(image.dtype)
    for layer in simple.layers:
        weights = layer["weights"]
        match layer["type"]:
            case "conv":
                x, _ = ops.conv(x, *weights, layer["stride"], layer["pad"], layer["dilate"])
            case "convt":
                x, _ = ops.conv_transpose(x, *weights, layer["upsample"], layer["crop"], layer["numGroups"])
            case "pool":
                pool = {"max": ops.max_pool, "avg": ops.avg_pool}[layer["method"]]
                x, _ = pool(x, layer["pool"], layer["stride"], layer["pad"])
            case "relu":
                x, _ = ops.relu(x, layer["leak"])
            case "bnorm":
                x, _ = ops.batch_norm(x, *weights)
            case "lrn":
                size, *rest = layer["param"]
                x, _ = ops.lrn(x, int(size), *rest)
            case "softmax":
                x, _ = ops.softmax(x)
    return x


def written(net: Network, folder: Path) -> SimpleNet:
    write_mat(folder / "net.mat", net)
    return read_mat(folder / "net.mat")


def compare(net: Network, folder: Path, size: tuple[int, int] = (20, 24)) -> None:
    image = np.random.default_rng(5).integers(0, 256, (*size, 3)).astype(net.dtype)
    last = net.layers[-1]
    expected = net.forward(image, [last])[0][last]
    found = as_matconvnet(written(net, folder), image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # sums in another order


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind_is_written_exactly(dtype: str, tmp_path: Path) -> None:
    net = every_kind(dtype)
    simple = written(net, tmp_path)
    assert [layer["name"] for layer in simple.layers] == list(net.layers)
    for layer in simple.layers:
        parts = net.weights.get(layer["name"], ())
        assert len(layer["weights"]) == len(parts)
        for mine, part in zip(layer["weights"], parts, strict=True):
            assert (mine.dtype, mine.shape) == (part.dtype, part.shape)
            np.testing.assert_array_equal(mine, part)
    conv, norm, relu, pool, _, lrn, drop, up, _, prob = simple.layers
    assert (conv["stride"], conv["pad"], conv["dilate"]) == ((2, 1), (1, 0, 1, 2), (2, 1))
    assert (pool["pool"], pool["stride"], pool["pad"], pool["method"]) == ((3, 2), (2, 1), (1, 1, 0, 1), "avg")
    assert (up["upsample"], up["crop"], up["numGroups"]) == ((2, 3), (1, 0, 1, 1), 2)
    assert (relu["leak"], drop["rate"], lrn["param"]) == (0.25, 0.3, (3, 2, 0.5, 0.75))
    assert [layer["type"] for layer in (norm, prob)] == ["bnorm", "softmax"]
    about = simple.meta["normalization"]
    np.testing.assert_array_equal(about["averageImage"], MEAN)
    assert (about["imageSize"], about["interpolation"], about["keepAspect"]) == ((20, 24), "bilinear", True)
    assert simple.meta["classes"] == {"description": ["crème", "日本"]}
    compare(net, tmp_path)


def test_what_a_network_does_not_say_is_left_out(tmp_path: Path) -> None:
    simple = written(network([]), tmp_path)
    assert set(simple.meta) == {"normalization"} and "imageSize" not in simple.meta["normalization"]


def test_another_reader_sees_matconvnets_shapes_and_types(tmp_path: Path) -> None:
    write_mat(tmp_path / "net.mat", every_kind())
    assert scipy.io.whosmat(tmp_path / "net.mat") == [("layers", (1, 10), "cell"), ("meta", (1, 1), "struct")]
    content = scipy.io.loadmat(tmp_path / "net.mat", mat_dtype=True)
    first = content["layers"][0, 0][0, 0]
    assert first.dtype.names == ("name", "type", "weights", "precious", "size", "pad", "stride", "dilate", "opts")
    assert (first["weights"].shape, first["weights"][0, 0].shape) == ((1, 2), (3, 2, 3, 6))
    assert first["weights"][0, 1].shape == (6, 1)
    assert {array.dtype.name for array in first["weights"].flat} == {"float32"}
    assert first["precious"].dtype == bool and not first["precious"].any()
    assert (first["opts"].dtype, first["opts"].shape) == (np.dtype(object), (0, 0))
    for field, value in {"size": [3, 2, 3, 6], "pad": [1, 0, 1, 2], "stride": [2, 1], "dilate": [2, 1]}.items():
        assert first[field].dtype == np.float64
        np.testing.assert_array_equal(first[field], [value])
    norm = content["layers"][0, 1][0, 0]
    assert [array.shape for array in norm["weights"].flat] == [(6, 1), (6, 1), (6, 2)]
    relu = content["layers"][0, 2][0, 0]
    assert relu["weights"].shape == (0, 0) and relu["leak"] == 0.25
    about = content["meta"]["normalization"][0, 0][0, 0]
    assert (about["averageImage"].shape, about["averageImage"].dtype) == ((1, 1, 3), np.float64)
    np.testing.assert_array_equal(about["imageSize"], [[20, 24, 3]])
    assert about["keepAspect"].dtype == bool
    assert content["meta"]["classes"][0, 0]["description"][0, 0].shape == (1, 2)


def test_the_miniature_vgg19_comes_back(tmp_path: Path) -> None:
    """From MatConvNet's file to ours and back: the same layers, so the same numbers of layers."""
    original = read_mat(mini.write_mini(tmp_path, "mini_vgg19_meta.mat"))
    layers = []
    for raw in original.layers:
        if raw["type"] == "conv":
            kh, kw, _, count = raw["weights"][0].shape
            layers.append(Layer(raw["name"], "conv", (), (kh, kw), count, pad=raw["pad"]))
        elif raw["type"] == "pool":
            layers.append(Layer(raw["name"], "pool", (), (2, 2), stride=(2, 2), rounding="ceil"))
        else:
            layers.append(Layer(raw["name"], raw["type"], ()))
    weights = {raw["name"]: tuple(raw["weights"]) for raw in original.layers if raw["weights"]}
    net = network(layers, weights, image_size=(64, 64), classes=mini.DESCRIPTIONS_VGG19)
    for mine, theirs in zip(written(net, tmp_path).layers, original.layers, strict=True):
        for a, b in zip(mine.pop("weights"), theirs.pop("weights"), strict=True):
            np.testing.assert_array_equal(a, b)
        assert mine == theirs
    for size in ((64, 64), (67, 61)):
        simple = read_mat(tmp_path / "mini_vgg19_meta.mat")
        image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype("float32")
        features = net.forward(image, ["pool5"])[0]["pool5"]
        until = SimpleNet(simple.layers[:37], simple.meta)
        np.testing.assert_array_equal(as_matconvnet(until, image), features)


def test_bgr_is_turned_exactly(tmp_path: Path) -> None:
    net = network([Layer("conv", "conv", (), (3, 3), 5, pad=(1,) * 4)], CONV, channel_order="BGR", mean=MEAN[::-1])
    simple = written(net, tmp_path)
    np.testing.assert_array_equal(simple.layers[0]["weights"][0], CONV["conv"][0][:, :, ::-1])
    np.testing.assert_array_equal(simple.meta["normalization"]["averageImage"], MEAN)
    compare(net, tmp_path)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_a_scale_becomes_a_first_convolution_exactly(order: str, tmp_path: Path) -> None:
    table = [Layer("conv", "conv", (), (3, 3), 5, pad=(1,) * 4)]
    net = network(table, CONV, channel_order=order, scale=(0.1, 0.02, 0.7))
    simple = written(net, tmp_path)
    assert [layer["name"] for layer in simple.layers] == ["conv0", "conv"]
    np.testing.assert_array_equal(simple.layers[1]["weights"][0], CONV["conv"][0])
    image = np.random.default_rng(5).integers(0, 256, (6, 7, 3)).astype("float32")
    scaled = SimpleNet(simple.layers[:1], simple.meta)
    np.testing.assert_array_equal(as_matconvnet(scaled, image), net.preprocess(image))
    compare(net, tmp_path)


CONV = {"conv": (numbers(3, 3, 3, 5), numbers(5))}


@pytest.mark.parametrize("method", ["max", "average"])
def test_pools_that_round_up_keep_their_windows(method: str, tmp_path: Path) -> None:
    """For every window, stride, padding and size for which MatConvNet has a window at all."""
    pools = {"max": ops.max_pool, "average": ops.avg_pool}
    compared = 0
    for window, stride, before, after in product(range(1, 5), range(1, 6), range(3), range(3)):
        if before >= window or after >= window:
            continue
        sides = (before, after, before, after)
        layer = Layer(
            "pool", "pool", (), (window,) * 2, stride=(stride,) * 2, pad=sides, method=method, rounding="ceil"
        )
        raw = written(network([layer]), tmp_path).layers[1]
        assert max(raw["pad"]) < window  # MatConvNet's condition
        for size in range(1, 12):
            x = numbers(size, size + 1, 2)
            if size + raw["pad"][0] + raw["pad"][1] < window:
                continue
            theirs, _ = pools[method](x, raw["pool"], raw["stride"], raw["pad"])
            mine, _ = pools[method](x, window, stride, sides, "ceil")
            np.testing.assert_array_equal(theirs, mine)
            compared += 1
    assert compared > 1000
    raw = written(network([Layer("pool", "pool", (), (3, 3), stride=(2, 2), rounding="ceil")]), tmp_path).layers[1]
    assert raw["pad"] == (0, 1, 0, 1)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (network([Layer("pool", "pool", (), (0, 0))]), "layer pool pools a map of whatever size"),
        (
            network([Layer("slope", "prelu", ())], {"slope": (numbers(3),)}),
            "layer slope has a slope for each channel",
        ),
        (
            network([Layer("both", "concat", ("first", "first"))]),
            "layer both takes its input from first and first, so the network is no chain",
        ),
        (network([Layer("one", "concat", ("first",))]), "layer one joins branches"),
        (
            network([Layer("a", "relu", ()), Layer("b", "relu", ("first",))]),
            "layer b takes its input from first, so the network is no chain",
        ),
        (
            network([Layer("conv", "conv", (), (3, 3), 5, pad=(0, 1, 0, 0))], CONV, pad_mode="reflect"),
            "layer conv has reflect padding",
        ),
        (
            network([Layer("conv", "conv", (), (3, 3), 5, pad=(1,) * 4, pad_mode="replicate")], CONV),
            "layer conv has replicate padding",
        ),
        (
            network(
                [Layer("r", "relu", ()), Layer("conv", "conv", (), (3, 3), 5)], CONV, channel_order="BGR", mean=MEAN
            ),
            "its input is BGR, and its first layer r has no filters",
        ),
        (
            network(
                [Layer("conv", "conv", (), (1, 1), 3)], {"conv": (numbers(1, 1, 1, 3), numbers(3))}, channel_order="BGR"
            ),
            "its input is BGR, and its first layer conv has no filters",
        ),
        (
            network([Layer("conv0", "conv", (), (3, 3), 5)], {"conv0": CONV["conv"]}, scale=(0.5,) * 3),
            "it scales its input before a layer conv0",
        ),
    ],
)
def test_what_matconvnet_cannot_express_is_refused(net: Network, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"net.mat: network test cannot be written for MatConvNet: {sentence}"):
        write_mat(tmp_path / "net.mat", net)
    assert not list(tmp_path.iterdir())


def test_reflection_without_padding_is_no_obstacle(tmp_path: Path) -> None:
    compare(network([Layer("conv", "conv", (), (3, 3), 5)], CONV, pad_mode="reflect"), tmp_path)


def test_a_network_beyond_matlabs_variables_is_refused(tmp_path: Path) -> None:
    huge = np.broadcast_to(np.float32(0), (8, 8, 3, 3_000_000))
    table = [Layer("conv", "conv", (), (8, 8), 3_000_000)]
    net = network(table, {"conv": (huge, np.broadcast_to(np.float32(0), 3_000_000))})
    with pytest.raises(InputError, match="take 2316000000 bytes, and a variable of such a file at most 2147483647"):
        write_mat(tmp_path / "net.mat", net)


def test_a_folder_that_is_missing_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_mat(tmp_path / "none" / "net.mat", network([]))
