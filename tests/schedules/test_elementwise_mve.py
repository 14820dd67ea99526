"""Sums, lookups, quantisation and pooling on Cortex-M55: equal to the dialect, and cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.layers_rvv import int8_values
from tests.schedules.test_add_rvv import all_pairs, attributes
from tests.schedules.test_pairs_scalar import product_attributes
from tests.schedules.test_quantize_rvv import numbers
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only
from tvm_tinyml.schedules.intrinsics.mve.window import average_of

TARGET = "tinyml -mcpu=cortex-m55"


def pooling(
    name: str, data: Any, pool: tuple[int, int], strides: tuple[int, int], **limits: Any
) -> LayerCase:
    """A pooling layer; without padding and limits unless they are given."""
    attrs = {"pool": pool, "strides": strides, "padding": (0, 0, 0, 0), "clamp_min": -128, "clamp_max": 127}
    return LayerCase(name, (data,), attrs | limits)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sums_are_exact_on_all_pairs_and_at_the_end(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(1)
    a, b = all_pairs()
    cases = [LayerCase("add", (a, b), attributes(generator), 2) for _ in range(2)]
    cases += [LayerCase("sub", (a, b), attributes(generator), 2)]
    cases += [LayerCase("add", (a[:count], b[:count]), attributes(generator), 2) for count in (1, 7, 8, 21)]
    narrow = attributes(generator) | {"clamp_min": -20, "clamp_max": 31}
    cases += [LayerCase("add", (a[:500], b[:500]), narrow, 2)]
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    # With all roundings, four at a time, a few elements take less.
    taken = {layer.schedule for layer in module.compiled.model.layers}
    assert taken - {"mve add"} == {"mve linear add", "mve linear sub"}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_functions_of_one_element_are_exact(compiler: str) -> None:
    generator = np.random.default_rng(2)
    everything = np.arange(-128, 128, dtype=np.int8)
    scaling = {"input_zero_point": 3, "multiplier": 1500000000, "shift": 0, "rounding": "double"}
    signed = scaling | {"zero_point": 5, "clamp_min": -100, "clamp_max": 100, "dtype": "int8"}
    unsigned = scaling | {"zero_point": 5, "clamp_min": 0, "clamp_max": 255, "dtype": "uint8"}
    table = int8_values(generator, (256,))
    cases = [
        LayerCase("requantize", (everything,), signed),
        LayerCase("requantize", (everything[:37],), unsigned),
        LayerCase("requantize", (everything.view(np.uint8),), signed),
        LayerCase("lookup", (everything[3:100], table), {"function": "any"}),
    ]
    cases += [
        LayerCase(
            "quantize", (numbers(generator, 1.0, 97),), {"zero_point": z, "dtype": "int8", "scale": 1.0}
        )
        for z in (-128, 0, 127)
    ]
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    assert {layer.schedule for layer in module.compiled.model.layers} == {
        "mve requantize by table",
        "mve lookup by table",
        "mve quantize",
    }


def test_pooling_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(3)
    means = {"axes": (1, 2), "keepdims": False, "input_zero_point": -7, "multiplier": 1300000000}
    cases = [
        pooling("avg_pool2d", int8_values(generator, (1, 25, 5, 64)), (25, 5), (25, 5)),
        pooling("avg_pool2d", int8_values(generator, (1, 6, 7, 19)), (2, 3), (2, 2), clamp_max=40),
        pooling("avg_pool2d", np.full((1, 16, 16, 9), -128, np.int8), (16, 16), (1, 1)),
        pooling("avg_pool2d", np.full((1, 15, 17, 33), 127, np.int8), (15, 17), (1, 1)),
        pooling("max_pool2d", int8_values(generator, (1, 6, 7, 37)), (2, 3), (2, 2), clamp_min=-5),
        pooling("max_pool2d", int8_values(generator, (1, 6, 7, 150)), (3, 3), (1, 1)),
        pooling("max_pool2d", int8_values(generator, (1, 5, 4, 16)), (1, 1), (1, 1)),
        *(
            pooling(
                name, int8_values(generator, (1, 7, 9, 37)), (5, 4), (2, 1), padding=(2, 1, 2, 2), clamp_max=9
            )
            for name in ("avg_pool2d", "max_pool2d")
        ),
        LayerCase("mean", (int8_values(generator, (1, 7, 7, 130)),), means | {"shift": -5, "zero_point": 4}),
    ]
    module = assert_layers_exact(cases, TARGET)
    assert all(layer.schedule.startswith("mve") for layer in module.compiled.model.layers)


def test_instructions_per_element() -> None:
    generator = np.random.default_rng(4)
    a, b = all_pairs()
    pooled = int8_values(generator, (1, 25, 5, 64))
    cases = [
        LayerCase("add", (a, b), attributes(generator) | {"clamp_min": -128}, 2),
        LayerCase("quantize", (np.zeros(4096, np.float32),), {"dtype": "int8", "scale": 1.0}),
        pooling("avg_pool2d", pooled, (25, 5), (25, 5)),
        LayerCase("mul", (a, b), product_attributes(generator, "double") | {"shift": -7}, 2),
        LayerCase("maximum", (a, b), {}, 2),
        # A factor for each channel, as squeeze-and-excitation has it.
        LayerCase(
            "mul", (pooled, pooled[0, 0, 0]), product_attributes(generator, "double") | {"shift": -7}, 2
        ),
        # No line reproduces a sum whose operands' scales differ so much.
        LayerCase("add", (a, b), attributes(generator) | {"a_shift": -12}, 2),
        pooling("avg_pool2d", pooled, (3, 3), (1, 1), padding=(1, 1, 1, 1)),
        pooling("max_pool2d", pooled, (3, 3), (1, 1), padding=(1, 1, 1, 1)),
    ]
    module = build_layers(cases, TARGET)
    arrays = [array for case in cases for array in case.arrays[: case.activations]]
    _, report = module.run(arrays, profile=True)
    instructions = {layer.name: layer.instructions for layer in report.layers}
    assert instructions["add_0"] <= 1.8 * a.size
    assert instructions["quantize_1"] <= 2.8 * 4096
    assert instructions["avg_pool2d_2"] <= 0.5 * pooled.size
    assert instructions["avg_pool2d_7"] <= 5.0 * pooled.size
    assert instructions["max_pool2d_8"] <= 3.0 * pooled.size
    assert instructions["mul_3"] <= 2.5 * a.size
    assert instructions["maximum_4"] <= 0.4 * a.size
    assert instructions["mul_5"] <= 3.1 * pooled.size
    assert instructions["add_6"] <= 5.6 * a.size


def test_the_last_product_of_a_row_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    # A row ends in any lane, after small sums of the row before: nothing of those may be left in the last one.
    ask_only(monkeypatch, "mve")
    small, large = np.ones(24, np.int8), np.full(24, -33, np.int8)
    attrs = product_attributes(np.random.default_rng(5), "double")
    attrs |= {"a_zero_point": 0, "b_zero_point": 0, "zero_point": 0, "clamp_min": -128, "clamp_max": 127}
    attrs |= {"multiplier": 2**30, "shift": -3}
    cases = [LayerCase("mul", (a[:n], a[:n]), attrs, 2) for n in range(1, 17) for a in (small, large)]
    cases += [
        LayerCase("mul", (np.concatenate([small[:8], large[:n]]), np.full(8 + n, -33, np.int8)), attrs, 2)
        for n in range(1, 8)
    ]
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"mve mul"}


def test_factors_of_averages_are_exact_for_every_sum() -> None:
    # The quotient rounds halves away from zero; 256 elements at once are beyond sixteen bits.
    assert average_of((256,)) is None
    for counts in ((1,), (2, 4), (4, 6, 9), (49,), (25, 20, 16, 15, 12, 9), (250,)):
        average = average_of(counts)
        assert average is not None
        for count in counts:
            sums = np.arange(-128 * count, 127 * count + 1)
            high = (2 * (sums << average.left) * average.factor(count) + 2**15) >> 16
            high -= average.ties & (high < 0)
            exact = np.sign(sums) * np.floor(np.abs(sums) / count + 0.5)
            np.testing.assert_array_equal((high + 2 ** (average.right - 1)) >> average.right, exact)
