"""How a whole evaluation runs fast on a CPU: value and gradient of losses on a network's features.

The operators and losses say what is computed; the engine says in which order and where the numbers lie.  It works
through every map in *blocks* of Winograd tiles, one thread to a block: convolution, bias, rectifier, pooling and the
losses' sums are done while the block is in the cache, and of the map only what is needed later is written.

`find_chain` tells whether a network can be computed this way, `make_plan` lays out the stages and every buffer for one
size, `Engine` runs the plan.
"""

from vggnumpy.engine.chain import Chain, find_chain
from vggnumpy.engine.plan import Plan, make_plan
from vggnumpy.engine.run import Engine

__all__ = ["Chain", "Engine", "Plan", "find_chain", "make_plan"]
