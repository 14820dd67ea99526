"""RVV tiles of convolutions at the ends of everything: values, sums, zero points, factors and shifts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET, convolution, depthwise, int8_values
from tests.schedules.test_add_rvv import attributes
from tests.schedules.test_elementwise_dsp import factors
from tests.support.extremes import extremes
from tests.support.layers import LayerCase, assert_layers_exact
from tests.support.rules import ask_only

# Every kind of tile: channels in full vectors with a rest of one or of two pixels, pixels by taps and by planes,
# depthwise with all channels of some pixels, with vectors that overlap and with a multiplier.
LAYERS: list[Callable[[np.random.Generator], LayerCase]] = [
    lambda generator: convolution(generator, (4, 5, 33), 90, (1, 1)),
    lambda generator: convolution(generator, (5, 4, 3), 40, (3, 2)),
    lambda generator: convolution(generator, (9, 21, 3), 7, (3, 3), strides=(2, 2)),
    lambda generator: convolution(generator, (6, 60, 16), 5, (1, 1)),
    lambda generator: convolution(generator, (7, 13, 4), 6, (3, 3)),
    lambda generator: depthwise(generator, (6, 5, 65), (3, 3)),
    lambda generator: depthwise(generator, (6, 9, 7), (3, 3)),
    lambda generator: depthwise(generator, (5, 6, 11), (2, 3), multiplier=3),
]
# Far enough from the ends for what the windows above add.
BIASES = np.array([-(2**31) + 2**24, 2**31 - 2**24, -(2**30) - 99, 2**30, -5, 0], np.int32)


def test_extreme_sums_and_factors_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Biases of up to 2**31 with every shift that leaves something of them, and factors of zero."""
    ask_only(monkeypatch, "rvv")
    generator = np.random.default_rng(11)
    cases = []
    for index, make in enumerate(LAYERS):
        for rounding in ("double", ("away", "single")[index % 2]):
            case = make(generator)
            data, weight, bias, multiplier, shift = case.arrays
            channel = np.arange(bias.size)
            bias = generator.choice(BIASES, bias.size)
            multiplier = np.where(channel % 7 == 3, 0, np.where(channel % 5 == 2, 2**31 - 1, multiplier))
            shift = (-2 - channel % 29).astype(shift.dtype)
            arrays = (data, weight, bias, multiplier.astype(np.int32), shift)
            cases.append(LayerCase(case.name, arrays, dict(case.attrs) | {"rounding": rounding}))
    assert_layers_exact(cases, TARGET)


def test_extreme_pairs_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal shapes, repeated rows and single elements that become rows, at all ends."""
    ask_only(monkeypatch, "rvv")
    generator = np.random.default_rng(13)
    cases = []
    for shape in ((4, 40), (40,), (4, 1), ()):
        operands = int8_values(generator, (4, 40)), int8_values(generator, shape)
        for name, attrs in (("add", attributes(generator)), ("mul", factors(-7)), ("minimum", {})):
            cases += extremes(LayerCase(name, operands, attrs, 2))[::2]
    module = assert_layers_exact(cases, TARGET)
    assert "rvv_splat" in module.compiled.model.micro_kernels


def test_extreme_values_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """All activations and all weights at an end: groups of taps reach the largest sums that 16 bits must hold."""
    ask_only(monkeypatch, "rvv")
    generator = np.random.default_rng(12)
    ends = [(-128, -128), (-128, -127), (127, -128), (-128, 127), (127, 127), (-128, 63), (-128, -31)]
    zero_points = [(-128, 127), (127, -128), (127, 127), (-128, -128)]
    cases = []
    for index, make in enumerate([*LAYERS, *LAYERS]):
        (value, factor), (read, written) = ends[index % 7], zero_points[index % 4]
        case = make(generator)
        arrays = list(case.arrays)
        arrays[0], arrays[1] = np.full_like(arrays[0], value), np.full_like(arrays[1], factor)
        zeros = {"input_zero_point": read, "zero_point": written, "clamp_min": -128, "clamp_max": 127}
        cases.append(LayerCase(case.name, tuple(arrays), dict(case.attrs) | zeros))
    assert_layers_exact(cases, TARGET)
