"""ADD, SUB, MUL, MAXIMUM and MINIMUM over quantisations, activations, ranks, broadcasts and constants.

Left out because the reference kernels refuse it: fused activations of MAXIMUM and MINIMUM (the schema has
none), and operands of more than six dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..tflite_writer import Options
from .case import ACTIVATIONS, Case, Value, case_random, single_operator
from .quantization import Quantization, leaves_a_range

OPTION_TABLES = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
}
Triple = tuple[Quantization, Quantization, Quantization]
Shape = tuple[int, ...]

DEFAULT_QUANTIZATION: Triple = (Quantization(0.05, -3), Quantization(0.031, 12), Quantization(0.07, 5))
SHAPE: Shape = (1, 4, 5, 3)

# Pairs of operand shapes: equal ranks 1 to 6, scalars, per-channel, either side, both sides, lower ranks.
SHAPES: tuple[tuple[Shape, Shape], ...] = (
    (SHAPE, SHAPE),
    ((17,), (17,)),
    ((1, 9), (1, 9)),
    ((1, 3, 7), (1, 3, 7)),
    ((1, 2, 3, 4, 3), (1, 2, 3, 4, 3)),
    ((1, 2, 2, 3, 2, 2), (1, 2, 2, 3, 2, 2)),
    (SHAPE, (1, 1, 1, 3)),
    (SHAPE, (3,)),
    (SHAPE, (1,)),
    (SHAPE, ()),
    ((1,), SHAPE),
    ((1, 1, 1, 3), SHAPE),
    (SHAPE, (1, 4, 5, 1)),
    (SHAPE, (1, 4, 1, 3)),
    (SHAPE, (5, 1)),
    ((1, 4, 1, 3), (1, 1, 5, 1)),
    ((1, 1, 5, 3), (1, 4, 1, 1)),
    ((5, 1), (1, 4)),
    ((2, 1, 3), (4, 1)),
    ((1, 2, 1, 3, 2), (4, 1, 1)),
    ((1, 2, 3, 4, 1), (1, 2, 1, 1, 5)),
    ((1, 2, 1, 2, 1, 3), (1, 1, 2, 2, 2, 1)),
)

# Equal scales, scales far apart both ways, a finer and a coarser output scale, zero points at the ends.
LINEAR_QUANTIZATIONS: tuple[Triple, ...] = (
    (Quantization(0.05, 0), Quantization(0.05, 0), Quantization(0.05, 0)),
    (Quantization(0.05, -128), Quantization(0.05, -128), Quantization(0.09, -128)),
    (Quantization(0.04, 127), Quantization(0.02, 127), Quantization(0.061, 127)),
    (Quantization(0.021, -128), Quantization(0.04, 127), Quantization(0.05, -128)),
    (Quantization(3.0, 4), Quantization(0.003, -9), Quantization(2.5, -1)),
    (Quantization(0.003, -9), Quantization(3.0, 4), Quantization(2.5, -1)),
    (Quantization(0.5, -2), Quantization(0.25, 3), Quantization(0.25, 1)),
    (Quantization(0.5, -2), Quantization(0.5, 3), Quantization(8.0, 1)),
    (Quantization(0.011, 31), Quantization(0.07, -77), Quantization(0.0523, 127)),
)
PRODUCT_QUANTIZATIONS: tuple[Triple, ...] = (
    (Quantization(1.0, 0), Quantization(1.0, 0), Quantization(128.0, 0)),
    (Quantization(0.05, -128), Quantization(0.05, -128), Quantization(0.6, -128)),
    (Quantization(0.04, 127), Quantization(0.02, 127), Quantization(0.21, -128)),
    (Quantization(0.021, -128), Quantization(0.04, 127), Quantization(0.22, 127)),
    (Quantization(3.0, 4), Quantization(0.003, -9), Quantization(0.4, -1)),
    (Quantization(0.5, -2), Quantization(0.25, 3), Quantization(8.0, 1)),
    (Quantization(0.011, 31), Quantization(0.07, -77), Quantization(0.1, 12)),
    (Quantization(0.05, 0), Quantization(0.031, 0), Quantization(1.0, 0)),
    # 10 * 0.7 rounds to 7 in single precision only: effective scale 1/64 and rounding ties, or just below.
    (Quantization(10.0, 0), Quantization(0.7, 0), Quantization(448.0, 0)),
)
# Input scales at which each activation clamps some outputs and not others.
ACTIVATION_SCALES: dict[str, tuple[float, float]] = {
    "none": (0.02, 0.013),
    "relu": (0.03, 0.02),
    "relu_n1_to_1": (0.011, 0.007),
    "relu6": (0.05, 0.037),
}


@dataclass(frozen=True)
class Binary:
    """One case.

    Attributes:
        constant: the operand that is constant: "first", "second" or "" for neither.
        magnitude: constants are drawn from [-magnitude, magnitude].
    """

    operator: str
    shapes: tuple[Shape, Shape] = (SHAPE, SHAPE)
    quantization: Triple = DEFAULT_QUANTIZATION
    activation: str = "none"
    constant: str = ""
    magnitude: int = 127

    def case(self) -> Case:
        """Write the model."""
        generator = case_random(self.id())
        operands: list[Value] = []
        for name, shape, quantization in zip(
            ("first", "second"), self.shapes, self.quantization, strict=False
        ):
            data = None
            if name == self.constant:
                data = generator.integers(-self.magnitude, self.magnitude, shape, endpoint=True)
            operands.append(Value(shape, "int8", quantization.scale, quantization.zero_point, data))
        fields = (
            {"fused_activation_function": ACTIVATIONS[self.activation]}
            if self.operator in ("ADD", "SUB", "MUL")
            else {}
        )
        result = self.quantization[2].value(np.broadcast_shapes(*self.shapes))
        options = Options(OPTION_TABLES[self.operator], fields)
        return single_operator(self.id(), self.operator, operands, [result], options)

    def id(self) -> str:
        """Unique name of the combination."""
        first, second, result = self.quantization
        parts = [
            self.operator.lower(),
            "_".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes),
            f"{first.label()}_{second.label()}to{result.label()}",
            self.activation,
            f"constant_{self.constant}_{self.magnitude}" if self.constant else "",
        ]
        return "-".join(part for part in parts if part)


def cases() -> Iterator[Case]:
    """All cases; the first of each operator is its representative."""
    for operator in OPTION_TABLES:
        for binary in dict.fromkeys(_combinations(operator)):
            if leaves_a_range(binary.quantization[2], binary.activation):
                yield binary.case()


def _combinations(operator: str) -> Iterator[Binary]:
    comparison = operator in ("MAXIMUM", "MINIMUM")
    same = Quantization(0.05, -3)
    quantization: Triple = (same, same, same) if comparison else DEFAULT_QUANTIZATION
    if operator == "MUL":
        quantization = (*DEFAULT_QUANTIZATION[:2], Quantization(0.17, 5))
    for shapes in SHAPES[::2] if operator == "MINIMUM" else SHAPES:
        yield Binary(operator, shapes, quantization)
    magnitude = 40 if comparison else 127
    seconds: tuple[Shape, ...] = (SHAPE, (3,), (1, 1, 1, 1), (), (1, 4, 1, 3))
    for second in seconds:
        shapes = (SHAPE, second)
        yield Binary(operator, shapes, quantization, constant="second", magnitude=magnitude)
    firsts: tuple[Shape, ...] = (SHAPE, (3,))
    for first in firsts:
        shapes = (first, SHAPE)
        yield Binary(operator, shapes, quantization, constant="first", magnitude=magnitude)
    if comparison:
        for zero_point in (-128, 127):
            end = Quantization(0.02, zero_point)
            yield Binary(operator, quantization=(end, end, end))
    else:
        yield from _quantizations(operator)


def _quantizations(operator: str) -> Iterator[Binary]:
    for triple in PRODUCT_QUANTIZATIONS if operator == "MUL" else LINEAR_QUANTIZATIONS:
        yield Binary(operator, quantization=triple)
    for activation, (first, second) in ACTIVATION_SCALES.items():
        for scale, zero_point in ((0.047, -128), (0.06, 9)):
            inputs = (Quantization(first, -3), Quantization(second, 12))
            yield Binary(
                operator, quantization=(*inputs, Quantization(scale, zero_point)), activation=activation
            )
    if operator == "MUL":
        # An effective scale above 1, with small constants so that not everything saturates.
        triple = (Quantization(1.0, 0), Quantization(1.0, 0), Quantization(0.6, 0))
        yield Binary(operator, quantization=triple, constant="second", magnitude=1)
