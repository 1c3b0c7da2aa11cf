"""Optimisers and a whole transfer on CUDA arrays: the same course as on the CPU, with few words to the host."""

import json
import sys
from pathlib import Path

import emulator
import numpy as np
import pytest

import vggnumpy.run  # noqa: F401
from vggnumpy import transfer
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
                chosen = {"cpu": NUMPY, "cuda": backend}
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
