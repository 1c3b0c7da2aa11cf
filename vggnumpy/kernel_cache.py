"""Compiled kernels kept on disk, in CuPy's own folder, so that only the first process has to compile them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vggnumpy.errors import InputError
from vggnumpy.files import atomic_path

Compiled = tuple[bytes, str]
"""The code for one architecture (a cubin), and the kernel's name in it."""


def cache_folder() -> Path:
    """Return where CuPy keeps its kernels: ``CUPY_CACHE_DIR``, by default ``~/.cupy/kernel_cache``."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or "~/.cupy/kernel_cache").expanduser()


def compiled_once(compile_: Callable[[], Compiled], *key: str) -> Compiled:
    """Return what was compiled from this key before, by any process, or compile and keep it.

    A file that is damaged is compiled anew and replaced, and where none can be written nothing is kept.

    Parameters
    ----------
    compile_ : callable
    *key : str
        All that the result depends on: source with its headers, name, options, the compiler's version.
    """
    path = cache_folder() / f"vggnumpy_{_digest(chr(0).join(key).encode())}.cubin"
    with suppress(OSError, ValueError):
        return _unpacked(path.read_bytes())
    code, name = compile_()
    with suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(_packed(code, name))
    return code, name


def _packed(code: bytes, name: str) -> bytes:
    """Return a file: the digest of what follows, the name, the code."""
    rest = name.encode() + b"\n" + code
    return _digest(rest).encode() + b"\n" + rest


def _unpacked(file: bytes) -> Compiled:
    digest, _, rest = file.partition(b"\n")
    if digest != _digest(rest).encode():
        raise ValueError("the file is damaged")
    name, _, code = rest.partition(b"\n")
    return code, name.decode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
