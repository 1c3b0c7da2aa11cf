"""The one scheduler: blocks of work over threads, with BLAS single-threaded inside."""

from __future__ import annotations

import contextvars
import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from vggnumpy.ops.workspace import Workspace


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # looks through all loaded libraries, which takes milliseconds: once


def one_blas_thread() -> Any:
    """Return a context in which BLAS computes in the calling thread alone.

    Not for the blocks only: a thread of OpenBLAS that has helped with a product, or with a dot product between two
    passes, spins for a while before it sleeps, and takes a core from ours: 40 ms of an evaluation's 370 at 256×256.
    """
    return _controller().limit(limits=1, user_api="blas")


class Workers:
    """Threads with a workspace each.

    Parameters
    ----------
    threads : int
    """

    def __init__(self, threads: int):
        self.threads = threads
        self.workspaces = [Workspace() for _ in range(threads)]
        self._busy = threading.RLock()  # a block may have its products shared
        self._pool = ThreadPoolExecutor(threads, "vggnumpy") if threads > 1 else None

    def run(self, count: int, body: Callable[[int, Workspace], None]) -> None:
        """Call ``body(i, workspace)`` for i = 0 … count − 1, each thread taking the next i when it is free.

        After an exception, Ctrl-C included, no new block is begun and those at work are waited for, so that nothing
        writes to buffers after this has returned.
        """
        with self._busy, one_blas_thread():
            if self._pool is None or count == 1:
                for i in range(count):
                    body(i, self.workspaces[0])
                return
            stop = threading.Event()
            numbers = itertools.count()  # taking the next is atomic in CPython

            def work(workspace: Workspace) -> None:
                try:
                    for i in numbers:
                        if i >= count or stop.is_set():
                            return
                        body(i, workspace)
                except BaseException:
                    stop.set()
                    raise

            # Each in the caller's context, where numpy.errstate says what becomes of an overflow.
            futures = [
                self._pool.submit(contextvars.copy_context().run, work, workspace)
                for workspace in self.workspaces[:count]
            ]
            try:
                for future in futures:
                    future.result()
            finally:
                stop.set()
                wait(futures)

    def multiply(self, A: np.ndarray, B: np.ndarray, out: np.ndarray) -> None:
        """Compute n products of matrices, A n×p×q and B n×q×r, each thread some of them.

        For a map that is only one block: so every thread reads its part of the filters only, where with more and
        smaller blocks each would read them all.  Measured, 64 tiles of 512 channels on two threads take half the time
        of one, and with two blocks of 32 tiles three quarters.
        """
        parts = [slice(len(A) * i // self.threads, len(A) * (i + 1) // self.threads) for i in range(self.threads)]

        def some(i: int, work: Workspace) -> None:
            np.matmul(A[parts[i]], B[parts[i]], out=out[parts[i]])

        self.run(self.threads, some)


class InOrder:
    """Calls that must happen in the order of their numbers, whichever thread is ready first.

    Floating-point sums depend on their order; with this they are the same to the last bit for any number of threads.
    A call that comes early is kept and made by the thread that fills the gap.
    """

    def __init__(self) -> None:
        self._next, self._early, self._lock = 0, dict[int, Callable[[], None]](), threading.Lock()

    def __call__(self, number: int, action: Callable[[], None]) -> None:
        """Make call `number`, now or when all before it have been made."""
        with self._lock:
            self._early[number] = action
            while self._next in self._early:
                self._early.pop(self._next)()
                self._next += 1


@functools.cache
def workers(threads: int) -> Workers:
    """Return the threads and their buffers, which all engines share."""
    return Workers(threads)
