"""A depthwise layer as its RVV schedules share it: vectors of channels, packed constants, tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry, parts
from .intrinsics.description import allocate
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.depthwise import DepthwiseOperands, DepthwiseTile, unrolled_rows
from .intrinsics.rvv.epilogue import Parameters
from .intrinsics.rvv.products import consecutive, possible_groups
from .kernel import Array, Problem
from .parts import Parts

# Bytes of scratch that a patch or one strip may take at most.
MAX_SCRATCH = 5 * 1024
# Calling a strip of tiles, measured.
INSTRUCTIONS_PER_STRIP = 20.0
# Repeating weights for adjacent pixels costs flash: what each byte has to save.
INSTRUCTIONS_PER_BYTE = 8.0


def vectors_of(inputs: int, multiplier: int) -> tuple[int, int]:
    """(vectors, input channels of each) that cover all channels; the last may overlap the one before."""
    most = WIDE if multiplier == 1 else NARROW // multiplier
    count = -(-inputs // most)
    return count, -(-inputs // count)


class DepthwiseLayer:
    """What all ways to the border share; `pixels` adjacent pixels are one tile."""

    def __init__(self, problem: Problem, geometry: Geometry, parameters: Parameters, pixels: int) -> None:
        self.geometry = geometry
        self.epilogue = parameters.epilogue
        self.pixels = pixels
        self.channels = problem.output_shape[3]
        self.calls = problem.calls
        self.multiplier = int(problem.attrs["depth_multiplier"])
        self.zero_point = int(problem.attrs["input_zero_point"])
        self.count, self.inputs = vectors_of(geometry.depth, self.multiplier)
        self.lanes = self.inputs * self.multiplier * pixels
        weight = problem.constants["weight"].reshape(-1, self.channels)
        together = unrolled_rows(geometry.kernel)
        by_row = weight.reshape(geometry.kernel[0] // together, -1, self.channels).transpose(2, 0, 1)
        self.group = int(possible_groups(by_row, consecutive).min())
        lanes = np.tile(np.arange(self.channels), pixels)
        self.constants: dict[str, Array] = {
            "weight": np.concatenate([weight[:, lanes], parameters.shifts(lanes)[None]]),
            "table": parameters.words(lanes[None]).reshape(2, -1),
        }

    def first(self, vector: Any) -> Any:
        """First input channel of a vector."""
        first = vector * self.inputs
        overlaps = self.geometry.depth % self.inputs
        return T.min(first, self.geometry.depth - self.inputs) if overlaps else first

    def tile(self, tap_step: int, row_step: int, depth: int = 0, tiles: int = 1) -> DepthwiseTile:
        """Shape of a strip of tiles on data with these distances and `depth` bytes from pixel to pixel."""
        return DepthwiseTile(
            lanes=self.lanes,
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
        """Instructions that repeated constants have to save in each call."""
        stored = sum(value.nbytes for value in self.constants.values())
        return INSTRUCTIONS_PER_BYTE * stored * (1 - 1 / self.pixels) / self.calls

    def column(self, tile: Any) -> Any:
        """First pixel of a tile; the last tile of a row overlaps the one before."""
        columns = self.geometry.output[1]
        first = tile * self.pixels
        return T.min(first, columns - self.pixels) if columns % self.pixels else first

    def emit_tile(
        self,
        name: str,
        tile: DepthwiseTile,
        buffers: Buffers,
        data: Any,
        position: tuple[Any, ...],
        origin: Callable[..., tuple[Any, Any]],
    ) -> None:
        """Emit a strip of tiles.

        data: buffer that the windows are read from.
        position: the strip's first input channel, row, first pixel and, in rows copied to scratch, row of those.
        origin: row and byte of the data where the first window begins, from the block's variables of `position`.
        """
        rows, columns = self.geometry.output
        with T.sblock(name):
            extents = (self.geometry.depth, rows, columns, rows)
            axes = [T.axis.spatial(extent, value) for extent, value in zip(extents, position, strict=False)]
            vc, vy, vx = axes[:3]
            operands = DepthwiseOperands(
                data=data,
                weight=buffers.weight,
                table=buffers.table,
                sums=buffers.sums,
                output=buffers.output,
                data_at=origin(*axes),
                lane=vc * self.multiplier,
                output_at=(vy, vx * self.channels + vc * self.multiplier),
            )
            tile.block(operands)

    def function(self, body: Callable[[Buffers], None]) -> Any:
        """The layer's function; `body` emits what happens in it."""
        geometry = self.geometry
        rows, columns = geometry.output
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((geometry.height, geometry.width * geometry.depth), "int8"))
            weight, table = (
                T.arg(name, T.buffer(value.shape, str(value.dtype))) for name, value in self.constants.items()
            )
            output = T.arg("output", T.buffer((rows, columns * self.channels), "int8"))
            with T.sblock("root"):
                sums = allocate("sums", (columns, self.lanes), "int32")
                body(Buffers(data, weight, table, sums, output))
        return builder.get()


def called(tile: DepthwiseTile) -> Parts:
    """Instructions of a strip with its call, estimated."""
    return tile.assemble().parts + Parts(calls=INSTRUCTIONS_PER_STRIP)


@dataclass(frozen=True)
class Buffers:
    """Parameters and accumulators of the function under construction."""

    data: Any
    weight: Any
    table: Any
    sums: Any
    output: Any
