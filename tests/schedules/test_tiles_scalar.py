"""Scalar register tiles on emulated cores and the host: equal to the dialect on any geometry, with both compilers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from tvm.s_tir import Schedule

from tests.schedules.layers_dsp import extreme
from tests.schedules.layers_rvv import convolution, depthwise, int8_values, requantization
from tests.support.candidates import assert_every_candidate_exact
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.dialect.fixed_point import requantize
from tvm_tinyml.schedules import requantize_scalar
from tvm_tinyml.schedules.requantize import accumulator_range
from tvm_tinyml.schedules.requantize_scalar import choose

# Balanced choices leave small layers to smaller code.
TARGETS = [
    "tinyml -mcpu=rv32imc -opt=speed",
    "tinyml -mcpu=rv32imc -compiler=clang -opt=speed",
    "tinyml -mcpu=cortex-m3 -opt=speed",
    "tinyml -mcpu=cortex-m3 -compiler=clang -opt=speed",
    "tinyml -mcpu=host -opt=speed",
]


TILED = (
    "scalar pointwise",
    "scalar im2col",
    "scalar dense tiles",
    "scalar depthwise strips",
    "scalar depthwise rows",
)


def random_geometry(
    generator: np.random.Generator, largest: int, *, dilated: bool
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(image, kernel, strides, dilation), each (height, width)."""
    kernel = (int(generator.integers(1, largest + 1)), int(generator.integers(1, largest + 1)))
    strides = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    dilation = (1, 1)
    if dilated and generator.random() < 0.4:
        dilation = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    image = (least[0] + int(generator.integers(0, 7)), least[1] + int(generator.integers(0, 20)))
    return image, kernel, strides, dilation


def random_convolution(generator: np.random.Generator) -> LayerCase:
    """Any kernel up to 4x4, stride and dilation up to 3, channel counts that are multiples of nothing."""
    image, kernel, strides, dilation = random_geometry(generator, 4, dilated=True)
    if generator.random() < 0.5:
        kernel, dilation, strides = (1, 1), (1, 1), (1, 1)
    depth, channels = int(generator.choice([1, 2, 3, 4, 7, 12, 17])), int(generator.integers(1, 30))
    return convolution(
        generator,
        (*image, depth),
        channels,
        kernel,
        strides=strides if generator.random() < 0.5 else (1, 1),
        dilation=dilation,
        same=bool(generator.random() < 0.6),
        lowest_weight=-128 if generator.random() < 0.2 else -127,
    )


def random_depthwise(generator: np.random.Generator) -> LayerCase:
    """Kernels that leave the registers room and some that do not, images down to the size of the kernel."""
    largest = int(generator.choice([3, 4, 7]))
    image, kernel, strides, dilation = random_geometry(generator, largest, dilated=generator.random() < 0.2)
    same_stride = strides if generator.random() < 0.1 else (strides[0], strides[0])
    return depthwise(
        generator,
        (*image, int(generator.choice([1, 3, 5, 16, 33]))),
        kernel,
        multiplier=int(generator.choice([1, 1, 1, 2])),
        strides=same_stride,
        dilation=dilation,
        same=bool(generator.random() < 0.6),
    )


def random_dense(generator: np.random.Generator) -> LayerCase:
    """Rows, depths and outputs that are multiples of nothing."""
    rows, depth, outputs = (int(generator.integers(1, limit)) for limit in (6, 70, 50))
    constants, attrs = requantization(generator, outputs, depth)
    data, weight = int8_values(generator, (rows, depth)), int8_values(generator, (outputs, depth), -127)
    attrs |= {"input_zero_point": 0, "shape": (rows, outputs)}
    return LayerCase("dense", (data, weight, *constants), attrs)


@pytest.mark.parametrize("target", TARGETS)
def test_random_layers_are_exact(target: str) -> None:
    generator = np.random.default_rng(sum(map(ord, target)))
    kinds = (random_convolution, random_depthwise, random_dense)
    module = assert_layers_exact([kinds[index % 3](generator) for index in range(30)], target)
    schedules = [layer.schedule for layer in module.compiled.model.layers]
    assert set(TILED) <= set(schedules)
    # Dilated depthwise layers and factors without a fit are left to the schedules that always apply.
    assert sum(schedule in TILED for schedule in schedules) >= 21, schedules


@pytest.mark.parametrize("target", TARGETS[0:3:2])
def test_extreme_sums_are_exact(target: str) -> None:
    """Activations and weights at the ends of their ranges, so that sums are as large as they can be."""
    generator = np.random.default_rng(5)
    cases = []
    for data, weight in ((-128, -128), (-128, 127), (127, -127), (127, 127)):
        for case in (
            convolution(generator, (3, 5, 64), 9, (1, 1)),
            convolution(generator, (5, 7, 16), 5, (3, 3)),
            depthwise(generator, (6, 19, 5), (3, 3)),
            random_dense(generator),
        ):
            _, _, *constants = case.arrays
            filled = np.full_like(case.arrays[0], data), np.full_like(case.arrays[1], weight)
            cases.append(LayerCase(case.name, (*filled, *constants), case.attrs))
    assert_layers_exact(cases, target)


