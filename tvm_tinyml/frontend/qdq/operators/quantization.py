"""QuantizeLinear and DequantizeLinear: the borders between real values and integers."""

from __future__ import annotations

import numpy as np

from ..builder import UNSIGNED_OFFSET, Builder, Converter, parameters, reject, same, stored_dtype
from ..network import Call


def _quantize(builder: Builder, call: Call) -> None:
    value, output = call.inputs[0], call.outputs[0]
    wanted = parameters(call)
    if value is None or len(wanted.scales) != 1:
        reject("it quantises an activation per channel, supported is one scale and zero point")
    if stored_dtype(call) == "int32":
        reject("it quantises to int32, supported are int8 and uint8")
    if value in builder.floats:
        source = builder.floats[value]
        made = builder.tensor(output.name, source.shape, wanted)
        builder.meaning[output] = builder.operator("QUANTIZE", (source,), made)
        return
    if value not in builder.meaning:
        reject(f"{value} is neither an input nor a result that has an integer form")
    builder.meaning[output] = builder.requantized(builder.meaning[value], wanted, output.name)


def _dequantize(builder: Builder, call: Call) -> None:
    value, output = call.inputs[0], call.outputs[0]
    assert value is not None
    stated = parameters(call)
    if value.data is not None:
        data, count, axis = value.data, len(stated.scales), stated.axis
        if count > 1 and not (-data.ndim <= axis < data.ndim and data.shape[axis] == count):
            reject(f"it has {count} scales along dimension {axis} of {value}")
        if value.dtype == "uint8":
            data = (data.astype(np.int16) - UNSIGNED_OFFSET).astype(np.int8)
        dtype = "int32" if value.dtype == "int32" else "int8"
        builder.meaning[output] = builder.constant(output.name, data, dtype, stated)
        return
    if value not in builder.meaning:
        reject(f"{value} has no integer form")
    if not same(builder.meaning[value].quantization, stated):
        reject(f"it reads {value} by another scale or zero point than it was made with")
    builder.meaning[output] = builder.meaning[value]


CONVERTERS: dict[str, Converter] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
