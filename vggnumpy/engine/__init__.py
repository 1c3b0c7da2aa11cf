"""How a whole evaluation runs fast on a CPU: value and gradient of losses on a network's features.

The operators and losses say what is computed; the engine says in which order and where the numbers lie.  It works
through every map in *blocks* of Winograd tiles, one thread to a block: convolution, bias, rectifier, pooling and the
losses' sums are done while the block is in the cache, and of the map only what is needed later is written.

`find_chain` tells whether a network can be computed this way, `plan_for` lays out the stages and every buffer for one
size, `engine_for` returns what runs that plan.
"""

from vggnumpy.engine.build import engine_for, plan_for
from vggnumpy.engine.chain import find_chain
from vggnumpy.engine.plan import Plan
from vggnumpy.engine.run import Engine
from vggnumpy.engine.threads import one_blas_thread

__all__ = ["Engine", "Plan", "engine_for", "find_chain", "one_blas_thread", "plan_for"]
