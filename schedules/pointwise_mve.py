"""Pointwise convolutions and dense layers of several rows on Arm MVE: strips straight from the activations.

With stride 1 the whole image is one strip; with larger strides every output row is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.strip import FRAMES, TILE, VECTOR, Strip
from .kernel import Candidate, Problem
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, table_size
from .strip_mve import (
    output_shape,
    pack_weights,
    packed_shape,
    register_strip,
    strip_kernels_of,
    strip_parts,
    strip_stages,
)
from .tensorize_mve import tensorizable
from .wide_mve import WideRow, tensorize_wide, wide_row_stages, wide_rows


@dataclass(frozen=True)
class _Layer:
    """Loops of a layer. lines, line: shape of the activations; step: lines from one strip to the next.

    wide: how wide tiles make a strip, if they do.
    """

    strip: Strip
    rounding: Rounding
    lines: int
    line: int
    step: int
    strips: int
    pixels: int
    channels: int
    wide: WideRow | None = None


def plan_pointwise(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan a dense layer, or conv2d with 1x1 kernels and without padding; nothing for what no strip holds."""
    channels, *window = problem.shapes["weight"]
    size = 1
    for extent in problem.shapes["data"]:
        size *= extent
    depth = window[-1]
    if problem.operator == "dense":
        strips, pixels, lines, step, pitch = 1, problem.outputs // channels, 1, 1, depth
    elif window[:-1] == [1, 1] and not any(problem.attrs["padding"]):
        stride_h, stride_w = problem.attrs["strides"]
        _, height, width, _ = problem.output_shape
        whole = stride_h == stride_w == 1
        strips, pixels = (1, height * width) if whole else (height, width)
        lines, step = (1, 1) if whole else (problem.shapes["data"][1], stride_h)
        pitch = stride_w * depth
    else:
        return []
    if channels < 2:
        return []
    frame = FRAMES[problem.objective]
    plane = problem.output_plane
    looped = Strip(1, depth, 0, pitch, False, epilogue.how, loop=True, frame=frame, plane=plane)
    side_by_side = depth == pitch == VECTOR // 2
    unrolled = replace(looped, loop=False)
    vectors = (depth >= VECTOR or side_by_side) and unrolled.form != looped.form
    ways = (looped, unrolled) if vectors else (looped,)
    shape = (lines, size // lines, step, strips, pixels, channels)
    narrow = [_Layer(strip, epilogue.rounding, *shape) for strip in dict.fromkeys(ways)]
    wide = [replace(narrow[0], wide=row) for row in wide_rows(looped, pixels, channels)]
    return [_plan(problem, epilogue, layer) for layer in (narrow if pixels >= TILE else []) + wide]


def _plan(problem: Problem, epilogue: Epilogue, layer: _Layer) -> Candidate:
    strip, row = layer.strip, layer.wide
    pairs = -(-layer.channels // 2)
    parts = (row.parts if row else strip_parts(strip, layer.pixels) * pairs) * layer.strips
    rule = "mve pointwise" if problem.operator == "conv2d" else "mve dense rows"
    return plan(
        scratch=0,
        waits=row.waits * layer.strips if row else 0.0,
        rule=f"{rule}, wide" if row else rule,
        instructions=parts.total,
        parts=parts,
        function=lambda: _build_wide(layer, row) if row else _build(layer),
        constants=lambda: {
            "weight": pack_weights(problem.constants["weight"], strip),
            "table": epilogue.pairs(),
        },
        micro_kernels=lambda: row.micro_kernels() if row else strip_kernels_of(strip),
    )


@cache
def _build(layer: _Layer) -> Any:
    strip, pixels, strips, step, channels = (
        layer.strip,
        layer.pixels,
        layer.strips,
        layer.step,
        layer.channels,
    )
    data_shape, weight_shape = (layer.lines, layer.line), packed_shape(strip, channels)
    table_shape = (-(-channels // 2), table_size(layer.rounding.how, 2))
    made = output_shape(strip, strips * pixels, channels)
    finish = layer.rounding.by_group(2)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, data_shape, "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, made, "int8")
        sums = T.sblock_alloc_buffer((pixels, 2), "int32")
        for n, s in T.grid(table_shape[0], strips):
            with T.sblock("strip"):
                vn, vs = T.axis.remap("SS", [n, s])
                strip_stages(
                    data,
                    weight,
                    table,
                    sums,
                    output,
                    strip,
                    pixels,
                    (vs * step, 0, T.min(vn * 2, channels - 2), vn, vs * pixels),
                    finish,
                )

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("strip"), register_strip(strip, pixels, layer.rounding))
    return sch.mod["main"]


@cache
def _build_wide(layer: _Layer, row: WideRow) -> Any:
    strips, step, channels, pixels = layer.strips, layer.step, layer.channels, layer.pixels
    data_shape, weight_shape = (layer.lines, layer.line), packed_shape(row.strip, channels)
    table_shape = (row.pairs, table_size(layer.rounding.how, 2))
    made = output_shape(row.strip, strips * pixels, channels)
    finish = layer.rounding.by_group(2)

    def start(number: Any) -> Any:
        return number * pixels

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, data_shape, "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, made, "int8")
        sums = T.sblock_alloc_buffer((row.calls[0], 2 * row.pairs), "int32")
        for s in range(strips):
            wide_row_stages(data, weight, table, sums, output, row, s, strips, start, step, finish)

    sch = tensorizable(main)
    tensorize_wide(sch, row, layer.rounding)
    return sch.mod["main"]
