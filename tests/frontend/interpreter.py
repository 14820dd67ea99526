"""Evaluate a Relax module of dialect operators with their NumPy semantics.

The bridge between an importer and the dialect: what the imported function computes, without a compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tvm import relax

from tvm_tinyml.dialect import operator_of
from tvm_tinyml.dialect.relax_api import Array, attributes, constant_value


def calls(mod: Any) -> Iterator[tuple[Any, Any]]:
    """(variable, call) of every operator in function "main", in order."""
    for block in mod["main"].body.blocks:
        for binding in block.bindings:
            if operator_of(binding.value) is not None:
                yield binding.var, binding.value


def evaluate(mod: Any, inputs: Sequence[Array]) -> tuple[list[Array], dict[str, Array]]:
    """Outputs of "main", and what each call gave by its `tensor` attribute."""
    function = mod["main"]
    values: dict[Any, Any] = dict(zip(function.params, inputs, strict=True))
    tensors: dict[str, Array] = {}

    def value_of(expr: Any) -> Any:
        constant = constant_value(expr)
        if constant is not None:
            return constant
        if isinstance(expr, relax.Tuple):
            return [value_of(field) for field in expr.fields]
        operator = operator_of(expr)
        if operator is None:
            return values[expr]
        attrs = attributes(expr)
        result = operator.reference([value_of(argument) for argument in expr.args], attrs)
        tensors[attrs["tensor"]] = result
        return result

    for block in function.body.blocks:
        for binding in block.bindings:
            values[binding.var] = value_of(binding.value)
    result = value_of(function.body.body)
    return (result if isinstance(result, list) else [result]), tensors
