"""Dense layers on Cortex-M55: equal to the dialect for any numbers of rows, taps and channels, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense, extreme
from tests.support.layers import assert_layers_exact, build_layers
from tests.support.rules import ask_only

TARGET = "tinyml -mcpu=cortex-m55"


@pytest.mark.parametrize("rounding", ["away", "double", "single"])
def test_random_dense_layers_are_exact(rounding: str) -> None:
    generator = np.random.default_rng(3)
    cases = [
        dense(
            generator,
            int(generator.choice([1, 1, 2, 3, 4, 9])),
            int(generator.integers(1, 90)),
            int(generator.integers(1, 40)),
            rounding,
        )
        for _ in range(20)
    ]
    module = assert_layers_exact(cases, TARGET)
    taken = {layer.schedule for layer in module.compiled.model.layers if layer.schedule.startswith("mve")}
    assert {schedule.removesuffix(", wide") for schedule in taken} == {"mve dense", "mve dense rows"}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_ends_of_rows_and_of_channels_are_exact(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(4)
    cases = [
        dense(generator, 1, depth, channels, "away")
        for depth in (1, 15, 16, 33, 64, 100)
        for channels in (1, 7, 8, 20)
    ]
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    assert {layer.schedule for layer in module.compiled.model.layers} == {"mve dense"}


def test_extreme_values_are_exact() -> None:
    generator = np.random.default_rng(5)
    cases = [
        extreme(dense(generator, 1, depth, 11, rounding), data, weight, shift)
        for depth in (40, 640)
        for rounding in ("double", "away")
        for data, weight, shift in ((-128, 127, -2), (-128, -127, -22), (127, 127, -5))
    ]
    assert_layers_exact(cases, TARGET)


@pytest.mark.parametrize(("depth", "channels", "per_product"), [(640, 128, 0.15), (128, 128, 0.175)])
def test_instructions_per_product(depth: int, channels: int, per_product: float) -> None:
    case = dense(np.random.default_rng(0), 1, depth, channels, "away", widest=20)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= per_product * depth * channels
