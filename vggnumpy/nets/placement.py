"""Moving a network to a device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vggnumpy.backend import NUMPY, Backend, backend_of, to_host
from vggnumpy.nets.network import Network


def network_on(net: Network, backend: Backend) -> Network:
    """Return the same network with its weights as arrays of a backend, such as `select_device` returns.

    On a device they are in C order, whatever they were: kernels know no strides.

    Parameters
    ----------
    net : Network
    backend : Backend

    Returns
    -------
    Network
        `net` itself if its weights are there already.
    """
    if all(isinstance(part, backend.array_type) for parts in net.weights.values() for part in parts):
        return net
    move = to_host if backend is NUMPY else lambda part: backend.xp.asarray(np.ascontiguousarray(to_host(part)))
    return replace(net, weights={name: tuple(move(part) for part in parts) for name, parts in net.weights.items()})


def network_backend(net: Network) -> Backend:
    """Return where a network's weights are; of one without weights, NumPy."""
    parts = [part for parts in net.weights.values() for part in parts]
    return backend_of(*parts) if parts else NUMPY
