"""Schedule of add and sub for Armv6-M: the line of `add` in one loop of assembly."""

from __future__ import annotations

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .add import line_of
from .intrinsics.thumb1_words import LinearSumLoop
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import drop_unit_loops

# Measured on Cortex-M0.
INSTRUCTIONS_PER_OUTPUT = 15.0


def schedule_add_loop(problem: Problem) -> Candidate | None:
    """Schedule add and sub of two activations of one shape on Armv6-M; None otherwise."""
    if "thumb1" not in problem.features:
        return None
    line = line_of(problem)
    if line is None:
        return None
    loop = LinearSumLoop(
        count=problem.outputs,
        factor_a=line.factor_a,
        factor_b=line.factor_b,
        addend=line.addend,
        shift=line.shift,
        clamp_min=problem.attrs["clamp_min"],
        clamp_max=problem.attrs["clamp_max"],
    )
    return Candidate(
        rule=f"linear {problem.operator} in assembly",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
        build=lambda: _build(loop),
        micro_kernels=lambda: (loop.micro_kernel(),),
    )


def _build(loop: LinearSumLoop) -> Kernel:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (T.arg(name, T.buffer((loop.count,), "int8")) for name in ("a", "b", "output"))
        with T.sblock("root"), T.sblock("loop"):
            loop.block(output, a, b)
    sch = s_tir.Schedule(drop_unit_loops(builder.get()))
    sch.tensorize(sch.get_sblock("loop"), loop.register())
    return Kernel(sch.mod["main"], constants={}, micro_kernels=(loop.micro_kernel(),))
