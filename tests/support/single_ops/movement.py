"""Operators that move elements and compute nothing: their expected shapes come from NumPy.

One small builder serves the generators of shaping, joining and slicing: it names the case, draws no data and
gives every tensor the same quantisation, which these operators require.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tflite_writer import Options
from .case import Array, Case, Value, single_operator
from .quantization import Quantization

SHARED = Quantization(0.05, -3)


def activation(shape: Sequence[int], dtype: str = "int8") -> Value:
    """An activation; int32 ones are unquantised."""
    if dtype == "int8":
        return SHARED.value(tuple(shape))
    return Value(tuple(shape), dtype, None)


def index_array(shape: Sequence[int]) -> Array:
    """An array of that shape to derive result shapes from."""
    return np.zeros(tuple(shape), np.int8)


def label(shape: Sequence[int]) -> str:
    """A shape or index list as text for case ids."""
    return "x".join(map(str, shape)) or "scalar"


def movement_case(
    operator: str,
    description: str,
    inputs: Sequence[Value],
    results: Sequence[Sequence[int]],
    options: Options | None = None,
    *,
    dtype: str = "int8",
) -> Case:
    """Write one case whose outputs have the shapes `results`."""
    case_id = f"{operator.lower()}-{description}" + ("" if dtype == "int8" else f"-{dtype}")
    outputs = [activation(shape, dtype) for shape in results]
    return single_operator(case_id, operator, inputs, outputs, options)
