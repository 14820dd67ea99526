"""Dense layers on Arm MVE, and pointwise convolutions of so few pixels that no strip holds them.

Every row of the input is multiplied with the weights of eight channels at a time; a left-over of channels is a group of
its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.dense import GROUP, MAX_PLANE, Dense, dense_kernel, dense_parts, register_of
from .intrinsics.mve.strip import VECTOR
from .kernel import Array, Candidate, Problem
from .parts import Parts
from .plan_mve import plan
from .pointwise_mve import plan_pointwise
from .requantize_mve import Epilogue, Rounding, epilogue_of
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

DENSE_RULE = "mve dense"


def schedule_dense_mve(problem: Problem) -> list[Candidate]:
    """Schedule dense; nothing for every other operator."""
    if problem.operator != "dense" or "mve" not in problem.features:
        return []
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return []
    return [*plan_dense(problem, epilogue), *plan_pointwise(problem, epilogue)]


def plan_dense(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan dense, and conv2d with 1x1 kernels, strides of 1 and no padding; nothing for everything else."""
    _, *window = problem.shapes["weight"]
    if problem.output_plane > MAX_PLANE:
        return []
    if problem.operator == "conv2d" and (
        window[:-1] != [1, 1] or any(problem.attrs["padding"]) or tuple(problem.attrs["strides"]) != (1, 1)
    ):
        return []
    depth = window[-1]
    uniform = epilogue.uniform()
    tile = Dense(
        GROUP,
        depth // VECTOR,
        depth % VECTOR,
        epilogue.how,
        uniform is not None,
        plane=problem.output_plane,
    )
    return [_plan(problem, epilogue, replace(tile, shared=shared)) for shared in (False, True)]


def _plan(problem: Problem, epilogue: Epilogue, tile: Dense) -> Candidate:
    channels, uniform = problem.output_shape[-1], epilogue.uniform()
    rows = problem.outputs // channels
    # Whole groups of channels, then the rest.
    whole, rest = divmod(channels, GROUP)
    tiles = [(tile, 0, whole)] if whole else []
    tiles += [(replace(tile, channels=rest), whole, 1)] if rest else []
    parts = tuple(tiles)
    spent = sum((dense_parts(part, groups) for part, _, groups in parts), Parts()) * rows
    return plan(
        scratch=0,
        rule=DENSE_RULE,
        instructions=spent.total,
        parts=spent,
        function=lambda: _build(parts, rows, epilogue.rounding, uniform),
        constants=lambda: {
            "weight": pack(problem.constants["weight"].reshape(channels, tile.depth)),
            "table": tables(epilogue, uniform is not None),
        },
        micro_kernels=lambda: tuple(dense_kernel(part) for part, _, _ in parts),
    )


