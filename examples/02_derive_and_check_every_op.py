r"""Derive the backward pass of every operator with a pencil, and check it four ways.

One rule is enough.  Let L be any scalar computed from y, and dy the array of its derivatives ∂L/∂y.  An operator in
plain loops is made of lines that add a product to an output.  Wiggle one factor of such a line by δ: the output moves
by δ times the other factor, and L moves by dy times that.  So each line has its lines backward,

    y += a · x        ⟶        dx += a · dy,    and if a varies as well,    da += x · dy

in the same loops.  That is all there is to backpropagation.  Each function ``…_loops`` below states the definition of
an operator and, next to it, its lines backward.  The library computes the same sums as matrix products:

conv      y[p, k] = b[k] + Σ x̂[window of p] · w[:, k], where x̂ is x with its border and all three factors vary.  With
          the windows as rows of a matrix X (im2col), Y = X W + b; summing over the loops' indices gives
          dX = dY Wᵀ, dW = Xᵀ dY, db = Σ_p dY[p].  What im2col copied from x̂, backward adds up there.
pad       y[i] = 1 · x[m(i)], or 0: dx[m(i)] += dy[i].  A pixel that a mirror shows twice receives twice.
relu      y = a · x with a = 1 where x > 0, else 0: dx = a · dy.  At x = 0, where a jumps, we take 0.
max pool  y = 1 · x[first maximum of the window]: that entry receives dy, the others nothing.
avg pool  y += 1/m · x for the m entries of a window: each receives dy/m.
concat    y = (x₁, x₂): each takes its own channels of dy.
Gram      G[a, b] += F[p, a] · F[p, b] has two factors that vary, hence two lines backward.  With S = ∂L/∂G these are
          dF[p, a] += S[a, b] F[p, b] and dF[p, b] += S[a, b] F[p, a], together dF = F (Sᵀ + S).  For the loss
          L = 1/(4C²) Σ (G/M − A/M_a)² of Gatys, S = (G/M − A/M_a) / (2C²M).

Then four checks.  Forward and backward pass of the library against the loops; the backward pass against central
differences of f(x) = ⟨u, y(x)⟩ along a direction d, (f(x + hd) − f(x − hd)) / 2h ≈ ⟨∇f, d⟩, with random u and d; and,
where the operator is linear, against the identity ⟨A x, u⟩ = ⟨x, Aᵀ u⟩, which defines the transpose and needs no h.
The last row is a correct derivative made 1 % too large, because a check that cannot fail proves nothing.

The figure turns the question around: how far off are the differences, depending on h?  Their own error is

    (f(x + hd) − f(x − hd)) / 2h − ⟨∇f, d⟩  ≈  h² · f‴/6  (truncation, if f is curved)  ±  ε |f| / h  (rounding)

so the Gram loss, of fourth degree in F, draws a V with its lowest point near h = ε^(1/3).  Conv and average pool are
linear: no truncation, and the error falls as h grows.  Relu and max pool are linear as well until the step is as long
as the way to the first kink, and there the error jumps from 1e-14 to 1e-2 at once.  In float64 any h from 1e-12 to
1e-3 would expose a mistake of 1 %.  In float32 the best that the V offers is 1e-4, and only h between 1e-4 and 4e-3
would do, on an input of 297 numbers; this is why what runs in float32 is checked in float64.

Run::

    python examples/02_derive_and_check_every_op.py

It takes about 3 seconds, prints errors between 0 and 4e-16 against the loops, below 1e-16 against the transpose, 1e-9
(Gram) to 1e-13 against differences and 1e-2 in the last row, and writes
``examples/out/derive_and_check_every_op.png``.
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
STRIDE = 2  # of conv and both pools, whose windows are 3×3: they overlap


def conv_loops(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, Array, Array, Array]:
    """Convolve with a border of one zero; return y, dx, dw, db."""
    x_, dx_ = np.pad(x, ((1, 1), (1, 1), (0, 0))), np.zeros((x.shape[0] + 2, x.shape[1] + 2, x.shape[2]))
    y, dw, db = np.zeros(dy.shape), np.zeros(w.shape), np.zeros(b.shape)
    for i, j, k in np.ndindex(dy.shape):
        y[i, j, k] += 1 * b[k]
        db[k] += 1 * dy[i, j, k]
        for u, v, c in np.ndindex(w.shape[:3]):
            seen = STRIDE * i + u, STRIDE * j + v, c
            y[i, j, k] += x_[seen] * w[u, v, c, k]
            dx_[seen] += w[u, v, c, k] * dy[i, j, k]
            dw[u, v, c, k] += x_[seen] * dy[i, j, k]
    return y, dx_[1:-1, 1:-1], dw, db


def pad_loops(x: Array, mode: str, dy: Array) -> tuple[Array, Array]:
    """Add a border of two pixels; return y, dx."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for i, j in np.ndindex(dy.shape[:2]):
        m = source(i - 2, x.shape[0], mode), source(j - 2, x.shape[1], mode)
        if None not in m:
            y[i, j] += 1 * x[m]
            dx[m] += 1 * dy[i, j]
    return y, dx


