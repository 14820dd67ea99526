"""Strips of pixels on Arm MVE: TensorIR description, binding, packed weights and cost of the micro-kernels.

A strip is a block of three stages (start, accumulate, requantize) over pixels and two channels. Its source is a matrix
whose rows are the kernel's rows: pixel x reads `row_bytes` values from column x * pitch on.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.column_strip import column_strip
from .intrinsics.mve.deep_strip import deep_strip_instructions, deep_strip_kernels
from .intrinsics.mve.flat_strip import flat_strip, flat_strip_kernels, instructions, strip_kernel
from .intrinsics.mve.strip import VECTOR, Strip
from .kernel import Array, MicroKernel
from .parts import Parts
from .requantize_mve import Rounding, table_size

_PARTS = {"column": column_strip, "flat": flat_strip}
# The caller's instructions per call: arguments and loop.
_CALL = 14.0


def strip_kernels_of(strip: Strip) -> tuple[MicroKernel, ...]:
    """The micro-kernel of a strip, and what it shares with others."""
    if strip.form == "deep":
        return deep_strip_kernels(strip)
    return flat_strip_kernels(strip) if strip.form == "flat" else (strip_kernel(strip, column_strip(strip)),)


def strip_instructions(strip: Strip, pixels: int) -> float:
    """Instructions of one strip of two channels, the call included."""
    if strip.form == "deep":
        return _CALL + deep_strip_instructions(strip, pixels)
    return _CALL + instructions(strip, _PARTS[strip.form](strip), pixels)


def strip_parts(strip: Strip, pixels: int) -> Parts:
    """The same, with the requantisation among the products, which it runs beside."""
    vectors = strip.rows * -(-strip.row_bytes // VECTOR)
    return Parts(strip_instructions(strip, pixels), multiplications=2 * pixels * vectors)


def pack_weights(weight: Array, strip: Strip) -> Array:
    """int8[channels, rows, row_bytes] as the micro-kernel reads it; an odd last channel comes with the one before."""
    if strip.columns:
        depth = strip.row_bytes // strip.columns // VECTOR
        weight = weight.reshape(-1, strip.rows, strip.columns, depth, VECTOR).transpose(0, 1, 3, 2, 4)
    weight = weight.reshape(-1, strip.depth)
    if strip.form == "flat":
        return weight
    first = np.minimum(np.arange(0, len(weight), 2), len(weight) - 2)
    pairs = np.stack([weight[first], weight[first + 1]], 1)
    whole = strip.depth // strip.interleaved * strip.interleaved
    vectors = pairs[:, :, :whole].reshape(len(first), 2, -1, strip.interleaved).transpose(0, 2, 1, 3)
    parts = [part.reshape(len(first), -1) for part in (vectors, pairs[:, :, whole:])]
    return np.concatenate(parts, 1)


def packed_shape(strip: Strip, channels: int) -> tuple[int, int]:
    """Shape of the packed weights of a layer."""
    rows, columns = strip.weight_tile
    return (channels if rows == 2 else -(-channels // 2), columns)


def output_shape(strip: Strip, pixels: int, channels: int) -> tuple[int, int]:
    """Shape of the outputs of a layer: pixels of all channels, or planes."""
    return (channels, strip.plane) if strip.plane else (pixels, channels)


def _source_row(strip: Strip, tap: Any) -> Any:
    return tap // strip.row_bytes if strip.rows > 1 else 0


def _source_column(strip: Strip, tap: Any) -> Any:
    column = tap % strip.row_bytes if strip.rows > 1 else tap
    if not strip.columns:
        return column
    group = strip.columns * VECTOR
    channels = strip.row_bytes // strip.columns
    return column % group // VECTOR * channels + column // group * VECTOR + column % VECTOR


def _weight_row(strip: Strip, first: Any, pair: Any, channel: Any) -> Any:
    return first + channel if strip.form == "flat" else pair


def weight_column(strip: Strip, channel: Any, tap: Any) -> Any:
    """Place of a weight in the row of its pair, or of its channel in the "flat" form."""
    if strip.form == "flat":
        return tap
    size, rest = strip.interleaved, strip.depth % strip.interleaved
    whole = strip.depth - rest
    # Channels are closer to each other in what is left after whole vectors.
    in_rest = tap // whole if rest and whole else int(whole == 0)
    return tap // size * (2 * size) + channel * (size - (size - rest) * in_rest) + tap % size


@script.macro
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

    source[row, column], weight[channels, depth] as packed, table[pair, words], sums[pixels, 2],
    output[pixel, channel], or output[channel, pixel] in planes.
    offsets: first row, column, channel, pair and output pixel.
    """
    T.reads(
        sums[0:pixels, 0:2],
        source[offsets[0] : offsets[0] + strip.rows, offsets[1] : offsets[1] + strip.span(pixels)],
        weight[
            _weight_row(strip, offsets[2], offsets[3], 0) : _weight_row(strip, offsets[2], offsets[3], 0)
            + strip.weight_tile[0],
            0 : strip.weight_tile[1],
        ],
        table[offsets[3] : offsets[3] + 1, 0 : table_size(strip.requantization, 2)],
    )
    if strip.plane > 0:
        T.writes(sums[0:pixels, 0:2], output[offsets[2] : offsets[2] + 2, offsets[4] : offsets[4] + pixels])
    else:
        T.writes(sums[0:pixels, 0:2], output[offsets[4] : offsets[4] + pixels, offsets[2] : offsets[2] + 2])
    for x, c in T.grid(pixels, 2):
        with T.sblock("start"):
            vx, vc = T.axis.remap("SS", [x, c])
            sums[vx, vc] = 0
    for x, c, k in T.grid(pixels, 2, strip.depth):
        with T.sblock("accumulate"):
            vx, vc, vk = T.axis.remap("SSR", [x, c, k])
            sums[vx, vc] = sums[vx, vc] + T.Cast(
                "int32",
                source[
                    offsets[0] + _source_row(strip, vk),
                    offsets[1] + vx * strip.pitch + _source_column(strip, vk),
                ],
            ) * T.Cast(
                "int32",
                weight[_weight_row(strip, offsets[2], offsets[3], vc), weight_column(strip, vc, vk)],
            )
    for x, c in T.grid(pixels, 2):
        with T.sblock("requantize"):
            vx, vc = T.axis.remap("SS", [x, c])
            if strip.plane > 0:
                output[offsets[2] + vc, offsets[4] + vx] = finish(sums[vx, vc], table, offsets[3], vc)
            else:
                output[offsets[4] + vx, offsets[2] + vc] = finish(sums[vx, vc], table, offsets[3], vc)


