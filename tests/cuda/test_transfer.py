"""Optimisers and a whole transfer on CUDA arrays: the same course as on the CPU, with few words to the host."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import emulator
import numpy as np
import pytest

import vggnumpy.run  # noqa: F401
from vggnumpy import strength, transfer
from vggnumpy.backend import NUMPY, array_module, backend_of, select_device
from vggnumpy.cli import main
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import architecture, random_network
from vggnumpy.nets.placement import network_on
from vggnumpy.nets.tables import chain, conv, pool, relu
from vggnumpy.objective import Objective
from vggnumpy.optimize import minimize

RNG = np.random.default_rng(630)
CONTENT, STYLE = RNG.uniform(0, 255, (20, 17, 3)), RNG.uniform(0, 255, (18, 23, 3))
METHODS = {
    "lbfgs": {},
    "lbfgs-fixed": {"rate": 0.5},
    "gradient-descent": {"rate": 3.0},
    "momentum": {"rate": 1.0},
    "adam": {"rate": 2.0},
}
SMALL = {
    "content_layers": {"relu2_1": 1.0},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0},
    "iterations": 4,
    "scales": 2,
    "size": 40,
}
needs_the_emulator = pytest.mark.skipif(not emulator.available, reason="the emulator needs g++ on x86-64")


def network(dtype="float64"):
    layers = [conv("conv1_1", 6), relu("relu1_1"), pool("pool1"), conv("conv2_1", 8), relu("relu2_1")]
    return random_network(chain(layers), dtype=dtype)


def objective(image):
    xp = array_module(image)
    terms = {"content": {"relu2_1": 1.0}, "style": {"relu1_1": 1.0, "relu2_1": 1.0}, "size": 1e-3, "variation": 1e-3}
    net = network_on(network(), backend_of(image))
    return Objective(net, xp.asarray(CONTENT), xp.asarray(STYLE), normalization="relative", **terms)


def course(method, dtype="float64"):
    def run(start):
        result = minimize(objective(start), start, method=method, maxiter=8, **METHODS[method])
        assert type(result.x) is type(result.jac) is type(start) and type(result.fun) is float
        return [result.x, np.array([result.fun, result.nfev, result.nit])]

    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_optimiser_takes_the_same_course(on_device, method):
    (x, numbers), (own, own_numbers) = on_device(course(method), CONTENT), course(method)(CONTENT)
    np.testing.assert_allclose(numbers, own_numbers, rtol=1e-9)
    np.testing.assert_allclose(x, own, rtol=0, atol=1e-6)
    assert own_numbers[0] < objective(CONTENT)(CONTENT)[0]


@needs_the_emulator
@pytest.mark.parametrize("method", METHODS)
def test_an_evaluation_brings_one_message_to_the_host(method):
    with emulator.emulated() as cuda:
        fun, start = objective(cuda.xp.asarray(CONTENT)), cuda.xp.asarray(CONTENT)
        counts = []
        for maxiter in (3, 7):
            before = emulator.synchronisations()
            evaluations = minimize(fun, start, method=method, maxiter=maxiter, **METHODS[method]).nfev
            counts.append((emulator.synchronisations() - before, evaluations))
    (few, short), (many, long) = counts
    assert many - few == long - short > 0


@needs_the_emulator
def test_weights_in_another_order_are_put_in_c_order():
    net = network("float32")
    turned = {name: (np.asfortranarray(w), b[::-1]) for name, (w, b) in net.weights.items()}
    with emulator.emulated() as cuda:
        there = network_on(replace(net, weights=turned), cuda).weights
        for name, parts in there.items():
            for one, other in zip(parts, turned[name], strict=True):
                assert one.flags.c_contiguous
                np.testing.assert_array_equal(cuda.to_host(one), other)


def test_a_network_moves_to_a_device_and_back(on_device):
    net = network()

    def run(image):
        there = network_on(net, backend_of(image))
        assert type(there.weights["conv1_1"][0]) is type(image) and network_on(there, backend_of(image)) is there
        return [part for parts in network_on(there, NUMPY).weights.values() for part in parts]

    expected = [part for parts in net.weights.values() for part in parts]
    for one, other in zip(on_device(run, CONTENT), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(params=["emulator", pytest.param("gpu", marks=pytest.mark.gpu)])
def cuda(request, monkeypatch):
    """Let ``device="cuda"`` mean the emulator, or the GPU."""
    if request.param == "emulator" and emulator.available:
        with emulator.emulated() as backend:
            for module in ("run", "transfer"):
                chosen = {"cpu": NUMPY, "cuda": backend, "auto": backend}
                monkeypatch.setattr(sys.modules[f"vggnumpy.{module}"], "select_device", chosen.__getitem__)
            yield backend
        return
    try:
        yield select_device("cuda")
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": "adam", "optimizer_options": {"rate": 5.0}}])
def test_a_transfer(cuda, optimizer):
    seen = []
    options = {"net": network(), **SMALL, **optimizer}
    there = transfer(CONTENT, STYLE, device="cuda", callback=lambda progress: seen.append(progress.pixels), **options)
    own = transfer(CONTENT, STYLE, device="cpu", **options)
    assert type(there.pixels) is np.ndarray and len(seen) == 4 and all(type(one) is np.ndarray for one in seen)
    np.testing.assert_allclose(there.pixels, own.pixels, rtol=0, atol=1e-4)
    assert there.terms == pytest.approx(own.terms, rel=1e-6)
    assert [row["size"] for row in there.history] == [row["size"] for row in own.history]


def test_a_transfer_is_stopped_and_keeps_its_image(cuda):
    def stop(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    result = transfer(CONTENT, STYLE, net=network(), device="cuda", callback=stop, **SMALL)
    assert result.interrupted and type(result.pixels) is np.ndarray and result.image.shape[0] == 40


def test_the_command(cuda, tmp_path: Path, capsys):
    for name, pixels in (("content.png", CONTENT), ("style.png", STYLE)):
        write_image(tmp_path / name, pixels.astype("uint8"))
    out, weights = tmp_path / "out.png", tmp_path / "net.h5"
    write_weights(weights, random_network(architecture("vgg19")[:7], rng=0))
    command = ["transfer", str(tmp_path / "content.png"), str(tmp_path / "style.png"), "-o", str(out)]
    options = ["--weights", str(weights), "--size", "32", "--iterations", "2", "--device", "cuda", "--save-every", "1"]
    options += ["--precision", "tf32"]
    assert main([*command, *options]) == 0
    assert read_image(out).shape == (32, 27, 3) and (tmp_path / "out.0002.png").exists()
    record = json.loads(out.with_suffix(".json").read_text())
    assert (record["device"], record["settings"]["precision"]) == ("cuda", "tf32")
    assert main([*command, *options, "--estimate"]) == 0
    printed = capsys.readouterr()
    assert "time: unknown on a GPU" in printed.out and printed.err.startswith("device: a GPU, whose code has not run")


def square_mask(shape):
    """Return a mask of two regions: a dark square in a light picture."""
    mask = np.full((*shape[:2], 3), 255, "uint8")
    mask[shape[0] // 4 : 3 * shape[0] // 4, shape[1] // 4 : 3 * shape[1] // 4] = 0
    return mask


@pytest.fixture
def files(tmp_path):
    """Write two pictures, their masks and a network; return their paths by name."""
    for name, pixels in (("content", CONTENT), ("style", STYLE)):
        write_image(tmp_path / f"{name}.png", pixels.astype("uint8"))
        write_image(tmp_path / f"{name}_mask.png", square_mask(pixels.shape))
    blocks = ((conv(f"conv{i}_1", 16), relu(f"relu{i}_1"), pool(f"pool{i}")) for i in (1, 2, 3))
    layers = [layer for block in blocks for layer in block]
    write_weights(tmp_path / "net.h5", random_network(chain(layers), rng=0, dtype="float32"))
    return {path.stem: str(path) for path in tmp_path.iterdir()} | {"out": str(tmp_path / "out.png")}


QUICK = ["--iterations", "2", "--size", "32"]
LAYERS = ["--content-layers", "relu2_1=0.01", "--style-layers", "relu1_1,relu3_1"]


def run(files, *more, device="auto"):
    """Paint by the command; return its exit code."""
    command = ["transfer", files["content"], files["style"], "-o", files["out"], "--weights", files["net"]]
    return main([*command, *QUICK, *LAYERS, "--device", device, *more])


def record(files):
    return json.loads(Path(files["out"]).with_suffix(".json").read_text())


@pytest.mark.parametrize("kind", ["self-convolution", "covariation", "patches"])
def test_auto_leaves_other_style_losses_to_the_cpu(cuda, files, capsys, kind):
    assert run(files, "--style-loss", kind) == 0
    words = capsys.readouterr().err
    assert words.startswith("device: the CPU, which alone computes this style loss\n") and "hardware" not in words
    assert record(files)["device"] == "numpy"
    result = transfer(CONTENT, STYLE, net=network("float32"), device="auto", style_loss=kind, **SMALL)
    assert len(result.history) == 4


def test_a_doodle_of_patches_is_left_to_the_cpu(cuda, files):
    maps = [files["style_mask"], files["content_mask"]]
    options = ["-o", files["out"], "--weights", files["net"], "--size", "32", "--iterations", "2"]
    command = ["doodle", files["style"], *maps, *options]
    for form, where in (("both", "numpy"), ("regions", "cuda")):
        assert main([*command, "--form", form]) == 0
        assert record(files)["device"] == where


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), "the style loss local is computed on the CPU only, in fp32: use device cpu"),
        (("--precision", "tf32"), "the style loss local is computed on the CPU only, in fp32: use device cpu"),
    ],
)
def test_cuda_asked_for_is_refused_where_it_cannot_be(cuda, files, capsys, options, found):
    device = "auto" if options else "cuda"
    assert run(files, "--style-loss", "local", *options, device=device) == 2
    assert capsys.readouterr().err == f"vggnumpy: error: {found}\n" and not Path(files["out"]).exists()


def both(files, *more):
    """Paint on the CPU and on the GPU; return both pictures and records."""
    found = []
    for device in ("cpu", "cuda"):
        assert run(files, *more, device=device) == 0
        found.append((read_image(files["out"]), record(files)))
    assert [one["device"] for _, one in found] == ["numpy", "cuda"]
    return found


@pytest.mark.parametrize("kind", ["masks", "fine style", "strength", "strength with masks"])
def test_what_a_gpu_does_besides(cuda, files, kind, monkeypatch):
    monkeypatch.setattr(strength, "TRIALS", 2)
    monkeypatch.setattr(strength, "TRIAL_ITERATIONS", 2)
    masks = ["--content-mask", files["content_mask"], "--style-mask", files["style_mask"]]
    options = {
        "masks": masks,
        "fine style": ["--fine-style", files["content"]],
        "strength": ["--strength", "0.3"],
        "strength with masks": ["--strength", "0.3", *masks],
    }
    (own, own_record), (there, found) = both(files, *options[kind])
    np.testing.assert_allclose(there.astype(int), own.astype(int), rtol=0, atol=1)
    assert found["terms"] == pytest.approx(own_record["terms"], rel=1e-4)  # float32 sums in another order: 1e-5


def test_a_style_file(cuda, files, tmp_path):
    style = str(tmp_path / "style.h5")
    computed = ["style", "compute", files["style"], "-o", style, "--weights", files["net"], "--size", "32"]
    assert main(computed) == 0
    (own, _), (there, _) = both({**files, "style": style})
    np.testing.assert_allclose(there.astype(int), own.astype(int), rtol=0, atol=1)
    shown = ["style", "paint", style, "-o", files["out"], "--weights", files["net"], *QUICK]
    before = emulator.launches()
    assert main(shown) == 0 and emulator.launches() == before  # on the CPU: styles know of no device
