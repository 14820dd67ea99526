"""Linear add and sub: equal to the dialect on every pair of operands that a layer meets, and cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.schedules.add import fit_sum

LEFT_SHIFT = 20


def sum_attributes(generator: np.random.Generator) -> dict[str, Any]:
    """Attributes as the importer makes them from scales and zero points."""
    scales = generator.uniform(0.01, 0.1, 2)
    output = float(generator.uniform(0.5, 1.5) * scales.sum())
    attrs: dict[str, Any] = {"left_shift": LEFT_SHIFT}
    widest = 2.0 * float(scales.max())
    for operand, scale in zip("ab", scales, strict=True):
        multiplier, shift = quantize_multiplier(float(scale) / widest)
        zero_point = int(generator.integers(-128, 128))
        attrs |= {f"{operand}_multiplier": multiplier, f"{operand}_shift": shift}
        attrs[f"{operand}_zero_point"] = zero_point
    attrs["multiplier"], attrs["shift"] = quantize_multiplier(widest / (2**LEFT_SHIFT * output))
    attrs["zero_point"] = int(generator.integers(-128, 128))
    low, high = [(-128, 127), (attrs["zero_point"], 127), (-100, 90)][int(generator.integers(3))]
    return attrs | {"clamp_min": low, "clamp_max": max(high, low + 1)}


def all_pairs(name: str, attrs: dict[str, Any]) -> LayerCase:
    values = np.arange(-128, 128, dtype=np.int8)
    return LayerCase(name, (np.repeat(values, 256), np.tile(values, 256)), attrs, activations=2)


def test_most_random_sums_have_a_line() -> None:
    generator = np.random.default_rng(2)
    fits = [fit_sum(name, sum_attributes(generator)) for _ in range(30) for name in ("add", "sub")]
    assert sum(fit is not None for fit in fits) >= 50


@pytest.mark.parametrize("name", ["add", "sub"])
def test_all_pairs_are_exact(name: str) -> None:
    generator = np.random.default_rng(4)
    cases = [all_pairs(name, sum_attributes(generator)) for _ in range(4)]
    module = assert_layers_exact(cases, "tinyml -mcpu=host")
    assert f"linear {name}" in {layer.schedule for layer in module.compiled.model.layers}


@pytest.mark.parametrize("core", ["rv32imc", "cortex-m3", "cortex-m0"])
def test_sums_are_exact_on_the_core(core: str) -> None:
    generator = np.random.default_rng(6)
    cases = []
    for name in ("add", "sub"):
        for count in (1, 3, 97, 256):
            operands = generator.integers(-128, 128, (2, count), dtype=np.int8)
            cases.append(LayerCase(name, tuple(operands), sum_attributes(generator), activations=2))
    assert_layers_exact(cases, f"tinyml -mcpu={core}")


@pytest.mark.parametrize(
    ("core", "schedule", "bound"),
    [
        ("rv32imc", "linear add", 13.0),
        ("cortex-m3", "linear add", 16.0),
        ("cortex-m0", "linear add in assembly", 22.0),
    ],
)
def test_an_output_costs_few_instructions(core: str, schedule: str, bound: float) -> None:
    generator = np.random.default_rng(8)
    case = LayerCase(
        "add",
        tuple(generator.integers(-128, 128, (2, 1024), dtype=np.int8)),
        sum_attributes(generator),
        activations=2,
    )
    module = build_layers([case], f"tinyml -mcpu={core}")
    _, report = module.run(list(case.arrays), profile=True)
    assert module.compiled.model.layers[0].schedule == schedule
    assert report.layers[0].instructions <= bound * 1024
