"""Conv, dense and depthwise."""

from __future__ import annotations

import numpy as np

from ...tflite.graph import Array, Quantization, Tensor
from ..builder import Builder, Converter, reject
from ..network import Call
from .windows import window_options

_OPTIONS = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")
RANK = 4


def _conv(builder: Builder, call: Call) -> None:
    data, weight = builder.activation(call), constant_weight(builder, call, 1)
    if weight.data is None or weight.data.ndim != RANK:
        reject(f"weight {weight} has {len(weight.shape)} dimensions, supported are {RANK}")
    channels, depth, *kernel = weight.shape
    groups = int(call.attrs.get("group", 1))
    options = window_options(call, data.shape[1:3], kernel, _OPTIONS)
    bias = bias_tensor(builder, call, 2, data, weight, channels)
    if groups == 1:
        packed, axis, kind = weight.data.transpose(0, 2, 3, 1), 0, "CONV_2D"
    elif groups == data.shape[-1] and depth == 1:
        packed, axis, kind = weight.data.transpose(1, 2, 3, 0), RANK - 1, "DEPTHWISE_CONV_2D"
    else:
        reject(f"it has {groups} groups of {depth} channels, supported are one group and depthwise")
    moved = along(weight, axis)
    output, limits = builder.result(call)
    kernels = builder.constant(f"{weight.name}:NHWC", packed, "int8", moved)
    builder.operator(kind, (data, kernels, bias), output, fused_activation_function=limits, **options)


def constant_weight(builder: Builder, call: Call, position: int) -> Tensor:
    """The quantised weight of a call; it must be a constant."""
    weight = builder.operand(call, position)
    if weight.data is None:
        reject(f"weight {weight} is computed by the model, supported is a constant")
    return weight


def along(weight: Tensor, axis: int) -> Quantization:
    """Quantisation of a weight whose output channels lie along `axis` now."""
    assert weight.quantization is not None
    return Quantization(weight.quantization.scales, weight.quantization.zero_points, axis)


def bias_tensor(
    builder: Builder, call: Call, position: int, data: Tensor, weight: Tensor, channels: int
) -> Tensor | None:
    """The bias in steps of the accumulator; rounded to them when it came as real numbers or in other steps."""
    value = call.input(position)
    if value is None:
        return None
    real = real_contents(builder, call, position)
    if real is None or real.size != channels:
        reject(f"bias {value} is not a constant with one element for each of {channels} channels")
    assert weight.quantization is not None
    steps = data.scale * np.broadcast_to(weight.quantization.scales.astype(np.float64), channels)
    rounded = np.rint(real.reshape(channels) / steps)
    if not (np.abs(rounded) < 2.0**31).all():
        reject(f"bias {value} does not fit an accumulator of 32 bits at the scales of {data} and {weight}")
    return builder.constant(f"{value.name}:int32", rounded, "int32")


def real_contents(builder: Builder, call: Call, position: int) -> Array | None:
    """Real numbers that a constant operand stands for, float64; None for what is no constant."""
    value = call.input(position)
    if value is None:
        return None
    if value.data is not None:
        return value.data.astype(np.float64)
    tensor = builder.meaning.get(value)
    if tensor is None or tensor.data is None or tensor.quantization is None:
        return None
    found = tensor.quantization
    centred = tensor.data.astype(np.float64)
    if len(found.scales) == 1:
        return np.asarray((centred - found.zero_points[0]) * float(found.scales[0]))
    shape = [1] * centred.ndim
    shape[found.axis] = -1
    real: Array = (centred - found.zero_points.reshape(shape)) * found.scales.astype(np.float64).reshape(
        shape
    )
    return real


CONVERTERS: dict[str, Converter] = {"Conv": _conv}
