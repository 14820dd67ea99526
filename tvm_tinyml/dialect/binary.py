"""Elementwise arithmetic with requantisation: `add`, `sub` and `mul`, with NumPy broadcasting.

Sums and differences bring both operands to a common finer scale (left shift, then one multiplier each)
before they are combined and scaled to the output; products need one multiplier. Semantics: TFLite's ADD, SUB
and MUL on int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .broadcasting import broadcast_bounds, broadcast_shape, compute_elementwise
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import Operator, by_element, register
from .relax_api import Array, Attrs, TensorSpec

_INPUTS = ("a", "b")


def _infer(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    for name, spec in zip(_INPUTS, inputs, strict=True):
        if spec.dtype != "int8":
            raise ValueError(f"operand {name} is {spec.dtype}, expected int8")
    return TensorSpec(broadcast_shape(inputs), "int8")


def _clamp(scaled: Array, attrs: Attrs) -> Array:
    offset = scaled + attrs["zero_point"]
    clamped: Array = np.clip(offset, attrs["clamp_min"], attrs["clamp_max"]).astype(np.int8)
    return clamped


def _clamp_expr(scaled: Any, attrs: Attrs) -> Any:
    return saturate_expr(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])


def _operand(x: Array, attrs: Attrs, name: str) -> Array:
    shifted = (x.astype(np.int64) - attrs[f"{name}_zero_point"]) << attrs["left_shift"]
    return requantize(shifted, attrs[f"{name}_multiplier"], attrs[f"{name}_shift"], "double")


def _operand_expr(x: Any, attrs: Attrs, name: str) -> Any:
    shifted = (x.astype("int32") - attrs[f"{name}_zero_point"]) * (1 << attrs["left_shift"])
    return requantize_expr(shifted, attrs[f"{name}_multiplier"], attrs[f"{name}_shift"], "double")


def _reference_sum(arrays: Sequence[Array], attrs: Attrs, sign: int) -> Array:
    a, b = (_operand(array, attrs, name) for array, name in zip(arrays, _INPUTS, strict=True))
    return _clamp(requantize(a + sign * b, attrs["multiplier"], attrs["shift"], "double"), attrs)


def _reference_add(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return _reference_sum(arrays, attrs, 1)


def _reference_sub(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return _reference_sum(arrays, attrs, -1)


def _reference_mul(arrays: Sequence[Array], attrs: Attrs) -> Array:
    a, b = (
        array.astype(np.int64) - attrs[f"{name}_zero_point"]
        for array, name in zip(arrays, _INPUTS, strict=True)
    )
    return _clamp(requantize(a * b, attrs["multiplier"], attrs["shift"], attrs["rounding"]), attrs)


def _compute_add(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Sum of two tensors."""

    def combine(a: Any, b: Any) -> Any:
        total = _operand_expr(a, attrs, "a") + _operand_expr(b, attrs, "b")
        return _clamp_expr(requantize_expr(total, attrs["multiplier"], attrs["shift"], "double"), attrs)

    return compute_elementwise(tensors, combine, "requantize")


def _compute_sub(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Difference of two tensors."""

    def combine(a: Any, b: Any) -> Any:
        total = _operand_expr(a, attrs, "a") - _operand_expr(b, attrs, "b")
        return _clamp_expr(requantize_expr(total, attrs["multiplier"], attrs["shift"], "double"), attrs)

    return compute_elementwise(tensors, combine, "requantize")


def _compute_mul(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Product of two tensors."""

    def combine(a: Any, b: Any) -> Any:
        total = (a.astype("int32") - attrs["a_zero_point"]) * (b.astype("int32") - attrs["b_zero_point"])
        scaled = requantize_expr(total, attrs["multiplier"], attrs["shift"], attrs["rounding"])
        return _clamp_expr(scaled, attrs)

    return compute_elementwise(tensors, combine, "requantize")


for _name, _reference, _compute in (
    ("add", _reference_add, _compute_add),
    ("sub", _reference_sub, _compute_sub),
    ("mul", _reference_mul, _compute_mul),
):
    register(
        Operator(
            name=_name,
            inputs=_INPUTS,
            infer=_infer,
            reference=_reference,
            compute=_compute,
            bounds=broadcast_bounds,
            transposed=by_element,
            adds_zero_point=True,
        )
    )
