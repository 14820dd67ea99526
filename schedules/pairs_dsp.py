"""Layers of two operands as Arm DSP schedules see them: a vector, or rows of which one operand has a single one."""

from __future__ import annotations

from typing import Any, Protocol

from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .broadcast import Pairs, pairs_of
from .intrinsics import dsp
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .tensor_ir import drop_unit_loops

# Below this many elements in a row the calls cost more than they bring.
MIN_ROW = 8


class PairVector(Protocol):
    """A micro-kernel that combines two vectors of `elements`."""

    @property
    def elements(self) -> int: ...

    @property
    def instructions(self) -> float: ...

    def describe(self, a: Any, b: Any, output: Any, offsets: dsp.Offsets) -> None: ...

    def micro_kernel(self) -> MicroKernel: ...

    def register(self) -> str: ...


def rows_of(problem: Problem) -> Pairs | None:
    """Axes of a layer whose operands have the output's shape or, one of them, its last axes; None for the rest."""
    pairs = pairs_of(problem)
    inner = pairs.axes[-1]
    if pairs.is_flat:
        return pairs
    whole = len(pairs.axes) == 2 and inner.in_a and inner.in_b and inner.extent >= MIN_ROW
    return pairs if whole else None


def pair_candidate(problem: Problem, pairs: Pairs, rule: str, vector: PairVector) -> Candidate:
    """A layer computed by a micro-kernel for each of its rows."""
    return Candidate(
        rule=rule,
        instructions=vector.instructions * (problem.outputs // vector.elements),
        build=lambda: _build(problem, pairs, vector),
        micro_kernels=lambda: (vector.micro_kernel(),),
    )


def _build(problem: Problem, pairs: Pairs, vector: PairVector) -> Kernel:
    sch = dsp.schedule(drop_unit_loops(_function(problem.outputs, pairs, vector)))
    sch.tensorize(sch.get_sblock("vector"), vector.register())
    constants = {role: value.reshape(-1) for role, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (vector.micro_kernel(),))


def _function(outputs: int, pairs: Pairs, vector: PairVector) -> Any:
    rows = outputs // vector.elements
    repeats = {operand: len(pairs.shape(operand)) < len(pairs.axes) for operand in "ab"}
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b = (
            T.arg(operand, T.buffer((vector.elements if repeated else outputs,), "int8"))
            for operand, repeated in repeats.items()
        )
        output = T.arg("output", T.buffer((outputs,), "int8"))
        with T.sblock("root"), T.serial(0, rows) as row, T.sblock("rows"):
            # Only blocks below the root can be tensorized.
            vr = T.axis.spatial(rows, row)
            offset = vr * vector.elements
            first, second = (0 if repeated else offset for repeated in repeats.values())
            T.reads(a[first : first + vector.elements], b[second : second + vector.elements])
            T.writes(output[offset : offset + vector.elements])
            with T.sblock("vector"):
                vector.describe(a, b, output, (first, second, offset))
    return builder.get()
