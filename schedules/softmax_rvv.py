"""RVV schedule of softmax: per row two kernels over vectors, and between them the reciprocal of one number.

The exponentials of a row lie in scratch.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_functions import count_leading_zeros_expr, reciprocal_expr
from tvm_tinyml.dialect.softmax import OUTPUT_EXPONENT

from .intrinsics.rvv.description import allocate
from .intrinsics.rvv.softmax import Exponent, SoftmaxScale, SoftmaxSum
from .kernel import Candidate, Kernel, Problem

# Bytes of scratch.
MAX_SCRATCH = 5 * 1024
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
    sch = s_tir.Schedule(_function(rows, summed, scale))
    sch.tensorize(sch.get_sblock("total"), summed.register())
    sch.tensorize(sch.get_sblock("scaled"), scale.register())
    return Kernel(sch.mod["main"], {}, (summed.micro_kernel(), scale.micro_kernel()))


def _function(rows: int, summed: SoftmaxSum, scale: SoftmaxScale) -> Any:
    shape = (rows, summed.depth)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer(shape, "int8"))
        output = T.arg("output", T.buffer(shape, "int8"))
        with T.sblock("root"):
            maximum, total = (allocate(name, (1, 1), "int32") for name in ("maximum", "total"))
            exponentials = allocate("exponentials", (1, summed.depth), "int32")
            factor = allocate("factor", (1, 2), "int32")
            with T.serial(0, rows) as r:
                with T.sblock("total"):
                    summed.block(data, maximum, total, exponentials, T.axis.spatial(rows, r))
                with T.sblock("factor"):
                    T.reads(total[0:1, 0:1])
                    T.writes(factor[0:1, 0:2])
                    exponent = OUTPUT_EXPONENT - count_leading_zeros_expr(total[0, 0])
                    # Shifted by 32 and more nothing is left.
                    inverse = T.if_then_else(exponent < 32, reciprocal_expr(total[0, 0]), 0)
                    T.buffer_store(factor, inverse, [0, 0])
                    T.buffer_store(factor, T.bitwise_and(exponent, 31), [0, 1])
                with T.sblock("scaled"):
                    scale.block(exponentials, factor, output, T.axis.spatial(rows, r))
    return builder.get()
