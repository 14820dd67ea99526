"""Schedule of conv2d for Armv6-M: pixels in pairs, so that one multiplication makes two products.

A group of pixels is packed into words, two pixels each; then the weights of two channels are widened to words and run
along the group. The group is as large as the scratch allows, because every group widens all weights again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .im2col import windows_of
from .intrinsics.scalar_memory import WORD
from .intrinsics.thumb1_pairs import LANES, LARGEST_WEIGHTS, PairOperands, PairTile
from .intrinsics.thumb1_words import Pack, Widen
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .matrix import Band, Gather, Intrinsic, bands, tensorized
from .pointwise import is_pointwise
from .requantize_split import SplitRequantization, choose_split, reachable
from .tensor_ir import largest_divisor

# Bytes of words and patches that a layer may take from the arena.
SCRATCH_LIMIT = 4608
# Words made per round of a loop.
UNROLL = 8
# Measured on Cortex-M0.
INSTRUCTIONS_PER_PRODUCT = 1.9
INSTRUCTIONS_PER_OUTPUT = 25.0
INSTRUCTIONS_PER_WORD = 7.0
INSTRUCTIONS_PER_WEIGHT = 4.0


def schedule_pairs(problem: Problem) -> Candidate | None:
    """Schedule conv2d on Armv6-M; None otherwise, and when scratch, weights or requantisation do not allow it."""
    if problem.operator != "conv2d" or "thumb1" not in problem.features:
        return None
    attrs = problem.attrs
    weight = problem.constants["weight"]
    channels, rows = weight.shape[0], problem.outputs // weight.shape[0]
    matrix = weight.reshape(channels, -1)
    depth = matrix.shape[1]
    padded = np.zeros((channels, depth + depth % 2), np.int8)
    padded[:, :depth] = matrix
    couples = np.abs(padded.astype(np.int64)).reshape(channels, -1, 2).sum(axis=2)
    limits = reachable(weight, problem.constants["bias"], attrs["input_zero_point"], channel_axis=0)
    if rows < 2 or couples.max() > LARGEST_WEIGHTS:
        return None
    gather = None if is_pointwise(problem) else windows_of(problem)
    sizes = _sizes(rows, channels, depth, gathered=gather is not None)
    form = choose_split(problem.constants, attrs, limits)
    if sizes is None or form is None:
        return None
    layer = _Layer(
        rows=rows,
        channels=channels,
        depth=depth,
        size=sizes[0],
        lanes=sizes[1],
        limits=(attrs["clamp_min"], attrs["clamp_max"]),
        form=form,
        gather=gather,
    )
    constants = layer.weights(padded) | {
        "factors": form.without(attrs["input_zero_point"] * matrix.astype(np.int64).sum(axis=1)),
        "fine": form.fine,
    }
    return Candidate(
        rule="pixel pairs",
        instructions=layer.instructions(),
        build=lambda: _build(layer, constants),
        micro_kernels=layer.micro_kernels,
        scratch=layer.scratch,
    )


def _build(layer: _Layer, constants: Mapping[str, Array]) -> Kernel:
    function, used = tensorized(layer.function(constants), layer.intrinsics())
    return Kernel(function, constants, tuple(intrinsic.micro_kernel() for intrinsic in used))


def _sizes(rows: int, channels: int, depth: int, *, gathered: bool) -> tuple[int, int] | None:
    """(pixels of a group, channels of a tile) that fit the scratch."""
    even = depth + depth % 2
    for lanes in range(min(LANES, channels), 0, -1):
        left = SCRATCH_LIMIT - 4 * lanes * even - (2 * depth if gathered else 0)
        size = min(left // (2 * even), rows + rows % 2) & ~1
        if size >= 2:
            # Groups of equal size take as many rounds and less scratch.
            groups = -(-rows // size)
            size = -(-rows // groups)
            return size + size % 2, lanes
    return None


@dataclass(frozen=True)
class _Layer:
    rows: int
    channels: int
    depth: int
    size: int
    lanes: int
    limits: tuple[int, int]
    form: SplitRequantization
    gather: Gather | None

    @property
    def even_depth(self) -> int:
        """Words of a row."""
        return self.depth + self.depth % 2

    @property
    def groups(self) -> list[Band]:
        """Groups of an even number of pixels; the last one may overlap the one before it by a pixel."""
        size = min(self.size, self.rows & ~1)
        whole = self.rows // size
        rest = self.rows - whole * size
        last = [Band(self.rows - rest - rest % 2, rest + rest % 2, 1)] if rest else []
        return [Band(0, size, whole), *last]

    @property
    def channel_bands(self) -> list[Band]:
        """Tiles along the channels."""
        return bands(self.channels, range(self.lanes, 0, -1))

    def tile(self, group: Band, channels: Band) -> PairTile:
        """Tile of a group of pixels and some channels."""
        return PairTile(
            pairs=group.size // 2,
            lanes=channels.size,
            depth=self.even_depth,
            output_pitch=self.channels,
            clamp_min=self.limits[0],
            clamp_max=self.limits[1],
            form=self.form.form,
            point=self.form.point,
            rounding=self.form.rounding,
        )

    def intrinsics(self) -> dict[str, Intrinsic]:
        """Micro-kernels by the names of their blocks."""
        named: dict[str, Intrinsic] = {}
        for g, group in enumerate(self.groups):
            for c, channels in enumerate(self.channel_bands):
                named[f"tile_{g}_{c}"] = self.tile(group, channels)
                if widen := self.widen(channels):
                    named[f"words_{g}_{c}"] = widen
            if self.pack:
                named[f"pack_{g}"] = self.pack
            if self.gather:
                named |= {f"{name}_{g}": intrinsic for name, intrinsic in self.gather.intrinsics.items()}
        return named

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """Functions that the layer calls."""
        return tuple(intrinsic.micro_kernel() for intrinsic in self.intrinsics().values())

    @property
    def scratch(self) -> int:
        """Bytes of words and patches."""
        words = self.groups[0].size // 2 + self.lanes
        return WORD * words * self.even_depth + (2 * self.depth if self.gather else 0)

    @property
    def pack(self) -> Pack | None:
        """What packs two rows when they are aligned."""
        return Pack(self.depth) if self.depth % WORD == 0 else None

    def widen(self, band: Band) -> Widen | None:
        """What widens the weights of a tile when those of every tile are aligned."""
        count = self.even_depth * band.size
        return Widen(count) if count % WORD == 0 else None

    def weights(self, weight: Array) -> dict[str, Array]:
        """Weights int8[tiles, depth * lanes] of each band of channels."""
        packed: dict[str, Array] = {}
        for c, band in enumerate(self.channel_bands):
            span = slice(band.first, band.first + band.size * band.count)
            by_step = weight[span].reshape(band.count, band.size, self.even_depth // 2, 2)
            packed[f"weight_{c}"] = by_step.transpose(0, 2, 1, 3).reshape(band.count, -1)
        return packed

    def instructions(self) -> float:
        """Estimate for the layer."""
        gathered = self.gather.instructions_per_row * self.rows if self.gather else 0.0
        outputs = self.rows * self.channels
        widened = sum(group.count for group in self.groups) * self.channels * self.depth
        return (
            gathered
            + INSTRUCTIONS_PER_PRODUCT * outputs * self.even_depth
            + INSTRUCTIONS_PER_OUTPUT * outputs
            + INSTRUCTIONS_PER_WORD * self.rows * self.even_depth / 2
            + INSTRUCTIONS_PER_WEIGHT * widened
        )

    def function(self, constants: Mapping[str, Array]) -> Any:
        """TensorIR of the layer."""
        even = self.even_depth
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            matrix = self.gather.matrix if self.gather else (self.rows, self.depth)
            data = T.arg("data", T.buffer(matrix, "int8"))
            buffers = {
                name: T.arg(name, T.buffer(value.shape, str(value.dtype)))
                for name, value in constants.items()
            }
            output = T.arg("output", T.buffer((self.rows, self.channels), "int8"))
            with T.sblock("root"):
                pairs = T.sblock_alloc_buffer((self.groups[0].size // 2, even), "int32")
                words = T.sblock_alloc_buffer((even * self.lanes,), "int32")
                IRBuilder.name("pairs", pairs)
                IRBuilder.name("words", words)
                patches = data
                if self.gather:
                    patches = T.sblock_alloc_buffer((2, self.depth), "int8")
                    IRBuilder.name("patches", patches)
                for g, group in enumerate(self.groups):
                    with T.serial(0, group.count) as index:
                        first = group.first + index * group.size
                        self._pack(g, group, data, patches, pairs, first)
                        for c, band in enumerate(self.channel_bands):
                            sums = T.sblock_alloc_buffer((group.size, band.size), "int32")
                            weight = buffers[f"weight_{c}"]
                            with T.serial(0, band.count) as n:
                                self._widen(f"words_{g}_{c}", band, weight, words, n)
                                with T.sblock(f"tile_{g}_{c}"):
                                    vg = T.axis.spatial(group.count, index)
                                    vn = T.axis.spatial(band.count, n)
                                    channel = band.first + vn * band.size
                                    operands = PairOperands(
                                        data=pairs,
                                        weight=words,
                                        factors=buffers["factors"],
                                        fine=buffers["fine"],
                                        output=output,
                                        sums=sums,
                                        channel=channel,
                                        output_at=(group.first + vg * group.size, channel),
                                    )
                                    self.tile(group, band).block(operands)
        return builder.get()

    def _pack(self, g: int, group: Band, data: Any, patches: Any, pairs: Any, first: Any) -> None:
        """Put two pixels into each word; an odd depth ends with a word of zeros."""
        even = self.even_depth
        with T.serial(0, group.size // 2) as p:
            if self.gather:
                self.gather.emit(data, patches, first + p * 2, 2, f"_{g}")
            if self.pack:
                with T.sblock(f"pack_{g}"):
                    vp = T.axis.spatial(group.size // 2, p)
                    vr = T.axis.spatial(self.rows, 0 if self.gather else first + p * 2)
                    self.pack.block(pairs, vp, patches, vr)
                return
            step = largest_divisor(self.depth, UNROLL)
            loops = T.serial(0, self.depth // step), T.unroll(0, step)
            with loops[0] as outer, loops[1] as inner, T.sblock(f"pack_{g}"):
                vp, vk = T.axis.spatial(group.size // 2, p), T.axis.spatial(self.depth, outer * step + inner)
                vr = T.axis.spatial(self.rows, 0 if self.gather else first + p * 2)
                low, high = (T.Cast("int32", patches[vr + half, vk]) for half in (0, 1))
                T.buffer_store(pairs, low + high * T.int32(1 << 16), [vp, vk])
            if even != self.depth:
                with T.sblock(f"zero_{g}"):
                    vp = T.axis.spatial(group.size // 2, p)
                    T.buffer_store(pairs, T.int32(0), [vp, even - 1])

    def _widen(self, name: str, band: Band, weight: Any, words: Any, tile: Any) -> None:
        """Turn the weights of a tile into words, in the same order."""
        count = self.even_depth * band.size
        if widen := self.widen(band):
            with T.sblock(name):
                widen.block(words, weight, T.axis.spatial(band.count, tile))
            return
        step = largest_divisor(count, UNROLL)
        with T.serial(0, count // step) as outer, T.unroll(0, step) as inner, T.sblock(name):
            vi = T.axis.spatial(count, outer * step + inner)
            vn = T.axis.spatial(band.count, tile)
            T.buffer_store(words, T.Cast("int32", weight[vn, vi]), [vi])
