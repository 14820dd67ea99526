"""Scalar schedule of depthwise_conv2d: one output pixel, up to four channels in registers.

Neighbouring channels share the address arithmetic and the clamped window; their weights and activations lie side by
side in NHWC.
"""

from __future__ import annotations

import numpy as np
from tvm import s_tir

from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import CLAMP_WINDOW, accumulators, extent_of, inline_injective, largest_divisor

# Measured on Cortex-M3; they only rank this rule behind those with kernels of their own.
INSTRUCTIONS_PER_PRODUCT = 9.0
INSTRUCTIONS_PER_OUTPUT = 20.0


def schedule_depthwise(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d; None for every other operator."""
    if problem.operator != "depthwise_conv2d":
        return None
    products = problem.outputs * int(np.prod(problem.shapes["weight"][1:3]))
    return Candidate(
        rule="scalar depthwise",
        instructions=INSTRUCTIONS_PER_PRODUCT * products + INSTRUCTIONS_PER_OUTPUT * problem.outputs,
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
