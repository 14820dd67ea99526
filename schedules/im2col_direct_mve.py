"""Convolution without padding on Arm MVE: im2col straight from the image, then strips over many output rows at once.

For strides, which leave out pixels that a strip would have to step over: gathered, the pixels of several rows make one
strip, and its weights are read once for all of them. Segments of whole vectors only, so that no byte behind the image
is read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .copy_mve import fill_stage, register_fill
from .im2col_mve import (
    MAX_SCRATCH,
    SCRATCH,
    bind_matrix,
    copied_bytes,
    extent,
    matrix_strips,
    matrix_ways,
    register_windows,
    window_stage,
)
from .intrinsics.mve.copy import COPY, FILL
from .intrinsics.mve.im2col import Windows, im2col_instructions, im2col_kernel
from .intrinsics.mve.strip import FRAMES, VECTOR, Strip
from .kernel import Candidate, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, table_size
from .strip_mve import pack_weights, packed_shape, strip_kernels_of
from .tensorize_mve import tensorizable
from .wide_mve import WideRow


def plan_im2col_direct(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan conv2d without padding whose kernel rows are whole vectors; nothing for all others."""
    windows, channels = _windows(problem), problem.output_shape[-1]
    if any(problem.attrs["padding"]) or windows.segment % VECTOR or channels < 2:
        return []
    strip = Strip(1, windows.depth, 0, windows.pitch, True, epilogue.how, frame=FRAMES[problem.objective])
    plans = [_plan(problem, epilogue, windows, strip, wide=wide) for wide in (False, True)]
    return [plan for plan in plans if plan is not None]


def _plan(
    problem: Problem, epilogue: Epilogue, windows: Windows, strip: Strip, *, wide: bool
) -> Candidate | None:
    found = _cheapest(problem, windows, strip, wide=wide)
    if found is None:
        return None
    parts, rows, row = found
    height, width = problem.shapes["data"][1], _row_bytes(problem)
    image, shape = (height, width), (rows, *problem.output_shape[1:])
    stride = problem.attrs["strides"][0]
    return plan(
        scratch=copied_bytes(windows, rows * problem.output_shape[2]),
        rule="mve direct im2col, wide" if row else "mve direct im2col",
        instructions=parts.total,
        parts=parts,
        function=lambda: _build(row or strip, windows, image, shape, stride, epilogue.rounding),
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


def _row_bytes(problem: Problem) -> int:
    _, _, width, depth = problem.shapes["data"]
    return width * depth


def _windows(problem: Problem) -> Windows:
    _, kernel_h, kernel_w, depth = problem.shapes["weight"]
    dilation_h, dilation_w = problem.attrs["dilation"]
    apart = dilation_w > 1
    return Windows(
        rows=kernel_h,
        row_distance=dilation_h * _row_bytes(problem),
        columns=kernel_w if apart else 1,
        column_distance=dilation_w * depth,
        segment=depth if apart else kernel_w * depth,
        step=problem.attrs["strides"][1] * depth,
        pitch=kernel_h * kernel_w * depth,
    )


def _cheapest(
    problem: Problem, windows: Windows, strip: Strip, *, wide: bool
) -> tuple[Parts, int, WideRow | None] | None:
    """Instructions, the number of output rows at a time that takes the least of them within the scratch, and tiles."""
    _, height, width, channels = problem.output_shape
    choices: list[tuple[bool, float, int, Parts, WideRow | None]] = []
    for rows in range(1, height + 1):
        size = copied_bytes(windows, rows * width)
        if size > MAX_SCRATCH:
            continue
        copies = rows * im2col_instructions(windows, width)
        for products, row in matrix_ways(strip, rows * width, channels, wide=wide):
            parts = (products + Parts(copies=copies)) * -(-height // rows)
            choices.append((size > SCRATCH, parts.total, rows, parts, row))
    if not choices:
        return None
    _, _, rows, parts, row = min(choices, key=lambda choice: choice[:3])
    return parts, rows, row


@cache
def _build(
    way: Strip | WideRow,
    windows: Windows,
    image: tuple[int, int],
    shape: tuple[int, int, int, int],
    stride: int,
    rounding: Rounding,
) -> Any:
    """image: rows and bytes of a row of the input. shape: output rows at a time, and the output."""
    rows, height, width, channels = shape
    bands, pixels = -(-height // rows), rows * width
    pitch = image[1]
    weight_shape = packed_shape(way.strip if isinstance(way, WideRow) else way, channels)
    table_shape = (-(-channels // 2), table_size(rounding.how, 2))
    finish = rounding.by_group(2)
    copied = copied_bytes(windows, pixels)
    window_rows, span = extent(windows, width, pitch)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, image, "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, (height * width, channels), "int8")
        sums = T.sblock_alloc_buffer((pixels, channels), "int32")
        matrix = T.sblock_alloc_buffer((1, copied), "int8")
        # Buffers shrink to what is accessed; this keeps what loads run over at the end.
        for _ in range(1):
            with T.sblock("end"):
                fill_stage(matrix, (0, copied - VECTOR), VECTOR, 0)
        for b in range(bands):
            for r in range(rows):
                with T.sblock("window"):
                    vb, vr = T.axis.remap("SS", [b, r])
                    window_stage(
                        matrix,
                        data,
                        windows,
                        width,
                        pitch,
                        window_rows,
                        span,
                        (vr * (width * windows.pitch), (T.min(vb * rows, height - rows) + vr) * stride),
                    )
            matrix_strips(matrix, weight, table, sums, output, way, shape, b, bands, finish)

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("end"), register_fill(VECTOR, 0))
    sch.tensorize(sch.get_sblock("window"), register_windows(windows, width, pitch))
    bind_matrix(sch, way, pixels, rounding)
    return sch.mod["main"]
