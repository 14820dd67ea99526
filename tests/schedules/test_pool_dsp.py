"""Pooling on Cortex-M4: equal to the dialect on any window, by description and by micro-kernel, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import TARGET, describe_only
from tests.schedules.layers_rvv import int8_values
from tests.schedules.test_elementwise_mve import pooling
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only
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
        padded = {"padding": (1, 1, 1, 1), "clamp_min": -5, "clamp_max": 40}
        cases.append(pooling(name, int8_values(generator, (1, 6, 5, 7)), (3, 3), (1, 1), **padded))
    return cases


def random_window(generator: np.random.Generator, name: str) -> LayerCase:
    """Any window, stride, padding and clamp on a small image; windows may be wider than the image."""
    pool, extents = generator.integers(1, 6, 2), generator.integers(3, 10, 2)
    padding = [int(generator.integers(0, size)) for size in (*pool, *pool)]
    for axis in range(2):
        pool[axis] = min(pool[axis], extents[axis] + padding[axis] + padding[axis + 2])
        # No window may lie in the padding behind the image.
        padding[axis + 2] = min(padding[axis + 2], int(pool[axis]) - 1)
    strides = (int(generator.integers(1, 3)), int(generator.integers(1, 4)))
    low, high = sorted(int(limit) for limit in generator.choice([-128, -60, -3, 40, 127], 2, replace=False))
    data = int8_values(generator, (1, *(int(extent) for extent in extents), int(generator.integers(4, 20))))
    limits = {"clamp_min": low, "clamp_max": high, "padding": tuple(padding)}
    return pooling(name, data, (int(pool[0]), int(pool[1])), strides, **limits)


def test_windows_of_any_geometry_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "dsp")
    generator = np.random.default_rng(8)
    cases = [random_window(generator, name) for name in ("avg_pool2d", "max_pool2d") for _ in range(12)]
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dsp average pool", "dsp max pool"}


def test_windows_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "dsp")
    module = assert_layers_exact(windows(np.random.default_rng(5)), TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dsp average pool", "dsp max pool"}


def means(generator: np.random.Generator) -> list[LayerCase]:
    """Some axes, factors below and above a half of their power of two, shifts at the ends, extreme elements."""
    cases = []
    for shape, axes, multiplier, shift in (
        ((1, 7, 7, 21), (1, 2), 1300000000, -5),
        ((1, 15, 17, 6), (1, 2), 700000000, -6),
        ((2, 3, 5, 4), (2,), 2**31 - 1, -1),
        ((3, 5, 4), (0,), 2**30, -11),
        ((1, 5, 5, 8), (-2, -3), 2**30 - 1, -2),
        ((1, 6, 6, 9), (2, 1), 1800000000, -12),
    ):
        attrs = {"axes": axes, "keepdims": False, "multiplier": multiplier, "shift": shift}
        for value, zero_points in ((None, (-7, 4)), (-128, (127, -128)), (127, (-128, 127))):
            data = int8_values(generator, shape) if value is None else np.full(shape, value, np.int8)
            points = {"input_zero_point": zero_points[0], "zero_point": zero_points[1]}
            cases.append(LayerCase("mean", (data,), attrs | points))
    return cases


def test_means_are_exact() -> None:
    module = assert_layers_exact(means(np.random.default_rng(9)), TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dsp mean"}


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    ask_only(monkeypatch, "dsp")
    generator = np.random.default_rng(6)
    assert_layers_exact([*windows(generator), *means(generator)], TARGET)


def test_every_number_of_elements_is_divided_exactly() -> None:
    assert all(divides(PoolWindow(True, 1, count, 4, 4 * count)) for count in range(1, 256))
    assert not divides(PoolWindow(True, 1, 256, 4, 1024))


@pytest.mark.parametrize(("name", "bound"), [("avg_pool2d", 23.0), ("max_pool2d", 18.0)])
def test_padded_windows_cost_few_instructions(name: str, bound: float) -> None:
    data = int8_values(np.random.default_rng(0), (1, 12, 12, 64))
    case = pooling(name, data, (3, 3), (1, 1), padding=(1, 1, 1, 1))
    _, report = build_layers([case], TARGET).run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= bound * data.size


@pytest.mark.parametrize(("name", "bound"), [("avg_pool2d", 1.4), ("max_pool2d", 1.4)])
def test_an_element_costs_few_instructions(name: str, bound: float) -> None:
    case = pooling(name, int8_values(np.random.default_rng(0), (1, 25, 5, 64)), (25, 5), (25, 5))
    _, report = build_layers([case], TARGET).run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= bound * case.arrays[0].size
