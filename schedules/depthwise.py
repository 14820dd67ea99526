"""Scalar schedule of depthwise_conv2d: one output pixel, up to four channels in registers.

Neighbouring channels share the address arithmetic and the clamped window; their weights and activations lie side by
side in NHWC.
"""

from __future__ import annotations

from tvm import s_tir

from tvm_tinyml.dialect.windows import share_inside

from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .parts import Parts
from .tensor_ir import CLAMP_WINDOW, accumulators, extent_of, inline_injective, largest_divisor

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
        build=lambda: _build(problem),
        loop_bytes=C_LOOP_BYTES,
    )


def _build(problem: Problem) -> Kernel:
    sch = s_tir.Schedule(problem.compute())
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    channel = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, channel), accumulators(problem.features))
    outer, inner = sch.split(channel, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    *_, tile_channel, kernel_h, kernel_w = sch.get_loops(accumulate)
    sch.reorder(kernel_h, kernel_w, tile_channel)
    sch.annotate(kernel_h, CLAMP_WINDOW, 1)
    sch.annotate(kernel_w, CLAMP_WINDOW, 1)
    initial = sch.decompose_reduction(accumulate, kernel_h)
    for loop in (tile_channel, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return Kernel(sch.mod["main"], problem.stored)
