"""One evaluation, value and image gradient, against PyTorch on one GPU: milliseconds, ratios, TFLOP/s, memory.

    python tests/benchmarks/gpu_against_torch.py [--sizes 512 1024 2048] [--rounds 20] [--parts check times …]

The work is that of evaluation_against_torch.py: VGG-19 with He weights up to relu5_1, average pooling, five Gram terms
and one content term, from pixels to the pixels' gradient.  Every measurement is a process of its own: what fails, hangs
or does not fit is named and left out, and the others go on.

* check: our gradient in fp32 against float64 by the reference (at most 1e-5), in tf32 and bf16 less strictly, and every
  layout of PyTorch's against ours.  A precision in which ours is wrong is not timed, and the exit code is 1.
* times: ours and PyTorch's eager, CUDA-graphed, compiled, and compiled and graphed evaluations, NCHW and channels_last,
  in fp32, tf32 and bf16; cuDNN chooses its algorithms by measuring.  The peers take turns; medians of events on the
  device; the ratio is ours / the best of PyTorch's.
* layers: each convolution of ours with what is fused into it, and apart from them the losses at each layer: TFLOP/s of
  the products they stand for, the share of the roofline, and PyTorch's convolution of the same layer and direction
  (channels_last, without bias, rectifier and pool).  Ten calls in a CUDA graph, so that no time is lost between them
  and all find in the cache what the call before left there.
* memory: the most that CuPy's pool and PyTorch's allocator have held.
* largest: the largest square of a list that still fits.

At the end it prints the rows for the table in README.md.
Needs a CUDA GPU, CuPy and the ``reference`` extra; without them it says what is missing and exits with 2.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import gpu_parts
from evaluation_against_torch import answer
from gpu_parts import LAYOUTS

PRECISIONS = ("tf32", "bf16", "fp32")
ERRORS = {"fp32": 1e-5, "tf32": 0.05, "bf16": 0.15}  # of our gradient, at most
WAYS = ("eager", "graph", "compiled", "compiled graph")
SIDES = (4096, 6144, 8192, 10240, 12288, 14336, 16384, 18432, 20480)
LIMIT = 900  # seconds for one process


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

    runtime, driver = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    versions = f"CUDA {runtime}, driver {driver}, CuPy {cupy.__version__}, PyTorch {torch.__version__}"
    return f"{datetime.date.today()}, {gpu_parts.device_name()}, {versions}"


def in_a_process(function, *arguments):
    """Return what a function of this file returns in a process of its own, or None if it fails or hangs."""
    command = [sys.executable, __file__, "--call", json.dumps([function, *arguments])]
    # Files, not pipes: those would be waited for until the last worker of torch.compile lets go of them.
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        try:
            code = subprocess.run(command, stdout=said, stderr=complained, timeout=LIMIT).returncode
        except subprocess.TimeoutExpired:
            code = f"ended after {LIMIT} s"
        said.seek(0), complained.seek(0)
        if not code:
            return json.loads(said.read().splitlines()[-1])
        words = complained.read().strip().splitlines() or ["no message"]
    print(f"  {function} {arguments} failed ({code}): {words[-1][:150]}", flush=True)
    return None


def largest(way, precision):
    """Return the largest side that fits."""
    found = 0
    for side in SIDES:
        if in_a_process("memory", side, precision, way) is None:
            break
        found = side
    return found


def all_times(size, precision, rounds):
    """Return what `times` does; where one way brings down the process, each gets one of its own, with ours."""
    peers = [(way, layout) for layout in LAYOUTS for way in WAYS]
    found = in_a_process("times", size, precision, rounds, peers)
    if found is not None:
        return found
    found = {}
    for peer in peers:
        got = in_a_process("times", size, precision, rounds, [peer]) or {", ".join(peer): "its process failed"}
        found |= got
    return found


def best_of(found):
    """Return (milliseconds, name) of the best of PyTorch's, and our milliseconds; None for what there is not."""
    measured = [(value, name) for name, value in found.items() if not isinstance(value, str) and name != "ours"]
    return min(measured, default=None), found.get("ours")


def print_times(size, precision, found):
    """Print one comparison, best first."""
    best, own = best_of(found)
    ratio = f"ours {own / best[0]:.2f} × the best of PyTorch's" if best and own else "nothing to compare"
    print(f"{size}², {precision}: {ratio}")
    for value, name in sorted((value, name) for name, value in found.items() if not isinstance(value, str)):
        print(f"  {name:28} {value:9.3f} ms")
    for name, value in found.items():
        if isinstance(value, str):
            print(f"  {name:28} not measured: {value}")
    sys.stdout.flush()


def print_layers(found):
    """Print the kernels, and what they take together."""
    for name, spent, speed, share, peer in found:
        theirs = "" if peer is None else f"; cuDNN {peer:.0f}"
        print(f"  {name:24} {spent:8.3f} ms {speed:6.0f} TFLOP/s, {share:4.0%} of the roofline{theirs}")
    print(f"  {'together':24} {sum(row[1] for row in found):8.3f} ms", flush=True)


def checked(precisions, size=256):
    """Return the precisions in which our gradient is right, and print all errors."""
    good = []
    for precision in precisions:
        found = in_a_process("check", size, precision) or {}
        for name, error in found.items():
            print(f"gradient, {precision}, {name}: {error if isinstance(error, str) else f'{error:.1e}'}", flush=True)
        if found.get("ours", float("inf")) <= ERRORS[precision]:
            good.append(precision)
        else:
            print(f"{precision}: ours is wrong, and is not timed")
    return good


def row(device, size, precision, found, held):
    """Return a row of README.md's table."""
    best, own = best_of(found)
    cells = [device, f"{size}², {precision}", f"{own:.3f}" if own else "", f"{best[0]:.3f} ({best[1]})" if best else ""]
    cells += [f"{own / best[0]:.2f}" if own and best else ""]
    peer = min((held[way] for way in LAYOUTS if held.get(way)), default=None)
    return " | ".join(["", *cells, f"{held['ours'] / peer:.2f}" if held.get("ours") and peer else "", ""]).strip()


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--parts", nargs="+", default=["check", "times", "layers", "memory", "largest"])
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.call:
        answer(options.call, vars(gpu_parts))
        return 0
    lacking = missing()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    where = machine()
    print(where, flush=True)
    good, rows = checked(options.precisions) if "check" in options.parts else options.precisions, []
    for precision in good:
        for size in options.sizes:
            found, held = {}, {}
            if "times" in options.parts:
                found = all_times(size, precision, options.rounds)
                print_times(size, precision, found)
            if "memory" in options.parts:
                held = {way: in_a_process("memory", size, precision, way) for way in ("ours", *LAYOUTS)}
                known = {way: f"{count / 1e6:.0f} MB" for way, count in held.items() if count is not None}
                print(f"{size}², {precision}, peak memory: {known}", flush=True)
            if "layers" in options.parts:
                print_layers(in_a_process("layers", size, precision, options.rounds) or [])
            rows.append(row(", ".join(where.split(", ")[:2]), size, precision, found, held))
        if "largest" in options.parts:
            sides = {way: largest(way, precision) for way in ("ours", "channels_last")}
            print(f"{precision}, largest side: {sides}", flush=True)
    print("\n".join(["", *rows]))
    return 0 if len(good) == len(options.precisions) else 1


if __name__ == "__main__":
    sys.exit(main())
