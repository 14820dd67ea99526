"""Arm DSP schedule of depthwise convolutions a few outputs of a row at a time, all channels in one call.

For layers of few rows, as the calls of a streamed region are; `depthwise_dsp.py` sets up every channel once for many.
Rows are not padded here: in a region, rows outside the image lie in its line buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics import dsp
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .tensor_ir import drop_unit_loops

# Outputs that a tile should have at most.
MOST = 7
# Of the loop over rows and of what passes arguments.
INSTRUCTIONS_PER_ROW = 10.0


@dataclass(frozen=True)
class _Part:
    """Outputs of a row from `first` on, whose windows enter the image at `column`."""

    first: int
    column: int
    row: dsp.DepthwiseRow


def schedule_depthwise_row_dsp(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d of one image whose rows are not padded; None where registers do not suffice."""
    if problem.operator != "depthwise_conv2d" or "dsp" not in problem.features or not _applies(problem):
        return None
    tiles = next((found for most in range(MOST, 0, -1) if (found := _tiles(problem, most))), None)
    epilogue = dsp.epilogue_of(problem, 3) if tiles else None
    if tiles is None or epilogue is None or epilogue.form == dsp.AWAY:
        return None
    parts = [_Part(first, column, dsp.DepthwiseRow(tile, epilogue)) for first, column, tile in tiles]
    cost = sum(part.row.instructions for part in parts) + INSTRUCTIONS_PER_ROW
    return Candidate(
        rule="dsp depthwise rows",
        instructions=20 + cost * problem.output_shape[1],
        build=lambda: _build(problem, parts, epilogue),
        micro_kernels=lambda: _micro_kernels(parts),
    )


def _micro_kernels(parts: list[_Part]) -> tuple[MicroKernel, ...]:
    kernels = [part.row.micro_kernel() for part in parts]
    return tuple({kernel.name: kernel for kernel in kernels}.values())


def _applies(problem: Problem) -> bool:
    if "weight" not in problem.constants or problem.output_shape[0] != 1:
        return False
    attrs = problem.attrs
    top, left, bottom, right = attrs["padding"]
    kernel_w = problem.shapes["weight"][2]
    return (
        attrs["depth_multiplier"] == 1
        and attrs["dilation"][1] == 1
        and top == bottom == 0
        and max(left, right) < kernel_w
        and problem.output_shape[3] >= dsp.ROW_LANES
    )


def _edges(problem: Problem) -> dict[int, tuple[int, int]]:
    """Outputs of a row whose windows leave the image, with those columns of a window that do not: first and end."""
    attrs, width, kernel_w = problem.attrs, problem.shapes["data"][2], problem.shapes["weight"][2]
    found = {}
    for output in range(problem.output_shape[2]):
        origin = output * attrs["strides"][1] - attrs["padding"][1]
        inside = max(-origin, 0), min(kernel_w, width - origin)
        if inside != (0, kernel_w):
            found[output] = inside
    return found


def _tiles(problem: Problem, most: int) -> list[tuple[int, int, dsp.RowTile]]:
    """Equal parts of a row, of at most so many outputs, and what is left: first output and column, and the tile.

    Nothing when one of them does not fit.
    """
    attrs, (_, _, width, channels) = problem.attrs, problem.shapes["data"]
    outputs, stride = problem.output_shape[2], attrs["strides"][1]
    kernel = problem.shapes["weight"][1], problem.shapes["weight"][2]
    size, edges = -(-outputs // -(-outputs // most)), list(_edges(problem))
    tiles = []
    for first in range(0, outputs, size):
        origin = first * stride - attrs["padding"][1]
        left, count = max(-origin, 0), min(size, outputs - first)
        columns = min(origin + (count - 1) * stride + kernel[1], width) - origin - left
        tile = dsp.RowTile(
            outputs=count,
            kernel=kernel,
            row_step=attrs["dilation"][0],
            stride=stride,
            left=left,
            columns=columns,
            pitch=width * channels,
            channels=channels,
            edges=tuple(
                (output - first, place)
                for place, output in enumerate(edges)
                if first <= output < first + count
            ),
            biases=len(edges),
        )
        if columns < 1 or not tile.fits:
            return []
        tiles.append((first, origin + left, tile))
    return tiles


def _build(problem: Problem, parts: list[_Part], epilogue: dsp.Epilogue) -> Kernel:
    sch = dsp.schedule(drop_unit_loops(_function(problem, parts)))
    for part in parts:
        sch.tensorize(sch.get_sblock(f"row_{part.first}"), part.row.register())
    weight, bias = (dsp.in_slots(one) for one in (problem.constants["weight"][0], epilogue.table[:, 0]))
    edges = list(_edges(problem).values())
    biases = dsp.edge_biases(weight, bias, edges, problem.attrs["input_zero_point"])
    weights = dsp.pack_pairs(weight)
    return Kernel(
        function=sch.mod["main"],
        constants={
            "weights": weights.reshape(len(weights), -1),
            "requantization": np.concatenate([dsp.in_slots(epilogue.rows.T).T, biases], axis=1),
        },
        micro_kernels=_micro_kernels(parts),
    )


def _function(problem: Problem, parts: list[_Part]) -> Any:
    _, height, width, channels = problem.shapes["data"]
    _, rows, columns, _ = problem.output_shape
    tile = parts[0].row.tile
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((height, width * channels), "int8"))
        weights = T.arg("weights", T.buffer((tile.slots, tile.quads * tile.kernel[1] * 4), "int8"))
        table = T.arg("requantization", T.buffer((tile.slots, tile.row_words), "int32"))
        output = T.arg("output", T.buffer((rows, columns * channels), "int8"))
        with T.sblock("root"), T.serial(0, rows) as y:
            for part in parts:
                sums = T.sblock_alloc_buffer((part.row.tile.outputs, tile.slots), "int32")
                with T.sblock(f"row_{part.first}"):
                    vy = T.axis.spatial(rows, y)
                    operands = dsp.RowOperands(
                        data,
                        weights,
                        table,
                        output,
                        sums,
                        (vy * problem.attrs["strides"][0], part.column * channels),
                        (vy, part.first * channels),
                    )
                    part.row.block(operands)
    return builder.get()
