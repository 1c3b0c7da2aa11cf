"""Every plain kernel compiles for the GPUs of the last years, and none spills registers to memory."""

import re
import shutil
import subprocess

import emulator
import pytest

SOURCES = ["ops/conv.cu", "ops/pool.cu", "ops/relu.cu", "ops/prelu.cu", "ops/dropout.cu"]
TARGETS = ["sm_80", "sm_90", "sm_120"]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize("source", SOURCES)
def test_compiles_without_spills(source, tmp_path):
    code = tmp_path / "kernels.cu"
    code.write_text(emulator.instantiation(source), encoding="utf-8")
    targets = [f"-gencode=arch=compute_{target[3:]},code={target}" for target in TARGETS]
    command = ["nvcc", "-std=c++17", *targets, "-Xptxas", "-v", "-fatbin", "-o", tmp_path / "out", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for target in TARGETS:
        compiled = re.findall(rf"Compiling entry function '(\w+)' for '{target}'", done.stderr)
        assert len(set(compiled)) == len(emulator.instances(source))
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(spills) >= len(TARGETS) * len(emulator.instances(source))
    assert set(spills) == {("0", "0")}
