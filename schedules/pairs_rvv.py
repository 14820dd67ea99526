"""Layers of two operands as RVV schedules see them: rows of pairs, where one operand may be the same row for all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.rvv.assembly import Assembly
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL

# Below this many elements in a row vectors are short.
MIN_ROW = 8


class PairTile(Protocol):
    """A micro-kernel that combines two rows."""

    def block(self, a: Any, b: Any, output: Any, rows: tuple[Any, Any, Any]) -> None:
        """Emit the combination of the rows of a and b that `rows` says into that of the output."""

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""

    def assemble(self) -> Assembly:
        """Code of the tile."""

    def micro_kernel(self) -> MicroKernel:
        """The C function."""


@dataclass(frozen=True)
class Rows:
    """`count` rows of `elements` pairs; an operand that repeats has one row."""

    count: int
    elements: int
    repeats: tuple[bool, bool]


def rows_of(problem: Problem) -> Rows | None:
    """Rows of a layer whose operands have the output's shape or, one of them, its last axes; None for the rest."""
    shapes = [problem.shapes[role] for role in ("a", "b")]
    repeats = (shapes[0] != problem.output_shape, shapes[1] != problem.output_shape)
    if not any(repeats):
        return Rows(1, problem.outputs, repeats)
    row = shapes[repeats.index(True)]
    while row and row[0] == 1:
        row = row[1:]
    if all(repeats) or math.prod(row) < MIN_ROW or row != problem.output_shape[-len(row) :]:
        return None
    return Rows(problem.outputs // math.prod(row), math.prod(row), repeats)


def pair_candidate(problem: Problem, rule: str, tile: PairTile, rows: Rows) -> Candidate:
    """A layer computed by a tile for each of its rows."""
    return Candidate(
        rule=rule,
        instructions=rows.count * (tile.assemble().executed + INSTRUCTIONS_PER_CALL),
        build=lambda: _build(problem, tile, rows),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _build(problem: Problem, tile: PairTile, rows: Rows) -> Kernel:
    shapes = [(1 if repeats else rows.count, rows.elements) for repeats in (*rows.repeats, False)]
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (
            T.arg(name, T.buffer(shape, "int8"))
            for name, shape in zip(("a", "b", "output"), shapes, strict=True)
        )
        with T.sblock("root"), T.serial(0, rows.count) as r, T.sblock("tile"):
            vr = T.axis.spatial(rows.count, r)
            first, second = (0 if repeats else vr for repeats in rows.repeats)
            tile.block(a, b, output, (first, second, vr))
    sch = s_tir.Schedule(builder.get())
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    constants = {
        name: problem.constants[name].reshape(shape)
        for name, shape in zip(("a", "b"), shapes[:2], strict=True)
        if name in problem.constants
    }
    return Kernel(sch.mod["main"], constants, (tile.micro_kernel(),))
