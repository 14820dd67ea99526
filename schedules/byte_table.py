"""Functions of one byte, lookup and requantize, by a table whose index is the byte as it lies in memory.

Requantisation multiplies, rounds twice and clamps; a table of 256 outputs takes two loads. A lookup has its table, but
in the order of signed values, which costs an addition and a load with the sign. What the operator says itself takes
less memory and stays a candidate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm import te

from .code_size import LOOP_BYTES
from .elementwise import byte_table, byte_types, elementwise_function
from .kernel import Candidate, Kernel, Problem
from .plain import schedule_plain

TABLE_BYTES = 256
# Measured on RV32 and Cortex-M0.
INSTRUCTIONS_PER_OUTPUT = 4.5
PLAIN_INSTRUCTIONS_PER_OUTPUT = {"lookup": 7.5, "requantize": 13.0}
# Of requantisation where a product of 64 bits is a call.
PLAIN_INSTRUCTIONS_WITHOUT_LONG_PRODUCT = 50.0
# Bytes of an unrolled loop beyond those of one that is not.
UNROLLED_BYTES = 30


def schedule_byte_table(problem: Problem) -> list[Candidate] | None:
    """Schedule requantize of bytes, and lookup where that gains, on scalar cores; None for everything else."""
    types = None if problem.features & {"dsp", "mve", "rvv"} else byte_types(problem)
    if types is None:
        return None
    is_lookup = problem.operator == "lookup"
    if is_lookup and not problem.features & {"thumb1", "rv32"}:
        # Thumb-2 adds and extends for nothing: its own table takes 4.0 instructions, this one 4.3.
        return None
    plain = PLAIN_INSTRUCTIONS_PER_OUTPUT[problem.operator]
    if not is_lookup and "thumb1" in problem.features:
        plain = PLAIN_INSTRUCTIONS_WITHOUT_LONG_PRODUCT
    return [
        Candidate(
            rule=f"{problem.operator} by table",
            instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
            build=lambda: _build(problem, *types),
            loop_bytes=LOOP_BYTES + UNROLLED_BYTES + (0 if is_lookup else TABLE_BYTES),
        ),
        replace(schedule_plain(problem), instructions=plain * problem.outputs, loop_bytes=LOOP_BYTES),
    ]


def _build(problem: Problem, source: str, target: str) -> Kernel:
    data = te.placeholder((problem.outputs,), source, name="data")
    table = te.placeholder((TABLE_BYTES,), target, name="table")

    def element(value: Any) -> Any:
        return table[value.astype("uint8").astype("int32")]

    function = elementwise_function([data], element, problem.operator, [table])
    return Kernel(function, {"table": byte_table(problem, source)})
