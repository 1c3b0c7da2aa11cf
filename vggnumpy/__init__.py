"""Neural style transfer on raw NumPy, every gradient derived by hand, open and checked.

>>> import numpy as np
>>> import vggnumpy as vn
>>> net = vn.random_network("vgg16")
>>> image = np.full((32, 48, 3), 128, np.float32)
>>> features, tape = net.forward(image, ["relu2_1"])
>>> features["relu2_1"].shape
(16, 24, 128)
>>> dimage = net.backward(tape, {"relu2_1": features["relu2_1"]})
>>> dimage.shape
(32, 48, 3)

See `ops`, `losses`, `nets`, `Objective`, `minimize` and `transfer`.
"""

from vggnumpy import losses, ops
from vggnumpy.errors import InputError
from vggnumpy.formats.load import load_network
from vggnumpy.nets import Network, random_network
from vggnumpy.objective import Objective
from vggnumpy.optimize import minimize
from vggnumpy.styles import eigengram, mean_style, mix_styles, style_of
from vggnumpy.terms import LayerTerm
from vggnumpy.transfer import transfer

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "LayerTerm",
    "Network",
    "Objective",
    "eigengram",
    "load_network",
    "losses",
    "mean_style",
    "minimize",
    "mix_styles",
    "ops",
    "random_network",
    "style_of",
    "transfer",
]
