"""The plan of an evaluation on a GPU: stages, and every buffer with its bytes and its lifetime.  Pure functions.

Time is counted as in `vggnumpy.engine.plan`, in passes over a map: with S stages, stage s runs forward at time s, and
its losses' sums are taken then.  At time 2S − 1 − s the derivative with respect to its convolution's output is written
(at time S, for the last stage, by the losses alone), and at time 2S − s it is read, by the pass into the stage before
or, for the first, into the image.

What is kept from the way forward for the way back: a bit for every rectified entry (`mask`), three for every maximum
(`windows`), features where a loss sits, and of a Gram loss the matrix Z that its derivative is F Z with.  Where it can,
a loss's derivative takes the place of the features; on the way on, the derivative takes the place of the loss's.

The features of the first rectifier, the largest of all, are not kept if only a Gram loss sits there, but computed anew
from the image when its derivative is wanted: for half a percent of the arithmetic, a fifth of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vggnumpy.cuda.launch import Device
from vggnumpy.cuda.precision import map_dtype
from vggnumpy.engine.chain import Chain, Link
from vggnumpy.engine.plan import Buffer, place
from vggnumpy.errors import InputError
from vggnumpy.losses.content_cuda import content_parts
from vggnumpy.losses.gram_cuda import GramPlan, plan_gram
from vggnumpy.ops.conv_tensor_cuda import mask_shape, windows_shape
from vggnumpy.ops.geometry import pool_size

_IN_PLACE = 64  # channels up to which F Z may be written over F, see `gram_derivative`


class Tap(NamedTuple):
    """A place of losses.

    Attributes
    ----------
    layer : str
    features : str
        The buffer of its features F, N×H×W×C.
    derivative : str
        The buffer of the losses' derivative; `features` itself where it may be written over F.
    Z, parts : str
        The buffers of its Gram loss.
    gram : GramPlan or None
        If there is a Gram loss.
    content : bool
        If there is a content loss.
    again : bool
        Whether the features are computed anew for the way back, in the derivative's buffer.
    """

    layer: str
    features: str
    derivative: str
    Z: str
    parts: str
    gram: GramPlan | None
    content: bool
    again: bool


@dataclass(frozen=True)
class CudaStage:
    """One link of the chain at its size: N×H×W, C channels in, K out; `pooled` is the size after its pool.

    `conv_tap`, `relu_tap` and `pool_tap` are the losses before and behind its rectifier and behind its pool.
    """

    number: int
    link: Link
    images: int
    height: int
    width: int
    depth: int
    channels: int
    pooled: tuple[int, int] | None
    last: bool
    conv_tap: Tap | None
    relu_tap: Tap | None
    pool_tap: Tap | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N×H×W×K of its convolution's output."""
        return self.images, self.height, self.width, self.channels

    @property
    def pooled_shape(self) -> tuple[int, int, int, int]:
        """N×h×w×K of its output: after its pool, if it has one."""
        return self.images, *(self.pooled or (self.height, self.width)), self.channels

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Its places of losses."""
        return tuple(tap for tap in (self.conv_tap, self.relu_tap, self.pool_tap) if tap is not None)

    @property
    def pool(self) -> str | None:
        """What its pool computes: "max" or "average"."""
        return None if self.link.pool is None else self.link.pool.method

    @property
    def rounding(self) -> str:
        """Of its pool."""
        return "floor" if self.link.pool is None else self.link.pool.rounding

    @property
    def has_mask(self) -> bool:
        """Whether it keeps a bit for every rectified entry: where no maximum says what passes, and anything does."""
        arrives = not self.last or self.relu_tap is not None or self.pool_tap is not None
        return arrives and (self.pool != "max" or self.relu_tap is not None)

    @property
    def has_features(self) -> bool:
        """Whether its rectifier's output is written."""
        return self.relu_tap is not None or (self.pool is None and not self.last)

    @property
    def derivative(self) -> str:
        """The buffer of the derivative with respect to its convolution's output: that of a loss there, if one is."""
        tap = self.relu_tap or self.conv_tap
        return f"dz {self.number}" if tap is None else tap.derivative

    @property
    def output(self) -> str:
        """The buffer that the next stage reads."""
        return f"{'relu' if self.pool is None else 'pool'} {self.number}"


@dataclass(frozen=True)
class CudaPlan:
    """How a chain is evaluated at one size on one kind of GPU.

    Attributes
    ----------
    chain : Chain
    stages : tuple of CudaStage
    precision : {"fp32", "tf32", "bf16"}
    device : Device
    buffers : dict
        Name → `Buffer`.
    squares : dict
        ("gram" or "content", layer) → where the parts of its Σ R² or Σ e² lie in the buffer ``squares``.
    arena, filters : int
        Bytes of the arena, and of the filters in both directions.
    """

    chain: Chain
    stages: tuple[CudaStage, ...]
    precision: str
    device: Device
    buffers: dict[str, Buffer]
    squares: dict[tuple[str, str], slice]
    arena: int
    filters: int

    @property
    def nbytes(self) -> int:
        """The memory that an evaluation takes beside the network, its targets and the optimiser."""
        return self.arena + self.filters

    @property
    def fixed_bytes(self) -> int:
        """The part of it that does not depend on the size of the image."""
        return self.filters

    @property
    def taps(self) -> dict[str, Tap]:
        """Layer → place of losses."""
        return {tap.layer: tap for stage in self.stages for tap in stage.taps}

    def features_shape(self, layer: str) -> tuple[int, ...]:
        """Return N×H×W×C of the features at a tapped layer."""
        return self.buffers[self.taps[layer].features].shape


