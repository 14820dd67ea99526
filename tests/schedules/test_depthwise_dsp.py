"""Depthwise layers on Cortex-M4: equal to the dialect on any geometry, by description and micro-kernel; cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import (
    ROUNDINGS,
    TARGET,
    describe_only,
    extreme,
    random_depthwise,
    random_rounding,
    with_rounding,
)
from tests.schedules.layers_rvv import depthwise
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only
from tvm_tinyml.schedules.depthwise_dsp import schedule_depthwise_dsp


def planes(generator: np.random.Generator) -> list[LayerCase]:
    """Whole images and bands, one to four lanes, odd and even starts of rows, single columns."""
    return [
        depthwise(generator, (6, 7, 9), (3, 3)),
        depthwise(generator, (30, 40, 4), (3, 3), strides=(2, 2)),
        depthwise(generator, (9, 9, 1), (5, 5), multiplier=3),
        depthwise(generator, (5, 115, 6), (3, 3)),
        depthwise(generator, (12, 1, 8), (5, 1), same=False),
        depthwise(generator, (8, 11, 5), (7, 7), strides=(1, 2)),
    ]


@pytest.mark.parametrize("seed", range(2))
def test_random_depthwise_layers_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [random_depthwise(generator) for _ in range(20)]
    module = assert_layers_exact(cases, TARGET)
    # Others take over where kernels have one column, factors are 1/2 and more, or hardly a layer is left.
    assert sum(layer.schedule.startswith("dsp") for layer in module.compiled.model.layers) >= 15


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_kind_of_plane_and_rounding_is_exact(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # For hardly a layer, other rules offer less code.
    monkeypatch.setattr("tvm_tinyml.schedules.RULES", (schedule_depthwise_dsp,))
    generator = np.random.default_rng(5)
    cases = [with_rounding(case, rounding) for rounding in ROUNDINGS for case in planes(generator)]
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    assert all(layer.schedule == "dsp depthwise" for layer in module.compiled.model.layers)


def test_little_code_is_exact() -> None:
    generator = np.random.default_rng(12)
    assert_layers_exact(
        [random_rounding(generator, case) for case in planes(generator)], f"{TARGET} -opt=size"
    )


def test_extreme_values_are_exact() -> None:
    generator = np.random.default_rng(6)
    cases = [
        extreme(random_rounding(generator, case), data, weight, shift)
        for case in planes(generator)
        for data, weight, shift in ((-128, 127, -2), (-128, -128, -22), (127, 127, -5))
    ]
    assert_layers_exact(cases, TARGET)


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    generator = np.random.default_rng(7)
    assert_layers_exact(planes(generator), TARGET)


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m33"])
def test_other_cores_with_the_extension_run_the_same_code(core: str) -> None:
    assert_layers_exact(planes(np.random.default_rng(8)), f"tinyml -mcpu={core}")


@pytest.mark.parametrize(
    ("image", "kernel", "strides", "per_product"),
    [
        ((25, 5, 64), (3, 3), (1, 1), 2.1),
        ((48, 48, 8), (3, 3), (1, 1), 2.0),
        ((48, 48, 16), (3, 3), (2, 2), 2.7),
        ((10, 10, 120), (5, 5), (1, 1), 1.3),
        ((20, 20, 48), (7, 7), (2, 2), 1.3),
    ],
)
def test_instructions_and_scratch(
    image: tuple[int, int, int], kernel: tuple[int, int], strides: tuple[int, int], per_product: float
) -> None:
    case = depthwise(np.random.default_rng(0), image, kernel, strides=strides)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= 4900


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_few_lanes_of_many_channels_are_exact(
    lanes: int, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An arena that leaves little scratch asks for few lanes, whose loads step over all channels.
    monkeypatch.setattr("tvm_tinyml.schedules.depthwise_dsp.dsp.LANES", (lanes,))
    ask_only(monkeypatch, "depthwise_dsp")
    generator = np.random.default_rng(lanes)
    cases = [
        depthwise(generator, (4, 5, 255), (3, 3)),
        depthwise(generator, (5, 4, 300), (3, 3), strides=(2, 2)),
    ]
    module = assert_layers_exact(cases, f"tinyml -mcpu=cortex-m4 -compiler={compiler}")
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dsp depthwise"}
