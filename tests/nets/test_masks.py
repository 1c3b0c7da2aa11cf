"""Masks at layers: each way against its definition by loops, and one clear sentence for every bad mask."""

import numpy as np
import pytest

from vggnumpy import ops
from vggnumpy.errors import InputError
from vggnumpy.nets import Layer, carry_masks, chain, check_masks, random_network, receptive_fields
from vggnumpy.nets.masks import WAYS
from vggnumpy.nets.tables import conv, pool, relu

LAYERS = ["relu1", "pool1", "relu2", "pool2", "conv3"]
TABLE = chain(
    [
        conv("conv1", 2),
        relu("relu1"),
        pool("pool1", 2),
        conv("conv2", 2),
        relu("relu2"),
        pool("pool2", 3, 2, method="average", rounding="ceil"),
        conv("conv3", 2, 1, 0),
    ]
)
NET = random_network(TABLE, dtype="float64")
BRANCHES = random_network(
    chain(
        [
            conv("a", 2, 1, 0),
            conv("b", 2, inputs=("a",)),
            Layer("join", "concat", ("a", "b")),
            conv("c", 2, 5, 1, stride=(2, 2)),
        ]
    ),
    dtype="float64",
)


def soft(shape=(15, 17, 3), seed=51):
    masks = np.random.default_rng(seed).dirichlet((0.5,) * shape[2], shape[:2])
    masks.flags.writeable = False
    return masks


def hard(masks):
    return np.eye(masks.shape[2])[masks.argmax(axis=2)]


@pytest.mark.parametrize("way", ["inside", "all"])
@pytest.mark.parametrize("net", [NET, BRANCHES], ids=["chain", "branches"])
def test_inside_and_all_are_the_smallest_and_largest_of_the_field(net, way):
    masks, layers = soft(), net.layers
    found = carry_masks(net, masks + 1e-3, layers, way)
    fields = receptive_fields(net.table, 15, 17, layers)
    for layer in layers:
        rows, columns = fields[layer]
        for i, j in np.ndindex(found[layer].shape[:2]):
            seen = masks[rows.start[i] : rows.stop[i], columns.start[j] : columns.stop[j]] + 1e-3
            expected = (seen.min if way == "inside" else seen.max)(axis=(0, 1))
            np.testing.assert_array_equal(found[layer][i, j], expected)


def test_hard_masks_inside_are_apart_and_all_cover_everything():
    masks = np.zeros((32, 40, 2))
    masks[:, :20, 0], masks[:, 20:, 1] = 1, 1
    inside, everything = (carry_masks(NET, masks, LAYERS, way) for way in ("inside", "all"))
    for layer in LAYERS:
        assert set(np.unique(inside[layer])) | set(np.unique(everything[layer])) == {0, 1}
        assert (inside[layer].sum(axis=2) <= 1).all() and (everything[layer].sum(axis=2) >= 1).all()
        np.testing.assert_array_equal(inside[layer], 1 - everything[layer][..., ::-1])
    assert inside["relu1"].sum(axis=2)[0].tolist() == [1] * 19 + [0, 0] + [1] * 19


@pytest.mark.parametrize("shape", [(15, 17, 3), (16, 32, 2), (13, 12, 1)])
def test_area_is_the_mean_over_equal_rectangles(shape):
    masks = soft(shape)
    found = carry_masks(NET, masks, LAYERS)
    for layer in LAYERS:
        height, width = found[layer].shape[:2]
        fine = masks.repeat(height, axis=0).repeat(width, axis=1)  # each rectangle is then a whole number of cells
        expected = fine.reshape(height, shape[0], width, shape[1], -1).mean(axis=(1, 3))
        np.testing.assert_allclose(found[layer], expected, rtol=1e-12)
        np.testing.assert_allclose(found[layer].sum(axis=2), 1, rtol=1e-12)


@pytest.mark.parametrize("way", ["twin_average", "twin_max"])
def test_a_twin_is_the_operators_pools(way):
    masks = soft()
    pooled, _ = (ops.avg_pool if way == "twin_average" else ops.max_pool)(masks, 3, 1, 1)
    first, _ = ops.max_pool(pooled, 2, 2)
    second, _ = (ops.avg_pool if way == "twin_average" else ops.max_pool)(first, 3, 1, 1)
    last, _ = ops.avg_pool(second, 3, 2, rounding="ceil")
    found = carry_masks(NET, masks, LAYERS, way)
    for layer, expected in zip(LAYERS, (pooled, first, second, last, last), strict=True):
        np.testing.assert_allclose(found[layer], expected, rtol=0, atol=1e-15, err_msg=layer)


def test_a_twin_of_average_pools_keeps_the_sum_of_the_weights():
    found = carry_masks(NET.with_pooling("average"), soft(), LAYERS, "twin_average")
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer].sum(axis=2), 1, rtol=1e-12)


