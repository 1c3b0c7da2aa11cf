"""Neural style transfer on raw NumPy, every gradient derived by hand, open and checked."""

from vggnumpy import losses, ops
from vggnumpy.errors import InputError
from vggnumpy.nets import Network, random_network
from vggnumpy.objective import Objective

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Network",
    "Objective",
    "losses",
    "ops",
    "random_network",
]
