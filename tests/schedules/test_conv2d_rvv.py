"""RVV convolutions on the emulated core: equal to the dialect on any geometry, and as cheap as they were measured."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET, convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def random_convolution(generator: np.random.Generator) -> LayerCase:
    """Any kernel up to 4x4, stride and dilation up to 3, channel counts that are multiples of nothing."""
    kernel = (int(generator.integers(1, 5)), int(generator.integers(1, 5)))
    if generator.random() < 0.4:
        kernel = (1, 1)
    strides = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    dilation = (
        (1, 1) if generator.random() < 0.6 else (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    )
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    height, width = (extent + int(generator.integers(0, 6)) for extent in least)
    depth, channels = int(generator.choice([1, 2, 3, 7, 17, 40, 70])), int(generator.integers(1, 150))
    return convolution(
        generator,
        (height, width, depth),
        channels,
        kernel,
        strides=strides,
        dilation=dilation,
        same=bool(generator.random() < 0.6),
        lowest_weight=-128 if generator.random() < 0.2 else -127,
    )


@pytest.mark.parametrize("seed", range(2))
def test_random_convolutions_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = assert_layers_exact([random_convolution(generator) for _ in range(20)], TARGET)
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    # Vectors do not pay for one or two channels on a small image.
    assert sum(schedule.startswith("RVV conv2d") for schedule in schedules) >= 18, schedules


def test_a_factor_above_one_is_left_to_the_scalar_schedule() -> None:
    case = convolution(np.random.default_rng(1), (3, 3, 8), 8, (1, 1))
    arrays = list(case.arrays)
    arrays[4] = np.ones_like(arrays[4])
    module = build_layers([LayerCase(case.name, tuple(arrays), case.attrs)], TARGET)
    assert "RVV" not in module.compiled.model.layers[0].schedule


def test_instructions_per_product() -> None:
    layers = [
        ((25, 5, 64), 64, (1, 1), 0.107),
        ((6, 6, 128), 128, (1, 1), 0.104),
        ((8, 8, 64), 64, (3, 3), 0.105),
    ]
    cases = [convolution(np.random.default_rng(0), *layer[:3]) for layer in layers]
    module = build_layers(cases, TARGET)
    _, report = module.run([case.arrays[0] for case in cases], profile=True)
    for counted, compiled, layer in zip(report.layers, module.compiled.model.layers, layers, strict=True):
        assert counted.instructions <= layer[3] * compiled.macs, layer
