"""Layers without weights for the RVV schedules: shapes that are multiples of nothing, values at random or extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.schedules.layers_rvv import int8_values, same_padding
from tests.schedules.test_add_rvv import all_pairs, attributes
from tests.support.layers import LayerCase
from tvm_tinyml.dialect.softmax import scaling

ENDS = (-128, 127)


def weightless(generator: np.random.Generator, scale: int = 1) -> list[LayerCase]:
    """All of this module; sizes divided by `scale`, for code that is slow."""
    return [
        *poolings(generator),
        *means(generator),
        *softmaxes(generator, 1000 // scale),
        *bytewise(generator, 300 // scale),
        *pairwise(generator, 65536 // scale**2),
    ]


def poolings(generator: np.random.Generator) -> list[LayerCase]:
    """Windows of any size and stride, padded or not, clamped or not; sums at their ends and ties."""
    cases = []
    for name in ("avg_pool2d", "max_pool2d"):
        for padded in (False, True, True):
            image, pool, strides = (_pair(generator, *ends) for ends in ((5, 12), (1, 6), (1, 4)))
            depth = int(generator.choice([1, 7, 33, 130]))
            low = int(generator.integers(-128, 0)) if generator.random() < 0.5 else -128
            high = int(generator.integers(1, 127)) if generator.random() < 0.5 else 127
            padding = same_padding((*image, depth), pool, strides, (1, 1)) if padded else (0, 0, 0, 0)
            attrs = {"pool": pool, "strides": strides, "padding": padding}
            data = int8_values(generator, (1, *image, depth))
            cases.append(LayerCase(name, (data,), attrs | {"clamp_min": low, "clamp_max": high}))
        for value in ENDS:
            attrs = {"pool": (3, 256), "strides": (1, 1), "padding": (0, 0, 0, 0)}
            data = np.full((1, 3, 256, 5), value, np.int8)
            cases.append(LayerCase(name, (data,), attrs | {"clamp_min": -128, "clamp_max": 127}))
        attrs = {"pool": (2, 2), "strides": (2, 2), "padding": (0, 0, 0, 0)}
        data = generator.integers(-2, 2, (1, 8, 8, 16), dtype=np.int8)
        cases.append(LayerCase(name, (data,), attrs | {"clamp_min": -128, "clamp_max": 127}))
    return cases


def _pair(generator: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    return int(generator.integers(low, high)), int(generator.integers(low, high))


def means(generator: np.random.Generator) -> list[LayerCase]:
    """Means over the first, middle and adjacent axes, with zero points and shifts at both ends."""
    shapes = [((1, 7, 7, 130), (1, 2)), ((3, 5, 37), (1,)), ((41, 9), (0,)), ((2, 3, 4, 5, 6), (1, 2))]
    cases = []
    for (shape, axes), ends in zip(shapes, ((-128, 127), (127, -128), (-128, -128), (0, 5)), strict=True):
        multiplier, shift = int(generator.integers(2**29, 2**31)), -int(generator.choice([1, 2, 5]))
        attrs = {"axes": axes, "keepdims": False, "multiplier": multiplier, "shift": shift}
        attrs |= {"input_zero_point": ends[0], "zero_point": ends[1]}
        cases.append(LayerCase("mean", (int8_values(generator, shape),), attrs))
    tie = {"axes": (0,), "keepdims": True, "multiplier": 2**30, "shift": -1, "input_zero_point": 0}
    cases.append(LayerCase("mean", (int8_values(generator, (1, 200)),), tie))
    cases.append(LayerCase("mean", (int8_values(generator, (9, 16)),), tie | {"shift": -31}))
    return cases


def softmaxes(generator: np.random.Generator, longest: int) -> list[LayerCase]:
    """Rows of one element, of equal ones, and of up to `longest`, for small and large scales."""
    cases = []
    for scale, shape in zip(
        (0.004, 0.05, 0.3, 1.0, 16.0), ((3, 17), (longest,), (2, 2, 5), (4, 33), (1, 128)), strict=True
    ):
        multiplier, shift, lowest = scaling(1.0, scale)
        attrs = {"multiplier": multiplier, "shift": shift, "diff_min": lowest, "zero_point": -128}
        cases.append(LayerCase("softmax", (int8_values(generator, shape),), attrs))
        cases.append(LayerCase("softmax", (np.full((2, 1), 127, np.int8),), attrs))
        # Every difference there is.
        row = np.arange(-128, 128, dtype=np.int8)[::-3].reshape(2, 43)
        cases.append(LayerCase("softmax", (row,), attrs))
    # So many equal ones that little is left of each.
    cases.append(LayerCase("softmax", (np.full((1, longest + 280), -128, np.int8),), attrs))
    return cases


def bytewise(generator: np.random.Generator, count: int) -> list[LayerCase]:
    """Functions of one byte, by the model's table or by arithmetic."""
    bytes_ = np.resize(np.arange(-128, 128, dtype=np.int8), count)
    scaled = {
        "input_zero_point": 3,
        "multiplier": 1500000000,
        "shift": 0,
        "rounding": "double",
        "zero_point": 5,
    }
    signed = scaled | {"clamp_min": -100, "clamp_max": 100, "dtype": "int8"}
    unsigned = scaled | {"clamp_min": 0, "clamp_max": 255, "dtype": "uint8"}
    return [
        LayerCase("requantize", (bytes_,), signed),
        LayerCase("requantize", (bytes_[:129],), unsigned),
        LayerCase("requantize", (bytes_.view(np.uint8),), signed),
        LayerCase("lookup", (bytes_[::-1].copy(), int8_values(generator, (256,))), {"function": "any"}),
        LayerCase("lookup", (bytes_[:1], int8_values(generator, (256,))), {"function": "any"}),
    ]


