"""Convolution on Arm MVE by im2col: the windows of some output rows side by side in scratch, then strips over them.

For windows of few channels, whose kernel rows are too short to fill vectors, and for images narrower than a tile: the
pixels of several output rows make one strip.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .band_mve import Band, band_of, band_stages, border_stage, tensorize_band
from .copy_mve import fill_stage, register_fill
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


def plan_im2col(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan conv2d by im2col; nothing for images of less than four outputs and for too much scratch."""
    _, height, width, channels = problem.output_shape
    if channels < 2:
        return []
    first = _windows(problem, band_of(problem, 1))
    stride, frame = problem.attrs["strides"][0], FRAMES[problem.objective]

    def source(rows: int) -> tuple[int, Windows, float]:
        band = band_of(problem, rows)
        return band.nbytes, _windows(problem, band), band.instructions(-(-height // rows))

    def build(way: Strip | WideRow, rows: int) -> Any:
        band = band_of(problem, rows)
        shape = (rows, height, width, channels)
        return _build(way, band, _windows(problem, band), shape, stride, epilogue.rounding)

    plain, looped = (
        Strip(
            1,
            first.depth,
            0,
            first.pitch,
            True,
            epilogue.how,
            loop=loop,
            frame=frame,
            plane=problem.output_plane,
        )
        for loop in (False, True)
    )
    plans = [
        plan_matrix(
            problem,
            epilogue,
            "mve im2col",
            strip,
            source,
            build,
            lambda rows: band_of(problem, rows).micro_kernels,
            wide=wide,
        )
        for strip, wide in ((plain, False), (looped, False), (plain, True))
    ]
    return [plan for plan in plans if plan is not None]


def _windows(problem: Problem, band: Band) -> Windows:
    return windows_of(problem, problem.attrs["dilation"][0] // band.spread * band.pitch)


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
    strip = way.strip if isinstance(way, WideRow) else way
    weight_shape, made = packed_shape(strip, channels), output_shape(strip, height * width, channels)
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
        output = T.match_buffer(output_handle, made, "int8")
        sums = T.sblock_alloc_buffer((pixels, (channels + 1) // 2 * 2), "int32")
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
