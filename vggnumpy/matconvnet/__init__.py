"""MatConvNet's functions, for those who come from MATLAB: its names, order of arguments and order of axes.

A thin layer over `vggnumpy.ops`.  Data are H×W×C×N (or H×W×C), filters H×W×C×K, single or double throughout.  A
function that is given ``dzdy`` returns derivatives; options are keywords; ``[]`` is None, or an array of size 0; where
MATLAB would return it, None is returned.  Counting follows Python: ``res[i]`` is MATLAB's ``res(i+1)``.

    from vggnumpy.matconvnet import read_mat, vl_simplenn

    net = read_mat("imagenet-vgg-verydeep-19.mat")
    x = image.astype("float32") - net.meta["normalization"]["averageImage"].astype("float32")
    res = vl_simplenn(net, x, mode="test")
"""

from vggnumpy.formats.mat_file import SimpleNet, read_mat
from vggnumpy.formats.simplenn import simplenn
from vggnumpy.matconvnet.blocks import (
    vl_nnbnorm,
    vl_nndropout,
    vl_nnnormalize,
    vl_nnpool,
    vl_nnrelu,
    vl_nnsoftmax,
    vl_nnsoftmaxloss,
)
from vggnumpy.matconvnet.conv import vl_nnconv, vl_nnconvt
from vggnumpy.matconvnet.display import LayerInfo, simplenn_info, vl_simplenn_display
from vggnumpy.matconvnet.evaluate import Result, vl_simplenn
from vggnumpy.matconvnet.invert import Inversion, invert_nn, tv
from vggnumpy.matconvnet.tidy import vl_simplenn_tidy

load = read_mat

__all__ = [
    "Inversion",
    "LayerInfo",
    "Result",
    "SimpleNet",
    "invert_nn",
    "load",
    "read_mat",
    "simplenn",
    "simplenn_info",
    "tv",
    "vl_nnbnorm",
    "vl_nnconv",
    "vl_nnconvt",
    "vl_nndropout",
    "vl_nnnormalize",
    "vl_nnpool",
    "vl_nnrelu",
    "vl_nnsoftmax",
    "vl_nnsoftmaxloss",
    "vl_simplenn",
    "vl_simplenn_display",
    "vl_simplenn_tidy",
]
