"""Arm DSP schedule of lookup, and of requantize between types of eight bits, by a table."""

from __future__ import annotations

from typing import Any

from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .elementwise import MIN_TABLE_ELEMENTS, byte_table, byte_types
from .intrinsics import dsp
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import drop_unit_loops


def schedule_table_dsp(problem: Problem) -> Candidate | None:
    """Schedule lookup, and requantize between types of eight bits, on cores with DSP; None for the rest."""
    types = byte_types(problem) if "dsp" in problem.features else None
    if types is None or not (problem.constants or problem.outputs >= MIN_TABLE_ELEMENTS):
        return None
    table = dsp.ByteTable(problem.outputs, *types)
    return Candidate(
        rule=f"dsp {problem.operator} by table",
        instructions=dsp.TABLE_CALL_INSTRUCTIONS + dsp.TABLE_INSTRUCTIONS * problem.outputs,
        build=lambda: _build(problem, table),
        micro_kernels=lambda: (table.micro_kernel(),),
    )


def _build(problem: Problem, table: dsp.ByteTable) -> Kernel:
    sch = dsp.schedule(drop_unit_loops(_function(table)))
    sch.tensorize(sch.get_sblock("table"), table.register())
    constants = {"table": byte_table(problem, table.source)}
    return Kernel(sch.mod["main"], constants, (table.micro_kernel(),))


def _function(table: dsp.ByteTable) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((table.elements,), table.source))
        entries = T.arg("table", T.buffer((dsp.ENTRIES,), table.target))
        output = T.arg("output", T.buffer((table.elements,), table.target))
        with T.sblock("root"):
            found = IRBuilder.name("found", T.sblock_alloc_buffer((table.elements,), "int32"))
            with T.sblock("layer"):
                # Only blocks below the root can be tensorized.
                T.reads(data[0 : table.elements], entries[0 : dsp.ENTRIES])
                T.writes(found[0 : table.elements], output[0 : table.elements])
                with T.sblock("table"):
                    table.describe(data, entries, output, found)
    return builder.get()
