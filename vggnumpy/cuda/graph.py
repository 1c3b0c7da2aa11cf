"""A sequence of kernels as one CUDA graph: launched by a single call, with no time lost between them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Recording:
    """Work that only launches kernels, the same every time, from its second call on as one graph.

    The first call does it plainly: that compiles what is to be compiled, which cannot be done while a graph is
    recorded.  The pointers and numbers of all arguments are those of the second call for ever: the work must use no
    memory but such as stays, and allocate none.

    Parameters
    ----------
    xp : module
        ``cupy``.
    """

    def __init__(self, xp: Any):
        self._cuda = xp.cuda
        self._warm = False
        self._graph: Any = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Do the work, in the current stream."""
        if not self._warm:
            work()
            self._warm = True
            return
        if self._graph is None:
            self._graph = self._record(work)
        self._graph.launch(self._cuda.get_current_stream())

    def _record(self, work: Callable[[], None]) -> Any:
        stream = self._cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        with stream:
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # what went wrong first is what is to be told
                    stream.end_capture()
                raise
            return stream.end_capture()
