"""Layers of two operands as RVV schedules see them: rows of pairs, where one operand may be the same row for all.

An operand with one element for a whole row becomes a row in scratch first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .broadcast import pairs_of
from .intrinsics.description import allocate
from .intrinsics.rvv.assembly import Assembly
from .intrinsics.rvv.splat import Splat
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .tensor_ir import drop_unit_loops, largest_divisor

# Below this many elements in a row vectors are short.
MIN_ROW = 8
# Bytes of the longest row that is made of one element.
MAX_SPLAT = 256


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
    """`groups` times `count` rows of `elements` pairs.

    repeats: of both operands, whether they have one row for all.
    splat: the operand, 0 or 1, that has one element for all rows of a group; None when neither has.
    """

    count: int
    elements: int
    repeats: tuple[bool, bool]
    groups: int = 1
    splat: int | None = None

    def shape(self, operand: int) -> tuple[int, int]:
        """Of an operand as a matrix."""
        if operand == self.splat:
            return self.groups, 1
        return (1 if self.repeats[operand] else self.groups * self.count), self.elements


def rows_of(problem: Problem) -> Rows | None:
    """Rows of a layer whose operands have the output's shape or, one of them, its first axes or its last; else None."""
    axes = pairs_of(problem).axes
    inner = axes[-1]
    if len(axes) > 2 or (len(axes) == 2 and inner.in_a == inner.in_b and inner.extent < MIN_ROW):
        return None
    outer = axes[0].extent if len(axes) == 2 else 1
    if inner.in_a and inner.in_b:
        return Rows(outer, inner.extent, (not axes[0].in_a, not axes[0].in_b))
    elements = largest_divisor(inner.extent, MAX_SPLAT)
    if elements < MIN_ROW or not (len(axes) == 1 or (axes[0].in_a and axes[0].in_b)):
        return None
    return Rows(inner.extent // elements, elements, (False, False), outer, 0 if inner.in_b else 1)


def pair_candidate(problem: Problem, rule: str, tile: PairTile, rows: Rows) -> Candidate:
    """A layer computed by a tile for each of its rows."""
    splat = Splat(rows.elements) if rows.splat is not None else None
    instructions = rows.groups * rows.count * (tile.assemble().executed + INSTRUCTIONS_PER_CALL)
    if splat is not None:
        instructions += rows.groups * (splat.assemble().executed + INSTRUCTIONS_PER_CALL)
    return Candidate(
        rule=rule,
        instructions=instructions,
        build=lambda: _build(problem, tile, rows, splat),
        micro_kernels=lambda: _micro_kernels(tile, splat),
        scratch=rows.elements if splat is not None else 0,
    )


def _micro_kernels(tile: PairTile, splat: Splat | None) -> tuple[MicroKernel, ...]:
    return (tile.micro_kernel(), *([splat.micro_kernel()] if splat is not None else []))


def _build(problem: Problem, tile: PairTile, rows: Rows, splat: Splat | None) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(_function(tile, rows, splat)))
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    if splat is not None:
        sch.tensorize(sch.get_sblock("splat"), splat.register())
    constants = {
        name: problem.constants[name].reshape(rows.shape(operand))
        for operand, name in enumerate(("a", "b"))
        if name in problem.constants
    }
    return Kernel(sch.mod["main"], constants, _micro_kernels(tile, splat))


def _function(tile: PairTile, rows: Rows, splat: Splat | None) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        operands = [T.arg(name, T.buffer(rows.shape(index), "int8")) for index, name in enumerate(("a", "b"))]
        output = T.arg("output", T.buffer((rows.groups * rows.count, rows.elements), "int8"))
        with T.sblock("root"):
            read = list(operands)
            if splat is not None and rows.splat is not None:
                read[rows.splat] = allocate("row", (1, rows.elements))
            with T.serial(0, rows.groups) as g:
                if splat is not None and rows.splat is not None:
                    with T.sblock("splat"):
                        splat.block(read[rows.splat], operands[rows.splat], T.axis.spatial(rows.groups, g))
                with T.serial(0, rows.count) as r, T.sblock("tile"):
                    row = T.axis.spatial(rows.groups, g) * rows.count + T.axis.spatial(rows.count, r)
                    first, second = (
                        0 if rows.repeats[operand] or operand == rows.splat else row for operand in (0, 1)
                    )
                    tile.block(read[0], read[1], output, (first, second, row))
    return builder.get()
