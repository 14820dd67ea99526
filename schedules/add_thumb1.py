"""Schedule of add and sub for Armv6-M: the line of `add` in one loop of assembly, for each row if a row repeats."""

from __future__ import annotations

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .add import line_of
from .broadcast import Pairs, pairs_of
from .intrinsics.thumb1_words import LinearSumLoop
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import drop_unit_loops

# Measured on Cortex-M0.
INSTRUCTIONS_PER_OUTPUT = 14.0
INSTRUCTIONS_PER_ROW = 50.0


def schedule_add_loop(problem: Problem) -> Candidate | None:
    """Schedule add and sub on Armv6-M; None for the rest, and where an operand repeats other than by whole rows."""
    if "thumb1" not in problem.features:
        return None
    line = line_of(problem)
    if line is None:
        return None
    pairs = pairs_of(problem)
    inner = pairs.axes[-1]
    if len(pairs.axes) > 2 or not (inner.in_a and inner.in_b):
        return None
    loop = LinearSumLoop(
        count=pairs.elements,
        factor_a=line.factor_a,
        factor_b=line.factor_b,
        addend=line.addend,
        shift=line.shift,
        clamp_min=problem.attrs["clamp_min"],
        clamp_max=problem.attrs["clamp_max"],
    )
    rows = problem.outputs // loop.count
    return Candidate(
        rule=f"linear {problem.operator} in assembly",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs + INSTRUCTIONS_PER_ROW * rows,
        build=lambda: _build(problem, pairs, loop),
        micro_kernels=lambda: (loop.micro_kernel(),),
    )


def _build(problem: Problem, pairs: Pairs, loop: LinearSumLoop) -> Kernel:
    rows = problem.outputs // loop.count
    own = {operand: 1 if len(pairs.shape(operand)) < len(pairs.axes) else rows for operand in "ab"}
    shapes = {name: (count, loop.count) for name, count in (*own.items(), ("output", rows))}
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (T.arg(name, T.buffer(shape, "int8")) for name, shape in shapes.items())
        with T.sblock("root"), T.serial(0, rows) as row, T.sblock("loop"):
            vr = T.axis.spatial(rows, row)
            first, second = (vr if count == rows else 0 for count in own.values())
            loop.block((output, vr), (a, first), (b, second))
    sch = s_tir.Schedule(drop_unit_loops(builder.get()))
    sch.tensorize(sch.get_sblock("loop"), loop.register())
    constants = {role: value.reshape(shapes[role]) for role, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (loop.micro_kernel(),))
