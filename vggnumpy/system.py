"""What the machine has: for ``vggnumpy info``, and to refuse in time what cannot fit."""

from __future__ import annotations

import importlib.util
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

# Variables that hold OpenBLAS to an older processor or a smaller cache; measured to halve NumPy's matrix products.
_THROTTLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_AVX512_CORES = ("SkylakeX", "Cooperlake", "SapphireRapids", "Zen")


def describe_system() -> dict[str, Any]:
    """Return the processor, memory, BLAS library, threads and array modules, and advice on what slows them down.

    Returns
    -------
    dict
        JSON-ready; ``advice`` is a list of sentences, empty if nothing is amiss.
    """
    blas = [
        {key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
        for pool in _blas_pools()
    ]
    processor = _processor()
    return {
        "processor": processor["name"],
        "instructions": processor["instructions"],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "blas": blas,
        "arrays": {"numpy": True, "cupy": importlib.util.find_spec("cupy") is not None},
        "advice": _advice(blas, processor["instructions"]),
    }


def available_memory() -> int | None:
    """Return the bytes this process may still take, or None where the system does not say (not Linux)."""
    limits = []
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")))
    with suppress(OSError, ValueError):  # a container's limit, or "max"; its use counts caches, so it says little
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with suppress(OSError, ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            limits.append(limit - used)
    return min(limits, default=None)


def _blas_pools() -> list[dict[str, Any]]:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # loads the library if nothing has used it yet
    return [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]


def _processor() -> dict[str, Any]:
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = value
                break
    wanted = ("sse4_2", "avx2", "fma", "avx512f", "avx512_bf16")
    return {"name": name, "instructions": [flag for flag in wanted if flag in flags.split()]}


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _advice(blas: list[dict[str, Any]], instructions: list[str]) -> list[str]:
    set_here = [name for name in _THROTTLES if os.environ.get(name)]
    advice = [f"unset {' and '.join(set_here)}: they hold the matrix products back"] if set_here else []
    cores = [str(pool["architecture"]) for pool in blas if pool["architecture"]]
    if "avx512f" in instructions and cores and not set_here and not any(core in _AVX512_CORES for core in cores):
        advice.append(f"the BLAS library works as on {cores[0]} but the processor has AVX-512: install a newer NumPy")
    return advice
