"""The operators give the numbers that MatConvNet's own operators gave, case by case."""

import json

import numpy as np
import pytest

from vggnumpy import ops

COUNTS = {"conv": 62, "pool": 82, "relu": 1}
DOUBLE, SINGLE = 1e-10, 1e-5


@pytest.fixture(scope="module")
def cases(shared):
    """Return (case, role → array as stored) for every case that the operators cover."""
    folder = shared / "fixtures" / "matconvnet"
    table = json.loads((folder / "ops_cases.json").read_text(encoding="utf-8"))
    chosen = [case for case in table if case["op"] in ("conv", "pool") or (case["op"] == "relu" and not case["leak"])]
    with np.load(folder / "ops_reference.npz") as archive:
        return [
            (case, {role: archive[key] if key else None for role, key in case["arrays"].items()}) for case in chosen
        ]


def test_every_case_is_there(cases):
    assert {op: sum(case["op"] == op for case, _ in cases) for op in COUNTS} == COUNTS


def channels_last(array):
    return array.transpose(0, 2, 3, 1)


def filters(array):
    return array.transpose(2, 3, 1, 0)


def compute(case, arrays, dtype):
    """Return role → (ours, theirs) for the outputs of a case, computed in `dtype`."""
    given = {role: array if array is None else array.astype(dtype) for role, array in arrays.items()}
    x, dy = channels_last(given["x"]), channels_last(given["dzdy"])
    expected = {role: channels_last(arrays[role]) for role in ("y", "dx")}
    if case["op"] == "conv":
        # MatConvNet's empty filter is the identity; written out it is one 1×1 filter for each channel.
        w = np.ones((1, 1, 1, x.shape[3]), dtype) if given["f"] is None else filters(given["f"])
        b = None if given["b"] is None else given["b"].ravel()
        y, cache = ops.conv(x, w, b, case["stride"], case["pad"], case["dilate"])
        dw, db = ops.conv_backward_filter(dy, x, cache)
        ours = {"y": y, "dx": ops.conv_backward_input(dy, cache), "df": dw, "db": db}
        if arrays["df"] is not None:
            expected["df"] = filters(arrays["df"])
        if arrays["db"] is not None:
            expected["db"] = arrays["db"].ravel()
    elif case["op"] == "pool":
        pool, back = {
            "max": (ops.max_pool, ops.max_pool_backward),
            "avg": (ops.avg_pool, ops.avg_pool_backward),
        }[case["method"]]
        y, cache = pool(x, case["pool"], case["stride"], case["pad"])
        ours = {"y": y, "dx": back(dy, cache)}
    else:
        y, cache = ops.relu(x)
        ours = {"y": y, "dx": ops.relu_backward(dy, cache)}
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
            assert ours.dtype == dtype and ours.shape == theirs.shape, (case["name"], role)
            error = np.abs(ours - theirs).max() / np.abs(theirs).max()
            assert error <= tolerance, f"{case['name']}: {role} is off by {error:.1e}"
        compared += 1
    singles = sum(case["op"] == op and arrays["x"].dtype == np.float32 for case, arrays in cases)
    assert compared == COUNTS[op] - (singles if dtype == "float64" else 0)
