"""The engine on a GPU against the reference: random chains, every kind of tap, all precisions, graphs, one arena."""

from dataclasses import replace

import emulator
import numpy as np
import pytest
from emulator import emulated, on_host
from tensor_cores import GPU, PLACES, device, emulated_encoder, needs_the_emulator

from vggnumpy import Objective, losses, random_network, transfer
from vggnumpy.cuda.graph import Recording
from vggnumpy.cuda.launch import Device
from vggnumpy.cuda.precision import PRECISIONS
from vggnumpy.engine.cuda import CudaEngine, cuda_engine_for, cuda_plan_for, find_cuda_chain
from vggnumpy.engine.plan import place
from vggnumpy.errors import InputError
from vggnumpy.estimate import evaluation_bytes
from vggnumpy.nets import chain
from vggnumpy.nets.placement import network_on
from vggnumpy.nets.tables import conv, pool, relu
from vggnumpy.ops import tensor_map

LAYERS = [conv("conv1_1", 16), relu("relu1_1"), conv("conv1_2", 32), relu("relu1_2"), pool("pool1")]
LAYERS += [conv("conv2_1", 80), relu("relu2_1"), pool("pool2"), conv("conv3_1", 16), relu("relu3_1"), pool("pool3")]
BOTH = ("relu1_1", "relu2_1")
# Height, width and images; the pools; the layers with Gram losses and those with content losses.
CASES = {
    "as a transfer": ((15, 22), 1, ("max", "average", "max"), ("relu1_1", "relu2_1", "relu3_1"), ("relu1_2",)),
    "every tap": (
        (9, 13),
        1,
        ("average", "max", "max"),
        ("conv1_1", "relu1_2", "pool1", "conv2_1"),
        ("conv2_1", "pool2"),
    ),
    "both at one layer, two images": ((8, 11), 2, ("max", "max", "average"), BOTH, BOTH),
    "a pool at the top": ((17, 9), 1, ("max", "average", "average"), ("pool3", "relu3_1"), ("conv3_1", "pool3")),
    "before the rectifier only": ((6, 7), 1, ("average", "max", "max"), (), ("conv2_1",)),
    "one stage": ((5, 18), 1, ("max", "max", "max"), ("relu1_1",), ("conv1_1",)),
}

MARGINS = ("as a transfer", "both at one layer, two images", 1)


def random_case(seed):
    """Return the layers of a random chain and its case."""
    rng = np.random.default_rng(700 + seed)
    layers = []
    for block in range(rng.integers(1, 4)):
        for i in range(rng.integers(1, 3)):
            layers += [conv(f"conv{block}_{i}", int(rng.choice([16, 32, 48, 80]))), relu(f"relu{block}_{i}")]
        if rng.random() < 0.7:
            layers.append(pool(f"pool{block}"))
    grams, contents = (tuple(one.name for one in layers if rng.random() < share) for share in (0.5, 0.3))
    pools = tuple(map(str, rng.choice(["max", "average"], 3)))
    size = tuple(int(side) for side in rng.integers(8, 20, 2))
    return layers, (size, int(rng.integers(1, 3)), pools, grams or (layers[-1].name,), contents)


def problem(case, dtype="float32"):
    """Return a network, an image, content and style images, and the layers' weights; of a case, or a seed."""
    layers, ((height, width), images, methods, grams, contents) = (
        (LAYERS, CASES[case]) if case in CASES else random_case(case)
    )
    rng = np.random.default_rng(sorted(CASES).index(case) if case in CASES else case)
    net = random_network(chain(layers), rng=rng, dtype="float32")
    roundings, method = iter(rng.choice(["floor", "ceil"], 3)), iter(methods)
    table = [
        replace(one, method=next(method), rounding=str(next(roundings))) if one.kind == "pool" else one
        for one in net.table
    ]
    weights = {name: (w, rng.uniform(-0.5, 0.5, b.shape).astype("float32")) for name, (w, b) in net.weights.items()}
    net = replace(net, table=tuple(table), weights=weights, channel_order="BGR")
    net = replace(net, mean=(100.0, 110.0, 120.0), scale=(0.5, 1.0, 0.75))
    shape = (height, width, 3) if images == 1 else (images, height, width, 3)
    x, content, style, other = (
        rng.uniform(0, 255, size).astype("float32") for size in (shape, shape, (height + 3, width, 3), (12, 14, 3))
    )
    styles = [style.astype(dtype), other.astype(dtype)] if grams else []
    terms = {"style": dict.fromkeys(grams, 0.7), "content": dict.fromkeys(contents, 0.2)}
    terms["style_weights"] = [0.3, 0.7][: len(styles)]
    return net.astype(dtype), x.astype(dtype), content.astype(dtype), styles, terms


