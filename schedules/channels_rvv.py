"""RVV schedule of convolutions and dense layers over output channels: a vector of channels for one or two pixels.

Windows inside the image are read where they lie, a strip of pixels at a time; at the border they are first copied
into a patch whose missing taps hold the zero point, so that one bias serves all pixels. The weights of up to 64
channels lie together, tap by tap.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import s_tir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry, parts
from .intrinsics.description import allocate
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.channels import ChannelTile, TileOperands
from .intrinsics.rvv.epilogue import Parameters
from .intrinsics.rvv.memory import Copy, Fill
from .intrinsics.rvv.products import possible_groups
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .parts import Parts

# Calling a strip of tiles, measured.
INSTRUCTIONS_PER_STRIP = 20.0


@dataclass(frozen=True)
class Chunk:
    """Channels that one micro-kernel serves: `count` chunks of `channels`, for tiles of `together` pixels."""

    index: int
    first: int
    count: int
    channels: int
    together: int


def chunks_of(channels: int, width: int) -> list[Chunk]:
    """Chunks that cover all channels: full ones, then the rest."""
    full, rest = divmod(channels, WIDE)
    chunks = [Chunk(0, 0, full, WIDE, 1)] if full else []
    if rest:
        together = 2 if rest <= NARROW and width > 1 else 1
        chunks.append(Chunk(len(chunks), full * WIDE, 1, rest, together))
    return chunks


class ChannelLayer:
    """A convolution, or a dense layer as one, on its way to a kernel.

    rule: name of the rule, for reports.
    """

    def __init__(self, rule: str, problem: Problem, geometry: Geometry, parameters: Parameters) -> None:
        self.rule = rule
        self.geometry = geometry
        self.epilogue = parameters.epilogue
        self.zero_point = int(problem.attrs["input_zero_point"])
        self.channels = problem.output_shape[-1]
        self.chunks = chunks_of(self.channels, geometry.output[1])
        # Windows read in place are rows of adjacent taps; where columns are dilated there are only patches, of one row.
        self.in_place = geometry.dilation[1] == 1 or geometry.kernel[1] == 1
        self.rows = geometry.kernel[0] if self.in_place else 1
        self.taps = geometry.window // self.rows
        weight = problem.constants["weight"].reshape(self.channels, self.rows, self.taps)
        self.group = int(possible_groups(weight).min())
        self.constants: dict[str, Array] = {}
        for chunk in self.chunks:
            span = slice(chunk.first, chunk.first + chunk.count * chunk.channels)
            by_chunk = weight[span].reshape(chunk.count, chunk.channels, geometry.window)
            lanes = np.arange(self.channels)[span].reshape(chunk.count, chunk.channels)
            rows = [by_chunk.transpose(0, 2, 1), parameters.shifts(lanes)[:, None]]
            self.constants[f"weight_{chunk.index}"] = _rows(np.concatenate(rows, 1))
            self.constants[f"table_{chunk.index}"] = parameters.words(lanes)

    @property
    def packs(self) -> bool:
        """Whether there are windows that are read from the patch."""
        return self.geometry.padded or not self.in_place

    def strips(self, together: int) -> list[tuple[int, int]]:
        """(first column, pixels) of the strips of a row that are read from the image."""
        return parts(self.geometry.inner_tiles(together), together) if self.in_place else []

    @property
    def packing(self) -> tuple[Copy, Fill]:
        """What packs one tap of a patch: all channels of a pixel, or the zero point."""
        return Copy(self.geometry.depth), Fill(self.geometry.depth, self.zero_point)

    @property
    def scratch(self) -> int:
        """Bytes of the patches."""
        return sum(self._nests()) * self.geometry.window if self.packs else 0

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        parts = self._parts()
        return Candidate(self.rule, parts.total, self._build, self._micro_kernels, self.scratch, parts=parts)

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        tiles = [self.tile(chunk, None).micro_kernel() for chunk in self.chunks]
        packing = [mover.micro_kernel() for mover in self.packing] if self.packs else []
        return (*tiles, *packing)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self._function())
        for chunk in self.chunks:
            for first, pixels in self.strips(chunk.together):
                tile = self.tile(chunk, pixels)
                sch.tensorize(sch.get_sblock(f"image_{chunk.index}_{first}"), tile.register())
            if self.packs:
                sch.tensorize(sch.get_sblock(f"patch_{chunk.index}"), self.tile(chunk, None).register())
        if self.packs:
            copy, fill = self.packing
            for together in self._nests():
                sch.tensorize(sch.get_sblock(f"copy_{together}"), copy.register())
                sch.tensorize(sch.get_sblock(f"fill_{together}"), fill.register())
        return Kernel(sch.mod["main"], self.constants, self._micro_kernels())

    def _nests(self) -> dict[int, list[Chunk]]:
        """Chunks that share loops over pixels, by the pixels of their tiles."""
        return {
            together: [chunk for chunk in self.chunks if chunk.together == together]
            for together in sorted({chunk.together for chunk in self.chunks})
        }

    def tile(self, chunk: Chunk, pixels: int | None) -> ChannelTile:
        """Strip of so many pixels that a chunk reads from the image; without `pixels` one tile from the patch.

        Strips of one pixel go over the vectors of channels instead.
        """
        geometry = self.geometry
        return ChannelTile(
            channels=chunk.channels,
            vectors=chunk.count if pixels == 1 else 1,
            pixels=pixels or chunk.together,
            together=chunk.together,
            step=geometry.strides[1] * geometry.depth if pixels else self.taps,
            rows=self.rows,
            taps=self.taps,
            dilation=geometry.dilation[0] if pixels else 1,
            group=self.group,
            epilogue=self.epilogue,
        )

    def _parts(self) -> Parts:
        geometry = self.geometry
        rows, columns = geometry.output
        total = Parts()
        for together, chunks in self._nests().items():
            for chunk in chunks:
                strips = [self.tile(chunk, pixels) for _, pixels in self.strips(together)]
                row = sum((_called(strip) * (chunk.count // strip.vectors) for strip in strips), Parts())
                total += row * len(geometry.inner_rows)
            if not self.packs:
                continue
            share = geometry.share_outside(together) if self.in_place else 1.0
            patches = rows * -(-columns // together) * share
            copies = together * geometry.kernel[0] * geometry.kernel[1]
            packing = copies * (self.packing[0].assemble().executed + INSTRUCTIONS_PER_CALL)
            tiles = sum((_called(self.tile(chunk, None)) * chunk.count for chunk in chunks), Parts())
            total += (Parts(copies=packing) + tiles) * patches
        return total

    def _function(self) -> Any:
        geometry = self.geometry
        rows, columns = geometry.output
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            image = (geometry.height, geometry.width * geometry.depth)
            data = T.arg("data", T.buffer(image, "int8"))
            constants = {
                name: T.arg(name, T.buffer(value.shape, str(value.dtype)))
                for name, value in self.constants.items()
            }
            output = T.arg("output", T.buffer((rows * columns, self.channels), "int8"))
            with T.sblock("root"):
                for together, chunks in self._nests().items():
                    strips = self.strips(together)
                    longest = max([together, *(pixels for _, pixels in strips)])
                    patch = None
                    if self.packs:
                        patch = allocate(f"patch_{together}", (self.rows, together * self.taps))
                    sums = [
                        allocate(f"sums_{chunk.index}", (max(longest, chunk.count), chunk.channels), "int32")
                        for chunk in chunks
                    ]
                    with T.serial(0, rows) as y:
                        nest = _Nest(self, together, chunks, data, patch, constants, sums, output, y)
                        if patch is not None:
                            nest.border()
                        nest.inside(strips)
        return builder.get()


def _called(tile: ChannelTile) -> Parts:
    return tile.assemble().parts + Parts(calls=INSTRUCTIONS_PER_STRIP)


def _rows(array: Array) -> Array:
    """The array as a matrix of its last axis."""
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]))


@dataclass(frozen=True)
class _Nest:
    """What happens in a row of the output for chunks of the same number of pixels at a time."""

    layer: ChannelLayer
    together: int
    chunks: list[Chunk]
    data: Any
    patch: Any
    constants: dict[str, Any]
    sums: list[Any]
    output: Any
    y: Any

    def inside(self, strips: list[tuple[int, int]]) -> None:
        """The strips of the row that are read from the image, if its windows lie inside."""
        geometry = self.layer.geometry
        with ExitStack() as stack:
            condition = geometry.row_inside(self.y)
            if strips and condition is not None:
                stack.enter_context(T.If(condition))
                stack.enter_context(T.Then())
            for first, pixels in strips:
                self._tiles(f"image_{{}}_{first}", pixels, first)

    def border(self) -> None:
        """The pixels of the row whose windows reach over the border, or are never read where they lie."""
        geometry = self.layer.geometry
        columns, together = geometry.output[1], self.together
        with T.serial(0, -(-columns // together)) as tile, ExitStack() as stack:
            first = tile * together
            x = T.min(first, columns - together) if columns % together else first
            if self.layer.strips(together):
                stack.enter_context(T.If(geometry.outside(self.y, x, together)))
                stack.enter_context(T.Then())
            self._pack(x)
            self._tiles("patch_{}", None, x)

    def _tiles(self, name: str, pixels: int | None, x: Any) -> None:
        """A strip of `pixels` of the image, or a tile of the patch, for all channels."""
        geometry = self.layer.geometry
        for chunk, sums in zip(self.chunks, self.sums, strict=True):
            tile = self.layer.tile(chunk, pixels)
            with T.serial(0, chunk.count // tile.vectors) as c, T.sblock(name.format(chunk.index)):
                rows, columns = geometry.output
                vy, vx = T.axis.spatial(rows, self.y), T.axis.spatial(columns, x)
                vc = T.axis.spatial(chunk.count // tile.vectors, c)
                operands = TileOperands(
                    data=self.data if pixels else self.patch,
                    weight=self.constants[f"weight_{chunk.index}"],
                    table=self.constants[f"table_{chunk.index}"],
                    sums=sums,
                    output=self.output,
                    data_at=geometry.origin(vy, vx) if pixels else (0, 0),
                    weight_at=vc * tile.depth,
                    table_at=vc,
                    output_at=(vy * columns + vx, chunk.first + vc * chunk.channels),
                )
                tile.block(operands)

    def _pack(self, first: Any) -> None:
        """Copy windows from column `first` on into the patch, tap by tap; taps outside become the zero point."""
        layer, geometry = self.layer, self.layer.geometry
        (kernel_h, kernel_w), depth, together = geometry.kernel, geometry.depth, self.together
        dilation_h, dilation_w = geometry.dilation
        copy, fill = layer.packing
        with T.grid(together, kernel_h, kernel_w) as (i, ky, kx):
            top, left = geometry.origin(self.y, first + i)
            y, x = top + ky * dilation_h, left + kx * dilation_w * depth
            inside = tirx.all(y >= 0, y < geometry.height, x >= 0, x < geometry.width * depth)

            def place(i: Any, ky: Any, kx: Any) -> tuple[Any, Any]:
                tap = kx * depth if layer.rows > 1 else (ky * kernel_w + kx) * depth
                return (ky if layer.rows > 1 else 0, i * layer.taps + tap)

            with T.If(inside):
                with T.Then(), T.sblock(f"copy_{together}"):
                    vi, vky, vkx = T.axis.remap("SSS", [i, ky, kx])
                    vy, vx = T.axis.spatial(geometry.height, y), T.axis.spatial(geometry.width * depth, x)
                    copy.block(self.patch, place(vi, vky, vkx), self.data, (vy, vx))
                with T.Else(), T.sblock(f"fill_{together}"):
                    vi, vky, vkx = T.axis.remap("SSS", [i, ky, kx])
                    fill.block(self.patch, place(vi, vky, vkx))
