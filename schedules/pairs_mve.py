"""Layers of two operands on Arm MVE: rows combined by `intrinsics/mve/pairs.py`, in loops over what repeats.

Sums that lie on a line have a schedule of their own (`add_mve.py`), which takes less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_point import requantize_expr, saturate_expr

from . import script
from .broadcast import Pairs, pairs_of
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.epilogue import Requantization
from .intrinsics.mve.pairs import ExtremeRow, ProductRow, Row, SumRow, row_instructions, row_kernel
from .kernel import Candidate, Kernel, Problem
from .requantize import VQRDMULH, fit
from .tensorize_mve import tensorizable

# Of a call with its arguments, and of the loop around it.
_CALL = 20.0
# Operands of nine bits with their sign are shifted within 32.
_MAX_LEFT = 22


def schedule_pairs_mve(problem: Problem) -> Candidate | None:
    """Schedule add, sub, mul, maximum and minimum of int8 with any broadcast; None for the rest and large factors."""
    if "mve" not in problem.features or problem.operator not in _ROWS:
        return None
    pairs = pairs_of(problem)
    inner = pairs.axes[-1]
    if {str(parameter.ty.dtype) for parameter in problem.compute().params} != {"int8"}:
        return None
    found = _ROWS[problem.operator](problem, (not inner.in_a, not inner.in_b))
    if found is None:
        return None
    row, arguments, element = found
    calls = problem.outputs // pairs.elements
    return Candidate(
        rule=f"mve {problem.operator}",
        instructions=calls * (_CALL + row_instructions(row, pairs.elements)),
        build=lambda: _build(problem, pairs, row, arguments, element),
        micro_kernels=lambda: (PRELUDE, row_kernel(row)),
    )


Found = tuple[Row, tuple[int, ...], Callable[[Any, Any], Any]]
"""A row, the arguments of its micro-kernel after the count, and an element in TensorIR."""


def _extreme(larger: bool, problem: Problem, repeats: tuple[bool, bool]) -> Found | None:
    del problem
    return ExtremeRow(larger, repeats), (), tirx.max if larger else tirx.min


def _product(problem: Problem, repeats: tuple[bool, bool]) -> Found | None:
    attrs = problem.attrs
    low, high, zero_point = (attrs[name] for name in ("clamp_min", "clamp_max", "zero_point"))
    zero_points = attrs["a_zero_point"], attrs["b_zero_point"]

    def element(a: Any, b: Any) -> Any:
        product = (a.astype("int32") - zero_points[0]) * (b.astype("int32") - zero_points[1])
        scaled = requantize_expr(product, attrs["multiplier"], attrs["shift"], attrs["rounding"])
        return saturate_expr(scaled + zero_point, low, high)

    right = -attrs["shift"]
    if attrs["rounding"] == "double" and 0 <= right <= 31:
        # Below the zero point results are negative, and clamped where it is the lower limit.
        ties = right > 0 and low < zero_point
        how = Requantization("sign" if low < zero_point else "relu", low, high)
        return (
            ProductRow(how, ties, repeats),
            (*zero_points, attrs["multiplier"], -right, zero_point),
            element,
        )
    limits = [max(127 - one, one + 128) for one in zero_points]
    constants = {
        "bias": np.zeros(1, np.int32),
        "multiplier": np.array([attrs["multiplier"]], np.int32),
        "shift": np.array([attrs["shift"]], np.int32),
    }
    fitted = fit(constants, attrs, np.array([limits[0] * limits[1]], np.int64), VQRDMULH)
    if fitted is None:
        return None
    factors = int(fitted.multiplier[0]), -int(fitted.shift[0]), int(fitted.addend[0]), int(fitted.bias[0])
    return ProductRow(Requantization("fit", low, high), False, repeats), (*zero_points, *factors), element


def _sum(subtracts: bool, problem: Problem, repeats: tuple[bool, bool]) -> Found | None:
    attrs = problem.attrs
    low, high, zero_point, left = (
        attrs[name] for name in ("clamp_min", "clamp_max", "zero_point", "left_shift")
    )
    shifts = attrs["a_shift"], attrs["b_shift"], attrs["shift"]
    if not 1 <= left <= _MAX_LEFT or not all(-31 <= shift <= 0 for shift in shifts):
        return None
    row = SumRow(
        subtracts,
        left,
        (shifts[0] < 0, shifts[1] < 0, shifts[2] < 0),
        (shifts[0] < 0, shifts[1] < 0, shifts[2] < 0 and low < zero_point),
        low,
        high,
        repeats,
    )

    def operand(x: Any, name: str) -> Any:
        shifted = (x.astype("int32") - attrs[f"{name}_zero_point"]) * (1 << left)
        return requantize_expr(shifted, attrs[f"{name}_multiplier"], attrs[f"{name}_shift"], "double")

    def element(a: Any, b: Any) -> Any:
        first, second = operand(a, "a"), operand(b, "b")
        total = first - second if subtracts else first + second
        scaled = requantize_expr(total, attrs["multiplier"], attrs["shift"], "double")
        return saturate_expr(scaled + zero_point, low, high)

    names = ("a_zero_point", "b_zero_point", "a_multiplier", "b_multiplier", "a_shift", "b_shift")
    return row, tuple(attrs[name] for name in (*names, "multiplier", "shift", "zero_point")), element


_ROWS: Mapping[str, Callable[[Problem, tuple[bool, bool]], Found | None]] = {
    "maximum": partial(_extreme, True),
    "minimum": partial(_extreme, False),
    "mul": _product,
    "add": partial(_sum, False),
    "sub": partial(_sum, True),
}


def _build(
    problem: Problem,
    pairs: Pairs,
    row: Row,
    arguments: tuple[int, ...],
    element: Callable[[Any, Any], Any],
) -> Kernel:
    elements = pairs.elements
    name = "_".join(map(str, (row.name, *arguments, "of", elements))).replace("-", "n")
    TensorIntrin.register(
        name,
        _tile(row, arguments, elements, element, computes=True),
        _tile(row, arguments, elements, element, computes=False),
        override=True,
    )
    sizes = {operand: int(np.prod(pairs.shape(operand))) for operand in "ab"}
    rows = problem.outputs // elements

    @script.prim_func(s_tir=True)
    def main(a_handle: T.handle, b_handle: T.handle, output_handle: T.handle) -> None:
        a = T.match_buffer(a_handle, (sizes["a"],), "int8")
        b = T.match_buffer(b_handle, (sizes["b"],), "int8")
        output = T.match_buffer(output_handle, (rows * elements,), "int8")
        for r in range(rows):
            with T.sblock("row"):
                vr = T.axis.spatial(rows, r)
                pair_stage(
                    a,
                    b,
                    output,
                    row.repeats,
                    element,
                    elements,
                    (pairs.row("a", vr), pairs.row("b", vr), vr * elements),
                )

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("row"), name)
    constants = {role: value.reshape(-1) for role, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (PRELUDE, row_kernel(row)))


@script.macro
def pair_stage(a: Any, b: Any, output: Any, repeats: Any, element: Any, elements: Any, offsets: Any) -> None:
    """output[i] = element(a[i], b[i]), from their offsets on; an operand that repeats has one element."""
    T.reads(
        a[offsets[0] : offsets[0] + (1 if repeats[0] else elements)],
        b[offsets[1] : offsets[1] + (1 if repeats[1] else elements)],
    )
    T.writes(output[offsets[2] : offsets[2] + elements])
    for i in range(elements):
        with T.sblock("element"):
            vi = T.axis.spatial(elements, i)
            output[offsets[2] + vi] = element(
                a[offsets[0] + (0 if repeats[0] else vi)], b[offsets[1] + (0 if repeats[1] else vi)]
            )


def _tile(
    row: Row, arguments: tuple[int, ...], elements: int, element: Callable[[Any, Any], Any], *, computes: bool
) -> Any:
    sizes = tuple(1 if repeats else elements for repeats in row.repeats)

    @script.prim_func(s_tir=True)
    def pairs(a_handle: T.handle, b_handle: T.handle, output_handle: T.handle) -> None:
        a = T.match_buffer(a_handle, (sizes[0],), "int8", offset_factor=1)
        b = T.match_buffer(b_handle, (sizes[1],), "int8", offset_factor=1)
        output = T.match_buffer(output_handle, (elements,), "int8", offset_factor=1)
        with T.sblock("root"):
            if computes:
                pair_stage(a, b, output, row.repeats, element, elements, (0, 0, 0))
            else:
                T.reads(a[0 : sizes[0]], b[0 : sizes[1]])
                T.writes(output[0:elements])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        row.name,
                        a.access_ptr("r"),
                        b.access_ptr("r"),
                        output.access_ptr("w"),
                        elements,
                        *arguments,
                    )
                )

    return pairs
