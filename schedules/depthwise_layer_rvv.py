"""A depthwise layer as its RVV schedules share it: chunks of channels, packed constants, tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry, parts
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.depthwise import DepthwiseOperands, DepthwiseTile, unrolled_rows
from .intrinsics.rvv.description import allocate
from .intrinsics.rvv.epilogue import Parameters
from .intrinsics.rvv.products import consecutive, possible_groups
from .kernel import Array, Problem

# Bytes of scratch that a patch or one strip may take at most.
MAX_SCRATCH = 5 * 1024
# Calling a strip of tiles, measured.
INSTRUCTIONS_PER_STRIP = 20.0
# Repeating weights for adjacent pixels costs flash: what each byte has to save.
INSTRUCTIONS_PER_BYTE = 8.0


@dataclass(frozen=True)
class Chunk:
    """Output channels that one micro-kernel serves: `count` chunks of `channels`, for `pixels` adjacent pixels."""

    index: int
    first: int
    count: int
    channels: int
    pixels: int

    @property
    def lanes(self) -> int:
        """Lanes of a tile."""
        return self.channels * self.pixels


def chunks_of(channels: int, multiplier: int, pixels: int) -> list[Chunk]:
    """Chunks that cover all output channels: full ones, then the rest."""
    width = WIDE if multiplier == 1 else NARROW // multiplier * multiplier
    full, rest = divmod(channels, width)
    chunks = [Chunk(0, 0, full, width, pixels)] if full else []
    if rest:
        chunks.append(Chunk(len(chunks), full * width, 1, rest, pixels))
    return chunks


class DepthwiseLayer:
    """What all ways to the border share; `pixels` adjacent pixels are one tile."""

    def __init__(self, problem: Problem, geometry: Geometry, parameters: Parameters, pixels: int) -> None:
        self.geometry = geometry
        self.epilogue = parameters.epilogue
        self.pixels = pixels
        self.channels = problem.output_shape[3]
        self.multiplier = int(problem.attrs["depth_multiplier"])
        self.zero_point = int(problem.attrs["input_zero_point"])
        self.chunks = chunks_of(self.channels, self.multiplier, pixels)
        weight = problem.constants["weight"].reshape(-1, self.channels)
        together = unrolled_rows(geometry.kernel)
        by_row = weight.reshape(geometry.kernel[0] // together, -1, self.channels).transpose(2, 0, 1)
        self.group = int(possible_groups(by_row, consecutive).min())
        self.constants: dict[str, Array] = {}
        for chunk in self.chunks:
            span = slice(chunk.first, chunk.first + chunk.count * chunk.channels)
            by_chunk = weight[:, span].reshape(len(weight), chunk.count, chunk.channels)
            repeated = np.tile(by_chunk.transpose(1, 0, 2), (1, 1, pixels))
            lanes = np.tile(np.arange(self.channels)[span].reshape(chunk.count, chunk.channels), (1, pixels))
            self.constants[f"weight_{chunk.index}"] = np.ascontiguousarray(repeated.reshape(-1, chunk.lanes))
            self.constants[f"table_{chunk.index}"] = parameters.by_lane(lanes)

    def tile(
        self, chunk: Chunk, tap_step: int, row_step: int, depth: int = 0, tiles: int = 1
    ) -> DepthwiseTile:
        """Shape of a strip of a chunk's tiles on data with these distances and `depth` bytes from pixel to pixel."""
        return DepthwiseTile(
            lanes=chunk.lanes,
            tiles=tiles,
            data_step=self.pixels * self.geometry.strides[1] * depth,
            output_step=self.pixels * self.channels,
            kernel=self.geometry.kernel,
            row_step=row_step,
            tap_step=tap_step,
            multiplier=self.multiplier,
            group=self.group,
            epilogue=self.epilogue,
        )

    def strips(self, tiles: list[int]) -> list[tuple[int, int]]:
        """(first column, tiles) of strips of tiles that begin at these columns."""
        return [(first, columns // self.pixels) for first, columns in parts(tiles, self.pixels)]

    @property
    def price_of_repetition(self) -> float:
        """Instructions that repeated constants have to save."""
        stored = sum(value.nbytes for value in self.constants.values())
        return INSTRUCTIONS_PER_BYTE * stored * (1 - 1 / self.pixels)

    def column(self, tile: Any) -> Any:
        """First pixel of a tile; the last tile of a row overlaps the one before."""
        columns = self.geometry.output[1]
        first = tile * self.pixels
        return T.min(first, columns - self.pixels) if columns % self.pixels else first

    def emit_tile(
        self,
        name: str,
        chunk: Chunk,
        tile: DepthwiseTile,
        buffers: Buffers,
        data: Any,
        position: tuple[Any, ...],
        origin: Callable[..., tuple[Any, Any]],
    ) -> None:
        """Emit a strip of tiles.

        data: buffer that the windows are read from.
        position: the strip's chunk, row, first pixel and, in rows copied to scratch, row of those.
        origin: row and byte of the data where the first window begins, from the block's variables of `position`.
        """
        rows, columns = self.geometry.output
        taps = self.geometry.kernel[0] * self.geometry.kernel[1]
        with T.sblock(name):
            extents = (chunk.count, rows, columns, rows)
            axes = [T.axis.spatial(extent, value) for extent, value in zip(extents, position, strict=False)]
            vc, vy, vx = axes[:3]
            operands = DepthwiseOperands(
                data=data,
                weight=buffers.constants[f"weight_{chunk.index}"],
                table=buffers.constants[f"table_{chunk.index}"],
                sums=buffers.sums[chunk.index],
                output=buffers.output,
                data_at=origin(*axes),
                weight_at=vc * taps,
                table_at=vc,
                output_at=(vy, vx * self.channels + (chunk.first + vc * chunk.channels)),
            )
            tile.block(operands)

    def function(self, body: Callable[[Buffers], None]) -> Any:
        """The layer's function; `body` emits what happens in it."""
        geometry = self.geometry
        rows, columns = geometry.output
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((geometry.height, geometry.width * geometry.depth), "int8"))
            constants = {
                name: T.arg(name, T.buffer(value.shape, str(value.dtype)))
                for name, value in self.constants.items()
            }
            output = T.arg("output", T.buffer((rows, columns * self.channels), "int8"))
            with T.sblock("root"):
                sums = [
                    allocate(f"sums_{chunk.index}", (columns, chunk.lanes), "int32") for chunk in self.chunks
                ]
                body(Buffers(data, constants, sums, output))
        return builder.get()


def called(tile: DepthwiseTile) -> float:
    """Instructions of a strip with its call, estimated."""
    return tile.assemble().executed + INSTRUCTIONS_PER_STRIP


@dataclass(frozen=True)
class Buffers:
    """Parameters and accumulators of the function under construction."""

    data: Any
    constants: dict[str, Any]
    sums: list[Any]
    output: Any
