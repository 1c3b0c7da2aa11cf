"""The benchmark on a GPU, rehearsed without one: ours in the emulator, PyTorch on the CPU; and what fails."""

import importlib
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import emulator
import numpy as np
import pytest
from tensor_cores import needs_the_emulator

from vggnumpy import backend
from vggnumpy.nets import architecture, random_network

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("evaluation_against_torch", "gpu_parts", "gpu_against_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("gpu_parts")


@pytest.fixture
def driver(parts):
    return importlib.import_module("gpu_against_torch")


class Cuda(emulator.Cuda):
    """What the benchmark uses of ``cupy.cuda`` besides."""

    runtime = SimpleNamespace(getDeviceProperties=lambda number: {"name": b"NVIDIA H200"})

    @staticmethod
    def Device():
        return SimpleNamespace(id=0, **vars(emulator.Cuda.Device()))


class Cupy(emulator.Module):
    """The emulator as a module of CuPy's name."""

    __name__ = "cupy"
    cuda = Cuda()
    asnumpy = staticmethod(emulator.on_host)
    pool = SimpleNamespace(free_all_blocks=lambda: None, total_bytes=lambda: 77)
    get_default_memory_pool = classmethod(lambda cls: cls.pool)


def small_problem(size, pooling):
    """Return a VGG-19 of 16 channels everywhere, up to relu5_1, and small images."""
    table = architecture("vgg19")
    table = table[: 1 + [layer.name for layer in table].index("relu5_1")]
    table = tuple(replace(one, channels=16) if one.kind == "conv" else one for one in table)
    net = random_network(table, rng=0, pooling=pooling, dtype="float32")
    return net, *np.random.default_rng(1).uniform(0, 255, (3, size, size, 3)).astype("float32")


@pytest.fixture
def rehearsed(parts, monkeypatch):
    """Let the benchmark compute in the emulator, and PyTorch on the CPU, where it knows no graphs."""
    torch, captured = pytest.importorskip("torch"), parts.captured

    def milliseconds(call, module):
        begin = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - begin)

    for name, value in {"problem": small_problem, "milliseconds": milliseconds, "DEVICE": "cpu", "REPEATS": 2}.items():
        monkeypatch.setattr(parts, name, value)
    monkeypatch.setattr(parts, "captured", lambda call, module: call if module is torch else captured(call, module))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 99)
    with emulator.emulated() as cuda:
        cupy = Cupy()
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(backend, "select_device", lambda device: cuda)
        yield parts


@needs_the_emulator
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_ours_and_theirs_compute_the_same(rehearsed, driver, precision):
    found = rehearsed.check(16, precision)
    assert set(found) == {"ours", *(f"PyTorch, {one}{to}" for one in rehearsed.LAYOUTS for to in ("", ", to ours"))}
    for error in found.values():
        assert error <= {"fp32": 1e-5, "bf16": 0.4}[precision]  # of so few positions bf16's is larger than at 256×256


@needs_the_emulator
def test_a_way_that_fails_is_named_and_the_others_are_measured(rehearsed):
    found = rehearsed.times(16, "fp32", 1, [("eager", "NCHW"), ("graph", "NCHW")])
    assert found["ours"] > 0 and found["eager, NCHW"] > 0 and isinstance(found["graph, NCHW"], str)
    assert rehearsed.memory(16, "fp32", "ours") == 77 and rehearsed.memory(16, "fp32", "NCHW") == 99


@needs_the_emulator
def test_every_layer_is_measured_and_its_losses_apart(rehearsed, driver, monkeypatch, capsys):
    def kernels(call, module, rounds):
        rehearsed.captured(call, module)()  # nothing is allocated in it
        before = emulator.launches()
        call()
        return emulator.launches() - before if module.__name__ == "cupy" else 1

    monkeypatch.setattr(rehearsed, "alone", kernels)
    rows = rehearsed.layers(16, "tf32", 1)
    convolutions = [f"conv{name}" for name in "1_1 1_2 2_1 2_2 3_1 3_2 3_3 3_4 4_1 4_2 4_3 4_4 5_1".split()]
    losses = [f"relu{name}" for name in "1_1 2_1 3_1 4_1 4_2 5_1".split()]
    names = [*convolutions, *(f"loss {name}" for name in losses)]
    assert {name for name, *_ in rows} == {f"{name} {way}" for name in names for way in ("forward", "backward")}
    for name, spent, speed, share, peer in rows:
        assert speed > 0 and 0 < share < 1 and (peer is None) == name.startswith("loss")
        # Two for a Gram matrix forward; and the first layer's features are computed anew for the way back.
        two = name.startswith("loss") and "relu4_2" not in name and name.endswith("forward")
        assert spent == 2 if two or name == "loss relu1_1 backward" else spent == 1
    driver.print_layers(rows)
    assert f"{sum(row[1] for row in rows):.3f} ms" in capsys.readouterr().out.splitlines()[-1]


