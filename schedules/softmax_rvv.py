"""RVV schedule of softmax: per row two kernels over vectors, and between them the reciprocal of one number.

The exponentials of a row lie in scratch.
"""

from __future__ import annotations

from tvm import s_tir

from .intrinsics.rvv.softmax import Exponent, SoftmaxScale, SoftmaxSum
from .intrinsics.softmax_tiles import register_scale
from .kernel import Candidate, Kernel, Problem
from .softmax_rows import MAX_SCRATCH, softmax_function

# Calls, and the reciprocal in C.
INSTRUCTIONS_PER_ROW = 150.0


def schedule_softmax_rvv(problem: Problem) -> Candidate | None:
    """Schedule softmax on cores with RVV; None for the rest, for long rows and scales that shift differences right."""
    if "rvv" not in problem.features or problem.operator != "softmax":
        return None
    attrs, depth = problem.attrs, problem.output_shape[-1]
    if not 0 <= attrs["shift"] <= 30 or 4 * depth > MAX_SCRATCH:
        return None
    exponent = Exponent(attrs["multiplier"], attrs["shift"], attrs["diff_min"])
    tiles = SoftmaxSum(depth, exponent), SoftmaxScale(depth)
    rows = problem.outputs // depth
    return Candidate(
        rule="RVV softmax",
        instructions=rows * (INSTRUCTIONS_PER_ROW + sum(tile.assemble().executed for tile in tiles)),
        build=lambda: _build(rows, *tiles),
        micro_kernels=lambda: tuple(tile.micro_kernel() for tile in tiles),
        scratch=4 * depth,
    )


def _build(rows: int, summed: SoftmaxSum, scale: SoftmaxScale) -> Kernel:
    function = softmax_function(
        (rows, summed.depth),
        {},
        lambda of, row: summed.block(of["data"], of["maximum"], of["total"], of["exponentials"], row),
    )
    sch = s_tir.Schedule(function)
    sch.tensorize(sch.get_sblock("total"), summed.register())
    sch.tensorize(sch.get_sblock("scaled"), register_scale(scale.name, scale.depth))
    return Kernel(sch.mod["main"], {}, (summed.micro_kernel(), scale.micro_kernel()))
