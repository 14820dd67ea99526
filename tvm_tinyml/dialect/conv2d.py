"""Two-dimensional convolutions: `conv2d` and `depthwise_conv2d` on NHWC int8 activations.

Weights are symmetric int8 in TFLite's layouts ([O, KH, KW, C] and [1, KH, KW, C*M]), the bias is int32, and each
output channel has its own multiplier and shift. Accumulators start at zero and receive the bias in the
requantising stage, so that schedules may split the reduction freely. Semantics: TFLite's quantisation
specification, CONV_2D and DEPTHWISE_CONV_2D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te

from . import windows
from .bounds import InputBounds, Whole, Window
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

_INPUTS = ("data", "weight", "bias", "multiplier", "shift")


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs, channels: int) -> TensorSpec:
    data, weight, *per_channel = inputs
    if len(data.shape) != 4 or len(weight.shape) != 4:
        raise ValueError(f"convolution needs 4-D data and weight, found {data.shape} and {weight.shape}")
    for name, spec in zip(_INPUTS[2:], per_channel, strict=True):
        if spec.shape != (channels,):
            raise ValueError(f"{name} has shape {spec.shape}, expected ({channels},)")
    top, left, bottom, right = attrs["padding"]
    sizes = tuple(
        windows.output_extent(
            data.shape[axis + 1],
            weight.shape[axis + 1],
            attrs["strides"][axis],
            attrs["dilation"][axis],
            before,
            after,
        )
        for axis, (before, after) in enumerate(((top, bottom), (left, right)))
    )
    return TensorSpec((data.shape[0], *sizes, channels), "int8")


def _infer_conv2d(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, weight = inputs[0].shape, inputs[1].shape
    if data[-1] != weight[-1]:
        raise ValueError(f"data has {data[-1]} channels, weight expects {weight[-1]}")
    return _infer(inputs, attrs, weight[0])


def _infer_depthwise(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, weight = inputs[0].shape, inputs[1].shape
    if data[-1] * attrs["depth_multiplier"] != weight[-1]:
        raise ValueError(
            f"{data[-1]} channels times {attrs['depth_multiplier']} is not the weight's {weight[-1]}"
        )
    return _infer(inputs, attrs, weight[-1])


def _windows_of(data: Array, weight: Array, attrs: Attrs) -> Array:
    padded = windows.pad_array(data, attrs["padding"], attrs["input_zero_point"])
    centred = padded.astype(np.int32) - attrs["input_zero_point"]
    return windows.taps(centred, (weight.shape[1], weight.shape[2]), attrs["strides"], attrs["dilation"])


def _finish(accumulator: Array, arrays: Sequence[Array], attrs: Attrs) -> Array:
    scaled = (
        requantize(accumulator + arrays[2], arrays[3], arrays[4], attrs["rounding"]) + attrs["zero_point"]
    )
    clamped: Array = np.clip(scaled, attrs["clamp_min"], attrs["clamp_max"]).astype(np.int8)
    return clamped


def _reference_conv2d(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data, weight = arrays[0], arrays[1].astype(np.int32)
    accumulator = np.tensordot(_windows_of(data, weight, attrs), weight, axes=((3, 4, 5), (1, 2, 3)))
    return _finish(accumulator, arrays, attrs)


def _reference_depthwise(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data, weight = arrays[0], arrays[1].astype(np.int32)
    repeated = np.repeat(_windows_of(data, weight, attrs), attrs["depth_multiplier"], axis=-1)
    return _finish(np.einsum("nhwklc,klc->nhwc", repeated, weight[0]), arrays, attrs)


def _requantize_stage(accumulator: Any, tensors: Sequence[Any], attrs: Attrs) -> Any:
    bias, multiplier, shift = tensors[2:]

    def output(n: Any, h: Any, w: Any, c: Any) -> Any:
        total = accumulator[n, h, w, c] + bias[c]
        scaled = requantize_expr(total, multiplier[c], shift[c].astype("int32"), attrs["rounding"])
        return saturate_expr(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])

    return te.compute(accumulator.shape, output, name="requantize")


def _compute_conv2d(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Two-dimensional convolution over all input channels."""
    data, weight = tensors[0], tensors[1]
    channels, kernel_h, kernel_w, depth = (int(extent) for extent in weight.shape)
    padded = windows.pad_tensor(data, attrs["padding"], attrs["input_zero_point"])
    kh, kw = te.reduce_axis((0, kernel_h), "kh"), te.reduce_axis((0, kernel_w), "kw")
    ic = te.reduce_axis((0, depth), "ic")
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    accumulator = te.compute(
        _output_shape(data, weight, attrs, channels),
        lambda n, h, w, c: te.sum(
            (
                padded[n, h * stride_h + kh * dilation_h, w * stride_w + kw * dilation_w, ic].astype("int32")
                - attrs["input_zero_point"]
            )
            * weight[c, kh, kw, ic].astype("int32"),
            axis=[kh, kw, ic],
        ),
        name="accumulate",
    )
    return _requantize_stage(accumulator, tensors, attrs)


