"""Quantisation of activations, and the range a fused activation leaves of it."""

from __future__ import annotations

from dataclasses import dataclass

from .case import Value

INT8_LIMITS = (-128, 127)

# Real-valued bounds of the fused activations; None is unbounded.
_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu_n1_to_1": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
}


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of an activation tensor."""

    scale: float
    zero_point: int

    def value(self, shape: tuple[int, ...], dtype: str = "int8") -> Value:
        """An activation of this quantisation."""
        return Value(shape, dtype, self.scale, self.zero_point)

    def label(self) -> str:
        """Short text for case ids."""
        return f"{self.scale:g}z{self.zero_point}"


def activation_limits(target: Quantization, activation: str) -> tuple[int, int]:
    """Lowest and highest int8 value a fused activation lets through."""
    low, high = _BOUNDS[activation]
    minimum, maximum = INT8_LIMITS
    if low is not None:
        minimum = max(minimum, target.zero_point + round(low / target.scale))
    if high is not None:
        maximum = min(maximum, target.zero_point + round(high / target.scale))
    return minimum, maximum


# Zero points at both ends and in between, with scales at which every activation clamps inside the range.
QUANTIZATIONS: tuple[tuple[Quantization, Quantization], ...] = (
    (Quantization(0.0235, -128), Quantization(0.0471, -128)),
    (Quantization(0.04, 127), Quantization(0.09, 127)),
    (Quantization(0.0117, 0), Quantization(0.061, 0)),
    (Quantization(0.11, -128), Quantization(0.053, 17)),
    (Quantization(0.02, 44), Quantization(0.081, -128)),
)


def leaves_a_range(target: Quantization, activation: str) -> bool:
    """False when the activation pins every output to one value (e.g. RELU with zero point 127)."""
    low, high = activation_limits(target, activation)
    return high - low > 8
