"""Tables and products on Cortex-M4: equal to the dialect, by description and by micro-kernel, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import TARGET, describe_only
from tests.schedules.layers_rvv import int8_values
from tests.schedules.test_add_rvv import all_pairs
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only

RULES = {"dsp lookup by table", "dsp requantize by table", "dsp mul"}
SCALING = {"input_zero_point": 3, "multiplier": 1500000000, "shift": 0, "rounding": "double"}
SIGNED = SCALING | {"zero_point": 5, "clamp_min": -100, "clamp_max": 100, "dtype": "int8"}
UNSIGNED = SCALING | {"zero_point": 5, "clamp_min": 0, "clamp_max": 255, "dtype": "uint8"}


def factors(
    shift: int, rounding: str = "double", zero_points: tuple[int, int, int] = (3, -5, 4)
) -> dict[str, object]:
    """Attributes of a product; zero points of both operands and of the result."""
    names = ("a_zero_point", "b_zero_point", "zero_point")
    attrs = {
        "multiplier": 1300000000,
        "shift": shift,
        "rounding": rounding,
        "clamp_min": -128,
        "clamp_max": 127,
    }
    return attrs | dict(zip(names, zero_points, strict=True))


def elementwise(generator: np.random.Generator, length: int) -> list[LayerCase]:
    """Tables of all types of a byte, and products."""
    everything = np.resize(np.arange(-128, 128, dtype=np.int8), length)
    other = int8_values(generator, (length,))
    return [
        LayerCase("requantize", (everything,), SIGNED),
        LayerCase("requantize", (everything,), UNSIGNED),
        LayerCase("requantize", (everything.view(np.uint8),), SIGNED),
        LayerCase("lookup", (everything, int8_values(generator, (256,))), {"function": "any"}),
        LayerCase("mul", (everything, other), factors(-7), 2),
        LayerCase("mul", (everything, other), factors(-7, "single") | {"clamp_max": 20}, 2),
        LayerCase("mul", (everything, other), factors(-6), 1),
    ]


def test_bytes_and_pairs_of_bytes_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "dsp")
    generator = np.random.default_rng(1)
    cases = [case for length in (256, 299, 129) for case in elementwise(generator, length)]
    ends = [(-128, -128, -128), (127, 127, 127), (-128, 127, 0)]
    pairs = all_pairs()
    cases += [
        LayerCase("mul", pairs, factors(shift, zero_points=ends[shift % 3]), 2)
        for shift in (-1, -2, -11, -20)
    ]
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == RULES


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    assert_layers_exact(elementwise(np.random.default_rng(2), 130), TARGET)


def test_an_element_costs_few_instructions() -> None:
    generator = np.random.default_rng(3)
    bounds = {"requantize": 3.5, "lookup": 3.5, "mul": 9.0}
    cases = [case for case in elementwise(generator, 2048) if case.name in bounds][2:5]
    module = build_layers(cases, TARGET)
    _, report = module.run(
        [array for case in cases for array in case.arrays[: case.activations]], profile=True
    )
    for layer in report.layers:
        assert layer.instructions <= bounds[layer.name.rsplit("_", 1)[0]] * 2048, layer.name
