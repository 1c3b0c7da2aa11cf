"""Training classifiers of small pictures with hand-written gradients of every weight.

`build` turns a layer table into the parts of a `Model`; `train` runs passes over the pictures with one of the
optimisers, writes a checkpoint after each, and goes on from one exactly where it was left; `fold` makes a `Network` for
everything else of the result.
"""

from vggnumpy.training.model import Model

__all__ = ["Model"]
