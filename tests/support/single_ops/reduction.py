"""MEAN over axes, ranks and quantisations; ARG_MAX over axes, ranks and index types.

Left out because the reference kernels refuse it: ARG_MAX of a scalar, and axes that are not constants (their
result shape would be dynamic).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..tflite_writer import Options
from .case import Case, Value, single_operator
from .quantization import Quantization

SHAPE = (1, 5, 7, 3)
# Inputs vary by about 74 steps; the output scale follows from how much averaging narrows them.
INPUT_DEVIATION = 74.0
OUTPUT_DEVIATION = 45.0


@dataclass(frozen=True)
class Mean:
    """One MEAN case.

    Attributes:
        axes: as written in the model; an int makes the axis tensor a scalar.
        gain: 1 spreads the output well; larger values make the effective scale smaller.
        scale: overrides the computed output scale.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...] | int
    keep_dims: bool = True
    zero_points: tuple[int, int] = (-3, 5)
    input_scale: float = 0.05
    gain: float = 1.0
    scale: float | None = None

    def case(self) -> Case:
        """Write the model."""
        rank = len(self.shape)
        reduced = {axis % rank for axis in np.atleast_1d(self.axes).tolist()}
        terms = math.prod(self.shape[axis] for axis in reduced)
        deviation = INPUT_DEVIATION / math.sqrt(terms)
        scale = self.scale or self.gain * self.input_scale * deviation / OUTPUT_DEVIATION
        result = tuple(
            1 if axis in reduced else size
            for axis, size in enumerate(self.shape)
            if self.keep_dims or axis not in reduced
        )
        axes = np.asarray(self.axes, np.int32)
        return single_operator(
            self.id(),
            "MEAN",
            [
                Value(self.shape, "int8", self.input_scale, self.zero_points[0]),
                Value(axes.shape, "int32", None, data=axes),
            ],
            [Value(result, "int8", scale, self.zero_points[1])],
            Options("ReducerOptions", {"keep_dims": self.keep_dims}),
        )

    def id(self) -> str:
        """Unique name of the combination."""
        axes = f"scalar{self.axes}" if isinstance(self.axes, int) else "_".join(map(str, self.axes))
        parts = [
            "mean",
            "x".join(map(str, self.shape)),
            f"axes{axes}",
            "keep" if self.keep_dims else "drop",
            f"zp{self.zero_points[0]}to{self.zero_points[1]}",
            f"s{self.input_scale:g}",
            f"gain{self.gain:g}" if self.gain != 1.0 else "",
            f"to{self.scale:g}" if self.scale else "",
        ]
        return "-".join(part for part in parts if part)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for mean in dict.fromkeys(_means()):
        yield mean.case()
    yield from _arg_max_cases()


def _means() -> Iterator[Mean]:
    axes: tuple[tuple[int, ...], ...] = (
        *((1, 2), (2, 1), (1,), (2,), (3,), (1, 2, 3), (2, 3)),
        *((1, 3), (-1,), (-3, -2), (1, 1), (0,)),
    )
    for index, axis in enumerate(axes):
        yield Mean(SHAPE, axis)
        if index % 3 == 0:
            yield Mean(SHAPE, axis, False)
    yield Mean(SHAPE, 2)
    yield Mean(SHAPE, -1, False)
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((23,), (0,)),
        ((1, 19), (1,)),
        ((1, 6, 5), (1,)),
        ((1, 6, 5), (2,)),
        ((1, 2, 3, 4, 5), (2, 3)),
        ((1, 2, 3, 4, 5), (1, 4)),
        ((1, 8, 8, 4), (1, 2)),
        ((1, 1, 1, 9), (1, 2)),
        ((1, 3, 11, 2), (1, 2)),
        ((1, 16, 17, 2), (1, 2)),
    )
    for index, (shape, reduced) in enumerate(shapes):
        yield Mean(shape, reduced, index % 2 == 0)
    for zero_points in ((-128, -128), (127, 127), (-128, 0), (0, 127), (60, -40)):
        centre = (-0.5 - zero_points[0]) * 0.03
        reachable = {-128: 127, 127: -128}.get(zero_points[1], 127 if centre > 0 else -128)
        scale = max(abs(centre) / abs(reachable - zero_points[1]) * 2, 0.008)
        yield Mean(SHAPE, (1, 2), zero_points=zero_points, input_scale=0.03, scale=scale)
    for gain in (0.4, 3.0, 10.0):
        yield Mean(SHAPE, (1, 2), gain=gain)
    # Equal scales, a power-of-two count and zero points of 0: exact rounding ties.
    for shape in ((1, 2, 1, 37), (1, 2, 2, 37), (1, 4, 4, 37)):
        yield Mean(shape, (1, 2), zero_points=(0, 0), input_scale=0.5, scale=0.5)
        yield Mean(shape, (1, 2), zero_points=(0, 0), input_scale=0.5, scale=0.125)


def _arg_max_cases() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], int], ...] = (
        ((1, 10), 1),
        ((1, 10), -1),
        ((17,), 0),
        ((1, 6, 5), 1),
        ((1, 6, 5), 2),
        ((1, 3, 4, 7), 3),
        ((1, 3, 4, 7), -2),
        ((1, 5, 4, 3), 1),
        ((1, 2, 3, 4, 3), 2),
        # More elements than values: every maximum is tied.
        ((1, 900, 4), 1),
        ((1, 4, 900), 2),
    )
    quantization = Quantization(0.05, -3)
    for shape, axis in combinations:
        result = tuple(size for index, size in enumerate(shape) if index != axis % len(shape))
        for dtype, code, axis_dtype in (("int32", 2, "int32"), ("int64", 4, "int64")):
            yield single_operator(
                f"arg_max-{'x'.join(map(str, shape))}-axis{axis}-{dtype}",
                "ARG_MAX",
                [quantization.value(shape), Value((), axis_dtype, None, data=np.asarray(axis))],
                [Value(result, dtype, None)],
                Options("ArgMaxOptions", {"output_type": code}),
            )
