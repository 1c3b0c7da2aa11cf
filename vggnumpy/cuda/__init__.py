"""What every CUDA kernel and its launcher builds on, whichever room it lives in.

A kernel lives in a ``.cu`` file beside the operator or loss it computes, such as ``vggnumpy/ops/conv.cu``; the Python
file with the same name and ``_cuda`` at its end launches it.  Here are the headers that several of them include
(``simt.cuh``; ``ptx.cuh``, ``maps.cuh`` and ``mma_step.cuh`` for tensor cores), what launchers share (`launch`), the
precisions of tensor cores (`precision`) and the recording of a CUDA graph (`graph`).  Nothing here needs a GPU or CuPy
to be imported: `vggnumpy.backend` compiles, for the device at hand.
"""
