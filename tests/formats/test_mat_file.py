"""MatConvNet's networks are read exactly, from every layout and version, and what is wrong gets one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import mini_networks as mini
import numpy as np
import pytest
import scipy.io

from vggnumpy.errors import InputError
from vggnumpy.formats.mat_file import SimpleNet, read_mat

WRITERS = {"v5": lambda p, c: mini.write_v5(p, c, False), "v7": mini.write_v5, "v7.3": mini.write_v73}
CONV = {"type": "conv", "weights": mini.cell(np.ones((1, 1, 3, 2), "float32"), np.zeros((2, 1), "float32"))}


@pytest.fixture(params=WRITERS)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], SimpleNet]:
    """Write a content in one of the versions and read it."""

    def write_and_read(content: Any) -> SimpleNet:
        return read_mat(WRITERS[request.param](tmp_path / "net.mat", content))

    return write_and_read


def layer_of(read: Callable[[Any], SimpleNet], **fields: Any) -> dict[str, Any]:
    return read({"layers": mini.cell(fields)}).layers[0]


def check_mini(net: SimpleNet, name: str) -> None:
    """Check everything that a miniature network should read as."""
    face = "face" in name
    arrays = mini.mini_vgg_face() if face else mini.mini_vgg19()
    convs = [layer for layer in net.layers if layer["type"] == "conv"]
    assert [layer["name"] for layer in convs] == list(arrays)
    for layer in convs:
        for mine, theirs in zip(layer["weights"], arrays[layer["name"]], strict=True):
            assert (mine.dtype, mine.shape) == (np.dtype("float32"), theirs.shape)
            np.testing.assert_array_equal(mine, theirs)
        assert layer["pad"] == (int(layer["weights"][0].shape[0] == 3),) * 4
        assert (layer["stride"], layer["dilate"]) == ((1, 1), (1, 1))
    pools = [layer for layer in net.layers if layer["type"] == "pool"]
    assert [layer["name"] for layer in pools] == [f"pool{i}" for i in range(1, 6)]
    for layer in pools:
        assert (layer["pool"], layer["stride"], layer["method"]) == ((2, 2), (2, 2), "max")
        assert layer["pad"] == ((0, 1, 0, 1) if "vgg19_meta" in name else (0, 0, 0, 0))
    dropouts = ["dropout6", "dropout7"] if "_net" in name else []
    assert [(layer["name"], layer["rate"]) for layer in net.layers if layer["type"] == "dropout"] == [
        (dropout, 0.5) for dropout in dropouts
    ]
    rectifiers = [layer for layer in net.layers if layer["type"] == "relu"]
    assert {layer["leak"] for layer in rectifiers} == {0}
    assert net.layers[-1] == {"name": "prob", "type": "softmax", "precious": False, "weights": []}
    assert len(net.layers) == len(convs) + len(pools) + len(dropouts) + len(rectifiers) + 1
    about = net.meta["normalization"]
    np.testing.assert_array_equal(about["averageImage"], mini.MEAN_FACE if face else mini.MEAN_VGG19)
    assert about["averageImage"].dtype == np.float64 and not about["averageImageVaries"]
    assert (about["imageSize"], about["keepAspect"]) == ((64, 64), True)
    assert about["interpolation"] == ("bicubic" if face else "bilinear")
    border = 8 if face or "meta" in name else 0
    assert about["border"] == (border, border) and about["cropSize"] == (64 / (64 + border),) * 2
    if face:
        assert net.meta["classes"] == {"description": list(mini.DESCRIPTIONS_FACE)}
    else:
        assert net.meta["classes"]["name"] == list(mini.CLASSES_VGG19)
        assert net.meta["classes"]["description"] == list(mini.DESCRIPTIONS_VGG19)


@pytest.mark.parametrize("name", mini.MINI_FILES)
def test_every_layout_reads_the_same_numbers(name: str, tmp_path: Path) -> None:
    check_mini(read_mat(mini.write_mini(tmp_path, name)), name)


@pytest.mark.parametrize("name", mini.MINI_FILES)
def test_files_of_other_programs_read_the_same_numbers(name: str, shared: Path) -> None:
    check_mini(read_mat(shared / "fixtures" / "matconvnet" / name), name)


def test_arrays_are_the_ones_scipy_reads(tmp_path: Path) -> None:
    path = mini.write_mini(tmp_path, "mini_vgg19_meta.mat")
    theirs = scipy.io.loadmat(path)["layers"]
    for i, layer in enumerate(read_mat(path).layers):
        record = theirs[0, i][0, 0]
        assert layer["name"] == str(record["name"][0])
        for mine, stored in zip(layer["weights"], record["weights"].flat, strict=True):
            np.testing.assert_array_equal(mine.ravel(order="F"), stored.ravel(order="F"))


def test_big_endian_files(tmp_path: Path) -> None:
    """A file of one uncompressed variable by hand: SciPy writes the machine's own order alone."""

    def element(kind: int, data: bytes) -> bytes:
        return kind.to_bytes(4) + len(data).to_bytes(4) + data + bytes(-len(data) % 8)

    def array(kind: int, shape: tuple[int, ...], body: bytes, name: str = "") -> bytes:
        sizes = element(5, np.array(shape, ">i4").tobytes())
        return element(14, element(6, kind.to_bytes(4) + bytes(4)) + sizes + element(1, name.encode()) + body)

    def text(value: str) -> bytes:
        return array(4, (1, len(value)), element(17, value.encode("utf-16-be")))

    w, b = np.arange(6, dtype=">f4"), np.array([1, 2], ">f8")
    weights = array(7, (1, 1, 3, 2), element(7, w.tobytes())) + array(6, (2, 1), element(9, b.tobytes()))
    stride = array(6, (1, 1), element(3, np.array([2], ">i2").tobytes()))  # a double stored in two bytes
    names = element(5, (8).to_bytes(4)) + element(1, b"type\0\0\0\0weights\0stride\0\0")
    body = names + text("conv") + array(1, (1, 2), weights) + stride
    layers = array(1, (1, 1), array(2, (1, 1), body), "layers")
    path = tmp_path / "big.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + layers)
    (layer,) = read_mat(path).layers
    assert layer["stride"] == (2, 2)
    np.testing.assert_array_equal(layer["weights"][0].reshape(-1, order="F"), np.arange(6))
    np.testing.assert_array_equal(layer["weights"][1], [1, 2])
    assert [array.dtype for array in layer["weights"]] == [np.dtype("=f4"), np.dtype("=f8")]


