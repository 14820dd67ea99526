"""Convolution on Arm MVE without im2col: strips over a band of padded rows.

One output row at a time, the input rows of its windows are copied to scratch with their borders, where the kernel's
rows lie at equal distances and windows lie side by side; then every pair of channels computes the row as one strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from .copy_mve import copy_stage, fill_stage, register_copy, register_fill
from .intrinsics.mve.assembly import BYTE_RANGE
from .intrinsics.mve.column_strip import MAX_COLUMNS
from .intrinsics.mve.copy import COPY, FILL, copy_instructions, fill_instructions
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
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

# Scratch and code that a layer may take.
MAX_SCRATCH = 4096
MAX_DEPTH = 640


@dataclass(frozen=True)
class Band:
    """Padded input rows of one output row. rows: how many; left, inner, pitch: bytes of border, of data, of a row."""

    rows: int
    left: int
    inner: int
    pitch: int
    value: int

    @property
    def bordered(self) -> bool:
        """Whether there is anything beside the data that must hold the padding value."""
        return self.pitch > self.inner


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
    band = band_of(problem)
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
    if band.rows * band.pitch > MAX_SCRATCH or not strips:
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
        instructions=problem.output_shape[1]
        * (band.rows * copy_instructions(band.inner) + -(-channels // 2) * strip_instructions(strip, width))
        + fill_instructions(band.rows * band.pitch),
        micro_kernels=(*strip_kernels(strip), COPY, FILL),
    )


def band_of(problem: Problem) -> Band:
    """Geometry of the band of a convolution; rows are aligned to words and long enough for whole vectors."""
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    _, _, input_width, depth = problem.shapes["data"]
    width, left = problem.output_shape[2], problem.attrs["padding"][1]
    reach = (width - 1) * problem.attrs["strides"][1]
    window = (kernel_w - 1) * problem.attrs["dilation"][1] + 1
    columns = max(left + input_width, reach + window)
    pitch = max(columns * depth, reach * depth + -(-window * depth // VECTOR) * VECTOR)
    return Band(
        rows=kernel_h,
        left=left * depth,
        inner=input_width * depth,
        pitch=-(-pitch // 4) * 4,
        value=problem.attrs["input_zero_point"],
    )


@T.macro
def band_stages(data: Any, band: Any, shape: Any, row: Any, steps: Any, height: Any) -> None:
    """Fill the band of one output row. steps: stride, padding above, dilation, in input rows."""
    for r in range(shape.rows):
        if T.And(
            row * steps[0] + r * steps[2] >= steps[1], row * steps[0] + r * steps[2] < height + steps[1]
        ):
            with T.sblock("copy"):
                vr, vy = T.axis.remap("SS", [r, row])
                copy_stage(
                    band,
                    data,
                    (vr, shape.left, vy * steps[0] - steps[1] + vr * steps[2], 0),
                    shape.inner,
                )
        else:
            with T.sblock("fill"):
                vr = T.axis.spatial(shape.rows, r)
                fill_stage(band, (vr, shape.left), shape.inner, shape.value)


def tensorize_band(sch: Any, band: Band) -> None:
    """Bind the micro-kernels of the band's blocks."""
    intrinsics = {
        "borders": register_fill(band.pitch, band.value),
        "copy": register_copy(band.inner),
        "fill": register_fill(band.inner, band.value),
    }
    for block in blocks(sch):
        # Blocks below a condition get a number behind their names.
        name = str(sch.get(block).name_hint).split("_")[0]
        if name in intrinsics:
            sch.tensorize(block, intrinsics[name])


def _function(problem: Problem, strip: Strip, band: Band, epilogue: Epilogue) -> Any:
    _, input_height, _, _ = problem.shapes["data"]
    _, height, width, channels = problem.output_shape
    steps = (problem.attrs["strides"][0], problem.attrs["padding"][0], problem.attrs["dilation"][0])
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
        for r in range(band.rows):
            with T.sblock("borders"):
                vr = T.axis.spatial(band.rows, r)
                fill_stage(rows, (vr, 0), band.pitch, band.value)
        for y in range(height):
            band_stages(data, rows, band, y, steps, input_height)
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