def pack(weight: Array) -> Array:
    """int8[channels, depth] as the micro-kernels read it, flat: groups of channels, vectors, channels, taps."""
    parts = []
    for group in [weight[GROUP * index :][:GROUP] for index in range(-(-len(weight) // GROUP))]:
        end = weight.shape[1] // VECTOR * VECTOR
        vectors = group[:, :end].reshape(len(group), -1, VECTOR).transpose(1, 0, 2)
        parts += [vectors.ravel(), group[:, end:].ravel()]
    return np.concatenate(parts)


def tables(epilogue: Epilogue, uniform: bool) -> Array:
    """int32[groups, `table_words`] in the order of the accumulators; what the last group lacks repeats a channel."""
    channels = epilogue.rows.shape[1]
    order = np.argsort([register_of(channel) for channel in range(GROUP)])
    groups = GROUP * np.arange(-(-channels // GROUP))[:, None] + order
    chosen = np.minimum(groups, channels - 1)
    if not uniform:
        return epilogue.grouped(chosen)
    words = np.delete(epilogue.words(), 1, axis=1)[chosen]
    return np.ascontiguousarray(words.transpose(0, 2, 1)).reshape(len(groups), -1)


def _position(tile: Dense, group: Any, channel: Any, tap: Any) -> Any:
    """Place of a weight among those of the tile's groups."""
    start = group * (tile.channels * tile.depth)
    if not tile.vectors:
        return start + channel * tile.tail + tap
    # In what is left of a row, channels are closer to each other.
    in_tail = tap // (tile.vectors * VECTOR) if tile.tail else 0
    distance = VECTOR - (VECTOR - tile.tail) * in_tail
    return start + tap // VECTOR * (VECTOR * tile.channels) + channel * distance + tap % VECTOR


@script.macro
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
    """Groups of channels of one row: output[row, channel], or output[channel, row] in planes.

    offsets: row, first group, first weight.
    """
    T.reads(
        sums[0:groups, 0 : tile.channels],
        data[offsets[0] : offsets[0] + 1, 0 : tile.depth],
        weight[offsets[2] : offsets[2] + groups * tile.channels * tile.depth],
        table[offsets[1] : offsets[1] + groups, 0 : tile.table_words],
    )
    if tile.plane > 0:
        T.writes(
            sums[0:groups, 0 : tile.channels],
            output[
                offsets[1] * GROUP : offsets[1] * GROUP + groups * tile.channels,
                offsets[0] : offsets[0] + 1,
            ],
        )
    else:
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
            if tile.plane > 0:
                output[offsets[1] * GROUP + vg * GROUP + vc, offsets[0]] = finish(
                    sums[vg, vc], table, offsets[1] + vg, register_of(vc)
                )
            else:
                output[offsets[0], offsets[1] * GROUP + vg * GROUP + vc] = finish(
                    sums[vg, vc], table, offsets[1] + vg, register_of(vc)
                )


@cache
def _register(tile: Dense, groups: int, rounding: Rounding, uniform: tuple[int, int] | None) -> str:
    channels, depth = tile.channels, tile.depth
    words, finish = tile.table_words, rounding.by_group(GROUP, uniform)
    output_tile = (groups * channels, 1) if tile.plane else (1, groups * channels)
    arguments = (tile.vectors, rounding.zero_point, *(uniform or ()), *((tile.tail,) if tile.shared else ()))

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
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
                (groups, words),
                "int32",
                offset_factor=1,
                strides=[T.int32(), 1],
            )
            sums = T.match_buffer(
                sums_handle, (groups, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, output_tile, "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    dense_stages(data, weight, table, sums, output, tile, groups, (0, 0, 0), finish)
                else:
                    T.reads(
                        sums[0:groups, 0:channels],
                        data[0:1, 0:depth],
                        weight[0 : groups * channels * depth],
                        table[0:groups, 0:words],
                    )
                    T.writes(sums[0:groups, 0:channels], output[0 : output_tile[0], 0 : output_tile[1]])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            data.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            groups,
                            *arguments,
                        )
                    )

        return dense

    name = f"{tile.name}_of_{groups}_with_{'_'.join(map(str, arguments))}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def _build(
    tiles: tuple[tuple[Dense, int, int], ...], rows: int, rounding: Rounding, uniform: tuple[int, int] | None
) -> Any:
    first, last = tiles[0], tiles[-1]
    depth = first[0].depth
    groups = last[1] + last[2]
    channels = last[1] * GROUP + last[2] * last[0].channels
    start = first[2] * GROUP * depth
    words, finish = first[0].table_words, rounding.by_group(GROUP, uniform)
    made = (channels, first[0].plane) if first[0].plane else (rows, channels)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (rows, depth), "int8")
        weight = T.match_buffer(weight_handle, (channels * depth,), "int8")
        table = T.match_buffer(table_handle, (groups, words), "int32")
        output = T.match_buffer(output_handle, made, "int8")
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

    sch = tensorizable(main)
    for block, (part, _, part_groups) in zip(blocks(sch), tiles, strict=True):
        sch.tensorize(block, _register(part, part_groups, rounding, uniform))
    return sch.mod["main"]
