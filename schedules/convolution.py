"""Scalar schedule of conv2d and its transposition: one output pixel, up to four output channels in registers.

Each input value is loaded once for all channels of the tile. The kernel loops run only over taps inside the
image, so the interior has no check and needs no padded copy; the innermost loop is over input channels.
"""

from __future__ import annotations

import math

from tvm import s_tir

from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .parts import Parts
from .tensor_ir import CLAMP_WINDOW, accumulators, extent_of, inline_injective, largest_divisor

# (per product, per output) measured on Cortex-M0 and Cortex-M3; they rank this rule behind those with own kernels.
INSTRUCTIONS_THUMB1 = (5.0, 100.0)
INSTRUCTIONS = (4.0, 20.0)
# On RV32 per product, and what all channels of a tile share of it.
INSTRUCTIONS_RV32, INSTRUCTIONS_SHARED = 3.0, 4.0

RULES = {"conv2d": "scalar convolution", "transpose_conv2d": "scalar transposed convolution"}


def schedule_convolution(problem: Problem) -> Candidate | None:
    """Schedule conv2d and transpose_conv2d; None for every other operator."""
    if problem.operator not in RULES:
        return None
    taps = problem.shapes["weight"][1:3]
    if problem.operator == "transpose_conv2d":
        # An output pixel meets one tap in a stride.
        taps = tuple(
            -(-extent // stride) for extent, stride in zip(taps, problem.attrs["strides"], strict=True)
        )
    products = problem.outputs * math.prod(taps) * problem.shapes["weight"][3]
    per_product, per_output = INSTRUCTIONS_THUMB1 if "thumb1" in problem.features else INSTRUCTIONS
    if problem.is_scalar_rv32:
        tile = largest_divisor(problem.output_shape[-1], accumulators(problem.features))
        per_product = INSTRUCTIONS_RV32 + INSTRUCTIONS_SHARED / tile
    parts = Parts(
        products=per_product * products,
        outputs=per_output * problem.outputs,
        multiplications=products,
    )
    return Candidate(
        rule=RULES[problem.operator],
        instructions=parts.total,
        parts=parts,
        build=lambda: _build(problem),
        loop_bytes=C_LOOP_BYTES,
    )


def _build(problem: Problem) -> Kernel:
    sch = s_tir.Schedule(problem.compute())
    # Step 1. The padding stage becomes a guard inside the window loops.
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    # Step 2. A tile of channels lives in registers from the first product to the requantised store.
    channel = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, channel), accumulators(problem.features))
    outer, inner = sch.split(channel, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    *_, tile_channel, kernel_h, kernel_w, input_channel = sch.get_loops(accumulate)
    sch.reorder(kernel_h, kernel_w, input_channel, tile_channel)
    # Step 3. Taps outside the image contribute nothing: the window loops are clamped instead of guarded.
    sch.annotate(kernel_h, CLAMP_WINDOW, 1)
    sch.annotate(kernel_w, CLAMP_WINDOW, 1)
    initial = sch.decompose_reduction(accumulate, kernel_h)
    # Step 4. Unrolled tiles keep the accumulators out of memory.
    for loop in (tile_channel, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return Kernel(sch.mod["main"], problem.stored)
