"""Dropout on CUDA arrays: the mask is drawn on the host, so that a seed means the same mask everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggnumpy.backend import add_body, array_module
from vggnumpy.ops.bits_cuda import launch_on_bits
from vggnumpy.ops.dropout import DropoutCache, draw, dropout, dropout_backward
from vggnumpy.ops.geometry import check_cotangent


@add_body(dropout, "cuda")
def dropout_cuda(x: Any, rate: float = 0.5, rng: int | np.random.Generator | None = None) -> tuple[Any, DropoutCache]:
    """See `vggnumpy.ops.dropout`."""
    on_host = draw(x.shape, rate, rng)[1]
    cache = on_host._replace(kept=array_module(x).asarray(on_host.kept))
    return _keep(x, cache), cache


@add_body(dropout_backward, "cuda")
def dropout_backward_cuda(dy: Any, cache: DropoutCache) -> Any:
    """See `vggnumpy.ops.dropout_backward`."""
    check_cotangent(dy, cache.shape, "dropout_backward")
    return _keep(dy, cache)


def _keep(values: Any, cache: DropoutCache) -> Any:
    xp = array_module(values)
    values = xp.ascontiguousarray(values)
    out = xp.empty_like(values)
    launch_on_bits("ops/dropout.cu", "keep", values, cache.kept, cache.scale, out)
    return out
