"""Softmax on Arm MVE: rows by a table of exponentials that a gather reads four at a time.

The exponentials of a row lie in scratch.
"""

from __future__ import annotations

from tvm import s_tir

from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.softmax import SCALE_KERNEL, SoftmaxSum, row_instructions
from .intrinsics.softmax_tiles import register_scale
from .kernel import Array, Candidate, Kernel, Problem
from .softmax import exponential_table
from .softmax_rows import MAX_SCRATCH, softmax_function

# The reciprocal of a row's sum in C, and the loop over rows.
INSTRUCTIONS_PER_ROW, LOOP_BYTES = 110.0, 300


def schedule_softmax_mve(problem: Problem) -> Candidate | None:
    """Schedule softmax on cores with MVE; None for the rest and for long rows."""
    if "mve" not in problem.features or problem.operator != "softmax":
        return None
    depth = problem.output_shape[-1]
    if 4 * depth > MAX_SCRATCH:
        return None
    table = exponential_table(problem)
    summed = SoftmaxSum(depth, len(table))
    rows = problem.outputs // depth
    return Candidate(
        rule="mve softmax",
        instructions=rows * (INSTRUCTIONS_PER_ROW + row_instructions(depth)),
        build=lambda: _build(rows, summed, table),
        micro_kernels=lambda: (PRELUDE, summed.kernel, SCALE_KERNEL),
        scratch=4 * depth,
        loop_bytes=LOOP_BYTES + table.nbytes,
    )


def _build(rows: int, summed: SoftmaxSum, table: Array) -> Kernel:
    function = softmax_function(
        (rows, summed.depth),
        {"table": (1, summed.entries)},
        lambda of, row: summed.block(
            of["data"], of["table"], of["maximum"], of["total"], of["exponentials"], row
        ),
    )
    sch = s_tir.Schedule(function)
    sch.tensorize(sch.get_sblock("total"), summed.register())
    sch.tensorize(sch.get_sblock("scaled"), register_scale(SCALE_KERNEL.name, summed.depth))
    return Kernel(sch.mod["main"], {"table": table.reshape(1, -1)}, (PRELUDE, summed.kernel, SCALE_KERNEL))
