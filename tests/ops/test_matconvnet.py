"""The operators give the numbers that MatConvNet's own operators gave, case by case."""

import json

import numpy as np
import pytest

from vggnumpy import ops

COUNTS = {"conv": 62, "convt": 3, "pool": 82, "relu": 3, "bnorm": 12, "softmax": 6, "softmaxloss": 4}
DOUBLE, SINGLE = 1e-10, 1e-5


@pytest.fixture(scope="module")
def cases(shared):
    """Return (case, role → array as stored) for every case that the operators cover."""
    folder = shared / "fixtures" / "matconvnet"
    table = json.loads((folder / "ops_cases.json").read_text(encoding="utf-8"))
    with np.load(folder / "ops_reference.npz") as archive:
        return [(case, {role: archive[key] if key else None for role, key in case["arrays"].items()}) for case in table]


def test_every_case_is_there(cases):
    assert {op: sum(case["op"] == op for case, _ in cases) for op in COUNTS} == COUNTS
    assert len(cases) == sum(COUNTS.values()) == 172


def channels_last(array):
    return array.transpose(0, 2, 3, 1)


def filters(array):
    return array.transpose(2, 3, 1, 0)


def conv(case, x, dy, given):
    # MatConvNet's empty filter is the identity; written out it is one 1×1 filter for each channel.
    w = np.ones((1, 1, 1, x.shape[3]), x.dtype) if given["f"] is None else filters(given["f"])
    b = None if given["b"] is None else given["b"].ravel()
    y, cache = ops.conv(x, w, b, case["stride"], case["pad"], case["dilate"])
    dw, db = ops.conv_backward_filter(dy, x, cache)
    return {"y": y, "dx": ops.conv_backward_input(dy, cache), "df": dw, "db": db}


def convt(case, x, dy, given):
    y, cache = ops.conv_transpose(x, filters(given["f"]), given["b"], case["upsample"], case["crop"])
    dw, db = ops.conv_transpose_backward_filter(dy, x, cache)
    return {"y": y, "dx": ops.conv_transpose_backward_input(dy, cache), "df": dw, "db": db}


def pool(case, x, dy, given):
    forward, backward = {
        "max": (ops.max_pool, ops.max_pool_backward),
        "avg": (ops.avg_pool, ops.avg_pool_backward),
    }[case["method"]]
    y, cache = forward(x, case["pool"], case["stride"], case["pad"])
    return {"y": y, "dx": backward(dy, cache)}


def relu(case, x, dy, given):
    y, cache = ops.relu(x, case["leak"])
    return {"y": y, "dx": ops.relu_backward(dy, cache)}


def bnorm(case, x, dy, given):
    y, cache = ops.batch_norm(x, given["g"], given["b"], epsilon=case["epsilon"])
    dx, dg, db = ops.batch_norm_backward(dy, cache)
    return {"y": y, "dx": dx, "dg": dg, "db": db, "moments": cache.moments, "moments_back": cache.moments}


def softmax(case, x, dy, given):
    y, cache = ops.softmax(x)
    return {"y": y, "dx": ops.softmax_backward(dy, cache)}


def softmaxloss(case, x, dy, given):
    c = channels_last(given["c"])  # labels from 1, 0 where there is none; the second channel, if any, is the weight
    if c.shape[1:3] == (1, 1):
        c = c[:, 0, 0]
    y, cache = ops.softmax_loss(x, c[..., 0].astype(int) - 1, c[..., 1] if c.shape[-1] == 2 else None)
    return {"y": y, "dx": ops.softmax_loss_backward(float(dy), cache)}


COMPUTE = {
    "conv": conv,
    "convt": convt,
    "pool": pool,
    "relu": relu,
    "bnorm": bnorm,
    "softmax": softmax,
    "softmaxloss": softmaxloss,
}


def compute(case, arrays, dtype):
    """Return role → (ours, theirs) for the outputs of a case, computed in `dtype`."""
    given = {role: array if array is None else array.astype(dtype) for role, array in arrays.items()}
    dy = given["dzdy"]
    ours = COMPUTE[case["op"]](case, channels_last(given["x"]), channels_last(dy) if dy.ndim else dy, given)
    inputs = {"x", "f", "b", "g", "c", "dzdy"}
    expected = {role: array for role, array in arrays.items() if role not in inputs and array is not None}
    for role, array in expected.items():
        if role == "df":
            expected[role] = filters(array)
        elif array.ndim == 4:
            expected[role] = array.ravel() if role == "db" else channels_last(array)
    return {role: (ours[role], array) for role, array in expected.items()}


@pytest.mark.parametrize("op", COUNTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_output_and_derivative_is_matconvnet_s(cases, op, dtype):
    compared = 0
    for case, arrays in cases:
        if case["op"] != op:
            continue
        stored_double = arrays["x"].dtype == np.float64
        if not stored_double and dtype == "float64":
            continue
        tolerance = DOUBLE if dtype == "float64" else SINGLE
        for role, (ours, theirs) in compute(case, arrays, dtype).items():
            loss = theirs.ndim == 0  # a number in float64, whatever it was computed from
            assert np.asarray(ours).dtype == ("float64" if loss else dtype), (case["name"], role)
            assert np.shape(ours) == theirs.shape, (case["name"], role)
            error = np.abs(ours - theirs).max() / np.abs(theirs).max()
            assert error <= tolerance, f"{case['name']}: {role} is off by {error:.1e}"
        compared += 1
    singles = sum(case["op"] == op and arrays["x"].dtype == np.float32 for case, arrays in cases)
    assert compared == COUNTS[op] - (singles if dtype == "float64" else 0)
