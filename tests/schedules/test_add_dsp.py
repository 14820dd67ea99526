"""Sums on Cortex-M4: equal to the dialect on every pair of operands, by description and micro-kernel, and cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.layers_dsp import TARGET, describe_only
from tests.schedules.test_add_scalar import all_pairs, sum_attributes
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def unclamped(generator: np.random.Generator) -> dict[str, Any]:
    """Attributes of a sum whose outputs are all of int8."""
    return sum_attributes(generator) | {"clamp_min": -128, "clamp_max": 127}


def short(generator: np.random.Generator, name: str, count: int) -> LayerCase:
    """A sum of `count` elements, some of them extreme."""
    operands = generator.choice(np.array([-128, -1, 0, 1, 127], np.int8), (2, count))
    return LayerCase(name, tuple(operands), unclamped(generator), activations=2)


def test_all_pairs_and_all_lengths_are_exact() -> None:
    generator = np.random.default_rng(4)
    cases = [all_pairs(name, unclamped(generator)) for name in ("add", "sub", "add")]
    cases += [short(generator, "add", count) for count in (1, 3, 7, 8, 9, 15, 97)]
    module = assert_layers_exact(cases, TARGET)
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    assert sum(schedule.startswith("dsp") for schedule in schedules) >= 8


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    generator = np.random.default_rng(7)
    assert_layers_exact([all_pairs("add", unclamped(generator)), short(generator, "sub", 9)], TARGET)


def test_an_output_costs_few_instructions() -> None:
    case = short(np.random.default_rng(8), "add", 1024)
    module = build_layers([case], TARGET)
    _, report = module.run(list(case.arrays), profile=True)
    assert module.compiled.model.layers[0].schedule == "dsp add"
    assert report.layers[0].instructions <= 6.2 * 1024
