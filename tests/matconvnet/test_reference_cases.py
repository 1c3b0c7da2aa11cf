"""The functions of MatConvNet give the numbers of its own functions, case by case, in its own order of axes."""

import json

import numpy as np
import pytest

from vggnumpy import matconvnet as mcn

COUNTS = {"conv": 62, "convt": 3, "pool": 82, "relu": 3, "bnorm": 12, "softmax": 6, "softmaxloss": 4}
INPUTS = {"x", "f", "b", "g", "c", "dzdy"}


@pytest.fixture(scope="module")
def cases(shared):
    """Return (case, role → array in MATLAB's order) for every case."""
    folder = shared / "fixtures" / "matconvnet"
    table = json.loads((folder / "ops_cases.json").read_text(encoding="utf-8"))
    with np.load(folder / "ops_reference.npz") as archive:
        return [(case, {role: matlab(archive, key) for role, key in case["arrays"].items()}) for case in table]


def matlab(archive, key):
    """Return N×C×H×W as H×W×C×N (K×C×H×W as H×W×C×K likewise), None for the empty matrix."""
    array = archive[key] if key else None
    return array.transpose(2, 3, 1, 0) if array is not None and array.ndim == 4 else array


def compute(case, given):
    """Return role → what our functions give for a case."""
    x, dzdy = given["x"], given["dzdy"]
    options = {name: case[name] for name in ("pad", "stride", "dilate", "upsample", "crop") if name in case}
    match case["op"]:
        case "conv" | "convt" as op:
            function = mcn.vl_nnconv if op == "conv" else mcn.vl_nnconvt
            f, b = given["f"], given["b"]
            dx, df, db = function(x, f, b, dzdy, **options)
            return {"y": function(x, f, b, **options), "dx": dx, "df": df, "db": db}
        case "pool":
            forward, backward = (
                mcn.vl_nnpool(x, case["pool"], d, method=case["method"], **options) for d in ([], dzdy)
            )
            return {"y": forward, "dx": backward}
        case "relu":
            y = mcn.vl_nnrelu(x, leak=case["leak"])
            np.testing.assert_array_equal(
                mcn.vl_nnrelu(y, dzdy, leak=case["leak"]), mcn.vl_nnrelu(x, dzdy, leak=case["leak"])
            )
            return {"y": y, "dx": mcn.vl_nnrelu(x, dzdy, leak=case["leak"])}
        case "bnorm":
            y, moments = mcn.vl_nnbnorm(x, given["g"], given["b"], epsilon=case["epsilon"])
            dx, dg, db, back = mcn.vl_nnbnorm(x, given["g"], given["b"], dzdy, epsilon=case["epsilon"])
            return {"y": y, "moments": moments, "dx": dx, "dg": dg, "db": db, "moments_back": back}
        case "softmax":
            return {"y": mcn.vl_nnsoftmax(x), "dx": mcn.vl_nnsoftmax(x, dzdy)}
    return {"y": mcn.vl_nnsoftmaxloss(x, given["c"]), "dx": mcn.vl_nnsoftmaxloss(x, given["c"], dzdy)}


@pytest.mark.parametrize("op", COUNTS)
def test_every_output_and_derivative(cases, op):
    mine = [(case, given) for case, given in cases if case["op"] == op]
    assert len(mine) == COUNTS[op]
    for case, given in mine:
        tolerance = 1e-10 if given["x"].dtype == "float64" else 1e-5
        ours = compute(case, given)
        theirs = {role: array for role, array in given.items() if role not in INPUTS}
        assert set(ours) == set(theirs), case["name"]
        for role, array in theirs.items():
            if array is None:
                assert ours[role] is None, (case["name"], role)
                continue
            assert np.shape(ours[role]) == array.shape, (case["name"], role)
            error = np.abs(ours[role] - array).max() / np.abs(array).max()
            assert error <= tolerance, f"{case['name']}: {role} is off by {error:.1e}"


def test_no_case_is_left_out(cases):
    assert len(cases) == sum(COUNTS.values()) == 172
    assert {case["op"] for case, _ in cases} == set(COUNTS)
