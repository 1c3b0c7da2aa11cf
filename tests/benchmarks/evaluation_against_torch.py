"""One evaluation, value and image gradient, against PyTorch on the same CPU: seconds, ratios, peak memory.

    python tests/benchmarks/evaluation_against_torch.py [--sizes 256 512 1024] [--rounds 5] [--parts pairs memory …]

The work: VGG-19 with He weights and biases up to relu5_1, five Gram terms and one content term.  PyTorch gets frozen
weights, rectifiers in place and as many threads; its layouts are NCHW and channels_last, its other ways torch.compile
and bfloat16 autocast.  Every measurement is a process of its own, started without OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE, which hold NumPy's BLAS back where they are set.

* pairs: agreement of value and gradient is checked first; then the peers take turns, A B C … A B C …, after a first
  call that is timed apart; medians.
* memory: peak of the resident memory during a first evaluation, less what was resident after import and loading.
* threads: ours alone with 1, 2, … threads.
* layers: ours alone, each pass over a layer, in GFLOP/s of the direct convolution it stands for.
* large: ours alone at 2048 and 4096.
* transfer: 300 iterations of our L-BFGS at 256×256, on our evaluation and on PyTorch's.

Needs the ``reference`` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

STYLE = {f"relu{block}_1": 0.2 for block in range(1, 6)}
CONTENT = {"relu4_2": 1e-4}
POOLINGS = ("average", "max")
PEERS = ("eager NCHW", "eager channels_last", "compiled", "bf16 autocast")


def problem(size, pooling):
    """Return the network and the content, style and start images."""
    from dataclasses import replace

    import numpy as np

    from vggnumpy import random_network

    rng = np.random.default_rng(0)
    net = random_network("vgg19", rng=rng, pooling=pooling, dtype="float32").without_classifier()
    weights = {name: (w, rng.uniform(-0.1, 0.1, b.shape).astype("f4")) for name, (w, b) in net.weights.items()}
    content, style, x = rng.uniform(0, 255, (3, size, size, 3)).astype("f4")
    return replace(net, weights=weights), content, style, x


def ours(net, content, style):
    """Return our function of an image."""
    from vggnumpy import Objective

    return Objective(net, content, style, CONTENT, STYLE)


def torch_features(net, weights, z):
    """Return PyTorch's features of a preprocessed image, N×C×H×W, at the layers of the losses."""
    import torch

    taps, found = {*STYLE, *CONTENT}, {}
    for layer in net.table:
        if layer.kind == "conv":
            z = torch.nn.functional.conv2d(z, *weights[layer.name], padding=1)
        elif layer.kind == "relu":
            z = z.relu_()
        else:
            z = (
                torch.nn.functional.avg_pool2d(z, 2)
                if layer.method == "average"
                else torch.nn.functional.max_pool2d(z, 2)
            )
        if layer.name in taps:
            found[layer.name] = z
        if len(found) == len(taps):
            break
    return found


def torch_gram(F):
    """Return the Gram matrix of features, C×C, divided by their positions."""
    flat = F.flatten(2)[0]
    return (flat @ flat.T).float() / flat.shape[1]


def torch_targets(net, weights, content, style):
    """Return the content's features and the style's Gram matrices, by layer."""
    P = {k: F.clone() for k, F in torch_features(net, weights, content).items() if k in CONTENT}
    A = {k: torch_gram(F) for k, F in torch_features(net, weights, style).items() if k in STYLE}
    return P, A


def torch_loss(net, weights, z, P, A):
    """Return the value of our objective, written for autograd."""
    found = torch_features(net, weights, z)
    value = sum(w * 0.5 * (found[k] - P[k]).float().square().sum() for k, w in CONTENT.items())
    for k, w in STYLE.items():
        value = value + w / (4 * found[k].shape[1] ** 2) * (torch_gram(found[k]) - A[k]).square().sum()
    return value


