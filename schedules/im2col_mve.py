"""Convolution on Arm MVE by im2col: the windows of some output rows side by side in scratch, then strips over them.

For windows of few channels, whose kernel rows are too short to fill vectors, and for images narrower than a tile: the
pixels of several output rows make one strip.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .band_mve import Band, band_of, band_stages, border_stage, tensorize_band
from .copy_mve import fill_stage, register_fill
from .intrinsics.mve.copy import COPY, FILL
from .intrinsics.mve.im2col import Windows, im2col_instructions, im2col_kernel
from .intrinsics.mve.strip import FRAMES, TILE, VECTOR, Strip
from .kernel import Candidate, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, table_size
from .strip_mve import (
    pack_weights,
    packed_shape,
    register_strip,
    strip_kernels_of,
    strip_parts,
    strip_stages,
)
from .tensorize_mve import tensorizable
from .wide_mve import WideRow, tensorize_wide, wide_row_stages, wide_rows

# Scratch that a layer should take, and must not exceed.
SCRATCH = 2600
MAX_SCRATCH = 5000


def plan_im2col(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan conv2d by im2col; nothing for images of less than four outputs and for too much scratch."""
    first = _windows(problem, band_of(problem, 1))
    frame = FRAMES[problem.objective]
    strips = [
        Strip(1, first.depth, 0, first.pitch, True, epilogue.how, loop=loop, frame=frame)
        for loop in (False, True)
    ]
    plans = [_plan(problem, epilogue, first, strip, wide=False) for strip in strips]
    plans.append(_plan(problem, epilogue, first, strips[0], wide=True))
    return [plan for plan in plans if plan is not None]


