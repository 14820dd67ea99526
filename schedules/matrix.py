"""What the scalar schedules of pointwise convolution, convolution and dense share: tiles, packing, constants.

All three are a product of a matrix of activations with one of weights, done in register tiles of pixels x channels.
The last tile of an axis overlaps the one before it, so every tile is full; outputs in the overlap are computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script import tirx as T  # noqa: N812

from .intrinsics.scalar import MatrixTile
from .kernel import Array, Kernel, Problem
from .requantize import accumulator_limits
from .requantize_scalar import ScalarRequantization, choose
from .tensor_ir import drop_unit_loops

# Measured on RV32 and Cortex-M3: what products, sums and outputs of a tile cost.
INSTRUCTIONS_PER_PRODUCT = 2.0
INSTRUCTIONS_PER_LOAD = 1.0
INSTRUCTIONS_PER_OUTPUT = 12.0
INSTRUCTIONS_PER_TILE = 50.0


def requantization(problem: Problem, channel_axis: int) -> ScalarRequantization | None:
    """The form in which a layer's tile requantises."""
    limits = accumulator_limits(
        problem.constants["weight"],
        problem.constants["bias"],
        problem.attrs["input_zero_point"],
        channel_axis,
    )
    return choose(problem.constants, problem.attrs, limits)


def tile_for(
    pixels: int, channels: int, depth: int, pitch: int, attrs: Mapping[str, Any], finer: int
) -> MatrixTile:
    """Largest useful register tile of a product of [pixels, depth] with [depth, channels]."""
    rows = min(4, pixels)
    return MatrixTile(
        pixels=rows,
        channels=min(4 if rows > 2 else 8 if rows > 1 else 16, channels),
        depth=depth,
        pitch=pitch,
        output_pitch=channels,
        clamp_min=attrs["clamp_min"],
        clamp_max=attrs["clamp_max"],
        finer=finer,
    )


def packed_constants(
    weight: Array, tile: MatrixTile, form: ScalarRequantization, input_zero_point: int
) -> dict[str, Array]:
    """Constants in the order tiles read them.

    weight: int8[channels, depth].
    Returns "weight" int8[blocks, depth, tile.channels] and "parameters" int32[blocks, 4, tile.channels].
    """
    channels = weight.shape[0]
    blocks = -(-channels // tile.channels)
    first = np.minimum(np.arange(blocks) * tile.channels, channels - tile.channels)
    index = first[:, None] + np.arange(tile.channels)
    table = form.table(input_zero_point * weight.astype(np.int64).sum(axis=1))
    return {
        "weight": np.ascontiguousarray(weight[index].transpose(0, 2, 1)),
        "parameters": np.ascontiguousarray(table[:, index].transpose(1, 0, 2)),
    }


def estimate(rows: int, channels: int, tile: MatrixTile) -> float:
    """Instructions of all tiles of a [rows, channels] product."""
    tiles = -(-rows // tile.pixels) * -(-channels // tile.channels)
    outputs = tile.pixels * tile.channels
    per_step = INSTRUCTIONS_PER_PRODUCT * outputs + INSTRUCTIONS_PER_LOAD * (tile.pixels + tile.channels)
    return tiles * (tile.depth * per_step + INSTRUCTIONS_PER_OUTPUT * outputs + INSTRUCTIONS_PER_TILE)


def matrix_kernel(problem: Problem, rule: str, channel_axis: int) -> Kernel | None:
    """A layer whose activations are the rows of a matrix as they lie in memory; None when no form fits."""
    form = requantization(problem, channel_axis)
    if form is None:
        return None
    weight = np.moveaxis(problem.constants["weight"], channel_axis, 0)
    weight = weight.reshape(weight.shape[0], -1)
    channels, depth = weight.shape
    rows = problem.outputs // channels
    tile = tile_for(rows, channels, depth, depth, problem.attrs, form.finer)
    sch = s_tir.Schedule(drop_unit_loops(_matrix_product(rows, channels, tile)))
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    return Kernel(
        rule=rule,
        function=sch.mod["main"],
        constants=packed_constants(weight, tile, form, problem.attrs["input_zero_point"]),
        instructions=estimate(rows, channels, tile),
        micro_kernels=(tile.micro_kernel(),),
    )


def _matrix_product(rows: int, channels: int, tile: MatrixTile) -> Any:
    pixels, lanes, depth, requantized = tile.pixels, tile.channels, tile.depth, tile.requantized
    row_tiles, blocks = -(-rows // pixels), -(-channels // lanes)
    last_row, last_channel = rows - pixels, channels - lanes

    def origin(index: Any, step: int, last: int) -> Any:
        return T.min(index * step, last)

    @T.prim_func(s_tir=True)
    def main(
        data: T.Buffer((rows, depth), "int8"),  # type: ignore[valid-type]
        weight: T.Buffer((blocks, depth, lanes), "int8"),  # type: ignore[valid-type]
        parameters: T.Buffer((blocks, 4, lanes), "int32"),  # type: ignore[valid-type]
        output: T.Buffer((rows, channels), "int8"),  # type: ignore[valid-type]
    ) -> None:
        sums = T.sblock_alloc_buffer((pixels, lanes), "int32")
        for p, n in T.grid(row_tiles, blocks):
            with T.sblock("tile"):
                vp, vn = T.axis.remap("SS", [p, n])
                T.reads(
                    data[origin(vp, pixels, last_row) : origin(vp, pixels, last_row) + pixels, 0:depth],
                    weight[vn, 0:depth, 0:lanes],
                    parameters[vn, 0:4, 0:lanes],
                )
                T.writes(
                    sums[0:pixels, 0:lanes],
                    output[
                        origin(vp, pixels, last_row) : origin(vp, pixels, last_row) + pixels,
                        origin(vn, lanes, last_channel) : origin(vn, lanes, last_channel) + lanes,
                    ],
                )
                for i, j in T.grid(pixels, lanes):
                    with T.sblock("bias"):
                        vi, vj = T.axis.remap("SS", [i, j])
                        sums[vi, vj] = parameters[vn, 0, vj]
                for i, j, k in T.grid(pixels, lanes, depth):
                    with T.sblock("accumulate"):
                        vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                        sums[vi, vj] = sums[vi, vj] + T.Cast(
                            "int32", data[origin(vp, pixels, last_row) + vi, vk]
                        ) * T.Cast("int32", weight[vn, vk, vj])
                for i, j in T.grid(pixels, lanes):
                    with T.sblock("requantize"):
                        vi, vj = T.axis.remap("SS", [i, j])
                        output[origin(vp, pixels, last_row) + vi, origin(vn, lanes, last_channel) + vj] = (
                            requantized(
                                sums[vi, vj],
                                parameters[vn, 1, vj],
                                parameters[vn, 2, vj],
                                parameters[vn, 3, vj],
                            )
                        )

    return main
