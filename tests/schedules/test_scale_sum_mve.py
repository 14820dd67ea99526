"""Sums under the quantisation of their mean on Arm MVE: exact for ties, limits and any number of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.layers import LayerCase, assert_layers_exact
from tvm_tinyml.dialect.reduce import mean_scaling

TARGET = "tinyml/cortex-m55"
COMMON = {"output_offset": -7, "rounding": "double", "clamp_min": -128, "clamp_max": 127}


def case(channels: int, pixels: int, multiplier: int, shift: int, **attrs: Any) -> LayerCase:
    """Sums of so many pixels, the extremes among them."""
    sums = np.random.default_rng(channels).integers(-128 * pixels, 127 * pixels + 1, (1, channels))
    sums[0, :2] = -128 * pixels, 127 * pixels
    scaling = {"input_offset": 3 * pixels, "multiplier": multiplier, "shift": shift}
    return LayerCase("scale_sum", (sums.astype("int32"),), COMMON | scaling | attrs)


def schedules_of(cases: list[LayerCase]) -> list[str]:
    """What the layers are computed by; all of them are exact."""
    return [layer.schedule for layer in assert_layers_exact(cases, TARGET).compiled.model.layers]


def test_means_of_any_number_of_channels() -> None:
    cases = [case(channels, 25, *mean_scaling(0.25, 0.2, 25)) for channels in (2, 3, 16, 33, 80)]
    assert set(schedules_of(cases)) == {"mve scaled sums"}


def test_ties_of_both_signs_go_away_from_zero() -> None:
    sums = np.arange(-40, 41, dtype="int32")[None]
    attrs = COMMON | {"input_offset": 0, "multiplier": 2**30}
    cases = [LayerCase("scale_sum", (sums,), attrs | {"shift": shift}) for shift in (0, -1, -2, -3)]
    assert set(schedules_of(cases)) == {"mve scaled sums"}


def test_shifts_to_the_left_other_roundings_and_limits_are_computed_otherwise() -> None:
    cases = [
        case(16, 4, 2**30, 2),
        case(16, 4, 2**30, -1, rounding="away"),
        case(16, 4, 2**30, -1, clamp_min=-50),
    ]
    assert "mve scaled sums" not in schedules_of(cases)
