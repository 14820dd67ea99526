"""RVV schedule of convolutions and dense layers over output channels: a vector of channels for one or two pixels.

Windows inside the image are read where they lie; at the border they are first copied into a patch whose missing taps
hold the zero point, so that one bias serves all pixels. The weights of up to 64 channels lie together, tap by tap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import s_tir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.channels import ChannelTile, TileOperands
from .intrinsics.rvv.description import allocate
from .intrinsics.rvv.epilogue import Parameters
from .intrinsics.rvv.memory import Copy, Fill
from .intrinsics.rvv.products import possible_groups
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem

# Calling a tile and counting pixels, measured.
INSTRUCTIONS_PER_TILE = 14.0


@dataclass(frozen=True)
class Chunk:
    """Channels that one micro-kernel serves: `count` chunks of `channels`, for tiles of `pixels`."""

    index: int
    first: int
    count: int
    channels: int
    pixels: int


def chunks_of(channels: int, width: int) -> list[Chunk]:
    """Chunks that cover all channels: full ones, then the rest."""
    full, rest = divmod(channels, WIDE)
    chunks = [Chunk(0, 0, full, WIDE, 1)] if full else []
    if rest:
        pixels = 2 if rest <= NARROW and width > 1 else 1
        chunks.append(Chunk(len(chunks), full * WIDE, 1, rest, pixels))
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
            table = parameters.table[:, span].reshape(3, chunk.count, chunk.channels)
            self.constants[f"weight_{chunk.index}"] = _rows(by_chunk.transpose(0, 2, 1))
            self.constants[f"table_{chunk.index}"] = _rows(table.transpose(1, 0, 2))

    @property
    def places(self) -> tuple[str, ...]:
        """Where windows are read: "image", "patch" or both."""
        if not self.in_place:
            return ("patch",)
        return ("image", "patch") if self.geometry.padded else ("image",)

    @property
    def packing(self) -> tuple[Copy, Fill]:
        """What packs one tap of a patch: all channels of a pixel, or the zero point."""
        return Copy(self.geometry.depth), Fill(self.geometry.depth, self.zero_point)

    @property
    def scratch(self) -> int:
        """Bytes of the patches."""
        return 0 if self.places == ("image",) else sum(self._nests()) * self.geometry.window

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        return Candidate(self.rule, self._instructions(), self._build, self._micro_kernels, self.scratch)

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        tiles = [self.tile(chunk, self.places[-1]).micro_kernel() for chunk in self.chunks]
        packing = [mover.micro_kernel() for mover in self.packing] if "patch" in self.places else []
        return (*tiles, *packing)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self._function())
        for chunk in self.chunks:
            for place in self.places:
                tile = self.tile(chunk, place)
                sch.tensorize(sch.get_sblock(f"{place}_{chunk.index}"), tile.register())
        if "patch" in self.places:
            copy, fill = self.packing
            for pixels in self._nests():
                sch.tensorize(sch.get_sblock(f"copy_{pixels}"), copy.register())
                sch.tensorize(sch.get_sblock(f"fill_{pixels}"), fill.register())
        return Kernel(sch.mod["main"], self.constants, self._micro_kernels())

    def _nests(self) -> dict[int, list[Chunk]]:
        """Chunks that share loops over pixels, by the pixels of their tiles."""
        return {
            pixels: [chunk for chunk in self.chunks if chunk.pixels == pixels]
            for pixels in sorted({chunk.pixels for chunk in self.chunks})
        }

    def tile(self, chunk: Chunk, place: str) -> ChannelTile:
        """Shape of the tiles of a chunk that read the image or the patch."""
        geometry = self.geometry
        image = place == "image"
        return ChannelTile(
            channels=chunk.channels,
            pixels=chunk.pixels,
            step=geometry.strides[1] * geometry.depth if image else self.taps,
            rows=self.rows,
            taps=self.taps,
            dilation=geometry.dilation[0] if image else 1,
            group=self.group,
            epilogue=self.epilogue,
        )

    def _instructions(self) -> float:
        geometry = self.geometry
        rows, columns = geometry.output
        total = 0.0
        for pixels, chunks in self._nests().items():
            tiles = rows * -(-columns // pixels)
            work = [self.tile(chunk, "patch").assemble().executed + INSTRUCTIONS_PER_TILE for chunk in chunks]
            total += tiles * sum(cost * chunk.count for cost, chunk in zip(work, chunks, strict=True))
            copy = self.packing[0].assemble().executed + INSTRUCTIONS_PER_TILE
            patches = tiles * geometry.share_outside(pixels) if self.in_place else tiles
            total += patches * pixels * geometry.kernel[0] * geometry.kernel[1] * copy
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
                for pixels, chunks in self._nests().items():
                    patch = None
                    if "patch" in self.places:
                        patch = allocate(f"patch_{pixels}", (self.rows, pixels * self.taps))
                    sums = [
                        allocate(f"sums_{chunk.index}", (pixels, chunk.channels), "int32") for chunk in chunks
                    ]
                    with T.grid(rows, -(-columns // pixels)) as (y, tile):
                        first = tile * pixels
                        x = T.min(first, columns - pixels) if columns % pixels else first
                        nest = _Nest(self, chunks, data, patch, constants, sums, output, y, x)
                        if self.places == ("image", "patch"):
                            with T.If(geometry.inside(y, x, pixels)):
                                with T.Then():
                                    nest.tiles("image")
                                with T.Else():
                                    nest.pack()
                                    nest.tiles("patch")
                        else:
                            if patch is not None:
                                nest.pack()
                            nest.tiles(self.places[0])
        return builder.get()


def _rows(array: Array) -> Array:
    """The array as a matrix of its last axis."""
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]))


@dataclass(frozen=True)
class _Nest:
    """What happens at one position (y, x) of the loops over pixels."""

    layer: ChannelLayer
    chunks: list[Chunk]
    data: Any
    patch: Any
    constants: dict[str, Any]
    sums: list[Any]
    output: Any
    y: Any
    x: Any

    def tiles(self, place: str) -> None:
        """One tile per chunk of channels, reading from the image or the patch."""
        geometry = self.layer.geometry
        for chunk, sums in zip(self.chunks, self.sums, strict=True):
            with T.serial(0, chunk.count) as c, T.sblock(f"{place}_{chunk.index}"):
                rows, columns = geometry.output
                vy, vx = T.axis.spatial(rows, self.y), T.axis.spatial(columns, self.x)
                vc = T.axis.spatial(chunk.count, c)
                origin = geometry.origin(vy, vx) if place == "image" else (0, 0)
                operands = TileOperands(
                    data=self.data if place == "image" else self.patch,
                    weight=self.constants[f"weight_{chunk.index}"],
                    table=self.constants[f"table_{chunk.index}"],
                    sums=sums,
                    output=self.output,
                    data_at=origin,
                    weight_at=vc * geometry.window,
                    table_at=vc * 3,
                    output_at=(vy * columns + vx, chunk.first + vc * chunk.channels),
                )
                self.layer.tile(chunk, place).block(operands)

    def pack(self) -> None:
        """Copy the windows into the patch, tap by tap; taps outside the image become the zero point."""
        layer, geometry = self.layer, self.layer.geometry
        (kernel_h, kernel_w), depth, pixels = geometry.kernel, geometry.depth, self.chunks[0].pixels
        dilation_h, dilation_w = geometry.dilation
        copy, fill = layer.packing
        with T.grid(pixels, kernel_h, kernel_w) as (i, ky, kx):
            top, left = geometry.origin(self.y, self.x + i)
            y, x = top + ky * dilation_h, left + kx * dilation_w * depth
            inside = tirx.all(y >= 0, y < geometry.height, x >= 0, x < geometry.width * depth)

            def place(i: Any, ky: Any, kx: Any) -> tuple[Any, Any]:
                tap = kx * depth if layer.rows > 1 else (ky * kernel_w + kx) * depth
                return (ky if layer.rows > 1 else 0, i * layer.taps + tap)

            with T.If(inside):
                with T.Then(), T.sblock(f"copy_{pixels}"):
                    vi, vky, vkx = T.axis.remap("SSS", [i, ky, kx])
                    vy, vx = T.axis.spatial(geometry.height, y), T.axis.spatial(geometry.width * depth, x)
                    copy.block(self.patch, place(vi, vky, vkx), self.data, (vy, vx))
                with T.Else(), T.sblock(f"fill_{pixels}"):
                    vi, vky, vkx = T.axis.remap("SSS", [i, ky, kx])
                    fill.block(self.patch, place(vi, vky, vkx))
