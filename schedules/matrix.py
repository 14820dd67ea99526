"""What the scalar schedules of pointwise convolution, convolution and dense share: tiles, packing, constants.

All three are a product of a matrix of activations with one of weights, done in register tiles of pixels x channels.
The last tile of an axis overlaps the one before it, so every tile is full; outputs in the overlap are computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.scalar import MatrixTile, TileOperands
from .kernel import Array, Kernel, MicroKernel, Problem
from .requantize import accumulator_limits
from .requantize_scalar import ScalarRequantization, choose
from .tensor_ir import block_names, drop_unit_loops

# Measured on RV32 and Cortex-M3: what products, sums and outputs of a tile cost.
INSTRUCTIONS_PER_PRODUCT = 2.0
INSTRUCTIONS_PER_LOAD = 1.0
INSTRUCTIONS_PER_OUTPUT = 12.0
INSTRUCTIONS_PER_TILE = 50.0


class Intrinsic(Protocol):
    """A micro-kernel with its description."""

    def micro_kernel(self) -> MicroKernel: ...

    def register(self) -> str: ...


class Gather(Protocol):
    """Makes rows of the left matrix from the activations.

    matrix: shape of the activations in memory.
    instructions_per_row: estimate of the cost.
    intrinsics: micro-kernels by the names of the blocks that they implement.
    """

    @property
    def matrix(self) -> tuple[int, int]: ...

    @property
    def intrinsics(self) -> Mapping[str, Intrinsic]: ...

    @property
    def instructions_per_row(self) -> float: ...

    def emit(self, data: Any, patches: Any, first: Any) -> None:
        """Emit TensorIR that fills int8[rows, depth] `patches` with the rows from `first` on."""


def requantization(problem: Problem, channel_axis: int) -> ScalarRequantization | None:
    """The form in which a layer's tile requantises."""
    limits = accumulator_limits(
        problem.constants["weight"],
        problem.constants["bias"],
        problem.attrs["input_zero_point"],
        channel_axis,
    )
    return choose(problem.constants, problem.attrs, limits)


def tile_for(pixels: int, channels: int, depth: int, attrs: Mapping[str, Any], finer: int) -> MatrixTile:
    """Largest useful register tile of a product of [pixels, depth] with [depth, channels]."""
    rows = min(4, pixels)
    return MatrixTile(
        pixels=rows,
        channels=min(4 if rows > 2 else 8 if rows > 1 else 16, channels),
        depth=depth,
        pitch=depth,
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
    Returns "weight" int8[blocks * depth, tile.channels] and "parameters" int32[blocks * 4, tile.channels].
    """
    channels = weight.shape[0]
    blocks = -(-channels // tile.channels)
    first = np.minimum(np.arange(blocks) * tile.channels, channels - tile.channels)
    index = first[:, None] + np.arange(tile.channels)
    table = form.table(input_zero_point * weight.astype(np.int64).sum(axis=1))
    return {
        "weight": weight[index].transpose(0, 2, 1).reshape(-1, tile.channels),
        "parameters": table[:, index].transpose(1, 0, 2).reshape(-1, tile.channels),
    }


def estimate(rows: int, channels: int, tile: MatrixTile) -> float:
    """Instructions of all tiles of a [rows, channels] product."""
    tiles = -(-rows // tile.pixels) * -(-channels // tile.channels)
    outputs = tile.pixels * tile.channels
    per_step = INSTRUCTIONS_PER_PRODUCT * outputs + INSTRUCTIONS_PER_LOAD * (tile.pixels + tile.channels)
    return tiles * (tile.depth * per_step + INSTRUCTIONS_PER_OUTPUT * outputs + INSTRUCTIONS_PER_TILE)


def matrix_kernel(
    problem: Problem, rule: str, channel_axis: int, gather: Gather | None = None
) -> Kernel | None:
    """A layer as a product of matrices; None when no form of requantisation is proven for it.

    gather: makes the rows of the left matrix; without it they are the activations as they lie in memory.
    """
    form = requantization(problem, channel_axis)
    if form is None:
        return None
    weight = np.moveaxis(problem.constants["weight"], channel_axis, 0)
    weight = weight.reshape(weight.shape[0], -1)
    channels, depth = weight.shape
    rows = problem.outputs // channels
    tile = tile_for(rows, channels, depth, problem.attrs, form.finer)
    constants = packed_constants(weight, tile, form, problem.attrs["input_zero_point"])
    function = drop_unit_loops(_matrix_product(rows, channels, tile, constants, gather))
    intrinsics: dict[str, Intrinsic] = {"tile": tile, **(gather.intrinsics if gather else {})}
    # Simplification may have found that a way of gathering never happens.
    left = block_names(function)
    used = {block: intrinsic for block, intrinsic in intrinsics.items() if block in left}
    sch = s_tir.Schedule(function)
    for block, intrinsic in used.items():
        sch.tensorize(sch.get_sblock(block), intrinsic.register())
    gathered = gather.instructions_per_row * rows if gather else 0.0
    return Kernel(
        rule=rule,
        function=sch.mod["main"],
        constants=constants,
        instructions=estimate(rows, channels, tile) + gathered,
        micro_kernels=tuple(intrinsic.micro_kernel() for intrinsic in used.values()),
    )


def _matrix_product(
    rows: int, channels: int, tile: MatrixTile, constants: Mapping[str, Array], gather: Gather | None
) -> Any:
    row_tiles, blocks = -(-rows // tile.pixels), -(-channels // tile.channels)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer(gather.matrix if gather else (rows, tile.depth), "int8"))
        weight, parameters = (
            T.arg(name, T.buffer(value.shape, str(value.dtype))) for name, value in constants.items()
        )
        output = T.arg("output", T.buffer((rows, channels), "int8"))
        with T.sblock("root"):
            sums = T.sblock_alloc_buffer((tile.pixels, tile.channels), "int32")
            patches = data
            if gather:
                patches = T.sblock_alloc_buffer((tile.pixels, tile.depth), "int8")
                IRBuilder.name("patches", patches)
            with T.serial(0, row_tiles) as p:
                if gather:
                    gather.emit(data, patches, _origin(p, tile.pixels, rows))
                with T.serial(0, blocks) as n, T.sblock("tile"):
                    vp, vn = T.axis.spatial(row_tiles, p), T.axis.spatial(blocks, n)
                    row = _origin(vp, tile.pixels, rows)
                    operands = TileOperands(
                        data=patches,
                        weight=weight,
                        parameters=parameters,
                        sums=sums,
                        output=output,
                        data_at=0 if gather else row,
                        weight_at=vn * tile.depth,
                        parameters_at=vn * 4,
                        output_at=(row, _origin(vn, tile.channels, channels)),
                    )
                    tile.block(operands)
    return builder.get()


def _origin(index: Any, step: int, extent: int) -> Any:
    """Where tile `index` begins so that the last one ends with the axis."""
    return T.min(index * step, extent - step) if extent % step else index * step
