"""Dense layers on Arm MVE, and pointwise convolutions of so few pixels that no strip holds them.

Every row of the input is multiplied with the weights of eight channels at a time; a left-over of channels is a group of
its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.dense import GROUP, Dense, dense_instructions, dense_kernel, register_of
from .intrinsics.mve.strip import VECTOR
from .kernel import Array, Kernel, Problem
from .requantize_mve import Epilogue, epilogue_of
from .tensor_ir import blocks
from .tensorize_mve import tensorizable


def schedule_dense_mve(problem: Problem) -> Kernel | None:
    """Schedule dense, and conv2d with 1x1 kernels, strides of 1 and no padding; None for everything else."""
    if "mve" not in problem.features or not _is_matrix(problem):
        return None
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return None
    channels, *window = problem.shapes["weight"]
    depth = int(np.prod(window))
    rows = problem.outputs // channels
    # Step 1. Whole groups of channels, then the rest.
    tile = Dense(GROUP, depth // VECTOR, depth % VECTOR, epilogue.how)
    whole, rest = divmod(channels, GROUP)
    tiles = [(tile, 0, whole)] if whole else []
    tiles += [(replace(tile, channels=rest), whole, 1)] if rest else []
    # Step 2. A loop over rows around both.
    sch = tensorizable(_function(problem, epilogue, tiles, rows))
    for block, (part, _, groups) in zip(blocks(sch), tiles, strict=True):
        sch.tensorize(block, _register(part, groups, epilogue))
    weight = problem.constants["weight"].reshape(channels, depth)
    return Kernel(
        rule="mve dense",
        function=sch.mod["main"],
        constants={"weight": pack(weight), "table": tables(epilogue)},
        instructions=rows * sum(dense_instructions(part, groups) for part, _, groups in tiles),
        micro_kernels=(PRELUDE, *(dense_kernel(part) for part, _, _ in tiles)),
    )


def _is_matrix(problem: Problem) -> bool:
    if problem.operator == "dense":
        return True
    return (
        problem.operator == "conv2d"
        and problem.shapes["weight"][1:3] == (1, 1)
        and problem.attrs["strides"] == (1, 1)
        and not any(problem.attrs["padding"])
    )


def pack(weight: Array) -> Array:
    """int8[channels, depth] as the micro-kernels read it, flat: groups of channels, vectors, channels, taps."""
    parts = []
    for group in [weight[GROUP * index :][:GROUP] for index in range(-(-len(weight) // GROUP))]:
        end = weight.shape[1] // VECTOR * VECTOR
        vectors = group[:, :end].reshape(len(group), -1, VECTOR).transpose(1, 0, 2)
        parts += [vectors.ravel(), group[:, end:].ravel()]
    return np.concatenate(parts)


def tables(epilogue: Epilogue) -> Array:
    """int32[groups, rows, 8] in the order of the accumulators."""
    rows, channels = epilogue.rows.shape
    padded = np.zeros((rows, -(-channels // GROUP) * GROUP), np.int32)
    padded[:, :channels] = epilogue.rows
    order = np.argsort([register_of(channel) for channel in range(GROUP)])
    grouped = padded.reshape(rows, -1, GROUP)[:, :, order]
    return np.ascontiguousarray(grouped.transpose(1, 0, 2))


def _position(tile: Dense, group: Any, channel: Any, tap: Any) -> Any:
    """Place of a weight among those of the tile's groups."""
    start = group * (tile.channels * tile.depth)
    if not tile.vectors:
        return start + channel * tile.tail + tap
    # In what is left of a row, channels are closer to each other.
    in_tail = tap // (tile.vectors * VECTOR) if tile.tail else 0
    distance = VECTOR - (VECTOR - tile.tail) * in_tail
    return start + tap // VECTOR * (VECTOR * tile.channels) + channel * distance + tap % VECTOR


