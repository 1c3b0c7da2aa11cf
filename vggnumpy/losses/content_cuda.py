"""The content loss on a GPU, in the precision of the tensor-core kernels: the host's side of content.cu.

A part for the engine: every buffer is given by the caller, nothing is allocated, one kernel is launched for each call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import backend_of
from vggnumpy.cuda.launch import THREADS, blocks
from vggnumpy.cuda.precision import check_array, map_dtype

_BLOCKS = 1024  # at most: enough for every GPU's multiprocessors several times over


def content_parts(entries: int) -> int:
    """Return how many parts Σ (F − P)² comes in: the size of `squares`."""
    return min(_BLOCKS, blocks(entries // 4))


def content_difference(
    F: Any, P: Any, precision: str, *, factor: float = 0.0, out: Any = None, added: Any = None, squares: Any = None
) -> None:
    """Compute parts of Σ (F − P)², the derivative 2 · factor · (F − P) (+ added), or both.

    Parameters
    ----------
    F, P : array, …×C, of `map_dtype`
        Features and target; C is a multiple of 4.
    precision : {"fp32", "tf32", "bf16"}
    factor : float
        k of `vggnumpy.losses.content`.
    out : array of F's shape, optional
        Written: the derivative; may be `F` or `added`.
    added : array of F's shape, optional
    squares : array of `content_parts`, float64, optional
        Written: their sum is Σ (F − P)².

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    dtype = map_dtype(precision)
    for name, array in (("F", F), ("P", P), ("out", out), ("added", added)):
        if array is not None:
            check_array(name, array, F.shape, dtype)
    parts = content_parts(F.size)
    if squares is not None:
        check_array("squares", squares, (parts,), "float64")
    if F.shape[-1] % 4:
        raise ValueError(f"the number of channels must be a multiple of 4, got {F.shape[-1]}")
    compile_kernel = backend_of(F).kernel
    assert compile_kernel is not None  # a launcher is called with CUDA arrays only
    kernel = compile_kernel("losses/content.cu", f"content_difference<{'bf16' if precision == 'bf16' else 'float'}>")
    arguments = (F, P, np.int64(F.size // 4), np.float32(2 * factor), added, out, squares)
    kernel((parts,), (THREADS,), arguments)