def source(i: int, size: int, mode: str) -> int | None:
    """Return m(i), the pixel that position i shows, or None where it shows a zero."""
    if mode == "zero":
        return i if 0 <= i < size else None
    return min(max(i, 0), size - 1) if mode == "replicate" else size - 1 - abs(size - 1 - abs(i))


def relu_loops(x: Array, dy: Array) -> tuple[Array, Array]:
    """Set negative entries to zero; return y, dx."""
    y, dx = np.zeros(x.shape), np.zeros(x.shape)
    for p in np.ndindex(x.shape):
        a = 1 if x[p] > 0 else 0
        y[p] += a * x[p]
        dx[p] += a * dy[p]
    return y, dx


def max_pool_loops(x: Array, dy: Array) -> tuple[Array, Array]:
    """Take the maximum of every window; return y, dx."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for i, j, c in np.ndindex(dy.shape):
        top, left = STRIDE * i, STRIDE * j
        # Transposed, argmax goes down the columns: the first of equal maxima counts, as in MatConvNet.
        v, u = divmod(int(np.argmax(x[top : top + 3, left : left + 3, c].T)), 3)
        y[i, j, c] += 1 * x[top + u, left + v, c]
        dx[top + u, left + v, c] += 1 * dy[i, j, c]
    return y, dx


def avg_pool_loops(x: Array, dy: Array) -> tuple[Array, Array]:
    """Take the mean of every window; return y, dx."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for i, j, u, v in np.ndindex(*dy.shape[:2], 3, 3):
        y[i, j] += 1 / 9 * x[STRIDE * i + u, STRIDE * j + v]
        dx[STRIDE * i + u, STRIDE * j + v] += 1 / 9 * dy[i, j]
    return y, dx


