"""Transposed convolution: `transpose_conv2d`, the adjoint of conv2d, on NHWC int8 activations.

Weights are symmetric int8 [O, KH, KW, C], the bias is int32, and each output channel has its own multiplier
and shift. `padding` is that of the convolution from the output back to the input. Semantics: TFLite's
quantised TRANSPOSE_CONV. The TensorIR gathers: it visits, for each output pixel, only the taps that meet an
input pixel (one in stride_h * stride_w), and accumulators start at zero and receive the bias in the
requantising stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

from . import windows
from .bounds import InputBounds, Whole, Window
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

_INPUTS = ("data", "weight", "bias", "multiplier", "shift")


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, weight, *per_channel = inputs
    if len(data.shape) != 4 or len(weight.shape) != 4:
        raise ValueError(f"convolution needs 4-D data and weight, found {data.shape} and {weight.shape}")
    channels = weight.shape[0]
    if data.shape[-1] != weight.shape[-1]:
        raise ValueError(f"data has {data.shape[-1]} channels, weight expects {weight.shape[-1]}")
    for name, spec in zip(_INPUTS[2:], per_channel, strict=True):
        if spec.shape != (channels,):
            raise ValueError(f"{name} has shape {spec.shape}, expected ({channels},)")
    output = TensorSpec(tuple(attrs["output_shape"]), "int8")
    if len(output.shape) != 4 or output.shape[0] != data.shape[0] or output.shape[-1] != channels:
        raise ValueError(f"output {output.shape} does not fit {data.shape[0]} images of {channels} channels")
    for axis in (0, 1):
        before, after = attrs["padding"][axis], attrs["padding"][axis + 2]
        extent, kernel, stride = output.shape[axis + 1], weight.shape[axis + 1], attrs["strides"][axis]
        size = windows.output_extent(extent, kernel, stride, 1, before, after)
        if size != data.shape[axis + 1]:
            raise ValueError(
                f"an output extent of {extent} padded by {before}+{after} belongs to an input extent of "
                f"{size}, found {data.shape[axis + 1]}"
            )
    return output


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data, weight, bias, multiplier, shift = arrays
    _, height, width, _ = data.shape
    channels, kernel_h, kernel_w, _ = weight.shape
    _, output_h, output_w, _ = attrs["output_shape"]
    (stride_h, stride_w), (top, left) = attrs["strides"], attrs["padding"][:2]
    products = np.tensordot(
        data.astype(np.int32) - attrs["input_zero_point"], weight.astype(np.int32), axes=((3,), (3,))
    )
    span_h = max((height - 1) * stride_h + kernel_h, top + output_h)
    span_w = max((width - 1) * stride_w + kernel_w, left + output_w)
    scattered = np.zeros((data.shape[0], span_h, span_w, channels), np.int32)
    for kh in range(kernel_h):
        for kw in range(kernel_w):
            rows = slice(kh, kh + (height - 1) * stride_h + 1, stride_h)
            columns = slice(kw, kw + (width - 1) * stride_w + 1, stride_w)
            scattered[:, rows, columns] += products[..., kh, kw]
    accumulator = scattered[:, top : top + output_h, left : left + output_w]
    scaled = requantize(accumulator + bias, multiplier, shift, attrs["rounding"]) + attrs["zero_point"]
    clamped: Array = np.clip(scaled, attrs["clamp_min"], attrs["clamp_max"]).astype(np.int8)
    return clamped


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Two-dimensional transposed convolution over all input channels."""
    data, weight, bias, multiplier, shift = tensors
    _, height, width, depth = (int(extent) for extent in data.shape)
    _, kernel_h, kernel_w, _ = (int(extent) for extent in weight.shape)
    (stride_h, stride_w), (top, left) = attrs["strides"], attrs["padding"][:2]
    th = te.reduce_axis((0, -(-kernel_h // stride_h)), "th")
    tw = te.reduce_axis((0, -(-kernel_w // stride_w)), "tw")
    ic = te.reduce_axis((0, depth), "ic")

    def product(n: Any, h: Any, w: Any, o: Any) -> Any:
        row, kh, inside_h = _tap(h + top, th, stride_h, kernel_h, height)
        column, kw, inside_w = _tap(w + left, tw, stride_w, kernel_w, width)
        centred = data[n, row, column, ic].astype("int32") - attrs["input_zero_point"]
        return tirx.if_then_else(
            tirx.all(*inside_h, *inside_w),
            centred * weight[o, kh, kw, ic].astype("int32"),
            tirx.const(0, "int32"),
        )

    accumulator = te.compute(
        attrs["output_shape"],
        lambda n, h, w, o: te.sum(product(n, h, w, o), axis=[th, tw, ic]),
        name="accumulate",
    )

    def output(n: Any, h: Any, w: Any, o: Any) -> Any:
        total = accumulator[n, h, w, o] + bias[o]
        scaled = requantize_expr(total, multiplier[o], shift[o].astype("int32"), attrs["rounding"])
        return saturate_expr(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])

    return te.compute(accumulator.shape, output, name="requantize")


def _tap(position: Any, tap: Any, stride: int, kernel: int, extent: int) -> tuple[Any, Any, list[Any]]:
    """Input index, kernel index and existence conditions of the `tap`-th input that reaches `position`.

    Input `i` reaches positions `i * stride + k` for all kernel indices `k`: the nearest one lies at
    `position // stride` with `k = position % stride`, the next one before it at a `k` larger by `stride`.
    """
    index = tirx.floordiv(position, stride) - tap
    kernel_index = tirx.floormod(position, stride) + tap * stride
    inside = [index >= 0, index < extent]
    if kernel % stride:
        inside.append(kernel_index < kernel)
    return index, kernel_index, inside


def _bounds(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    kernel = inputs[1].shape[1:3]
    spatial = tuple(
        Window(
            axis + 1,
            denominator=stride,
            first=(before - kernel[axis]) // stride + 1,
            last=(before + stride - 1) // stride,
        )
        for axis, (stride, before) in enumerate(zip(attrs["strides"], attrs["padding"][:2], strict=True))
    )
    per_channel = InputBounds((Window(3),))
    weight = InputBounds((Window(3), Whole(), Whole(), Whole()))
    return (InputBounds((Window(0), *spatial, Whole())), weight, per_channel, per_channel, per_channel)


def _macs(inputs: Sequence[TensorSpec], _attrs: Attrs) -> int:
    data, weight = inputs[:2]
    return data.elements * weight.elements // weight.shape[-1]


register(
    Operator(
        name="transpose_conv2d",
        inputs=_INPUTS,
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        macs=_macs,
        adds_zero_point=True,
    )
)
