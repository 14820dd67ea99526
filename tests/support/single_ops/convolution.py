"""CONV_2D and DEPTHWISE_CONV_2D over windows, channel counts, quantisations, activations and biases.

Left out because the reference kernels refuse it: CONV_2D without a bias; DEPTHWISE_CONV_2D with tensor index
-1 as its bias (a shorter input list is accepted); weights with a zero point other than 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..tflite_writer import Options
from .case import ACTIVATIONS, PADDINGS, Case, case_random, single_operator
from .geometry import Window
from .quantization import QUANTIZATIONS, Quantization, leaves_a_range
from .weights import DEFAULT_WEIGHTS, Weights

DEFAULT_QUANTIZATION = (Quantization(0.05, -3), Quantization(0.07, 5))


@dataclass(frozen=True)
class Convolution:
    """One convolution case.

    Attributes:
        channels: (input channels, output channels); depthwise: (input channels, depth multiplier).
        quantization: of the input and of the output.
    """

    operator: str
    window: Window
    channels: tuple[int, int]
    quantization: tuple[Quantization, Quantization] = DEFAULT_QUANTIZATION
    activation: str = "none"
    weights: Weights = DEFAULT_WEIGHTS

    def case(self) -> Case:
        """Write the model."""
        depthwise = self.operator == "DEPTHWISE_CONV_2D"
        inputs, outputs = self.channels
        shape, axis = (outputs, *self.window.kernel, inputs), 0
        if depthwise:
            shape, axis = (1, *self.window.kernel, inputs * outputs), 3
        fields = {
            "padding": PADDINGS[self.window.padding],
            "stride_h": self.window.stride[0],
            "stride_w": self.window.stride[1],
            "dilation_h_factor": self.window.dilation[0],
            "dilation_w_factor": self.window.dilation[1],
            "fused_activation_function": ACTIVATIONS[self.activation],
        }
        if depthwise:
            fields["depth_multiplier"] = outputs
        weight, bias = self.weights.operands(
            case_random(self.id()), shape, axis, self.quantization, self.activation
        )
        source, target = self.quantization
        operands = [source.value((1, *self.window.size, inputs)), weight]
        if bias is not None:
            operands.append(bias)
        result = target.value((1, *self.window.output_size(), shape[axis]))
        table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        return single_operator(
            self.id(),
            self.operator,
            operands,
            [result],
            Options(table, fields),
        )

    def id(self) -> str:
        """Unique name of the combination."""
        source, target = self.quantization
        parts = [
            self.operator.lower(),
            self.window.label(),
            f"c{self.channels[0]}x{self.channels[1]}",
            f"{source.label()}to{target.label()}",
            self.activation,
            self.weights.label(),
        ]
        return "-".join(part for part in parts if part)


# A few pixels each: every padding, stride, dilation and kernel relation that changes the border handling.
WINDOWS: tuple[Window, ...] = (
    Window((6, 5), (3, 3)),
    Window((6, 5), (3, 3), padding="valid"),
    Window((7, 5), (3, 3), (2, 2)),
    Window((7, 5), (3, 3), (2, 2), "valid"),
    Window((8, 6), (3, 3), (2, 2)),
    Window((6, 9), (1, 1)),
    Window((1, 1), (1, 1)),
    Window((1, 1), (3, 3)),
    Window((8, 8), (2, 2), (2, 2), "valid"),
    Window((9, 4), (5, 3), (2, 1)),
    Window((4, 9), (1, 5), (1, 2)),
    Window((9, 3), (4, 1), (3, 1), "valid"),
    Window((7, 7), (1, 1), (2, 2)),
    Window((8, 7), (2, 2), (3, 3), "valid"),
    Window((9, 8), (1, 1), (3, 2), "valid"),
    Window((9, 9), (3, 3), (5, 4)),
    Window((6, 6), (4, 4)),
    Window((7, 6), (2, 2)),
    Window((7, 6), (4, 2), (2, 2)),
    Window((4, 3), (7, 7)),
    Window((4, 5), (4, 5), padding="valid"),
    Window((7, 8), (3, 3), dilation=(2, 2)),
    Window((7, 8), (3, 3), padding="valid", dilation=(2, 2)),
    Window((8, 9), (2, 3), dilation=(1, 3)),
    Window((9, 7), (3, 2), padding="valid", dilation=(3, 2)),
    Window((9, 8), (3, 3), (2, 1), dilation=(2, 3)),
    Window((9, 9), (3, 3), (2, 2), "valid", (2, 2)),
    Window((1, 11), (1, 3), (1, 2)),
    Window((11, 1), (5, 1)),
)

CHANNELS: dict[str, tuple[tuple[int, int], ...]] = {
    "CONV_2D": ((3, 5), (1, 1), (4, 4), (7, 9), (16, 8), (5, 17), (13, 3), (32, 2), (1, 6)),
    "DEPTHWISE_CONV_2D": ((3, 1), (1, 1), (4, 1), (7, 1), (16, 1), (17, 1), (1, 8), (3, 2), (4, 4), (5, 3)),
}

WEIGHTS: tuple[Weights, ...] = (
    Weights(per_channel=False),
    Weights(per_channel=False, bias="zero"),
    Weights(varied=True),
    Weights(gain=2.0),
    Weights(gain=0.05),
)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for operator, channels in CHANNELS.items():
        for convolution in dict.fromkeys(_combinations(operator, channels)):
            if leaves_a_range(convolution.quantization[1], convolution.activation):
                yield convolution.case()


def _combinations(operator: str, channels: tuple[tuple[int, int], ...]) -> Iterator[Convolution]:
    small = Window((5, 4), (3, 3))
    activations = tuple(ACTIVATIONS)
    for index, window in enumerate(WINDOWS):
        quantization = QUANTIZATIONS[index % len(QUANTIZATIONS)]
        activation = activations[index % len(activations)]
        if not leaves_a_range(quantization[1], activation):
            activation = "relu_n1_to_1"
        yield Convolution(operator, window, channels[index % 4], quantization, activation)
    for pair in channels:
        yield Convolution(operator, small, pair)
        yield Convolution(operator, Window((3, 4), (1, 1)), pair, activation="relu")
    for index, quantization in enumerate(QUANTIZATIONS):
        for activation in activations[index % 2 :: 2]:
            yield Convolution(operator, small, channels[0], quantization, activation)
    for weights in WEIGHTS:
        yield Convolution(operator, small, channels[3], activation="relu6", weights=weights)
    if operator == "DEPTHWISE_CONV_2D":
        yield Convolution(operator, small, (1, 8), weights=Weights(bias="absent"))
        yield Convolution(operator, small, (3, 1), weights=Weights(per_channel=False, bias="absent"))
    yield from _extreme_scales(operator)


def _extreme_scales(operator: str) -> Iterator[Convolution]:
    """Effective scales above 1 (left shifts), exact powers of two (rounding ties) and far below 1."""
    point, channels, one = Window((4, 5), (1, 1)), (1, 3), Quantization(1.0, 0)
    unit = Weights(per_channel=False, bias="zero", scale=1.0, magnitude=1)
    for scale in (0.7, 1.0, 2.0, 4.0):
        yield Convolution(operator, point, channels, (one, Quantization(scale, -1)), weights=unit)
    tie = Weights(per_channel=False, bias="zero", scale=1.0)
    for scale in (128.0, 512.0):
        yield Convolution(operator, point, channels, (one, Quantization(scale, 3)), weights=tie)
    left = Weights(per_channel=False, scale=0.5, magnitude=2)
    quantization = (Quantization(0.9, -20), Quantization(0.3, 9))
    yield Convolution(operator, point, channels, quantization, weights=left)
    for target_scale in (2.0**23, 5e6):
        wide = Weights(per_channel=False, bias="wide", scale=1.0)
        yield Convolution(operator, point, (1, 19), (one, Quantization(target_scale, 0)), weights=wide)
