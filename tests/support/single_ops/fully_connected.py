"""FULLY_CONNECTED over sizes, input ranks, keep_num_dims, bias forms, quantisations and activations.

Power-of-two effective scales are included on purpose: they produce exact rounding ties, where LiteRT's
FULLY_CONNECTED and its convolutions disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..tflite_writer import Options
from .case import ACTIVATIONS, Case, Value, case_random, single_operator
from .quantization import QUANTIZATIONS, Quantization, leaves_a_range
from .weights import DEFAULT_WEIGHTS, Weights


@dataclass(frozen=True)
class FullyConnected:
    """One case.

    Attributes:
        units: output features.
        omitted_bias: write a missing bias as tensor index -1 instead of a shorter input list.
        rows: how many vectors the input holds when its rank is above 2; 1 flattens the whole input.
    """

    shape: tuple[int, ...]
    units: int
    quantization: tuple[Quantization, Quantization] = (Quantization(0.05, -3), Quantization(0.07, 5))
    activation: str = "none"
    weights: Weights = DEFAULT_WEIGHTS
    omitted_bias: bool = False
    keep_num_dims: bool = False
    rows: int = 1

    def case(self) -> Case:
        """Write the model."""
        features = math.prod(self.shape) // self.rows
        weight, bias = self.weights.operands(
            case_random(self.id()), (self.units, features), 0, self.quantization, self.activation
        )
        source, target = self.quantization
        operands: list[Value | None] = [source.value(self.shape), weight]
        if bias is not None or self.omitted_bias:
            operands.append(bias)
        result_shape = (*self.shape[:-1], self.units) if self.keep_num_dims else (self.rows, self.units)
        fields = {
            "fused_activation_function": ACTIVATIONS[self.activation],
            "keep_num_dims": self.keep_num_dims,
        }
        return single_operator(
            self.id(),
            "FULLY_CONNECTED",
            operands,
            [target.value(result_shape)],
            Options("FullyConnectedOptions", fields),
        )

    def id(self) -> str:
        """Unique name of the combination."""
        source, target = self.quantization
        parts = [
            "fully_connected",
            "x".join(map(str, self.shape)) + f"to{self.units}",
            f"{source.label()}to{target.label()}",
            self.activation,
            self.weights.label(),
            "omitted_bias" if self.omitted_bias else "",
            "keep_num_dims" if self.keep_num_dims else "",
            f"rows{self.rows}" if self.rows > 1 else "",
        ]
        return "-".join(part for part in parts if part)


SIZES: tuple[tuple[int, int], ...] = ((12, 7), (1, 1), (1, 9), (33, 1), (64, 10), (17, 13), (128, 4), (5, 32))

WEIGHTS: tuple[Weights, ...] = (
    Weights(per_channel=False),
    Weights(varied=True),
    Weights(gain=2.0),
    Weights(gain=0.05),
    Weights(bias="zero"),
    Weights(per_channel=False, bias="zero"),
)


def cases() -> Iterator[Case]:
    """All cases; the first is the operator's representative."""
    for dense in dict.fromkeys(_combinations()):
        if leaves_a_range(dense.quantization[1], dense.activation):
            yield dense.case()


def _combinations() -> Iterator[FullyConnected]:
    for features, units in SIZES:
        yield FullyConnected((1, features), units, weights=Weights(per_channel=False))
        yield FullyConnected((1, features), units, activation="relu")
    for index, quantization in enumerate(QUANTIZATIONS):
        for activation in tuple(ACTIVATIONS)[index % 2 :: 2]:
            yield FullyConnected((1, 12), 7, quantization, activation, Weights(per_channel=False))
    for weights in WEIGHTS:
        yield FullyConnected((1, 20), 11, weights=weights, activation="relu6")
    for per_channel in (False, True):
        absent = Weights(per_channel, bias="absent")
        yield FullyConnected((1, 20), 11, weights=absent)
        yield FullyConnected((1, 20), 11, weights=absent, omitted_bias=True)
    yield FullyConnected((1, 2, 3, 4), 5)
    yield FullyConnected((1, 1, 1, 24), 5, keep_num_dims=True)
    yield FullyConnected((1, 6, 8), 5, keep_num_dims=True, rows=6)
    yield FullyConnected((1, 6, 8), 5, rows=6)
    yield FullyConnected((1, 2, 3, 8), 3, keep_num_dims=True, rows=6)
    yield FullyConnected((24,), 5)
    yield from _extreme_scales()


def _extreme_scales() -> Iterator[FullyConnected]:
    """Effective scales above 1, exact powers of two (rounding ties) and far below 1."""
    one = Quantization(1.0, 0)
    for per_channel in (False, True):
        unit = Weights(False, bias="zero", scale=1.0, magnitude=1)
        for scale in (0.7, 1.0, 2.0, 4.0):
            yield FullyConnected((1, 2), 40, (one, Quantization(scale, -1)), weights=unit)
        tie = Weights(per_channel, bias="zero", scale=1.0)
        for scale in (128.0, 512.0):
            yield FullyConnected((1, 3), 50, (one, Quantization(scale, 3)), weights=tie)
        wide = Weights(per_channel, bias="wide", scale=1.0)
        for scale in (2.0**23, 5e6):
            yield FullyConnected((1, 2), 40, (one, Quantization(scale, 0)), weights=wide)