def pairwise(generator: np.random.Generator, count: int) -> list[LayerCase]:
    """Products with every rounding, differences, minima, maxima: of `count` pairs of bytes, or with a constant."""
    a, b = (operand[:: 65536 // count] for operand in all_pairs())
    cases = [LayerCase(name, (a, b), {}, 2) for name in ("minimum", "maximum")]
    cases += [LayerCase("sub", (a[n:], b[n:]), attributes(generator), 2) for n in (0, 7, 9)]
    cases.append(LayerCase("maximum", (a[:77], b[-77:]), {}))
    for rounding, zero_points, right in (
        ("double", (-128, 127, 4), 9),
        ("away", (127, 127, -128), 8),
        ("single", (5, -128, 127), 6),
        ("double", (0, 0, 0), 1),
        ("away", (0, 0, 0), 30),
    ):
        cases.append(LayerCase("mul", (a, b), product(generator, rounding, zero_points, right), 2))
    image, row, rows = (int8_values(generator, shape) for shape in ((5, 3, 41), (41,), (1, 3, 41)))
    cases.append(LayerCase("mul", (image, row), product(generator, "double", (1, 2, 3), 9), 2))
    cases.append(LayerCase("sub", (rows, image), attributes(generator), 2))
    cases.append(LayerCase("add", (image, row), attributes(generator)))
    cases.append(LayerCase("minimum", (rows, image), {}, 2))
    ties = product(generator, "away", (0, 0, 0), 3) | {"multiplier": 2**30}
    cases.append(LayerCase("mul", (a[:101], b[-101:]), ties))
    return cases


def product(
    generator: np.random.Generator, rounding: str, zero_points: tuple[int, int, int], right: int
) -> dict[str, Any]:
    """Attributes of a product."""
    a, b, output = zero_points
    low = max(-128, output) if generator.random() < 0.5 and output < 127 else -128
    return {
        "a_zero_point": a,
        "b_zero_point": b,
        "zero_point": output,
        "multiplier": int(generator.integers(2**30, 2**31)),
        "shift": -right,
        "rounding": rounding,
        "clamp_min": low,
        "clamp_max": 127,
    }