def test_what_is_missing_gets_matconvnets_defaults(read: Callable[[Any], SimpleNet]) -> None:
    gain, bias = np.ones((2, 1), "float32"), np.zeros((2, 1), "float32")
    plain = [
        CONV,
        {"type": "convt", "weights": mini.cell(np.ones((2, 2, 5, 2), "float32"), mini.cell())},
        {"type": "pool", "pool": 3.0, "method": "avg"},
        {"type": "bnorm", "weights": mini.cell(gain, bias)},
        {"type": "bnorm", "filters": gain, "biases": bias},
        {"type": "normalize"},
        {"type": "relu"},
        {"type": "dropout"},
        {"type": "softmaxloss"},
    ]
    layers = read({"layers": mini.cell(*plain)}).layers
    assert [layer["name"] for layer in layers] == [f"layer{i}" for i in range(1, 10)]
    assert not any(layer["precious"] for layer in layers)
    conv, convt, pool, bnorm, old_bnorm, lrn, relu, dropout, loss = layers
    assert (conv["pad"], conv["stride"], conv["dilate"]) == ((0, 0, 0, 0), (1, 1), (1, 1))
    assert (convt["crop"], convt["upsample"], convt["numGroups"]) == ((0, 0, 0, 0), (1, 1), 1)
    np.testing.assert_array_equal(convt["weights"][1], np.zeros(5))
    assert (pool["pool"], pool["stride"], pool["pad"], pool["method"]) == ((3, 3), (1, 1), (0, 0, 0, 0), "avg")
    for layer in (bnorm, old_bnorm):
        assert [array.shape for array in layer["weights"]] == [(2,), (2,), (2, 2)] and layer["epsilon"] == 1e-5
        assert layer["weights"][2].dtype == np.float32 and not layer["weights"][2].any()
    assert (lrn["type"], lrn["param"]) == ("lrn", (5, 1, 2e-5, 0.75))
    assert (relu["leak"], dropout["rate"]) == (0, 0.5)
    assert loss == {"name": "layer9", "type": "softmaxloss", "precious": False, "weights": []}


def test_all_fields_are_read(read: Callable[[Any], SimpleNet]) -> None:
    pad, pair = mini.row(1, 2, 3, 4), mini.row(2, 3)
    conv = layer_of(read, **CONV, name="c", pad=pad, stride=pair, dilate=pair, precious=True)
    assert (conv["name"], conv["pad"], conv["stride"], conv["dilate"]) == ("c", (1, 2, 3, 4), (2, 3), (2, 3))
    assert conv["precious"] is True
    filters, moments = np.ones((2, 2, 5, 4)), np.arange(8.0).reshape(4, 2)
    weights = mini.cell(filters, np.arange(10.0).reshape(-1, 1))
    convt = layer_of(read, type="convt", weights=weights, crop=pad, upsample=pair, numGroups=2.0)
    assert (convt["crop"], convt["upsample"], convt["numGroups"]) == ((1, 2, 3, 4), (2, 3), 2)
    assert convt["weights"][0].dtype == np.float64
    bnorm = layer_of(read, type="bnorm", weights=mini.cell(np.ones((1, 4)), np.ones((4, 1)), moments), epsilon=1e-4)
    assert bnorm["epsilon"] == 1e-4
    np.testing.assert_array_equal(bnorm["weights"][2], moments)
    pool = layer_of(read, type="pool", method="max", pool=pair, stride=pair, pad=pad)
    assert (pool["pool"], pool["stride"], pool["pad"]) == ((2, 3), (2, 3), (1, 2, 3, 4))
    assert layer_of(read, type="lrn", param=mini.row(3, 2, 1, 0.5))["param"] == (3, 2, 1, 0.5)
    assert layer_of(read, type="relu", leak=0.25)["leak"] == 0.25
    assert layer_of(read, type="dropout", rate=0.75)["rate"] == 0.75


