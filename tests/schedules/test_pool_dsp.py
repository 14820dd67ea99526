"""Pooling on Cortex-M4: equal to the dialect on any window, by description and by micro-kernel, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import TARGET, describe_only
from tests.schedules.layers_rvv import int8_values
from tests.schedules.test_elementwise_mve import pooling
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.schedules.intrinsics.dsp import PoolWindow, divides


def windows(generator: np.random.Generator) -> list[LayerCase]:
    """Whole images, strides, odd and even windows, channels that are multiples of nothing, extremes, ties."""
    shapes = [
        ((1, 6, 7, 19), (2, 3), (2, 2)),
        ((1, 5, 5, 8), (3, 3), (1, 2)),
        ((1, 15, 17, 6), (15, 17), (1, 1)),
        ((1, 9, 4, 5), (2, 4), (2, 4)),
        ((1, 4, 4, 4), (1, 1), (3, 3)),
    ]
    cases = []
    for name in ("avg_pool2d", "max_pool2d"):
        for shape, pool, strides in shapes:
            cases.append(pooling(name, int8_values(generator, shape), pool, strides))
        for value in (-128, 127):
            cases.append(pooling(name, np.full((1, 15, 17, 6), value, np.int8), (15, 17), (1, 1)))
        cases.append(pooling(name, generator.integers(-2, 2, (1, 8, 8, 16), dtype=np.int8), (2, 2), (2, 2)))
    return cases


def test_windows_are_exact() -> None:
    module = assert_layers_exact(windows(np.random.default_rng(5)), TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dsp average pool", "dsp max pool"}


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    assert_layers_exact(windows(np.random.default_rng(6)), TARGET)


def test_every_number_of_elements_is_divided_exactly() -> None:
    assert all(divides(PoolWindow(True, 1, count, 4, 4 * count)) for count in range(1, 256))
    assert not divides(PoolWindow(True, 1, 256, 4, 1024))


@pytest.mark.parametrize(("name", "bound"), [("avg_pool2d", 1.4), ("max_pool2d", 1.4)])
def test_an_element_costs_few_instructions(name: str, bound: float) -> None:
    case = pooling(name, int8_values(np.random.default_rng(0), (1, 25, 5, 64)), (25, 5), (25, 5))
    _, report = build_layers([case], TARGET).run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= bound * case.arrays[0].size
