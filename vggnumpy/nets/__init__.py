"""Networks: layer tables and the interpreter that runs them forward and backward."""

from vggnumpy.nets.architectures import ARCHITECTURES, CLASSIFIERS, IMAGE_SIZES, architecture
from vggnumpy.nets.initialize import centre_filters, random_network
from vggnumpy.nets.network import Inspection, Network, Record, Tape
from vggnumpy.nets.tables import Layer, chain, fit_table

__all__ = [
    "ARCHITECTURES",
    "CLASSIFIERS",
    "IMAGE_SIZES",
    "Inspection",
    "Layer",
    "Network",
    "Record",
    "Tape",
    "architecture",
    "centre_filters",
    "chain",
    "fit_table",
    "random_network",
]
