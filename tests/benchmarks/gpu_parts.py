"""What gpu_against_torch.py measures, each function in a process of its own: ours and PyTorch's, on one GPU."""

from __future__ import annotations

import math
import sys
from functools import partial

from evaluation_against_torch import CONTENT, STYLE, median, problem, torch_loss, torch_targets

LAYOUTS = ("NCHW", "channels_last")
DEVICE = "cuda"  # PyTorch's name for where it computes
REPEATS = 10  # calls of one kernel in a graph
# Dense TFLOP/s of tensor cores in tf32 and bf16, and TB/s of memory, as NVIDIA's data sheets have them.  fp32 takes
# three tf32 products.
PEAKS = {"H200": (495, 989, 4.8), "H100": (495, 989, 3.35), "A100": (156, 312, 2.0)}


def device_name():
    """Return the name of the current GPU."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()


def problem_at(size):
    """Return what `problem` returns; a large image is a small one again and again, which is made in less time."""
    import numpy as np

    net, *images = problem(min(size, 2048), "average")
    times = -(-size // 2048)
    return net, *(np.ascontiguousarray(np.tile(image, (times, times, 1))[:size, :size]) for image in images)


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
            torch.from_numpy(w).permute(3, 2, 0, 1).to(DEVICE, dtype).contiguous(memory_format=memory),
            torch.from_numpy(b).to(DEVICE, dtype),
        )
        for name, (w, b) in net.weights.items()
    }
    mean, scale = (torch.tensor(values, device=DEVICE) for values in (net.mean, net.scale))

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

    return torch.from_numpy(image).to(DEVICE).requires_grad_(True)


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


def captured(call, module):
    """Return a function that makes `REPEATS` calls as one CUDA graph; `module` is cupy or torch."""
    call()  # what is compiled, chosen by measuring or allocated once is done before
    if module.__name__ == "torch":
        graph = module.cuda.CUDAGraph()
        with module.cuda.graph(graph):
            for _ in range(REPEATS):
                call()
        return graph.replay
    stream = module.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(REPEATS):
            call()
        graph = stream.end_capture()
    return graph.launch


def alone(call, module, rounds):
    """Return the milliseconds of one call among others of its kind."""
    together = captured(call, module)
    return median([milliseconds(together, module) for _ in range(rounds + 2)][2:]) / REPEATS


def check(size, precision):
    """Return how far our gradient and PyTorch's are from float64's, or why there is none of PyTorch's."""
    import cupy
    import numpy as np

    net, content, style, x = problem_at(size)
    exact = ours(net.astype("float64"), content, style, "fp32", executor="reference")
    exact = cupy.asnumpy(exact(cupy.asarray(x, "float64"))[1])
    fun = ours(net, content, style, precision)
    for _ in range(2):  # plainly, and as a graph
        own = cupy.asnumpy(fun(cupy.asarray(x))[1])

    def distance(one, other):
        return float(np.linalg.norm(one - other) / np.linalg.norm(other))

    found = {"ours": distance(own, exact)}
    for layout in LAYOUTS:
        try:
            gradient = theirs(net, content, style, "eager", layout, precision)(tensor(x))[1].float().cpu().numpy()
            found[f"PyTorch, {layout}"] = distance(gradient, exact)
            found[f"PyTorch, {layout}, to ours"] = distance(gradient, own)
        except Exception as error:
            found[f"PyTorch, {layout}"] = _words(error)
    return found


def times(size, precision, rounds, peers):
    """Return for ours and some peers, (way, layout), the median milliseconds, or why there are none."""
    import cupy
    import torch

    net, content, style, x = problem_at(size)
    pixels, calls, results = cupy.asarray(x), {}, {}
    fun = ours(net, content, style, precision)
    calls["ours"] = (partial(fun, pixels), cupy)
    for way, layout in peers:
        name = f"{way}, {layout}"
        try:
            call = partial(theirs(net, content, style, way, layout, precision), tensor(x))
            call()
            calls[name] = call, torch
        except Exception as error:  # too large for the memory, or torch.compile has no compiler
            results[name] = _words(error)
    taken = {name: [] for name in calls}
    for number in range(rounds + 3):
        for name, (call, module) in calls.items():
            spent = milliseconds(call, module)
            if number >= 3:
                taken[name].append(spent)
    return results | {name: median(values) for name, values in taken.items()}


