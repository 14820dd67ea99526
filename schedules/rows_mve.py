"""Convolution on Arm MVE without im2col: strips over a band of padded rows.

One output row at a time, the input rows of its windows are copied to scratch with their borders, where the kernel's
rows lie at equal distances and windows lie side by side; then every pair of channels computes the row as one strip.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .band_mve import Band, band_of, band_stages, border_stage, tensorize_band
from .intrinsics.mve.assembly import BYTE_RANGE
from .intrinsics.mve.column_strip import MAX_COLUMNS
from .intrinsics.mve.strip import FRAMES, TILE, VECTOR, Strip
from .kernel import Candidate, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, table_size
from .strip_mve import (
    output_shape,
    pack_weights,
    packed_shape,
    register_strip,
    strip_instructions,
    strip_kernels_of,
    strip_parts,
    strip_stages,
)
from .tensorize_mve import tensorizable

# Scratch and unrolled taps that a layer may take.
MAX_SCRATCH = 4096
MAX_DEPTH = 640


def plan_rows(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan conv2d over a band of padded rows; nothing for windows that are not contiguous or too large."""
    channels, kernel_h, kernel_w, depth = problem.shapes["weight"]
    height, width = problem.output_shape[1:3]
    pitch = problem.attrs["strides"][1] * depth
    if (kernel_w > 1 and problem.attrs["dilation"][1] > 1) or channels < 2 or width < TILE:
        return []
    band = band_of(problem, 1)
    segment = kernel_w * depth
    # Two ways to walk a window: vectors that neighbouring pixels share, or runs of each pixel's own.
    strips = []
    if depth % VECTOR == 0 and kernel_w <= MAX_COLUMNS:
        shared = Strip(kernel_h, segment, band.pitch, pitch, False, epilogue.how, columns=kernel_w)
        strips.append(replace(shared, plane=problem.output_plane))
    frame = FRAMES[problem.objective]
    own = Strip(kernel_h, segment, band.pitch, pitch, True, epilogue.how, frame=frame)
    own = replace(own, plane=problem.output_plane)
    if own.form == "flat" and own.depth <= (MAX_DEPTH if segment % 4 == 0 else 2 * BYTE_RANGE):
        strips.append(own)
    if band.nbytes > MAX_SCRATCH or not strips:
        return []
    strip = min(strips, key=lambda candidate: strip_instructions(candidate, width))
    shape = (height, width, channels)
    products = strip_parts(strip, width) * (height * -(-channels // 2))
    parts = products + Parts(copies=band.instructions(height))
    candidate = plan(
        scratch=band.nbytes,
        rule=f"mve {strip.form} rows",
        instructions=parts.total,
        parts=parts,
        function=lambda: _build(strip, band, shape, epilogue.rounding),
        constants=lambda: {
            "weight": pack_weights(problem.constants["weight"], strip),
            "table": epilogue.pairs(),
        },
        micro_kernels=lambda: (*strip_kernels_of(strip), *band.micro_kernels),
    )
    return [candidate]


@cache
def _build(strip: Strip, band: Band, shape: tuple[int, int, int], rounding: Rounding) -> Any:
    height, width, channels = shape
    weight_shape, made = packed_shape(strip, channels), output_shape(strip, height * width, channels)
    table_shape = (-(-channels // 2), table_size(rounding.how, 2))
    finish = rounding.by_group(2)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (band.height, band.inner), "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, made, "int8")
        sums = T.sblock_alloc_buffer((width, 2), "int32")
        rows = T.sblock_alloc_buffer((band.rows, band.pitch), "int8")
        border_stage(rows, band)
        for y in range(height):
            band_stages(data, rows, band, height, y)
            for n in range(table_shape[0]):
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

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("strip"), register_strip(strip, width, rounding))
    tensorize_band(sch, band)
    return sch.mod["main"]
