"""Gemm and MatMul with constant weights."""

from __future__ import annotations

import numpy as np

from ...tflite.graph import Tensor
from ..builder import Builder, Converter, reject
from ..network import Call
from .sums import constant_weight, fitted, real_bias

MATRIX = 2


def _gemm(builder: Builder, call: Call) -> None:
    if int(call.attrs.get("transA", 0)) or any(
        float(call.attrs.get(name, 1.0)) != 1.0 for name in ("alpha", "beta")
    ):
        reject("it has transA, alpha or beta, supported is a product with an optional bias")
    _product(builder, call, call, transposed=bool(call.attrs.get("transB", 0)), bias_of=(call, 2))


def _matmul(builder: Builder, call: Call) -> None:
    """A sum with a constant behind it is its bias."""
    adder = builder.only_reader(call.outputs[0])
    if adder is not None and adder.kind == "Add":
        position = next((k for k, value in enumerate(adder.inputs) if value is not call.outputs[0]), None)
        known = position is not None and builder.is_constant(adder.inputs[position])
        if position is not None and known:
            builder.absorbed.add(adder)
            _product(builder, call, adder, transposed=False, bias_of=(adder, position))
            return
    _product(builder, call, call, transposed=False, bias_of=None)


def _product(
    builder: Builder, call: Call, last: Call, *, transposed: bool, bias_of: tuple[Call, int] | None
) -> None:
    """last: the call whose result is the operator's. transposed: the weight is stored [channels, depth]."""
    data = builder.activation(call)
    weight, scales = constant_weight(builder, call, 1, MATRIX, 0 if transposed else 1)
    matrix = weight if transposed else weight.T
    if data in builder.orders:
        matrix = matrix[:, builder.orders[data]]
    bias = None if bias_of is None else real_bias(builder, *bias_of, matrix.shape[0])
    output, limits = builder.result(last)
    sums = fitted(np.ascontiguousarray(matrix), scales, bias, data, output)
    kernels = builder.constant(f"{output.name}:weight", sums.weights, "int8", sums.quantization(0))
    added = None if bias_of is None else builder.bias(*bias_of, sums.bias)
    builder.operator(
        "FULLY_CONNECTED",
        (data, kernels, added),
        output,
        fused_activation_function=limits,
        weights_format=0,
        keep_num_dims=_keeps_dimensions(data),
    )


def _keeps_dimensions(data: Tensor) -> bool:
    return len(data.shape) != MATRIX


CONVERTERS: dict[str, Converter] = {"Gemm": _gemm, "MatMul": _matmul}