def theirs(net, content, style, way):
    """Return PyTorch's function of an image, with the same losses written for autograd."""
    import torch

    layout = torch.contiguous_format if way == "eager NCHW" else torch.channels_last
    weights = {
        name: (torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=layout), torch.from_numpy(b))
        for name, (w, b) in net.weights.items()
    }

    def tensor(image):
        return torch.from_numpy(net.preprocess(image)).permute(2, 0, 1)[None].contiguous(memory_format=layout)

    with torch.no_grad():
        P, A = torch_targets(net, weights, tensor(content), tensor(style))

    def loss(z, P, A):
        return torch_loss(net, weights, z, P, A)

    call = torch.compile(loss) if way == "compiled" else loss

    def fun(image):
        z = tensor(image).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16 autocast"):
            value = call(z, P, A)
        value.backward()
        return float(value.detach()), net.preprocess_backward(z.grad[0].permute(1, 2, 0).contiguous().numpy())

    return fun


def seconds(fun, x):
    """Return how long one call takes."""
    begin = time.perf_counter()
    fun(x)
    return time.perf_counter() - begin


def pairs(size, pooling, rounds):
    """Return for ours and every peer: first call, all later ones, and how far value and gradient are from ours."""
    import numpy as np

    net, content, style, x = problem(size, pooling)
    begin = time.perf_counter()
    funs = {"ours": ours(net, content, style)}
    results = {"ours": {"first": time.perf_counter() - begin + seconds(funs["ours"], x), "times": []}}
    value, gradient = funs["ours"](x)
    for way in PEERS:
        begin = time.perf_counter()
        fun = theirs(net, content, style, way)
        try:
            their_value, their_gradient = fun(x)
        except Exception as error:  # torch.compile needs a C++ compiler
            results[way] = {"missing": str(error).splitlines()[0][:80]}
            continue
        results[way] = {
            "first": time.perf_counter() - begin,
            "value": abs(their_value - value) / value,
            "gradient": float(np.linalg.norm(their_gradient - gradient) / np.linalg.norm(gradient)),
            "times": [],
        }
        if way == "bf16 autocast":  # with 8 bits a maximum often changes its place, and the gradient with it
            assert results[way]["value"] < 0.1, (way, results[way])
        else:  # both round, and where a rectifier's input is almost 0 they may disagree on its sign
            assert results[way]["gradient"] < {"average": 5e-3, "max": 2e-2}[pooling], (way, results[way])
        funs[way] = fun
    for _ in range(rounds):
        for way, fun in funs.items():
            results[way]["times"].append(seconds(fun, x))
    return results


def resident():
    """Return the resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rise(call):
    """Call a function; return what it returns, and how many bytes the resident memory rose meanwhile at its peak."""
    before, peak, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = call()
    done.set()
    watcher.join()
    return result, peak[0] - before


def memory(size, pooling, way):
    """Return how much the resident memory rises above what it is with libraries and weights loaded."""
    net, content, style, x = problem(size, pooling)
    if way == "ours":
        import vggnumpy.engine  # noqa: F401
    else:
        import torch

        torch.nn.functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(3, 3, 3, 3))

    def first():
        fun = ours(net, content, style) if way == "ours" else theirs(net, content, style, way)
        return fun, fun(x)[0]

    (fun, value), nbytes = rise(first)
    result = {"bytes": nbytes, "value": value}
    if way == "ours":
        result["estimate"] = fun._engine.plan.nbytes + sum(P.nbytes for P in fun._targets.values())
    return result


def threads(size, pooling, rounds):
    """Return our median seconds for each number of threads."""
    from vggnumpy.engine import engine_for
    from vggnumpy.engine.threads import cores

    net, _, _, x = problem(size, pooling)
    engines = {n: engine_for(net, STYLE, x.shape, n) for n in range(1, cores() + 1)}
    times = {n: [] for n in engines}

    def evaluate(engine):
        grams, _ = engine.forward(x, STYLE)
        engine.backward({layer: G.matrix * 1e-12 for layer, G in grams.items()})

    for i in range(rounds + 1):
        for n, engine in engines.items():
            taken = seconds(evaluate, engine)
            if i:
                times[n].append(taken)
    return {n: median(taken) for n, taken in times.items()}


def layers(size, pooling, rounds):
    """Return for every pass over a layer: median milliseconds, and GFLOP/s of the convolution it stands for."""
    from vggnumpy.engine import engine_for

    net, _, _, x = problem(size, pooling)
    engine = engine_for(net, STYLE, x.shape)
    times, run = {}, engine._run

    def timed(blocks, body, stage):
        begin = time.perf_counter()
        run(blocks, body, stage)
        direction = "backward" if "backward" in body.__name__ else "forward" if "forward" in body.__name__ else "top"
        times.setdefault((stage.link.conv.name, direction, stage), []).append(time.perf_counter() - begin)

    engine._run = timed
    for _ in range(rounds + 1):
        grams, _ = engine.forward(x, STYLE)
        engine.backward({layer: G.matrix * 1e-12 for layer, G in grams.items()})
    return [
        [
            name,
            direction,
            1e3 * median(taken[1:]),
            18e-9 * s.height * s.width * s.depth * s.channels / median(taken[1:]),
        ]
        for (name, direction, s), taken in times.items()
        if direction != "top"
    ]


def large(size, pooling):
    """Return our seconds for the second evaluation."""
    net, content, style, x = problem(size, pooling)
    fun = ours(net, content, style)
    return {"first": seconds(fun, x), "second": seconds(fun, x)}


def transfer(size, way, iterations):
    """Return seconds and final loss of a descent by our L-BFGS on one side's evaluation."""
    from vggnumpy.optimize import minimize

    net, content, style, _ = problem(size, "average")
    fun = ours(net, content, style) if way == "ours" else theirs(net, content, style, way)
    fun(content)
    begin = time.perf_counter()
    result = minimize(fun, content, maxiter=iterations)
    return {"seconds": time.perf_counter() - begin, "loss": float(result.fun), "evaluations": int(result.nfev)}