def matrix_ways(
    strip: Strip, pixels: int, channels: int, *, wide: bool
) -> list[tuple[Parts, WideRow | None]]:
    """Ways to multiply `pixels` windows side by side by the weights, with their instructions."""
    if wide:
        return [(row.parts, row) for row in wide_rows(strip, pixels, channels)]
    if pixels < TILE:
        return []
    return [(strip_parts(strip, pixels) * -(-channels // 2), None)]


def _plan(
    problem: Problem, epilogue: Epilogue, first: Windows, strip: Strip, *, wide: bool
) -> Candidate | None:
    _, height, width, channels = problem.output_shape
    if channels < 2:
        return None
    # How many output rows at a time: what costs least within the scratch.
    choices: list[tuple[bool, float, int, Parts, WideRow | None]] = []
    for rows in range(1, height + 1):
        band = band_of(problem, rows)
        size = band.nbytes + copied_bytes(first, rows * width)
        if size > MAX_SCRATCH:
            continue
        gathered = rows * im2col_instructions(_windows(problem, band), width)
        bands = -(-height // rows)
        copies = Parts(copies=band.instructions(bands) + bands * gathered)
        for products, row in matrix_ways(strip, rows * width, channels, wide=wide):
            parts = products * bands + copies
            choices.append((size > SCRATCH, parts.total, rows, parts, row))
    if not choices:
        return None
    _, _, rows, parts, row = min(choices, key=lambda choice: choice[:3])
    band = band_of(problem, rows)
    windows = _windows(problem, band)
    shape = (rows, height, width, channels)
    stride = problem.attrs["strides"][0]
    return plan(
        scratch=band.nbytes + copied_bytes(windows, rows * width),
        rule="mve im2col, wide" if row else "mve im2col",
        instructions=parts.total,
        parts=parts,
        function=lambda: _build(row or strip, band, windows, shape, stride, epilogue.rounding),
        constants=lambda: {
            "weight": pack_weights(problem.constants["weight"], row.strip if row else strip),
            "table": epilogue.pairs(),
        },
        micro_kernels=lambda: (
            *(row.micro_kernels() if row else strip_kernels_of(strip)),
            COPY,
            FILL,
            im2col_kernel(windows),
        ),
    )


def copied_bytes(windows: Windows, pixels: int) -> int:
    """Bytes of the copied windows, with what the last segment writes too much."""
    return pixels * windows.pitch + VECTOR


def _windows(problem: Problem, band: Band) -> Windows:
    _, kernel_h, kernel_w, depth = problem.shapes["weight"]
    dilation_h, dilation_w = problem.attrs["dilation"]
    apart = dilation_w > 1
    return Windows(
        rows=kernel_h,
        row_distance=dilation_h // band.spread * band.pitch,
        columns=kernel_w if apart else 1,
        column_distance=dilation_w * depth,
        segment=depth if apart else kernel_w * depth,
        step=problem.attrs["strides"][1] * depth,
        pitch=-(-kernel_h * kernel_w * depth // 4) * 4,
    )


def _source_row(windows: Windows, pitch: int, tap: Any) -> Any:
    return tap // (windows.columns * windows.segment) * (windows.row_distance // pitch)


def _source_column(windows: Windows, tap: Any) -> Any:
    column = tap % (windows.columns * windows.segment)
    return column // windows.segment * windows.column_distance + column % windows.segment


@script.macro
def window_stage(
    target: Any, source: Any, windows: Any, width: Any, pitch: Any, rows: Any, span: Any, offsets: Any
) -> None:
    """target[0, start + x * pitch + k] = tap k of window x; offsets: start in the target, row of the source."""
    T.reads(source[offsets[1] : offsets[1] + rows, 0:span])
    T.writes(target[0:1, offsets[0] : offsets[0] + (width - 1) * windows.pitch + windows.depth])
    for x, k in T.grid(width, windows.depth):
        with T.sblock("window_value"):
            vx, vk = T.axis.remap("SS", [x, k])
            target[0, offsets[0] + vx * windows.pitch + vk] = source[
                offsets[1] + _source_row(windows, pitch, vk), vx * windows.step + _source_column(windows, vk)
            ]


@script.macro
def matrix_strips(
    matrix: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    way: Any,
    shape: Any,
    band: Any,
    bands: Any,
    finish: Any,
) -> None:
    """Products of the windows of a band, by strips of all pairs of channels or by wide tiles.

    shape: output rows of one band, and the output.
    """
    if isinstance(way, WideRow):
        wide_row_stages(
            matrix,
            weight,
            table,
            sums,
            output,
            way,
            band,
            bands,
            lambda vb: T.min(vb * shape[0], shape[1] - shape[0]) * shape[2],
            0,
            finish,
        )
    else:
        for n in range((shape[3] + 1) // 2):
            with T.sblock("strip"):
                vn, vb = T.axis.remap("SS", [n, band])
                strip_stages(
                    matrix,
                    weight,
                    table,
                    sums,
                    output,
                    way,
                    shape[0] * shape[2],
                    (
                        0,
                        0,
                        T.min(vn * 2, shape[3] - 2),
                        vn,
                        T.min(vb * shape[0], shape[1] - shape[0]) * shape[2],
                    ),
                    finish,
                )


def bind_matrix(sch: Any, way: Strip | WideRow, pixels: int, rounding: Rounding) -> None:
    """Bind the micro-kernels of the products."""
    if isinstance(way, WideRow):
        tensorize_wide(sch, way, rounding)
    else:
        sch.tensorize(sch.get_sblock("strip"), register_strip(way, pixels, rounding))


def extent(windows: Windows, width: int, pitch: int) -> tuple[int, int]:
    """Rows and columns of the band that the windows of one output row touch."""
    rows = (windows.rows - 1) * (windows.row_distance // pitch) + 1
    columns = (windows.columns - 1) * windows.column_distance + windows.segment
    return rows, (width - 1) * windows.step + columns


@cache
def register_windows(windows: Windows, width: int, pitch: int) -> str:
    rows, span = extent(windows, width, pitch)
    size = (width - 1) * windows.pitch + windows.depth

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def copy(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(target_handle, (1, size), "int8", offset_factor=1, strides=[T.int32(), 1])
            with T.sblock("root"):
                if computes:
                    window_stage(target, source, windows, width, pitch, rows, span, (0, 0))
                else:
                    T.reads(source[0:rows, 0:span])
                    T.writes(target[0:1, 0:size])
                    T.evaluate(
                        T.call_extern(
                            "int32", windows.name, source.access_ptr("r"), target.access_ptr("w"), width
                        )
                    )

        return copy

    name = f"{windows.name}_of_{width}_row{pitch}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def _build(
    way: Strip | WideRow,
    band: Band,
    windows: Windows,
    shape: tuple[int, int, int, int],
    stride: int,
    rounding: Rounding,
) -> Any:
    rows, height, width, channels = shape
    bands, pixels = -(-height // rows), rows * width
    weight_shape = packed_shape(way.strip if isinstance(way, WideRow) else way, channels)
    table_shape = (-(-channels // 2), table_size(rounding.how, 2))
    finish = rounding.by_group(2)
    copied = copied_bytes(windows, pixels)
    window_rows, span = extent(windows, width, band.pitch)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (band.height, band.inner), "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, (height * width, channels), "int8")
        sums = T.sblock_alloc_buffer((pixels, channels), "int32")
        padded = T.sblock_alloc_buffer((band.rows, band.pitch), "int8")
        matrix = T.sblock_alloc_buffer((1, copied), "int8")
        border_stage(padded, band)
        # Buffers shrink to what is accessed; this keeps what copies and loads run over at the end.
        for _ in range(1):
            with T.sblock("end"):
                fill_stage(matrix, (0, copied - VECTOR), VECTOR, 0)
        for b in range(bands):
            band_stages(data, padded, band, bands, b)
            for r in range(rows):
                with T.sblock("window"):
                    vr = T.axis.spatial(rows, r)
                    window_stage(
                        matrix,
                        padded,
                        windows,
                        width,
                        band.pitch,
                        window_rows,
                        span,
                        (vr * (width * windows.pitch), vr * stride),
                    )
            matrix_strips(matrix, weight, table, sums, output, way, shape, b, bands, finish)

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("end"), register_fill(VECTOR, 0))
    sch.tensorize(sch.get_sblock("window"), register_windows(windows, width, band.pitch))
    bind_matrix(sch, way, pixels, rounding)
    tensorize_band(sch, band)
    return sch.mod["main"]
