"""Scalar schedule of pooling and of means over leading axes: one window, up to four channels in registers.

Neighbouring channels share the address arithmetic and the loops over a window, as in `depthwise`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from tvm import s_tir

from .code_size import C_LOOP_BYTES, LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .plain import schedule_plain
from .tensor_ir import CLAMP_WINDOW, accumulators, inline_injective, largest_divisor

OPERATORS = {
    "avg_pool2d": "scalar average pool",
    "max_pool2d": "scalar max pool",
    "mean": "scalar mean",
}
# Extensions with rules of their own.
COVERED = frozenset({"dsp", "mve", "rvv"})
# Measured on Cortex-M3, with four channels and with one.
INSTRUCTIONS_PER_ELEMENT, PLAIN_INSTRUCTIONS_PER_ELEMENT = 3.0, 5.0
INSTRUCTIONS_PER_OUTPUT = 14.0


def schedule_pool(problem: Problem) -> list[Candidate] | None:
    """Schedule pooling and means on scalar cores; None for other operators, means over the last axis, odd channels.

    The loops for one channel at a time are a candidate as well, because they take less code.
    """
    if problem.operator not in OPERATORS or problem.features & COVERED:
        return None
    rank = len(problem.shapes["data"])
    if problem.operator == "mean" and rank - 1 in {axis % rank for axis in problem.attrs["axes"]}:
        return None
    if _tile(problem) == 1:
        return None
    window = _window(problem)
    return [
        Candidate(
            rule=OPERATORS[problem.operator],
            instructions=(INSTRUCTIONS_PER_ELEMENT * window + INSTRUCTIONS_PER_OUTPUT) * problem.outputs,
            build=lambda: _build(problem),
            loop_bytes=C_LOOP_BYTES,
        ),
        replace(
            schedule_plain(problem),
            instructions=(PLAIN_INSTRUCTIONS_PER_ELEMENT * window + INSTRUCTIONS_PER_OUTPUT)
            * problem.outputs,
            loop_bytes=LOOP_BYTES,
        ),
    ]


def _window(problem: Problem) -> int:
    """Elements of one output."""
    if problem.operator == "mean":
        return math.prod(problem.shapes["data"]) // problem.outputs
    return math.prod(problem.attrs["pool"])


def _tile(problem: Problem) -> int:
    """Channels that are done at a time."""
    return largest_divisor(problem.output_shape[-1], accumulators(problem.features))


def _build(problem: Problem) -> Kernel:
    sch = s_tir.Schedule(problem.compute())
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    channel = sch.get_loops(requantize)[-1]
    outer, inner = sch.split(channel, [None, _tile(problem)])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    window = _reduction_loops(sch, accumulate)
    tile_channel = sch.get_loops(accumulate)[-len(window) - 1]
    sch.reorder(*window, tile_channel)
    for loop in window:
        sch.annotate(loop, CLAMP_WINDOW, 1)
    initial = sch.decompose_reduction(accumulate, window[0])
    for loop in (tile_channel, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return Kernel(sch.mod["main"], problem.stored)


def _reduction_loops(sch: Any, block: Any) -> list[Any]:
    """The loops over a window, which are the last ones."""
    reduced = sum(int(axis.iter_type) == 2 for axis in sch.get(block).iter_vars)
    return list(sch.get_loops(block)[-reduced:])
