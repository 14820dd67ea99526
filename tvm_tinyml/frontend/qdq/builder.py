"""From float operators between quantisations to integer operators: what the converters of the kinds share.

A float value stands for the quantised tensor that it was dequantised from, or that it is quantised to next; a call
whose result is quantised nowhere has no integer form. Tensors are int8 and NHWC: uint8 moves by 128, which changes
no real value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from ..tflite.graph import Array, Operator, Quantization, Tensor
from ..tflite.node import RejectionError
from .layout import shape_of
from .network import Call, Network, Value

UNSIGNED_OFFSET = 128
Limits = tuple[float | None, float | None]
NO_LIMITS: Limits = (None, None)


def quantization_of(scale: Any, zero_point: Any, dtype: str, axis: int = 0) -> Quantization:
    """Parameters for int8 of a tensor stored as `dtype`, of one entry or one per index of `axis`."""
    scales = np.asarray(scale, np.float32).reshape(-1)
    zeros = np.broadcast_to(np.asarray(zero_point, np.int64).reshape(-1), scales.shape)
    offset = UNSIGNED_OFFSET if dtype == "uint8" else 0
    return Quantization(scales, zeros - offset, axis)


def same(one: Quantization | None, other: Quantization | None) -> bool:
    """Whether two tensors mean the same by the same integers."""
    return (
        one is not None
        and other is not None
        and np.array_equal(one.scales, other.scales)
        and np.array_equal(one.zero_points, other.zero_points)
    )


class Builder:
    """Collects tensors and integer operators of one network.

    meaning: the quantised tensor of a float or integer value. floats: float tensors at the edges.
    orders: of tensors whose last axis holds the elements of an image as they lie in memory, their numbers in NCHW.
    absorbed: calls that are part of another one's operator. float_edges: whether float inputs and outputs stay so.
    """

    def __init__(self, network: Network, *, float_edges: bool = True) -> None:
        self.network = network
        self.float_edges = float_edges
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.meaning: dict[Value, Tensor] = {}
        self.floats: dict[Value, Tensor] = {}
        self.orders: dict[Tensor, Array] = {}
        self.absorbed: set[Call] = set()
        self._names: set[str] = set()

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        quantization: Quantization | None,
        *,
        dtype: str = "int8",
        data: Array | None = None,
    ) -> Tensor:
        """A new tensor; `shape` is that in memory, and the name gets a number when it is taken."""
        unique, number = name, 1
        while unique in self._names:
            number += 1
            unique = f"{name}#{number}"
        self._names.add(unique)
        made = Tensor(len(self.tensors), unique, tuple(shape), None, dtype, quantization, data)
        self.tensors.append(made)
        return made

    def constant(self, name: str, data: Any, dtype: str, quantization: Quantization | None = None) -> Tensor:
        """A new constant."""
        array = np.ascontiguousarray(np.asarray(data, dtype))
        return self.tensor(name, array.shape, quantization, dtype=dtype, data=array)

    def bias(self, call: Call, position: int, steps: Array | None) -> Tensor | None:
        """A constant for the bias that a call has at `position`, in steps of its sums; None without one."""
        value = call.input(position)
        return (
            None if value is None or steps is None else self.constant(f"{value.name}:int32", steps, "int32")
        )

    def operator(self, kind: str, inputs: Sequence[Tensor | None], output: Tensor, **options: Any) -> Tensor:
        """Append an integer operator that makes `output`, and give that back."""
        self.operators.append(Operator(len(self.operators), kind, tuple(inputs), (output,), options))
        return output

    def activation(self, call: Call, position: int = 0) -> Tensor:
        """The quantised tensor of an operand that is computed at run time."""
        value = self._operand(call, position)
        if value.data is not None or (value in self.meaning and self.meaning[value].is_constant):
            reject(f"operand {value} is a constant, supported is one that is computed by the model")
        return self._quantized(value)

    def operand(self, call: Call, position: int) -> Tensor:
        """The quantised tensor of an operand, which may be a constant."""
        return self._quantized(self._operand(call, position))

    def _operand(self, call: Call, position: int) -> Value:
        value = call.input(position)
        if value is None:
            reject(f"input {position} is missing")
        return value

    def _quantized(self, value: Value) -> Tensor:
        if value not in self.meaning:
            reject(f"operand {value} is not quantised: no DequantizeLinear makes it")
        return self.meaning[value]

    def is_constant(self, value: Value | None) -> bool:
        """Whether an operand is known now, as real numbers or dequantised."""
        tensor = None if value is None else self.meaning.get(value)
        return value is not None and (value.data is not None or (tensor is not None and tensor.is_constant))

    def result(
        self, call: Call, *, shape: Sequence[int] | None = None, quantization: Quantization | None = None
    ) -> tuple[Tensor, Limits]:
        """The tensor that a call makes, and the limits of an activation that follows, which is part of it then.

        shape: in memory. quantization: when the operator decides it, no activation is taken along, and another
        quantisation that follows becomes an operator of its own.
        """
        value, limits = call.outputs[0], NO_LIMITS
        if quantization is None:
            value, limits, quantization = self._follow(value)
        made = self.tensor(value.name, shape_of(value.shape) if shape is None else shape, quantization)
        self.meaning[value] = made
        return made, limits

    def quantization_after(self, value: Value) -> Quantization | None:
        """How the next call quantises a value, None when it does not."""
        readers = self.network.readers.get(value, ())
        found = [parameters(call) for call in readers if call.kind == "QuantizeLinear"]
        return (
            found[0] if found and len(found) == len(readers) and value not in self.network.outputs else None
        )

    def only_reader(self, value: Value) -> Call | None:
        """The call that reads a value when there is just one and the value is no output."""
        readers = self.network.readers.get(value, ())
        return readers[0] if len(readers) == 1 and value not in self.network.outputs else None

    def _follow(self, value: Value) -> tuple[Value, Limits, Quantization]:
        """The value that is quantised, behind the activation if there is one."""
        reader = self.only_reader(value)
        limits = NO_LIMITS
        if reader is not None and (found := limits_of(reader)) is not None:
            self.absorbed.add(reader)
            value, limits = reader.outputs[0], found
        quantization = self.quantization_after(value)
        return value, limits, quantization or not_quantized(value)

    def requantized(self, tensor: Tensor, quantization: Quantization, name: str) -> Tensor:
        """A tensor in another quantisation; itself when that is its own."""
        if same(tensor.quantization, quantization):
            return tensor
        made = self.tensor(name, tensor.shape, quantization)
        if tensor in self.orders:
            self.orders[made] = self.orders[tensor]
        return self.operator("QUANTIZE", (tensor,), made)


Converter: TypeAlias = Callable[[Builder, Call], None]
"""Appends the integer operators of one call; raises RejectionError."""


def not_quantized(value: Value) -> NoReturn:
    """Refuse a result that only exists as real numbers."""
    reject(f"its result '{value.name}' is not quantised: no QuantizeLinear reads it, or other calls do too")


def limits_of(call: Call) -> Limits | None:
    """Real limits of a call that does nothing but clamp its input, None for all others."""
    if call.kind == "Relu":
        return (0.0, None)
    if call.kind != "Clip":
        return None
    bounds: list[float | None] = []
    for position in (1, 2):
        value = call.input(position)
        if value is not None and (value.data is None or value.data.size != 1):
            return None
        bounds.append(None if value is None or value.data is None else float(value.data.reshape(())))
    return bounds[0], bounds[1]


def parameters(call: Call) -> Quantization:
    """Parameters of a QuantizeLinear or DequantizeLinear, for int8."""
    scale, zero_point = call.input(1), call.input(2)
    if scale is None or scale.data is None or (zero_point is not None and zero_point.data is None):
        reject("its scale or zero point is computed by the model, supported are constants")
    dtype = stored_dtype(call)
    if dtype not in ("int8", "uint8", "int32"):
        reject(f"it quantises to {dtype}, supported are int8 and uint8")
    if not ((scale.data > 0) & np.isfinite(scale.data)).all():
        reject("its scale is not a positive number")
    zeros = np.zeros((), np.int64) if zero_point is None or zero_point.data is None else zero_point.data
    if zeros.size not in (1, scale.data.size):
        reject(f"it has {scale.data.size} scales and {zeros.size} zero points")
    return quantization_of(scale.data, zeros, dtype, int(call.attrs.get("axis", 1)))


def stored_dtype(call: Call) -> str:
    """Integer type of a QuantizeLinear's result or a DequantizeLinear's input."""
    value = call.outputs[0] if call.kind == "QuantizeLinear" else call.inputs[0]
    assert value is not None
    return value.dtype


def reject(reason: str) -> NoReturn:
    """Refuse a call that is well formed."""
    raise RejectionError(reason)
