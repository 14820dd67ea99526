"""Two operands of which either may repeat: axes merged as far as elements lie in runs, and loops over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import s_tir, te

from .elementwise import UNROLL
from .kernel import Array, Problem
from .tensor_ir import largest_divisor


@dataclass(frozen=True)
class Axis:
    """Consecutive axes of the output as one; in_a, in_b: whether the operand has them, or one element for all."""

    extent: int
    in_a: bool
    in_b: bool


@dataclass(frozen=True)
class Pairs:
    """A layer of two operands; `axes` has at least one and none of one element beside others."""

    axes: tuple[Axis, ...]

    @property
    def elements(self) -> int:
        """Of the innermost axis."""
        return self.axes[-1].extent

    @property
    def is_flat(self) -> bool:
        """Whether neither operand repeats."""
        return len(self.axes) == 1 and self.axes[0].in_a and self.axes[0].in_b

    def shape(self, operand: str) -> tuple[int, ...]:
        """Shape of operand "a" or "b" over its own axes; a single element has one axis."""
        return tuple(axis.extent for axis in self.axes if _has(axis, operand)) or (1,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output over all axes."""
        return tuple(axis.extent for axis in self.axes)

    def index(self, operand: str, indices: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where an operand has the element of an output index."""
        own = (index for axis, index in zip(self.axes, indices, strict=True) if _has(axis, operand))
        return tuple(own) or (0,)

    def row(self, operand: str, number: Any) -> Any:
        """First element of a flat operand in row `number` of the output: its innermost axis, for all other ones."""
        rows = math.prod(self.output_shape[:-1])
        position: Any = 0
        stride = 1
        size = self.elements if _has(self.axes[-1], operand) else 1
        for axis in reversed(self.axes[:-1]):
            if _has(axis, operand):
                place = number // stride if stride > 1 else number
                place = place % axis.extent if stride * axis.extent < rows else place
                position = position + place * size
                size *= axis.extent
            stride *= axis.extent
        return position

    def constants(self, problem: Problem) -> Mapping[str, Array]:
        """The layer's constant operands in the shapes of `function`."""
        return {role: value.reshape(self.shape(role)) for role, value in problem.constants.items()}

    def function(self, element: Callable[[Any, Any], Any], name: str, unroll: int = UNROLL) -> Any:
        """TensorIR of the output, `element` of an element of "a" and one of "b", int8, at most `unroll` at a time."""
        a, b = (te.placeholder(self.shape(operand), "int8", name=operand) for operand in "ab")
        output = te.compute(
            self.output_shape,
            lambda *indices: element(a[self.index("a", indices)], b[self.index("b", indices)]),
            name=name,
        )
        sch = s_tir.Schedule(te.create_prim_func([a, b, output]))
        *_, loop = sch.get_loops(sch.get_sblock(name))
        _, inner = sch.split(loop, [None, largest_divisor(self.elements, unroll)])
        sch.unroll(inner)
        return sch.mod["main"]


def pairs_of(problem: Problem) -> Pairs:
    """The merged axes of a layer with operands "a" and "b"."""
    rank = len(problem.output_shape)
    a, b = ((1,) * (rank - len(shape)) + shape for shape in (problem.shapes["a"], problem.shapes["b"]))
    merged: list[Axis] = []
    for extent, extent_a, extent_b in zip(problem.output_shape, a, b, strict=True):
        if extent == 1:
            continue
        axis = Axis(extent, extent_a == extent, extent_b == extent)
        if merged and (merged[-1].in_a, merged[-1].in_b) == (axis.in_a, axis.in_b):
            axis = Axis(merged.pop().extent * extent, axis.in_a, axis.in_b)
        merged.append(axis)
    return Pairs(tuple(merged) or (Axis(1, True, True),))


def _has(axis: Axis, operand: str) -> bool:
    return axis.in_a if operand == "a" else axis.in_b
