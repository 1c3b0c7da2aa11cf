"""The tensor-core convolution against the operators in float64, its kernels running on the CPU, or on a GPU."""

import numpy as np
import pytest
from emulator import emulated
from tensor_cores import PLACES, assert_near, device, emulated_encoder, exact, needs_the_emulator, value

from vggnumpy import ops
from vggnumpy.cuda.launch import Device, current_device
from vggnumpy.cuda.precision import map_dtype, round_bf16, widen_bf16
from vggnumpy.ops import tensor_map
from vggnumpy.ops.conv_tensor_cuda import (
    BackwardMaps,
    ForwardMaps,
    conv_backward,
    conv_forward,
    mask_shape,
    prepare_filters,
    windows_shape,
)

# Channels in slices of 32 (bf16: 64), tiles of 8×16 pixels by 64 or 128 channels: sizes that leave a rest of each.
NARROW, WIDE = Device(80, 163 << 10, 10**9), Device(80, 163 << 10, 1)
HOPPER = {NARROW: Device(90, 227 << 10, 5), WIDE: Device(90, 227 << 10, 1)}  # few processors: blocks make several tiles
KERNELS = ["fp32", "tf32", "bf16", "tf32 hopper", "bf16 hopper"]
CASES = {
    "rests": ((1, 9, 18, 16, 16), 1, None, "floor", NARROW),
    "max, odd, two images": ((2, 7, 17, 48, 80), 1, "max", "floor", NARROW),
    "max, ceil, no padding": ((1, 9, 11, 32, 144), 0, "max", "ceil", WIDE),
    "average, odd": ((1, 11, 9, 64, 128), 1, "average", "floor", WIDE),
    "average, ceil": ((1, 7, 19, 80, 32), 1, "average", "ceil", NARROW),
    "three slices": ((1, 4, 4, 144, 16), 1, None, "floor", NARROW),
}


def count_maps(monkeypatch, where):
    """Have the maps of tensors made by the emulator, or the driver; return a list that gets an entry for each."""
    made, encoder = [], tensor_map.encoder if where == "gpu" else emulated_encoder

    def counted():
        made.append(1)
        return encoder()

    monkeypatch.setattr(tensor_map, "encoder", counted)
    return made


def chosen_by(kernel, chip, where, cuda):
    """Return the precision and the device for which `kernel` is taken; of a GPU the shared memory that it has."""
    precision, _, hopper = kernel.partition(" ")
    chosen = HOPPER[chip] if hopper else chip
    if where != "gpu":
        return precision, chosen
    own = current_device(cuda.xp)
    if hopper and own.capability != chosen.capability:
        pytest.skip("Hopper's kernels need a GPU of compute capability 9.0")
    return precision, chosen._replace(shared_memory=own.shared_memory)


def stored(values, precision, cuda):
    """Return an array as the device keeps it, and what it is worth in float64."""
    values = values.astype("float32")
    if precision == "bf16":
        return cuda.xp.asarray(round_bf16(values)), widen_bf16(round_bf16(values)).astype("float64")
    return cuda.xp.asarray(values), values.astype("float64")


def seen(values, precision):
    """Return what the product makes of an input, in float64."""
    return exact[precision](values.astype("float32")).astype("float64")


def bits_of(words, channels):
    """Return words of 32 channels as booleans."""
    flat = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return flat[..., :channels].astype(bool)


def words_of(yes):
    padded = np.pad(yes, [(0, 0)] * (yes.ndim - 1) + [(0, -yes.shape[-1] % 32)])
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint32)


def problem(size, seed=1):
    images, height, width, depth, channels = size
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((images, height, width, depth)), 0).astype("float32")
    w = (rng.standard_normal((3, 3, depth, channels)) / np.sqrt(4.5 * depth)).astype("float32")
    return rng, x, w, rng.standard_normal(channels).astype("float32") / 4


