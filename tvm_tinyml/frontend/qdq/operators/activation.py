"""Functions of one element, as tables, and Softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ...tflite.graph import Quantization, Tensor
from ...tflite.node import Conversion, Layer, Node
from ..builder import Builder, Converter, limits_of, reject
from ..layout import axis_of
from ..network import Call

RealFunction: TypeAlias = Callable[[Any, Call], Any]

INT8_MIN, INT8_MAX = -128, 127
UNIT = Quantization(np.array([1 / 256], np.float32), np.array([-128]), 0)
"""What the integer SOFTMAX makes."""


def _number(call: Call, name: str, default: float) -> float:
    return float(call.attrs.get(name, default))


def _clip(x: Any, call: Call) -> Any:
    limits = limits_of(call)
    if limits is None:
        reject("its limits are computed by the model, supported are constants")
    low, high = limits
    return np.clip(x, -math.inf if low is None else low, math.inf if high is None else high)


def _leaky(x: Any, call: Call) -> Any:
    return np.where(x < 0, x * _number(call, "alpha", 0.01), x)


def _elu(x: Any, call: Call) -> Any:
    return np.where(x < 0, _number(call, "alpha", 1.0) * np.expm1(np.minimum(x, 0)), x)


def _sigmoid(x: Any, _call: Call) -> Any:
    return 1 / (1 + np.exp(-x))


def _hard_sigmoid(x: Any, call: Call) -> Any:
    return np.clip(_number(call, "alpha", 0.2) * x + _number(call, "beta", 0.5), 0, 1)


def _hard_swish(x: Any, _call: Call) -> Any:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def _erf(x: Any) -> Any:
    return np.array([math.erf(value) for value in x.reshape(-1)]).reshape(x.shape)


def _gelu(x: Any, call: Call) -> Any:
    if call.attrs.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


FUNCTIONS: dict[str, RealFunction] = {
    "Relu": _clip,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "Sigmoid": _sigmoid,
    "Tanh": lambda x, _call: np.tanh(x),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Gelu": _gelu,
    "Silu": lambda x, call: x * _sigmoid(x, call),
    "Erf": lambda x, _call: _erf(x),
    "Softplus": lambda x, _call: np.logaddexp(0, x),
    "Abs": lambda x, _call: np.abs(x),
    "Neg": lambda x, _call: -x,
    "Exp": lambda x, _call: np.exp(x),
    "Sqrt": lambda x, _call: np.sqrt(np.maximum(x, 0)),
}


def tabled(builder: Builder, call: Call, data: Tensor, function: Callable[[Any], Any]) -> None:
    """A function of one element as a table, with the clamp that follows if there is one."""
    output, (low, high) = builder.result(call, shape=data.shape)
    if data in builder.orders:
        builder.orders[output] = builder.orders[data]
    steps = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.float32) - np.float32(data.zero_point)
    with np.errstate(over="ignore"):
        real = np.asarray(function(steps * np.float32(data.scale)), np.float32)
    real = np.clip(real, -math.inf if low is None else low, math.inf if high is None else high)
    # In single precision and half to even, as QuantizeLinear is defined.
    entries = np.rint(real / np.float32(output.scale)) + output.zero_point
    table = builder.constant(f"{output.name}:table", np.clip(entries, INT8_MIN, INT8_MAX), "int8")
    builder.operator(TABLE, (data, table), output, function=call.kind.lower())


def _unary(builder: Builder, call: Call) -> None:
    tabled(builder, call, builder.activation(call), lambda x: FUNCTIONS[call.kind](x, call))


def _softmax(builder: Builder, call: Call) -> None:
    data = builder.activation(call)
    rank = len(call.outputs[0].shape)
    axis = int(call.attrs.get("axis", -1)) % rank
    if axis_of(axis, rank) != rank - 1:
        reject(f"it works along dimension {axis}, supported are channels of an image or the last dimension")
    if data in builder.orders:
        reject("it works on an image that was flattened, supported is a dense layer in between")
    output, _ = builder.result(call, shape=data.shape, quantization=UNIT)
    builder.operator("SOFTMAX", (data,), output, beta=1.0)


TABLE = "TABLE"


def _lookup(node: Node) -> list[Layer]:
    values = node.constant(1, "table")
    return [
        node.layer(
            "lookup", (node.activation(0), values), node.result(), function=str(node.option("function"))
        )
    ]


CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(FUNCTIONS, _unary),
    "Softmax": _softmax,
}
CONVERSIONS = {TABLE: Conversion(_lookup, (2, 2))}
"""What integer operators there are besides those of TFLite."""
