"""One evaluation, value and image gradient, against PyTorch on one GPU: milliseconds, ratios, TFLOP/s, memory.

    python tests/benchmarks/gpu_against_torch.py [--sizes 512 1024 2048] [--rounds 20] [--parts check times …]

The work is that of evaluation_against_torch.py: VGG-19 with He weights up to relu5_1, average pooling, five Gram terms
and one content term, from pixels to the pixels' gradient.  Every measurement is a process of its own.

* check: the gradient in fp32 against float64 by the reference (at most 1e-5 at 256×256), and every way of PyTorch's
  against ours in the same precision; nothing is timed if this fails.
* times: ours and PyTorch's eager, CUDA-graphed, compiled, and compiled and graphed evaluations, NCHW and channels_last,
  in fp32, tf32 and bf16; cuDNN chooses its algorithms by measuring.  The peers take turns; medians of events on the
  device; the ratio is ours / the best of PyTorch's.
* layers: each kernel of ours, TFLOP/s of the direct convolution it stands for, the share of the roofline, and
  PyTorch's convolution of the same layer (channels_last, without bias, rectifier and pool).
* memory: the most that CuPy's pool and PyTorch's allocator have held.
* largest: the largest square of a list that still fits.

Needs a CUDA GPU, CuPy and the ``reference`` extra; without them it says what is missing and exits with 2.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

from evaluation_against_torch import CONTENT, STYLE, answer, median, problem, torch_loss, torch_targets

PRECISIONS = ("fp32", "tf32", "bf16")
LAYOUTS = ("NCHW", "channels_last")
WAYS = ("eager", "graph", "compiled", "compiled graph")
SIDES = (4096, 6144, 8192, 10240, 12288, 14336, 16384, 18432, 20480)
# Dense TFLOP/s of tensor cores in tf32 and bf16, and TB/s of memory, as NVIDIA's data sheets have them.  fp32 takes
# three tf32 products.
PEAKS = {"H200": (495, 989, 4.8), "H100": (495, 989, 3.35), "A100": (156, 312, 2.0)}


def missing():
    """Return in a sentence what is not there, or None."""
    wanting = [name for name in ("cupy", "torch") if find_spec(name) is None]
    if wanting:
        return f"This benchmark needs a CUDA GPU, and {' and '.join(wanting)}, not installed here."
    import torch

    from vggnumpy.backend import select_device
    from vggnumpy.errors import InputError

    try:
        select_device("cuda")
    except InputError as error:
        return f"This benchmark needs a CUDA GPU: {str(error).partition(';')[0]}."
    return None if torch.cuda.is_available() else "This benchmark needs a PyTorch that is built for CUDA."


def machine():
    """Return the date, the device and the versions that a result belongs to."""
    import cupy
    import torch

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    runtime, driver = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    versions = f"CUDA {runtime}, driver {driver}, CuPy {cupy.__version__}, PyTorch {torch.__version__}"
    return f"{datetime.date.today()}, {properties['name'].decode()}, {versions}"


def ours(net, content, style, precision, **options):
    """Return our function of an image on the device; its value stays there."""
    from vggnumpy import Objective
    from vggnumpy.backend import select_device
    from vggnumpy.nets.placement import network_on

    cuda = select_device("cuda")
    images = (cuda.xp.asarray(image.astype(net.dtype)) for image in (content, style))
    return Objective(network_on(net, cuda), *images, CONTENT, STYLE, precision=precision, **options)


def theirs(net, content, style, way, layout, precision):
    """Return PyTorch's function of an image, a tensor on the device, with the same losses written for autograd."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True
    memory = torch.contiguous_format if layout == "NCHW" else torch.channels_last
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    weights = {
        name: (
            torch.from_numpy(w).permute(3, 2, 0, 1).to("cuda", dtype).contiguous(memory_format=memory),
            torch.from_numpy(b).to("cuda", dtype),
        )
        for name, (w, b) in net.weights.items()
    }
    mean, scale = (torch.tensor(values, device="cuda") for values in (net.mean, net.scale))

    def prepared(x):
        z = x if net.channel_order == "RGB" else x.flip(-1)
        return ((z - mean) * scale).permute(2, 0, 1)[None].to(dtype).contiguous(memory_format=memory)

    with torch.no_grad():
        P, A = torch_targets(net, weights, prepared(tensor(content)), prepared(tensor(style)))

    def loss(x):
        return torch_loss(net, weights, prepared(x), P, A)

    call = torch.compile(loss) if way.startswith("compiled") else loss

    def evaluate(x):
        value = call(x)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return graphed(evaluate, tensor(content)) if way.endswith("graph") else evaluate