def concat_loops(x: Array, other: Array, dy: Array) -> tuple[Array, Array]:
    """Put the channels of x before another array's; return y, dx."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    C = x.shape[2]
    for i, j in np.ndindex(dy.shape[:2]):
        y[i, j, :C] += 1 * x[i, j]
        y[i, j, C:] += 1 * other[i, j]
        dx[i, j] += 1 * dy[i, j, :C]
    return y, dx


def gram_loops(F: Array, A: Array, positions: int, dL: float) -> tuple[Array, Array]:
    """Compare Gram matrices as Gatys does; return L, dF."""
    (height, width, C), G, dF = F.shape, np.zeros(A.shape), np.zeros(F.shape)
    for i, j, a, b in np.ndindex(height, width, C, C):
        G[a, b] += F[i, j, a] * F[i, j, b]
    M = height * width
    R = G / M - A / positions
    S = dL * R / (2 * C**2 * M)
    for i, j, a, b in np.ndindex(height, width, C, C):
        dF[i, j, a] += S[a, b] * F[i, j, b]
        dF[i, j, b] += S[a, b] * F[i, j, a]
    return (R**2).sum() / (4 * C**2), dF


class Case(NamedTuple):
    """One derivative: the library's two passes, and the loops' (x, dy) → (y, dx)."""

    name: str
    x: Array
    forward: Callable[[Array], tuple[Any, Any]]
    backward: Callable[[Any, Any], Array]
    loops: Callable[[Array, Any], tuple[Any, Array]]
    linear: bool = True


def every_case(size: int, dtype: str = "float64") -> list[Case]:
    """Return every operator as functions of one array, with unequal sides and an unsymmetric Gram target."""
    rng, ops = np.random.default_rng(0), vn.ops
    x = distinct((size, size + 2, 3), rng).astype(dtype)
    other, w, b, A = (rng.standard_normal(s).astype(dtype) for s in ((*x.shape[:2], 2), (3, 3, 3, 4), 4, (3, 3)))

    def conv_case(name: str, at: Array, place: int, backward: Callable[[Any, Any], Array]) -> Case:
        def arguments(one: Array) -> list[Array]:
            return [one if i == place else array for i, array in enumerate((x, w, b))]

        def loops(one: Array, dy: Array) -> tuple[Array, Array]:
            y, *derivatives = conv_loops(*arguments(one), dy)
            return y, derivatives[place]

        return Case(name, at, lambda one: ops.conv(*arguments(one), STRIDE), backward, loops)

    def pad_case(mode: str) -> Case:
        return Case(
            f"pad, {mode}", x, lambda x: ops.pad(x, 2, mode), ops.pad_backward, lambda x, dy: pad_loops(x, mode, dy)
        )

    def concat(x: Array) -> tuple[Array, Any]:
        return ops.concat([x, other])

    def gram(F: Array) -> tuple[Array, Array]:
        L, dF = vn.losses.gram(F, A, positions=7)
        return np.asarray(L), dF

    return [
        conv_case("conv, input", x, 0, ops.conv_backward_input),
        conv_case("conv, filters", w, 1, lambda dy, cache: ops.conv_backward_filter(dy, x, cache)[0]),
        conv_case("conv, bias", b, 2, lambda dy, cache: ops.conv_backward_filter(dy, x, cache)[1]),
        *(pad_case(mode) for mode in ops.PAD_MODES),
        Case("relu", x, ops.relu, ops.relu_backward, relu_loops, linear=False),
        Case("max pool", x, lambda x: ops.max_pool(x, 3, STRIDE), ops.max_pool_backward, max_pool_loops, linear=False),
        Case("average pool", x, lambda x: ops.avg_pool(x, 3, STRIDE), ops.avg_pool_backward, avg_pool_loops),
        Case(
            "concat",
            x,
            concat,
            lambda dy, cache: ops.concat_backward(dy, cache)[0],
            lambda x, dy: concat_loops(x, other, dy),
        ),
        Case("Gram loss", x, gram, lambda dL, dF: dL * dF, lambda F, dL: gram_loops(F, A, 7, dL), linear=False),
    ]


def check(case: Case) -> list[float]:
    """Return the case's four errors; the last is NaN if the operator is not linear."""
    y, cache = case.forward(case.x)
    dy = np.random.default_rng(1).standard_normal(np.shape(y))
    y_loops, dx_loops = case.loops(case.x, dy)
    at_zero = case.forward(np.zeros_like(case.x))[0]  # what a bias adds; without it the operator is linear

    def linear_part(x: Array) -> tuple[Array, Any]:
        y, cache = case.forward(x)
        return y - at_zero, cache

    return [
        np.max(np.abs(y - y_loops)) / np.max(np.abs(y_loops)),
        np.max(np.abs(case.backward(dy, cache) - dx_loops)) / np.max(np.abs(dx_loops)),
        check_vjp(case.forward, case.backward, case.x),
        check_adjoint(linear_part, case.backward, case.x) if case.linear else np.nan,
    ]


def errors_by_step(case: Case, steps: Array, directions: int = 15) -> Array:
    """Return the median error of central differences over random directions, for each step, in the case's dtype."""
    rng = np.random.default_rng(2)
    y, cache = case.forward(case.x)
    u = rng.standard_normal(np.shape(y)).astype(case.x.dtype)
    gradient = case.backward(u, cache)
    errors = []
    for _ in range(directions):
        d = random_direction(case.x.shape, rng).astype(case.x.dtype)
        f = [[(u * case.forward(case.x + h * d)[0]).sum() for h in (step, -step)] for step in steps]
        differences = [(plus - minus) / (2 * h) for (plus, minus), h in zip(f, steps, strict=True)]
        errors.append([relative_error(float(one), float((gradient * d).sum())) for one in differences])
    return np.median(errors, axis=0)


