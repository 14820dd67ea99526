"""Two operands: lines of products on all pairs, every kind of broadcast on every core, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.layers_rvv import int8_values
from tests.schedules.test_add_scalar import all_pairs, sum_attributes
from tests.support.candidates import assert_every_candidate_exact
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.schedules.multiply import FACTORS, fit_product

MAP = (1, 3, 5, 8)
# Shapes of both operands: equal, rows, planes, single elements, both repeating, lower ranks.
BROADCASTS = [
    (MAP, MAP),
    (MAP, (8,)),
    ((1, 1, 1, 8), MAP),
    (MAP, (1, 3, 5, 1)),
    (MAP, ()),
    ((1,), (3, 7)),
    ((1, 4, 1, 8), (1, 1, 5, 1)),
    ((2, 1, 3, 4), (5, 1, 4)),
    ((1, 1), (1,)),
]
OPERATORS = ("add", "mul", "maximum", "sub", "minimum")


def product_attributes(generator: np.random.Generator, rounding: str) -> dict[str, Any]:
    """Attributes of a product whose factor lies anywhere between saturation and almost nothing."""
    zero_points = [int(value) for value in generator.integers(-128, 128, 3)]
    attrs: dict[str, Any] = dict(
        zip(("a_zero_point", "b_zero_point", "zero_point"), zero_points, strict=True)
    )
    attrs |= {"multiplier": int(generator.integers(2**30, 2**31)), "shift": int(generator.integers(-12, 2))}
    low, high = [(-128, 127), (zero_points[2], 127), (-100, 90)][int(generator.integers(3))]
    return attrs | {"rounding": rounding, "clamp_min": low, "clamp_max": max(high, low + 1)}


def attributes(generator: np.random.Generator, name: str) -> dict[str, Any]:
    if name == "mul":
        return product_attributes(generator, "double")
    return sum_attributes(generator) if name in ("add", "sub") else {}


def test_most_random_products_have_a_line() -> None:
    generator = np.random.default_rng(1)
    for rounding in ("double", "single", "away"):
        drawn = [product_attributes(generator, rounding) for _ in range(10)]
        fits = [fit_product(*(attrs[name] for name in FACTORS)) for attrs in drawn]
        assert sum(fit is not None for fit in fits) >= 8


def test_products_of_all_pairs_are_exact() -> None:
    generator = np.random.default_rng(2)
    cases = [
        all_pairs("mul", product_attributes(generator, rounding) | {"shift": shift})
        for rounding in ("double", "single", "away")
        for shift in (-7, -5, 0)
    ]
    module = assert_layers_exact(cases, "tinyml -mcpu=host")
    assert [layer.schedule for layer in module.compiled.model.layers].count("scalar mul") >= 6


# `constant`: of every third case, the second operand.
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m3", "rv32imc", "cortex-m4", "rv32imcv"])
def test_every_broadcast_is_exact(core: str) -> None:
    generator = np.random.default_rng(3)
    cases = []
    for number, (left, right) in enumerate(BROADCASTS):
        for name in np.roll(OPERATORS, number)[:2]:
            operands = int8_values(generator, left), int8_values(generator, right)
            cases.append(
                LayerCase(str(name), operands, attributes(generator, str(name)), 1 if number % 3 == 1 else 2)
            )
    assert_every_candidate_exact(cases, f"tinyml -mcpu={core}")


@pytest.mark.parametrize(
    ("core", "bounds"),
    [
        ("cortex-m0", {"add": 16.0, "mul": 33.0, "maximum": 13.0}),
        ("cortex-m3", {"add": 11.0, "mul": 18.0, "maximum": 8.5}),
        ("rv32imc", {"add": 12.5, "mul": 20.0, "maximum": 11.0}),
        ("cortex-m4", {"add": 7.5, "mul": 10.5, "maximum": 2.8}),
        ("rv32imcv", {"add": 2.7, "mul": 2.8, "maximum": 1.4}),
    ],
)
def test_an_element_with_a_channel_costs_few_instructions(core: str, bounds: dict[str, float]) -> None:
    generator = np.random.default_rng(4)
    operands = int8_values(generator, (1, 8, 8, 16)), int8_values(generator, (16,))
    product = product_attributes(generator, "double") | {"shift": -6, "clamp_min": -128, "clamp_max": 127}
    limits = {"clamp_min": -128, "clamp_max": 127}
    attrs = {"add": sum_attributes(generator) | limits, "mul": product, "maximum": {}}
    cases = [LayerCase(name, operands, attrs[name], 2) for name in bounds]
    module = build_layers(cases, f"tinyml -mcpu={core}")
    _, report = module.run([array for case in cases for array in case.arrays], profile=True)
    counts = {layer.name.rsplit("_", 1)[0]: layer.instructions / 1024 for layer in report.layers}
    assert {name: count for name, count in counts.items() if count > bounds[name]} == {}
