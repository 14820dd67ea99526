"""RVV layers without weights on the emulated core: equal to the dialect, and cheap."""

from __future__ import annotations

import numpy as np

from tests.schedules.layers_rvv import TARGET, int8_values
from tests.schedules.weightless_rvv import product, softmaxes, weightless
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def test_layers_without_weights_are_exact() -> None:
    module = assert_layers_exact(weightless(np.random.default_rng(3)), TARGET)
    schedules = {layer.schedule for layer in module.compiled.model.layers}
    assert all(schedule.startswith("RVV") for schedule in schedules), schedules
    assert schedules >= {
        "RVV avg_pool2d",
        "RVV max_pool2d",
        "RVV mean",
        "RVV softmax",
        "RVV requantize by table",
        "RVV lookup by table",
        "RVV minimum",
        "RVV maximum",
        "RVV mul",
        "RVV linear sub",
    }


def test_instructions_per_element() -> None:
    """A little more than was measured; every layer also has a call and what is done once."""
    generator = np.random.default_rng(4)
    image = int8_values(generator, (1, 25, 5, 64))
    window = {
        "pool": (25, 5),
        "strides": (25, 5),
        "padding": (0, 0, 0, 0),
        "clamp_min": -128,
        "clamp_max": 127,
    }
    scaled = {
        "input_zero_point": 3,
        "multiplier": 1500000000,
        "shift": 0,
        "rounding": "double",
        "dtype": "int8",
    }
    bounds = [
        (LayerCase("avg_pool2d", (image,), window), 0.25),
        (LayerCase("max_pool2d", (image,), window), 0.15),
        (LayerCase("requantize", (image,), scaled | {"clamp_min": -128, "clamp_max": 127}), 0.08),
        (LayerCase("mul", (image, image), product(generator, "double", (1, 2, 3), 9), 2), 0.9),
        (LayerCase("maximum", (image, image[:, ::-1].copy()), {}, 2), 0.12),
        (softmaxes(generator, 1000)[3], 12.0),
    ]
    cases = [case for case, _ in bounds]
    arrays = [array for case in cases for array in case.arrays[: case.activations]]
    _, report = build_layers(cases, TARGET).run(arrays, profile=True)
    for layer, (case, bound) in zip(report.layers, bounds, strict=True):
        assert layer.instructions <= bound * case.arrays[0].size + 60, layer
