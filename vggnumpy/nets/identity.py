"""Which network a layer's features come from: a digest, so that numbers of one are not compared with another's."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from vggnumpy.backend import to_host
from vggnumpy.nets.network import LayerKey, Network
from vggnumpy.nets.tables import INPUT, table_to_dicts


def features_digest(net: Network, layer: LayerKey) -> str:
    """Return the SHA-256 of everything that decides a layer's features of a given image.

    Hashed are, in this order: a JSON text of the channel order, the padding, the mean, the scale and the rows of the
    layer table that lead to the layer, with a zero byte after it; then for each of these rows its arrays, each as a
    text of dtype and shape with a zero byte after it and its numbers, little-endian in C order.  Two networks that are
    alike up to the layer have the same digest there, whatever they are called and whatever follows; another pooling, or
    the same weights in another dtype, have not.

    Raises
    ------
    InputError
        If the network has no such layer.
    """
    needed = {net.layer_name(layer)}
    rows = []
    for row in reversed(net.table):
        if row.name in needed:
            rows.append(row)
            needed |= set(row.inputs) - {INPUT}
    rows.reverse()
    facts = [net.channel_order, net.pad_mode, list(map(float, net.mean)), list(map(float, net.scale))]
    digest = hashlib.sha256(json.dumps([*facts, table_to_dicts(tuple(rows))]).encode() + b"\0")
    for row in rows:
        for part in net.weights.get(row.name, ()):
            array = np.ascontiguousarray(to_host(part))
            digest.update(" ".join([array.dtype.name, *map(str, array.shape)]).encode() + b"\0")
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()