def main(argv: Sequence[str] | None = None) -> None:
    """Check every operator, print the errors, plot the finite differences' own."""
    parser = argparse.ArgumentParser(description="Derive the backward pass of every operator, and check it four ways.")
    folder = Path(__file__).parent / "out"
    parser.add_argument("-o", "--out", type=Path, default=folder, help="folder to write to (default examples/out)")
    parser.add_argument("--size", type=int, default=9, help="height of the input in pixels (default 9)")
    options = parser.parse_args(argv)
    if options.size < 5:
        parser.error(f"--size: expected at least 5 pixels, found {options.size}")

    print("                    against the loops      against     against")
    print("derivative of      forward   backward  differences   transpose")
    cases = every_case(options.size)
    for case in cases:
        errors = check(case)
        show(case.name, errors)
        if max(errors[0], errors[1], np.nan_to_num(errors[3])) > 1e-13 or errors[2] > 1e-7:
            raise SystemExit(f"{case.name}: the library and its derivation disagree")
    relu = next(case for case in cases if case.name == "relu")
    errors = check(relu._replace(backward=lambda dy, cache: 1.01 * vn.ops.relu_backward(dy, cache)))
    show("relu, 1 % too large", errors)
    if errors[1] < 0.005 or errors[2] < 0.005:
        raise SystemExit("a derivative that is 1 % too large went unnoticed")

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "derive_and_check_every_op.png"
    plot(options.size).savefig(path, dpi=130)
    print(f"wrote {path}")


def show(name: str, errors: Sequence[float]) -> None:
    """Print one row of the table."""
    cells = ("–" if np.isnan(error) else f"{error:.0e}" for error in errors)
    print(f"{name:20}" + "{:>6}     {:>6}       {:>6}      {:>6}".format(*cells))


def plot(size: int) -> Figure:
    """Draw the error of central differences against the step, in both precisions."""
    colors = {
        "conv, input": "#0072b2",
        "average pool": "#56b4e9",
        "relu": "#e69f00",
        "max pool": "#d55e00",
        "Gram loss": "#009e73",
    }
    figure = Figure(figsize=(12.5, 5.6), layout="constrained")
    figure.suptitle("How far central differences are from the hand-derived derivative", fontsize=14)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, dtype in zip(panels, ("float64", "float32"), strict=True):
        epsilon = float(np.finfo(dtype).eps)
        steps = np.geomspace(1e-3 * epsilon ** (2 / 3), 10, 70)
        for case in every_case(size, dtype):
            if case.name in colors:
                errors = errors_by_step(case, steps.astype(dtype))
                ax.loglog(steps, errors, label=case.name, color=colors[case.name], linewidth=1.8)
        ax.axhline(0.01, color="0.35", linestyle=":", linewidth=1)
        ax.axvline(epsilon ** (1 / 3), color="#009e73", linestyle="--", linewidth=0.9)
        ax.text(epsilon ** (1 / 3) * 0.75, 3e-16, "h = $\\varepsilon^{1/3}$", color="#009e73", ha="right")
        ax.set_title(f"{dtype}, ε = {epsilon:.1e}")
        ax.set_xlabel("step h (inputs are 0.01 apart)")
        ax.grid(alpha=0.25)
    panels[0].set(ylabel="relative error (median of 15 directions)", ylim=(1e-16, 3))
    panels[0].text(1e-12, 0.013, "a 1 % mistake", color="0.35", fontsize=9)
    panels[0].text(2e-12, 3e-8, "rounding\nε / h", color="0.25")
    panels[0].text(1e-5, 3e-5, "truncation\nh²", color="0.25")
    panels[0].text(3e-2, 1e-8, "first change of\nsign or rank", color="0.25", fontsize=9)
    panels[1].legend(loc="lower left")
    return figure


if __name__ == "__main__":
    main()
