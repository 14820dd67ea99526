"""The plain schedule takes what no rule can: here, layers whose clamp leaves one value."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.layers import LayerCase, assert_layers_exact


@pytest.mark.parametrize("target", ["tinyml -mcpu=host", "tinyml -mcpu=cortex-m4"])
def test_a_clamp_to_one_value_needs_no_sum(target: str) -> None:
    generator = np.random.default_rng(0)
    data = generator.integers(-128, 128, (1, 4, 5, 3)).astype(np.int8)
    weight = generator.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
    channels = [np.zeros(6, np.int32), np.full(6, 2**30, np.int32), np.full(6, -7, np.int32)]
    closed = {"clamp_min": 75, "clamp_max": 75, "strides": (1, 1), "padding": (1, 1, 1, 1)}
    convolution = closed | {"dilation": (1, 1), "input_zero_point": 3, "rounding": "double"}
    cases = [
        LayerCase("conv2d", (data, weight, *channels), convolution),
        LayerCase("max_pool2d", (data,), closed | {"pool": (2, 2)}),
    ]
    assert_layers_exact(cases, target)
