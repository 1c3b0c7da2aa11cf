"""The first layer's kernels against the operators in float64, running on the CPU, or on a GPU."""

import numpy as np
import pytest
from emulator import emulated
from tensor_cores import PLACES, assert_near, device, needs_the_emulator, value

from vggnumpy import ops
from vggnumpy.cuda.precision import map_dtype, round_bf16, widen_bf16
from vggnumpy.ops.conv_first_cuda import first_backward, first_forward
from vggnumpy.ops.conv_tensor_cuda import ForwardMaps, mask_shape

CASES = {"two images": ((2, 11, 18, 64), 1), "rests": ((1, 9, 19, 80), 0), "small": ((1, 3, 4, 16), 1)}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward(case, precision, where):
    (images, height, width, channels), pad = CASES[case]
    rng = np.random.default_rng(5)
    x = rng.standard_normal((images, height, width, 3)).astype("float32")
    w = rng.standard_normal((3, 3, 3, channels)).astype("float32")
    b = rng.standard_normal(channels).astype("float32")
    y64, cache = ops.conv(x.astype("float64"), w.astype("float64"), b.astype("float64"), pad=pad)
    pooled64, _ = ops.avg_pool(np.maximum(y64, 0), 2, 2, 0, "ceil")
    dy = rng.standard_normal(y64.shape).astype("float32")
    dy_kept = round_bf16(dy) if precision == "bf16" else dy
    dy64 = (widen_bf16(dy_kept) if precision == "bf16" else dy).astype("float64")
    with device(where) as cuda:
        xp, dtype = cuda.xp, map_dtype(precision)
        filters, bias = xp.asarray(w), xp.asarray(b)
        out, pooled = xp.empty(y64.shape, dtype), xp.empty(pooled64.shape, dtype)
        mask = xp.empty(mask_shape(*y64.shape), "uint32")
        maps = ForwardMaps(out=out, mask=mask, pooled=pooled)
        first_forward(xp.asarray(x), filters, bias, maps, precision, pad=pad, pool="average", rounding="ceil")
        assert_near(value(out, precision), np.maximum(y64, 0), precision, where, 1e-6)
        assert_near(value(pooled, precision), pooled64, precision, where, 1e-6)
        words = np.unpackbits(mask.get().view(np.uint8), axis=-1, bitorder="little")[..., :channels]
        np.testing.assert_array_equal(words, value(out, precision) > 0)

        dx = xp.empty(x.shape, "float32")
        first_backward(xp.asarray(dy_kept), filters, dx, precision, pad=pad)
        assert_near(value(dx, "fp32"), ops.conv_backward_input(dy64, cache), "fp32", where, 1e-6)


@needs_the_emulator
def test_refusals():
    with emulated() as cuda:
        x, w, b = (cuda.xp.zeros(shape, "float32") for shape in ((1, 4, 4, 3), (3, 3, 3, 16), (16,)))
        out = cuda.xp.zeros((1, 4, 4, 16), "float32")
        with pytest.raises(ValueError, match="out must be uint16"):
            first_forward(x, w, b, ForwardMaps(out=out), "bf16")
        with pytest.raises(ValueError, match="does not fit the maps: out"):
            first_forward(x, w, b, ForwardMaps(out=out), "fp32", pool="max")
        with pytest.raises(ValueError, match="multiple of 16"):
            first_backward(out, cuda.xp.zeros((3, 3, 3, 10), "float32"), x, "fp32")
        with pytest.raises(ValueError, match="out must be float32 of shape"):
            first_backward(out, w, x, "fp32", pad=0)
