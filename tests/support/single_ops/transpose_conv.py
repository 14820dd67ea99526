"""TRANSPOSE_CONV over kernels, strides, paddings, output sizes, biases, quantisations and activations.

The output shape is an operand, so several output sizes belong to one input size; all of those for which the
reference kernel accepts the pair are used. Left out because the schema has no such options: dilations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..tflite_writer import Options
from .case import ACTIVATIONS, PADDINGS, Case, Value, case_random, int32_constant, single_operator
from .geometry import Window
from .quantization import QUANTIZATIONS, Quantization, leaves_a_range
from .weights import DEFAULT_WEIGHTS, Weights


@dataclass(frozen=True)
class TransposeConvolution:
    """One case; `window` is that of the forward convolution, whose `size` is this operator's output."""

    window: Window
    channels: tuple[int, int] = (3, 5)
    quantization: tuple[Quantization, Quantization] = (Quantization(0.05, -3), Quantization(0.07, 5))
    activation: str = "none"
    weights: Weights = DEFAULT_WEIGHTS
    omitted_bias: bool = False

    def case(self) -> Case:
        """Write the model."""
        inputs, outputs = self.channels
        weight, bias = self.weights.operands(
            case_random(self.id()),
            (outputs, *self.window.kernel, inputs),
            0,
            self.quantization,
            self.activation,
        )
        source, target = self.quantization
        result_shape = (1, *self.window.size, outputs)
        operands: list[Value | None] = [
            int32_constant(result_shape),
            weight,
            source.value((1, *self.window.output_size(), inputs)),
        ]
        if bias is not None or self.omitted_bias:
            operands.append(bias)
        fields = {
            "padding": PADDINGS[self.window.padding],
            "stride_h": self.window.stride[0],
            "stride_w": self.window.stride[1],
            "fused_activation_function": ACTIVATIONS[self.activation],
        }
        return single_operator(
            self.id(),
            "TRANSPOSE_CONV",
            operands,
            [target.value(result_shape)],
            Options("TransposeConvOptions", fields),
        )

    def id(self) -> str:
        """Unique name of the combination."""
        source, target = self.quantization
        parts = [
            "transpose_conv",
            self.window.label(),
            f"c{self.channels[0]}x{self.channels[1]}",
            f"{source.label()}to{target.label()}",
            self.activation,
            self.weights.label(),
            "omitted_bias" if self.omitted_bias else "",
        ]
        return "-".join(part for part in parts if part)


WINDOWS: tuple[Window, ...] = (
    Window((6, 8), (3, 3), (2, 2)),
    Window((7, 9), (3, 3), (2, 2)),
    Window((7, 9), (3, 3), (2, 2), "valid"),
    Window((8, 10), (3, 3), (2, 2), "valid"),
    Window((5, 4), (3, 3)),
    Window((5, 4), (3, 3), padding="valid"),
    Window((8, 8), (2, 2), (2, 2)),
    Window((8, 6), (4, 4), (2, 2)),
    Window((9, 6), (2, 2), (3, 3)),
    Window((8, 7), (1, 1), (2, 3), "valid"),
    Window((7, 6), (5, 2), (2, 1)),
    Window((9, 5), (1, 3), (3, 2)),
    Window((4, 4), (4, 4), (4, 4), "valid"),
    Window((1, 1), (1, 1)),
    Window((3, 3), (3, 3), padding="valid"),
    Window((2, 3), (5, 5), (2, 2)),
    Window((1, 8), (1, 4), (1, 2)),
)

WEIGHTS: tuple[Weights, ...] = (
    Weights(per_channel=False),
    Weights(per_channel=False, bias="absent"),
    Weights(bias="absent"),
    Weights(bias="zero"),
    Weights(varied=True),
    Weights(gain=0.05),
)


def cases() -> Iterator[Case]:
    """All cases; the first is the operator's representative."""
    for convolution in dict.fromkeys(_combinations()):
        if leaves_a_range(convolution.quantization[1], convolution.activation):
            yield convolution.case()


def _combinations() -> Iterator[TransposeConvolution]:
    small = Window((5, 6), (3, 3), (2, 2))
    for window in WINDOWS:
        yield TransposeConvolution(window)
    for channels in ((1, 1), (4, 4), (1, 7), (13, 2)):
        yield TransposeConvolution(small, channels, activation="relu")
    for index, quantization in enumerate(QUANTIZATIONS):
        for activation in tuple(ACTIVATIONS)[index % 2 :: 2]:
            yield TransposeConvolution(small, quantization=quantization, activation=activation)
    for weights in WEIGHTS:
        yield TransposeConvolution(small, weights=weights)
    yield TransposeConvolution(small, weights=Weights(bias="absent"), omitted_bias=True)
    one = Quantization(1.0, 0)
    tie = Weights(per_channel=False, bias="zero", scale=1.0)
    unit = Weights(per_channel=False, bias="zero", scale=1.0, magnitude=1)
    yield TransposeConvolution(small, (2, 3), (one, Quantization(128.0, 3)), weights=tie)
    yield TransposeConvolution(small, (1, 3), (one, Quantization(0.8, 3)), weights=unit)