def _words(error):
    """Return the first line of an error."""
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


def layers(size, precision, rounds):
    """Return for each kernel of ours: name, ms, TFLOP/s, share of the roofline, and PyTorch's TFLOP/s or None."""
    import cupy

    net, content, style, x = problem_at(size)
    fun = ours(net, content, style, precision)
    fun(cupy.asarray(x))
    engine, itemsize = fun._engine, 2 if precision == "bf16" else 4
    stages, cotangent, found = engine.plan.stages, engine._cotangent, []
    # The losses' derivatives, as they lie in their buffers: to compute them is not the convolution's part.
    ready = {tap.layer: cotangent(tap) for stage in stages for tap in stage.taps}
    engine._cotangent = lambda tap: None if tap is None else ready[tap.layer]

    def add(name, call, flops, moved, peer=None):
        spent = alone(call, cupy, rounds)
        share = roofline(flops, moved, precision) / spent
        found.append([name, spent, 1e-9 * flops / spent, share, peer and 1e-9 * flops / peer])

    for number, stage in enumerate(stages):
        pixels, name = stage.height * stage.width, stage.link.conv.name
        flops, moved = 18 * pixels * stage.depth * stage.channels, pixels * (stage.depth + stage.channels) * itemsize
        theirs_forward, theirs_backward = convolutions(stage, precision, rounds)
        add(f"{name} forward", partial(engine._forward, stage), flops, moved, theirs_forward)
        back = partial(engine._arrive, stages[number - 1], stage) if number else engine._leave
        add(f"{name} backward", back, flops, moved, theirs_backward)
        for tap in stage.taps:  # F'F and F Z; (F - P)² and F - P
            entries = math.prod(engine.plan.features_shape(tap.layer))
            flops = 2 * entries * (stage.channels if tap.layer in engine._grams else 1)
            moved = entries * itemsize * (1 if tap.layer in engine._grams else 2)
            add(f"loss {tap.layer} forward", partial(loss_forward, engine, tap), flops, moved)
            add(f"loss {tap.layer} backward", partial(cotangent, tap), flops, moved + entries * itemsize)
    return found


def roofline(flops, moved, precision):
    """Return the milliseconds that arithmetic, or bytes to be moved, take at least; not a number on an unknown GPU."""
    tf32, bf16, memory = next((peak for key, peak in PEAKS.items() if key in device_name()), (float("nan"),) * 3)
    return max(flops / {"fp32": tf32 / 3, "tf32": tf32, "bf16": bf16}[precision], moved / memory) * 1e-9


def loss_forward(engine, tap):
    """Launch the kernels of the losses at a tap, as `CudaEngine._evaluate` does on the way forward."""
    if tap.layer in engine._grams:
        engine._gram(tap, target=engine._grams[tap.layer])
    if tap.layer in engine._contents:
        engine._content(tap, squares=engine._maps["squares"][engine._part("content", tap.layer)])


def convolutions(stage, precision, rounds):
    """Return the milliseconds of PyTorch's convolution of a layer, forward and its data gradient; None if it fails."""
    import torch

    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = precision != "fp32", True
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def random(*shape):
        return torch.rand(shape, device=DEVICE, dtype=dtype).contiguous(memory_format=torch.channels_last)

    z = random(1, stage.depth, stage.height, stage.width)
    w, dy = random(stage.channels, stage.depth, 3, 3), random(1, stage.channels, stage.height, stage.width)
    calls = (
        lambda: torch.nn.functional.conv2d(z, w, padding=1),
        lambda: torch.nn.grad.conv2d_input(z.shape, w, dy, padding=1),
    )
    try:
        return [alone(call, torch, rounds) for call in calls]
    except Exception as error:
        print(f"  PyTorch's {stage.link.conv.name}: {_words(error)}", file=sys.stderr)
        return None, None


def memory(size, precision, way):
    """Return the most bytes that were held, weights included."""
    net, content, style, x = problem_at(size)
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