def tensor(image):
    """Return an image as a tensor on the device whose gradient is wanted."""
    import torch

    return torch.from_numpy(image).cuda().requires_grad_(True)


def graphed(evaluate, example):
    """Return the same function as one CUDA graph."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            evaluate(example)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = evaluate(example)

    def replay(x):
        with torch.no_grad():
            example.copy_(x)
        graph.replay()
        return results

    return replay


def milliseconds(call, module):
    """Return how long the device worked on a call; `module` is cupy or torch."""
    begin, end = (module.cuda.Event(**({"enable_timing": True} if module.__name__ == "torch" else {})) for _ in "ab")
    begin.record()
    call()
    end.record()
    end.synchronize()
    if module.__name__ == "torch":
        return begin.elapsed_time(end)
    return module.cuda.get_elapsed_time(begin, end)


def check(size):
    """Return the error of our gradient in fp32, and how far every way of PyTorch's is from ours."""
    import cupy
    import numpy as np

    net, content, style, x = problem(size, "average")
    exact = ours(net.astype("float64"), content, style, "fp32", executor="reference")
    gradients = {"float64": cupy.asnumpy(exact(cupy.asarray(x, "float64"))[1])}
    for precision in PRECISIONS:
        fun = ours(net, content, style, precision)
        for _ in range(2):  # plainly, and as a graph
            gradients[precision] = cupy.asnumpy(fun(cupy.asarray(x))[1])

    def distance(one, other):
        return float(np.linalg.norm(one - gradients[other]) / np.linalg.norm(gradients[other]))

    found = {f"ours, {precision}, to float64": distance(gradients[precision], "float64") for precision in PRECISIONS}
    for precision in PRECISIONS:
        for layout in LAYOUTS:
            gradient = theirs(net, content, style, "eager", layout, precision)(tensor(x))[1].float().cpu().numpy()
            found[f"PyTorch, {precision}, {layout}, to float64"] = distance(gradient, "float64")
            assert distance(gradient, precision) < {"fp32": 5e-3, "tf32": 0.05, "bf16": 0.15}[precision]
    assert found["ours, fp32, to float64"] <= 1e-5, found
    return found


def times(size, precision, rounds):
    """Return for ours and every peer the median milliseconds, or why there are none."""
    import cupy
    import torch

    net, content, style, x = problem(size, "average")
    pixels, calls, results = cupy.asarray(x), {}, {}
    fun = ours(net, content, style, precision)
    calls["ours"] = (partial(fun, pixels), cupy)
    for layout in LAYOUTS:
        for way in WAYS:
            name = f"{way}, {layout}"
            try:
                call = partial(theirs(net, content, style, way, layout, precision), tensor(x))
                call()
                calls[name] = call, torch
            except Exception as error:  # too large for the memory, or torch.compile has no compiler
                results[name] = str(error).splitlines()[0][:80]
    taken = {name: [] for name in calls}
    for number in range(rounds + 3):
        for name, (call, module) in calls.items():
            spent = milliseconds(call, module)
            if number >= 3:
                taken[name].append(spent)
    return results | {name: median(values) for name, values in taken.items()}


