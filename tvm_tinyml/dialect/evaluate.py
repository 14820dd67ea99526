"""Evaluate a module in the dialect with the operators' NumPy semantics: the in-house reference of a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax

from .registry import operator_of
from .relax_api import Array, attributes, constant_value


@dataclass(frozen=True)
class Evaluation:
    """Outputs in the function's order, and every tensor by the name its call carries."""

    outputs: list[Array]
    tensors: dict[str, Array]


def evaluate(module: Any, inputs: Sequence[Array], function: str = "main") -> Evaluation:
    """Run `function` on `inputs`, one array per parameter.

    Raises ValueError when the function holds anything but calls to dialect operators.
    """
    body = module[function]
    values: dict[Any, Array] = dict(zip(body.params, inputs, strict=True))
    tensors: dict[str, Array] = {}
    tuples: dict[Any, list[Any]] = {}

    def value_of(expr: Any) -> Array:
        constant = constant_value(expr)
        return values[expr] if constant is None else constant

    for block in body.body.blocks:
        for binding in block.bindings:
            expr = binding.value
            operator = operator_of(expr)
            if operator is not None:
                attrs = attributes(expr)
                values[binding.var] = operator.reference([value_of(arg) for arg in expr.args], attrs)
                tensors[attrs["tensor"]] = values[binding.var]
            elif isinstance(expr, relax.Tuple):
                tuples[binding.var] = list(expr.fields)
            elif isinstance(expr, relax.Var) or constant_value(expr) is not None:
                values[binding.var] = value_of(expr)
            else:
                raise ValueError(f"{expr} is not a call to a dialect operator")
    result = body.body.body
    returned = result.fields if isinstance(result, relax.Tuple) else tuples.get(result, [result])
    return Evaluation([value_of(expr) for expr in returned], tensors)
