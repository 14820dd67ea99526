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


@pytest.mark.parametrize("seed", range(3))
def test_random_convolutions_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = assert_layers_exact([random_convolution(generator) for _ in range(20)], TARGET)
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    # Vectors do not pay for one or two channels on a small image.
    assert sum(schedule.startswith("RVV conv2d") for schedule in schedules) >= 18, schedules


def test_sums_at_the_ends_of_16_bits_are_exact() -> None:
    """All activations -128 and all weights at one end: groups of taps reach the largest sums that may occur."""
    generator = np.random.default_rng(9)
    cases = []
    for weight in (-128, -127, 127, 63, -31):
        case = convolution(generator, (3, 3, 33), 40, (1, 1))
        arrays = list(case.arrays)
        arrays[0], arrays[1] = np.full_like(arrays[0], -128), np.full_like(arrays[1], weight)
        cases.append(LayerCase(case.name, tuple(arrays), case.attrs))
    assert_layers_exact(cases, TARGET)


def test_a_factor_above_one_is_left_to_the_scalar_schedule() -> None:
    case = convolution(np.random.default_rng(1), (3, 3, 8), 8, (1, 1))
    arrays = list(case.arrays)
    arrays[4] = np.ones_like(arrays[4])
    module = build_layers([LayerCase(case.name, tuple(arrays), case.attrs)], TARGET)
    assert "RVV" not in module.compiled.model.layers[0].schedule


@pytest.mark.parametrize(
    ("image", "channels", "kernel", "per_product"),
    [((25, 5, 64), 64, (1, 1), 0.11), ((6, 6, 128), 128, (1, 1), 0.108), ((8, 8, 64), 64, (3, 3), 0.105)],
)
def test_instructions_per_product(
    image: tuple[int, int, int], channels: int, kernel: tuple[int, int], per_product: float
) -> None:
    case = convolution(np.random.default_rng(0), image, channels, kernel)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = report.layers
    assert layer.instructions <= per_product * module.compiled.model.layers[0].macs
