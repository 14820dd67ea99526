"""Fully connected layer: `dense`, a matrix product with int8 weights and one multiplier per output.

The input is read as a matrix [N, K] whatever its shape, row by row. Semantics: TFLite's quantisation
specification, FULLY_CONNECTED with symmetric weights. Accumulators start at zero and receive the bias in the
requantising stage, so that schedules may split the reduction freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te

from .bounds import AxisBounds, InputBounds, Whole, Window, whole
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec
from .row_major import indices_of, position_of


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, weight, *per_channel = inputs
    if len(weight.shape) != 2:
        raise ValueError(f"dense needs a 2-D weight, found {weight.shape}")
    channels, depth = weight.shape
    for name, spec in zip(("bias", "multiplier", "shift"), per_channel, strict=True):
        if spec.shape != (channels,):
            raise ValueError(f"{name} has shape {spec.shape}, expected ({channels},)")
    output = TensorSpec(tuple(attrs["shape"]), "int8")
    if data.elements % depth:
        raise ValueError(f"data of shape {data.shape} cannot be read as rows of {depth} elements")
    rows = data.elements // depth
    if not output.shape or output.shape[-1] != channels or output.elements != rows * channels:
        raise ValueError(f"{rows} rows of {channels} outputs do not have the shape {output.shape}")
    return output


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data, weight, bias, multiplier, shift = arrays
    rows = data.reshape(-1, weight.shape[1]).astype(np.int32) - attrs["input_zero_point"]
    accumulator = rows @ weight.astype(np.int32).T + bias
    scaled = requantize(accumulator, multiplier, shift, attrs["rounding"]) + attrs["zero_point"]
    clamped: Array = np.clip(scaled, attrs["clamp_min"], attrs["clamp_max"]).astype(np.int8)
    output: Array = clamped.reshape(attrs["shape"])
    return output


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Fully connected layer on the rows of its input."""
    data, weight, bias, multiplier, shift = tensors
    depth = int(weight.shape[1])
    shape = tuple(attrs["shape"])
    data_shape = tuple(int(extent) for extent in data.shape)
    k = te.reduce_axis((0, depth), "k")

    def element(row: Sequence[Any]) -> Any:
        if data_shape == (*shape[:-1], depth):
            return data(*row, k)
        return data(*indices_of(position_of(row, shape[:-1]) * depth + k, data_shape))

    def product(*indices: Any) -> Any:
        *row, o = indices
        return (element(row).astype("int32") - attrs["input_zero_point"]) * weight[o, k].astype("int32")

    accumulator = te.compute(shape, lambda *indices: te.sum(product(*indices), axis=k), name="accumulate")

    def output(*indices: Any) -> Any:
        o = indices[-1]
        total = accumulator(*indices) + bias[o]
        scaled = requantize_expr(total, multiplier[o], shift[o].astype("int32"), attrs["rounding"])
        return saturate_expr(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])

    return te.compute(shape, output, name="requantize")


def _bounds(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    data, shape = inputs[0].shape, tuple(attrs["shape"])
    channels = Window(len(shape) - 1)
    per_channel = InputBounds((channels,))
    rows = whole(len(data))
    if data[:-1] == shape[:-1]:
        leading: tuple[AxisBounds, ...] = tuple(Window(axis) for axis in range(len(data) - 1))
        rows = InputBounds((*leading, Whole()))
    return (rows, InputBounds((channels, Whole())), per_channel, per_channel, per_channel)


def _macs(inputs: Sequence[TensorSpec], attrs: Attrs) -> int:
    return _infer(inputs, attrs).elements * inputs[1].shape[1]


register(
    Operator(
        name="dense",
        inputs=("data", "weight", "bias", "multiplier", "shift"),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        macs=_macs,
        adds_zero_point=True,
    )
)