def on_the_device(case, where, **options):
    """Return value, gradient and terms by the engine, of the first, plain evaluation and of two graphs'."""
    net, x, content, styles, terms = problem(case)
    with device(where) as cuda:
        xp, results = cuda.xp, []
        net = network_on(net, cuda)
        styles = [xp.asarray(one) for one in styles]
        fun = Objective(net, xp.asarray(content), styles, **terms, **options)
        for _ in range(3):
            value, gradient = fun(xp.asarray(x))
            results.append(
                (float(value), cuda.to_host(gradient), {name: float(t.value) for name, t in fun.terms.items()})
            )
        assert type(fun._engine) is CudaEngine
    return results


def reference(case, **options):
    net, x, content, styles, terms = problem(case, "float64")
    fun = Objective(net, content, styles, executor="reference", **terms, **options)
    value, gradient = fun(x)
    return value, gradient, {name: term.value for name, term in fun.terms.items()}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("case", [*CASES, *range(3)])
def test_the_gradient_in_fp32_is_that_of_float64(case, where):
    normalization = {"as a transfer": "relative", "every tap": "raw", "one stage": "mean_square"}.get(case, "gatys")
    options = {"normalization": normalization, "margin": (2, 3, 1, 0) if case in MARGINS else 0}
    value, gradient, terms = reference(case, **options)
    plain, *graphs = on_the_device(case, where, **options)
    assert plain[0] == pytest.approx(value, rel=1e-5)
    assert plain[2] == pytest.approx(terms, rel=1e-5)
    assert np.linalg.norm(plain[1] - gradient) <= 1e-5 * np.linalg.norm(gradient)
    for again in graphs:
        assert again[0] == plain[0] and again[2] == plain[2]
        np.testing.assert_array_equal(again[1], plain[1])


def losses_of(net, x, content, style, weights, precision, where, capability="80"):
    """Return value and gradient by the engine's one evaluation."""
    with device(where, capability) as cuda:
        here = network_on(net, cuda)
        fun = Objective(here, *map(cuda.xp.asarray, (content, style)), **weights, precision=precision)
        value, gradient = fun(cuda.xp.asarray(x))
        assert type(fun._engine) is CudaEngine and fun._engine.plan.precision == precision
        return float(value), cuda.to_host(gradient).astype("float64")


@pytest.mark.parametrize("where", ["forward", GPU])
@pytest.mark.parametrize("precision, value_error, error", [("tf32", 2e-3, 0.1), ("bf16", 2e-2, 0.3)])
def test_the_lower_precisions_are_near_and_the_same_on_hopper(precision, value_error, error, where, monkeypatch):
    net, x, content, (style, _), terms = problem("as a transfer")
    del terms["style_weights"]
    net = net.with_pooling("average")
    wide = [one.astype("float64") for one in (x, content, style)]
    exact, gradient = Objective(net.astype("float64"), *wide[1:], **terms)(wide[0])
    value, found = losses_of(net, x, content, style, terms, precision, where)
    size = np.linalg.norm(gradient)
    assert abs(value - exact) <= value_error * exact
    assert 1e-5 * size < np.linalg.norm(found - gradient) <= error * size
    if where == "gpu":
        return  # it has one capability
    monkeypatch.setattr(tensor_map, "encoder", emulated_encoder)
    hopper_value, hopper = losses_of(net, x, content, style, terms, precision, where, capability="90")
    assert hopper_value == pytest.approx(value, rel=value_error)
    assert np.linalg.norm(hopper - found) <= error / 2 * size