def make_cuda_plan(
    chain: Chain,
    widths: Mapping[str, tuple[int, int]],
    size: tuple[int, int, int],
    grams: frozenset[str],
    contents: frozenset[str],
    precision: str,
    device: Device,
) -> CudaPlan:
    """Lay out an evaluation.

    Parameters
    ----------
    chain : Chain
        Its taps are the layers of `grams` and `contents`.
    widths : dict
        Convolution → its input and output channels.
    size : (N, H, W)
    grams, contents : frozenset of str
        Layers with Gram and with content losses.
    precision : {"fp32", "tf32", "bf16"}
    device : Device

    Raises
    ------
    InputError
        If the image is too small for a pool.
    """
    stages = tuple(_stages(chain, widths, size, grams, contents, device))
    squares, count = _squares(stages)
    buffers, arena = place([*_buffers(stages, size, map_dtype(precision)), _squares_buffer(count, len(stages))])
    itemsize = 2 if precision == "bf16" else 4
    filters = sum(18 * stage.depth * stage.channels * itemsize + 4 * stage.channels for stage in stages[1:])
    return CudaPlan(chain, stages, precision, device, buffers, squares, arena, filters)


def _stages(
    chain: Chain,
    widths: Mapping[str, tuple[int, int]],
    size: tuple[int, int, int],
    grams: frozenset[str],
    contents: frozenset[str],
    device: Device,
) -> Iterator[CudaStage]:
    images, height, width = size
    for number, link in enumerate(chain.links):
        channels, pooled = widths[link.conv.name][1], None
        if link.pool is not None:
            try:
                pooled = tuple(pool_size(side, 2, 0, 0, 2, link.pool.rounding) for side in (height, width))
            except ValueError as error:
                raise InputError(f"layer {link.pool.name} of network {chain.network}: {error}") from None
        small = (pooled[0], pooled[1]) if pooled else None

        def tap(
            kind: str,
            layer: str,
            at: tuple[int, int],
            channels: int = channels,
            number: int = number,
            link: Link = link,
        ) -> Tap:
            gram = plan_gram(images * at[0] * at[1], channels, device) if layer in grams else None
            content, name = layer in contents, f"{kind} {number}"
            in_place = gram is None or (not content and channels <= _IN_PLACE)
            again = name == "relu 0" and in_place and not content and link.pool is None and len(chain.links) > 1
            derivative = name if in_place and not again else f"d{name}"
            return Tap(layer, name, derivative, f"Z {name}", f"parts {name}", gram, content, again)

        whole, pool = (height, width), link.pool
        yield CudaStage(
            number,
            link,
            images,
            height,
            width,
            *widths[link.conv.name],
            small,
            number == len(chain.links) - 1,
            tap("conv", link.conv.name, whole) if link.conv.name in chain.taps else None,
            tap("relu", link.relu.name, whole) if link.relu.name in chain.taps else None,
            tap("pool", pool.name, small) if pool is not None and small and pool.name in chain.taps else None,
        )
        height, width = small or whole


def _squares(stages: tuple[CudaStage, ...]) -> tuple[dict[tuple[str, str], slice], int]:
    """Return where the parts of every loss's sum lie, and how many parts there are."""
    found: dict[tuple[str, str], slice] = {}
    count = 0
    for stage in stages:
        for tap in stage.taps:
            shape = stage.pooled_shape if tap is stage.pool_tap else stage.shape
            entries = shape[0] * shape[1] * shape[2] * shape[3]
            sizes = {"gram": tap.gram.squares_shape[0]} if tap.gram else {}
            sizes |= {"content": content_parts(entries)} if tap.content else {}
            for kind, parts in sizes.items():
                found[kind, tap.layer] = slice(count, count + parts)
                count += parts
    return found, count


def _squares_buffer(count: int, stages: int) -> Buffer:
    return Buffer("squares", (count,), "float64", 0, 2 * stages)


def _buffers(stages: tuple[CudaStage, ...], size: tuple[int, int, int], dtype: str) -> Iterator[Buffer]:
    """Yield all buffers but the losses' sums, each with the first and the last time at which it is used."""
    end = 2 * len(stages)
    again = any(tap.again for tap in stages[0].taps)
    yield Buffer("image", (*size, stages[0].depth), "float32", 0, end - 1 if again else 0)
    yield Buffer("dimage", (*size, stages[0].depth), "float32", end, end)
    for stage in stages:
        s, back = stage.number, end - 1 - stage.number
        if stage.has_mask:
            yield Buffer(f"mask {s}", mask_shape(*stage.shape), "uint32", s, back)
        if stage.pool == "max":
            yield Buffer(f"windows {s}", windows_shape(*stage.pooled_shape), "uint32", s, back)
        if stage.relu_tap is None and stage.has_features:
            yield Buffer(f"relu {s}", stage.shape, dtype, s, s + 1)
        if stage.pool_tap is None and stage.pool is not None:
            yield Buffer(f"pool {s}", stage.pooled_shape, dtype, s, s + 1)
        for tap in stage.taps:
            shape = stage.pooled_shape if tap is stage.pool_tap else stage.shape
            passed = back + (tap.derivative == stage.derivative)
            in_place = tap.derivative == tap.features
            yield Buffer(tap.features, shape, dtype, s, passed if in_place else s + 1 if tap.again else back)
            if not in_place:
                yield Buffer(tap.derivative, shape, dtype, back, passed)
            if tap.gram is not None:
                yield Buffer(tap.Z, (stage.channels, stage.channels), dtype, s, back)
                yield Buffer(tap.parts, tap.gram.partial_shape, "float32", s, s)
        if not stage.conv_tap and not stage.relu_tap:
            yield Buffer(stage.derivative, stage.shape, dtype, back, back + 1)
