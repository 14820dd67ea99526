"""What the compiler knows of an operator, said once: its types, NumPy semantics, TensorIR and bounds.

Every family file of this folder ends by registering its operators here. Passes, the lowering and the tests
ask this table and never know an operator by name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bounds import InputBounds
from .relax_api import Array, Attrs, TensorSpec, call_name, make_call, register_relax_operator

PREFIX = "tinyml."
IN_PLACE = "in_place"
"""Attribute of a call whose bytes are left where they lie: set by a pass, asked for by whoever places tensors."""
ACCUMULATE = "accumulate"
"""Attribute of a call that adds a part of its input to what its output holds, see `Operator.accumulates`."""


@dataclass(frozen=True)
class Operator:
    """One operator of the dialect.

    name: without the `tinyml.` prefix.
    inputs: names of the arguments in order; a trailing "..." marks a variadic operator.
    infer: input types and attributes to the output type; ValueError when they do not fit together.
    reference: exact integer semantics on NumPy arrays, the in-house reference of the generated C.
    compute: the same as a TE expression over TE tensors, from which the TensorIR function is made.
    bounds: which region of each input a region of the output reads.
    macs: multiply-accumulate operations of one call; 0 where the notion does not apply.
    share_inside: part of `macs` whose operands are not padding, 0 to 1.
    border: value of the first input that equals its padding, None when no value does or nothing is padded. Where the
        operator accumulates: a value that changes nothing.
    accumulates: byte that fills the output before the first of several calls that each take a part of the first
        input's pixels, in any order, with the attribute ACCUMULATE; None when the input must be there as a whole.
    is_view: the output is the input's bytes under another shape; no code is generated.
    window: elements before the output in the first input, when it is a run of that input's elements; else None.
    adds_zero_point: the output is clip(f(inputs) + zero_point, clamp_min, clamp_max), where f knows none of the three.
    parts: elements before each input in the output, when that is the inputs one after the other; else None.
    on_device: a device computes it, that generated code asks to; there are no loops, and `compute` raises.
    transposed: attributes of the call that makes the output with rows and columns (axes 1 and 2) swapped from inputs
        with theirs swapped, weights included; None where there is no such call.
    """

    name: str
    inputs: tuple[str, ...]
    infer: Callable[[Sequence[TensorSpec], Attrs], TensorSpec]
    reference: Callable[[Sequence[Array], Attrs], Array]
    compute: Callable[[Sequence[Any], Attrs], Any]
    bounds: Callable[[Sequence[TensorSpec], Attrs], tuple[InputBounds, ...]]
    macs: Callable[[Sequence[TensorSpec], Attrs], int] = lambda _inputs, _attrs: 0
    share_inside: Callable[[Sequence[TensorSpec], Attrs], float] = lambda _inputs, _attrs: 1.0
    border: Callable[[Attrs], int | None] = lambda _attrs: None
    accumulates: Callable[[Attrs], int | None] = lambda _attrs: None
    is_view: bool = False
    adds_zero_point: bool = False
    on_device: bool = False
    window: Callable[[Sequence[TensorSpec], Attrs], int | None] = lambda _inputs, _attrs: None
    parts: Callable[[Sequence[TensorSpec], Attrs], tuple[int, ...] | None] = lambda _inputs, _attrs: None
    transposed: Callable[[Attrs], Attrs | None] = lambda _attrs: None

    @property
    def relax_name(self) -> str:
        """Name of the operator in Relax."""
        return PREFIX + self.name

    def view_offset(self, inputs: Sequence[TensorSpec], attrs: Attrs) -> int | None:
        """Byte of the first input at which the output of a call lies when it is a view; None when it is made."""
        elements = 0 if self.is_view else self.window(inputs, attrs) if attrs.get(IN_PLACE) else None
        return None if elements is None else elements * np.dtype(inputs[0].dtype).itemsize

    def part_offsets(self, inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[int, ...] | None:
        """Byte of the output at which each input lies when their producers write there; None when it is made."""
        elements = self.parts(inputs, attrs) if attrs.get(IN_PLACE) else None
        size = np.dtype(inputs[0].dtype).itemsize if inputs else 1
        return None if elements is None else tuple(start * size for start in elements)


def by_element(attrs: Attrs) -> Attrs:
    """`transposed` of operators that know no rows and columns."""
    return attrs


_OPERATORS: dict[str, Operator] = {}


def register(operator: Operator) -> Operator:
    """Add `operator` to the table and to Relax; a second operator of the same name is a defect (ValueError)."""
    if operator.name in _OPERATORS:
        raise ValueError(f"operator {operator.name!r} is registered twice")
    _OPERATORS[operator.name] = operator
    variadic = bool(operator.inputs) and operator.inputs[-1] == "..."
    register_relax_operator(
        operator.relax_name,
        (operator.compute.__doc__ or operator.name).strip(),
        None if variadic else len(operator.inputs),
        operator.infer,
    )
    return operator


def operator(name: str) -> Operator:
    """Look up an operator by its dialect name; KeyError when there is none."""
    return _OPERATORS[name]


def operators() -> dict[str, Operator]:
    """All registered operators by name, in alphabetical order."""
    return dict(sorted(_OPERATORS.items()))


def operator_of(expr: Any) -> Operator | None:
    """The dialect operator `expr` calls, or None."""
    name = call_name(expr)
    return _OPERATORS.get(name[len(PREFIX) :]) if name is not None and name.startswith(PREFIX) else None


def call(name: str, args: Sequence[Any], attrs: Attrs) -> Any:
    """Build a Relax call to the dialect operator `name`."""
    return make_call(_OPERATORS[name].relax_name, args, attrs)
