"""Every plain kernel compiles for the GPUs of the last years, and none spills registers to memory."""

import re
import subprocess
import sys
from pathlib import Path

import emulator
import pytest
from nvcc import compiled, needs_nvcc

import vggnumpy
from vggnumpy.backend import compile_source
from vggnumpy.sources import read_source

SOURCES = ["ops/conv.cu", "ops/pool.cu", "ops/relu.cu", "ops/prelu.cu", "ops/dropout.cu", "ops/conv_top.cu"]
SOURCES += ["losses/content.cu", "engine/cuda/ends.cu"]
TARGETS = ("80", "90", "120")


@needs_nvcc
@pytest.mark.parametrize("source", SOURCES)
def test_compiles_without_spills(source, tmp_path):
    said = compiled(source, TARGETS, tmp_path)
    for target in TARGETS:
        kernels = re.findall(rf"Compiling entry function '(\w+)' for 'sm_{target}'", said)
        assert len(set(kernels)) == len(emulator.instances(source))
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    assert len(spills) >= len(TARGETS) * len(emulator.instances(source))
    assert set(spills) == {("0", "0")}


@pytest.mark.parametrize("source", SOURCES)
def test_cupy_compiles_them_without_a_gpu(source):
    pytest.importorskip("cupy")
    for expression in emulator.instances(source):
        cubin, name = compile_source(source, expression, "90a")
        assert len(cubin) > 1000 and expression.partition("<")[0] in name


def test_what_does_not_compile_says_why():
    pytest.importorskip("cupy")
    with pytest.raises(RuntimeError, match=r"no_such<float> of ops/relu\.cu does not compile for sm_80"):
        compile_source("ops/relu.cu", "no_such<float>", "80")


def test_a_source_holds_what_it_includes():
    lines = read_source("ops/relu.cu").splitlines()
    assert lines[0] == '#line 1 "vggnumpy/ops/relu.cu"' and not any(line.startswith("#include") for line in lines)
    at = lines.index('#line 1 "vggnumpy/cuda/simt.cuh"')
    assert any("struct Octet {" in line for line in lines[at:])
    # What follows the header has the number that it has in its own file.
    own = (Path(vggnumpy.__file__).parent / "ops/relu.cu").read_text(encoding="utf-8").splitlines()
    (back,) = [i for i, line in enumerate(lines[1:], start=1) if line.endswith('ops/relu.cu"')]
    assert lines[back + 1 :] == own[int(lines[back].split()[1]) - 1 :]


def test_a_source_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        read_source("ops/nothing.cu")


def test_every_source_is_shipped(tmp_path):
    package = Path(vggnumpy.__file__).parent
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=package.parent, check=True, capture_output=True)
    own, shipped = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*.cu*")}
        for folder in (package, tmp_path / "vggnumpy")
    )
    assert set(SOURCES) < own == shipped
