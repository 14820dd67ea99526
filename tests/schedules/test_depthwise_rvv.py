"""RVV depthwise layers on the emulated core: equal to the dialect on any geometry, as cheap as once measured."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET, depthwise
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def random_depthwise(generator: np.random.Generator) -> LayerCase:
    """Any kernel up to 7x7, stride and dilation up to 3, multiplier up to 4, any number of channels."""
    kernel = (int(generator.integers(1, 8)), int(generator.integers(1, 8)))
    if generator.random() < 0.5:
        kernel = (3, 3)
    strides = (int(generator.integers(1, 3)), int(generator.integers(1, 4)))
    if generator.random() < 0.5:
        strides = (1, 1)
    dilation = (
        (1, 1) if generator.random() < 0.6 else (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    )
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    height, width = (extent + int(generator.integers(0, 9)) for extent in least)
    multiplier = int(generator.choice([1, 1, 1, 2, 3, 4]))
    return depthwise(
        generator,
        (height, width, int(generator.choice([1, 2, 3, 8, 16, 21, 64, 75]))),
        kernel,
        multiplier=multiplier,
        strides=strides,
        dilation=dilation,
        same=bool(generator.random() < 0.7),
        lowest_weight=-128 if generator.random() < 0.2 else -127,
    )


@pytest.mark.parametrize("seed", range(3))
def test_random_depthwise_layers_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [random_depthwise(generator) for _ in range(20)]
    module = assert_layers_exact(cases, TARGET)
    # Vectors do not pay for few channels on a small image.
    assert sum(layer.schedule.startswith("RVV") for layer in module.compiled.model.layers) >= 14


def test_every_way_to_the_border_is_taken() -> None:
    generator = np.random.default_rng(3)
    cases = [
        depthwise(generator, (25, 5, 64), (3, 3)),
        depthwise(generator, (30, 90, 32), (3, 3), strides=(2, 2)),
        depthwise(generator, (24, 24, 8), (3, 3)),
        depthwise(generator, (30, 1, 40), (3, 1), same=False),
    ]
    module = assert_layers_exact(cases, TARGET)
    schedules = {layer.schedule for layer in module.compiled.model.layers}
    assert {"RVV depthwise", "RVV depthwise in strips, 8 pixels"} <= schedules
    assert all(schedule.startswith("RVV depthwise") for schedule in schedules)


@pytest.mark.parametrize(
    ("image", "kernel", "strides", "per_product"),
    [
        ((25, 5, 64), (3, 3), (1, 1), 0.25),
        ((48, 48, 8), (3, 3), (1, 1), 0.28),
        ((6, 6, 128), (3, 3), (1, 1), 0.28),
        ((28, 28, 64), (5, 5), (2, 2), 0.25),
    ],
)
def test_instructions_per_product(
    image: tuple[int, int, int], kernel: tuple[int, int], strides: tuple[int, int], per_product: float
) -> None:
    case = depthwise(np.random.default_rng(0), image, kernel, strides=strides)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= per_product * module.compiled.model.layers[0].macs
