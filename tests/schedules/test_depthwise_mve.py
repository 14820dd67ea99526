"""Depthwise convolutions on Cortex-M55: equal to the dialect on any geometry, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import extreme, random_depthwise, random_rounding, with_rounding
from tests.schedules.layers_rvv import depthwise
from tests.support.layers import LayerCase, assert_layers_exact, build_layers

TARGET = "tinyml -mcpu=cortex-m55"


def tiles(generator: np.random.Generator) -> list[LayerCase]:
    """Every arrangement of windows in vectors, of outputs in groups, and of rows in bands."""
    return [
        depthwise(generator, (25, 5, 16), (3, 3)),
        depthwise(generator, (12, 12, 9), (3, 3), strides=(2, 2)),
        depthwise(generator, (30, 27, 8), (3, 3)),
        depthwise(generator, (9, 100, 3), (3, 3)),
        depthwise(generator, (10, 10, 8), (5, 5)),
        depthwise(generator, (10, 10, 13), (7, 7), strides=(2, 2)),
        depthwise(generator, (8, 20, 8), (3, 12)),
        depthwise(generator, (14, 1, 10), (10, 1), same=False),
        depthwise(generator, (15, 1, 9), (15, 1), same=False),
        depthwise(generator, (3, 3, 24), (3, 3)),
        depthwise(generator, (2, 2, 5), (3, 3)),
        depthwise(generator, (9, 9, 8), (3, 3), dilation=(2, 2)),
        depthwise(generator, (9, 9, 8), (2, 3), dilation=(3, 2), strides=(1, 2)),
        depthwise(generator, (7, 7, 5), (3, 3), multiplier=3),
    ]


@pytest.mark.parametrize("seed", range(2))
def test_random_depthwise_convolutions_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [random_depthwise(generator) for _ in range(20)]
    module = assert_layers_exact(cases, TARGET)
    # Others take over for windows of more than four vectors and where rounding once has no fit.
    assert sum(layer.schedule.startswith("mve") for layer in module.compiled.model.layers) >= 15


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_arrangement_is_exact(compiler: str) -> None:
    module = assert_layers_exact(tiles(np.random.default_rng(5)), f"{TARGET} -compiler={compiler}")
    assert {layer.schedule for layer in module.compiled.model.layers} == {"mve depthwise planes"}


@pytest.mark.parametrize("rounding", ["double", "away"])
def test_every_epilogue_is_exact(rounding: str) -> None:
    generator = np.random.default_rng(6)
    cases = [with_rounding(case, rounding) for case in tiles(generator)]
    for case in cases[::2]:
        case.attrs.update(zero_point=-100, clamp_min=-100, clamp_max=77)  # type: ignore[attr-defined]
    for case in cases[1::2]:
        case.attrs.update(zero_point=5, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    assert_layers_exact(cases, TARGET)


def test_extreme_values_are_exact() -> None:
    generator = np.random.default_rng(7)
    cases = [
        extreme(random_rounding(generator, case), data, weight, shift)
        for case in tiles(generator)[::3]
        for data, weight, shift in ((-128, 127, -2), (-128, -127, -22), (127, 127, -5))
    ]
    assert_layers_exact(cases, TARGET)


@pytest.mark.parametrize(
    ("image", "kernel", "strides", "per_product", "scratch"),
    [
        ((25, 5, 64), (3, 3), (1, 1), 0.52, 1600),
        ((48, 48, 16), (3, 3), (2, 2), 0.70, 2650),
        ((24, 24, 32), (3, 3), (1, 1), 0.50, 2650),
        ((14, 14, 96), (3, 3), (1, 1), 0.51, 2650),
        ((10, 10, 120), (5, 5), (1, 1), 0.40, 2650),
        ((20, 20, 48), (7, 7), (2, 2), 0.44, 2650),
        ((24, 1, 128), (10, 1), (1, 1), 0.60, 400),
        # One row of a few pixels, as streamed plans have it.
        ((1, 14, 64), (1, 5), (1, 1), 1.3, 400),
    ],
)
def test_instructions_and_scratch(
    image: tuple[int, int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    per_product: float,
    scratch: int,
) -> None:
    case = depthwise(np.random.default_rng(0), image, kernel, strides=strides)
    # What most layers have: a ReLU with its zero at the lower end.
    case.attrs.update(zero_point=-128, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    module = build_layers([case], f"{TARGET} -opt=speed")
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= scratch
