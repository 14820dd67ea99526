"""RVV schedule of functions of one byte: lookup, and requantize between types of eight bits, by a table."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .elementwise import MIN_TABLE_ELEMENTS, byte_table, byte_types
from .intrinsics.description import allocate
from .intrinsics.rvv.lookup import ENTRIES, LookupTile
from .kernel import Candidate, Kernel, Problem


def schedule_lookup_rvv(problem: Problem) -> Candidate | None:
    """Schedule lookup, and requantize between types of eight bits, on cores with RVV; None for the rest."""
    types = byte_types(problem) if "rvv" in problem.features else None
    if types is None or not (problem.constants or problem.outputs >= MIN_TABLE_ELEMENTS):
        return None
    tile = LookupTile(problem.outputs, *types)
    return Candidate(
        rule=f"RVV {problem.operator} by table",
        instructions=tile.assemble().executed,
        build=lambda: _build(problem, tile),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _build(problem: Problem, tile: LookupTile) -> Kernel:
    sch = s_tir.Schedule(_function(tile))
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    table = byte_table(problem, tile.source).reshape(1, ENTRIES)
    return Kernel(sch.mod["main"], {"table": table}, (tile.micro_kernel(),))


def _function(tile: LookupTile) -> Any:
    row = (1, tile.elements)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer(row, tile.source))
        table = T.arg("table", T.buffer((1, ENTRIES), tile.target))
        output = T.arg("output", T.buffer(row, tile.target))
        with T.sblock("root"):
            found = allocate("found", row, "int32")
            with T.sblock("tile"):
                tile.block(data, table, found, output)
    return builder.get()