def test_the_roofline(parts, monkeypatch):
    monkeypatch.setattr(parts, "device_name", lambda: "NVIDIA H200")
    assert parts.roofline(495e9, 0, "tf32") == pytest.approx(1) == parts.roofline(165e9, 1, "fp32")
    assert parts.roofline(1, 4.8e9, "bf16") == pytest.approx(1)
    monkeypatch.setattr(parts, "device_name", lambda: "a GPU of tomorrow")
    assert math.isnan(parts.roofline(1, 1, "tf32"))


def test_large_images_are_small_ones_again_and_again(parts, monkeypatch):
    monkeypatch.setattr(
        parts, "problem", lambda size, pooling: ("net", np.arange(size * size * 3).reshape(size, size, 3))
    )
    net, image = parts.problem_at(2049)
    assert net == "net" and image.shape == (2049, 2049, 3) and np.array_equal(image[2048, :2048], image[0, :2048])


def test_a_process_that_fails_or_hangs_says_so(driver, monkeypatch, capsys):
    assert driver.in_a_process("no_such_function", 3) is None
    assert "no_such_function (3,) failed (1): KeyError: 'no_such_function'" in capsys.readouterr().out
    monkeypatch.setattr(driver, "LIMIT", 0.01)
    assert driver.in_a_process("median", [1, 2, 3]) is None and "ended after 0.01 s" in capsys.readouterr().out


def test_a_way_that_brings_its_process_down_leaves_the_others(driver, monkeypatch, capsys):
    def in_a_process(function, size, precision, rounds, peers):
        if ("compiled", "NCHW") in peers:
            return None
        return {"ours": 2.0, **{", ".join(peer): 4.0 for peer in peers}}

    monkeypatch.setattr(driver, "in_a_process", in_a_process)
    found = driver.all_times(512, "tf32", 1)
    assert found.pop("compiled, NCHW") == "its process failed" and found.pop("ours") == 2
    assert len(found) == 7 and set(found.values()) == {4.0}
    driver.print_times(512, "tf32", {**found, "ours": 2.0})
    assert capsys.readouterr().out.startswith("512², tf32: ours 0.50 × the best of PyTorch's\n  ours ")


def test_the_whole_with_one_precision_wrong(driver, monkeypatch, capsys):
    answers = {
        "check": lambda size, precision: {"ours": 0.5 if precision == "bf16" else 1e-6, "PyTorch, NCHW": "no memory"},
        "times": lambda size, *_: {
            "ours": 1.5,
            "eager, NCHW": 3.0,
            "graph, NCHW": 2.0,
            "compiled, NCHW": "no compiler",
        },
        "memory": lambda size, precision, way: None if way == "NCHW" or size > 6000 else 4 if way == "ours" else 10,
        "layers": lambda *_: [
            ["conv1_1 forward", 0.5, 100.0, 0.4, 90.0],
            ["loss relu1_1 forward", 0.25, 9.0, 0.5, None],
        ],
    }
    monkeypatch.setattr(driver, "in_a_process", lambda function, *arguments: answers[function](*arguments))
    monkeypatch.setattr(driver, "missing", lambda: None)
    monkeypatch.setattr(driver, "machine", lambda: "2026-01-01, NVIDIA H200, CUDA 13, driver 14")
    assert driver.main(["--sizes", "512", "1024"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "gradient, fp32, PyTorch, NCHW: no memory" in said and "bf16: ours is wrong, and is not timed" in said
    assert "fp32, largest side: {'ours': 4096, 'channels_last': 4096}" in said
    assert "  conv1_1 forward             0.500 ms    100 TFLOP/s,  40% of the roofline; cuDNN 90" in said
    assert f"  {'together':24}    0.750 ms" in said
    rows = [f"| 2026-01-01, NVIDIA H200 | {size}², {precision} | 1.500 | 2.000 (graph, NCHW) | 0.75 | 0.40 |"
            for precision in ("tf32", "fp32") for size in (512, 1024)]  # fmt: skip
    assert said[-4:] == rows


def test_without_a_gpu_it_says_what_is_missing(driver, monkeypatch, capsys):
    monkeypatch.setattr(driver, "missing", lambda: "This benchmark needs a CUDA GPU.")
    assert driver.main([]) == 2 and capsys.readouterr().err == "This benchmark needs a CUDA GPU.\n"