@cache
def register_strip(strip: Strip, pixels: int, rounding: Rounding) -> str:
    """Register the intrinsic of a strip of `pixels` pixels and return its name."""
    rows, span = strip.rows, strip.span(pixels)
    weight_rows, weight_columns = strip.weight_tile
    words, finish = table_size(rounding.how, 2), rounding.by_group(2)
    zero_point, micro_kernel = rounding.zero_point, strip.name
    output_tile = (2, pixels) if strip.plane else (pixels, 2)

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def tile(
            source_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            source = T.match_buffer(
                source_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            weight = T.match_buffer(
                weight_handle,
                (weight_rows, weight_columns),
                "int8",
                offset_factor=1,
                strides=[T.int32(), 1],
            )
            table = T.match_buffer(table_handle, (1, words), "int32", offset_factor=1, strides=[T.int32(), 1])
            sums = T.match_buffer(sums_handle, (pixels, 2), "int32", offset_factor=1, strides=[T.int32(), 1])
            output = T.match_buffer(
                output_handle, output_tile, "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    strip_stages(source, weight, table, sums, output, strip, pixels, (0, 0, 0, 0, 0), finish)
                else:
                    T.reads(
                        sums[0:pixels, 0:2],
                        source[0:rows, 0:span],
                        weight[0:weight_rows, 0:weight_columns],
                        table[0:1, 0:words],
                    )
                    T.writes(sums[0:pixels, 0:2], output[0 : output_tile[0], 0 : output_tile[1]])
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

        return tile

    name = f"{strip.name}_of_{pixels}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name