@T.macro
def dense_stages(
    data: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    tile: Any,
    groups: Any,
    offsets: Any,
    finish: Any,
) -> None:
    """Groups of channels of one row. offsets: row, first group, first weight."""
    T.reads(
        sums[0:groups, 0 : tile.channels],
        data[offsets[0] : offsets[0] + 1, 0 : tile.depth],
        weight[offsets[2] : offsets[2] + groups * tile.channels * tile.depth],
        table[offsets[1] : offsets[1] + groups, 0 : len(tile.requantization.table_rows), 0:GROUP],
    )
    T.writes(
        sums[0:groups, 0 : tile.channels],
        output[
            offsets[0] : offsets[0] + 1,
            offsets[1] * GROUP : offsets[1] * GROUP + groups * tile.channels,
        ],
    )
    for g, c in T.grid(groups, tile.channels):
        with T.sblock("start"):
            vg, vc = T.axis.remap("SS", [g, c])
            sums[vg, vc] = 0
    for g, c, k in T.grid(groups, tile.channels, tile.depth):
        with T.sblock("accumulate"):
            vg, vc, vk = T.axis.remap("SSR", [g, c, k])
            sums[vg, vc] = sums[vg, vc] + T.Cast("int32", data[offsets[0], vk]) * T.Cast(
                "int32", weight[offsets[2] + _position(tile, vg, vc, vk)]
            )
    for g, c in T.grid(groups, tile.channels):
        with T.sblock("requantize"):
            vg, vc = T.axis.remap("SS", [g, c])
            output[offsets[0], offsets[1] * GROUP + vg * GROUP + vc] = finish(
                sums[vg, vc], table, offsets[1] + vg, register_of(vc)
            )


def _register(tile: Dense, groups: int, epilogue: Epilogue) -> str:
    channels, depth = tile.channels, tile.depth
    constants = len(epilogue.how.table_rows)
    finish, zero_point, vectors = epilogue.expression(), epilogue.zero_point, tile.vectors

    def make(computes: bool) -> Any:
        @T.prim_func(s_tir=True)
        def dense(
            data_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            data = T.match_buffer(data_handle, (1, depth), "int8", offset_factor=1, strides=[T.int32(), 1])
            weight = T.match_buffer(weight_handle, (groups * channels * depth,), "int8", offset_factor=1)
            table = T.match_buffer(
                table_handle,
                (groups, constants, GROUP),
                "int32",
                offset_factor=1,
                strides=[T.int32(), T.int32(), 1],
            )
            sums = T.match_buffer(
                sums_handle, (groups, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, (1, groups * channels), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    dense_stages(data, weight, table, sums, output, tile, groups, (0, 0, 0), finish)
                else:
                    T.reads(
                        sums[0:groups, 0:channels],
                        data[0:1, 0:depth],
                        weight[0 : groups * channels * depth],
                        table[0:groups, 0:constants, 0:GROUP],
                    )
                    T.writes(sums[0:groups, 0:channels], output[0:1, 0 : groups * channels])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            data.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            groups,
                            vectors,
                            zero_point,
                        )
                    )

        return dense

    name = f"{tile.name}_{tile.vectors}_of_{groups}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


def _function(problem: Problem, epilogue: Epilogue, tiles: list[tuple[Dense, int, int]], rows: int) -> Any:
    channels = problem.shapes["weight"][0]
    depth = tiles[0][0].depth
    groups = -(-channels // GROUP)
    constants = len(epilogue.how.table_rows)
    finish = epilogue.expression()
    first, last = tiles[0], tiles[-1]
    start = first[2] * GROUP * depth

    @T.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (rows, depth), "int8")
        weight = T.match_buffer(weight_handle, (channels * depth,), "int8")
        table = T.match_buffer(table_handle, (groups, constants, GROUP), "int32")
        output = T.match_buffer(output_handle, (rows, channels), "int8")
        sums = T.sblock_alloc_buffer((first[2], first[0].channels), "int32")
        for r in range(rows):
            with T.sblock("whole"):
                vr = T.axis.spatial(rows, r)
                dense_stages(data, weight, table, sums, output, first[0], first[2], (vr, first[1], 0), finish)
            if len(tiles) > 1:
                with T.sblock("rest"):
                    vr = T.axis.spatial(rows, r)
                    dense_stages(
                        data, weight, table, sums, output, last[0], last[2], (vr, last[1], start), finish
                    )

    return main
