"""Schedule of dense for Armv6-M: up to eight outputs at a time, by micro-kernels that make sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_point import requantize_expr, saturate_expr

from .dense import INSTRUCTIONS_THUMB1
from .intrinsics.thumb1_dense import MAX_LANES, OFFSET, DenseSums
from .kernel import Array, Candidate, Kernel, Problem
from .matrix import Band, bands
from .tensor_ir import drop_unit_loops, largest_divisor

# Lanes from which equal tiles are better than whole ones and a rest.
MIN_LANES = 4


def schedule_dense_lanes(problem: Problem) -> Candidate | None:
    """Schedule dense on Armv6-M; None for the rest, single outputs or inputs, and weights that change."""
    if problem.operator != "dense" or "thumb1" not in problem.features or "weight" not in problem.constants:
        return None
    channels, depth = problem.shapes["weight"]
    if min(channels, depth) == 1:
        return None
    rows = problem.outputs // channels
    parts = _bands(channels)
    tiles = [DenseSums(part.size, depth) for part in parts]
    products = sum(part.count * tile.instructions for part, tile in zip(parts, tiles, strict=True))
    return Candidate(
        rule="dense lanes",
        instructions=rows * (products + INSTRUCTIONS_THUMB1[1] * channels),
        build=lambda: _build(problem, rows, parts, tiles),
        micro_kernels=lambda: tuple(tile.micro_kernel() for tile in tiles),
    )


def _bands(channels: int) -> list[Band]:
    """Equal tiles, or wide ones and one for the rest, which is more than a single channel."""
    equal = largest_divisor(channels, MAX_LANES)
    if equal >= MIN_LANES:
        return bands(channels, [equal])
    widest = next(lanes for lanes in range(MAX_LANES, 1, -1) if channels % lanes != 1)
    return bands(channels, [widest, channels % widest])


def _build(problem: Problem, rows: int, parts: list[Band], tiles: list[DenseSums]) -> Kernel:
    constants = _constants(problem, parts)
    sch = s_tir.Schedule(drop_unit_loops(_function(problem, rows, parts, tiles, constants)))
    for number, tile in enumerate(tiles):
        sch.tensorize(sch.get_sblock(f"tile_{number}"), tile.register())
    return Kernel(sch.mod["main"], constants, tuple(tile.micro_kernel() for tile in tiles))


def _constants(problem: Problem, parts: list[Band]) -> Mapping[str, Array]:
    """Weights by tiles, and what the requantisation reads; the bias holds the zero point of the input."""
    weight = problem.constants["weight"].astype(np.int32)
    bias = problem.constants["bias"] - problem.attrs["input_zero_point"] * weight.sum(1, dtype=np.int32)
    stored = {**problem.stored, "bias": bias.astype(np.int32)}
    del stored["weight"]
    for number, part in enumerate(parts):
        own = weight[part.first : part.first + part.size * part.count] + OFFSET
        by_tile = own.reshape(part.count, part.size, -1).transpose(0, 2, 1)
        stored[f"weight_{number}"] = by_tile.reshape(-1, part.size).astype(np.uint8)
    return stored


def _function(
    problem: Problem,
    rows: int,
    parts: list[Band],
    tiles: list[DenseSums],
    constants: Mapping[str, Array],
) -> Any:
    channels, depth = problem.shapes["weight"]
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((rows, depth), "int8"))
        given = {
            name: T.arg(name, T.buffer(value.shape, str(value.dtype))) for name, value in constants.items()
        }
        output = T.arg("output", T.buffer((rows, channels), "int8"))
        with T.sblock("root"), T.serial(0, rows) as r:
            for number, (part, tile) in enumerate(zip(parts, tiles, strict=True)):
                sums = T.sblock_alloc_buffer((1, part.size), "int32")
                IRBuilder.name(f"sums_{number}", sums)
                with T.serial(0, part.count) as t:
                    with T.sblock(f"tile_{number}"):
                        vr, vt = T.axis.spatial(rows, r), T.axis.spatial(part.count, t)
                        tile.block(sums, data, given[f"weight_{number}"], vr, vt * depth)
                    with T.serial(0, part.size) as j, T.sblock(f"requantize_{number}"):
                        vr, vt = T.axis.spatial(rows, r), T.axis.spatial(part.count, t)
                        vj = T.axis.spatial(part.size, j)
                        channel = part.first + vt * part.size + vj
                        value = _requantized(problem, sums[0, vj], given, channel)
                        T.buffer_store(output, value, [vr, channel])
    return builder.get()


def _requantized(problem: Problem, total: Any, given: Mapping[str, Any], channel: Any) -> Any:
    attrs = problem.attrs
    scaled = requantize_expr(
        total + given["bias"][channel],
        given["multiplier"][channel],
        T.Cast("int32", given["shift"][channel]),
        attrs["rounding"],
    )
    return saturate_expr(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])
