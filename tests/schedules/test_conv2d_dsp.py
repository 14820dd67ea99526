"""Convolutions on Cortex-M4: equal to the dialect on any geometry, by descriptions and by micro-kernels, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import (
    ROUNDINGS,
    TARGET,
    describe_only,
    extreme,
    random_convolution,
    random_rounding,
    schedules_of,
    with_rounding,
)
from tests.schedules.layers_rvv import convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def products(generator: np.random.Generator) -> list[LayerCase]:
    """One layer for each product: weights in scratch, or in flash, scaled and plain; even and odd numbers of pixels."""
    cases = [
        convolution(generator, (5, 5, 24), 8, (1, 1)),
        convolution(generator, (4, 5, 24), 7, (1, 1)),
        convolution(generator, (3, 4, 956), 6, (1, 1)),
        convolution(generator, (1, 2, 400), 6, (1, 1), lowest_weight=-128),
        *(convolution(generator, (1, width, 64), 33, (1, 1)) for width in (3, 4, 5, 7, 9)),
        convolution(generator, (1, 5, 400), 6, (1, 1), lowest_weight=-128),
    ]
    cases[2].arrays[1][...] //= 4
    for case in (cases[3], cases[-1]):
        case.arrays[1][0, 0, 0, 0] = -128
    return cases


PRODUCTS = ["dsp strips", "dsp strips", "dsp scaled strips", "dsp plain strips"]
PRODUCTS += [*["dsp scaled panel"] * 4, "dsp scaled panels", "dsp plain panel"]


@pytest.mark.parametrize("seed", range(2))
def test_random_convolutions_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [random_convolution(generator) for _ in range(20)]
    module = assert_layers_exact(cases, TARGET)
    # Others take over where windows are wide and tall with holes, factors are 1/2 and more, or hardly a layer is left.
    assert sum(layer.schedule.startswith("dsp") for layer in module.compiled.model.layers) >= 15


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_product_and_rounding_is_exact(compiler: str) -> None:
    generator = np.random.default_rng(5)
    cases = [with_rounding(case, rounding) for rounding in ROUNDINGS for case in products(generator)]
    # Otherwise layers would be given up functions of their own for others' that are nearly as fast.
    module = assert_layers_exact(cases, f"{TARGET} -opt=speed -compiler={compiler}")
    assert schedules_of(module) == PRODUCTS * len(ROUNDINGS)


def test_little_code_is_exact_and_smaller() -> None:
    generator = np.random.default_rng(12)
    cases = [random_rounding(generator, case) for case in products(generator)]
    cases += [convolution(generator, (9, 9, depth), 5, (3, 3), strides=(2, 1)) for depth in (3, 5, 20)]
    inputs = [case.arrays[0] for case in cases]
    _, small = assert_layers_exact(cases, f"{TARGET} -opt=size").run(inputs, profile=False)
    _, balanced = build_layers(cases, TARGET).run(inputs, profile=False)
    assert small.flash is not None
    assert balanced.flash is not None
    assert small.flash.text < 0.8 * balanced.flash.text


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    generator = np.random.default_rng(7)
    cases = products(generator)
    cases += [extreme(case, -128, -127, -3) for case in products(generator)]
    cases += [convolution(generator, (7, 6, depth), 3, (3, 2), strides=(2, 1)) for depth in (3, 5, 8)]
    assert_layers_exact(cases, TARGET)


def test_channels_without_weights_may_have_any_factor() -> None:
    case = convolution(np.random.default_rng(9), (6, 6, 16), 9, (1, 1))
    weight, bias, multiplier, shift = case.arrays[1:]
    weight[2:6] = 0
    bias[2:6], multiplier[2:6], shift[2:6] = (
        (5, 2**30 - 1, -(2**30), 77),
        (2**30, 2**31 - 1, 2**30, 0),
        (0, -31, -30, 0),
    )
    module = assert_layers_exact([case], TARGET)
    assert module.compiled.model.layers[0].schedule.startswith("dsp")


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m33"])
def test_other_cores_with_the_extension_run_the_same_code(core: str) -> None:
    generator = np.random.default_rng(8)
    assert_layers_exact(products(generator), f"tinyml -mcpu={core}")


@pytest.mark.parametrize(
    ("image", "channels", "kernel", "strides", "per_product", "scratch"),
    [
        ((25, 5, 64), 64, (1, 1), (1, 1), 0.88, 4700),
        ((48, 48, 8), 16, (1, 1), (1, 1), 1.8, 4700),
        ((6, 6, 128), 128, (1, 1), (1, 1), 0.86, 4700),
        ((32, 32, 16), 16, (3, 3), (1, 1), 0.92, 4900),
        ((96, 96, 3), 8, (3, 3), (2, 2), 1.3, 4900),
        ((49, 10, 1), 64, (10, 4), (2, 2), 1.02, 4900),
    ],
)
def test_instructions_and_scratch(
    image: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    per_product: float,
    scratch: int,
) -> None:
    case = convolution(np.random.default_rng(0), image, channels, kernel, strides=strides)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= scratch
