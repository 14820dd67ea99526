"""RVV convolutions of few channels, over vectors of pixels: equal to the dialect on any geometry, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET, convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers

RULE = "RVV conv2d, vectors of pixels"


def random_convolution(generator: np.random.Generator) -> LayerCase:
    """Few channels, many pixels; any kernel up to 5x5, stride and dilation up to 3."""
    kernel = (int(generator.integers(1, 6)), int(generator.integers(1, 6)))
    strides, dilation = (1, 1), (1, 1)
    if generator.random() < 0.4:
        strides = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    if generator.random() < 0.3:
        dilation = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    if generator.random() < 0.3:
        kernel = (1, 1)
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    height, width = least[0] + int(generator.integers(0, 20)), least[1] + int(generator.integers(4, 90))
    return convolution(
        generator,
        (height, width, int(generator.choice([1, 2, 3, 5, 16]))),
        int(generator.integers(1, 20)),
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
    assert schedules.count(RULE) >= 10, schedules


@pytest.mark.parametrize(
    ("image", "channels", "kernel", "strides", "per_product"),
    [
        ((48, 48, 8), 16, (1, 1), (1, 1), 0.19),
        ((32, 32, 16), 16, (3, 3), (1, 1), 0.15),
        ((48, 48, 3), 8, (3, 3), (2, 2), 0.25),
    ],
)
def test_instructions_per_product(
    image: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    per_product: float,
) -> None:
    case = convolution(np.random.default_rng(0), image, channels, kernel, strides=strides)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert layer.schedule == RULE
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= 5 * 1024
