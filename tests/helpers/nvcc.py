"""Kernels compiled by nvcc, for what its assembler says of them."""

import shutil
import subprocess

import emulator
import pytest

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")


def compiled(source, targets, folder):
    """Compile every instance of a source's kernels for some targets, such as "90a"; return what ptxas prints."""
    code = folder / "kernels.cu"
    code.write_text(emulator.instantiation(source), encoding="utf-8")
    chosen = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in targets]
    command = ["nvcc", "-std=c++17", *chosen, "-Xptxas", "-v", "-fatbin", "-o", folder / "out", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr
