"""The schedule that always applies: stages without reductions are inlined, reductions run at their consumer.

A reduction of rank r is computed at the r-th loop of the stage that reads it, so that it needs one element
of storage per inner loop and is never computed twice.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir

from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import CLAMP_WINDOW, blocks, inline_injective, is_reduction

# Above the estimate of every other rule: this one is taken when it is alone.
WORST = float("inf")


def schedule_plain(problem: Problem) -> Candidate:
    """Schedule any function made from a dialect operator."""
    return Candidate(rule="plain", instructions=WORST, build=lambda: _build(problem), loop_bytes=C_LOOP_BYTES)


def _build(problem: Problem) -> Kernel:
    sch = s_tir.Schedule(problem.compute())
    schedule_blocks(sch)
    return Kernel(sch.mod["main"], problem.stored)


def schedule_blocks(sch: Any) -> None:
    """Inline stages without reductions and compute reductions at their consumers."""
    inline_injective(sch)
    *producers, _output = blocks(sch)
    for producer in reversed(producers):
        consumers = sch.get_consumers(producer)
        if not consumers:
            # A clamp to a single value needs no sum; TVM has seen that too.
            continue
        rank = len(sch.get(producer).writes[0].region)
        loops = sch.get_loops(consumers[0])
        # A scalar has no loop to be computed at; it comes right before its reader anyway.
        if rank and loops:
            sch.compute_at(producer, loops[min(rank, len(loops)) - 1])
    for block in blocks(sch):
        if is_reduction(sch, block):
            _decompose(sch, block)


def _decompose(sch: Any, block: Any) -> None:
    spatial = {str(axis.var.name) for axis in sch.get(block).iter_vars if int(axis.iter_type) != 2}
    reduction_axes = len(sch.get(block).iter_vars) - len(spatial)
    reduction = sch.get_loops(block)[-reduction_axes:]
    for loop in reduction:
        sch.annotate(loop, CLAMP_WINDOW, 1)
    sch.decompose_reduction(block, reduction[0])
