"""Scalar schedule of dense: up to four outputs in registers, the input vector read once for all of them."""

from __future__ import annotations

from tvm import s_tir

from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import accumulators, extent_of, inline_injective, largest_divisor

# (per product, per output) measured on Cortex-M0 and Cortex-M3; they rank this rule behind those with own kernels.
INSTRUCTIONS_THUMB1 = (5.6, 90.0)
INSTRUCTIONS = (4.5, 20.0)


def schedule_dense(problem: Problem) -> Candidate | None:
    """Schedule dense; None for every other operator."""
    if problem.operator != "dense":
        return None
    products = problem.outputs * int(problem.shapes["weight"][1])
    per_product, per_output = INSTRUCTIONS_THUMB1 if "thumb1" in problem.features else INSTRUCTIONS
    return Candidate(
        rule="scalar dense",
        instructions=per_product * products + per_output * problem.outputs,
        build=lambda: _build(problem),
        loop_bytes=C_LOOP_BYTES,
    )


def _build(problem: Problem) -> Kernel:
    sch = s_tir.Schedule(problem.compute())
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    unit = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, unit), accumulators(problem.features))
    outer, inner = sch.split(unit, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    *_, tile_unit, depth = sch.get_loops(accumulate)
    sch.reorder(depth, tile_unit)
    initial = sch.decompose_reduction(accumulate, depth)
    for loop in (tile_unit, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return Kernel(sch.mod["main"], problem.stored)