def pooling(pool):
    return (ops.max_pool, ops.max_pool_backward) if pool == "max" else (ops.avg_pool, ops.avg_pool_backward)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_forward(case, kernel, where, monkeypatch):
    size, pad, pool, rounding, chip = CASES[case]
    maps_made = count_maps(monkeypatch, where)
    _, x, w, b = problem(size)
    shape = (size[0], size[1] + 2 * pad - 2, size[2] + 2 * pad - 2, size[4])
    with device(where) as cuda:
        precision, there = chosen_by(kernel, chip, where, cuda)
        xp, dtype = cuda.xp, map_dtype(precision)
        on_device, _ = stored(x, precision, cuda)
        filters = prepare_filters(xp.asarray(w), xp.asarray(b), precision)
        y64, _ = ops.conv(seen(x, precision), seen(w, precision), b.astype("float64"), pad=pad)
        maps = {"before": xp.empty(shape, dtype), "out": xp.empty(shape, dtype)}
        maps["mask"] = xp.empty(mask_shape(*shape), "uint32")
        if pool:
            small = pooling(pool)[0](y64, 2, 2, 0, rounding)[0].shape
            maps["pooled"] = xp.empty(small, dtype)
            if pool == "max":
                maps["windows"] = xp.empty(windows_shape(*small), "uint32")
        conv_forward(on_device, filters, ForwardMaps(**maps), there, pad=pad, pool=pool, rounding=rounding)
        assert len(maps_made) == (2 if kernel.endswith("hopper") else 0)
        assert_near(value(maps["before"], precision), y64, precision, where)
        before, out = value(maps["before"], precision), value(maps["out"], precision)
        np.testing.assert_array_equal(out, np.maximum(before, 0))
        np.testing.assert_array_equal(bits_of(maps["mask"].get(), size[4]), before > 0)
        if pool is None:
            return
        if pool == "average":
            expected, _ = ops.avg_pool(np.maximum(y64, 0), 2, 2, 0, rounding)
            assert_near(value(maps["pooled"], precision), expected, precision, where)
        else:
            pooled, cache = ops.max_pool(out, 2, 2, 0, rounding)
            np.testing.assert_array_equal(value(maps["pooled"], precision), pooled)
            positive, right, lower = bits_of(maps["windows"].get(), size[4])
            np.testing.assert_array_equal(positive, pooled > 0)
            if precision != "bf16":  # entries that rounding makes equal are told apart before it
                np.testing.assert_array_equal(2 * right + lower, cache.tap)
            taps = cache._replace(tap=(2 * right + lower).astype(cache.tap.dtype))
            chosen = ops.max_pool_backward(np.ones_like(pooled), taps)
            np.testing.assert_array_equal((out * chosen).sum(), pooled.sum())


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_backward(case, kernel, where, monkeypatch):
    (images, height, width, channels, filters), pad, pool, rounding, chip = CASES[case]
    count_maps(monkeypatch, where)
    rng, _, w, b = problem((images, height, width, channels, filters))
    shape = (images, height, width, channels)  # of the layer below, before its pool
    with device(where) as cuda:
        precision, there = chosen_by(kernel, chip, where, cuda)
        xp = cuda.xp

        def random(*shape):
            return stored(rng.standard_normal(shape), precision, cuda)

        y = rng.standard_normal(shape)  # the rectifier's input
        a, cache = np.maximum(y, 0), None
        if pool:
            a, cache = pooling(pool)[0](a, 2, 2, 0, rounding)
        z, conv_cache = ops.conv(a, seen(w, precision), b.astype("float64"), pad=pad)
        dz = rng.standard_normal(z.shape)
        dz_device, _ = stored(dz, precision, cuda)
        added, added64 = random(*shape)
        before, before64 = random(*shape)
        maps = {"added": added, "added_before": before, "mask": xp.asarray(words_of(y > 0))}
        d = ops.conv_backward_input(seen(dz, precision), conv_cache)
        if pool:
            maps["pool_added"], pool64 = random(*a.shape)
            d = pooling(pool)[1](d + pool64, cache)
            if pool == "max":
                right, lower = cache.tap // 2 == 1, cache.tap % 2 == 1
                maps["windows"] = xp.asarray(np.stack([words_of(bits) for bits in (a > 0, right, lower)]))
        expected = (y > 0) * (d + added64) + before64
        out = xp.full(shape, 7, map_dtype(precision))
        prepared = prepare_filters(xp.asarray(w), xp.asarray(b), precision)
        keywords = {"pad": pad, "pool": pool, "rounding": rounding}
        conv_backward(dz_device, prepared, BackwardMaps(**maps), out, there, **keywords)
        assert_near(value(out, precision), expected, precision, where)
        if pool == "max" and case.startswith("max, odd"):  # without losses the windows' bits stand for the mask
            conv_backward(dz_device, prepared, BackwardMaps(windows=maps["windows"]), out, there, **keywords)
            d = pooling(pool)[1](ops.conv_backward_input(seen(dz, precision), conv_cache), cache) * (y > 0)
            assert_near(value(out, precision), d, precision, where)


@needs_the_emulator
def test_refusals(monkeypatch):
    count_maps(monkeypatch, "forward")
    with emulated() as cuda:
        xp = cuda.xp

        def zeros(*shape):
            return xp.zeros(shape, "float32")

        with pytest.raises(ValueError, match="multiples of 16, got shape"):
            prepare_filters(zeros(3, 3, 3, 64), zeros(64), "tf32")
        with pytest.raises(ValueError, match="precision must be one of"):
            prepare_filters(zeros(3, 3, 16, 16), zeros(16), "fp16")
        filters = prepare_filters(zeros(3, 3, 16, 32), zeros(32), "tf32")
        assert filters.nbytes == 4 * (2 * 9 * 16 * 32 + 32)
        x, dy = zeros(1, 8, 8, 16), zeros(1, 8, 8, 32)
        with pytest.raises(ValueError, match=r"x must be float32 of shape \(1, 8, 8, 16\)"):
            conv_forward(dy, filters, ForwardMaps(), NARROW)
        with pytest.raises(ValueError, match="out must be float32 of shape"):
            conv_forward(x, filters, ForwardMaps(out=x), NARROW)
        with pytest.raises(ValueError, match="mask must be uint32"):
            conv_forward(x, filters, ForwardMaps(mask=zeros(1, 8, 8, 1)), NARROW)
        with pytest.raises(ValueError, match="pool max does not fit the maps: pooled"):
            conv_forward(x, filters, ForwardMaps(pooled=zeros(1, 4, 4, 32)), NARROW, pool="max")
        with pytest.raises(ValueError, match="pool must be None"):
            conv_forward(x, filters, ForwardMaps(), NARROW, pool="mean")
        with pytest.raises(ValueError, match="pools to"):
            conv_backward(dy, filters, BackwardMaps(), x, NARROW, pool="average")
        with pytest.raises(ValueError, match="pool None does not fit the maps: pool_added"):
            conv_backward(dy, filters, BackwardMaps(pool_added=zeros(1, 0, 0, 16)), x, NARROW)
        with pytest.raises(ValueError, match="the driver makes no map"):
            tensor_map.tensor_map(x, (1, 18, 16, 16), "tf32")  # rows of 64 bytes
