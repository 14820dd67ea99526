"""Scalar schedule of conv2d and its transposition: one output pixel, up to four output channels in registers.

Each input value is loaded once for all channels of the tile. The kernel loops run only over taps inside the
image, so the interior has no check and needs no padded copy; the innermost loop is over input channels.
"""

from __future__ import annotations

import math

from .channel_tile import build_channel_tile
from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Problem
from .parts import Parts
from .tensor_ir import accumulators, largest_divisor

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
        build=lambda: build_channel_tile(problem, 3),
        loop_bytes=C_LOOP_BYTES,
    )
