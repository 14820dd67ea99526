"""MobileNetV2 (Sandler et al., CVPR 2018) of any width and image size as a .tflite file, with random weights.

Layers, strides, residuals and the rounding of channels are the published ones; scales are chosen so that values use
their range. The file stands for networks that cannot be part of the project.
"""

from __future__ import annotations

import math

import numpy as np

from .tflite_writer import Graph, Options, write_model

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels at width 1, blocks, and stride of the first of them."""

RELU6, NONE = 3, 0
ACTIVATED = (6 / 255, -128)
LINEAR = (8 / 255, 0)
# Of uniform int8 values between -127 and 127.
DEVIATION = 127 / math.sqrt(3)


def mobilenet_v2(width: float, size: int, *, classes: int = 1000, seed: int = 0) -> bytes:
    """The network for images [1, size, size, 3] of int8, whose output is the int8 scores [1, classes]."""
    network = _Network(seed)
    depth = _channels(32, width)
    x = network.image(size)
    x = network.convolution(x, depth, kernel=3, stride=2)
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            made = network.convolution(x, depth * expansion) if expansion > 1 else x
            made = network.depthwise(made, stride)
            made = network.convolution(made, _channels(channels, width), activation=NONE)
            x = network.add(x, made) if stride == 1 and depth == _channels(channels, width) else made
            depth = _channels(channels, width)
    x = network.convolution(x, max(1280, _channels(1280, width)))
    network.classifier(x, classes)
    return write_model(network.graph)


def _channels(count: int, width: float) -> int:
    """A multiple of 8, not more than a tenth below what the width says."""
    rounded = max(8, int(count * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * count * width else rounded + 8


class _Network:
    """A graph that grows by one layer at a time; layers are known by the index of what they make."""

    def __init__(self, seed: int) -> None:
        self.graph = Graph()
        self.random = np.random.default_rng(seed)

    def image(self, size: int) -> int:
        return self.graph.input("image", (1, size, size, 3), "int8", scale=2 / 255, zero_point=0)

    def convolution(
        self, x: int, channels: int, *, kernel: int = 1, stride: int = 1, activation: int = RELU6
    ) -> int:
        inputs = self.graph.tensors[x].shape[3]
        operands = [x, *self._weights(x, (channels, kernel, kernel, inputs), 0)]
        options = {"stride_h": stride, "stride_w": stride, "fused_activation_function": activation}
        return self._layer("CONV_2D", operands, channels, stride, Options("Conv2DOptions", options))

    def depthwise(self, x: int, stride: int) -> int:
        channels = self.graph.tensors[x].shape[3]
        operands = [x, *self._weights(x, (1, 3, 3, channels), 3)]
        options = {
            "stride_h": stride,
            "stride_w": stride,
            "depth_multiplier": 1,
            "fused_activation_function": RELU6,
        }
        return self._layer(
            "DEPTHWISE_CONV_2D", operands, channels, stride, Options("DepthwiseConv2DOptions", options)
        )

    def add(self, x: int, y: int) -> int:
        made = self._tensor(self.graph.tensors[x].shape, LINEAR)
        self.graph.operator("ADD", [x, y], [made], Options("AddOptions", {"fused_activation_function": NONE}))
        return made

    def classifier(self, x: int, classes: int) -> None:
        channels = self.graph.tensors[x].shape[3]
        pooled = self._tensor((1, channels), ACTIVATED)
        axes = self.graph.constant("axes", [1, 2])
        self.graph.operator("MEAN", [x, axes], [pooled], Options("ReducerOptions", {"keep_dims": False}))
        operands = [pooled, *self._weights(pooled, (classes, channels), 0, channelwise=False)]
        scores = self.graph.output("scores", (1, classes), "int8", scale=LINEAR[0], zero_point=LINEAR[1])
        self.graph.operator("FULLY_CONNECTED", operands, [scores], Options("FullyConnectedOptions"))

    def _layer(self, code: str, operands: list[int], channels: int, stride: int, options: Options) -> int:
        _, height, width, _ = self.graph.tensors[operands[0]].shape
        shape = 1, -(-height // stride), -(-width // stride), channels
        made = self._tensor(shape, ACTIVATED if options.fields["fused_activation_function"] else LINEAR)
        self.graph.operator(code, operands, [made], options)
        return made

    def _tensor(self, shape: tuple[int, ...], quantization: tuple[float, int]) -> int:
        scale, zero_point = quantization
        name = f"tensor_{len(self.graph.tensors)}"
        return self.graph.tensor(name, shape, "int8", scale=scale, zero_point=zero_point)

    def _weights(
        self, x: int, shape: tuple[int, ...], axis: int, *, channelwise: bool = True
    ) -> tuple[int, int]:
        """Weights and biases of a layer that reads `x`; sums of products vary by about 1."""
        channels = shape[axis]
        fan_in = math.prod(shape) // channels
        count = channels if channelwise else 1
        scales = 1.3 / (math.sqrt(fan_in) * DEVIATION) * self.random.uniform(0.7, 1.4, count)
        name = f"weights_{len(self.graph.tensors)}"
        values = self.random.integers(-127, 128, shape, np.int8)
        weights = self.graph.tensor(
            name,
            shape,
            "int8",
            scale=list(scales),
            quantized_dimension=axis if channelwise else 0,
            data=values,
        )
        biases = self.random.normal(1, 1, channels)
        of_sums = scales * self.graph.tensors[x].scales[0]
        bias = self.graph.tensor(
            f"{name}_bias", (channels,), "int32", scale=list(of_sums), data=np.rint(biases / of_sums)
        )
        return weights, bias
