"""Reading the package's CUDA C sources.

A kernel lives in a ``.cu`` file beside the operator it computes, such as ``vggnumpy/ops/conv.cu``; the Python file with
the same name and ``_cuda`` at its end launches it, and ``.cuh`` files there hold what several sources share.  Nothing
here needs a GPU or CuPy: `vggnumpy.backend` compiles, for the device at hand.
"""

from vggnumpy.cuda.source import read_source

__all__ = ["read_source"]
