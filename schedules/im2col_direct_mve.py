"""Convolution without padding on Arm MVE: im2col straight from the image, then strips over many output rows at once.

For strides, which leave out pixels that a strip would have to step over, and for few channels: gathered, the pixels of
several rows make one strip, and its weights are read once for all of them. No byte behind the image is read: where
segments are not whole vectors, loads from the last row of a window are masked.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .copy_mve import fill_stage, register_fill
from .intrinsics.mve.copy import COPY, FILL
from .intrinsics.mve.im2col import Windows
from .intrinsics.mve.strip import FRAMES, VECTOR, Strip
from .kernel import Candidate, Problem
from .matrix_mve import (
    bind_matrix,
    copied_bytes,
    extent,
    matrix_strips,
    plan_matrix,
    register_windows,
    window_stage,
    windows_of,
)
from .requantize_mve import Epilogue, Rounding, table_size
from .strip_mve import output_shape, packed_shape
from .tensorize_mve import tensorizable
from .wide_mve import WideRow


def plan_im2col_direct(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan conv2d without padding; nothing for all others."""
    _, image_rows, image_columns, depth = problem.shapes["data"]
    _, height, width, channels = problem.output_shape
    pitch = image_columns * depth
    windows = replace(windows_of(problem, problem.attrs["dilation"][0] * pitch), inside=True)
    if any(problem.attrs["padding"]) or channels < 2:
        return []
    if windows.tail and (pitch < VECTOR or windows.step == windows.pitch):
        # What is loaded too much of the other rows may be longer than a row, or windows lie side by side already.
        return []
    frame, plane = FRAMES[problem.objective], problem.output_plane
    strip = Strip(1, windows.depth, 0, windows.pitch, True, epilogue.how, frame=frame, plane=plane)
    stride = problem.attrs["strides"][0]

    def build(way: Strip | WideRow, rows: int) -> Any:
        shape = (rows, height, width, channels)
        return _build(way, windows, (image_rows, pitch), shape, stride, epilogue.rounding)

    plans = [
        plan_matrix(
            problem,
            epilogue,
            "mve direct im2col",
            strip,
            lambda rows: (0, windows, 0),
            build,
            lambda rows: (COPY, FILL),
            wide=wide,
        )
        for wide in (False, True)
    ]
    return [plan for plan in plans if plan is not None]


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
    strip = way.strip if isinstance(way, WideRow) else way
    weight_shape, made = packed_shape(strip, channels), output_shape(strip, height * width, channels)
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
        output = T.match_buffer(output_handle, made, "int8")
        sums = T.sblock_alloc_buffer((pixels, (channels + 1) // 2 * 2), "int32")
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
