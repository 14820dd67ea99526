"""One operator as a model: the value and case types every generator shares.

A generator describes the operator's tensors as `Value`s; `single_operator` writes the model, in which every
value without data is a model input. Constants are drawn from a generator seeded by the case's id, so a case
is the same in every process and does not change when another one is added.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..tflite_writer import Graph, Options, write_model

Array: TypeAlias = npt.NDArray[Any]

# Operator -> options with fused_activation_function; the values are the schema's ActivationFunctionType.
ACTIVATIONS: dict[str, int] = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
PADDINGS: dict[str, int] = {"same": 0, "valid": 1}


@dataclass(frozen=True)
class Case:
    """A model of one operator.

    Attributes:
        id: unique, readable name of the attribute combination, starting with the operator's name.
        model_bytes: the .tflite file.
        operator: BuiltinOperator name, e.g. "CONV_2D".
    """

    id: str
    model_bytes: bytes
    operator: str

    def __repr__(self) -> str:
        return f"Case({self.id})"


@dataclass(frozen=True)
class Value:
    """A tensor of a case; with `data` it is a constant, otherwise an activation.

    Attributes:
        scale: None for unquantised tensors, a tuple for per-channel scales.
        axis: the quantised dimension of per-channel scales.
    """

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | tuple[float, ...] | None = 0.05
    zero_point: int = 0
    data: Array | None = None
    axis: int = 0


def int32_constant(values: npt.ArrayLike) -> Value:
    """An unquantised int32 constant: a shape, an axis list, a padding table."""
    data = np.asarray(values, dtype=np.int32)
    return Value(data.shape, "int32", None, data=data)


def case_random(case_id: str) -> np.random.Generator:
    """The random generator of one case."""
    return np.random.default_rng(zlib.crc32(case_id.encode()))


def single_operator(
    case_id: str,
    operator: str,
    inputs: Sequence[Value | None],
    outputs: Sequence[Value],
    options: Options | None = None,
) -> Case:
    """Write a model of one operator; None stands for an omitted optional input."""
    graph = Graph()
    indices: list[int] = []
    for position, value in enumerate(inputs):
        if value is None:
            indices.append(-1)
            continue
        index = graph.tensor(
            f"{'input' if value.data is None else 'constant'}_{position}",
            value.shape,
            value.dtype,
            scale=value.scale,
            zero_point=value.zero_point,
            quantized_dimension=value.axis,
            data=value.data,
        )
        indices.append(index)
        if value.data is None:
            graph.inputs.append(index)
    results = [
        graph.tensor(
            f"output_{position}", value.shape, value.dtype, scale=value.scale, zero_point=value.zero_point
        )
        for position, value in enumerate(outputs)
    ]
    graph.outputs.extend(results)
    graph.operator(operator, indices, results, options)
    return Case(case_id, write_model(graph), operator)
