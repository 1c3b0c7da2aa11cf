"""The checks of every operator, and of every backward pass that it has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from vggnumpy import ops
from vggnumpy.checks.measure import NamedMeasure, linear
from vggnumpy.gradcheck import check_gradient, check_vjp, distinct


def operator_checks() -> Iterator[NamedMeasure]:
    """Yield the name and the measurement of every check of an operator."""
    yield from _pad_checks()
    yield from _conv_checks()
    yield from _conv_transpose_checks()
    yield from _pool_checks()
    yield from _rectifier_checks()
    yield from _normalization_checks()
    yield from _softmax_checks()
    yield from _small_op_checks()


def _pad_checks() -> Iterator[NamedMeasure]:
    x = distinct((2, 5, 4, 3))
    for mode in ops.PAD_MODES:
        pad = partial(ops.pad, sides=(1, 2, 0, 3), mode=mode)
        yield from linear(f"pad_backward, {mode}", pad, ops.pad_backward, x)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3×3": ((1, 6, 5, 4), (3, 3, 4, 3), {}),
    "3×3 reflect": ((1, 6, 5, 4), (3, 3, 4, 3), {"pad_mode": "reflect"}),
    "3×3 replicate": ((1, 6, 5, 4), (3, 3, 4, 3), {"pad_mode": "replicate"}),
    "2×4 stride 2, 3, four sides": ((2, 9, 8, 3), (2, 4, 3, 5), {"stride": (2, 3), "pad": (1, 0, 2, 1)}),
    "3×2 dilated 2, 3": ((2, 9, 8, 3), (3, 2, 3, 5), {"dilate": (2, 3), "pad": 2}),
    "3×3 in 2 groups": ((2, 5, 6, 4), (3, 3, 2, 6), {}),
    "1×1": ((1, 4, 3, 5), (1, 1, 5, 2), {"pad": 0}),
}


def _conv_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(1)
    for label, (x_shape, w_shape, options) in CONVOLUTIONS.items():
        x, w, b = rng.standard_normal(x_shape), rng.standard_normal(w_shape), rng.standard_normal(w_shape[3])

        def to_w(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_backward_filter(dy, x, cache)[0]

        def to_b(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_backward_filter(dy, x, cache)[1]

        by_x = partial(ops.conv, w=w, **options)
        by_w = partial(_conv_by_w, x, options)
        by_b = partial(_conv_by_b, x, w, options)
        yield from linear(f"conv_backward_input, {label}", by_x, ops.conv_backward_input, x)
        yield from linear(f"conv_backward_filter dw, {label}", by_w, to_w, w)
        yield f"conv_backward_filter db, {label}: difference", partial(check_vjp, by_b, to_b, b)


def _conv_by_w(x: np.ndarray, options: dict[str, Any], w: np.ndarray) -> Any:
    return ops.conv(x, w, **options)


def _conv_by_b(x: np.ndarray, w: np.ndarray, options: dict[str, Any], b: np.ndarray) -> Any:
    return ops.conv(x, w, b, **options)


TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3×4": ((2, 4, 3, 3), (3, 4, 2, 3), {}),
    "3×2 upsampled by 2, 3, cropped": ((2, 4, 3, 3), (3, 2, 2, 3), {"upsample": (2, 3), "crop": (1, 0, 2, 1)}),
    "2×3 in 2 groups": ((1, 4, 5, 4), (2, 3, 3, 4), {"upsample": 2, "groups": 2}),
}


def _conv_transpose_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(3)
    for label, (x_shape, w_shape, options) in TRANSPOSED.items():
        x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
        b = rng.standard_normal(w_shape[2] * options.get("groups", 1))

        def to_w(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_transpose_backward_filter(dy, x, cache)[0]

        def to_b(dy: Any, cache: Any, x: Any = x) -> Any:
            return ops.conv_transpose_backward_filter(dy, x, cache)[1]

        by_x = partial(ops.conv_transpose, w=w, **options)
        by_w = partial(ops.conv_transpose, x, **options)
        by_b = partial(ops.conv_transpose, x, w, **options)
        yield from linear(f"conv_transpose_backward_input, {label}", by_x, ops.conv_transpose_backward_input, x)
        yield from linear(f"conv_transpose_backward_filter dw, {label}", by_w, to_w, w)
        yield f"conv_transpose_backward_filter db, {label}: difference", partial(check_vjp, by_b, to_b, b)


POOLS: dict[str, dict[str, Any]] = {
    "2×2": {},
    "2×2 ceil": {"rounding": "ceil"},
    "3×3 stride 2, overlapping": {"window": 3, "stride": 2},
    "3×2 stride 2, 1, four sides": {"window": (3, 2), "stride": (2, 1), "pad": (1, 2, 0, 1)},
}


def _pool_checks() -> Iterator[NamedMeasure]:
    x = distinct((2, 7, 5, 3))
    for label, options in POOLS.items():
        yield (
            f"max_pool_backward, {label}: difference",
            partial(check_vjp, partial(ops.max_pool, **options), ops.max_pool_backward, x),
        )
        yield from linear(f"avg_pool_backward, {label}", partial(ops.avg_pool, **options), ops.avg_pool_backward, x)


def _rectifier_checks() -> Iterator[NamedMeasure]:
    x, slope = distinct((2, 4, 3, 5)), np.array([0.25, -0.5, 0.0, 1.0, 1.5])
    yield "relu_backward: difference", partial(check_vjp, ops.relu, ops.relu_backward, x)
    yield "relu_backward, leak 0.2: difference", partial(check_vjp, partial(ops.relu, leak=0.2), ops.relu_backward, x)
    yield "prelu_backward: difference", partial(check_vjp, partial(ops.prelu, slope=slope), ops.prelu_backward, x)

    def to_slope(dy: Any, cache: Any) -> Any:
        return ops.prelu_backward_slope(dy, x, cache)

    yield "prelu_backward_slope: difference", partial(check_vjp, partial(ops.prelu, x), to_slope, slope)


def _normalization_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(10)
    x = rng.standard_normal((2, 4, 3, 7))
    for size in (1, 4, 5, 14):
        lrn = partial(ops.lrn, size=size, kappa=1.5, alpha=0.3, beta=0.75)
        yield f"lrn_backward, size {size}: difference", partial(check_vjp, lrn, ops.lrn_backward, x)
    gain, bias = rng.standard_normal(7), rng.standard_normal(7)
    moments = np.stack([rng.standard_normal(7), rng.uniform(0.5, 2, 7)], axis=1)
    for label, given in (("", None), (", given moments", moments)):
        forward = partial(ops.batch_norm, moments=given, epsilon=0.01)
        by_x, by_gain = partial(forward, gain=gain, bias=bias), partial(forward, x, bias=bias)
        by_bias = partial(forward, x, gain)
        for component, name, by, at in ((0, "dx", by_x, x), (1, "dgain", by_gain, gain), (2, "dbias", by_bias, bias)):
            back = partial(_component, ops.batch_norm_backward, component)
            yield f"batch_norm_backward {name}{label}: difference", partial(check_vjp, by, back, at)


def _component(backward: Any, number: int, dy: Any, cache: Any) -> Any:
    """Return one of the derivatives that a backward pass returns together."""
    return backward(dy, cache)[number]


def _softmax_checks() -> Iterator[NamedMeasure]:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2, 3, 4, 5))
    yield "softmax_backward: difference", partial(check_vjp, ops.softmax, ops.softmax_backward, x)
    a_position = rng.integers(-1, 5, (2, 3, 4))
    for label, labels, weights in (
        ("label an image", np.array([4, 0]), None),
        ("label a position, weighted", a_position, rng.uniform(0.5, 2, a_position.shape)),
    ):
        yield (
            f"softmax_loss_backward, {label}: difference",
            partial(check_gradient, partial(_halved_loss, labels, weights), x),
        )


def _halved_loss(labels: Any, weights: Any, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return half the log loss, whose derivative reaches the loss as ``dvalue`` = ½."""
    value, cache = ops.softmax_loss(x, labels, weights)
    return value / 2, ops.softmax_loss_backward(0.5, cache)


def _small_op_checks() -> Iterator[NamedMeasure]:
    x = distinct((2, 4, 3, 5))
    yield from linear("dropout_backward", partial(ops.dropout, rate=0.3, rng=12), ops.dropout_backward, x)
    yield from linear(
        "concat_backward",
        lambda x: ops.concat([x[..., :2], x[..., 2:]]),
        lambda dy, cache: np.concatenate(ops.concat_backward(dy, cache), axis=-1),
        x,
    )
