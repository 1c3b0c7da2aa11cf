"""A whole evaluation on a GPU's tensor cores: value and gradient of Gram and content losses on a chain's features.

The launchers of `vggnumpy.ops` and `vggnumpy.losses` run one kernel each; here is which of them in which order, and
where every number lies: in one block of memory that is taken once.  From the second evaluation on all kernels are one
CUDA graph, and nothing waits for the device.

Precision, in bits of mantissa as they are stored, of which float32 has 23:

========= ================================ ============================ ==============================
precision products                         features and filters         relative error of the gradient
========= ================================ ============================ ==============================
``fp32``  three of tf32 parts: 21 bits     float32                      1.3e-7 / 2.5e-7
``tf32``  factors rounded to 10 bits       float32                      0.9 % / 4.2 %
``bf16``  exact                            7 bits, in half the memory   2.5 % / 11–12 %
========= ================================ ============================ ==============================

The errors are those of the image's gradient for average / max pooling, VGG-19 to conv5_1 with He weights, Gram and
content losses, 96×96, against float64.  They were computed on a CPU that imitates the arithmetic, not on a GPU.  Most
of the error of tf32 and bf16 is rectifiers and maxima that decide otherwise: the cosine to the true gradient was
0.99996 / 0.9991 in tf32, 0.9997 / 0.993 in bf16.

`find_cuda_chain` tells whether a network can be computed this way, `cuda_plan_for` lays out the stages and every buffer
for one size, `cuda_engine_for` returns what runs that plan.
"""

from vggnumpy.engine.cuda.build import cuda_engine_for, cuda_plan_for, find_cuda_chain
from vggnumpy.engine.cuda.losses import content_losses, gram_losses
from vggnumpy.engine.cuda.plan import CudaPlan
from vggnumpy.engine.cuda.run import CudaEngine

__all__ = [
    "CudaEngine",
    "CudaPlan",
    "content_losses",
    "cuda_engine_for",
    "cuda_plan_for",
    "find_cuda_chain",
    "gram_losses",
]