def _compute_depthwise(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Two-dimensional convolution of each channel by itself."""
    data, weight = tensors[0], tensors[1]
    _, kernel_h, kernel_w, channels = (int(extent) for extent in weight.shape)
    multiplier = attrs["depth_multiplier"]
    padded = windows.pad_tensor(data, attrs["padding"], attrs["input_zero_point"])
    kh, kw = te.reduce_axis((0, kernel_h), "kh"), te.reduce_axis((0, kernel_w), "kw")
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    accumulator = te.compute(
        _output_shape(data, weight, attrs, channels),
        lambda n, h, w, c: te.sum(
            (
                padded[
                    n, h * stride_h + kh * dilation_h, w * stride_w + kw * dilation_w, c // multiplier
                ].astype("int32")
                - attrs["input_zero_point"]
            )
            * weight[0, kh, kw, c].astype("int32"),
            axis=[kh, kw],
        ),
        name="accumulate",
    )
    return _requantize_stage(accumulator, tensors, attrs)


def _output_shape(data: Any, weight: Any, attrs: Attrs, channels: int) -> tuple[int, ...]:
    specs = [
        TensorSpec(tuple(int(extent) for extent in tensor.shape), tensor.dtype) for tensor in (data, weight)
    ]
    per_channel = [TensorSpec((channels,), "int32")] * 3
    return _infer([*specs, *per_channel], attrs, channels).shape


def _bounds(
    inputs: Sequence[TensorSpec], attrs: Attrs, channels: Window | Whole, weight: InputBounds
) -> tuple[InputBounds, ...]:
    kernel = inputs[1].shape[1:3]
    data = windows.window_bounds(kernel, attrs["strides"], attrs["dilation"], attrs["padding"], channels)
    per_channel = InputBounds((Window(3),))
    return (data, weight, per_channel, per_channel, per_channel)


def _bounds_conv2d(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    return _bounds(inputs, attrs, Whole(), InputBounds((Window(3), Whole(), Whole(), Whole())))


def _bounds_depthwise(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    channels = Window(3, denominator=attrs["depth_multiplier"])
    return _bounds(inputs, attrs, channels, InputBounds((Whole(), Whole(), Whole(), Window(3))))


def _macs_conv2d(inputs: Sequence[TensorSpec], attrs: Attrs) -> int:
    output = _infer_conv2d(inputs, attrs)
    return output.elements * inputs[1].elements // output.shape[-1]


def _macs_depthwise(inputs: Sequence[TensorSpec], attrs: Attrs) -> int:
    return _infer_depthwise(inputs, attrs).elements * inputs[1].shape[1] * inputs[1].shape[2]


def _share_inside_conv2d(inputs: Sequence[TensorSpec], attrs: Attrs) -> float:
    output = _infer_conv2d(inputs, attrs)
    return windows.share_inside(inputs[0].shape, inputs[1].shape[1:3], output.shape, attrs)


def _share_inside_depthwise(inputs: Sequence[TensorSpec], attrs: Attrs) -> float:
    output = _infer_depthwise(inputs, attrs)
    return windows.share_inside(inputs[0].shape, inputs[1].shape[1:3], output.shape, attrs)


def _border(attrs: Attrs) -> int:
    return int(attrs["input_zero_point"])


register(
    Operator(
        name="conv2d",
        inputs=_INPUTS,
        infer=_infer_conv2d,
        reference=_reference_conv2d,
        compute=_compute_conv2d,
        bounds=_bounds_conv2d,
        macs=_macs_conv2d,
        share_inside=_share_inside_conv2d,
        border=_border,
        transposed=windows.swap_axes,
        adds_zero_point=True,
    )
)
register(
    Operator(
        name="depthwise_conv2d",
        inputs=_INPUTS,
        infer=_infer_depthwise,
        reference=_reference_depthwise,
        compute=_compute_depthwise,
        bounds=_bounds_depthwise,
        macs=_macs_depthwise,
        share_inside=_share_inside_depthwise,
        border=_border,
        transposed=windows.swap_axes,
        adds_zero_point=True,
    )
)
