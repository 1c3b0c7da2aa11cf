"""Training classifiers of small pictures with hand-written gradients of every weight.

`Model` computes the loss and its gradient for every weight, `vggnumpy.training.loop.Trainer` runs passes over the
pictures with one of the optimisers, writes a checkpoint after each and goes on from one exactly where it was left, and
`vggnumpy.training.fold.to_network` makes a `Network` for everything else of the result.
"""

from vggnumpy.training.model import Model

__all__ = ["Model"]
