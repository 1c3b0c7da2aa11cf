"""Layer tables: MatConvNet's numbers, chains and branches, tables fitted to weights, and what is refused."""

from dataclasses import replace

import pytest

from vggnumpy.errors import InputError
from vggnumpy.nets import ARCHITECTURES, Layer, architecture, chain, fit_table, random_network
from vggnumpy.nets.tables import check_table, conv, pool, relu, table_from_dicts, table_to_dicts

# The order of `net.layers` in MatConvNet's published files, up to the last pool; layer 1 is conv1_1.
NUMBERED = {
    "vgg19": """conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2
                conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 conv3_4 relu3_4 pool3
                conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 conv4_4 relu4_4 pool4
                conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 conv5_4 relu5_4 pool5""".split(),
    "vgg16": """conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2
                conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 pool3
                conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 pool4
                conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 pool5""".split(),
}
PARAMETERS = {"vgg19": 20_024_384, "vgg16": 14_714_688}  # of the convolutions, with biases


@pytest.fixture(scope="module", params=sorted(NUMBERED))
def vgg(request):
    return request.param, random_network(request.param)


def test_numbers_are_matconvnet_s(vgg):
    name, net = vgg
    assert net.numbers == dict(enumerate(NUMBERED[name], start=1))
    assert list(net.layers) == NUMBERED[name]
    for number, layer in net.numbers.items():
        assert net.layer_name(number) == net.layer_name(layer) == layer


def test_the_report_s_layers():
    for name, at_27 in {"vgg16": "conv5_2", "vgg19": "relu4_4"}.items():
        names = [layer.name for layer in ARCHITECTURES[name]]
        assert (names[13 - 1], names[27 - 1]) == ("conv3_2", at_27)


def test_shapes_and_parameters_are_the_paper_s(vgg):
    name, net = vgg
    assert sum(w.size + b.size for w, b in net.weights.values()) == PARAMETERS[name]
    assert all(w.shape[:2] == (3, 3) for w, _ in net.weights.values())
    for layer in net.table:
        if layer.kind == "conv":
            assert (layer.pad, layer.stride, layer.dilate) == ((1, 1, 1, 1), (1, 1), (1, 1))
        if layer.kind == "pool":
            assert (layer.size, layer.stride, layer.pad) == ((2, 2), (2, 2), (0, 0, 0, 0))
            assert (layer.method, layer.rounding) == ("max", "floor")


@pytest.mark.parametrize("key", ["conv6_1", "relu11", "Conv1_1", "", "input", 0, 38, -1, 1.0, None, ("conv1_1",)])
def test_an_unknown_layer_is_refused_with_the_known_ones(key):
    net = random_network(chain([conv("conv1_1", 2), relu("relu1_1")]))
    message = "network random network has no layer .*; it has conv1_1, relu1_1, or by number 1 to 2"
    with pytest.raises(InputError, match=message):
        net.layer_name(key)


def test_an_unknown_layer_of_a_large_network_lists_all(vgg):
    name, net = vgg
    with pytest.raises(InputError, match="relu6_1") as caught:
        net.layer_name("relu6_1")
    assert all(layer in str(caught.value) for layer in NUMBERED[name])
    assert f"by number 1 to {len(NUMBERED[name])}" in str(caught.value)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="architecture 'vgg11' is unknown; expected one of vgg16, vgg19"):
        architecture("vgg11")
    assert architecture("vgg16") is ARCHITECTURES["vgg16"]


def test_a_chain_gives_each_layer_the_one_before_unless_it_names_its_own():
    table = chain([conv("a", 2), relu("b"), conv("c", 3, inputs=("a",)), Layer("d", "concat", ("b", "c")), relu("e")])
    assert [layer.inputs for layer in table] == [("input",), ("a",), ("a",), ("b", "c"), ("d",)]
    assert chain([]) == ()


def widths(*names, cin=3, width=4, size=3, first=None):
    """Return shapes of a chain of convolutions of one width."""
    shapes, before = {}, cin
    for name in names:
        shapes[name] = (size, size, before, width)
        before = width
    return shapes | (first or {})


def test_a_part_of_an_architecture_ends_with_its_last_rectifier():
    table = fit_table(ARCHITECTURES["vgg19"], widths("conv1_1", "conv1_2", "conv2_1"))
    assert [layer.name for layer in table] == "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1".split()
    assert [layer.channels for layer in table] == [4, 0, 4, 0, 0, 4, 0]
    assert [layer.inputs[0] for layer in table] == "input conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1".split()
    check_table(table, 3, widths("conv1_1", "conv1_2", "conv2_1"))


def test_a_whole_architecture_keeps_its_last_pool():
    convs = [layer.name for layer in ARCHITECTURES["vgg16"] if layer.kind == "conv"]
    table = fit_table(ARCHITECTURES["vgg16"], widths(*convs))
    assert [layer.name for layer in table] == NUMBERED["vgg16"]


def test_conv0_goes_before_the_first_layer_and_is_not_counted():
    shapes = {"conv0": (1, 1, 3, 3), **widths("conv1_1", "conv1_2")}
    table = fit_table(ARCHITECTURES["vgg19"], shapes)
    assert [layer.name for layer in table] == "conv0 conv1_1 relu1_1 conv1_2 relu1_2".split()
    assert table[0] == conv("conv0", 3, size=1, pad=0, inputs=("input",), numbered=False)
    assert table[1].inputs == ("conv0",)
    assert random_network(table).numbers == {1: "conv1_1", 2: "relu1_1", 3: "conv1_2", 4: "relu1_2"}