def test_a_twin_s_branches_join_in_their_mean_or_largest():
    masks = soft()
    near, _ = ops.avg_pool(masks, 3, 1, 1)
    found = carry_masks(BRANCHES, masks, ["join", "c"], "twin_average")
    np.testing.assert_allclose(found["join"], (masks + near) / 2, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found["c"], ops.avg_pool((masks + near) / 2, 5, 2, 1)[0], rtol=0, atol=1e-15)
    near, _ = ops.max_pool(masks, 3, 1, 1)
    np.testing.assert_array_equal(carry_masks(BRANCHES, masks, ["join"], "twin_max")["join"], near)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_features_sizes_the_network_s_dtype_and_keeps_what_is_flat(way):
    net = NET.astype("float32")
    image = np.zeros((15, 17, 3), "float32")
    features, _ = net.forward(image, [*LAYERS, 1])
    found = carry_masks(net, np.ones((15, 17, 2), bool), [*LAYERS, 1], way)
    for layer, F in features.items():
        assert found[layer].shape == (*F.shape[:2], 2) and found[layer].dtype == "float32"
        assert found[layer].flags.c_contiguous
        np.testing.assert_allclose(found[layer], 1, rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_region_gets_nothing_from_elsewhere(way):
    masks = np.zeros((31, 33, 2))
    masks[:16, :, 0], masks[16:, :, 1] = 1, 1
    for layer, weights in carry_masks(NET, masks, LAYERS, way).items():
        if weights.shape[0] > 6:
            assert not weights[0, :, 1].any() and not weights[-1, :, 0].any(), layer
            assert abs(weights[[0, -1], :, [0, 1]] - 1).max() < 1e-12, layer


def test_memory_order_does_not_matter():
    masks = soft()
    for way in WAYS:
        expected = carry_masks(NET, masks + 1e-3, LAYERS, way)
        found = carry_masks(NET, np.asfortranarray(masks + 1e-3), LAYERS, way)
        for layer in LAYERS:
            np.testing.assert_array_equal(found[layer], expected[layer])


def test_bad_masks_get_one_clear_sentence():
    masks = hard(soft())
    assert check_masks(masks, (15, 17)) == ("1", "2", "3")
    names = ("sky", "river", "town")
    assert check_masks(masks, (15, 17), names) == names
    cases = {
        r"masks of the style picture are 15×17 pixels \(height × width\) and the picture is 20×17: make them": (
            masks,
            (20, 17),
        ),
        "must be H×W×K weights, one channel for each region, got float64 of shape": (masks[0], (15, 17)),
        "must be H×W×K weights, one channel for each region, got uint8": (masks.astype("uint8"), (15, 17)),
        "style picture must hold finite weights of at least 0": (-masks, (15, 17)),
        "must hold finite weights": (np.where(masks, np.nan, 0.0), (15, 17)),
        "region river has no pixel in the masks of the style picture: paint it there, or leave it out of the masks": (
            masks * [1, 0, 1],
            (15, 17),
        ),
    }
    for message, (wrong, size) in cases.items():
        with pytest.raises(InputError, match=message):
            check_masks(wrong, size, names, "style picture")
    with pytest.raises(InputError, match="have 3 regions and 2 names were given"):
        check_masks(masks, (15, 17), names[:2])


def test_a_region_that_is_empty_at_a_layer_is_named():
    masks = np.zeros((32, 32, 2))
    masks[:, :3, 0], masks[:, 3:, 1] = 1, 1
    message = (
        "region tree of the content picture is empty at layer relu2, where a position sees 8×8 pixels and none has any "
        "weight in it: enlarge the region or the picture, use the way 'area', or leave the layer out"
    )
    names = ("tree", "sky")
    carry_masks(NET, masks, ["relu1"], "inside", names, "content picture")
    with pytest.raises(InputError) as refused:
        carry_masks(NET, masks, ["relu1", "relu2"], "inside", names, "content picture")
    assert str(refused.value) == message
    for way in set(WAYS) - {"inside"}:
        carry_masks(NET, masks, LAYERS, way)


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        InputError, match="carried to layers by one of area, inside, all, twin_average, twin_max, got 'mean'"
    ):
        carry_masks(NET, soft(), LAYERS, "mean")
    with pytest.raises(InputError, match="has no layer 'relu9'"):
        carry_masks(NET, soft(), ["relu9"])
    with pytest.raises(InputError, match="layer pool1 of an image of 1×1 pixels"):
        carry_masks(NET, np.ones((1, 1, 1)), ["relu2"])
    with pytest.raises(InputError, match="region 2 has no pixel in the masks of the picture"):
        carry_masks(NET, np.array([[[1.0, 0.0]]]), ["relu1"])
