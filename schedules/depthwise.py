"""Scalar schedule of depthwise_conv2d: one output pixel, up to four channels in registers.

Neighbouring channels share the address arithmetic and the clamped window; their weights and activations lie side by
side in NHWC.
"""

from __future__ import annotations

from tvm_tinyml.dialect.windows import share_inside

from .channel_tile import build_channel_tile
from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Problem
from .parts import Parts

# Per product, row of a window of several columns, and output; measured on Cortex-M0, and on Cortex-M3 and RV32.
INSTRUCTIONS_THUMB1 = (9.0, 0.0, 100.0)
INSTRUCTIONS = (4.1, 16.0, 27.0)


def schedule_depthwise(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d; None for every other operator."""
    if problem.operator != "depthwise_conv2d":
        return None
    kernel = problem.shapes["weight"][1:3]
    inside = share_inside(problem.shapes["data"], kernel, problem.output_shape, problem.attrs)
    per_product, per_row, per_output = INSTRUCTIONS_THUMB1 if "thumb1" in problem.features else INSTRUCTIONS
    window = kernel[0] * (per_product * kernel[1] + (per_row if kernel[1] > 1 else 0.0))
    parts = Parts(
        products=window * inside * problem.outputs,
        outputs=per_output * problem.outputs,
        multiplications=kernel[0] * kernel[1] * inside * problem.outputs,
    )
    return Candidate(
        rule="scalar depthwise",
        instructions=parts.total,
        parts=parts,
        build=lambda: build_channel_tile(problem, 2),
        loop_bytes=C_LOOP_BYTES,
    )
