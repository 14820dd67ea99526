"""Softmax by a table of exponentials: activations of eight bits have 256 differences to a row's maximum.

The plain schedule computes the exponential of every element twice and the reciprocal of the sum for every output,
because inlining keeps them from taking memory. Here a row has one reciprocal. The table holds the differences from 0
downwards, up to the first whose exponential is 0 like that of all below it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tvm import s_tir, te, tirx

from tvm_tinyml.dialect.softmax import exponentials, softmax_of_exponentials

from .kernel import Array, Candidate, Kernel, Problem
from .plain import schedule_plain

# Measured on Cortex-M3.
INSTRUCTIONS_PER_OUTPUT, PLAIN_INSTRUCTIONS_PER_OUTPUT = 60.0, 500.0
TABLE_LOOP_BYTES, PLAIN_LOOP_BYTES = 450, 1000


def schedule_softmax(problem: Problem) -> list[Candidate] | None:
    """Schedule softmax of rows, with a table and without; None for other operators, a single axis, and with vectors."""
    if problem.operator != "softmax" or len(problem.shapes["data"]) < 2 or "rvv" in problem.features:
        return None
    table = exponential_table(problem)
    return [
        Candidate(
            rule="softmax by table",
            instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
            build=lambda: _build(problem, table),
            loop_bytes=TABLE_LOOP_BYTES + table.nbytes,
        ),
        replace(
            schedule_plain(problem),
            instructions=PLAIN_INSTRUCTIONS_PER_OUTPUT * problem.outputs,
            loop_bytes=PLAIN_LOOP_BYTES,
        ),
    ]


def exponential_table(problem: Problem) -> Array:
    """int32[n]: exponentials of the differences 0, -1, ...; the last one stands for all that are lower."""
    values = exponentials(-np.arange(256), problem.attrs).astype(np.int32)
    return values[: np.count_nonzero(values) + 1]


def _build(problem: Problem, table: Array) -> Kernel:
    data = te.placeholder(problem.shapes["data"], "int8", name="data")
    stored = te.placeholder(table.shape, "int32", name="table")
    output = softmax_of_exponentials(
        data, lambda difference: stored[tirx.min(-difference, tirx.const(len(table) - 1, "int32"))]
    )
    sch = s_tir.Schedule(te.create_prim_func([data, stored, output]))
    sch.compute_inline(sch.get_sblock("exponential"))
    requantize = sch.get_sblock("requantize")
    row = sch.get_loops(requantize)[-2]
    for stage in ("exponent", "reciprocal", "accumulate", "maximum"):
        sch.compute_at(sch.get_sblock(stage), row)
    for stage in ("accumulate", "maximum"):
        block = sch.get_sblock(stage)
        sch.decompose_reduction(block, sch.get_loops(block)[-1])
    return Kernel(sch.mod["main"], {"table": table})
