r"""Derive the backward pass of every operator with a pencil, and check it four ways.

One rule is enough.  Let L be any scalar computed from y, and write dy for the array of its derivatives ∂L/∂y.
A forward pass in plain loops consists of lines that add a product to an output.  Wiggle one factor of such a line by
δ: the output moves by δ times the other factor, and L by dy times that.  So each line, run backward, is

    y += a · x        ⟶        dx += a · dy    and, if a is not a constant,    da += x · dy

over the same loops.  That is the whole of backpropagation; the functions ``…_loops`` below are nothing but this rule
applied to the definition of each operator.  The formulas that the library computes are the same sums in matrix form:

conv      y[p, k] = b[k] + Σ x̂[window of p, uvc] w[uvc, k], three factors, so three derivatives.  With windows as rows
          of X (im2col), Y = X W + b: dX = dY Wᵀ, dW = Xᵀ dY, db = Σ_p dY.  What X copied, dx̂ sums up again.
pad       y[i] = x[m(i)], and y[i] = 0 outside for zeros.  Factor 1: dx[m(i)] += dy[i].  A reflected pixel is
          seen twice and so receives twice.
relu      y = 1 · x where x > 0, 0 · x elsewhere: dx = dy or 0.  The factor jumps at 0; there we take 0.
max pool  y = 1 · x[first maximum of the window]: that entry receives dy, the others nothing.
avg pool  y += x/m for the m entries of a window: each receives dy/m.
concat    y = (x₁, x₂): each gets its own channels of dy.
Gram      G[a, b] += F[p, a] · F[p, b].  Both factors vary, so the line runs back as two: dF[p, a] += S[a, b] F[p, b]
          and dF[p, b] += S[a, b] F[p, a] with S = ∂L/∂G, together dF = F (Sᵀ + S).  If the loss is
          L = 1/(4C²) Σ (G/M − A/M_a)², then S = (G/M − A/M_a) / (2C²M).

Each library function is then held against four things.  Its forward and its backward pass against the loops.
Its backward pass against central differences (f(x + hd) − f(x − hd)) / 2h ≈ ⟨∇f, d⟩ of f(x) = ⟨u, y(x)⟩, u and d
random.  And, if the operator is linear, against the identity ⟨A x, u⟩ = ⟨x, Aᵀ u⟩ that defines a transpose and knows no
step h.  The last row is a correct derivative made 1 % too large: a check that cannot fail would prove nothing.

The figure shows the error of the central difference against h.  Its terms are

    error ≈ h²·|f‴|/6|f′|  (truncation, only where f is curved)   +   ε|f| / h|f′|  (rounding, ε = 1e-16 or 6e-8)

so the Gram loss draws a V, with its best h near ε^(1/3); an operator that is linear in x has no truncation and falls
for ever, the larger h the better; relu and max pool are linear too, up to the step at which the first entry changes
its sign or its rank, and there they jump.  In float32 the V's floor lies so high that a 1 % error
can hide behind it.  That is why this package checks in float64 what it then runs in float32.

Run::

    python examples/02_derive_and_check_every_op.py

It takes about TIME and writes ``examples/out/derive_and_check_every_op.png``.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import vggnumpy as vn
from vggnumpy.gradcheck import check_adjoint, check_vjp, distinct, random_direction, relative_error

Array = np.ndarray


def conv_loops(x: Array, w: Array, b: Array, stride: int) -> Array:
    """Convolve without padding: y[i, j, k] = b[k] + Σ x[s·i + u, s·j + v, c] · w[u, v, c, k]."""
    rows, columns = (x.shape[0] - w.shape[0]) // stride + 1, (x.shape[1] - w.shape[1]) // stride + 1
    y = np.zeros((rows, columns, w.shape[3])) + b
    for i, j, u, v, c, k in np.ndindex(rows, columns, *w.shape):
        y[i, j, k] += x[stride * i + u, stride * j + v, c] * w[u, v, c, k]
    return y


def conv_backward_loops(dy: Array, x: Array, w: Array, stride: int) -> tuple[Array, Array, Array]:
    """Run `conv_loops` backward: its line has three factors, x, w and, with factor 1, b."""
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), dy.sum(axis=(0, 1))
    for i, j, u, v, c, k in np.ndindex(*dy.shape[:2], *w.shape):
        dx[stride * i + u, stride * j + v, c] += dy[i, j, k] * w[u, v, c, k]
        dw[u, v, c, k] += dy[i, j, k] * x[stride * i + u, stride * j + v, c]
    return dx, dw, db


def pad_loops(x: Array, side: int, mode: str, dy: Array | None = None) -> Array:
    """Pad by copying, y[i, j] = x[m(i), m(j)]; given dy, run the same lines backward instead."""
    source = [[mirror(i - side, size, mode) for i in range(size + 2 * side)] for size in x.shape[:2]]
    y, dx = np.zeros((len(source[0]), len(source[1]), x.shape[2])), np.zeros_like(x)
    for i, j in np.ndindex(y.shape[:2]):
        if (m := source[0][i]) is not None and (n := source[1][j]) is not None:
            y[i, j] = x[m, n]
            if dy is not None:
                dx[m, n] += dy[i, j]
    return y if dy is None else dx


def mirror(i: int, size: int, mode: str) -> int | None:
    """Return where padding at position i takes its pixel from: m(i), or None for a zero."""
    if mode == "zero":
        return i if 0 <= i < size else None
    return min(max(i, 0), size - 1) if mode == "replicate" else size - 1 - abs(size - 1 - abs(i))


def pool_loops(x: Array, size: int, stride: int, method: str, dy: Array | None = None) -> Array:
    """Pool windows that lie inside; given dy, run the same lines backward instead."""
    y, dx = np.zeros([(n - size) // stride + 1 for n in x.shape[:2]] + [x.shape[2]]), np.zeros_like(x)
    for i, j, c in np.ndindex(y.shape):
        window = np.s_[stride * i : stride * i + size, stride * j : stride * j + size, c]
        # The factor of each entry: 1/m for all, or 1 for the first maximum in column order and 0 for the others.
        first = np.argmax(x[window].T)
        a = np.full((size, size), size**-2) if method == "average" else np.eye(size**2)[first].reshape(size, size).T
        y[i, j, c] = np.sum(a * x[window])
        if dy is not None:
            dx[window] += a * dy[i, j, c]
    return y if dy is None else dx


def gram_loops(F: Array, A: Array, positions: int) -> tuple[float, Array]:
    """Return L = 1/(4C²) Σ (G/M − A/M_a)² and dF, with G = FᵀF summed position by position."""
    rows = F.reshape(-1, F.shape[-1])
    (M, C), G, dF = rows.shape, np.zeros_like(A), np.zeros_like(rows)
    for p, a, b in np.ndindex(M, C, C):
        G[a, b] += rows[p, a] * rows[p, b]
    R = G / M - A / positions
    S = R / (2 * C**2 * M)
    for p, a, b in np.ndindex(M, C, C):
        dF[p, a] += S[a, b] * rows[p, b]
        dF[p, b] += S[a, b] * rows[p, a]
    return float((R**2).sum()) / (4 * C**2), dF.reshape(F.shape)


class Case(NamedTuple):
    """One derivative to check: the library's two passes and the loops' two, all as functions of `x` alone."""

    name: str
    x: Array
    forward: Callable[[Array], tuple[Any, Any]]
    backward: Callable[[Any, Any], Array]
    forward_loops: Callable[[Array], Any]
    backward_loops: Callable[[Any, Array], Array]
    linear: bool = True


def cases(size: int) -> list[Case]:
    """Return every operator's derivatives, on odd sizes, strides and an unsymmetric Gram target."""
    rng = np.random.default_rng(0)
    x = distinct((size, size + 2, 3), rng)
    w, b = rng.standard_normal((3, 3, 3, 4)), rng.standard_normal(4)
    A = rng.standard_normal((3, 3))
    ops = vn.ops

    def conv(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
        # In the dtype of x, whichever of the three it is that varies.
        return ops.conv(x, w, b, stride=2, pad=1)

    def conv_of_pad(x: Array, w: Array, b: Array) -> Array:
        return conv_loops(pad_loops(x, 1, "zero"), w, b, 2)

    def conv_of_pad_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
        # Two operators in a row: backward, they follow in the opposite order.
        dpadded, dw, db = conv_backward_loops(dy, pad_loops(x, 1, "zero"), w, 2)
        return pad_loops(x, 1, "zero", dpadded), dw, db

    def matched(x: Array) -> tuple[Array, Array, Array]:
        return x, w.astype(x.dtype), b.astype(x.dtype)

    found = [
        Case("conv, input", x, lambda x: conv(*matched(x)), ops.conv_backward_input,
             lambda x: conv_of_pad(x, w, b), lambda dy, x: conv_of_pad_backward(dy, x, w)[0]),
    ]  # fmt: skip
    return found