@pytest.mark.parametrize("target", TARGETS[:4])
def test_windows_larger_than_the_image_are_exact(target: str) -> None:
    generator = np.random.default_rng(11)
    cases = [
        depthwise(generator, (*image, 3), kernel, strides=(stride, stride))
        for image, kernel in (((3, 3), (7, 7)), ((5, 5), (7, 7)), ((2, 9), (5, 5)), ((9, 2), (3, 7)))
        for stride in (1, 2)
    ]
    module = assert_layers_exact(cases, target)
    # The smallest images may take plain loops.
    taken = {layer.schedule for layer in module.compiled.model.layers}
    assert "scalar depthwise rows" in taken
    assert taken <= {"scalar depthwise rows", "scalar depthwise"}


def test_rows_far_apart_are_exact_on_rv32() -> None:
    """Activations and outputs whose neighbours lie beyond the reach of a load need base registers of their own."""
    generator = np.random.default_rng(3)
    cases = [
        convolution(generator, (2, 3, 700), 800, (1, 1)),
        convolution(generator, (1, 5, 1100), 3, (1, 1)),
        convolution(generator, (1, 4, 2100), 2, (1, 1)),
        depthwise(generator, (4, 12, 300), (3, 3)),
        depthwise(generator, (3, 9, 600), (3, 3), strides=(2, 2)),
        depthwise(generator, (3, 20, 1023), (3, 3)),
    ]
    assert_layers_exact(cases, "tinyml -mcpu=rv32imc -opt=speed")


@pytest.mark.parametrize(("zero_point", "input_zero_point"), [(-128, 127), (127, -128)])
@pytest.mark.parametrize("target", TARGETS[0:3:2])
def test_zero_points_at_both_ends_are_exact(target: str, zero_point: int, input_zero_point: int) -> None:
    generator = np.random.default_rng(zero_point + 128)
    points = {"zero_point": zero_point, "input_zero_point": input_zero_point}
    cases = [
        replace(case, attrs={**case.attrs, **points})
        for case in (
            convolution(generator, (3, 5, 8), 6, (1, 1)),
            convolution(generator, (4, 4, 3), 5, (3, 3)),
            depthwise(generator, (5, 12, 3), (3, 3)),
            depthwise(generator, (9, 9, 2), (7, 7)),
        )
    ]
    assert_layers_exact(cases, target)


@pytest.mark.parametrize("target", TARGETS[0:3:2])
def test_columns_outside_of_the_image_are_exact_without_such_rows(target: str) -> None:
    """As in streamed regions: what is above and below lies in memory, columns beside the image do not."""
    generator = np.random.default_rng(9)
    points = {"input_zero_point": -128, "padding": (0, 1, 0, 1)}
    cases = [
        replace(case, attrs={**case.attrs, **points})
        for case in (
            depthwise(generator, (5, 12, 3), (3, 3)),
            depthwise(generator, (5, 9, 2), (3, 3), strides=(2, 2)),
            depthwise(generator, (4, 6, 2), (2, 4)),
        )
    ]
    module = assert_every_candidate_exact(cases, target)
    taken = [layer.schedule for layer in module.compiled.model.layers]
    assert taken.count("scalar depthwise strips") == len(cases)


@pytest.mark.parametrize("shift", [-1, -21])
def test_shifts_at_both_ends_are_exact(shift: int) -> None:
    generator = np.random.default_rng(-shift)
    cases = [
        extreme(case, data, weight, shift)
        for case in (convolution(generator, (3, 3, 33), 5, (1, 1)), depthwise(generator, (6, 9, 2), (3, 3)))
        for data, weight in ((-128, -127), (127, 127), (-128, 127))
    ]
    assert_layers_exact(cases, TARGETS[0])
    assert_layers_exact(cases, TARGETS[2])


