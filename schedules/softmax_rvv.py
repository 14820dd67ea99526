"""RVV schedule of softmax: per row two kernels over vectors, and between them the reciprocal of one number."""

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

# Calls, and the reciprocal in C.
INSTRUCTIONS_PER_ROW = 150.0


def schedule_softmax_rvv(problem: Problem) -> Candidate | None:
    """Schedule softmax on cores with RVV; None for the rest, and for scales that shift differences right."""
    if "rvv" not in problem.features or problem.operator != "softmax":
        return None
    attrs, depth = problem.attrs, problem.output_shape[-1]
    if not 0 <= attrs["shift"] <= 30:
        return None
    exponent = Exponent(attrs["multiplier"], attrs["shift"], attrs["diff_min"])
    tiles = SoftmaxSum(depth, exponent), SoftmaxScale(depth, exponent)
    rows = problem.outputs // depth
    return Candidate(
        rule="RVV softmax",
        instructions=rows * (INSTRUCTIONS_PER_ROW + sum(tile.assemble().executed for tile in tiles)),
        build=lambda: _build(rows, *tiles),
        micro_kernels=lambda: tuple(tile.micro_kernel() for tile in tiles),
    )


def _build(rows: int, total: SoftmaxSum, scale: SoftmaxScale) -> Kernel:
    sch = s_tir.Schedule(_function(rows, total, scale))
    sch.tensorize(sch.get_sblock("total"), total.register())
    sch.tensorize(sch.get_sblock("scaled"), scale.register())
    return Kernel(sch.mod["main"], {}, (total.micro_kernel(), scale.micro_kernel()))


def _function(rows: int, total: SoftmaxSum, scale: SoftmaxScale) -> Any:
    shape = (rows, total.depth)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer(shape, "int8"))
        output = T.arg("output", T.buffer(shape, "int8"))
        with T.sblock("root"):
            sums = allocate("sums", (1, 2), "int32")
            factor = allocate("factor", (1, 3), "int32")
            with T.serial(0, rows) as r:
                with T.sblock("total"):
                    total.block(data, sums, T.axis.spatial(rows, r))
                with T.sblock("factor"):
                    T.reads(sums[0:1, 0:2])
                    T.writes(factor[0:1, 0:3])
                    exponent = OUTPUT_EXPONENT - count_leading_zeros_expr(sums[0, 1])
                    # Shifted by 32 and more nothing is left.
                    inverse = T.if_then_else(exponent < 32, reciprocal_expr(sums[0, 1]), 0)
                    for index, value in enumerate((sums[0, 0], inverse, T.bitwise_and(exponent, 31))):
                        T.buffer_store(factor, value, [0, index])
                with T.sblock("scaled"):
                    scale.block(data, factor, output, T.axis.spatial(rows, r))
    return builder.get()
