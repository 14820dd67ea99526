"""Arithmetic on two operands: Add, Sub, Mul, Div, Max and Min; with a number it is a function of one element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...tflite.graph import Tensor
from ..builder import NO_LIMITS, Builder, Converter, reject
from ..layout import contents
from ..network import Call
from .activation import tabled

_BINARY = 2
_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


def _operands(builder: Builder, call: Call) -> tuple[Tensor, Tensor]:
    if len(call.inputs) != _BINARY:
        reject(f"it has {len(call.inputs)} operands, supported are {_BINARY}")
    rank = len(call.outputs[0].shape)
    one, other = (_operand(builder, call, position, rank) for position in range(_BINARY))
    return one, other


def _operand(builder: Builder, call: Call, position: int, rank: int) -> Tensor:
    tensor = builder.operand(call, position)
    if tensor in builder.orders:
        reject("it works on an image that was flattened, supported is a dense layer behind it")
    if tensor.data is None:
        if len(tensor.shape) != rank:
            reject(f"operand {tensor} is broadcast to {rank} dimensions, supported are constants")
        return tensor
    laid_out = contents(tensor.data, rank)
    return builder.constant(f"{tensor.name}:NHWC", laid_out, tensor.dtype, tensor.quantization)


def _number(call: Call, position: int) -> Any | None:
    """An operand that is one real number, single precision; None for all others."""
    value = call.input(position)
    if (
        value is None
        or value.data is None
        or value.data.size != 1
        or len(value.shape) > len(call.outputs[0].shape)
    ):
        return None
    return np.float32(value.data.reshape(()))


def _with_number(builder: Builder, call: Call) -> bool:
    """Whether one operand is a number; then the operator is converted."""
    numbers = [_number(call, position) for position in range(_BINARY)]
    function = _FUNCTIONS[call.kind]
    if numbers[0] is None and numbers[1] is not None:
        tabled(builder, call, builder.activation(call, 0), lambda x: function(x, numbers[1]))
    elif numbers[0] is not None and numbers[1] is None:
        tabled(builder, call, builder.activation(call, 1), lambda x: function(numbers[0], x))
    else:
        return False
    return True


def _arithmetic(builder: Builder, call: Call, kind: str) -> None:
    if _with_number(builder, call):
        return
    operands = _operands(builder, call)
    output, limits = builder.result(call)
    builder.operator(kind, operands, output, fused_activation_function=limits)


def _quotient(builder: Builder, call: Call) -> None:
    if not _with_number(builder, call):
        reject("it divides by another tensor, supported is a number")


def _choice(builder: Builder, call: Call, kind: str) -> None:
    """Comparing integers is comparing what they stand for in one quantisation, that of the result."""
    operands = _operands(builder, call)
    output, limits = builder.result(call)
    if limits != NO_LIMITS or output.quantization is None:
        reject("an activation follows it, supported is none")
    if any(tensor.data is not None for tensor in operands):
        reject("one operand is a constant, supported are two that are computed by the model")
    one, other = (
        builder.requantized(tensor, output.quantization, f"{output.name}:operand") for tensor in operands
    )
    builder.operator(kind, (one, other), output)


CONVERTERS: dict[str, Converter] = {
    "Add": partial(_arithmetic, kind="ADD"),
    "Sub": partial(_arithmetic, kind="SUB"),
    "Mul": partial(_arithmetic, kind="MUL"),
    "Div": _quotient,
    "Max": partial(_choice, kind="MAXIMUM"),
    "Min": partial(_choice, kind="MINIMUM"),
}