def test_side_layers_hang_on_the_rectifier_and_are_not_counted():
    shapes = {**widths("conv1_1", "conv1_2", "conv2_1"), "conv1_1_aux": (1, 1, 4, 9), "conv2_1_aux": (1, 1, 4, 8)}
    table = fit_table(ARCHITECTURES["vgg19"], shapes)
    by_name = {layer.name: layer for layer in table}
    for name, width in {"1_1": 9, "2_1": 8}.items():
        side, rectified = by_name[f"conv{name}_aux"], by_name[f"relu{name}_aux"]
        assert side.inputs == (f"relu{name}",) and side.channels == width and side.pad == (0, 0, 0, 0)
        assert rectified.inputs == (side.name,)
        assert not side.numbered and not rectified.numbered
    assert by_name["conv1_2"].inputs == ("relu1_1",)
    check_table(table, 3, shapes)
    assert list(random_network(table).numbers.values()) == NUMBERED["vgg19"][:7]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (widths("conv1_1", "conv2_1"), "the weights lack the layer conv1_2 although conv2_1 is there"),
        (widths("conv2_2"), "the weights lack the layer conv1_1, conv1_2, conv2_1 although conv2_2 is there"),
        (widths("conv1_1", "fc6"), "the weights hold layers that the architecture does not have: fc6"),
        (widths("conv1_1", "conv3_4_aux", "relu1_1"), "does not have: relu1_1"),
        ({"conv0": (1, 1, 3, 3)}, "the weights hold none of the architecture's layers conv1_1 … conv5_4"),
        ({}, "the weights hold none of the architecture's layers"),
    ],
)
def test_weights_that_do_not_fit_an_architecture_are_refused(shapes, message):
    with pytest.raises(InputError, match=message):
        fit_table(ARCHITECTURES["vgg19"], shapes)


TABLE = chain([conv("conv1_1", 8), relu("relu1_1"), conv("conv1_2", 6, size=5), pool("pool1")])
SHAPES = {"conv1_1": (3, 3, 3, 8), "conv1_2": (5, 5, 8, 6)}


def test_a_table_that_fits_passes():
    check_table(TABLE, 3, SHAPES)
    check_table(TABLE, 3, {**SHAPES, "conv1_2": (5, 5, 4, 6)})  # two groups


@pytest.mark.parametrize(
    "shape",
    [(8, 3, 3, 3), (3, 3, 8, 3), (3, 8, 3, 3), (3, 3, 3, 9), (1, 3, 3, 8), (3, 3, 2, 8), (3, 3, 6, 8), (3, 3, 0, 8)],
)
def test_transposed_filters_are_named(shape):
    found = "×".join(map(str, shape))
    message = f"filters of layer conv1_1 have shape {found} where 3×3×3×8 was expected .* are the axes transposed"
    with pytest.raises(InputError, match=message):
        check_table(TABLE, 3, {**SHAPES, "conv1_1": shape})


@pytest.mark.parametrize(
    ("table", "shapes", "message"),
    [
        (TABLE, {"conv1_1": (3, 3, 3, 8)}, "the weights of layer conv1_2 are missing"),
        (TABLE, {**SHAPES, "conv1_1": (3, 3, 24)}, "the filters of layer conv1_1 have 3 axes instead of 4"),
        (TABLE, {**SHAPES, "conv9": (1, 1, 1, 1)}, "weights hold layers that the network does not have: conv9"),
        ((*TABLE, relu("relu1_1", inputs=("pool1",))), SHAPES, "two layers have the name relu1_1"),
        ((*TABLE, relu("input", inputs=("pool1",))), SHAPES, "two layers have the name input"),
        ((*TABLE, relu("late", inputs=("later",))), SHAPES, r"layer late takes its input from \['later'\]"),
        ((relu("early"), *TABLE), SHAPES, "layer early takes its input from nowhere"),
        ((replace(TABLE[0], kind="rbf"), *TABLE[1:]), SHAPES, "layer conv1_1 is of the unknown kind 'rbf'"),
        ((*TABLE, conv("c", 4, inputs=("pool1",))), {**SHAPES, "c": (3, 3, 4, 4)}, "of layer c have .* 3×3×6×4 was"),
    ],
)
def test_what_cannot_be_computed_is_refused(table, shapes, message):
    with pytest.raises(InputError, match=message):
        check_table(table, 3, shapes)


def test_a_concat_feeds_the_sum_of_its_inputs_channels():
    table = (*TABLE, Layer("join", "concat", ("pool1", "pool1")), conv("c", 4, inputs=("join",)))
    check_table(table, 3, {**SHAPES, "c": (3, 3, 12, 4)})
    with pytest.raises(InputError, match="3×3×5×4 where 3×3×12×4 was expected"):
        check_table(table, 3, {**SHAPES, "c": (3, 3, 5, 4)})


@pytest.mark.parametrize("table", [TABLE, *ARCHITECTURES.values()], ids=["small", *ARCHITECTURES])
def test_a_table_survives_being_written_as_rows(table):
    assert table_from_dicts(table_to_dicts(table)) == table


@pytest.mark.parametrize("rows", [[3], "conv", {}, [{"name": "a", "kind": "conv"}], [{**vars(TABLE[0]), "bias": 0.1}]])
def test_rows_that_are_no_layers_are_refused(rows):
    with pytest.raises(InputError, match="layer table has a row that is not a layer"):
        table_from_dicts(rows)
