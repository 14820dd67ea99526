"""Operators of a graph in the terms of the TFLite schema: what other formats say more freely is said with its means.

Graphs read from ONNX and PyTorch have paddings and limits of activations as numbers (`qdq/`); the schema knows SAME and
VALID, and four activations. Other paddings become an operator PAD in front; other limits have no form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tflite

from ...dialect.windows import same_padding
from .graph import Operator, OptionValue, Tensor
from .node import RejectionError
from .quantization import ACTIVATION_LIMITS

_ACTIVATION = "fused_activation_function"
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def in_schema_form(operator: Operator, unused: Iterator[int]) -> list[Operator]:
    """One or two operators that compute the same; `unused` numbers tensors that they add.

    Raises RejectionError where there is no such form.
    """
    if not hasattr(tflite.BuiltinOperator, operator.kind):
        raise RejectionError(f"TFLite has no operator {operator.kind}")
    options = dict(operator.options)
    data = operator.inputs[0]
    assert data is not None
    if operator.kind == "DEPTHWISE_CONV_2D":
        # Nothing that reads models here needs the option: it follows from the shapes.
        options["depth_multiplier"] = operator.outputs[0].shape[-1] // data.shape[-1]
    limits = options.get(_ACTIVATION)
    if isinstance(limits, tuple):
        options[_ACTIVATION] = _activation(limits)
    padding = options.get("padding")
    if not isinstance(padding, tuple):
        return [replace(operator, options=options)]
    window, strides, dilation = _geometry(operator)
    if not any(padding):
        return [replace(operator, options=options | {"padding": tflite.Padding.VALID})]
    same = [
        same_padding(extent, size, stride, spread)
        for extent, size, stride, spread in zip(data.shape[1:3], window, strides, dilation, strict=True)
    ]
    if (same[0][0], same[1][0], same[0][1], same[1][1]) == padding:
        return [replace(operator, options=options | {"padding": tflite.Padding.SAME})]
    if operator.kind not in _CONVOLUTIONS:
        raise RejectionError(f"its padding {list(padding)} is neither SAME nor VALID")
    amounts, padded = _padded(data, padding, unused)
    first = Operator(operator.index, "PAD", (data, amounts), (padded,), {})
    inputs = (padded, *operator.inputs[1:])
    return [first, replace(operator, inputs=inputs, options=options | {"padding": tflite.Padding.VALID})]


def _activation(limits: tuple[Any, ...]) -> int:
    for number, known in ACTIVATION_LIMITS.items():
        if known == limits:
            return number
    raise RejectionError(f"its limits {limits} are those of no activation function of TFLite")


def _geometry(operator: Operator) -> tuple[list[int], list[int], list[int]]:
    """Window, strides and dilation of an operator with windows."""

    def pair(height: str, width: str) -> list[int]:
        values = (operator.options.get(height, 1), operator.options.get(width, 1))
        return [value for value in values if isinstance(value, int)]

    if operator.kind in _CONVOLUTIONS:
        weights = operator.inputs[1]
        assert weights is not None
        window = list(weights.shape[1:3])
    else:
        window = pair("filter_height", "filter_width")
    return window, pair("stride_h", "stride_w"), pair("dilation_h_factor", "dilation_w_factor")


def _padded(data: Tensor, padding: tuple[OptionValue, ...], unused: Iterator[int]) -> tuple[Tensor, Tensor]:
    """Operand of PAD that says how much, and its result."""
    top, left, bottom, right = padding
    amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    shape = tuple(extent + int(added) for extent, added in zip(data.shape, amounts.sum(axis=1), strict=True))
    number, result = next(unused), next(unused)
    return (
        Tensor(number, f"paddings#{number}", (4, 2), None, "int32", None, amounts),
        Tensor(result, f"padded#{result}", shape, None, data.dtype, data.quantization, None),
    )