@needs_the_emulator
@pytest.mark.parametrize("case", ["both at one layer, two images", "as a transfer"])
def test_two_steps_are_one_evaluation(case):
    net, x, content, (style, _), terms = problem(case)
    del terms["style_weights"]
    normalization = "mean_square"
    with emulated() as cuda:
        here = network_on(net, cuda)
        pixels, P, S = map(cuda.xp.asarray, (x, content, style))
        fun = Objective(here, P, S, **terms, normalization=normalization)
        value, gradient = fun(pixels)
        engine = cuda_engine_for(here, terms["style"], terms["content"], x.shape)
        assert engine.fits(x.shape) and not engine.fits((9, 9, 3))
        grams, contents = engine.forward(pixels, terms["style"], fun._targets)
        features = {layer: on_host(engine.features(layer)) for layer in {**terms["style"], **terms["content"]}}
        total, derivatives, factors = 0.0, {}, {}
        for layer, (G, M) in grams.items():
            A, positions = fun._styles[0][layer]
            loss, dG = losses.gram_value(G, A, M, positions, normalization)
            total, derivatives[layer] = total + 0.7 * float(loss), dG * 0.7
        for layer, statistics in contents.items():
            loss, factor = losses.content_value(statistics, normalization)
            total, factors[layer] = total + 0.2 * float(loss), 0.2 * factor
        again = engine.backward(derivatives, factors)
        assert float(value) == pytest.approx(total, rel=1e-5)
        np.testing.assert_allclose(on_host(again), on_host(gradient), rtol=0, atol=1e-5 * abs(on_host(gradient)).max())
        with pytest.raises(ValueError, match="must agree in shape"):
            engine.forward(pixels, (), dict.fromkeys(terms["content"], P))
    expected = net.forward(x, features)[0]
    for layer, found in features.items():
        np.testing.assert_allclose(found, expected[layer], rtol=0, atol=1e-5 * abs(expected[layer]).max())


@needs_the_emulator
def test_an_evaluation_waits_for_nothing_and_is_one_graph():
    net, x, content, (style, _), terms = problem("one stage")
    del terms["style_weights"]
    with emulated() as cuda:
        fun = Objective(network_on(net, cuda), cuda.xp.asarray(content), cuda.xp.asarray(style), **terms)
        x = cuda.xp.asarray(x)
        before = emulator.synchronisations(), emulator.graphs(), emulator.launches()
        fun(x)
        launched = emulator.launches() - before[2]
        for _ in range(3):
            fun(x)
        assert emulator.synchronisations() == before[0] and emulator.graphs() - before[1] == 3
        # Recorded once; beside the graph only the two kernels that read the image and write the gradient.
        assert emulator.launches() - before[2] == launched + (launched - 2) + 3 * 2


@needs_the_emulator
def test_what_allocates_or_asks_is_not_recorded():
    with emulated() as cuda:
        x = cuda.xp.asarray(np.ones(3, "float32"))
        for work in (lambda: x + x, lambda: on_host(x)):
            recording = Recording(cuda.xp)
            recording(work)
            with pytest.raises((RuntimeError, AssertionError), match="recorded"):
                recording(work)
        assert on_host(x + x).sum() == 6  # the recording has ended


@needs_the_emulator
def test_sharing_memory_changes_no_bit():
    net, x, content, (style, _), terms = problem("every tap")
    del terms["style_weights"]
    gradients = []
    for shared in (True, False):
        with emulated() as cuda:
            fun = Objective(network_on(net, cuda), cuda.xp.asarray(content), cuda.xp.asarray(style), **terms)
            pixels = cuda.xp.asarray(x)
            engine = fun._engine_at(pixels)
            if not shared:
                apart = [replace(one, born=0, dies=99) for one in engine.plan.buffers.values()]
                buffers, size = place(apart)
                assert size > 1.3 * engine.plan.arena
                fun._engine = CudaEngine(fun.net, replace(engine.plan, buffers=buffers, arena=size))
            for one in fun._engine._maps.values():
                one.host.view("uint8")[...] = 0xFF  # NaN, and bits that are all set
            gradients.append((float(fun(pixels)[0]), on_host(fun(pixels)[1])))
    (value, gradient), (other_value, other) = gradients
    assert value == other_value
    np.testing.assert_array_equal(gradient, other)


HOPPER = Device(90, 227 << 10, 132)
STYLE = [f"relu{block}_1" for block in range(1, 6)]


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_arena_is_small_and_nothing_in_it_overlaps(pooling, precision):
    net = random_network("vgg19", rng=0, dtype="float32", pooling=pooling)
    for side, images in ((2048, 1), (517, 2), (24000, 1)):
        plan = cuda_plan_for(net, STYLE, ["relu4_2"], (images, side, side, 3), precision, HOPPER)
        buffers = sorted(plan.buffers.values(), key=lambda one: one.offset)
        assert max(one.offset + one.nbytes for one in buffers) == plan.arena
        assert all(one.offset % 64 == 0 for one in buffers)
        for number, one in enumerate(buffers):
            for other in buffers[number + 1 :]:
                if other.offset >= one.offset + one.nbytes:
                    break
                assert other.born > one.dies or one.born > other.dies, (one, other)
    # Of what autograd keeps for a pixel, 1532 bytes with max pooling and 1292 with average pooling.
    at_2048 = cuda_plan_for(net, STYLE, ["relu4_2"], (2048, 2048, 3), precision, HOPPER)
    kept = {"max": 1532, "average": 1292}[pooling] * 2048**2
    assert at_2048.nbytes < (0.45 if precision != "bf16" else 0.25) * kept
    assert at_2048.features_shape("relu3_1") == (1, 512, 512, 256)


