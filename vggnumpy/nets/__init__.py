"""Networks: layer tables and the interpreter that runs them forward and backward."""

from vggnumpy.nets.architectures import ARCHITECTURES, CLASSIFIERS, IMAGE_SIZES, architecture
from vggnumpy.nets.fields import receptive_fields
from vggnumpy.nets.initialize import centre_filters, random_network
from vggnumpy.nets.masks import carry_masks, check_masks
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
    "carry_masks",
    "centre_filters",
    "chain",
    "check_masks",
    "fit_table",
    "random_network",
    "receptive_fields",
]
