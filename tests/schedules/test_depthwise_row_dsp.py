"""Depthwise convolutions of a few outputs of a row on Cortex-M4: exact for any window, cheap where rows are short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_dsp import TARGET, schedules_of, with_rounding
from tests.schedules.layers_rvv import depthwise
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only
from tvm_tinyml import schedules
from tvm_tinyml.schedules.depthwise_row_dsp import schedule_depthwise_row_dsp

RULE = "dsp depthwise rows"
# Image and kernel, strides.
WINDOWS = [
    ((3, 7, 64), (3, 3), (1, 1)),
    ((5, 9, 8), (3, 3), (2, 2)),
    ((15, 1, 8), (15, 1), (1, 1)),
    ((5, 6, 4), (5, 5), (1, 1)),
    ((7, 7, 8), (7, 7), (1, 1)),
    ((3, 20, 12), (3, 3), (1, 1)),
    ((3, 9, 4), (2, 2), (1, 2)),
    ((7, 3, 16), (6, 3), (1, 1)),
    ((3, 5, 5), (3, 3), (1, 1)),
    ((5, 9, 23), (4, 3), (1, 1)),
]
PADDED = [
    ((3, 5, 64), (1, 1)),
    ((3, 9, 8), (1, 2)),
    ((3, 12, 8), (1, 1)),
    ((3, 10, 4), (1, 2)),
    ((3, 1, 4), (1, 1)),
    ((3, 7, 7), (1, 1)),
    ((3, 3, 6), (1, 1)),
    ((3, 14, 11), (1, 1)),
]


def of_full_rows(case: LayerCase) -> LayerCase:
    """The layer as a call in a region has it: columns are padded, rows are not."""
    _, left, _, right = case.attrs["padding"]
    return replace(case, attrs={**case.attrs, "padding": (0, left, 0, right)})


def layers(generator: np.random.Generator) -> list[LayerCase]:
    cases = [depthwise(generator, *window[:2], strides=window[2], same=False) for window in WINDOWS]
    padded = [depthwise(generator, image, (3, 3), strides=strides, same=True) for image, strides in PADDED]
    return cases + [of_full_rows(case) for case in padded]


def test_every_window_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "depthwise_row_dsp")
    generator = np.random.default_rng(0)
    cases = [with_rounding(case, rounding) for case in layers(generator) for rounding in ("double", "single")]
    assert schedules_of(assert_layers_exact(cases, TARGET)) == [RULE] * len(cases)


def test_others_compute_what_registers_cannot_hold() -> None:
    generator = np.random.default_rng(1)
    cases = [
        depthwise(generator, (3, 9, 8), (3, 9), same=False),
        depthwise(generator, (3, 5, 3), (3, 3), same=False),
        depthwise(generator, (5, 5, 8), (3, 3), same=True),
    ]
    assert RULE not in schedules_of(assert_layers_exact(cases, TARGET))


def test_a_short_row_takes_fewer_instructions_than_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    case = of_full_rows(depthwise(np.random.default_rng(2), (3, 5, 64), (3, 3), same=True))
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    assert module.compiled.model.layers[0].schedule == RULE
    others = tuple(rule for rule in schedules.RULES if rule is not schedule_depthwise_row_dsp)
    monkeypatch.setattr(schedules, "RULES", others)
    _, without = build_layers([case], TARGET).run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= 0.85 * without.layers[0].instructions