def test_what_it_leaves_to_the_reference():
    net = random_network(chain(LAYERS), rng=0, dtype="float32")
    assert find_cuda_chain(net, ["relu3_1"]).taps == {"relu3_1"}
    narrow = random_network(chain([conv("conv1", 12), relu("relu1")]), rng=0, dtype="float32")
    start = [conv("conv0", 3, 1, 0, numbered=False), conv("conv1", 16), relu("relu1")]
    for other, tap in (
        (narrow, "relu1"),
        (random_network(chain(start), rng=0, dtype="float32"), "relu1"),
        (net.astype("float64"), "relu1_1"),
        (replace(net, pad_mode="reflect"), "relu1_1"),
    ):
        assert find_cuda_chain(other, [tap]) is None
    assert cuda_plan_for(narrow, ["relu1"], [], (9, 9, 3), "fp32", HOPPER) is None
    with pytest.raises(InputError, match="layer pool1 of network"):
        cuda_plan_for(net, ["relu2_1"], [], (1, 9, 3), "fp32", HOPPER)


@needs_the_emulator
def test_a_precision_that_is_not_to_be_had():
    net, x, content, (style, _), terms = problem("one stage")
    del terms["style_weights"]
    for options in ({"precision": "tf32"}, {"precision": "fp16"}):
        with pytest.raises(InputError, match="precision"):
            Objective(net, content, style, **terms, **options)
    with pytest.raises(InputError, match="precision tf32 needs a CUDA GPU"):
        transfer(
            np.resize(content, (20, 20, 3)), np.resize(style, (20, 20, 3)), net=net, device="cpu", precision="tf32"
        )
    with pytest.raises(InputError, match="the precision must be one of fp32, tf32, bf16, got 'half'"):
        transfer(content, style, net=net, device="cpu", precision="half")
    with emulated() as cuda:
        here = network_on(replace(net, pad_mode="reflect"), cuda)
        images = cuda.xp.asarray(content), cuda.xp.asarray(style)
        with pytest.raises(InputError, match="'bf16' needs a CUDA GPU and an objective that its engine can compute"):
            Objective(here, *images, **terms, precision="bf16")
        fun = Objective(here, *images, **terms)
        assert np.isfinite(float(fun(cuda.xp.asarray(x))[0])) and fun._engine is None
        needed = [evaluation_bytes(one, {}, ["relu1_1"], (64, 64), cuda, "bf16") for one in (net, here)]
        assert needed[0] < needed[1] / 2


@needs_the_emulator
def test_an_old_gpu_runs_the_operators():
    """Before compute capability 8.0 there is no cp.async, so the tensor-core kernels do not even compile."""
    net, x, content, styles, terms = problem("as a transfer")
    assert cuda_plan_for(net, ["relu1_1"], [], (16, 16, 3), "fp32", HOPPER._replace(capability=75)) is None
    with emulated(capability="75") as cuda:
        here, image = network_on(net, cuda), cuda.xp.asarray(x)
        styles = [cuda.xp.asarray(one) for one in styles]
        fun = Objective(here, cuda.xp.asarray(content), styles, **terms)
        value = float(fun(image)[0])
        assert fun._engine is None
        with pytest.raises(InputError, match=r"compute capability 8\.0"):
            Objective(here, cuda.xp.asarray(content), styles, **terms, precision="tf32")(image)
    assert value == pytest.approx(reference("as a transfer")[0], rel=1e-5)


@needs_the_emulator
def test_weights_that_cancel_are_left_to_the_operators():
    net, x, content, styles, terms = problem("as a transfer")
    terms["style_weights"] = [1.0, -1.0]
    expected = Objective(net, content, styles, **terms, executor="reference")(x)[0]
    with emulated() as cuda:
        styles = [cuda.xp.asarray(one) for one in styles]
        fun = Objective(network_on(net, cuda), cuda.xp.asarray(content), styles, **terms)
        assert float(fun(cuda.xp.asarray(x))[0]) == pytest.approx(expected, rel=1e-4)
        assert fun._engine is None
