"""Networks in files: the HDF5 weights file, and the readers that originals are converted from."""

from vggnumpy.formats.load import find_weights, load_network
from vggnumpy.formats.weights import read_weights, write_weights

__all__ = [
    "find_weights",
    "load_network",
    "read_weights",
    "write_weights",
]
