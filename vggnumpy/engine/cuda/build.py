"""From a network, losses and a size to a plan or an engine on a GPU, where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vggnumpy.cuda.launch import Device, current_device
from vggnumpy.engine.chain import Chain, find_chain
from vggnumpy.engine.cuda.plan import CudaPlan, make_cuda_plan
from vggnumpy.engine.cuda.run import CudaEngine
from vggnumpy.errors import InputError
from vggnumpy.nets.network import Network
from vggnumpy.nets.placement import network_backend

TENSOR_CORES = 80  # the compute capability, 8.0, from which on GPUs have what the kernels use (cp.async)


def find_cuda_chain(net: Network, taps: Iterable[str]) -> Chain | None:
    """Return how the tapped layers are computed, or None if the tensor-core kernels do not compute them.

    They compute a chain, see `vggnumpy.engine.find_chain`, of a float32 network that begins with a 3×3 convolution of
    three channels, pads with zeros, and has a multiple of 16 channels everywhere else.
    """
    chain = find_chain(net, taps) if net.dtype == "float32" else None
    if chain is None or chain.head:
        return None
    for number, link in enumerate(chain.links):
        depth, channels = net.weights[link.conv.name][0].shape[2:]
        if channels % 16 or (depth % 16 if number else depth != 3) or (link.conv.pad_mode or net.pad_mode) != "zero":
            return None
    return chain


def cuda_plan_for(
    net: Network,
    grams: Iterable[str],
    contents: Iterable[str],
    shape: Sequence[int],
    precision: str,
    device: Device,
) -> CudaPlan | None:
    """Return the plan for images of one shape, or None if the tensor-core kernels do not compute the tapped layers.

    Parameters
    ----------
    net : Network
        Its weights may be on the host.
    grams, contents : iterable of str
        Layers with Gram and with content losses.
    shape : (H, W, 3) or (N, H, W, 3)
    precision : {"fp32", "tf32", "bf16"}
    device : Device

    Raises
    ------
    InputError
        If the image is too small for a pool, or the GPU is too old for the precision.
    """
    if device.capability < TENSOR_CORES:
        if precision != "fp32":
            raise InputError(
                f"precision {precision} needs a GPU of compute capability 8.0 or newer; use precision fp32"
            )
        return None
    grams, contents = frozenset(grams), frozenset(contents)
    chain = find_cuda_chain(net, grams | contents)
    if chain is None:
        return None
    widths = {link.conv.name: net.weights[link.conv.name][0].shape[2:] for link in chain.links}
    size = 1 if len(shape) == 3 else shape[0], shape[-3], shape[-2]
    return make_cuda_plan(chain, widths, size, grams, contents, precision, device)


def cuda_engine_for(
    net: Network, grams: Iterable[str], contents: Iterable[str], shape: Sequence[int], precision: str = "fp32"
) -> CudaEngine | None:
    """Return an engine for images of one shape on the current GPU, where the network's weights are, or None.

    The parameters are those of `cuda_plan_for`.
    """
    plan = cuda_plan_for(net, grams, contents, shape, precision, current_device(network_backend(net).xp))
    return None if plan is None else CudaEngine(net, plan)
