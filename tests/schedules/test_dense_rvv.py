"""RVV dense layers on the emulated core: every rounding, ties and extreme accumulators included."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET, int8_values, requantization
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def dense(
    generator: np.random.Generator, rows: int, depth: int, channels: int, rounding: str, *, ties: bool = False
) -> LayerCase:
    """A dense layer; with `ties`, powers of two as factors make every second product fall on one."""
    data = int8_values(generator, (rows, depth))
    weight = int8_values(generator, (channels, depth), -127)
    (bias, multiplier, shift), attrs = requantization(generator, channels, depth, rounding)
    if ties:
        multiplier = np.full_like(multiplier, 2**30)
        shift = -generator.integers(2, 12, channels).astype(np.int32)
    attrs |= {"input_zero_point": 0, "shape": (rows, channels)}
    return LayerCase("dense", (data, weight, bias, multiplier, shift), attrs)


@pytest.mark.parametrize("rounding", ["away", "single", "double"])
def test_random_dense_layers_are_exact(rounding: str) -> None:
    generator = np.random.default_rng(1)
    cases = [
        dense(
            generator,
            int(generator.integers(1, 4)),
            int(generator.integers(1, 300)),
            int(generator.integers(1, 150)),
            rounding,
            ties=index % 2 == 0,
        )
        for index in range(24)
    ]
    module = assert_layers_exact(cases, TARGET)
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    assert schedules.count("RVV dense") >= 20, schedules


def test_extreme_accumulators_and_shifts_are_exact() -> None:
    """Biases of up to 2**30 and more with every shift that leaves something of them, and factors of zero."""
    generator = np.random.default_rng(2)
    cases = []
    for rounding in ("away", "single", "double"):
        case = dense(generator, 2, 64, 80, rounding)
        data, weight, bias, multiplier, shift = case.arrays
        bias = generator.choice(
            np.array([-(2**30) - 99, 2**30, 2**31 - 2**22, -(2**31) + 2**22, -5], np.int32), 80
        )
        multiplier = np.where(np.arange(80) % 7 == 0, 0, multiplier).astype(np.int32)
        shift = -(2 + np.arange(80, dtype=np.int32) % 29)
        cases.append(LayerCase("dense", (data, weight, bias, multiplier, shift), case.attrs))
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"RVV dense"}


def test_instructions_per_product() -> None:
    case = dense(np.random.default_rng(0), 1, 640, 128, "away")
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= 0.1 * module.compiled.model.layers[0].macs
