"""Weights, scales and biases of the multiply-accumulate operators' cases.

Weight scales and biases are chosen so that random full-range inputs spread the output over the range its
activation leaves: a case whose outputs all saturate would test nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import Value
from .quantization import Quantization, activation_limits

INT8_UNIFORM_VARIANCE = (256.0**2 - 1.0) / 12.0
INT8_UNIFORM_MEAN = -0.5
# Standard deviations of the output that fit between its limits; about one element in eight saturates.
DEVIATIONS_IN_RANGE = 3.0
# Largest bias magnitude that leaves the 32-bit accumulator room for the products.
WIDE_BIAS = 2**30


@dataclass(frozen=True)
class Weights:
    """What a case asks of its constant operands.

    Attributes:
        per_channel: one scale per output channel, otherwise one for the tensor.
        bias: "fitted" centres the output, "zero" and "absent" add nothing, "wide" is far larger than the
            products, so that the effective scale is tiny and the right shift long.
        gain: multiplies the scale that would spread the output well.
        scale: overrides the computed weight scale.
        magnitude: weights are drawn from [-magnitude, magnitude].
        varied: per-channel scales from 2**-6 to 2**1 times the base, instead of within a factor of two.
    """

    per_channel: bool = True
    bias: str = "fitted"
    gain: float = 1.0
    scale: float | None = None
    magnitude: int = 127
    varied: bool = False

    def label(self) -> str:
        """Short text for case ids; empty for the default."""
        parts = [] if self.per_channel else ["per_tensor"]
        if self.bias != "fitted":
            parts.append(f"{self.bias}_bias")
        if self.gain != 1.0:
            parts.append(f"gain{self.gain:g}")
        if self.scale is not None:
            parts.append(f"scale{self.scale:g}")
        if self.magnitude != 127:
            parts.append(f"weights{self.magnitude}")
        if self.varied:
            parts.append("varied")
        return "_".join(parts)

    def operands(
        self,
        generator: np.random.Generator,
        shape: tuple[int, ...],
        channel_axis: int,
        quantization: tuple[Quantization, Quantization],
        activation: str,
    ) -> tuple[Value, Value | None]:
        """The weight operand and the bias, if the case has one.

        Args:
            shape: weight shape in the operator's layout.
            channel_axis: axis of the output channels.
            quantization: of the operator's input and output.
            activation: the fused activation.
        """
        source, target = quantization
        low, high = activation_limits(target, activation)
        channels = shape[channel_axis]
        weights = generator.integers(-self.magnitude, self.magnitude, shape, endpoint=True)
        other_axes = tuple(axis for axis in range(len(shape)) if axis != channel_axis)
        deviation = np.sqrt(INT8_UNIFORM_VARIANCE * np.square(weights).sum(axis=other_axes)) + 1.0
        typical = float(np.mean(deviation))
        spread = (high - low) / DEVIATIONS_IN_RANGE
        base = self.scale or self.gain * target.scale * spread / (source.scale * typical)
        scales = np.array([base])
        if self.per_channel:
            octaves = (
                generator.uniform(-6, 1, channels) if self.varied else generator.uniform(-1, 1, channels)
            )
            scales = base * 2.0**octaves
        weight = Value(shape, "int8", tuple(map(float, scales)), data=weights, axis=channel_axis)
        if self.bias == "absent":
            return weight, None
        centre = ((low + high) / 2 - target.zero_point) * target.scale / (source.scale * scales)
        mean = weights.sum(axis=other_axes) * (INT8_UNIFORM_MEAN - source.zero_point)
        biases = {
            "fitted": centre - mean + generator.normal(0, typical / 4, channels),
            "zero": np.zeros(channels),
            "wide": generator.uniform(-WIDE_BIAS, WIDE_BIAS, channels),
        }
        bias = np.round(biases[self.bias]).astype(np.int32)
        bias_scales = tuple(float(source.scale * s) for s in scales)
        return weight, Value(bias.shape, "int32", bias_scales, data=bias)


DEFAULT_WEIGHTS = Weights()