def test_empty_counts_as_missing(read: Callable[[Any], SimpleNet]) -> None:
    conv = layer_of(read, **CONV, name="", pad=np.empty((0, 0)), stride=np.empty((1, 0)), dilate=np.empty((1, 0)))
    assert conv["name"] == "layer1"
    assert (conv["pad"], conv["stride"], conv["dilate"]) == ((0, 0, 0, 0), (1, 1), (1, 1))
    net = read({"layers": mini.cell(CONV), "classes": np.empty((0, 0)), "normalization": np.empty((0, 0))})
    assert net.meta == {}
    about = {"averageImage": np.empty((0, 0)), "border": np.empty((0, 0)), "interpolation": ""}
    assert read({"layers": mini.cell(CONV), "meta": {"normalization": about}}).meta == {"normalization": {}}


def test_a_bank_of_one_filter_keeps_four_axes(read: Callable[[Any], SimpleNet]) -> None:
    one = np.arange(12, dtype="float32").reshape(2, 2, 3)  # MATLAB drops the fourth axis of size 1
    w, b = layer_of(read, type="conv", weights=mini.cell(one, np.ones((1, 1), "float32")))["weights"]
    assert (w.shape, b.shape) == ((2, 2, 3, 1), (1,))
    np.testing.assert_array_equal(w[..., 0], one)
    w, b = layer_of(read, type="conv", filters=one[:, :, 0], biases=np.empty((0, 0), "float32"))["weights"]
    assert (w.shape, b.shape, b.dtype) == ((2, 2, 1, 1), (1,), np.float32)


def test_older_places_of_meta_win(read: Callable[[Any], SimpleNet]) -> None:
    """As in vl_simplenn_tidy, which moves them into meta."""
    old, new = ({"averageImage": mini.row(*[value] * 3)} for value in (1, 2))
    net = read({"layers": mini.cell(CONV), "normalization": old, "meta": {"normalization": new}})
    np.testing.assert_array_equal(net.meta["normalization"]["averageImage"], [1, 1, 1])


def test_an_average_image_becomes_its_mean_color(read: Callable[[Any], SimpleNet]) -> None:
    image = np.arange(24, dtype="float32").reshape(4, 2, 3)
    about = read({"layers": mini.cell(CONV), "normalization": {"averageImage": image}}).meta["normalization"]
    np.testing.assert_allclose(about["averageImage"], image.mean(axis=(0, 1)))
    assert about["averageImageVaries"]


def test_texts_of_any_kind(read: Callable[[Any], SimpleNet]) -> None:
    classes = {"name": mini.cell("crème brûlée", "", "日本 🍡"), "description": "a single one"}
    assert read({"layers": mini.cell(CONV), "classes": classes}).meta["classes"] == {
        "name": ["crème brûlée", "", "日本 🍡"],
        "description": ["a single one"],
    }


def test_rows_of_characters_are_texts(tmp_path: Path) -> None:
    rows = np.array(["cat  ", "horse"])
    path = mini.write_v5(tmp_path / "net.mat", {"layers": mini.cell(CONV), "classes": {"name": rows}})
    assert read_mat(path).meta["classes"]["name"] == ["cat", "horse"]