@pytest.fixture
def shifts_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every layer keeps its shifts beside the addends, as those do that find no other form."""
    monkeypatch.setattr(requantize_scalar, "FORMS", [form for form in requantize_scalar.FORMS if form[0]])
    requantize_scalar._choose.cache_clear()
    yield
    requantize_scalar._choose.cache_clear()


@pytest.mark.usefixtures("shifts_apart")
@pytest.mark.parametrize("target", [TARGETS[0], TARGETS[3], TARGETS[4]])
def test_shifts_apart_are_exact(target: str) -> None:
    generator = np.random.default_rng(23)
    kinds = (random_convolution, random_depthwise, random_dense)
    cases = [kinds[index % 3](generator) for index in range(18)]
    cases += [extreme(cases[index], -128, -127, shift) for index in range(2) for shift in (-1, -21)]
    module = assert_layers_exact(cases, target)
    tiled = [layer.schedule in TILED for layer in module.compiled.model.layers]
    assert sum(tiled) >= 16


def test_sums_of_any_length_are_requantised_in_tiles() -> None:
    """Long sums may follow no multiplier that ends in its shift; they follow one of 31 free bits."""
    generator = np.random.default_rng(29)
    apart = []
    for depth in (20, 960, 1500, 3000, 3000):
        case = convolution(generator, (1, 1, depth), 24, (1, 1))
        weight, bias, multiplier, shift = case.arrays[1:]
        # Powers of two among the factors make every second sum a tie.
        multiplier[::3] = 2**30
        attrs = {**case.attrs, "zero_point": 17, "clamp_min": -128, "clamp_max": 127}
        reach = accumulator_range(weight, bias, attrs["input_zero_point"], channel_axis=0)
        form = choose({"bias": bias, "multiplier": multiplier, "shift": shift}, attrs, reach)
        assert form is not None
        apart.append(form.apart)
    assert any(apart)
    assert not all(apart)


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule, "tensorize", lambda *_arguments, **_options: None)
    generator = np.random.default_rng(17)
    kinds = (random_convolution, random_depthwise, random_dense)
    cases = [kinds[index % 3](generator) for index in range(18)]
    cases += [convolution(generator, (5, 6, depth), 6, (3, 3)) for depth in (3, 4)]
    # Rows of one output are too short for anything but strips.
    cases.append(depthwise(generator, (9, 1, 5), (3, 1), same=False))
    module = assert_layers_exact(cases, "tinyml -mcpu=host -opt=speed")
    assert set(TILED) <= {layer.schedule for layer in module.compiled.model.layers}


def test_tiles_are_shared_by_layers_of_all_sizes() -> None:
    generator = np.random.default_rng(2)
    sizes = ((3, 5, 8, 9), (5, 4, 17, 20), (7, 3, 12, 31), (6, 6, 33, 6))
    cases = [
        convolution(generator, (height, width, depth), channels, (1, 1))
        for height, width, depth, channels in sizes
    ]
    limits = {"clamp_min": -128, "clamp_max": 127}
    cases = [replace(case, attrs={**case.attrs, **limits}) for case in cases]
    model = build_layers(cases, TARGETS[0]).compiled.model
    # Four pixels or one by four channels or one, with and without the sign.
    assert sum(name.startswith("tinyml_tile") for name in model.micro_kernels) <= 8


@pytest.mark.parametrize("rounding", ["double", "single", "away"])
def test_requantization_with_shifts_apart_is_the_dialects_on_all_sums(
    rounding: Literal["double", "single", "away"], shifts_apart: None
) -> None:
    test_requantization_is_the_dialects_on_all_sums(rounding)


@pytest.mark.parametrize("rounding", ["double", "single", "away"])
def test_requantization_is_the_dialects_on_all_sums(rounding: Literal["double", "single", "away"]) -> None:
    """Every accumulator that a layer can reach, not only those beside the steps at which the fit was proven."""
    case = convolution(np.random.default_rng(len(rounding)), (1, 1, 4), 3, (1, 1))
    weight, bias, multiplier, shift = case.arrays[1:]
    attrs = {**case.attrs, "rounding": rounding}
    reach = accumulator_range(weight, bias, attrs["input_zero_point"], channel_axis=0)
    form = choose({"bias": bias, "multiplier": multiplier, "shift": shift}, attrs, reach)
    assert form is not None
    clamp = attrs["clamp_min"], attrs["clamp_max"]
    for channel, (least, most) in enumerate(zip(*reach, strict=True)):
        x = np.arange(least, most + 1, dtype=np.int64)
        word, fine = int(form.factors[channel, 1]), int(form.fine[channel])
        fine, right = (fine >> 5, fine & 31) if form.apart else (fine, word & 31)
        moved = x - bias[channel] + form.factors[channel, 0]
        high = ((moved << form.finer) * word) >> 32
        if form.finer:
            high += (high >> 31) << (form.finer - 1)
        outputs = (high + ((form.point << right) >> 1) + fine) >> right
        exact = requantize(x, multiplier[channel], shift[channel], rounding) + attrs["zero_point"]
        np.testing.assert_array_equal(np.clip(outputs, *clamp), np.clip(exact, *clamp))


def test_depthwise_windows_wider_than_the_image_are_exact() -> None:
    generator = np.random.default_rng(6)
    cases = []
    for multiplier, padding in ((5, (0, 1, 0, 0)), (1, (0, 1, 0, 0)), (5, (1, 1, 1, 1))):
        case = depthwise(generator, (6, 1, 1), (3, 2), multiplier=multiplier, strides=(3, 3), same=False)
        cases.append(replace(case, attrs={**case.attrs, "padding": padding, "input_zero_point": 5}))
    assert_every_candidate_exact(cases, "tinyml -mcpu=cortex-m3")
