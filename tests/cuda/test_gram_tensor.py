"""Gram matrices on tensor cores against `vggnumpy.losses.gram` in float64: kernels running on the CPU, or on a GPU."""

import numpy as np
import pytest
from emulator import emulated
from tensor_cores import ON_A_GPU, PLACES, RELATIVE, assert_near, device, exact, needs_the_emulator

from vggnumpy.cuda.launch import Device
from vggnumpy.cuda.precision import map_dtype, round_bf16, widen_bf16
from vggnumpy.losses.gram import gram_cotangent, gram_statistics, gram_value
from vggnumpy.losses.gram_cuda import GramTarget, gram_derivative, gram_matrix, plan_gram
from vggnumpy.ops.geometry import Window

CASES = {"rests": (301, 80, 2), "one part": (37, 16, 1), "pairs of tiles": (600, 128, 2), "few": (1, 64, 1)}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_gram(case, precision, where):
    positions, channels, processors = CASES[case]
    allowed = RELATIVE[precision] * (ON_A_GPU if where == "gpu" else 1)
    rng = np.random.default_rng(3)
    F = np.maximum(rng.standard_normal((1, positions, channels)), 0).astype("float32")
    A = rng.standard_normal((channels, channels)).astype("float32")  # not symmetric
    with device(where) as cuda:
        xp, dtype = cuda.xp, map_dtype(precision)
        keep = round_bf16 if precision == "bf16" else lambda x: x
        on_device = xp.asarray(keep(F))
        plan = plan_gram(positions, channels, Device(80, 163 << 10, processors))
        assert plan.chunk * (plan.parts - 1) < positions <= plan.chunk * plan.parts
        partial, G = xp.empty(plan.partial_shape, "float32"), xp.empty((channels, channels), "float32")
        target = GramTarget(xp.asarray(A), 0.3, xp.empty((channels, channels), dtype), xp.empty(plan.squares_shape))
        gram_matrix(on_device, plan, partial, precision, G=G, target=target)

        F64 = exact[precision](F).astype("float64")
        expected, M = gram_statistics(F64)
        assert M == positions
        got = G.get()
        assert_near(got, expected, precision, where, rounded=False)
        np.testing.assert_array_equal(got, got.T)
        value, _ = gram_value(expected, A.astype("float64"), M, 1, "mean_square")
        assert target.squares.get().sum() / channels**4 == pytest.approx(value, rel=allowed)
        S = 2 * 0.3 / M * (expected / M - A)
        rounded = {"fp32": 0, "tf32": 2.0**-11, "bf16": 2.0**-8}[precision] * 1.01 * np.abs(S + S.T)
        Z = target.Z.get()
        Z64 = (widen_bf16(Z) if precision == "bf16" else Z).astype("float64")
        assert (np.abs(Z64 - (S + S.T)) - rounded).max() <= allowed * np.abs(S).max()
        np.testing.assert_array_equal(exact[precision](Z64.astype("float32")), Z64)

        added = keep(rng.standard_normal(F.shape).astype("float32"))
        added64 = (widen_bf16(added) if precision == "bf16" else added).astype("float64")
        for sum_with in (None, xp.asarray(added)):
            out = xp.full(F.shape, 7, dtype) if sum_with is None else sum_with
            gram_derivative(on_device, target.Z, out, precision, added=sum_with)
            result = out.get()
            result = (widen_bf16(result) if precision == "bf16" else result).astype("float64")
            expected = gram_cotangent(F64, Z64 / 2) + (0 if sum_with is None else added64)
            assert_near(result, expected, precision, where)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("window", [Window(2, 9, 3, 11), Window(0, 1, 12, 13), Window(0, 10, 1, 13)])
def test_a_window_of_the_maps(window, precision, where):
    """The loss and the derivative are those of the part, and around it is what is added, or nothing."""
    rng = np.random.default_rng(4)
    F = np.maximum(rng.standard_normal((2, 10, 13, 48)), 0).astype("float32")
    A, added = rng.standard_normal((48, 48)).astype("float32"), rng.standard_normal(F.shape).astype("float32")
    with device(where) as cuda:
        xp, dtype = cuda.xp, map_dtype(precision)
        keep, widen = (round_bf16, widen_bf16) if precision == "bf16" else (lambda x: x, lambda x: x)
        here, plan = xp.asarray(keep(F)), plan_gram(260, 48, Device(80, 163 << 10, 2))
        Z, squares = xp.empty((48, 48), dtype), xp.empty(plan.squares_shape)
        target = GramTarget(xp.asarray(A), 0.3, Z, squares, window)
        gram_matrix(here, plan, xp.empty(plan.partial_shape, "float32"), precision, target=target)
        results = []
        for sum_with in (None, xp.asarray(keep(added))):
            out = xp.full(F.shape, 7, dtype) if sum_with is None else sum_with
            gram_derivative(here, Z, out, precision, sum_with, window)
            results.append(widen(out.get()).astype("float64"))
        Z64 = widen(Z.get()).astype("float64")
    part = window.of(exact[precision](F).astype("float64"))
    G, M = gram_statistics(part)
    value, S = gram_value(G, A.astype("float64"), M, 1, "mean_square")
    allowed = RELATIVE[precision] * (ON_A_GPU if where == "gpu" else 1)
    assert M == 2 * window.positions
    assert squares.get().sum() / 48**4 == pytest.approx(value, rel=allowed)
    S = S * 0.3 * 48**4
    np.testing.assert_allclose(Z64, S + S.T, rtol=2.0**-7 if precision == "bf16" else 1e-4, atol=1e-4 * np.abs(S).max())
    for result, more in zip(results, (np.zeros(F.shape), widen(keep(added)).astype("float64")), strict=True):
        expected = more.copy()
        inside = window.of(expected)
        inside += gram_cotangent(part, Z64 / 2)
        assert_near(window.of(result), inside, precision, where)
        np.testing.assert_array_equal(np.where(expected == more, result, 0), np.where(expected == more, more, 0))


@needs_the_emulator
def test_refusals():
    with emulated() as cuda:
        plan = plan_gram(10, 16, Device(80, 163 << 10, 1))
        F, partial = cuda.xp.zeros((1, 10, 16), "float32"), cuda.xp.zeros(plan.partial_shape, "float32")
        with pytest.raises(ValueError, match="F must be uint16"):
            gram_matrix(F, plan, partial, "bf16")
        with pytest.raises(ValueError, match="does not fit GramPlan"):
            gram_matrix(F[:, :9], plan, partial, "fp32")
        with pytest.raises(ValueError, match="Z must be float32"):
            gram_derivative(F, F, F, "fp32")
