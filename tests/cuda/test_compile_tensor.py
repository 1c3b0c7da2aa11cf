"""The tensor-core kernels compile for their GPUs, in the registers that their blocks count on and without spills."""

import re

import emulator
import pytest
from nvcc import compiled, needs_nvcc

from vggnumpy.backend import compile_source

# Source, targets, threads a block × blocks a multiprocessor: its 65536 registers go to so many threads.
KERNELS = [
    ("ops/conv_mma.cu", ("80", "90", "120"), 256 * 2),
    ("losses/gram_mma.cu", ("80", "90", "120"), 256 * 2),
    ("ops/conv_first.cu", ("80", "90", "120"), 256 * 2),
    ("ops/conv_wgmma.cu", ("90a",), 384),
]


@needs_nvcc
@pytest.mark.parametrize(("source", "targets", "threads"), KERNELS)
def test_compiles_without_spills(source, targets, threads, tmp_path):
    said = compiled(source, targets, tmp_path)
    # ptxas tells of serialised products and ignored register counts as information
    for word in ("warning", "Potential Performance Loss", "setmaxnreg"):
        assert word not in said
    kernels = len(targets) * len(emulator.instances(source))
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
    assert spills == [("0", "0", "0")] * kernels
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", said)]
    assert len(registers) == kernels
    assert max(registers) <= 65536 // threads // 8 * 8


@pytest.mark.parametrize(("source", "targets", "threads"), KERNELS)
def test_cupy_compiles_them_without_a_gpu(source, targets, threads):
    pytest.importorskip("cupy")
    for expression in emulator.instances(source):
        cubin, name = compile_source(source, expression, targets[-1])
        assert len(cubin) > 1000 and expression.partition("<")[0] in name
