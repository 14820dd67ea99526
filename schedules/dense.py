"""Scalar schedule of dense: up to four outputs in registers, the input vector read once for all of them."""

from __future__ import annotations

from .channel_tile import build_channel_tile
from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Problem

# (per product, per output) measured on Cortex-M0 and Cortex-M3; they rank this rule behind those with own kernels.
INSTRUCTIONS_THUMB1 = (5.6, 90.0)
INSTRUCTIONS = (4.5, 20.0)


def schedule_dense(problem: Problem) -> Candidate | None:
    """Schedule dense; None for every other operator."""
    if problem.operator != "dense":
        return None
    products = problem.outputs * int(problem.shapes["weight"][1])
    per_product, per_output = INSTRUCTIONS_THUMB1 if "thumb1" in problem.features else INSTRUCTIONS
    return Candidate(
        rule="scalar dense",
        instructions=per_product * products + per_output * problem.outputs,
        build=lambda: build_channel_tile(problem, 1),
        loop_bytes=C_LOOP_BYTES,
    )
