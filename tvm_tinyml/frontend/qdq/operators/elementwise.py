"""Arithmetic on two operands: Add, Sub, Mul, Max and Min."""

from __future__ import annotations

from functools import partial

from ...tflite.graph import Tensor
from ..builder import NO_LIMITS, Builder, Converter, reject
from ..layout import contents
from ..network import Call

_BINARY = 2


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


def _arithmetic(builder: Builder, call: Call, kind: str) -> None:
    operands = _operands(builder, call)
    output, limits = builder.result(call)
    builder.operator(kind, operands, output, fused_activation_function=limits)


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
    "Max": partial(_choice, kind="MAXIMUM"),
    "Min": partial(_choice, kind="MINIMUM"),
}