def test_unknown_fields_and_variables_are_passed_over(read: Callable[[Any], SimpleNet]) -> None:
    deep = mini.cell(1.0)
    for _ in range(20):  # deeper than anything is read
        deep = mini.cell(deep)
    strange = {"momentum": mini.cell(np.full((2, 2), np.nan)), "opts": deep, "x": "text"}
    net = read({"other": deep, "layers": mini.cell({**CONV, **strange}), "meta": {"trainOpts": strange}})
    assert set(net.layers[0]) == {"name", "type", "precious", "weights", "pad", "stride", "dilate"}
    assert net.meta == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"x": 1.0}, "holds no network of MatConvNet: expected a cell array named layers"),
        ({"layers": mini.cell()}, "holds no network"),
        ({"layers": 3.0}, "holds no network"),
        ({"net": mini.cell()}, "holds no network"),
        ({"net": {"meta": 1.0}}, "holds no network"),
        ({"layers": {"name": "conv1", "block": 1.0}}, "DagNN model .* use the Caffe original"),
        ({"layers": mini.cell(1.0)}, "layer 1 is not a struct"),
        ({"layers": mini.cell({"name": "a"})}, "field type is missing"),
        ({"layers": mini.cell({"type": 1.0})}, "field type is not a text"),
        ({"layers": mini.cell({"type": "conv"})}, "layer 1 .*field weights holds no filters"),
        ({"layers": mini.cell({**CONV, "name": "conv7", "pad": -1.0})}, r"layer 1 \('conv7'\): its field pad is \[-1"),
        ({"layers": mini.cell({**CONV, "pad": mini.row(1, 2)})}, "field pad has 2 numbers, expected 4"),
        ({"layers": mini.cell({**CONV, "stride": 1.5})}, "stride is .1.5, 1.5., expected integers from 1"),
        ({"layers": mini.cell({**CONV, "stride": "one"})}, "stride is not numbers"),
        ({"layers": mini.cell({**CONV, "dilate": np.nan})}, "dilate is not finite"),
        ({"layers": mini.cell({"type": "conv", "weights": mini.cell("w", "b")})}, "not a cell array of numbers"),
        (
            {"layers": mini.cell({"type": "conv", "filters": np.ones((2, 2, 3, 4)), "biases": np.ones((3, 1))})},
            r"3 biases for filters of shape \(2, 2, 3, 4\)",
        ),
        ({"layers": mini.cell({"type": "conv", "filters": np.ones((1, 1, 1, 1, 2))})}, "four axes"),
        ({"layers": mini.cell({"type": "conv", "filters": np.ones((2, 2), "int32")})}, "int32 numbers"),
        ({"layers": mini.cell({"type": "conv", "filters": np.array([[1, np.inf]])})}, "1 numbers that are not finite"),
        ({"layers": mini.cell({"type": "bnorm", "weights": mini.cell(np.ones((2, 1)))})}, "not gain, bias and moments"),
        (
            {"layers": mini.cell({"type": "bnorm", "weights": mini.cell(*[np.ones((2, 1))] * 3)})},
            "2 gains, 2 biases and moments of shape",
        ),
        ({"layers": mini.cell({"type": "pool", "method": "max"})}, "field pool is missing"),
        ({"layers": mini.cell({"type": "pool", "pool": 2.0})}, "field method is missing"),
        ({"layers": mini.cell(CONV), "classes": {"name": mini.cell(1.0)}}, "name is not a cell array of texts"),
        ({"layers": mini.cell(CONV), "normalization": {"averageImage": 1.0}}, "averageImage has shape"),
        ({"layers": mini.cell(CONV), "normalization": {"averageImage": mini.row(1, np.inf, 2)}}, "not finite"),
    ],
)
def test_what_is_wrong_gets_one_sentence(content: Any, sentence: str, read: Callable[[Any], SimpleNet]) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read(content)
    assert "\n" not in str(caught.value) and "net.mat: " in str(caught.value)


def test_a_struct_array_is_no_struct(tmp_path: Path) -> None:
    layers = np.array([[("conv",), ("relu",)]], [("type", object)])
    path = mini.write_v5(tmp_path / "net.mat", {"layers": mini.cell(layers)})
    with pytest.raises(InputError, match="layer 1 is not a struct"):
        read_mat(path)


def test_graphs_are_refused(tmp_path: Path) -> None:
    layers = np.zeros((1, 2), [("name", object), ("block", object)])
    path = mini.write_v5(tmp_path / "dag.mat", {"layers": layers, "params": np.zeros((1, 2), [("value", object)])})
    with pytest.raises(InputError, match="DagNN model"):
        read_mat(path)
    with h5py.File(mini.write_v73(tmp_path / "dag73.mat", {"layers": {"name": "x", "block": "y"}}), "r+") as file:
        del file["layers/name"]
        file["layers"].create_dataset("name", (2, 1), h5py.ref_dtype)
    with pytest.raises(InputError, match="DagNN model"):
        read_mat(tmp_path / "dag73.mat")


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    import scipy.sparse

    for value, words in ((np.array([[1j]]), "complex numbers"), (scipy.sparse.eye(3).tocsc(), "a sparse matrix")):
        path = mini.write_v5(tmp_path / "net.mat", {"layers": mini.cell({**CONV, "pad": value})})
        with pytest.raises(InputError, match=f"field pad is {words}"):
            read_mat(path)


@pytest.mark.parametrize("content", [b"", b"MATLAB", b"\x89PNG" + bytes(600), bytes(128)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected a MAT file of version 5, 7 or 7\.3, found"):
        read_mat(path)
    with pytest.raises(InputError, match="no such file"):
        read_mat(tmp_path / "none.mat")
