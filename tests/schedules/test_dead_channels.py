"""Channels without weights: factors of any size there keep no layer from its fast schedule, and no bit changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_rvv import convolution
from tests.support.layers import LayerCase, assert_layers_exact


def with_dead_channels(generator: np.random.Generator, channels: int, dead: list[int]) -> LayerCase:
    """A pointwise layer of which some channels have no weights, constant outputs and odd factors."""
    case = convolution(generator, (5, 7, 16), channels, (1, 1))
    data, weight, bias, multiplier, shift = (array.copy() for array in case.arrays)
    weight[dead] = 0
    bias[dead] = generator.choice([0, 1, -7, 4321], len(dead))
    multiplier[dead] = generator.choice([2**30, 2**31 - 1, 1363673353], len(dead))
    shift[dead] = generator.choice([-31, -27, 0, 3], len(dead))
    return replace(case, arrays=(data, weight, bias, multiplier, shift))


@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m4", "cortex-m55", "rv32imc"])
def test_channels_without_weights_keep_no_layer_from_its_schedule(core: str) -> None:
    generator = np.random.default_rng(7)
    plain = convolution(generator, (5, 7, 16), 16, (1, 1))
    cases = [
        plain,
        with_dead_channels(generator, 16, [0, 5, 15]),
        with_dead_channels(generator, 16, list(range(15))),
        with_dead_channels(generator, 16, list(range(16))),
    ]
    module = assert_layers_exact(cases, f"tinyml -mcpu={core}")
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    assert set(schedules) == {schedules[0]}
    assert schedules[0] not in ("plain", "scalar convolution")
