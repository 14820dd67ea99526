"""Conv, dense and depthwise."""

from __future__ import annotations

from ..builder import Builder, Converter, reject
from ..network import Call
from .sums import constant_weight, fitted, real_bias
from .windows import window_options

_OPTIONS = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")
RANK = 4


def _conv(builder: Builder, call: Call) -> None:
    data = builder.activation(call)
    weight, scales = constant_weight(builder, call, 1, RANK, 0)
    channels, depth, *kernel = weight.shape
    groups = int(call.attrs.get("group", 1))
    options = window_options(call, data.shape[1:3], kernel, _OPTIONS)
    bias = real_bias(builder, call, 2, channels)
    if groups == 1:
        order, axis, kind = (0, 2, 3, 1), 0, "CONV_2D"
    elif groups == data.shape[-1] and depth == 1:
        order, axis, kind = (1, 2, 3, 0), RANK - 1, "DEPTHWISE_CONV_2D"
    else:
        reject(f"it has {groups} groups of {depth} channels, supported are one group and depthwise")
    output, limits = builder.result(call)
    sums = fitted(weight, scales, bias, data, output)
    kernels = builder.constant(
        f"{output.name}:weight", sums.weights.transpose(order), "int8", sums.quantization(axis)
    )
    added = builder.bias(call, 2, sums.bias)
    builder.operator(kind, (data, kernels, added), output, fused_activation_function=limits, **options)


CONVERTERS: dict[str, Converter] = {"Conv": _conv}
