"""The digest of what a layer's features are computed with."""

from dataclasses import replace

import numpy as np
import pytest
from small_styles import small_chain

from vggnumpy.errors import InputError
from vggnumpy.nets.identity import features_digest

NET = small_chain()


def changed(layer, factor):
    weights = dict(NET.weights)
    weights[layer] = (weights[layer][0] * np.float32(factor), *weights[layer][1:])
    return replace(NET, weights=weights)


@pytest.mark.parametrize(
    "other",
    [
        changed("conv1_1", 1.001),
        NET.with_pooling("max"),
        replace(NET, pad_mode="reflect"),
        replace(NET, mean=(1.0, 0.0, 0.0)),
        replace(NET, scale=(1.0, 0.5, 1.0)),
        replace(NET, channel_order="BGR"),
        small_chain(dtype="float64"),
    ],
)
def test_whatever_changes_the_features_changes_the_digest(other):
    assert features_digest(other, "relu2_1") != features_digest(NET, "relu2_1")


def test_what_comes_after_a_layer_or_is_only_called_otherwise_does_not():
    digest = features_digest(NET, "relu1_1")
    assert digest != features_digest(NET, "conv1_1")
    for other in (changed("conv2_1", 3), NET.with_pooling("max"), replace(NET, name="other", provenance={"a": 1})):
        assert features_digest(other, "relu1_1") == digest
    assert features_digest(NET, 2) == digest  # MatConvNet's number
    assert len(digest) == 64


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no layer 'relu9_9'"):
        features_digest(NET, "relu9_9")
