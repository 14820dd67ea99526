"""Scalar schedule of maximum and minimum of int8, broadcasts included: four elements share what a loop costs."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .broadcast import Pairs, pairs_of
from .kernel import Candidate, Kernel, Problem

OPERATORS = {"maximum": tirx.max, "minimum": tirx.min}
# Measured on Cortex-M3 and M0.
INSTRUCTIONS_PER_OUTPUT = 8.0
# Compilers make vectors of the plain loop.
COVERED = frozenset({"mve", "rvv"})


def schedule_extreme(problem: Problem) -> Candidate | None:
    """Schedule maximum and minimum on cores without vectors; None for everything else."""
    if problem.operator not in OPERATORS or problem.features & COVERED:
        return None
    if {str(parameter.ty.dtype) for parameter in problem.compute().params} != {"int8"}:
        return None
    pairs = pairs_of(problem)
    return Candidate(
        rule=f"scalar {problem.operator}",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
        build=lambda: _build(problem, pairs),
    )


def _build(problem: Problem, pairs: Pairs) -> Kernel:
    combine = OPERATORS[problem.operator]

    def element(x: Any, y: Any) -> Any:
        return combine(x.astype("int32"), y.astype("int32")).astype("int8")

    return Kernel(pairs.function(element, problem.operator), pairs.constants(problem))