def layers(size, precision, rounds):
    """Return for each kernel of ours: name, TFLOP/s, share of the roofline, and PyTorch's TFLOP/s forward."""
    import cupy
    import torch

    net, content, style, x = problem(size, "average")
    fun = ours(net, content, style, precision)
    fun(cupy.asarray(x))
    engine, itemsize = fun._engine, 2 if precision == "bf16" else 4
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = precision != "fp32", True
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    name = torch.cuda.get_device_name()
    tf32, bf16, memory = next((peak for key, peak in PEAKS.items() if key in name), (float("nan"),) * 3)
    peak = {"fp32": tf32 / 3, "tf32": tf32, "bf16": bf16}[precision]
    found, stages = [], engine.plan.stages

    def least(call, module):
        return median([milliseconds(call, module) for _ in range(rounds + 2)][2:])

    for number, stage in enumerate(stages):
        pixels = stage.height * stage.width
        flops = 18 * pixels * stage.depth * stage.channels
        moved = pixels * (stage.depth + stage.channels) * itemsize
        bound = max(flops / peak, moved / memory) * 1e-9  # milliseconds
        shape = (1, stage.depth, stage.height, stage.width)
        z = torch.rand(shape, device="cuda", dtype=dtype).contiguous(memory_format=torch.channels_last)
        w = torch.rand((stage.channels, stage.depth, 3, 3), device="cuda", dtype=dtype)
        w = w.contiguous(memory_format=torch.channels_last)
        peer = least(lambda z=z, w=w: torch.nn.functional.conv2d(z, w, padding=1), torch)
        back = partial(engine._arrive, stages[number - 1], stage) if number else engine._leave
        for direction, call in (("forward", partial(engine._forward, stage)), ("backward", back)):
            spent = least(call, cupy)  # backward with the losses' derivatives at the layer before
            speeds = [1e-9 * flops / spent, bound / spent, 1e-9 * flops / peer]
            found.append([f"{stage.link.conv.name} {direction}", spent, *speeds])
    return found


def memory(size, precision, way):
    """Return the most bytes that were held, weights included."""
    net, content, style, x = problem(size, "average")
    if way == "ours":
        import cupy

        fun, pixels = ours(net, content, style, precision), cupy.asarray(x)
        cupy.get_default_memory_pool().free_all_blocks()  # what making the targets took is given back
        for _ in range(2):
            fun(pixels)
        return int(cupy.get_default_memory_pool().total_bytes())
    import torch

    fun, pixels = theirs(net, content, style, "eager", way, precision), tensor(x)
    fun(pixels)  # the search for algorithms, forward and backward, is not counted against it
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        fun(pixels)
    return int(torch.cuda.max_memory_allocated())


def in_a_process(function, *arguments):
    """Return what a function of this file returns in a process of its own, or None if it fails."""
    call = json.dumps([function, *arguments])
    done = subprocess.run([sys.executable, __file__, "--call", call], capture_output=True, text=True)
    if done.returncode:
        print(f"  {function} {arguments} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1][:150]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def largest(way, precision):
    """Return the largest side that fits."""
    found = 0
    for side in SIDES:
        if in_a_process("memory", side, precision, way) is None:
            break
        found = side
    return found


def print_times(size, precision, found):
    """Print one comparison, best first."""
    measured = sorted((value, name) for name, value in found.items() if not isinstance(value, str))
    best, own = min((value for value, name in measured if name != "ours"), default=None), found["ours"]
    both = best is not None and not isinstance(own, str)
    print(f"{size}², {precision}:", f"ours {own / best:.2f} × the best of PyTorch's" if both else "nothing to compare")
    for value, name in measured:
        print(f"  {name:28} {value:9.3f} ms")
    for name, value in found.items():
        if isinstance(value, str):
            print(f"  {name:28} not measured: {value}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--parts", nargs="+", default=["check", "times", "layers", "memory", "largest"])
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer(options.call, globals())
        return 0
    lacking = missing()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    print(machine(), flush=True)
    if "check" in options.parts:
        found = in_a_process("check", 512)
        if found is None:
            return 1
        for name, error in found.items():
            print(f"gradient, {name}: {error:.1e}")
    for precision in options.precisions:
        for size in options.sizes:
            found = in_a_process("times", size, precision, options.rounds) if "times" in options.parts else None
            if found:
                print_times(size, precision, found)
            if "memory" in options.parts:
                got = {way: in_a_process("memory", size, precision, way) for way in ("ours", *LAYOUTS)}
                known = {way: f"{held / 1e6:.0f} MB" for way, held in got.items() if held is not None}
                least = min((held for way, held in got.items() if way != "ours" and held is not None), default=None)
                ratio = f"; ratio {got['ours'] / least:.2f}" if got["ours"] and least else ""
                print(f"{size}², {precision}, peak memory: {known}{ratio}", flush=True)
            found = in_a_process("layers", size, precision, options.rounds) if "layers" in options.parts else None
            for name, spent, speed, share, peer in found or ():
                print(
                    f"  {name:18} {spent:8.3f} ms {speed:6.0f} TFLOP/s, {share:4.0%} of the roofline; cuDNN {peer:.0f}"
                )
        if "largest" in options.parts:
            print(f"{precision}, largest side:", {way: largest(way, precision) for way in ("ours", "channels_last")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
