"""CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV."""

from __future__ import annotations

from typing import Any

from ..graph import Tensor
from ..node import Conversion, Layer, Node
from ..quantization import bias, channel_multipliers, clamps, weight
from ..reader import OptionsTable
from .windows import explicit_padding, pair

# LiteRT's reference convolutions round twice, as gemmlowp does.
ROUNDING = "double"


def _window(node: Node, data: Tensor, weights: Tensor) -> dict[str, Any]:
    strides = pair(node, "stride_h", "stride_w")
    dilation = pair(node, "dilation_h_factor", "dilation_w_factor")
    padding = explicit_padding(node, data.shape[1:3], weights.shape[1:3], strides, dilation)
    return {"strides": strides, "dilation": dilation, "padding": padding}


def _layer(
    node: Node,
    operator: str,
    operands: tuple[Tensor, Tensor],
    bias_position: int,
    channels: int,
    attrs: dict[str, Any],
) -> list[Layer]:
    """The layer every convolution ends in: bias, per-channel scales and clamp are the same for all."""
    data, weights = operands
    output = node.result()
    multipliers, shifts = channel_multipliers(node, data, weights, channels, output)
    inputs = (data, weights, bias(node, bias_position, channels), multipliers, shifts)
    common = {"input_zero_point": data.zero_point, "rounding": ROUNDING, **clamps(node, output)}
    return [node.layer(operator, inputs, output, **attrs, **common)]


def _conv2d(node: Node) -> list[Layer]:
    data, weights = node.image(), weight(node, 1, axis=0, rank=4)
    if data.shape[3] != weights.shape[3]:
        if data.shape[3] % weights.shape[3] == 0:
            node.reject(f"weight {weights} splits the {data.shape[3]} channels of {data} into groups")
        node.malformed(f"weight {weights} does not fit the {data.shape[3]} channels of {data}")
    return _layer(node, "conv2d", (data, weights), 2, weights.shape[0], _window(node, data, weights))


def _depthwise_conv2d(node: Node) -> list[Layer]:
    data, weights = node.image(), weight(node, 1, axis=3, rank=4)
    channels = weights.shape[3]
    if weights.shape[0] != 1 or channels % data.shape[3]:
        node.malformed(f"weight {weights} does not fit the {data.shape[3]} channels of {data}")
    attrs = {**_window(node, data, weights), "depth_multiplier": channels // data.shape[3]}
    return _layer(node, "depthwise_conv2d", (data, weights), 2, channels, attrs)


def _transpose_conv2d(node: Node) -> list[Layer]:
    shape, weights, data = node.integers(0, "output shape"), weight(node, 1, axis=0, rank=4), node.image(2)
    if data.shape[3] != weights.shape[3]:
        node.malformed(f"weight {weights} does not fit the {data.shape[3]} channels of {data}")
    if shape != node.result().shape or shape[3] != weights.shape[0]:
        node.malformed(f"output shape {list(shape)} contradicts {node.result()} or weight {weights}")
    strides = pair(node, "stride_h", "stride_w")
    kernel = weights.shape[1:3]
    padding = explicit_padding(node, shape[1:3], kernel, strides, (1, 1))
    for axis, (extent, size, stride) in enumerate(zip(shape[1:3], kernel, strides, strict=True)):
        reached = (extent + padding[axis] + padding[axis + 2] - size) // stride + 1
        if reached != data.shape[axis + 1]:
            node.malformed(f"a convolution of the output shape {list(shape)} does not give {data}")
    attrs = {"strides": strides, "padding": padding, "output_shape": list(shape)}
    return _layer(node, "transpose_conv2d", (data, weights), 3, weights.shape[0], attrs)


_CONVOLUTION = ("padding", "stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")
_ACTIVATION = "fused_activation_function"

CONVERSIONS = {
    "CONV_2D": Conversion(
        _conv2d, (2, 3), options=OptionsTable("Conv2DOptions", (*_CONVOLUTION, _ACTIVATION))
    ),
    "DEPTHWISE_CONV_2D": Conversion(
        _depthwise_conv2d,
        (2, 3),
        options=OptionsTable("DepthwiseConv2DOptions", (*_CONVOLUTION, _ACTIVATION)),
    ),
    "TRANSPOSE_CONV": Conversion(
        _transpose_conv2d,
        (3, 4),
        options=OptionsTable("TransposeConvOptions", ("padding", "stride_h", "stride_w", _ACTIVATION)),
    ),
}
