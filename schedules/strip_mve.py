"""Strips of pixels on Arm MVE: the TensorIR description of `intrinsics/mve/strip.py` and its binding.

A strip is a block of three stages (start, accumulate, requantize) over pixels and two channels. Its source is a matrix
whose rows are the kernel's rows: pixel x reads `row_bytes` values from column x * pitch on.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from .intrinsics.mve.strip import Strip
from .requantize_mve import Epilogue


def _row(strip: Strip, tap: Any) -> Any:
    return tap // strip.row_bytes if strip.rows > 1 else 0


def _column(strip: Strip, tap: Any) -> Any:
    return tap % strip.row_bytes if strip.rows > 1 else tap


@T.macro
def strip_stages(
    source: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    strip: Any,
    pixels: Any,
    offsets: Any,
    finish: Any,
) -> None:
    """The stages of one strip.

    source[row, column], weight[channel, tap], table[pair, rows, 2], sums[pixels, 2], output[pixel, channel].
    offsets: first row, column, channel, pair and output pixel.
    """
    for x, c in T.grid(pixels, 2):
        with T.sblock("start"):
            vx, vc = T.axis.remap("SS", [x, c])
            sums[vx, vc] = 0
    for x, c, k in T.grid(pixels, 2, strip.depth):
        with T.sblock("accumulate"):
            vx, vc, vk = T.axis.remap("SSR", [x, c, k])
            sums[vx, vc] = sums[vx, vc] + T.Cast(
                "int32",
                source[offsets[0] + _row(strip, vk), offsets[1] + vx * strip.pitch + _column(strip, vk)],
            ) * T.Cast("int32", weight[offsets[2] + vc, vk])
    for x, c in T.grid(pixels, 2):
        with T.sblock("requantize"):
            vx, vc = T.axis.remap("SS", [x, c])
            output[offsets[4] + vx, offsets[2] + vc] = finish(sums[vx, vc], table, offsets[3], vc)


def register_strip(strip: Strip, pixels: int, epilogue: Epilogue) -> str:
    """Register the intrinsic of a strip of `pixels` pixels and return its name."""
    rows, depth = strip.rows, strip.depth
    span = (pixels - 1) * strip.pitch + strip.row_bytes
    constants = len(epilogue.how.table_rows)
    finish, zero_point, micro_kernel = epilogue.expression(), epilogue.zero_point, strip.name

    @T.prim_func(s_tir=True)
    def description(
        source_handle: T.handle,
        weight_handle: T.handle,
        table_handle: T.handle,
        sums_handle: T.handle,
        output_handle: T.handle,
    ) -> None:
        source = T.match_buffer(source_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1])
        weight = T.match_buffer(weight_handle, (2, depth), "int8", offset_factor=1, strides=[T.int32(), 1])
        table = T.match_buffer(
            table_handle, (1, constants, 2), "int32", offset_factor=1, strides=[T.int32(), T.int32(), 1]
        )
        sums = T.match_buffer(sums_handle, (pixels, 2), "int32", offset_factor=1, strides=[T.int32(), 1])
        output = T.match_buffer(output_handle, (pixels, 2), "int8", offset_factor=1, strides=[T.int32(), 1])
        with T.sblock("root"):
            T.reads(source[0:rows, 0:span], weight[0:2, 0:depth], table[0:1, 0:constants, 0:2])
            T.writes(sums[0:pixels, 0:2], output[0:pixels, 0:2])
            strip_stages(source, weight, table, sums, output, strip, pixels, (0, 0, 0, 0, 0), finish)

    @T.prim_func(s_tir=True)
    def implementation(
        source_handle: T.handle,
        weight_handle: T.handle,
        table_handle: T.handle,
        sums_handle: T.handle,
        output_handle: T.handle,
    ) -> None:
        source = T.match_buffer(source_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1])
        weight = T.match_buffer(weight_handle, (2, depth), "int8", offset_factor=1, strides=[T.int32(), 1])
        table = T.match_buffer(
            table_handle, (1, constants, 2), "int32", offset_factor=1, strides=[T.int32(), T.int32(), 1]
        )
        sums = T.match_buffer(sums_handle, (pixels, 2), "int32", offset_factor=1, strides=[T.int32(), 1])
        output = T.match_buffer(output_handle, (pixels, 2), "int8", offset_factor=1, strides=[T.int32(), 1])
        with T.sblock("root"):
            T.reads(source[0:rows, 0:span], weight[0:2, 0:depth], table[0:1, 0:constants, 0:2])
            T.writes(sums[0:pixels, 0:2], output[0:pixels, 0:2])
            T.evaluate(
                T.call_extern(
                    "int32",
                    micro_kernel,
                    source.access_ptr("r"),
                    weight.access_ptr("r"),
                    table.access_ptr("r"),
                    output.access_ptr("w"),
                    pixels,
                    output.strides[0],
                    zero_point,
                )
            )

    name = f"{strip.name}_of_{pixels}_zero_{zero_point}"
    TensorIntrin.register(name, description, implementation, override=True)
    return name
