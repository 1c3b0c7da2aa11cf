"""A batch over threads: a fixed number of lanes, so that sums are the same whatever the number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vggnumpy.engine.threads import cores, workers
from vggnumpy.ops.workspace import Workspace

LANES = 4


def over_lanes(count: int, body: Callable[[int, int, Workspace], Any], lanes: int = LANES) -> list[Any]:
    """Call ``body(begin, end, workspace)`` for each lane's share of `count` pictures; return the results in order.

    Sums over the batch are sums over each lane, added in the order of the lanes, and a lane is one thread's work from
    beginning to end: floating-point sums do not depend on the number of threads.
    """
    results: list[Any] = [None] * lanes

    def one(i: int, work: Workspace) -> None:
        results[i] = body(count * i // lanes, count * (i + 1) // lanes, work)

    workers(min(cores(), lanes)).run(lanes, one)
    return results
