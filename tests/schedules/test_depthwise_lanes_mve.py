"""Depthwise layers of few outputs on Cortex-M55, channels in the lanes: equal to the dialect, and cheap."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.schedules.layers_dsp import extreme, with_rounding
from tests.schedules.layers_rvv import depthwise
from tests.schedules.test_descriptions_mve import unbound  # noqa: F401 - a fixture
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.module import AOTModule
from tvm_tinyml.schedules.depthwise_lanes_mve import schedule_depthwise_lanes_mve

# Windows that reach over several borders are worth their code there only.
TARGET = "tinyml -mcpu=cortex-m55 -opt=speed"


@pytest.fixture(autouse=True)
def only_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm_tinyml.schedules.RULES", (schedule_depthwise_lanes_mve,))


def assert_lanes_exact(cases: list[LayerCase], target: str = TARGET) -> AOTModule:
    module = assert_layers_exact(cases, target)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"mve depthwise lanes"}
    return module


def geometries(generator: np.random.Generator) -> list[LayerCase]:
    """Windows of every size, with and without borders; channels that fill blocks, overlap, or are fewer."""
    return [
        depthwise(generator, (3, 3, 16), (3, 3), same=False),
        depthwise(generator, (3, 5, 40), (3, 3), same=False),
        depthwise(generator, (7, 3, 21), (3, 3), strides=(2, 2), same=False),
        depthwise(generator, (5, 7, 33), (3, 3), strides=(2, 2), same=False),
        depthwise(generator, (5, 6, 19), (5, 5), same=False),
        depthwise(generator, (7, 9, 48), (7, 7), strides=(2, 2), same=False),
        # Rows and columns outside of the image.
        depthwise(generator, (1, 1, 24), (3, 3)),
        depthwise(generator, (2, 2, 17), (3, 3)),
        depthwise(generator, (1, 4, 35), (1, 3)),
        depthwise(generator, (4, 1, 16), (5, 1)),
        depthwise(generator, (2, 2, 30), (7, 5)),
        depthwise(generator, (4, 4, 16), (3, 3), strides=(2, 2)),
        depthwise(generator, (11, 1, 16), (10, 1), same=False),
        # Fewer channels than lanes.
        depthwise(generator, (3, 4, 5), (3, 3), same=False),
        depthwise(generator, (2, 2, 1), (3, 3)),
        depthwise(generator, (5, 6, 13), (5, 5), same=False),
        depthwise(generator, (5, 7, 18), (3, 3), dilation=(2, 3), same=False),
        depthwise(generator, (3, 11, 22), (2, 10), same=False),
        *(depthwise(generator, (1, taps, 16), (1, taps), same=False) for taps in (1, 2, 3, 4, 6, 8, 11)),
    ]


def test_every_geometry_is_exact() -> None:
    generator = np.random.default_rng(0)
    assert_lanes_exact(geometries(generator))


def test_every_epilogue_and_extreme_values_are_exact() -> None:
    generator = np.random.default_rng(2)
    cases = [
        with_rounding(case, rounding)
        for case, rounding in product(geometries(generator)[1:6:2], ("double", "away"))
    ]
    for case in cases[::2]:
        case.attrs.update(zero_point=-100, clamp_min=-100, clamp_max=77)  # type: ignore[attr-defined]
    for case in cases[1::2]:
        case.attrs.update(zero_point=5, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    ends = [
        extreme(case, data, weight, shift)
        for case in geometries(generator)[::7]
        for data, weight, shift in ((-128, 127, -2), (-128, -127, -11), (127, 127, -5))
    ]
    assert_lanes_exact(cases + ends, f"{TARGET} -compiler=clang")


def test_sums_at_the_limits_of_halfwords_are_exact() -> None:
    """Data, weights and biases that bring the sums next to multiples of 2**16, whatever the coarse sum leaves out."""
    generator = np.random.default_rng(3)
    cases = []
    for kernel in ((3, 3), (5, 5), (7, 7)):
        case = depthwise(generator, (*kernel, 160), kernel, same=False)
        data, weight, bias, multiplier, shift = (array.copy() for array in case.arrays)
        ends = np.array([-127, 127], np.int8)
        weight[...] = generator.choice(ends, weight.shape)
        data[...] = np.where(weight > 0, 127, -128)
        # Some taps the other way, so that sums are spread over all of the range.
        turned = generator.random(data.shape) < generator.random((1, 1, 1, 160))
        data[turned] = -1 - data[turned]
        sums = (data.astype(np.int64) * weight).sum((0, 1, 2))
        nearest = np.round(sums / 65536) * 65536
        missing = (nearest - sums) // weight[0, 0, 0] + data[0, 0, 0]
        data[0, 0, 0] = np.clip(missing + generator.integers(-1, 2, 160), -128, 127)
        sums = (data.astype(np.int64) * weight).sum((0, 1, 2))
        # A difference of 2**16 must show.
        bias[...], multiplier[...], shift[...] = -sums, 2**31 - 1, -1
        cases.append(LayerCase(case.name, (data, weight, bias, multiplier, shift), case.attrs))
    assert_lanes_exact(cases)


def test_descriptions_are_exact(unbound: None) -> None:  # noqa: F811
    generator = np.random.default_rng(4)
    assert_lanes_exact(geometries(generator)[:18:2])


def test_weights_of_minus_128_and_multiplied_channels_are_left_to_others() -> None:
    generator = np.random.default_rng(5)
    case = depthwise(generator, (3, 3, 16), (3, 3), same=False)
    case.arrays[1][0, 1, 1, 3] = -128
    several = depthwise(generator, (3, 3, 8), (3, 3), multiplier=2, same=False)
    module = build_layers([case, several], TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"plain"}


@pytest.mark.parametrize(
    ("image", "kernel", "per_product"),
    [
        ((3, 3, 144), (3, 3), 0.79),
        ((3, 4, 144), (3, 3), 0.78),
        ((6, 3, 144), (3, 3), 0.78),
        ((5, 5, 144), (5, 5), 0.65),
        ((7, 7, 144), (7, 7), 0.60),
    ],
)
def test_instructions(image: tuple[int, int, int], kernel: tuple[int, int], per_product: float) -> None:
    case = depthwise(np.random.default_rng(0), image, kernel, same=False)
    # What most layers have: a ReLU with its zero at the lower end.
    case.attrs.update(zero_point=-128, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert layer.scratch == ()
    (estimated,) = (one.instructions for one in layer.alternatives if one.taken)
    assert estimated == pytest.approx(report.layers[0].instructions, rel=0.02)
