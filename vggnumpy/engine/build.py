"""From a network, taps and a size to a plan or an engine, where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vggnumpy.engine.chain import find_chain
from vggnumpy.engine.plan import Plan, make_plan
from vggnumpy.engine.run import Engine
from vggnumpy.engine.threads import cores
from vggnumpy.nets.network import Network


def plan_for(net: Network, taps: Iterable[str], shape: Sequence[int], threads: int | None = None) -> Plan | None:
    """Return the plan for images of one shape, or None if the engine cannot compute the tapped layers.

    Parameters
    ----------
    net : Network
    taps : iterable of str
        Layers where losses sit.
    shape : (H, W, 3) or (N, H, W, 3)
    threads : int, optional
        By default as many as there are cores.

    Raises
    ------
    InputError
        If the image is too small for a pool.
    """
    chain = find_chain(net, taps)
    if chain is None:
        return None
    widths = {link.conv.name: net.weights[link.conv.name][0].shape[2:] for link in chain.links}
    images = 1 if len(shape) == 3 else shape[0]
    size = images, shape[-3], shape[-2]
    return make_plan(chain, widths, size, net.pad_mode, str(net.dtype), threads or cores())


def engine_for(net: Network, taps: Iterable[str], shape: Sequence[int], threads: int | None = None) -> Engine | None:
    """Return an engine for images of one shape, or None; the parameters are those of `plan_for`."""
    plan = plan_for(net, taps, shape, threads)
    return None if plan is None else Engine(net, plan)
