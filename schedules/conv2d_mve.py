"""Convolution on Arm MVE without im2col: strips over a band of padded rows.

One output row at a time, the input rows of its windows are copied to scratch with their borders, where the kernel's
rows lie at equal distances and windows lie side by side; then every pair of channels computes the row as one strip.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812

from .band_mve import Band, band_of, band_stages, border_stage, tensorize_band
from .intrinsics.mve.assembly import BYTE_RANGE
from .intrinsics.mve.column_strip import MAX_COLUMNS
from .intrinsics.mve.copy import COPY, FILL
from .intrinsics.mve.strip import TILE, VECTOR, Strip
from .kernel import Kernel, Problem
from .requantize_mve import Epilogue, epilogue_of
from .strip_mve import (
    pack_weights,
    packed_shape,
    register_strip,
    strip_instructions,
    strip_kernels,
    strip_stages,
)
from .tensorize_mve import tensorizable

# Scratch and code that a layer may take.
MAX_SCRATCH = 4096
MAX_DEPTH = 640


def schedule_rows(problem: Problem) -> Kernel | None:
    """Schedule conv2d over a band of padded rows; None for windows that are not contiguous or too large."""
    if problem.operator != "conv2d" or "mve" not in problem.features:
        return None
    channels, kernel_h, kernel_w, depth = problem.shapes["weight"]
    width = problem.output_shape[2]
    stride_w = problem.attrs["strides"][1]
    if (kernel_w > 1 and problem.attrs["dilation"][1] > 1) or channels < 2 or width < TILE:
        return None
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return None
    # Step 1. Two ways to walk a window: vectors that neighbouring pixels share, or runs of each pixel's own.
    band = band_of(problem, 1)
    segment = kernel_w * depth
    shared = Strip(
        kernel_h,
        segment,
        band.pitch,
        stride_w * depth,
        overrun=False,
        requantization=epilogue.how,
        columns=kernel_w,
    )
    own = Strip(kernel_h, segment, band.pitch, stride_w * depth, overrun=True, requantization=epilogue.how)
    strips = [shared] if depth % VECTOR == 0 and kernel_w <= MAX_COLUMNS else []
    reachable = own.depth <= (MAX_DEPTH if segment % 4 == 0 else 2 * BYTE_RANGE)
    strips += [own] if reachable and own.form == "flat" else []
    if band.nbytes > MAX_SCRATCH or not strips:
        return None
    strip = min(strips, key=lambda candidate: strip_instructions(candidate, width))
    # Step 2. Loops: rows, then pairs of channels.
    function = tensorizable(_function(problem, strip, band, epilogue))
    function.tensorize(function.get_sblock("strip"), register_strip(strip, width, epilogue))
    tensorize_band(function, band)
    return Kernel(
        rule=f"mve {strip.form} rows",
        function=function.mod["main"],
        constants={"weight": pack_weights(problem.constants["weight"], strip), "table": epilogue.pairs()},
        instructions=band.instructions(problem.output_shape[1])
        + problem.output_shape[1] * -(-channels // 2) * strip_instructions(strip, width),
        micro_kernels=(*strip_kernels(strip), COPY, FILL),
    )


def _function(problem: Problem, strip: Strip, band: Band, epilogue: Epilogue) -> Any:
    _, input_height, _, _ = problem.shapes["data"]
    _, height, width, channels = problem.output_shape
    pairs, constants = -(-channels // 2), len(epilogue.how.table_rows)
    weight_shape = packed_shape(strip, channels)
    finish = epilogue.expression()

    @T.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (input_height, band.inner), "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, (pairs, constants, 2), "int32")
        output = T.match_buffer(output_handle, (height * width, channels), "int8")
        sums = T.sblock_alloc_buffer((width, 2), "int32")
        rows = T.sblock_alloc_buffer((band.rows, band.pitch), "int8")
        border_stage(rows, band)
        for y in range(height):
            band_stages(data, rows, band, height, y)
            for n in range(pairs):
                with T.sblock("strip"):
                    vn, vy = T.axis.remap("SS", [n, y])
                    strip_stages(
                        rows,
                        weight,
                        table,
                        sums,
                        output,
                        strip,
                        width,
                        (0, 0, T.min(vn * 2, channels - 2), vn, vy * width),
                        finish,
                    )

    return main