def median(values):
    """Return the middle of some numbers."""
    return sorted(values)[len(values) // 2]


def in_a_process(function, *arguments, script=__file__):
    """Call one of a script's functions in a fresh process and return its result."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    command = [sys.executable, script, "--call", json.dumps([function, *arguments])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{function} {arguments} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def answer(call, functions):
    """Do in its process what `in_a_process` asks for: call one of the functions, by its name, and print the result."""
    function, *arguments = json.loads(call)
    print(json.dumps(functions[function](*arguments)))


def print_pairs(size, pooling, results):
    """Print a block of the table."""
    our = median(results["ours"]["times"])
    print(f"\n{size}², {pooling} pooling: seconds, ours / theirs; first call; difference of value and gradient")
    for way, result in results.items():
        if "missing" in result:
            print(f"  {way:20} not measured: {result['missing']}")
            continue
        their = median(result["times"])
        line = f"  {way:20} {their:7.3f}  {our / their:5.2f}   {result['first']:6.2f}"
        print(line + (f"   {result['value']:.0e} {result['gradient']:.0e}" if "value" in result else ""), flush=True)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--poolings", nargs="+", default=POOLINGS)
    parser.add_argument("--parts", nargs="+", default=["pairs", "memory", "threads", "layers", "large", "transfer"])
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer(options.call, globals())
        return
    for size in options.sizes:
        for pooling in options.poolings:
            if "pairs" in options.parts:
                print_pairs(size, pooling, in_a_process("pairs", size, pooling, options.rounds))
            if "memory" in options.parts:
                got = {way: in_a_process("memory", size, pooling, way) for way in ("ours", *PEERS[:2])}
                least = min(got[way]["bytes"] for way in PEERS[:2])
                print(f"{size}², {pooling} pooling: peak memory, MB, of the better layout, and our estimate / measured")
                our, estimate = got["ours"]["bytes"], got["ours"]["estimate"]
                print(
                    f"  ours {our / 1e6:.0f}, PyTorch {least / 1e6:.0f}, ratio {our / least:.2f}; {estimate / our:.2f}"
                )
    if "threads" in options.parts:
        for n, taken in in_a_process("threads", 512, "average", options.rounds).items():
            print(f"{n} threads at 512²: {taken:.3f} s")
    if "layers" in options.parts:
        for name, direction, milliseconds, speed in in_a_process("layers", 512, "average", options.rounds):
            print(f"  {name:8} {direction:8} {milliseconds:7.1f} ms {speed:6.0f} GFLOP/s")
    if "large" in options.parts:
        for size in (2048, 4096):
            print(f"{size}², ours alone:", in_a_process("large", size, "average"), flush=True)
    if "transfer" in options.parts:
        for way in ("ours", "eager channels_last"):
            print(f"300 iterations at 256², {way}:", in_a_process("transfer", 256, way, 300), flush=True)


if __name__ == "__main__":
    main()
