"""The tensor-core kernels compile for their GPUs, in the registers that their blocks count on and without spills."""

import re
import shutil
import subprocess

import emulator
import pytest

# Source, targets, threads a block × blocks a multiprocessor: its 65536 registers go to so many threads.
KERNELS = [
    ("ops/conv_mma.cu", ("80", "90", "120"), 256 * 2),
    ("losses/gram_mma.cu", ("80", "90", "120"), 256 * 2),
    ("ops/conv_first.cu", ("80", "90", "120"), 256 * 2),
    ("ops/conv_wgmma.cu", ("90a",), 384),
]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize(("source", "targets", "threads"), KERNELS)
def test_compiles_without_spills(source, targets, threads, tmp_path):
    code = tmp_path / "kernels.cu"
    code.write_text(emulator.instantiation(source), encoding="utf-8")
    chosen = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in targets]
    command = ["nvcc", "-std=c++17", *chosen, "-Xptxas", "-v", "-fatbin", "-o", tmp_path / "out", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # ptxas tells of serialised products and ignored register counts as information
    for word in ("warning", "Potential Performance Loss", "setmaxnreg"):
        assert word not in done.stderr
    kernels = len(targets) * len(emulator.instances(source))
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills == [("0", "0", "0")] * kernels
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", done.stderr)]
    assert len(registers) == kernels
    assert max(registers) <= 65536 // threads // 8 * 8
