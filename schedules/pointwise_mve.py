"""Pointwise convolution on Arm MVE: strips of pixels straight from the activations, without a copy.

With stride 1 the whole image is one strip; with larger strides every output row is one.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812

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


def schedule_pointwise(problem: Problem) -> Kernel | None:
    """Schedule conv2d with 1x1 kernels and without padding; None for everything else."""
    if problem.operator != "conv2d" or "mve" not in problem.features or any(problem.attrs["padding"]):
        return None
    channels, *kernel, depth = problem.shapes["weight"]
    if kernel != [1, 1] or channels < 2:
        return None
    stride_h, stride_w = problem.attrs["strides"]
    _, height, width, _ = problem.output_shape
    # Step 1. Strips: as long as the pixels they read lie at equal distances.
    strips, pixels = (1, height * width) if stride_h == stride_w == 1 else (height, width)
    side_by_side = depth == VECTOR // 2 and stride_w == 1
    epilogue = epilogue_of(problem)
    if pixels < TILE or (depth < VECTOR and not side_by_side) or epilogue is None:
        return None
    strip = Strip(1, depth, 0, stride_w * depth, overrun=False, requantization=epilogue.how)
    # Step 2. Loops over pairs of channels and strips; the tiles of a strip are the micro-kernel's.
    sch = tensorizable(_function(problem, strip, strips, pixels, epilogue))
    sch.tensorize(sch.get_sblock("strip"), register_strip(strip, pixels, epilogue))
    calls = strips * -(-channels // 2)
    return Kernel(
        rule="mve pointwise",
        function=sch.mod["main"],
        constants={
            "weight": pack_weights(problem.constants["weight"], strip),
            "table": epilogue.pairs(),
        },
        instructions=calls * strip_instructions(strip, pixels),
        micro_kernels=strip_kernels(strip),
    )


def _function(problem: Problem, strip: Strip, strips: int, pixels: int, epilogue: Epilogue) -> Any:
    _, input_height, input_width, depth = problem.shapes["data"]
    channels = problem.output_shape[-1]
    step = problem.attrs["strides"][0] if strips > 1 else 1
    lines = input_height if strips > 1 else 1
    line = input_height * input_width * depth // lines
    pairs, constants = -(-channels // 2), len(epilogue.how.table_rows)
    weight_shape = packed_shape(strip, channels)
    finish = epilogue.expression()

    @T.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (lines, line), "int8")
        weight = T.match_buffer(weight_handle, weight_shape, "int8")
        table = T.match_buffer(table_handle, (pairs, constants, 2), "int32")
        output = T.match_buffer(output_handle, (strips * pixels, channels), "int8")
        sums = T.sblock_alloc_buffer((pixels, 2), "int32")
        for n, s in T.grid(pairs, strips):
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

    return main
