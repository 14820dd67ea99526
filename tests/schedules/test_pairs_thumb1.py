"""Pixel pairs on Cortex-M0: equal to the dialect on any geometry, by descriptions and by micro-kernels, and cheap.

A multiplication makes two products of sixteen bits, so weights at the ends of their range and sums that nearly overflow
are what could go wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from tvm.s_tir import Schedule

from tests.schedules.layers_dsp import extreme, random_rounding
from tests.schedules.layers_rvv import convolution, depthwise
from tests.schedules.test_add_rvv import attributes
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.dialect.fixed_point import requantize
from tvm_tinyml.schedules.requantize_split import choose_split, reachable

# Balanced choices leave small layers to smaller code.
TARGET = "tinyml -mcpu=cortex-m0 -opt=speed"
PAIRS = ("pixel pairs", "depthwise pixel pairs", "linear add in assembly")


def gentle(case: LayerCase) -> LayerCase:
    """The case with weights of which two never sum to more than sixteen bits hold."""
    weight = np.clip(case.arrays[1], -127, 127)
    return replace(case, arrays=(case.arrays[0], weight, *case.arrays[2:]))


def random_convolution(generator: np.random.Generator) -> LayerCase:
    """Any kernel up to 3x3, depths and channels that are multiples of nothing, single pixels among the images."""
    kernel = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    height, width = (size + int(generator.integers(0, 5)) for size in kernel)
    case = convolution(
        generator,
        (height, width, int(generator.choice([1, 2, 3, 4, 7, 8, 12]))),
        int(generator.integers(1, 10)),
        kernel,
        strides=(int(generator.integers(1, 3)), int(generator.integers(1, 3))),
        same=bool(generator.random() < 0.6),
    )
    return random_rounding(generator, gentle(case))


def random_depthwise(generator: np.random.Generator) -> LayerCase:
    """Windows up to 5x5 on images from their own size on, odd numbers of rows among them."""
    kernel = (int(generator.integers(1, 6)), int(generator.integers(1, 6)))
    stride = int(generator.integers(1, 4))
    height, width = (size + int(generator.integers(0, 8)) for size in kernel)
    case = depthwise(
        generator,
        (height, width, int(generator.choice([1, 2, 3, 5]))),
        kernel,
        multiplier=int(generator.choice([1, 1, 2])),
        strides=(stride, stride),
        same=bool(generator.random() < 0.6),
    )
    return random_rounding(generator, gentle(case))


def sum_of_tensors(generator: np.random.Generator) -> LayerCase:
    """An add of any length."""
    a, b = (generator.integers(-128, 128, int(generator.integers(1, 90)), dtype=np.int8) for _ in range(2))
    a, b = a[: min(len(a), len(b))], b[: min(len(a), len(b))]
    return LayerCase("add", (a, b), attributes(generator), 2)


def random_cases(generator: np.random.Generator, count: int) -> list[LayerCase]:
    kinds = (random_convolution, random_depthwise, sum_of_tensors)
    return [kinds[index % 3](generator) for index in range(count)]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_random_layers_are_exact(compiler: str) -> None:
    generator = np.random.default_rng(len(compiler))
    module = assert_layers_exact(random_cases(generator, 30), f"{TARGET} -compiler={compiler}")
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    assert set(PAIRS) <= set(schedules)
    # Single pixels, low images and factors without a fit are left to the schedules that always apply.
    assert sum(schedule in PAIRS for schedule in schedules) >= 20, schedules


def test_extreme_sums_are_exact() -> None:
    generator = np.random.default_rng(5)
    layers = [
        convolution(generator, (3, 5, 64), 5, (1, 1)),
        convolution(generator, (4, 4, 9), 3, (3, 3)),
        depthwise(generator, (6, 9, 3), (3, 3)),
        depthwise(generator, (5, 5, 2), (5, 5), strides=(2, 2)),
    ]
    cases = [
        extreme(random_rounding(generator, case), data, weight, shift)
        for case in layers
        for data, weight, shift in ((-128, 127, -2), (-128, -127, -9), (127, 127, -5))
    ]
    module = assert_layers_exact(cases, TARGET)
    assert sum(layer.schedule in PAIRS for layer in module.compiled.model.layers) >= 6


@pytest.mark.parametrize(("zero_point", "input_zero_point"), [(-128, 127), (127, -128)])
def test_zero_points_at_both_ends_are_exact(zero_point: int, input_zero_point: int) -> None:
    generator = np.random.default_rng(zero_point + 128)
    points = {"zero_point": zero_point, "input_zero_point": input_zero_point}
    cases = [
        replace(case, attrs={**case.attrs, **points})
        for case in (
            convolution(generator, (3, 5, 8), 3, (1, 1)),
            convolution(generator, (4, 4, 3), 2, (3, 3)),
            depthwise(generator, (5, 6, 3), (3, 3)),
        )
    ]
    assert_layers_exact([gentle(case) for case in cases], TARGET)


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule, "tensorize", lambda *_arguments, **_options: None)
    cases = random_cases(np.random.default_rng(3), 12)
    module = assert_layers_exact(cases, TARGET)
    assert set(PAIRS) <= {layer.schedule for layer in module.compiled.model.layers}


@pytest.mark.parametrize(
    ("case", "per_product"),
    [
        (lambda generator: convolution(generator, (8, 8, 32), 32, (1, 1)), 3.0),
        (lambda generator: depthwise(generator, (8, 8, 32), (3, 3)), 6.3),
    ],
    ids=["pointwise", "depthwise"],
)
def test_instructions(case: Any, per_product: float) -> None:
    layer_case = gentle(case(np.random.default_rng(0)))
    module = build_layers([layer_case], TARGET)
    _, report = module.run([layer_case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= 4700


def test_functions_are_shared_by_layers_of_all_sizes() -> None:
    generator = np.random.default_rng(1)
    cases = [
        gentle(convolution(generator, (side, side, depth), 6, (1, 1)))
        for side, depth in ((3, 8), (5, 12), (4, 20))
    ]
    cases += [gentle(depthwise(generator, (side, 6, 3), (3, 3))) for side in (4, 7, 9)]
    limits = {"clamp_min": -128, "clamp_max": 127}
    cases = [replace(case, attrs={**case.attrs, **limits}) for case in cases]
    model = build_layers(cases, TARGET).compiled.model
    assert sum("pair_windows" in name for name in model.micro_kernels) <= 2
    assert sum("tinyml_pairs" in name for name in model.micro_kernels) <= 2


@pytest.mark.parametrize("rounding", ["double", "single", "away"])
def test_split_requantization_is_the_dialects_on_all_sums(
    rounding: Literal["double", "single", "away"],
) -> None:
    """Every accumulator that a layer can reach, not only those beside the steps at which the fit was proven."""
    generator = np.random.default_rng(len(rounding))
    case = convolution(generator, (1, 1, 4), 3, (1, 1))
    weight, bias, multiplier, shift = case.arrays[1:]
    attrs = {**case.attrs, "rounding": rounding}
    limits = reachable(weight, bias, attrs["input_zero_point"], channel_axis=0)
    fitted = choose_split({"bias": bias, "multiplier": multiplier, "shift": shift}, attrs, limits)
    assert fitted is not None
    word = fitted.factors[:, 1].astype(np.int64) & 0xFFFFFFFF
    right = word & 31
    addend = ((fitted.point << right) >> 1) + fitted.rounding + fitted.fine
    for channel, limit in enumerate(limits):
        x = np.arange(-limit, limit + 1)
        scaled = fitted.form.scaled(x[None], word[channel : channel + 1] >> 5)[0]
        got = np.clip((scaled + addend[channel]) >> right[channel], attrs["clamp_min"], attrs["clamp_max"])
        exact = requantize(x, multiplier[channel], shift[channel], rounding) + attrs["zero_point"]
        np.testing.assert_array_equal(got, np.clip(exact, attrs["clamp_min"], attrs["clamp_max"]))
